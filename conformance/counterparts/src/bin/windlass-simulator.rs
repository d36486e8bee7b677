//! Runs one simulator until SIGTERM or `POST /_sim/shutdown`.
//!
//! **Invariant:** it outlives whoever started it: it reads no stdin, ignores SIGHUP, and goes on when nobody
//! reads its stdout. The crash tests kill Windlass and expect the counterparts to be as they were.

use anyhow::Context;
use clap::{Parser, ValueEnum};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use windlass_counterparts::{Simulator, SimulatorKind, SimulatorOptions};

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Jenkins,
    Servicenow,
    Echo,
    Recipes,
}

/// Simulates a Jenkins controller, a ServiceNow instance, the services of the cookbook, or an echo server, on loopback.
#[derive(Parser)]
#[command(name = "windlass-simulator", version)]
struct Arguments {
    /// What to simulate.
    kind: Kind,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A file which gets one line of JSON (kind, url, pid) once the simulator answers.
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// The user of basic authentication.
    #[arg(long, default_value = "windlass")]
    user: String,
    /// Its password or API token.
    #[arg(long, default_value = "simulated-token")]
    password: String,
    /// A bearer token which is also accepted.
    #[arg(long)]
    bearer: Option<String>,
    /// Jenkins: POST needs a crumb, as with a password instead of an API token.
    #[arg(long)]
    require_crumb: bool,
    /// Jenkins: no crumb is needed for POST; this is the default.
    #[arg(long, conflicts_with = "require_crumb")]
    no_crumb: bool,
    /// Jenkins: a build of the default job with this VERSION fails.
    #[arg(long)]
    fail_version: Option<String>,
    /// Jenkins: how long a build of the default job waits in the queue, in milliseconds.
    #[arg(long, default_value_t = 500)]
    queue_ms: u64,
    /// Jenkins: how long a build of the default job runs, in milliseconds.
    #[arg(long, default_value_t = 3_000)]
    duration_ms: u64,
    /// Jenkins: how long a queue item is known after it left the queue, in seconds.
    #[arg(long, default_value_t = 300)]
    queue_item_seconds: u64,
    /// ServiceNow: the OAuth client.
    #[arg(long, default_value = "windlass-client")]
    client_id: String,
    /// ServiceNow: its secret.
    #[arg(long, default_value = "simulated-secret")]
    client_secret: String,
    /// ServiceNow: how long an OAuth token is good, in seconds.
    #[arg(long, default_value_t = 1_800)]
    token_seconds: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // A handler that does nothing is what ignoring means here: losing the terminal must not end us.
    let mut hangup = signal(SignalKind::hangup()).context("cannot ignore SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let kind = match arguments.kind {
        Kind::Jenkins => SimulatorKind::Jenkins,
        Kind::Servicenow => SimulatorKind::ServiceNow,
        Kind::Echo => SimulatorKind::Echo,
        Kind::Recipes => SimulatorKind::Recipes,
    };
    let options = SimulatorOptions {
        listen: arguments.listen,
        user: arguments.user,
        password: arguments.password,
        bearer: arguments.bearer,
        require_crumb: arguments.require_crumb && !arguments.no_crumb,
        client_id: arguments.client_id,
        client_secret: arguments.client_secret,
        token_lifetime: Duration::from_secs(arguments.token_seconds),
        fail_version: arguments.fail_version,
        queue: Duration::from_millis(arguments.queue_ms),
        duration: Duration::from_millis(arguments.duration_ms),
        queue_item_retention: Duration::from_secs(arguments.queue_item_seconds),
    };
    let mut running =
        Simulator::start(kind, options).await.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let ready = serde_json::json!({
        "kind": kind,
        "url": running.url,
        "pid": std::process::id(),
    });
    if let Some(path) = &arguments.ready_file {
        write_ready(path, &ready.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    // Whoever started us may have gone: that nobody reads is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{ready}");
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = running.stopped() => break,
        }
    }
    Ok(())
}

/// Writes the line so that a reader sees all of it or nothing.
fn write_ready(path: &Path, line: &str) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, format!("{line}\n"))?;
    std::fs::rename(&temporary, path)
}
