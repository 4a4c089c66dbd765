//! The rows of commits that are not in the tree yet: the journal makes them durable, `settler` brings them there.
//!
//! They are in two layers: the open one, which commits write, and one that is closed and on its way into the tree. A
//! layer is closed when it is large enough and the one before it has settled. What a commit makes and a later one
//! removes in the same layer, as most of what waits is, never reaches the tree at all.

use super::keys::{self, Part, prefix};
use super::places::{self, Count, Places};
use super::view::{View, Write, Writes};
use crate::store::StoreError;
use billhook_event::Time;
use sled::IVec;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A layer of so many bytes is closed once the one before it has settled. Builds with debug assertions close small ones,
/// so that every test meets what happens then.
pub(super) const LAYER_BYTES: usize = if cfg!(debug_assertions) { 32 << 10 } else { 8 << 20 };
/// Commits wait while the open layer has more bytes than this.
pub(super) const LAYER_BYTES_MAX: usize = 2 * LAYER_BYTES;
/// The closed layer goes into the tree in so many steps while the open one grows.
const STEPS: usize = 32;
/// Places of so many rows are noted at once, while nobody can look.
const PLACES_AT_ONCE: usize = 256;

/// The layers.
#[derive(Debug, Default)]
pub(super) struct Recent {
    layers: RwLock<Layers>,
    /// Whether the closed layer goes into the tree as fast as it can.
    hurry: Mutex<bool>,
    /// Told when the open layer has grown by a step, and about `hurry`.
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Layers {
    open: Layer,
    closed: Option<Arc<Layer>>,
    settled: u64,
    /// The tree has no key of a webhook after this one, once it is known.
    last: Option<IVec>,
    places: Places,
}

/// What is known of a row without the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was written lately.
    Written(Write),
    /// There is none.
    Nothing,
    /// The tree knows.
    Tree,
    /// The tree knows: in the first of these lots, but for others whose keys begin with the same bits.
    Lots(Vec<u32>),
}

/// The rows of some commits.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// The newest write of each key.
    pub(super) writes: Writes,
    bytes: usize,
}

impl Recent {
    fn read(&self) -> RwLockReadGuard<'_, Layers> {
        // Only the threads of the store write here, and the process ends when one of them panics.
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// With nothing in it, over a tree in which rows with lots are at `places`.
    pub(super) fn over(places: Places) -> Recent {
        let recent = Recent::default();
        recent.write().places = places;
        recent
    }

    /// Looks which webhook is the last in the tree.
    pub(super) fn learn_last(&self, db: &sled::Db) -> Result<(), StoreError> {
        let all = [prefix::WEBHOOK];
        let last = View::of(db).range_back(&all, &keys::end_of(&all)).next().transpose()?;
        self.write().last = Some(last.map_or(IVec::from(&[prefix::WEBHOOK]), |(key, _)| key));
        Ok(())
    }

    /// What was written to a key last.
    pub(super) fn get(&self, key: &[u8]) -> Known {
        let layers = self.read();
        let closed = || layers.closed.as_ref().and_then(|closed| closed.writes.get(key));
        if let Some(write) = layers.open.writes.get(key).or_else(closed) {
            return Known::Written(write.clone());
        }
        if places::has_lots(key) {
            let lots: Vec<u32> = layers.places.get(key).collect();
            return if lots.is_empty() { Known::Nothing } else { Known::Lots(lots) };
        }
        // New webhooks are looked for before they are there, and the tree would be asked in vain.
        let is_after = key.first() == Some(&prefix::WEBHOOK)
            && layers.last.as_ref().is_some_and(|last| key > last.as_ref());
        if is_after { Known::Nothing } else { Known::Tree }
    }

    /// The lot of what comes into the tree next, and whether it has no row yet.
    pub(super) fn next_lot(&self) -> (u32, bool) {
        self.read().places.next()
    }

    /// The first `n` lots of a prefix, the oldest first, that `which` takes.
    pub(super) fn lots(&self, prefix: u8, n: usize, which: impl Fn(u32, &Count) -> bool) -> Vec<u32> {
        let layers = self.read();
        let lots = layers.places.lots(prefix).filter(|(lot, count)| which(*lot, count));
        lots.map(|(lot, _)| lot).take(n).collect()
    }

    /// The lots after this one that may have the row of a key.
    pub(super) fn later_lots(&self, key: &[u8], lot: u32) -> Vec<u32> {
        self.read().places.get(key).take_while(|later| *later > lot).collect()
    }

    /// Notes that the tree has the rows of these keys in a lot. As long as they are in the closed layer they are found
    /// there.
    pub(super) fn placed(&self, keys: &[&IVec], lot: u32) {
        for some in keys.chunks(PLACES_AT_ONCE) {
            let mut layers = self.write();
            some.iter().for_each(|key| layers.places.insert(key, lot));
        }
    }

