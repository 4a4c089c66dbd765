//! Where the rows in the order of a hash lie: the ledger, and what is remembered of entities.
//!
//! Each such row alone would be in another leaf of the tree than those that came with it: a leaf to read and to write
//! again for some forty bytes, and one to look through for every webhook whose key was never seen. So the rows that came
//! into the tree at about the same time lie together, in a *lot*: its number stands in their keys before the hash, and
//! lots follow each other. Memory knows which lots may have the row of a key, in eight bytes a row and some room; a key that
//! it does not know has no row, and nobody looks.
//!
//! A row that is written again lies in the same lot or a later. There the one before stays where it is, unseen, until its
//! lot is swept (see [`super::sweep`]).

use super::bundle;
use super::keys::prefix;
use sled::IVec;
use std::collections::BTreeMap;

/// A lot is full with so many rows, and one more layer: all that comes into the tree at once lies in one. Less in builds
/// with debug assertions, so that every test meets many.
pub(super) const LOT_ROWS: usize = if cfg!(debug_assertions) { 24 } else { 2048 };
/// A lot is swept when no more than one of so many rows is needed.
pub(super) const NEEDED_OF: usize = 4;

/// Bytes of the number of a lot in the key of a row, after its prefix.
const LOT_BYTES: usize = 4;
/// Bits of the number of a lot in memory. The numbers last for half a year to two of a thousand webhooks a second; after
/// that all rows lie in the last lot, where each new one writes a bundle and none is swept.
const LOT_BITS: u32 = 24;
const LOT_MAX: u32 = (1 << LOT_BITS) - 1;
/// The first bits of a hash say in which list its place is. With those in the list it is 54 bits of it.
const LIST_BITS: u32 = 14;
/// A list that is full gets room for a part more.
const PART_MORE: usize = 8;

/// Whether the rows of a prefix lie in lots.
pub(super) fn has_lots(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(prefix::LEDGER | prefix::ENTITY)))
}

/// The key of a row in the tree: `lot` stands in it if it has lots.
pub(super) fn key_in(lot: u32, key: &IVec) -> IVec {
    match key.split_first() {
        Some((prefix, hash)) if has_lots(key) => [&[*prefix], &lot.to_be_bytes()[..], hash].concat().into(),
        _ => key.clone(),
    }
}

/// What the keys of the rows of a lot begin with.
pub(super) fn all_in(prefix: u8, lot: u32) -> Vec<u8> {
    [&[prefix], &lot.to_be_bytes()[..]].concat()
}

/// The key of a row without its lot.
pub(super) fn key_without_lot(key: &[u8]) -> IVec {
    [&key[..1], key.get(1 + LOT_BYTES..).unwrap_or_default()].concat().into()
}

