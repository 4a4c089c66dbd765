//! What the plugins of one run keep: what they read from the store, and what they write, which waits here until the run
//! is committed. A call that fails leaves nothing of what it wrote.

use crate::model::Time;
use crate::model::id::WebhookId;
use crate::model::kv::{
    BUCKET_BYTES_MAX, BUCKET_KEYS_MAX, Bucket, KEY_BYTES_MAX, KvEntry, KvKey, KvRun, KvUsage,
    VALUE_BYTES_MAX, WRITE_BYTES_MAX, WRITES_MAX,
};
use crate::store::{Shared, StoreError};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest that an entry may live by its `ttl-ms`: ten years.
const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How a call may use what plugins keep.
#[derive(Clone, Default)]
pub enum Kv {
    /// Not at all: before anything is stored, and where there is no store.
    #[default]
    None,
    /// It may look: what it wrote would be committed by nobody. Without a store nothing is there.
    ReadOnly(Option<Shared>),
    /// What it writes is committed with its run.
    Staged(Arc<Staging>),
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kv::None => "None",
            Kv::ReadOnly(_) => "ReadOnly",
            Kv::Staged(_) => "Staged",
        })
    }
}

/// Why a write is refused.
#[derive(Debug)]
pub(super) enum KvRefused {
    /// The entry is not what the caller took it for.
    Conflict,
    /// A bound was reached; its name and value.
    Quota(String),
    /// It cannot be written here.
    ReadOnly,
    /// The store does not answer.
    Store(StoreError),
}

impl From<StoreError> for KvRefused {
    fn from(error: StoreError) -> KvRefused {
        KvRefused::Store(error)
    }
}

/// What the plugins of one run have written.
pub struct Staging {
    /// What was there before; without it, nothing was.
    store: Option<Shared>,
    /// Names the run: versions are made of it.
    run: [u8; 20],
    /// Calls of a run come one after another: nobody waits for it.
    stage: Mutex<Stage>,
}

/// Cheap to clone while it is empty.
#[derive(Clone, Default)]
pub(super) struct Stage {
    writes: BTreeMap<KvKey, Option<KvEntry>>,
    expects: BTreeMap<KvKey, Option<u64>>,
    /// The version that a plugin last saw of a key, which is what it compares with: had it changed since, the commit
    /// would tell. At most as many as a call makes of the host.
    seen: BTreeMap<KvKey, Option<u64>>,
    /// Bytes of keys and values that were written.
    bytes: usize,
    /// Versions that were given out.
    versions: u64,
    /// How full each bucket was when the run first wrote to it, and is with what it wrote.
    usage: BTreeMap<Bucket, KvUsage>,
}

impl Staging {
    /// Nothing yet, of a run over a webhook.
    pub fn new(store: Shared, webhook: WebhookId, run: u32) -> Staging {
        let mut name = [0; 20];
        name[..16].copy_from_slice(&webhook.0);
        name[16..].copy_from_slice(&run.to_be_bytes());
        Staging { store: Some(store), run: name, stage: Mutex::default() }
    }

    /// Of a trial, which begins with empty buckets and is committed by nobody.
    pub fn of_trial() -> Staging {
        Staging { store: None, run: [0; 20], stage: Mutex::default() }
    }

    /// What is to be committed.
    pub fn take(&self) -> KvRun {
        let Stage { writes, expects, .. } = std::mem::take(&mut *self.stage());
        KvRun { expects: expects.into_iter().collect(), writes: writes.into_iter().collect() }
    }

    /// Begins a call, which has seen nothing yet. Answers what it goes back to if it fails.
    pub(super) fn begin(&self) -> Stage {
        let mut stage = self.stage();
        stage.seen.clear();
        stage.clone()
    }

    /// Goes back.
    pub(super) fn reset(&self, to: Stage) {
        *self.stage() = to;
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // Whoever panicked there left a stage that is whole; its run panics with it.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn get(&self, key: &KvKey, now: Time) -> Result<Option<KvEntry>, StoreError> {
        if let Some(written) = self.stage().writes.get(key) {
            return Ok(written.clone());
        }
        kept(self.store.as_ref(), key, now).await
    }