    /// Notes that the tree is about to lose a lot of a prefix, which has the rows of these keys.
    pub(super) fn lost(&self, prefix: u8, lot: u32, keys: &[IVec]) {
        for some in keys.chunks(PLACES_AT_ONCE) {
            let mut layers = self.write();
            some.iter().for_each(|key| layers.places.remove(key, lot));
        }
        self.write().places.remove_lot(prefix, lot);
    }

    /// The first `n` writes between two keys, or the last, and how many layers had settled by then: what settles later
    /// is only found in the tree.
    pub(super) fn some(
        &self,
        between: &(Bound<IVec>, Bound<IVec>),
        back: bool,
        n: usize,
    ) -> (Vec<(IVec, Write)>, u64) {
        let layers = self.read();
        let mut lists: Vec<_> = [Some(&layers.open), layers.closed.as_deref()]
            .into_iter()
            .flatten()
            .map(|layer| {
                let mut range = layer.writes.range(between.clone());
                std::iter::from_fn(move || if back { range.next_back() } else { range.next() }).peekable()
            })
            .collect();
        let mut some = Vec::new();
        while some.len() < n {
            let heads = lists.iter_mut().filter_map(|list| list.peek().map(|(key, _)| *key));
            let Some(key) = (if back { heads.max() } else { heads.min() }) else { break };
            let mut write = None;
            for list in &mut lists {
                let same = list.next_if(|(head, _)| *head == key);
                // The newer layer comes first.
                write = write.or(same);
            }
            some.extend(write.map(|(key, write)| (key.clone(), write.clone())));
        }
        (some, layers.settled)
    }

    /// Takes in the writes of a commit, all at once.
    pub(super) fn take(&self, writes: Writes) {
        let mut layers = self.write();
        let before = layers.open.steps();
        layers.open.bytes += size(&writes);
        let has_grown = layers.open.steps() > before;
        merge(&mut layers.open.writes, writes);
        drop(layers);
        if has_grown {
            // Locked once, so that nobody is between looking and waiting.
            drop(self.hurry.lock());
            self.grown.notify_all();
        }
    }

    /// Closes the open layer if it is large enough and the one before it has settled.
    pub(super) fn close_large(&self) -> Option<Arc<Layer>> {
        let mut layers = self.write();
        (layers.open.bytes >= LAYER_BYTES && layers.closed.is_none()).then(|| layers.close())
    }

    /// Closes the open layer, whatever its size. Nothing may be on its way into the tree.
    pub(super) fn close(&self) -> Arc<Layer> {
        self.write().close()
    }

    /// Waits until the open layer has grown as far as the closed one has come on its way into the tree, `done` of `all`
    /// its bytes: so the work is spread evenly, and none is done while nothing comes.
    pub(super) fn keep_pace(&self, done: usize, all: usize) {
        let steps = STEPS * done / all.max(1);
        let hurry = self.hurry.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ahead = |hurry: &mut bool| !*hurry && self.read().open.steps() < steps;
        // Nobody panics with it.
        drop(self.grown.wait_while(hurry, is_ahead));
    }

    /// Has the closed layer, and those after it, go into the tree at once.
    pub(super) fn hurry(&self) {
        *self.hurry.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.grown.notify_all();
    }

    /// The closed layer is in the tree, and durable there.
    pub(super) fn settled(&self) {
        let mut layers = self.write();
        let Some(closed) = layers.closed.take() else { return };
        let last = last_webhook(&closed.writes);
        if let (Some(before), Some(last)) = (&mut layers.last, last)
            && *before < *last
        {
            *before = last.clone();
        }
        layers.settled += 1;
    }

    /// Whether another commit has room.
    pub(super) fn has_room(&self) -> bool {
        self.read().open.bytes <= LAYER_BYTES_MAX
    }
}

impl Layers {
    fn close(&mut self) -> Arc<Layer> {
        self.closed.insert(Arc::new(std::mem::take(&mut self.open))).clone()
    }
}

impl Layer {
    fn steps(&self) -> usize {
        self.bytes / (LAYER_BYTES / STEPS)
    }
}

/// When the last webhook arrived that these have the head of.
pub(super) fn last_arrival(writes: &Writes) -> Option<Time> {
    let head = webhooks(writes).rfind(|key| key.last() == Some(&(Part::Head as u8)));
    head.and_then(|key| keys::arrived(key))
}

/// The last key of a webhook.
fn last_webhook(writes: &Writes) -> Option<&IVec> {
    webhooks(writes).next_back()
}

fn webhooks(writes: &Writes) -> impl DoubleEndedIterator<Item = &IVec> {
    let all = [prefix::WEBHOOK];
    writes.range(IVec::from(&all)..IVec::from(keys::end_of(&all))).map(|(key, _)| key)
}

/// Bytes of keys and rows.
pub(super) fn size(writes: &Writes) -> usize {
    writes.iter().map(|(key, write)| write.size(key)).sum()
}

