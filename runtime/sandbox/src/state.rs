//! The data of a store: what wasmtime asks for while a guest runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capability::http::Hooks;
use crate::cassette::{PlayedClock, PlayedMonotonic, RecordedClock, RecordedMonotonic, Seeded};
use crate::engine::{INSTANCES_MAX, MEMORIES_MAX, TABLES_PER_INSTANCE};
use crate::host::LogSource;
use crate::shared::Shared;
use crate::stdio::CapturedOutput;
use crate::stop::Limit;

pub(crate) struct CallState {
    pub(crate) shared: Arc<Shared>,
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryUse,
    /// Callbacks made so far.
    pub(crate) callbacks: u32,
    /// Checkpoints finished so far.
    pub(crate) finished: BTreeMap<String, Vec<u8>>,
    /// Whether it was told that the guest asks for a role that its action does not declare; once is enough.
    pub(crate) role_told: bool,
    /// Made when it is first asked for: most calls never do.
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    hooks: Hooks,
}

/// What of the host's a guest can hold at once: requests, headers, bodies, streams, timers, checkpoints. With what one
/// of them may hold at most, it is what a guest can make the host remember beside its own memory.
pub(crate) const RESOURCES_MAX: usize = 1024;

/// Names and values of one set of headers that a guest makes.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Bytes of randomness at once.
const RANDOM_BYTES_MAX: u64 = 1024 * 1024;

impl CallState {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HEADER_BYTES_MAX);
        Self {
            table,
            memory: MemoryUse { shared: Arc::clone(&shared), used: 0, last: 0 },
            callbacks: 0,
            finished: BTreeMap::new(),
            role_told: false,
            wasi: None,
            http,
            hooks: Hooks::new(Arc::clone(&shared)),
            shared,
        }
    }
}

/// Nothing but clocks, randomness and captured output.
fn empty_wasi(shared: &Arc<Shared>) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(CapturedOutput::new(Arc::clone(shared), LogSource::Stdout))
        .stderr(CapturedOutput::new(Arc::clone(shared), LogSource::Stderr))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM_BYTES_MAX);
    if let Some(recorder) = shared.recorder() {
        let seed = recorder.seed();
        seeded(&mut builder, &seed)
            .wall_clock(RecordedClock(Arc::clone(recorder)))
            .monotonic_clock(RecordedMonotonic(Arc::clone(recorder), shared.started));
    }
    if let Some(player) = shared.player().filter(|it| it.plays_clocks()) {
        let recorded = player.recorded();
        // One that is no hex is as good a seed as any.
        let seed = hex::decode(&recorded.seed).unwrap_or_else(|_| recorded.seed.clone().into_bytes());
        seeded(&mut builder, &seed)
            .wall_clock(PlayedClock::new(&recorded.clocks.wall))
            .monotonic_clock(PlayedMonotonic::new(&recorded.clocks.monotonic));
    }
    if shared.is_describing() {
        builder
            .secure_random(Deterministic::new(vec![7, 11, 13]))
            .insecure_random(Deterministic::new(vec![7, 11, 13]))
            .insecure_random_seed(0)
            .wall_clock(StoppedClock)
            .monotonic_clock(StoppedClock);
    }
    builder.build()
}

/// With randomness that can be had again.
fn seeded<'a>(builder: &'a mut WasiCtxBuilder, seed: &[u8]) -> &'a mut WasiCtxBuilder {
    let insecure = seed.iter().fold(0_u128, |all, byte| all.wrapping_mul(257).wrapping_add(u128::from(*byte)));
    builder.secure_random(Seeded::of(seed, 1)).insecure_random(Seeded::of(seed, 2)).insecure_random_seed(insecure)
}

struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        // Go's runtime takes zero for a clock that is broken.
        1
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: self.wasi.get_or_insert_with(|| empty_wasi(&self.shared)), table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// Counts what memories and tables take together. Growing past the limit ends the call, so that it
/// cannot be taken for the panic into which a failed allocation turns.
pub(crate) struct MemoryUse {
    shared: Arc<Shared>,
    used: u64,
    last: u64,
}

/// What a table's element takes.
const ELEMENT_BYTES: usize = 8;

impl MemoryUse {
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, unit: usize) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|it| desired > it) {
            return Ok(false);
        }
        let growth = (desired.saturating_sub(current) as u64).saturating_mul(unit as u64);
        let used = self.used.saturating_add(growth);
        if used > Limit::Memory.of(&self.shared.limits) {
            return Err(self.shared.hit(Limit::Memory).into());
        }
        (self.used, self.last) = (used, growth);
        self.shared.memory_peak.fetch_max(used, Ordering::Relaxed);
        Ok(true)
    }
}

impl ResourceLimiter for MemoryUse {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, 1)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }

    fn tables(&self) -> usize {
        MEMORIES_MAX as usize * TABLES_PER_INSTANCE as usize
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.used -= std::mem::take(&mut self.last);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, ELEMENT_BYTES)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.used -= std::mem::take(&mut self.last);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Ref, RefType, Table, TableType};

    use crate::load::store_for_tests;
    use crate::stop::Stop;

    #[tokio::test]
    async fn tables_count_as_memory() {
        let mut store = store_for_tests();
        let table = Table::new_async(&mut store, TableType::new(RefType::FUNCREF, 0, None), Ref::Func(None));
        let table = table.await.expect("an empty table");
        table.grow_async(&mut store, 1000, Ref::Func(None)).await.expect("a small table");
        let error = table.grow_async(&mut store, 100_000_000, Ref::Func(None)).await.expect_err("a large table");
        let Some(Stop(error)) = error.downcast_ref::<Stop>() else { panic!("{error:?}") };
        assert_eq!(error.code, "memory-limit");
    }

    #[tokio::test]
    async fn what_a_table_cannot_hold_is_refused_to_the_guest_alone() {
        let mut store = store_for_tests();
        let table = Table::new_async(&mut store, TableType::new(RefType::FUNCREF, 0, Some(10)), Ref::Func(None));
        let table = table.await.expect("an empty table");
        let error = table.grow_async(&mut store, 11, Ref::Func(None)).await.expect_err("a maximum");
        assert!(error.downcast_ref::<Stop>().is_none(), "{error:?}");
    }
}
