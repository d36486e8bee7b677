//! The wasmtime engine all components share, and the clock that interrupts them.
//!
//! **Invariant:** the clock stands still while nothing runs.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig, WasmBacktraceDetails,
};

/// How often a running guest looks up: it lets others run, and its processor time is compared with
/// its limit.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Frames that a trap's backtrace keeps; one that is full is deep.
pub(crate) const BACKTRACE_FRAMES_MAX: usize = 64;

/// How the memory of instances is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// From pools whose pages stay resident; the kernel tells which of them were written. The fastest.
    PooledResident,
    /// From pools.
    Pooled,
    /// Mapped for each instance.
    OnDemand,
}

/// Makes the engine, in the fastest way that this machine allows.
pub(crate) fn start(instances_max: u32, cache_dir: Option<&Path>) -> wasmtime::Result<(Engine, Allocation)> {
    let mut refused = None;
    for allocation in [Allocation::PooledResident, Allocation::Pooled, Allocation::OnDemand] {
        match Engine::new(&config(allocation, instances_max, cache_dir)?) {
            Ok(engine) => {
                if let Some(error) = refused {
                    tracing::info!(?allocation, %error, "this machine does not allow the fastest allocation of instances");
                }
                return Ok((engine, allocation));
            }
            Err(error) if allocation == Allocation::OnDemand => return Err(error),
            Err(error) => refused = Some(error),
        }
    }
    unreachable!("the last allocation returns")
}

fn config(allocation: Allocation, instances_max: u32, cache_dir: Option<&Path>) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    if let Some(cache_dir) = cache_dir {
        let mut cache = CacheConfig::new();
        cache.with_directory(cache_dir);
        config.cache(Some(Cache::new(cache)?));
    }
    match allocation {
        Allocation::PooledResident => {
            let mut pool = pool(instances_max);
            pool.linear_memory_keep_resident(2 * 1024 * 1024)
                .table_keep_resident(64 * 1024)
                .async_stack_keep_resident(64 * 1024)
                .pagemap_scan(Enabled::Yes);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        Allocation::Pooled => {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances_max)));
        }
        Allocation::OnDemand => {
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        }
    }
    Ok(config)
}

/// Core instances of one component: the modules that its compiler put together.
pub(crate) const INSTANCES_MAX: usize = 64;

/// Memories of one component; each takes what an instance of another component takes of the pool.
pub(crate) const MEMORIES_MAX: u32 = 16;

/// Tables in the pool per instance; [`crate::plugin::Plugin`] counts one with more as several.
pub(crate) const TABLES_PER_INSTANCE: u32 = 4;

fn pool(instances_max: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(INSTANCES_MAX as u32))
        .max_core_instances_per_component(INSTANCES_MAX as u32)
        .total_memories(instances_max)
        .total_tables(instances_max.saturating_mul(TABLES_PER_INSTANCE))
        .total_stacks(instances_max)
        .max_unused_warm_slots(256)
        .decommit_batch_size(16);
    pool
}

/// A thread that advances the engine's epoch every [`TICK`] while calls run.
pub(crate) struct Ticker {
    state: Arc<TickerState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct TickerState {
    running: AtomicUsize,
    parked: AtomicBool,
    ended: AtomicBool,
}

/// Ticks without a running call after which the thread parks: a pause between calls costs no wake-up.
const IDLE_TICKS_MAX: u32 = 20;

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let state = Arc::new(TickerState::default());
        let engine = engine.weak();
        let thread = std::thread::Builder::new().name("windlass-ticker".to_owned()).spawn({
            let state = Arc::clone(&state);
            move || tick(&engine, &state)
        })?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Keeps the clock going until what it gives is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.parked.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.state.running)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
        }
    }
}

/// A call that runs.
pub(crate) struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &EngineWeak, state: &TickerState) {
    let mut idle = 0;
    while !state.ended.load(Ordering::SeqCst) {
        if idle < IDLE_TICKS_MAX {
            std::thread::park_timeout(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            idle = if state.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        } else {
            state.parked.store(true, Ordering::SeqCst);
            // A call that began before it could see `parked` is seen here; one that began after unparks.
            if state.running.load(Ordering::SeqCst) == 0 && !state.ended.load(Ordering::SeqCst) {
                std::thread::park();
            }
            state.parked.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}
