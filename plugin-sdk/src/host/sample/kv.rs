//! Buckets in memory: what a test granted on its thread.

use crate::kv::{Entry, KvError};
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static BUCKETS: RefCell<BTreeMap<String, BTreeMap<String, Entry>>> = const { RefCell::new(BTreeMap::new()) };
    static VERSIONS: RefCell<u64> = const { RefCell::new(0) };
}

/// A bucket of this thread.
pub(crate) struct BucketHost(String);

impl BucketHost {
    pub(crate) fn grant(name: &str) {
        BUCKETS.with_borrow_mut(|buckets| buckets.insert(name.to_owned(), BTreeMap::new()));
    }

    pub(crate) fn open(name: &str) -> Option<BucketHost> {
        BUCKETS.with_borrow(|buckets| buckets.contains_key(name)).then(|| BucketHost(name.to_owned()))
    }

    pub(crate) fn get(&self, key: &str) -> Option<Entry> {
        self.with(|entries| entries.get(key).cloned())
    }

    pub(crate) fn set(&self, key: &str, value: &[u8], _ttl_ms: Option<u64>) -> Result<(), KvError> {
        let version = VERSIONS.with_borrow_mut(|versions| {
            *versions += 1;
            *versions
        });
        self.with(|entries| entries.insert(key.to_owned(), Entry { value: value.to_vec(), version }));
        Ok(())
    }

    pub(crate) fn compare_and_set(
        &self,
        key: &str,
        expected: Option<u64>,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<(), KvError> {
        match self.get(key).map(|entry| entry.version) == expected {
            true => self.set(key, value, ttl_ms),
            false => Err(KvError::Conflict),
        }
    }

    pub(crate) fn delete(&self, key: &str) {
        self.with(|entries| entries.remove(key));
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut BTreeMap<String, Entry>) -> T) -> T {
        BUCKETS.with_borrow_mut(|buckets| use_it(buckets.entry(self.0.clone()).or_default()))
    }
}
