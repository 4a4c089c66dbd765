//! Where a plugin is found by those who call it: the version that serves, and nothing of how it came there.

use crate::plugins::Plugin;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The place of one plugin. Clones are the same place.
///
/// Whoever does several things that belong together asks once, with [`Slot::now`], and keeps what they got: it goes on
/// to work after another version took its place.
#[derive(Clone)]
pub struct Slot(
    /// A lock, taken once a run and for a clone of an `Arc`; a swap is a write of one.
    Arc<RwLock<Plugin>>,
);

impl Slot {
    /// A place for `plugin`, which serves from the start.
    pub fn new(plugin: Plugin) -> Slot {
        Slot(Arc::new(RwLock::new(plugin)))
    }

    /// The version that serves now.
    pub fn now(&self) -> Plugin {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has another version serve from now on. Calls in flight end on the one they began with.
    pub(super) fn put(&self, plugin: Plugin) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = plugin;
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(self.now().reference()).finish()
    }
}