/// The beginning of a hash.
fn first_bits(hash: &[u8]) -> u64 {
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// What is known of the rows of one prefix.
#[derive(Debug)]
struct Kind {
    /// By the first bits of the hash, in order: the bits after them with the number of a lot.
    lists: Vec<Vec<u64>>,
    lots: BTreeMap<u32, Count>,
}

/// How many rows a lot has.
#[derive(Debug, Default)]
pub(super) struct Count {
    rows: usize,
    /// How many of them were written again, in a later lot.
    passed: usize,
}

impl Count {
    /// Whether few of the rows were written last.
    pub(super) fn is_passed(&self) -> bool {
        self.rows.saturating_sub(self.passed) * NEEDED_OF <= self.rows
    }
}

impl Default for Kind {
    fn default() -> Kind {
        Kind { lists: vec![Vec::new(); 1 << LIST_BITS], lots: BTreeMap::new() }
    }
}

impl Kind {
    /// The list of a hash, and the least entry that it may have there.
    fn list_of(hash: u64) -> (usize, u64) {
        ((hash >> (u64::BITS - LIST_BITS)) as usize, (hash << LIST_BITS) & !u64::from(LOT_MAX))
    }

    /// The lots that may have a row, the newest first.
    fn get(&self, hash: u64) -> impl Iterator<Item = u32> + use<'_> {
        let (list, first) = Kind::list_of(hash);
        let list = &self.lists[list];
        let from = list.partition_point(|entry| *entry < first);
        let to = list.partition_point(|entry| *entry <= first | u64::from(LOT_MAX));
        list[from..to].iter().rev().map(|entry| (entry & u64::from(LOT_MAX)) as u32)
    }

    fn insert(&mut self, hash: u64, lot: u32) {
        let passed = self.get(hash).next();
        let (list, first) = Kind::list_of(hash);
        let (list, entry) = (&mut self.lists[list], first | u64::from(lot));
        let Err(at) = list.binary_search(&entry) else { return };
        if list.len() == list.capacity() {
            list.reserve_exact(list.len() / PART_MORE + PART_MORE);
        }
        list.insert(at, entry);
        self.lots.entry(lot).or_default().rows += 1;
        if let Some(count) = passed.and_then(|passed| self.lots.get_mut(&passed)) {
            count.passed += 1;
        }
    }

    fn remove(&mut self, hash: u64, lot: u32) {
        let (list, first) = Kind::list_of(hash);
        let list = &mut self.lists[list];
        if let Ok(at) = list.binary_search(&(first | u64::from(lot))) {
            list.remove(at);
        }
    }
}

/// Where all rows with lots are.
#[derive(Debug, Default)]
pub(super) struct Places {
    ledger: Kind,
    entities: Kind,
}

impl Places {
    /// Of all rows in a tree, which are read.
    pub(super) fn read(db: &sled::Db) -> Result<Places, sled::Error> {
        let mut places = Places::default();
        for all in [prefix::LEDGER, prefix::ENTITY] {
            bundle::each_key(db, all, |key| {
                if let Some((lot, hash)) = key[1..].split_first_chunk::<LOT_BYTES>() {
                    places.of_mut(all).insert(first_bits(hash), u32::from_be_bytes(*lot));
                }
            })?;
        }
        Ok(places)
    }

    fn of(&self, prefix: u8) -> &Kind {
        if prefix == prefix::LEDGER { &self.ledger } else { &self.entities }
    }

    fn of_mut(&mut self, prefix: u8) -> &mut Kind {
        if prefix == prefix::LEDGER { &mut self.ledger } else { &mut self.entities }
    }

