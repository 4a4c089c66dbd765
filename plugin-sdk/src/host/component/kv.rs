//! Buckets in a component: the gateway's own, by handle.

use crate::bindings::imports::kv as wit;
use crate::kv::{Entry, KvError};

/// The gateway's bucket.
pub(crate) struct BucketHost(wit::Bucket);

impl From<wit::KvError> for KvError {
    fn from(error: wit::KvError) -> KvError {
        match error {
            wit::KvError::Conflict => KvError::Conflict,
            wit::KvError::Quota(bound) => KvError::Quota(bound),
            wit::KvError::Other(why) => KvError::Other(why),
        }
    }
}

impl BucketHost {
    pub(crate) fn open(name: &str) -> Option<BucketHost> {
        wit::open(name).map(BucketHost)
    }

    pub(crate) fn get(&self, key: &str) -> Option<Entry> {
        self.0.get(key).map(|wit::Entry { value, version }| Entry { value, version })
    }

    pub(crate) fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        Ok(self.0.set(key, value, ttl_ms)?)
    }

    pub(crate) fn compare_and_set(
        &self,
        key: &str,
        expected: Option<u64>,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<(), KvError> {
        Ok(self.0.compare_and_set(key, expected, value, ttl_ms)?)
    }

    pub(crate) fn delete(&self, key: &str) {
        self.0.delete(key);
    }
}
