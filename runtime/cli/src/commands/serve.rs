//! `windlass serve`

use std::net::SocketAddr;

use windlass_model::time::Span;
use windlass_server::api::serve as serve_api;
use windlass_server::callbacks::{CallbackListener, CallbackUrl};
use windlass_server::recordings::Library;
use windlass_server::upkeep::Upkeep;
use windlass_server::{Client, RuntimeOptions};

use super::{Context, winding_down};

/// Go on with all open releases, fire schedules and answer other commands, until stopped
///
/// Meanwhile finished releases are archived: compressed, out of the way of those that run, and shown, rolled back and
/// run again like before. With a retention the oldest are removed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass serve\n  windlass serve --retention 400d   # releases that ended 400 days ago are removed for good\n  windlass serve --callbacks 127.0.0.1:8087 --callback-url https://release.example.com/hooks"
)]
pub(crate) struct ServeArgs {
    /// End when every release has ended
    #[arg(long)]
    until_idle: bool,
    /// Take callbacks from the network here; nothing else is answered there
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    callbacks: Option<SocketAddr>,
    /// How the other side sees that address, for example through a proxy that speaks TLS; a path stays as it is
    #[arg(long, value_name = "URL", requires = "callbacks", value_parser = CallbackUrl::parse)]
    callback_url: Option<CallbackUrl>,

    /// Reach no system: answer requests and tools from the cassettes in this folder; what is not in them fails, and is
    /// shown
    #[arg(long, value_name = "FOLDER")]
    recordings: Option<std::path::PathBuf>,

    /// Archive a release so long after its end
    #[arg(long, value_name = "TIME", default_value = "1h")]
    archive_after: Span,

    /// Remove a release so long after its end; without this all are kept
    #[arg(long, value_name = "TIME", value_parser = retention)]
    retention: Option<Span>,

    /// How long calls that are being made may take to end when this is stopped (Ctrl-C or SIGTERM): what is cut off may
    /// need a person to say what became of it
    #[arg(long, value_name = "TIME", default_value_t = winding_down::GRACE)]
    grace: Span,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port: 127.0.0.1:8087, or [::]:8087".to_owned())
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
    let listener = match args.callbacks {
        Some(address) => Some(CallbackListener::bind(address, args.callback_url).await?),
        None => None,
    };
    let callbacks = listener.as_ref().map(|it| it.url().clone());
    let recordings = recordings(args.recordings.as_deref(), context)?;
    let options = RuntimeOptions { callbacks: callbacks.clone(), recordings, ..RuntimeOptions::default() };
    let Client::Here(runtime) = Client::open_with(&state, options).await? else {
        anyhow::bail!("another process already runs in {}", state.root().display());
    };
    let serving_callbacks = listener.map(|it| it.serve(runtime.clone()));
    runtime.fire_schedules();
    let serving = serve_api(runtime.clone()).await?;
    runtime.keep_up(Upkeep { archive_after: args.archive_after, retention: args.retention });
    context.output.note(format_args!(
        "windlass {} runs in {}; Ctrl-C ends it, releases go on at the next start",
        env!("CARGO_PKG_VERSION"),
        state.root().display()
    ));
    if let Some(url) = callbacks {
        context.output.note(format_args!("callbacks are taken at {url}/callbacks/…, alerts at {url}/alerts/SOURCE"));
        if url.is_readable_on_the_way() {
            context.output.note(
                "without TLS, whoever sees such a request can make it: put a proxy before it and name its https address with --callback-url",
            );
        }
    }
    tokio::select! {
        () = runtime.all_ended(), if args.until_idle => {}
        asked = winding_down::asked() => asked?,
    }
    winding_down::wind_down(&runtime, args.grace, context.output).await?;
    drop((serving, serving_callbacks));
    Ok(0)
}

/// What stands in for systems, if that is wanted.
pub(crate) fn recordings(
    folder: Option<&std::path::Path>,
    context: &Context<'_>,
) -> anyhow::Result<Option<std::sync::Arc<Library>>> {
    let Some(folder) = folder else { return Ok(None) };
    let library = Library::open(folder).map_err(anyhow::Error::msg)?;
    context.output.note(format_args!(
        "no system is reached: {} cassettes of {} answer in their place",
        library.cassettes(),
        folder.display()
    ));
    Ok(Some(std::sync::Arc::new(library)))
}
