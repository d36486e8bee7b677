//! How long the sandbox itself takes, for `windlass bench`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::{CallReport, CallRequest};
use crate::plugin::Plugin;
use crate::sandbox::Sandbox;

/// How long calls took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// Half were faster.
    pub p50: Duration,
    /// 99 of 100 were faster.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

/// Makes `calls` calls, one after another, each in an instance of its own: instantiate, call, drop.
/// Answers with the first report that is a failure.
pub async fn instantiate_call_drop(
    sandbox: &Sandbox,
    plugin: &Arc<Plugin>,
    calls: usize,
    mut request: impl FnMut() -> CallRequest,
) -> Result<Percentiles, Box<CallReport>> {
    let mut times = Vec::with_capacity(calls.max(1));
    for _ in 0..calls.max(1) {
        let request = request();
        let start = Instant::now();
        let report = sandbox.call(plugin, request).await;
        times.push(start.elapsed());
        if report.result.is_err() {
            return Err(Box::new(report));
        }
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok(Percentiles { p50: at(50), p99: at(99), max: at(100) })
}
