//! How long a call was on the processor.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The processor time of a call, in nanoseconds of whatever thread polls it: from the first tick on that finds it
/// running, or from its second poll on.
pub(super) struct Cpu {
    /// In polls that are over.
    before: AtomicU64,
    /// The thread's clock when this poll began; [`Cpu::NOT_READ`] where nobody looked.
    begun: AtomicU64,
}

impl Cpu {
    /// The last time there is, so that nothing has been spent since.
    const NOT_READ: u64 = u64::MAX;

    pub(super) fn new() -> Cpu {
        Cpu { before: AtomicU64::new(0), begun: AtomicU64::new(Cpu::NOT_READ) }
    }

    pub(super) fn begin(&self) {
        self.begun.store(thread_clock(), Relaxed);
    }

    pub(super) fn tick(&self) {
        if self.begun.load(Relaxed) == Cpu::NOT_READ {
            self.begin();
        }
    }

    pub(super) fn end(&self) {
        let spent = self.spent();
        self.before.store(spent.as_nanos() as u64, Relaxed);
        self.begun.store(Cpu::NOT_READ, Relaxed);
    }

    /// Asked within a poll, or once the call is over.
    pub(super) fn spent(&self) -> Duration {
        let begun = self.begun.load(Relaxed);
        let since = if begun == Cpu::NOT_READ { 0 } else { thread_clock().saturating_sub(begun) };
        Duration::from_nanos(self.before.load(Relaxed) + since)
    }
}

fn thread_clock() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
