//! Going on with releases in a command: in the process that does so already, or in this one.

use anyhow::Context as _;
use windlass_model::name::ReleaseId;
use windlass_server::api::{Serving, serve};
use windlass_server::client::ClientError;
use windlass_server::view::ReleaseView;
use windlass_server::{Client, RuntimeOptions, StateDirectory};

use super::watch::{self, Until};
use super::{Context, winding_down};

/// Says that other releases go on with the one that is asked for.
pub(super) fn note_others(count: usize, context: &Context<'_>) {
    let them = if count == 1 { "1 other release".to_owned() } else { format!("{count} other releases") };
    context.output.note(format_args!("{them} that nobody went on with: here, too (`windlass release list`)"));
}

/// Goes on with a release, and with all others that are open, unless another process does, and watches it to its end, or
/// until nothing of it goes on without a person.
pub(super) async fn see_through(release: &ReleaseId, context: &Context<'_>) -> anyhow::Result<ReleaseView> {
    let mut owner = Owner::find(&context.state()?).await?;
    let seen = owner.watch(&release.to_string(), Until::Decision, context).await;
    owner.leave(context).await?;
    seen
}

/// Who drives the release that is watched: another process, or this one.
pub(crate) struct Owner {
    pub(crate) client: Client,
    /// Of which installation.
    state: StateDirectory,
    /// Answers other commands as long as it is kept.
    _serving: Option<Serving>,
}

impl Owner {
    pub(crate) async fn find(state: &StateDirectory) -> anyhow::Result<Self> {
        let client = Client::open_with(state, RuntimeOptions::default()).await?;
        let _serving = match &client {
            Client::Here(runtime) => Some(serve(runtime.clone()).await?),
            Client::Socket(_) => None,
        };
        Ok(Self { client, state: state.clone(), _serving })
    }

    /// Ends what goes on here, if it does: other open releases may be in the midst of something, whatever became of the
    /// one that was watched.
    pub(crate) async fn leave(self, context: &Context<'_>) -> anyhow::Result<()> {
        if let Client::Here(runtime) = &self.client {
            winding_down::wind_down(runtime, winding_down::GRACE, context.output).await?;
        }
        Ok(())
    }

    /// Watches a release until it is where it is watched to, or this process is asked to end: an error then, which says who
    /// goes on with it.
    pub(crate) async fn watch(
        &mut self,
        release: &str,
        until: Until,
        context: &Context<'_>,
    ) -> anyhow::Result<ReleaseView> {
        let view = tokio::select! {
            view = self.watch_on(release, until, context) => Some(view?),
            asked = winding_down::asked() => {
                asked?;
                None
            }
        };
        view.with_context(|| {
            let goes_on =
                if self.is_here() { "when something runs here again: `windlass serve`" } else { "without you" };
            format!("not watched any more; {release} goes on {goes_on}")
        })
    }

    fn is_here(&self) -> bool {
        matches!(self.client, Client::Here(_))
    }

    /// Watches a release. When the process that drives it ends first, this one takes its place, or finds who
    /// has.
    async fn watch_on(&mut self, release: &str, until: Until, context: &Context<'_>) -> anyhow::Result<ReleaseView> {
        let mut seen_last = None;
        loop {
            let watched = watch::watch_until(&self.client, release, context, watch::Approvals::Wait, until).await;
            match watched {
                Ok(view) if until.is_reached(&view) || self.is_here() => return Ok(view),
                // Somebody answers. If that brings no news, nobody goes on with it.
                Ok(view) if seen_last.replace(view.updated_at) == Some(view.updated_at) => return Ok(view),
                Err(error) if self.is_here() || !is_no_answer(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
            *self = Self::find(&self.state).await?;
            if self.is_here() {
                context.output.note(format_args!("the process in which {release} went on has ended; it goes on here"));
            }
        }
    }
}

fn is_no_answer(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ClientError::NoAnswer { .. }))
}
