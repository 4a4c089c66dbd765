//! Looks after the committer once a second: ends the process when it is stuck, and measures what is free on the disk.

use super::committer::EXIT_CODE;
use crate::store::{Health, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing::{error, warn};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After this many looks without progress, while there is work, the process is aborted.
const LOOKS_STUCK_MAX: u32 = 30;
/// After this many the store says so.
const LOOKS_STUCK_TOLD: u32 = 10;

/// What the store's threads tell each other.
#[derive(Debug)]
pub(super) struct Vitals {
    path: PathBuf,
    floor: u64,
    free: AtomicU64,
    pending: AtomicUsize,
    beats: AtomicU64,
    closed: AtomicBool,
    stuck: AtomicBool,
}

impl Vitals {
    /// Of a store in `path` that takes nothing in below `floor` free bytes.
    pub(super) fn new(path: PathBuf, floor: u64) -> Vitals {
        let free = AtomicU64::new(free_bytes(&path).unwrap_or(u64::MAX));
        let (pending, beats, closed, stuck) = Default::default();
        Vitals { path, floor, free, pending, beats, closed, stuck }
    }

    /// A verb is on its way to the committer, unless `bound` are.
    pub(super) fn begin(&self, bound: usize) -> bool {
        let begins = self.pending.fetch_add(1, Relaxed) < bound;
        if !begins {
            self.end();
        }
        begins
    }

    /// A verb is answered.
    pub(super) fn end(&self) {
        self.pending.fetch_sub(1, Relaxed);
    }

    /// The committer has come further.
    pub(super) fn progress(&self) {
        self.beats.fetch_add(1, Relaxed);
    }

    /// The store is closing.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// Whether it is closing or closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Refuses intake while less than the floor is free.
    pub(super) fn room(&self) -> Result<(), StoreError> {
        let (free, floor) = (self.free.load(Relaxed), self.floor);
        if free < floor { Err(StoreError::Full { free, floor }) } else { Ok(()) }
    }

    /// How the store is.
    pub(super) fn health(&self) -> Health {
        match self.room() {
            _ if self.is_closed() => Health::Failed("it was closed".into()),
            _ if self.stuck.load(Relaxed) => Health::Stuck,
            Ok(()) => Health::Well,
            Err(_) => Health::Full,
        }
    }

    /// Measures what is free. A disk that cannot be asked counts as it last was.
    fn measure(&self) {
        let Some(free) = free_bytes(&self.path) else { return };
        let before = self.free.swap(free, Relaxed);
        if (before < self.floor) != (free < self.floor) {
            warn!(
                free,
                floor = self.floor,
                "free space crossed `store.min_free`: webhooks are refused below it"
            );
        }
    }
}

/// Bytes that are free for us where `path` is.
fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The thread that looks. Dropping it ends it.
pub(super) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts looking.
    pub(super) fn start(vitals: Arc<Vitals>) -> std::io::Result<Watchdog> {
        let (stop, stopped) = channel();
        let look = move || {
            let mut stuck = Stuck::default();
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                vitals.measure();
                let is_stuck = stuck.look(vitals.pending.load(Relaxed), vitals.beats.load(Relaxed));
                vitals.stuck.store(stuck.looks >= LOOKS_STUCK_TOLD, Relaxed);
                if is_stuck {
                    error!(code = EXIT_CODE, "the store's committer has made no progress for 30 s: aborting");
                    std::process::abort();
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-watchdog".into()).spawn(look)?;
        Ok(Watchdog { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It only reads and logs; a panic of it has been printed.
            let _ = thread.join();
        }
    }
}

/// Counts the looks without progress.
#[derive(Debug, Default)]
struct Stuck {
    beats: u64,
    looks: u32,
}

impl Stuck {
    /// Whether the committer is stuck: it has work and its beats have stood still for too long.
    fn look(&mut self, pending: usize, beats: u64) -> bool {
        let still = pending > 0 && beats == self.beats;
        self.beats = beats;
        self.looks = if still { self.looks + 1 } else { 0 };
        self.looks >= LOOKS_STUCK_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_committer_is_stuck_after_thirty_looks_with_work_and_no_progress() {
        let mut stuck = Stuck::default();
        assert!((0..100).all(|_| !stuck.look(0, 5)), "idle");
        assert!((6..100).all(|beats| !stuck.look(3, beats)), "at work");
        assert!((0..29).all(|_| !stuck.look(3, 99)));
        assert!(stuck.look(3, 99));
    }

    #[test]
    fn below_the_floor_intake_is_refused_until_space_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let vitals = Vitals::new(dir.path().into(), u64::MAX);
        assert!(matches!(vitals.room(), Err(StoreError::Full { floor: u64::MAX, .. })));
        assert_eq!(vitals.health(), Health::Full);
        let vitals = Vitals::new(dir.path().into(), 1);
        vitals.stuck.store(true, Relaxed);
        assert_eq!(vitals.health(), Health::Stuck);
        vitals.stuck.store(false, Relaxed);
        vitals.free.store(0, Relaxed);
        assert_eq!(vitals.health(), Health::Full);
        vitals.measure();
        assert_eq!(vitals.health(), Health::Well);
    }
}
