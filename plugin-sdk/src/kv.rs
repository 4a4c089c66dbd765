//! What a plugin keeps between runs: buckets that it is granted (`kv:NAME`).
//!
//! What is written takes effect with the commit of the run, or not at all: a call that fails, and a run that is
//! repeated, leave nothing. A run that wrote by [`Bucket::compare_and_set`] is repeated when somebody else was faster.
//! A verifier has none, and where a delivery is made a bucket can only be read.

use crate::Failure;
use crate::host::BucketHost;
use std::fmt;
use std::time::Duration;

/// A bucket, which no other plugin shares.
pub struct Bucket(BucketHost);

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// At most 32 KiB.
    pub value: Vec<u8>,
    /// Names the write that made it.
    pub version: u64,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvError {
    /// The entry is not of the expected version.
    Conflict,
    /// A bound is reached: which.
    Quota(String),
    /// Something else, such as that it can only be read here.
    Other(String),
}

impl Bucket {
    /// The bucket that was granted under this name; none, if none was, or in a verifier.
    pub fn open(name: &str) -> Option<Bucket> {
        BucketHost::open(name).map(Bucket)
    }

    /// The entry at `key`, as this run has it.
    pub fn get(&self, key: &str) -> Option<Entry> {
        self.0.get(key)
    }

    /// Writes an entry, whatever was there; it is gone after `ttl`. A key has at most 512 bytes.
    pub fn set(&self, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), KvError> {
        self.0.set(key, value, ttl.map(millis))
    }

    /// Writes an entry if the one that is there has the version `expected`; `None`: if there is none.
    pub fn compare_and_set(
        &self,
        key: &str,
        expected: Option<u64>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(), KvError> {
        self.0.compare_and_set(key, expected, value, ttl.map(millis))
    }

    /// Removes an entry, if there is one. It ends the call where a bucket can only be read.
    pub fn delete(&self, key: &str) {
        self.0.delete(key);
    }
}

fn millis(span: Duration) -> u64 {
    span.as_millis().try_into().unwrap_or(u64::MAX)
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KvError::Conflict => f.write_str("the entry is of another version"),
            KvError::Quota(bound) => write!(f, "over its quota: {bound}"),
            KvError::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for KvError {}

/// A conflict is worth another try.
impl KvError {
    /// The failure that a call ends with for it.
    pub fn into_failure(self) -> Failure {
        match self {
            KvError::Conflict => Failure::unavailable(self.to_string()),
            KvError::Quota(_) | KvError::Other(_) => Failure::other(self.to_string()),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl Bucket {
    /// Grants this thread's plugins an empty bucket, for native tests. Entries live for ever there.
    pub fn grant(name: &str) {
        BucketHost::grant(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_granted_bucket_keeps_and_compares() {
        assert!(Bucket::open("seen").is_none());
        Bucket::grant("seen");
        let bucket = Bucket::open("seen").unwrap();
        assert_eq!(bucket.get("a"), None);
        assert_eq!(bucket.compare_and_set("a", Some(1), b"x", None), Err(KvError::Conflict));
        bucket.compare_and_set("a", None, b"1", None).unwrap();
        let first = Bucket::open("seen").unwrap().get("a").unwrap();
        assert_eq!(bucket.compare_and_set("a", None, b"2", None), Err(KvError::Conflict));
        bucket.compare_and_set("a", Some(first.version), b"2", Some(Duration::from_secs(1))).unwrap();
        let second = bucket.get("a").unwrap();
        assert_eq!((&second.value[..], second.version == first.version), (&b"2"[..], false));
        bucket.delete("a");
        bucket.set("a", b"3", None).unwrap();
        assert!(![first.version, second.version].contains(&bucket.get("a").unwrap().version));
        assert!(matches!(KvError::Conflict.into_failure(), Failure::Unavailable(_)));
    }
}
