//! Who works on what, in memory: a process that dies holds nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Leases on things named `K`. `M` tells one lease of a thing from a later one, once the thing has moved on.
#[derive(Debug)]
pub(super) struct Leases<K, M> {
    /// Locked for one look or change each time, never while the store is read.
    held: Mutex<HashMap<K, Option<M>>>,
}

impl<K: Copy + Eq + Hash, M: PartialEq> Leases<K, M> {
    pub(super) fn new() -> Leases<K, M> {
        Leases { held: Mutex::new(HashMap::new()) }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<K, Option<M>>> {
        // Each change is one call on the map, so a panic elsewhere leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a lease if nobody has it. Read what it is for after this: nobody else moves it from now on.
    pub(super) fn take(&self, key: K) -> bool {
        let mut held = self.held();
        let free = !held.contains_key(&key);
        if free {
            held.insert(key, None);
        }
        free
    }

    /// Notes which lease it is.
    pub(super) fn mark(&self, key: K, mark: M) {
        self.held().insert(key, Some(mark));
    }

    /// Whether somebody has it.
    pub(super) fn is_held(&self, key: &K) -> bool {
        self.held().contains_key(key)
    }

    /// Gives a lease back.
    pub(super) fn free(&self, key: &K) {
        self.held().remove(key);
    }

    /// Gives a lease back if it is still this one and not a later one of somebody else.
    pub(super) fn free_if(&self, key: &K, mark: &M) {
        let mut held = self.held();
        if held.get(key).is_some_and(|held| held.as_ref() == Some(mark)) {
            held.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_does_not_free_somebody_elses_lease() {
        let leases = Leases::new();
        assert!(leases.take(1) && !leases.take(1));
        leases.mark(1, "second run");
        leases.free_if(&1, &"first run");
        assert!(leases.is_held(&1));
        leases.free_if(&1, &"second run");
        assert!(!leases.is_held(&1));
    }
}
