//! What plugins keep: entries, how full each bucket is, and what of it is to be forgotten.

use super::keys;
use super::rows::{KvRow, KvUsageRow};
use super::view::View;
use crate::model::kv::{Bucket, KvEntry, KvKey, KvRun, KvUsage};
use crate::store::{KV_SWEEP, StoreError};
use billhook_event::Time;

/// The entry at a key, unless its time is over.
pub(super) fn read(view: &View<'_>, key: &KvKey, now: Time) -> Result<Option<KvEntry>, StoreError> {
    let row: Option<KvRow> = view.read("kv", &keys::kv(key))?;
    let entry = row.map(|row| KvEntry { value: row.value, version: row.version, until: row.until });
    Ok(entry.filter(|entry| entry.until.is_none_or(|until| now < until)))
}

/// Whether every entry is still what the run took it for.
pub(super) fn is_as_expected(view: &View<'_>, run: &KvRun, now: Time) -> Result<bool, StoreError> {
    for (key, expected) in &run.expects {
        if read(view, key, now)?.map(|entry| entry.version) != *expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes what a run's plugins keep, and counts it.
pub(super) fn write(view: &mut View<'_>, run: &KvRun) -> Result<(), StoreError> {
    for (key, entry) in &run.writes {
        forget(view, &keys::kv(key))?;
        let Some(KvEntry { value, version, until }) = entry else { continue };
        let row = KvRow {
            plugin: key.bucket.plugin.clone(),
            bucket: key.bucket.name.clone(),
            key: key.key.clone(),
            version: *version,
            until: *until,
            value: value.clone(),
        };
        let size = size(&row);
        view.write(keys::kv(key), &row)?;
        if let Some(until) = until {
            view.put(keys::kv_expiry(key, *until), &[]);
        }
        count(view, &key.bucket, |usage| {
            usage.keys += 1;
            usage.bytes += size;
        })?;
    }
    Ok(())
}

/// How full a bucket is, after some of what is over was forgotten.
pub(super) fn usage(view: &mut View<'_>, bucket: &Bucket, now: Time) -> Result<KvUsage, StoreError> {
    let from = keys::kv_expiring(bucket);
    let to = [&from[..], &now.millis().saturating_add(1).to_be_bytes()].concat();
    let over: Vec<Vec<u8>> = view
        .range(&from, &to)
        .take(KV_SWEEP)
        .map(|entry| keys::kv_expired(&entry?.0).ok_or_else(keys::too_short))
        .collect::<Result<_, _>>()?;
    for key in over {
        forget(view, &key)?;
    }
    let KvUsageRow { keys, bytes } = view.read("usage", &keys::kv_usage(bucket))?.unwrap_or_default();
    Ok(KvUsage { keys, bytes })
}

/// Removes the entry behind `key`, if there is one, with its expiry and its share of the bucket.
fn forget(view: &mut View<'_>, key: &[u8]) -> Result<(), StoreError> {
    let Some(row) = view.read::<KvRow>("kv", key)? else { return Ok(()) };
    view.remove_value(key.to_vec())?;
    let size = size(&row);
    let of = KvKey { bucket: Bucket { plugin: row.plugin, name: row.bucket }, key: row.key };
    if let Some(until) = row.until {
        view.remove(keys::kv_expiry(&of, until));
    }
    count(view, &of.bucket, |usage| {
        usage.keys = usage.keys.saturating_sub(1);
        usage.bytes = usage.bytes.saturating_sub(size);
    })
}

fn size(row: &KvRow) -> u64 {
    (row.key.len() + row.value.len()) as u64
}

fn count(
    view: &mut View<'_>,
    bucket: &Bucket,
    change: impl FnOnce(&mut KvUsageRow),
) -> Result<(), StoreError> {
    let key = keys::kv_usage(bucket);
    let mut row: KvUsageRow = view.read("usage", &key)?.unwrap_or_default();
    change(&mut row);
    view.write_short(key, &row);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use billhook_event::Time;

    fn key(bucket: &str, key: &str) -> KvKey {
        let bucket = Bucket { plugin: "p".into(), name: bucket.into() };
        KvKey { bucket, key: key.into() }
    }

    fn set(view: &mut View<'_>, key: &KvKey, bytes: usize, until: Option<u64>) {
        let value = vec![7; bytes].into();
        let entry = KvEntry { value, version: 1, until: until.map(Time::from_secs) };
        write(view, &KvRun { expects: Vec::new(), writes: vec![(key.clone(), Some(entry))] }).unwrap();
    }

    #[test]
    fn a_bucket_is_counted_and_what_is_over_leaves_nothing_behind() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let mut view = View::of(&db);
        let [a, b, other] = [key("seen", "a"), key("seen", "b"), key("other", "a")];
        set(&mut view, &a, 10, Some(5));
        set(&mut view, &b, 9_000, Some(9));
        set(&mut view, &other, 1, None);
        let now = Time::from_secs;
        assert_eq!(usage(&mut view, &a.bucket, now(4)).unwrap(), KvUsage { keys: 2, bytes: 9_012 });
        assert!(read(&view, &a, now(4)).unwrap().is_some());
        assert!(read(&view, &a, now(5)).unwrap().is_none());
        set(&mut view, &a, 20, Some(7));
        assert_eq!(usage(&mut view, &a.bucket, now(6)).unwrap(), KvUsage { keys: 2, bytes: 9_022 });
        assert_eq!(usage(&mut view, &a.bucket, now(7)).unwrap(), KvUsage { keys: 1, bytes: 9_001 });
        assert_eq!(usage(&mut view, &a.bucket, now(100)).unwrap(), KvUsage::default());
        assert_eq!(usage(&mut view, &other.bucket, now(100)).unwrap(), KvUsage { keys: 1, bytes: 2 });
        assert!(view.first(&[keys::prefix::PIECE]).unwrap().is_none());
        let prefix = keys::kv_expiring(&a.bucket);
        assert!(view.first(&prefix).unwrap().is_none());
    }
}