    /// The lots that may have the row of a key, the newest first: nearly always it is there.
    pub(super) fn get(&self, key: &[u8]) -> impl Iterator<Item = u32> + use<'_> {
        self.of(key[0]).get(first_bits(&key[1..]))
    }

    /// The tree has the row of a key in this lot.
    pub(super) fn insert(&mut self, key: &[u8], lot: u32) {
        self.of_mut(key[0]).insert(first_bits(&key[1..]), lot);
    }

    /// The tree is about to lose the row of a key in this lot, and the lot: [`Places::remove_lot`].
    pub(super) fn remove(&mut self, key: &[u8], lot: u32) {
        self.of_mut(key[0]).remove(first_bits(&key[1..]), lot);
    }

    /// The tree is about to lose this lot.
    pub(super) fn remove_lot(&mut self, prefix: u8, lot: u32) {
        self.of_mut(prefix).lots.remove(&lot);
    }

    /// The lot of what comes into the tree next, and whether it has no row yet.
    pub(super) fn next(&self) -> (u32, bool) {
        let newest = |kind: &Kind| kind.lots.last_key_value().map(|(lot, _)| *lot);
        let Some(newest) = newest(&self.ledger).max(newest(&self.entities)) else { return (0, true) };
        let rows =
            [&self.ledger, &self.entities].map(|kind| kind.lots.get(&newest).map_or(0, |lot| lot.rows));
        match rows.iter().sum::<usize>() >= LOT_ROWS && newest < LOT_MAX {
            true => (newest + 1, true),
            false => (newest, false),
        }
    }

    /// The lots of a prefix, the oldest first.
    pub(super) fn lots(&self, prefix: u8) -> impl Iterator<Item = (u32, &Count)> {
        self.of(prefix).lots.iter().map(|(lot, count)| (*lot, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::keys;
    use std::collections::BTreeMap;

    /// Keys whose hashes have much in common.
    fn key(n: u64) -> Vec<u8> {
        let mut hash = [7; 16];
        hash[..8].copy_from_slice(&(n << 60 | (n % 3) << 20).to_be_bytes());
        hash[8..].copy_from_slice(&n.to_be_bytes());
        keys::ledger(&hash)
    }

    #[test]
    fn a_row_is_known_in_all_its_lots_the_newest_first() {
        let mut places = Places::default();
        let mut model: BTreeMap<(u64, u64), Vec<u32>> = BTreeMap::new();
        let hash = |n: u64| (n << 60, n % 3);
        for n in (0..400_u64).map(|n| n * 7 % 61) {
            for lot in [n as u32 % 5, LOT_MAX - n as u32 % 2] {
                places.insert(&key(n), lot);
                let lots = model.entry(hash(n)).or_default();
                lots.retain(|known| *known != lot);
                lots.push(lot);
            }
        }
        places.remove(&key(2), 2);
        model.get_mut(&hash(2)).unwrap().retain(|lot| *lot != 2);
        for n in 0..100 {
            let mut expected = model.get(&hash(n)).cloned().unwrap_or_default();
            expected.sort_by(|a, b| b.cmp(a));
            // What follows the bits that are kept may differ: then a lot is named that has another row.
            assert_eq!(places.get(&key(n)).collect::<Vec<_>>(), expected, "{n}");
        }
        assert_eq!(places.get(&keys::entity_of(&[7; 16])).count(), 0);
    }

    #[test]
    fn a_lot_that_is_full_is_followed_by_another() {
        let mut places = Places::default();
        assert_eq!(places.next(), (0, true));
        let many = 3 * LOT_ROWS as u64 / 2;
        let key = |n: u64| {
            keys::ledger(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().repeat(2).try_into().unwrap())
        };
        for n in 0..many {
            places.insert(&key(n), places.next().0);
        }
        assert_eq!(places.next(), (1, false));
        (0..many).for_each(|n| places.insert(&key(n), LOT_MAX));
        assert_eq!(places.next(), (LOT_MAX, false));
    }

    #[test]
    fn a_lot_is_passed_when_few_of_its_rows_were_written_last() {
        let mut places = Places::default();
        let key = |n: u8| keys::entity_of(&[n; 16]);
        (0..8).for_each(|n| places.insert(&key(n), 1));
        (0..5).for_each(|n| places.insert(&key(n), 2));
        let passed = |places: &Places| {
            let lots = places.lots(prefix::ENTITY).filter(|(_, count)| count.is_passed());
            lots.map(|(lot, _)| lot).collect::<Vec<_>>()
        };
        assert_eq!(passed(&places), Vec::<u32>::new());
        // Twice in a lot is once.
        [5, 5, 0].iter().for_each(|n| places.insert(&key(*n), 3));
        assert_eq!((passed(&places), places.get(&key(5)).next()), (vec![1], Some(3)));
        (0..8).for_each(|n| places.remove(&key(n), 1));
        places.remove_lot(prefix::ENTITY, 1);
        assert_eq!((passed(&places), places.get(&key(7)).next()), (vec![], None));
    }

    #[test]
    fn the_lot_stands_before_the_hash_of_those_that_have_lots() {
        let [ledger, event] = [keys::ledger(&[9; 16]), vec![prefix::EVENT; 17]].map(IVec::from);
        assert_eq!(key_in(1, &ledger)[..7], [prefix::LEDGER, 0, 0, 0, 1, 9, 9]);
        assert_eq!(key_without_lot(&key_in(LOT_MAX, &ledger)), ledger);
        assert!(key_in(1, &ledger).starts_with(&all_in(prefix::LEDGER, 1)));
        assert_eq!(key_in(1, &event), event);
    }
}
