//! `windlass serve`

use windlass_server::api::serve as serve_api;
use windlass_server::{Client, Runtime, RuntimeOptions};

use super::Context;

/// Go on with all open releases, fire schedules and answer other commands, until stopped
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// End when every release has ended
    #[arg(long)]
    until_idle: bool,
}

pub(crate) async fn serve(args: ServeArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let state = context.state()?;
    if Client::connect(&state).await.is_some() {
        anyhow::bail!("another process already runs in {}", state.root().display());
    }
    let runtime = Runtime::open(state.clone(), RuntimeOptions::default()).await?;
    runtime.fire_schedules();
    let serving = serve_api(runtime.clone()).await?;
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
