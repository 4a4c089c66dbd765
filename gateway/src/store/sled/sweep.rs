//! Lots of which few rows are needed any more: those move to a later lot, and all of the lot is removed.
//!
//! They are looked for whenever a new lot begins, so they come to an end as fast as others come. What is needed of a lot
//! is in the later one, durably, before the first row is removed: a crash between leaves rows twice, of which the later
//! are found first.

use super::bundle;
use super::keys::{end_of, prefix};
use super::places::{self, Count, NEEDED_OF};
use super::recent::Recent;
use super::rows::{self, LedgerRow};
use super::view::Write;
use billhook_event::Time;
use sled::IVec;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

/// Most lots of a prefix that go when a new one begins: more than one, or there would never be fewer.
const LOTS_AT_ONCE: usize = 2;
/// Most lots of the ledger that are looked through for that.
const LOOKS_AT_ONCE: usize = 4;
/// Most rows that are removed between two syncs.
const REMOVED_A_SYNC: usize = 1024;

/// Finds the lots that are worn out.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Until when too much of a lot of the ledger is needed, for those that were looked through.
    kept: BTreeMap<u32, Time>,
}

/// A lot that is to be removed.
pub(super) struct Worn {
    prefix: u8,
    lot: u32,
    /// The keys of its rows, without the lot.
    keys: Vec<IVec>,
    needed: Vec<(IVec, Write)>,
}

impl Sweep {
    /// The lots that are worn out, as many as may go at once; of the ledger, at `now`.
    pub(super) fn worn(
        &mut self,
        db: &sled::Db,
        recent: &Recent,
        now: Option<Time>,
    ) -> Result<Vec<Worn>, sled::Error> {
        let mut worn = Vec::new();
        for lot in recent.lots(prefix::ENTITY, LOTS_AT_ONCE, |_, count| count.is_passed()) {
            worn.push(entities(db, recent, lot)?);
        }
        let Some(now) = now else { return Ok(worn) };
        let is_due = |lot, _: &Count| self.kept.get(&lot).is_none_or(|until| *until <= now);
        let looks = recent.lots(prefix::LEDGER, LOOKS_AT_ONCE, is_due);
        let most = worn.len() + LOTS_AT_ONCE;
        for lot in looks {
            if worn.len() < most {
                match ledger(db, recent, lot, now)? {
                    Ok(gone) => {
                        self.kept.remove(&lot);
                        worn.push(gone);
                    }
                    Err(until) => drop(self.kept.insert(lot, until)),
                }
            }
        }
        Ok(worn)
    }
}

/// A lot of entities: what was not written again is needed.
fn entities(db: &sled::Db, recent: &Recent, lot: u32) -> Result<Worn, sled::Error> {
    let mut worn = Worn { prefix: prefix::ENTITY, lot, keys: Vec::new(), needed: Vec::new() };
    each_row(db, prefix::ENTITY, lot, |key, row| {
        // Nobody looks whether the later row is of the same entity: that would cost more than all the rest, and of a million
        // entities two have the same 54 bits in one of thirty thousand stores. One of the two would be forgotten.
        if recent.later_lots(&key, lot).is_empty() {
            worn.needed.push((key.clone(), Write::Put(row)));
        }
        worn.keys.push(key);
        Ok(())
    })?;
    Ok(worn)
}

/// A lot of the ledger: what has not expired is needed. The inner error: too much is, until then.
fn ledger(db: &sled::Db, recent: &Recent, lot: u32, now: Time) -> Result<Result<Worn, Time>, sled::Error> {
    let mut worn = Worn { prefix: prefix::LEDGER, lot, keys: Vec::new(), needed: Vec::new() };
    let mut ends = Vec::new();
    each_row(db, prefix::LEDGER, lot, |key, row| {
        // A damaged row keeps nobody from being forgotten.
        let until = rows::decode::<LedgerRow>("ledger", &row).map_or(now, |row| row.until());
        // It expired before it was written again, but for a clock that went back.
        let is_again = |later: &u32| bundle::get(db, &places::key_in(*later, &key)).transpose();
        if now < until && recent.later_lots(&key, lot).iter().find_map(is_again).transpose()?.is_none() {
            ends.push(until);
            worn.needed.push((key.clone(), Write::Put(row)));
        }
        worn.keys.push(key);
        Ok(())
    })?;
    let few = worn.keys.len() / NEEDED_OF;
    ends.sort_unstable();
    Ok(ends.len().checked_sub(few + 1).map_or(Ok(worn), |last| Err(ends[last])))
}

