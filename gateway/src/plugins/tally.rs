//! What the calls of one loaded version came to.

use crate::model::Time;
use crate::plugins::CallError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counts calls. A version that is loaded again begins at zero.
#[derive(Debug, Default)]
pub(super) struct Tally {
    calls: AtomicU64,
    failures: AtomicU64,
    /// Written by a call that failed, held for a move of a text.
    last: Mutex<Option<(Time, String)>>,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Calls that ended, well or not.
    pub calls: u64,
    /// Those that gave no answer.
    pub failures: u64,
    /// When the run of the last of these began, and why it failed.
    pub last: Option<(Time, String)>,
}

impl Tally {
    /// A call of a run that began at `now` has ended.
    pub(super) fn ended<T>(&self, answer: &Result<T, CallError>, now: Time) {
        self.calls.fetch_add(1, Relaxed);
        if let Err(error) = answer {
            self.failures.fetch_add(1, Relaxed);
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, error.to_string()));
        }
    }

    /// What was counted so far.
    pub(super) fn read(&self) -> Tallied {
        Tallied {
            calls: self.calls.load(Relaxed),
            failures: self.failures.load(Relaxed),
            last: self.last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
