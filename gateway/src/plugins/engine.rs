//! The engine: what may be compiled and run, the pool of instances, and the thread that interrupts those who run long.

use crate::plugins::{Compiler, LoadError, Options};
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;
use tokio::sync::Semaphore;
use tracing::warn;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

/// How often running plugins are interrupted to yield and to have their time counted.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// The stack of a plugin's machine code. Deeper recursion traps.
pub(super) const STACK_BYTES: usize = 512 << 10;
/// Elements of all tables of an instance: functions that can be called by pointer, mostly.
pub(super) const TABLE_ELEMENTS_MAX: usize = 100_000;

/// What stays in memory of a pooled memory or table between two calls.
const KEEP_RESIDENT: usize = 1 << 20;
/// Released slots that are given back to the system together where nothing can be kept resident.
const DECOMMIT_BATCH: usize = 32;
/// No memory can grow beyond this, whatever the limits of a plugin say.
pub(super) const MEMORY_BYTES_MAX: usize = 1 << 30;
/// Tables of the pool for each instance: a component that a compiler made has one, and one for its imports.
pub(super) const TABLES_PER_INSTANCE: u32 = 2;

/// Core modules, memories and tables that one component may consist of.
const CORE_INSTANCES_MAX: u32 = 32;
const MEMORIES_MAX: u32 = 4;
const TABLES_MAX: u32 = 8;

/// The engine with what belongs to it.
pub(super) struct Host {
    pub(super) engine: Engine,
    /// One permit for each place of the pool, which would fail rather than wait. A place is a memory, a stack and
    /// [`TABLES_PER_INSTANCE`] tables; a call of a component that has more takes several.
    pub(super) permits: Semaphore,
    /// Places that calls of one plugin may hold together: however slow it is, there are places for the others. More than
    /// runs of one source at once, so that a plugin of one place does not wait for itself there.
    pub(super) share: usize,
    pub(super) options: Options,
    /// Whether it counts the instructions that run, which takes a third of their speed.
    pub(super) counts: bool,
}

impl Host {
    pub(super) fn start(options: Options, counts: bool) -> Result<Host, LoadError> {
        let instances = u32::try_from(options.instances).ok().filter(|n| (1..=1_000).contains(n));
        let instances = instances
            .ok_or_else(|| LoadError::Engine(format!("{} instances are not 1 to 1000", options.instances)))?;
        if let Compiler::Child(_) = options.compiler
            && options.cache_dir.is_none()
        {
            return Err(LoadError::Engine("compiling in a child needs a cache directory".to_owned()));
        }
        let mut config = config();
        config.consume_fuel(counts);
        let mut pooled = config.clone();
        pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
        let engine = Engine::new(&pooled)
            .or_else(|error| {
                // The pool reserves terabytes of address space, which containers and `ulimit -v` may refuse.
                warn!(error = format!("{error:#}"), "no pool of plugin instances; each call will be slower");
                Engine::new(&config)
            })
            .map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        start_ticker(engine.weak())?;
        let (permits, share) = (Semaphore::new(options.instances), (options.instances * 3 / 4).max(1));
        Ok(Host { engine, permits, share, options, counts })
    }
}

/// An engine that compiles like the one of [`Host`], without pool or ticker.
pub(super) fn for_compiling() -> Result<Engine, LoadError> {
    Engine::new(&config()).map_err(|error| LoadError::Engine(format!("{error:#}")))
}

/// Everything that machine code depends on. Proposals that plugins have no use for are off; `multi_memory` must stay
/// on, or the compiler of 48.0 panics at composed components.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .wasm_gc(false)
        .wasm_exceptions(false)
        .wasm_function_references(false)
        .gc_support(false)
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(STACK_BYTES + (1 << 20))
        .wasm_backtrace_max_frames(NonZeroUsize::new(64))
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .native_unwind_info(false);
    config
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_memories(instances)
        .total_stacks(instances)
        .total_tables(TABLES_PER_INSTANCE * instances)
        // Only counted: they take nothing of the pool.
        .total_core_instances(CORE_INSTANCES_MAX * instances)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_tables_per_module(MEMORIES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        .max_memory_size(MEMORY_BYTES_MAX)
        .max_unused_warm_slots(instances);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        // Pages that a call wrote are reset in place: giving them back to the system costs every other running thread
        // an interrupt.
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(KEEP_RESIDENT);
    } else {
        // Without the scan, what is resident is cleared whole at every call.
        pool.linear_memory_keep_resident(0).decommit_batch_size(DECOMMIT_BATCH);
    }
    pool
}

/// Moves the engine's epoch until the engine is gone.
fn start_ticker(engine: EngineWeak) -> Result<(), LoadError> {
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    // Not joined: it holds nothing and ends by itself within a tick.
    let spawned = thread::Builder::new().name("plugin-ticker".to_owned()).stack_size(64 << 10).spawn(tick);
    spawned.map(drop).map_err(|error| LoadError::Engine(format!("cannot start its ticker: {error}")))
}
