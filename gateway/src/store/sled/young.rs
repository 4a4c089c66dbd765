//! Rows that most never need to be written: that a webhook waits for the pipeline, that a delivery is due, and the
//! delivery itself until its first attempt. All is said elsewhere too, in what is committed with them, and within the
//! second most of them are removed or replaced. So they are kept in memory while they are young.
//!
//! A *mark* in the tree says from when on rows may be missing there: whatever is about a webhook that arrived before
//! it is written. It follows what arrives at some distance, and opening the store brings back what is missing behind
//! it. An id that is older than the mark, as when the clock was set back, is written at once.
//!
//! A key is here or in the tree, never in both. The committer alone changes what is here, after the batch that it
//! belongs to: who looks here first and then into the tree misses nothing that moves from one to the other.

use super::delivering::undelivered;
use super::dispatching::lane;
use super::keys::{self, prefix};
use super::order;
use super::rows::{self, AboutRow, EventRow};
use super::view::{View, Write, Writes};
use crate::model::delivery::DeliveryState;
use crate::model::id::{DeliveryId, EndpointId, EventId, WebhookId};
use crate::model::webhook::WebhookState;
use crate::store::StoreError;
use billhook_event::Time;
use sled::IVec;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is older than the newest by so many milliseconds is written, and so is all that is older than half of that.
const YOUNG_MILLIS: u64 = 2_000;
/// With more rows than this the oldest are written, however young they are.
const ROWS_MAX: usize = 16 << 10;

/// The rows.
#[derive(Default)]
pub(super) struct Young(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    rows: BTreeMap<IVec, IVec>,
    /// Their keys in the order of age: when the webhook arrived, in milliseconds.
    ages: BTreeSet<(u64, IVec)>,
    /// As it stands in the tree: nothing that is older is here.
    mark: u64,
    /// The age of the newest there was.
    latest: u64,
}

/// What a batch takes over from here.
#[derive(Default)]
pub(super) struct Grown {
    /// The rows.
    pub(super) rows: Vec<(IVec, IVec)>,
    /// The mark, if it moves.
    pub(super) mark: Option<u64>,
}

/// Whether a row with this key may be young.
fn may_be(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(prefix::UNDISPATCHED | prefix::DUE | prefix::DELIVERY)))
}

/// When the webhook arrived that a row is about: the key ends in an id that begins with it.
fn age(key: &[u8]) -> u64 {
    let id = keys::last_id(key).unwrap_or_default();
    id[..6].iter().fold(0, |millis, byte| millis << 8 | u64::from(*byte))
}

impl Young {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each change leaves rows and ages in step, or the process ends with the committer.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row, if it is here.
    pub(super) fn get(&self, key: &[u8]) -> Option<IVec> {
        if may_be(key) { self.inner().rows.get(key).cloned() } else { None }
    }

    /// The rows from `from` up to and without `to`, as writes over the tree.
    pub(super) fn range(&self, from: &[u8], to: &[u8]) -> Writes {
        if !(may_be(from) || may_be(to)) || from >= to {
            return Writes::new();
        }
        let inner = self.inner();
        let rows = inner.rows.range::<[u8], _>((Included(from), Excluded(to)));
        rows.map(|(key, row)| (key.clone(), Write::Put(row.clone()))).collect()
    }

    /// Up to which age rows are to be written with the next batch; `None`: none are.
    pub(super) fn until(&self) -> Option<u64> {
        let inner = self.inner();
        if inner.rows.len() > ROWS_MAX {
            return Some(u64::MAX);
        }
        let is_behind = inner.latest.saturating_sub(YOUNG_MILLIS) > inner.mark;
        is_behind.then(|| inner.latest.saturating_sub(YOUNG_MILLIS / 2))
    }

    /// Whether a new row is kept here while those up to `until` are written.
    pub(super) fn takes(&self, key: &[u8], until: Option<u64>) -> bool {
        may_be(key) && age(key) > until.unwrap_or(0).max(self.inner().mark)
    }

    /// What is to be written with the next batch, the oldest first and about `bytes` of it, but for what is `gone`,
    /// in order, after it. It stays here until it is [`Young::settle`]d.
    pub(super) fn grown(&self, until: Option<u64>, bytes: usize, gone: &[IVec]) -> Grown {
        let Some(until) = until else { return Grown::default() };
        let inner = self.inner();
        let (mut grown, mut size, mut last) = (Grown::default(), 0, inner.mark);
        for (age, key) in inner.ages.iter().take_while(|(age, _)| *age <= until) {
            if size >= bytes {
                grown.mark = Some(last);
                return grown;
            }
            last = *age;
            if gone.binary_search(key).is_err()
                && let Some(row) = inner.rows.get(key)
            {
                size += key.len() + row.len();
                grown.rows.push((key.clone(), row.clone()));
            }
        }
        grown.mark = Some(if until == u64::MAX { last } else { until });
        grown
    }

