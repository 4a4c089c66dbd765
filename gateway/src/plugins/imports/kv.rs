//! Buckets: what a plugin keeps between runs.

use super::State;
use crate::model::kv::{self as model, KvKey};
use crate::plugins::bindings::host::billhook::plugin::kv;
use crate::plugins::grants::Capability;
use crate::plugins::kv::{Kv, KvRefused};
use crate::store::StoreError;
use wasmtime::component::Resource;
use wasmtime::{Error, Result};

/// A bucket that was opened.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Bucket(model::Bucket);

/// The store does not answer: the call ends as one to be tried later.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot be asked what the plugin keeps: {0}")]
pub(crate) struct Unanswered(#[from] StoreError);

impl State {
    fn key(&mut self, bucket: &Resource<Bucket>, key: String) -> Result<KvKey> {
        self.count_call()?;
        Ok(KvKey { bucket: self.opened.get(bucket)?.0.clone(), key })
    }
}

/// What the guest is told of a refused write, or how the call ends.
fn told(written: Result<(), KvRefused>) -> Result<Result<(), kv::KvError>> {
    Ok(match written {
        Ok(()) => Ok(()),
        Err(KvRefused::Conflict) => Err(kv::KvError::Conflict),
        Err(KvRefused::Quota(bound)) => Err(kv::KvError::Quota(bound)),
        Err(KvRefused::ReadOnly) => {
            Err(kv::KvError::Other("a delivery is made: it can only be read".to_owned()))
        }
        Err(KvRefused::Store(error)) => return Err(Error::new(Unanswered(error))),
    })
}

impl kv::Host for State {
    fn open(&mut self, name: String) -> Result<Option<Resource<Bucket>>> {
        self.count_call()?;
        if matches!(self.kv, Kv::None) || !self.plugin.grants.has(Capability::Kv, &name) {
            return Ok(None);
        }
        let plugin = self.plugin.reference.name.clone();
        Ok(Some(self.opened.push(Bucket(model::Bucket { plugin, name }))?))
    }
}

impl kv::HostBucket for State {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<kv::Entry>> {
        let key = self.key(&bucket, key)?;
        let entry = self.kv.get(&key, self.now).await.map_err(|error| Error::new(Unanswered(error)))?;
        Ok(entry.map(|entry| kv::Entry { value: entry.value.to_vec(), version: entry.version }))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<Result<(), kv::KvError>> {
        let key = self.key(&bucket, key)?;
        told(self.kv.set(key, Some(value.into()), ttl_ms, self.now).await)
    }

    async fn compare_and_set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        expected: Option<u64>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<Result<(), kv::KvError>> {
        let key = self.key(&bucket, key)?;
        told(self.kv.compare_and_set(key, expected, value.into(), ttl_ms, self.now).await)
    }

    /// It has no way to say no: where one belongs, the call ends.
    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<()> {
        let key = self.key(&bucket, key)?;
        match told(self.kv.set(key, None, None, self.now).await)? {
            Ok(()) => Ok(()),
            Err(kv::KvError::Quota(bound)) => Err(Error::new(super::LimitReached(bound))),
            Err(error) => Err(Error::msg(format!("`kv` cannot delete: {error:?}"))),
        }
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> Result<()> {
        self.opened.delete(bucket)?;
        Ok(())
    }
}