/// Puts newer writes over older ones.
pub(super) fn merge(older: &mut Writes, newer: Writes) {
    newer.into_iter().for_each(|(key, write)| put(older, key, write));
}

/// Puts a write over older ones. A row that was new in them and is removed leaves nothing behind.
pub(super) fn put(older: &mut Writes, key: IVec, write: Write) {
    use std::collections::btree_map::Entry::{Occupied, Vacant};
    match older.entry(key) {
        Vacant(place) => drop(place.insert(write)),
        Occupied(mut place) => match (place.get(), write) {
            (Write::New(_), Write::Remove) => drop(place.remove()),
            (Write::New(_), Write::Put(row)) => drop(place.insert(Write::New(row))),
            (_, Write::New(row)) => drop(place.insert(Write::Put(row))),
            (_, write) => drop(place.insert(write)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> IVec {
        n.to_be_bytes().as_slice().into()
    }

    /// Answers whether it closed a layer.
    fn commit(recent: &Recent, writes: impl IntoIterator<Item = (u32, Write)>) -> bool {
        recent.take(writes.into_iter().map(|(n, write)| (key(n), write)).collect());
        recent.close_large().is_some()
    }

    fn row(n: u8) -> IVec {
        IVec::from(&[n])
    }

    #[test]
    fn what_is_new_and_removed_in_one_layer_leaves_nothing() {
        let recent = Recent::default();
        commit(&recent, [(1, Write::New(row(1))), (2, Write::Put(row(1))), (3, Write::Remove)]);
        commit(&recent, [(1, Write::Remove), (2, Write::Remove), (3, Write::New(row(2)))]);
        commit(&recent, [(3, Write::Remove), (4, Write::New(row(1)))]);
        commit(&recent, [(4, Write::Put(row(2)))]);
        commit(&recent, [(4, Write::Remove)]);
        let left = recent.close();
        let left: Vec<_> = left.writes.iter().map(|(key, write)| (key[3], write.clone())).collect();
        assert_eq!(left, [(2, Write::Remove), (3, Write::Remove)]);
        commit(&recent, [(5, Write::New(row(1)))]);
        assert_eq!(recent.get(&key(2)), Known::Written(Write::Remove), "it is on its way");
        recent.settled();
        assert_eq!([2, 5].map(|n| recent.get(&key(n))), [Known::Tree, Known::Written(Write::New(row(1)))]);
    }

    #[test]
    fn a_layer_is_closed_when_it_is_large_and_the_one_before_has_settled() {
        let recent = Recent::default();
        let large = || (0..64).map(|n| (n, Write::Put(vec![0; LAYER_BYTES / 64].into())));
        assert!(!commit(&recent, large().take(10)));
        assert!(commit(&recent, large()));
        assert!(!commit(&recent, large()) && recent.has_room());
        assert!(!commit(&recent, large()) && !recent.has_room());
        recent.settled();
        assert!(recent.close_large().is_some() && recent.has_room());
    }

    #[test]
    fn a_layer_settles_in_step_with_what_comes_after_it() {
        let recent = Arc::new(Recent::default());
        let (done, settled) = std::sync::mpsc::channel();
        let settler = {
            let recent = recent.clone();
            std::thread::spawn(move || {
                for part in 0..=4 {
                    recent.keep_pace(part, 4);
                    done.send(part).unwrap();
                }
            })
        };
        let grow = |bytes: usize| commit(&recent, [(0, Write::Put(vec![0; bytes].into()))]);
        assert_eq!(settled.recv().unwrap(), 0, "the first part waits for nothing");
        for part in 1..=2 {
            grow(LAYER_BYTES / 4);
            assert_eq!(settled.recv().unwrap(), part);
        }
        assert!(settled.try_recv().is_err());
        recent.hurry();
        assert_eq!(settled.iter().collect::<Vec<_>>(), [3, 4]);
        settler.join().unwrap();
    }

    #[test]
    fn rows_are_listed_from_both_layers_in_parts() {
        let recent = Recent::default();
        commit(&recent, (0..20).map(|n| (n, Write::Put(row(0)))));
        recent.close();
        commit(&recent, (0..30).step_by(3).map(|n| (n, Write::Remove)));
        let list = |back: bool| {
            let mut between = (Bound::Included(key(2)), Bound::Excluded(key(25)));
            let mut all = Vec::new();
            loop {
                let (some, settled) = recent.some(&between, back, 4);
                assert_eq!(settled, 0);
                let Some((last, _)) = some.last().cloned() else { return all };
                if back {
                    between.1 = Bound::Excluded(last)
                } else {
                    between.0 = Bound::Excluded(last)
                }
                all.extend(some.into_iter().map(|(key, write)| (key[3], write == Write::Remove)));
            }
        };
        let mut expected: Vec<_> = (2..20).map(|n| (n, n % 3 == 0)).chain([(21, true), (24, true)]).collect();
        assert_eq!(list(false), expected);
        expected.reverse();
        assert_eq!(list(true), expected);
    }
}
