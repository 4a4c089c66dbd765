//! What each stage of the line costs, one at a time: plugin calls, commits, signatures, JSON.
//!
//! Run by hand: `cargo bench -p gateway --bench stages [NAME]`. docs/benchmarks.md says how to read it.

mod call;
mod json;
mod load;
mod signature;
mod store;
mod typical;

use billhook_event::Time;
use gateway::plugins::{Call, Kv};
use std::sync::LazyLock;
use tokio::runtime::Runtime;

/// Where commits are awaited, and where the wall time of plugin calls is watched.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// When everything happens.
const NOW: Time = Time::from_secs(1_786_363_200);
const CALL: Call = Call { now: NOW, seed: [7; 16], kv: Kv::None, lines: None };

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    for name in typical::unmeasured() {
        eprintln!("{name} is not measured: give it a body in typical.rs");
    }
    divan::main();
}
