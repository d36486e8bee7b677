//! How long the sandbox itself takes, for `windlass bench`; what a component costs, for `windlass plugin bench`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use windlass_model::failure::StepError;

use crate::call::{CallReport, CallRequest};
use crate::host::{Callback, Exchange, LogLine, StepHost};
use crate::load::{self, PrepareError};
use crate::plugin::Plugin;
use crate::sandbox::{Sandbox, SandboxError, SandboxOptions};

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
    Ok(percentiles(times))
}

/// Of at least one time.
fn percentiles(mut times: Vec<Duration>) -> Percentiles {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Percentiles { p50: at(50), p99: at(99), max: at(100) }
}

/// What a component costs. Where it is not said otherwise, times are the processor's, so that what else the machine does
/// is not in them; they are those of the whole process, so nothing else should go on in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Compiling it, once for each machine and component.
    pub compile: Duration,
    /// Making it ready from what was compiled, at each start of the host, with asking it for its manifest.
    pub load: Duration,
    /// The first call.
    pub first_call: Duration,
    /// Each call after that: a new instance, the call, and its drop.
    pub call: Duration,
    /// The same by the clock on the wall.
    pub call_wall: Percentiles,
    /// Most bytes of memory and tables of a call.
    pub memory_peak_bytes: u64,
}

/// Which call is measured.
pub enum Measured<'a> {
    /// `manifest`, which every component has and which reaches nothing.
    Manifest,
    /// Any other; each is made anew.
    Call(&'a mut (dyn FnMut() -> CallRequest + Send)),
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// There is no sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The component is not accepted.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A call failed.
    #[error("the call that was to be measured failed: {0}")]
    Call(StepError),
}

/// Measures a component with `calls` calls after the first. `cache` is an empty folder, private to this user, for compiled
/// code.
pub async fn cost(component: &[u8], calls: u32, cache: &Path, mut measured: Measured<'_>) -> Result<Cost, CostError> {
    let clock = cpu_time();
    // Compiles into the cache; the sandbox is another one afterwards, as after a start of the host.
    drop(ready(component, cache).await?);
    let compile = cpu_time() - clock;
    let clock = cpu_time();
    let (sandbox, plugin) = ready(component, cache).await?;
    let load = cpu_time() - clock;
    let mut memory_peak_bytes = 0;
    let mut times = Vec::new();
    let mut clocks = Vec::new();
    for _ in 0..=calls.max(1) {
        let (clock, wall) = (cpu_time(), Instant::now());
        let (result, usage) = match &mut measured {
            Measured::Manifest => {
                let (result, usage) = load::ask_manifest(&sandbox.inner, &plugin.pre, plugin.weight).await;
                (result.map(drop), usage)
            }
            Measured::Call(request) => {
                let report = sandbox.call(&plugin, request()).await;
                (report.result.map(drop), report.usage)
            }
        };
        result.map_err(CostError::Call)?;
        times.push(wall.elapsed());
        clocks.push(cpu_time() - clock);
        memory_peak_bytes = memory_peak_bytes.max(usage.memory_peak_bytes);
    }
    let first_call = clocks.remove(0);
    times.remove(0);
    let call = clocks.iter().sum::<Duration>() / calls.max(1);
    Ok(Cost { compile, load, first_call, call, call_wall: percentiles(times), memory_peak_bytes })
}

async fn ready(component: &[u8], cache: &Path) -> Result<(Sandbox, Arc<Plugin>), CostError> {
    let options = SandboxOptions { cache_dir: Some(cache.to_owned()), instances_max: 100, ..SandboxOptions::default() };
    let sandbox = Sandbox::new(options)?;
    let plugin = sandbox.prepare(component).await?;
    Ok((sandbox, plugin))
}

/// Processor time of this process with all its threads.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// A host that takes everything and remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl StepHost for Quiet {
    fn log(&self, _line: LogLine) {}
    fn status(&self, _text: String) {}
    fn percent(&self, _percent: u8) {}
    fn link(&self, _title: String, _url: String) {}
    fn checkpoint(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }
    fn record_checkpoint(&self, _name: String, _value: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn create_callback(&self) -> BoxFuture<'_, Result<Callback, String>> {
        Box::pin(std::future::ready(Err("there are no callbacks in a measurement".to_owned())))
    }
    fn has_callback(&self, _topic: &str) -> bool {
        false
    }
    fn trace(&self, _exchange: Exchange) {}
}
