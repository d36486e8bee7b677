//! What the disk, the store and the sandbox can do alone.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use windlass_model::event::Operation;
use windlass_sandbox::cassette::Tape;
use windlass_sandbox::measure::Quiet;
use windlass_sandbox::{Access, CallKind, CallRequest, Plugin, Sandbox};
use windlass_store::SledStore;

use super::ACTION;

/// So many callers append to the store at once.
pub(crate) const CALLERS: usize = 256;

/// So many calls are made in the sandbox, one after another.
const CALLS: usize = 5_000;

/// What parts of a release's way can do alone.
#[derive(Debug, Serialize)]
pub(crate) struct Raw {
    /// `fdatasync` after a small append to a file.
    pub(crate) fdatasync_p50_us: f64,
    /// Durable appends to the store, with [`CALLERS`] at once.
    pub(crate) store_appends_per_s: f64,
    /// A new instance, a call that does nothing, and its drop.
    pub(crate) sandbox_p50_us: f64,
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fdatasync_p50_us, store_appends_per_s, sandbox_p50_us } = self;
        write!(
            f,
            "fdatasync {fdatasync_p50_us:.0} µs, store {store_appends_per_s:.0} appends/s, sandbox {sandbox_p50_us:.1} µs"
        )
    }
}

/// Measures them, on the file system of `folder`.
pub(crate) async fn measure(
    sandbox: &Sandbox,
    plugin: &Arc<Plugin>,
    folder: &Path,
    duration: Duration,
) -> anyhow::Result<Raw> {
    let at = folder.to_path_buf();
    let fdatasync = tokio::task::spawn_blocking(move || windlass_store::measure::fdatasync_p50(&at))
        .await?
        .context("measuring fdatasync")?;
    let at = folder.join("raw-store");
    let store = tokio::task::spawn_blocking(move || SledStore::open(at)).await?.context("a store to measure")?;
    let store = Arc::new(store);
    let appends =
        windlass_store::measure::appends_per_second(&store, CALLERS, duration).await.context("measuring the store")?;
    drop(store);
    let calls = windlass_sandbox::measure::instantiate_call_drop(sandbox, plugin, CALLS, request).await;
    let calls = calls.map_err(|report| match report.result {
        Err(error) => anyhow::anyhow!("the component failed: {error}"),
        Ok(_) => anyhow::anyhow!("the component failed"),
    })?;
    let rounded = |microseconds: f64| (microseconds * 10.0).round() / 10.0;
    Ok(Raw {
        fdatasync_p50_us: rounded(fdatasync.as_secs_f64() * 1e6),
        store_appends_per_s: rounded(appends),
        sandbox_p50_us: rounded(calls.p50.as_secs_f64() * 1e6),
    })
}

fn request() -> CallRequest {
    CallRequest {
        kind: CallKind::Start,
        operation: Operation::Start,
        action: ACTION.parse().expect("a name"),
        release: "bench-1".to_owned(),
        step: "step-1".to_owned(),
        attempt: 1,
        idempotency_key: "0123456789abcdef".to_owned(),
        deadline: None,
        dry_run: false,
        tape: Tape::Off,
        input: Arc::new(serde_json::json!({})),
        output: None,
        context: Vec::new(),
        access: Arc::new(Access::default()),
        host: Arc::new(Quiet),
    }
}