    /// The batch is applied: `kept` is here from now on, `gone` and what has grown is not.
    pub(super) fn settle(&self, kept: Vec<(IVec, IVec)>, gone: &[IVec], grown: Grown) {
        let mut inner = self.inner();
        grown.rows.iter().map(|(key, _)| key).chain(gone).for_each(|key| inner.remove(key));
        inner.mark = grown.mark.unwrap_or(inner.mark);
        kept.into_iter().for_each(|(key, row)| inner.insert(key, row));
    }

    /// What is missing in the tree, after a start.
    pub(super) fn recover(db: &sled::Db) -> Result<Young, StoreError> {
        let view = View::of(db);
        let mark = view.get(keys::YOUNG)?.and_then(|row| row.as_ref().try_into().ok());
        let mark = mark.map_or(0, u64::from_be_bytes);
        let mut missing = undispatched(&view, mark)?;
        missing.extend(deliveries(&view, mark)?);
        let mut all = Writes::new();
        missing.iter().for_each(|(key, row)| {
            all.insert(key.as_slice().into(), Write::Put(row.as_slice().into()));
        });
        let view = View::over(db, None, &all);
        missing.extend(due(&view, mark)?);
        let mut inner = Inner { mark, latest: mark, ..Inner::default() };
        missing.into_iter().for_each(|(key, row)| inner.insert(key.into(), row.into()));
        Ok(Young(Mutex::new(inner)))
    }
}

impl Inner {
    fn insert(&mut self, key: IVec, row: IVec) {
        let age = age(&key);
        self.latest = self.latest.max(age);
        self.ages.insert((age, key.clone()));
        self.rows.insert(key, row);
    }

    fn remove(&mut self, key: &IVec) {
        if self.rows.remove(key).is_some() {
            self.ages.remove(&(age(key), key.clone()));
        }
    }

    #[cfg(test)]
    fn is_in_step(&self) -> bool {
        self.ages.iter().map(|(_, key)| key).collect::<BTreeSet<_>>() == self.rows.keys().collect()
    }
}

/// A key and its row.
type Missing = Vec<(Vec<u8>, Vec<u8>)>;

