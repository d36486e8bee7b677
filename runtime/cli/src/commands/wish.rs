//! What somebody asks of a release: it is said, and where that is asked for, too, seen through to the release's end.

use serde::Serialize;
use serde_json::Value;
use windlass_model::event::Outcome;
use windlass_model::name::ReleaseId;
use windlass_server::Client;
use windlass_server::view::ReleaseView;

use super::{Context, owner, watch};
use crate::tree::{artifacts, draw};

/// Whether a command sees through what it asks for.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct WatchedArgs {
    /// Watch the release until it ends or nothing goes on without a person, and go on with it here where nothing runs; 0
    /// only if it ended as was asked
    #[arg(long)]
    pub(super) wait: bool,
}

/// Something that is asked of a release.
pub(super) struct Wish {
    release: ReleaseId,
    /// Below the release's own path.
    path: &'static str,
    body: Value,
    /// How the release ends if it comes to what is asked for; nothing where it does not end by that.
    ends: &'static [Outcome],
    is_watched: bool,
}

impl Wish {
    pub(super) fn new(release: ReleaseId, path: &'static str, body: &impl Serialize) -> anyhow::Result<Self> {
        Ok(Self { release, path, body: serde_json::to_value(body)?, ends: &[], is_watched: false })
    }

    pub(super) fn until(self, ends: &'static [Outcome], watched: WatchedArgs) -> Self {
        Self { ends, is_watched: watched.wait, ..self }
    }

    pub(super) async fn carry_out(mut self, context: &Context<'_>) -> anyhow::Result<u8> {
        let client = self.client(context).await?;
        if self.is_watched && self.ends == [Outcome::Succeeded] && self.goes_back(&client).await? {
            self.ends = &[Outcome::RolledBack];
        }
        let view = self.say(&client).await?;
        self.see(view, client, context).await
    }

    /// Whether the release is being rolled back: what is asked of it then is that this goes on.
    async fn goes_back(&self, client: &Client) -> anyhow::Result<bool> {
        let view: ReleaseView = client.get(&format!("/v1/releases/{}", self.release)).await?;
        Ok(view.rollback.is_some_and(|it| it.ended_at.is_none()))
    }

    /// To whom it is said. Nobody goes on with a release for that, so that a wish that is refused moves none.
    pub(super) async fn client(&self, context: &Context<'_>) -> anyhow::Result<Client> {
        if self.is_watched { Ok(Client::open(&context.state()?).await?) } else { context.client().await }
    }

    pub(super) async fn say(&self, client: &Client) -> anyhow::Result<ReleaseView> {
        Ok(client.post(&format!("/v1/releases/{}/{}", self.release, self.path), &self.body).await?)
    }

    /// Shows what came of it so far, or in the end.
    pub(super) async fn see(self, view: ReleaseView, client: Client, context: &Context<'_>) -> anyhow::Result<u8> {
        if !self.is_watched {
            shown(&view, &client, !self.ends.is_empty(), context);
            return Ok(0);
        }
        let others = client.left_waiting().saturating_sub(usize::from(!view.ended));
        if others > 0 {
            owner::note_others(others, context);
        }
        // The store has one owner.
        drop(client);
        let view = owner::see_through(&self.release, context).await?;
        if context.output.is_json() || !context.output.is_live() {
            context.output.data(&view, |it| draw(it, watch::now()));
        }
        Ok(u8::from(!self.ends.iter().any(|it| it.name() == view.state)))
    }
}

/// How a release stands after something that was said; `can_wait`: the command could have seen it through.
pub(super) fn shown(view: &ReleaseView, client: &Client, can_wait: bool, context: &Context<'_>) {
    context.output.data(view, |it| draw(it, watch::now()) + &artifacts(it));
    if matches!(client, Client::Here(_)) && !view.ended {
        let here = if can_wait { "; with `--wait` it goes on here" } else { "" };
        context.output.note(format_args!(
            "nothing runs: the release goes on with the next `windlass serve`, or beside the next `windlass run`{here}"
        ));
    }
}
