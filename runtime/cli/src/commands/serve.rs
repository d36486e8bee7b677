//! `windlass serve`

use windlass_model::time::Span;
use windlass_server::api::serve as serve_api;
use windlass_server::upkeep::Upkeep;
use windlass_server::{Client, Runtime, RuntimeOptions};

use super::Context;

/// Go on with all open releases and answer other commands, until stopped
///
/// Meanwhile finished releases are archived: compressed, out of the way of those that run, and shown, rolled back and
/// run again like before. With a retention the oldest are removed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass serve\n  windlass serve --retention 400d   # releases that ended 400 days ago are removed for good"
)]
pub(crate) struct ServeArgs {
    /// End when every release has ended
    #[arg(long)]
    until_idle: bool,

    /// Archive a release so long after its end
    #[arg(long, value_name = "TIME", default_value = "1h")]
    archive_after: Span,

    /// Remove a release so long after its end; without this all are kept
    #[arg(long, value_name = "TIME", value_parser = retention)]
    retention: Option<Span>,
}

/// A shorter retention is a typing error, and what it removes does not come back.
const RETENTION_MIN: Span = Span::seconds(24 * 60 * 60);

fn retention(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    if span < RETENTION_MIN {
        return Err(format!(
            "a retention is at least {RETENTION_MIN}; `windlass store expire` removes what is younger"
        ));
    }
    Ok(span)
}

pub(crate) async fn serve(args: ServeArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let state = context.state()?;
    if Client::connect(&state).await.is_some() {
        anyhow::bail!("another process already runs in {}", state.root().display());
    }
    let runtime = Runtime::open(state.clone(), RuntimeOptions::default()).await?;
    let serving = serve_api(runtime.clone()).await?;
    runtime.keep_up(Upkeep { archive_after: args.archive_after, retention: args.retention });
    context.output.note(format_args!(
        "windlass {} runs in {}; Ctrl-C ends it, releases go on at the next start",
        env!("CARGO_PKG_VERSION"),
        state.root().display()
    ));
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        () = runtime.all_ended(), if args.until_idle => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    drop(serving);
    Ok(0)
}