/// The ids after a prefix byte, from the mark on, each once.
fn ids(view: &View<'_>, prefix: u8, mark: u64) -> Result<Vec<[u8; 16]>, StoreError> {
    let from = [&[prefix][..], &keys::least_id(Time::from_millis(mark))].concat();
    let mut ids = Vec::new();
    for entry in view.range(&from, &keys::end_of(&[prefix])) {
        let (key, _) = entry?;
        let id = key.get(1..17).and_then(|id| id.try_into().ok()).ok_or_else(keys::too_short)?;
        if ids.last() != Some(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Which webhooks wait for the pipeline.
fn undispatched(view: &View<'_>, mark: u64) -> Result<Missing, StoreError> {
    let mut missing = Missing::new();
    for id in ids(view, prefix::WEBHOOK, mark)?.into_iter().map(WebhookId) {
        if let Some(WebhookState::Undispatched { due, .. }) = view.state(id)?.map(|row| row.state) {
            missing.push((keys::undispatched(due, id), Vec::new()));
        }
    }
    only_missing(view, missing)
}

/// Which deliveries nobody has tried yet: an event says to whom it is owed, the run that gave it since when.
fn deliveries(view: &View<'_>, mark: u64) -> Result<Missing, StoreError> {
    let mut missing = Missing::new();
    for event in ids(view, prefix::EVENT, mark)?.into_iter().map(EventId) {
        let Some(row) = view.event_row(event)? else { continue };
        let Some(run) = view.state(row.webhook)?.and_then(|state| state.newest) else { continue };
        for endpoint in &row.endpoints {
            let id = DeliveryId::derive(event, *endpoint, 0);
            let key = keys::delivery(id);
            if !view.has(&key)? {
                let about = about(view, &row, *endpoint, id)?;
                let delivery = undelivered(event, *endpoint, lane(&row.kind), about, run.0.now);
                missing.push((key, rows::encode(&delivery)));
            }
        }
    }
    Ok(missing)
}

/// What a delivery is about, and its place where its endpoint takes events in order.
fn about(
    view: &View<'_>,
    event: &EventRow,
    endpoint: EndpointId,
    id: DeliveryId,
) -> Result<Option<AboutRow>, StoreError> {
    let Some(entity) = &event.entity else { return Ok(None) };
    let entity = keys::entity_hash(&event.source, entity);
    let topic = keys::topic(&entity, &event.kind);
    let place = order::place(view, endpoint, entity, id)?;
    Ok(Some(AboutRow { topic, occurred_at: event.occurred_at, place }))
}

/// Which deliveries wait, but for those behind others in the line of their entity.
fn due(view: &View<'_>, mark: u64) -> Result<Missing, StoreError> {
    let mut missing = Missing::new();
    for id in ids(view, prefix::DELIVERY, mark)?.into_iter().map(DeliveryId) {
        if let Some(row) = view.delivery_row(id)?
            && let DeliveryState::Waiting { due } = row.delivery.state
            && order::is_first(view, &row)?
        {
            missing.push((keys::due(row.delivery.endpoint, row.lane, due, id), Vec::new()));
        }
    }
    only_missing(view, missing)
}

fn only_missing(view: &View<'_>, rows: Missing) -> Result<Missing, StoreError> {
    let mut missing = Missing::new();
    for (key, row) in rows {
        if !view.has(&key)? {
            missing.push((key, row));
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::syncer::Disk;
    use std::fs::File;
    use std::sync::Arc;

    struct Rig {
        db: sled::Db,
        young: Arc<Young>,
        disk: Disk,
    }

    impl Rig {
        fn new() -> Rig {
            let (db, young) = (sled::Config::new().temporary(true).open().unwrap(), Arc::<Young>::default());
            let disk = Disk::new(db.clone(), young.clone(), File::open("/dev/null").unwrap());
            Rig { db, young, disk }
        }

        fn apply(&self, writes: impl IntoIterator<Item = (Vec<u8>, Write)>) {
            self.disk.apply(writes.into_iter().map(|(key, write)| (key.into(), write)).collect());
            assert!(self.young.inner().is_in_step());
        }

        fn put(&self, millis: impl IntoIterator<Item = u64>) {
            self.apply(millis.into_iter().map(|at| (key(at), Write::Young(IVec::default()))));
        }

        /// Whether the tree has it, and whether it is to be seen.
        fn has(&self, millis: u64) -> (bool, bool) {
            let view = View::with(&self.db, &self.young);
            let listed = view.range(&[prefix::UNDISPATCHED], &keys::end_of(&[prefix::UNDISPATCHED]));
            let listed = listed.filter(|entry| entry.as_ref().unwrap().0 == key(millis)).count();
            assert_eq!(listed, usize::from(view.has(&key(millis)).unwrap()), "{millis}");
            (self.db.contains_key(key(millis)).unwrap(), listed == 1)
        }

        fn mark(&self) -> u64 {
            let mark = self.db.get(keys::YOUNG).unwrap();
            mark.map_or(0, |row| u64::from_be_bytes(row.as_ref().try_into().unwrap()))
        }
    }

    fn key(millis: u64) -> Vec<u8> {
        let at = Time::from_millis(millis);
        keys::undispatched(at, WebhookId::new(at, 7))
    }

    #[test]
    fn what_is_removed_while_it_is_young_is_never_written() {
        let rig = Rig::new();
        rig.put([10_000]);
        assert_eq!(rig.has(10_000), (false, true));
        rig.apply([(key(10_000), Write::Remove)]);
        assert_eq!(rig.has(10_000), (false, false));
        rig.put([20_000]);
        assert!(rig.db.len() <= 1, "nothing but the mark");
    }

    #[test]
    fn what_grows_older_is_written_and_removed_there() {
        let rig = Rig::new();
        rig.put([10_000, 11_500]);
        rig.put([12_300]);
        rig.put([]);
        assert_eq!(
            [10_000, 11_500, 12_300].map(|at| rig.has(at)),
            [(true, true), (false, true), (false, true)]
        );
        assert_eq!(rig.mark(), 10_500);
        rig.apply([(key(10_000), Write::Remove)]);
        assert_eq!(rig.has(10_000), (false, false));
    }

    #[test]
    fn what_is_older_than_the_mark_is_written_at_once() {
        let rig = Rig::new();
        rig.put([10_000]);
        rig.put([20_000]);
        rig.put([9_000, 19_000, 19_001]);
        assert_eq!(
            [9_000, 19_000, 19_001].map(|at| rig.has(at)),
            [(true, true), (true, true), (false, true)]
        );
        rig.apply([(key(9_000), Write::Remove), (key(19_001), Write::Put(IVec::default()))]);
        assert_eq!([9_000, 19_001].map(|at| rig.has(at)), [(false, false), (true, true)]);
    }

    #[test]
    fn what_a_batch_removes_does_not_grow_up_in_it() {
        let rig = Rig::new();
        rig.put([10_000, 20_000]);
        rig.apply([(key(10_000), Write::Remove)]);
        assert_eq!((rig.has(10_000), rig.mark()), ((false, false), 19_000));
    }

    #[test]
    fn memory_is_bounded_and_so_is_what_a_batch_takes() {
        let rig = Rig::new();
        let before = 2 * ROWS_MAX;
        rig.apply((0..before as u64).map(|n| {
            let at = Time::from_millis(10_000 + n / 20);
            (keys::undispatched(at, WebhookId::new(at, n.into())), Write::Young(IVec::default()))
        }));
        rig.put([]);
        let written = rig.db.len() as u64 - 1;
        assert!(written * 25 >= 256 << 10 && written * 25 < (256 << 10) + 100, "{written}");
        // Nothing is missing behind the mark, and nothing is twice.
        let inner = rig.young.inner();
        assert_eq!(inner.rows.len() as u64 + written, before as u64);
        assert!(inner.ages.first().unwrap().0 >= inner.mark && inner.mark == rig.mark());
    }
}
