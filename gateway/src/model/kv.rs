//! What plugins keep between runs: entries in buckets, each bucket one plugin's own.

use billhook_event::Time;
use bytes::Bytes;

/// A bucket of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// The plugin, by its configured name: two plugins never share a bucket.
    pub plugin: String,
    /// The name that it was granted, as in `kv:NAME`.
    pub name: String,
}

/// A key in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KvKey {
    /// The bucket.
    pub bucket: Bucket,
    /// The key: at most [`KEY_BYTES_MAX`] bytes.
    pub key: String,
}

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    /// At most [`VALUE_BYTES_MAX`] bytes.
    pub value: Bytes,
    /// Names the write that made it: no two writes have the same, whatever became of the entry between them.
    pub version: u64,
    /// When it is gone; `None`: never.
    pub until: Option<Time>,
}

/// What a run does to what its plugins keep: part of what it commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvRun {
    /// Entries that must still be what the run took them for; `None`: absent. Where one is not, the commit is a
    /// conflict.
    pub expects: Vec<(KvKey, Option<u64>)>,
    /// What becomes of each key; `None`: it is removed. No key stands twice.
    pub writes: Vec<(KvKey, Option<KvEntry>)>,
}

impl KvRun {
    /// Whether there is nothing to check and nothing to write.
    pub fn is_empty(&self) -> bool {
        self.expects.is_empty() && self.writes.is_empty()
    }
}

/// How full a bucket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvUsage {
    /// Its keys.
    pub keys: u64,
    /// The bytes of its keys and values.
    pub bytes: u64,
}

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 32 << 10;
/// The most keys that one run may write.
pub const WRITES_MAX: usize = 100;
/// The most bytes of keys and values that one run may write: with the rest of the run they fit one commit.
pub const WRITE_BYTES_MAX: usize = 64 << 10;
/// The most keys of a bucket.
pub const BUCKET_KEYS_MAX: u64 = 100_000;
/// The most bytes of a bucket.
pub const BUCKET_BYTES_MAX: u64 = 64 << 20;