/// Tells the rows of a lot, with their keys without it, in order.
fn each_row(
    db: &sled::Db,
    prefix: u8,
    lot: u32,
    mut to: impl FnMut(IVec, IVec) -> Result<(), sled::Error>,
) -> Result<(), sled::Error> {
    let all = places::all_in(prefix, lot);
    let all = (Included(all.as_slice().into()), Excluded(end_of(&all).into()));
    let mut rows = bundle::Range::new(db, all);
    while let Some((key, row)) = rows.next(false).transpose()? {
        to(places::key_without_lot(&key), row)?;
    }
    Ok(())
}

impl Worn {
    /// Its rows that are needed, as they are to be written into a later lot, without one in their keys.
    pub(super) fn needed(&self) -> impl Iterator<Item = (&IVec, &Write)> {
        self.needed.iter().map(|(key, write)| (key, write))
    }

    /// Removes the lot: what is needed of it is durable in a later one.
    pub(super) fn remove(
        self,
        db: &sled::Db,
        recent: &Recent,
        sync: impl Fn() -> Result<(), sled::Error>,
    ) -> Result<(), sled::Error> {
        recent.lost(self.prefix, self.lot, &self.keys);
        let mut rows = self.keys.iter().map(|key| (places::key_in(self.lot, key), &Write::Remove)).peekable();
        while rows.peek().is_some() {
            let mut some = rows.by_ref().take(REMOVED_A_SYNC).peekable();
            while some.peek().is_some() {
                bundle::write(db, &mut some)?;
            }
            sync()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::WebhookId;
    use crate::store::sled::keys::{self, Part};
    use crate::store::sled::places::{LOT_ROWS, Places};
    use crate::store::sled::recent::Known;
    use crate::store::sled::settler::Disk;
    use crate::store::sled::view::{View, Writes};
    use proptest::prelude::*;
    use std::sync::Arc;

    const LOT: u8 = LOT_ROWS as u8;

    /// A store in which each layer fills a lot, and settles when its last webhook arrives.
    struct Layers {
        disk: Disk,
        generation: u64,
    }

    impl Layers {
        fn new() -> Layers {
            let db = sled::Config::new().temporary(true).open().unwrap();
            Layers { disk: Disk::new(db, Arc::default(), tempfile::tempfile().unwrap()), generation: 0 }
        }

        fn settle(&mut self, now: u64, rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) {
            let worn = self.settle_alone(now, rows);
            self.disk.remove(worn, || ()).unwrap();
        }

        fn settle_alone(&mut self, now: u64, rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<Worn> {
            let arrived = WebhookId::new(Time::from_secs(now), 1);
            let rows = rows.chain([(keys::webhook(arrived, Part::Head), Vec::new())]);
            let writes: Writes = rows.map(|(key, row)| (key.into(), Write::Put(row.into()))).collect();
            self.generation += 1;
            self.disk.settle(self.generation, &writes, |_, _| ()).unwrap()
        }

        /// As if the process had ended here.
        fn restart(&mut self) {
            let db = self.disk.db.clone();
            let recent = Recent::over(Places::read(&db).unwrap());
            self.disk = Disk::new(db, Arc::new(recent), tempfile::tempfile().unwrap());
        }

        /// A lot of the ledger: those from `from` on, of which `long` are needed until 100 s, and the rest until `until`.
        fn seen(&mut self, now: u64, from: u8, long: u8, until: u64) {
            let first = WebhookId::new(Time::from_secs(0), 1);
            let row = |until| rows::encode(&LedgerRow::new(first, Time::from_secs(until), &[0; 32]));
            let all = (from..from + LOT)
                .map(|n| (keys::ledger(&[n; 16]), row(if n < from + long { 100 } else { until })));
            self.settle(now, all);
        }

        fn entities(&mut self, now: u64, all: impl Iterator<Item = u8>, row: u8) {
            self.settle(now, all.map(|n| (keys::entity_of(&[n; 16]), vec![row])));
        }

        fn found(&self, key: &[u8]) -> Option<IVec> {
            View::with(&self.disk.db, &self.disk.recent).get(key).unwrap()
        }

        fn seen_again(&self, n: u8) -> bool {
            self.found(&keys::ledger(&[n; 16])).is_some()
        }

        /// The lots in the tree, of which memory knows as much as a start would.
        fn lots(&self, of: u8) -> Vec<u32> {
            let mut lots = Vec::new();
            bundle::each_key(&self.disk.db, of, |key| {
                lots.push(u32::from_be_bytes(key[1..5].try_into().unwrap()));
            })
            .unwrap();
            lots.dedup();
            let read = Places::read(&self.disk.db).unwrap();
            for n in 0..=255 {
                for key in [keys::ledger(&[n; 16]), keys::entity_of(&[n; 16])] {
                    let lots = read.get(&key).collect::<Vec<_>>();
                    let known = if lots.is_empty() { Known::Nothing } else { Known::Lots(lots) };
                    assert_eq!(self.disk.recent.get(&key), known, "{key:?}");
                }
            }
            lots
        }
    }

    #[test]
    fn a_lot_of_the_ledger_goes_when_few_of_its_keys_are_needed_and_those_stay_known() {
        let mut layers = Layers::new();
        layers.seen(1, 0, LOT / 4, 10);
        layers.seen(9, LOT, LOT / 4 + 1, 20);
        layers.seen(9, 2 * LOT, 0, 30);
        assert_eq!(layers.lots(prefix::LEDGER), [0, 1, 2]);
        layers.seen(10, 3 * LOT, 0, 30);
        assert_eq!(layers.lots(prefix::LEDGER), [1, 2, 3]);
        assert!((0..LOT / 4).all(|n| layers.seen_again(n)), "moved");
        assert!((LOT / 4..LOT).all(|n| !layers.seen_again(n)));
        layers.seen(30, 4 * LOT, 0, 90);
        assert_eq!(layers.lots(prefix::LEDGER), [1, 4], "one of which too many are needed keeps no other");
        layers.seen(99, 5 * LOT, 0, 110);
        assert_eq!(layers.lots(prefix::LEDGER), [1, 5]);
        assert!((0..LOT / 4).all(|n| layers.seen_again(n)), "moved three times");
        layers.seen(100, 6 * LOT, 0, 110);
        assert_eq!(layers.lots(prefix::LEDGER), [5, 6]);
    }

    #[test]
    fn a_lot_of_entities_goes_when_most_were_written_again() {
        let mut layers = Layers::new();
        layers.entities(1, 0..LOT, 1);
        layers.entities(2, 0..LOT, 2);
        layers.entities(3, LOT / 4..2 * LOT, 3);
        assert_eq!(layers.lots(prefix::ENTITY), [1, 2], "nothing of the first was needed");
        layers.entities(4, 2 * LOT..3 * LOT, 4);
        assert_eq!(layers.lots(prefix::ENTITY), [2, 3], "the second had few, which moved");
        let expected = |n: u8| {
            if n < LOT / 4 {
                2
            } else if n < 2 * LOT {
                3
            } else {
                4
            }
        };
        for n in 0..3 * LOT {
            assert_eq!(layers.found(&keys::entity_of(&[n; 16])).unwrap()[..], [expected(n)], "{n}");
        }
    }

    #[test]
    fn what_moves_gives_way_to_what_is_written_meanwhile() {
        let mut layers = Layers::new();
        layers.entities(1, 0..LOT, 1);
        layers.entities(2, 1..LOT + 1, 2);
        layers.entities(3, 0..LOT, 3);
        assert_eq!(layers.lots(prefix::ENTITY), [1, 2]);
        assert_eq!(layers.found(&keys::entity_of(&[0; 16])).unwrap()[..], [3]);
    }

    #[test]
    fn a_lot_that_a_crash_left_or_half_left_goes_later() {
        for removed in [0, usize::from(LOT / 2)] {
            let mut layers = Layers::new();
            layers.entities(1, 0..LOT, 1);
            layers.entities(2, 2..LOT + 2, 2);
            let mut worn =
                layers.settle_alone(3, (0..LOT).map(|n| (keys::entity_of(&[2 * LOT + n; 16]), vec![3])));
            worn[0].keys.truncate(removed);
            layers.disk.remove(worn, || ()).unwrap();
            layers.restart();
            assert_eq!(layers.lots(prefix::ENTITY), [0, 1, 2]);
            let found = |layers: &Layers| {
                [0, 1, 2, LOT - 1, LOT + 1].map(|n| layers.found(&keys::entity_of(&[n; 16])).unwrap()[0])
            };
            assert_eq!(found(&layers), [1, 1, 2, 2, 2]);
            layers.entities(4, 3 * LOT..4 * LOT, 4);
            assert_eq!((layers.lots(prefix::ENTITY), found(&layers)), (vec![1, 2, 3], [1, 1, 2, 2, 2]));
        }
    }

    #[test]
    fn who_looked_before_a_row_moved_finds_it() {
        let mut layers = Layers::new();
        layers.entities(1, 0..LOT, 1);
        layers.entities(2, 1..LOT + 1, 2);
        layers.entities(3, 2 * LOT..3 * LOT, 3);
        assert_eq!(layers.lots(prefix::ENTITY), [1, 2]);
        let view = View::with(&layers.disk.db, &layers.disk.recent);
        assert_eq!(view.in_lots(&keys::entity_of(&[0; 16]), &[0]).unwrap().unwrap()[..], [1]);
        assert_eq!(view.in_lots(&keys::entity_of(&[9; 16]), &[0]).unwrap().unwrap()[..], [2]);
        assert_eq!(view.in_lots(&keys::entity_of(&[LOT + 1; 16]), &[0]).unwrap(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever is written again whenever: the last of it is found, and no more than a part is kept in vain.
        #[test]
        fn the_row_that_was_written_last_is_found(
            all in proptest::collection::vec(proptest::collection::btree_set(0..60_u8, 1..40), 1..40),
        ) {
            let (mut layers, mut entities, mut seen) = (Layers::new(), BTreeMap::new(), BTreeMap::new());
            for (now, keys) in (1..).zip(all) {
                let first = WebhookId::new(Time::from_secs(0), 1);
                let new: Vec<u8> = keys.iter().copied().filter(|n| seen.get(n).is_none_or(|until| *until <= now)).collect();
                // Some are needed for long, most are not.
                seen.extend(new.iter().map(|n| (*n, now + if n % 5 == 0 { 30 } else { 2 })));
                let ledger = new.iter().map(|n| {
                    let row = LedgerRow::new(first, Time::from_secs(seen[n].into()), &[*n; 32]);
                    (keys::ledger(&[*n; 16]), rows::encode(&row))
                });
                let written = keys.iter().map(|n| (keys::entity_of(&[*n; 16]), vec![now]));
                layers.settle(now.into(), written.chain(ledger).collect::<Vec<_>>().into_iter());
                entities.extend(keys.into_iter().map(|key| (key, now)));
                for n in 0..=60 {
                    let found = layers.found(&keys::entity_of(&[n; 16])).map(|row| row[0]);
                    prop_assert_eq!(found, entities.get(&n).copied(), "{} in layer {}", n, now);
                }
                for (n, until) in seen.iter().filter(|(_, until)| now < **until) {
                    let row = layers.found(&keys::ledger(&[*n; 16])).map(|row| rows::decode::<LedgerRow>("row", &row).unwrap());
                    prop_assert_eq!(row.map(|row| row.until()), Some(Time::from_secs((*until).into())), "{}", n);
                }
            }
            for (of, needed) in [(prefix::ENTITY, entities.len()), (prefix::LEDGER, seen.len())] {
                let mut rows = 0;
                bundle::each_key(&layers.disk.db, of, |_| rows += 1).unwrap();
                let (most, lots) = (NEEDED_OF * needed + 2 * (LOT_ROWS + 80), layers.lots(of));
                prop_assert!(rows <= most, "{} rows for {} in the lots {:?}", rows, needed, lots);
            }
        }
    }
}