    async fn write(
        &self,
        key: KvKey,
        value: Option<Bytes>,
        until: Option<Time>,
        now: Time,
    ) -> Result<(), KvRefused> {
        let before = self.get(&key, now).await?;
        let known = self.stage().usage.get(&key.bucket).copied();
        let usage = match (known, &self.store) {
            (Some(usage), _) => usage,
            (None, Some(store)) => store.kv_usage(&key.bucket, now).await?,
            (None, None) => KvUsage::default(),
        };
        let mut stage = self.stage();
        let size = |value: &Bytes| (key.key.len() + value.len()) as u64;
        let (was, is) = (before.as_ref().map(|entry| size(&entry.value)), value.as_ref().map(size));
        let after = KvUsage {
            keys: usage.keys.saturating_sub(u64::from(was.is_some())) + u64::from(is.is_some()),
            bytes: usage.bytes.saturating_sub(was.unwrap_or(0)) + is.unwrap_or(0),
        };
        let bytes = stage.bytes + is.unwrap_or(key.key.len() as u64) as usize;
        let of = |name: &str| format!("{name} of the bucket `{}`", key.bucket.name);
        let is_new = !stage.writes.contains_key(&key);
        let checks = [
            (is_new && stage.writes.len() >= WRITES_MAX, format!("{WRITES_MAX} keys written in one run")),
            (bytes > WRITE_BYTES_MAX, format!("{WRITE_BYTES_MAX} bytes written in one run")),
            (after.keys > usage.keys && after.keys > BUCKET_KEYS_MAX, of(&format!("{BUCKET_KEYS_MAX} keys"))),
            (
                after.bytes > usage.bytes && after.bytes > BUCKET_BYTES_MAX,
                of(&format!("{BUCKET_BYTES_MAX} bytes")),
            ),
        ];
        if let Some((_, bound)) = checks.into_iter().find(|(is_over, _)| *is_over) {
            return Err(KvRefused::Quota(bound));
        }
        stage.versions += 1;
        let version = self.version(&key, stage.versions);
        stage.bytes = bytes;
        stage.usage.insert(key.bucket.clone(), after);
        stage.writes.insert(key, value.map(|value| KvEntry { value, version, until }));
        Ok(())
    }

    /// The version of the run's `n`-th write: no other write has it, and a rerun gives the same.
    fn version(&self, key: &KvKey, n: u64) -> u64 {
        let mut hash = Sha256::new();
        for part in
            [&self.run[..], &n.to_be_bytes(), key.bucket.plugin.as_bytes(), key.bucket.name.as_bytes()]
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash = hash.chain_update(key.key.as_bytes()).finalize();
        let (first, _) = hash.split_first_chunk::<8>().expect("a SHA-256 has 32 bytes");
        u64::from_be_bytes(*first)
    }
}

impl Kv {
    /// The entry at `key`, as the run has it. Nothing is at a key that is too long to be written.
    pub(super) async fn get(&self, key: &KvKey, now: Time) -> Result<Option<KvEntry>, StoreError> {
        if key.key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        match self {
            Kv::None => Ok(None),
            Kv::ReadOnly(store) => kept(store.as_ref(), key, now).await,
            Kv::Staged(staging) => {
                let entry = staging.get(key, now).await?;
                let version = entry.as_ref().map(|entry| entry.version);
                staging.stage().seen.insert(key.clone(), version);
                Ok(entry)
            }
        }
    }

    /// Writes an entry; `None` removes it.
    pub(super) async fn set(
        &self,
        key: KvKey,
        value: Option<Bytes>,
        ttl_ms: Option<u64>,
        now: Time,
    ) -> Result<(), KvRefused> {
        let Kv::Staged(staging) = self else { return Err(KvRefused::ReadOnly) };
        check(&key, value.as_ref())?;
        let until = ttl_ms.map(|ttl| now.plus(Duration::from_millis(ttl).min(TTL_MAX)));
        staging.write(key, value, until, now).await
    }

    /// Writes an entry if it is still of the version `expected`; `None`: if there is none.
    pub(super) async fn compare_and_set(
        &self,
        key: KvKey,
        expected: Option<u64>,
        value: Bytes,
        ttl_ms: Option<u64>,
        now: Time,
    ) -> Result<(), KvRefused> {
        let Kv::Staged(staging) = self else { return Err(KvRefused::ReadOnly) };
        check(&key, Some(&value))?;
        let (is_own, seen) = {
            let stage = staging.stage();
            (stage.writes.contains_key(&key), stage.seen.get(&key).copied())
        };
        let version = match seen {
            Some(version) if !is_own => version,
            _ => staging.get(&key, now).await?.map(|entry| entry.version),
        };
        if version != expected {
            return Err(KvRefused::Conflict);
        }
        self.set(key.clone(), Some(value), ttl_ms, now).await?;
        if !is_own {
            staging.stage().expects.insert(key, expected);
        }
        Ok(())
    }
}

/// What a store has at a key.
async fn kept(store: Option<&Shared>, key: &KvKey, now: Time) -> Result<Option<KvEntry>, StoreError> {
    match store {
        Some(store) => store.kv(key, now).await,
        None => Ok(None),
    }
}

fn check(key: &KvKey, value: Option<&Bytes>) -> Result<(), KvRefused> {
    if key.key.len() > KEY_BYTES_MAX {
        return Err(KvRefused::Quota(format!("{KEY_BYTES_MAX} bytes of a key")));
    }
    match value {
        Some(value) if value.len() > VALUE_BYTES_MAX => {
            Err(KvRefused::Quota(format!("{VALUE_BYTES_MAX} bytes of a value")))
        }
        _ => Ok(()),
    }
}
