//! Rows that follow each other in time lie together in the tree: a *bundle* of them is one row of sled's.
//!
//! A leaf of sled has eight to sixteen rows, however small they are, and whether a leaf is in the cache or not, memory
//! knows where its pieces are; so does the log, which is read when the store is opened. With bundles the tree has a tenth
//! of the leaves. Rows in the order of a hash follow each other in time by their lots (see [`super::places`]).
//!
//! A bundle has the rows of one prefix from its own key on, up to and without the key of the bundle after it; its own
//! key is that of its first row when it was made, and stays. Of each row it has: how many bytes of the key are those of
//! the bundle's, how many follow, how many bytes the row has (two, big endian), what follows of the key, and the row.

use super::keys::{self, prefix};
use super::rows::ROW_BYTES_MAX;
use super::view::{Between, Entry, Write};
use sled::IVec;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io::{Error as IoError, ErrorKind};
use std::iter::Peekable;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

/// Most bytes of a bundle, unless it has one row, and most rows: what is looked through for one.
const BUNDLE_BYTES: usize = ROW_BYTES_MAX;
const BUNDLE_ROWS: usize = 64;
/// Most bytes of rows that are written at once.
const BYTES_AT_ONCE: usize = 64 << 10;
/// Bytes before the key of each row in a bundle.
const HEADER: usize = 4;

/// Whether the row of a key lies in a bundle: those in the order of time, or of lots, which are short.
pub(super) fn is_bundled(key: &[u8]) -> bool {
    matches!(
        key.first(),
        Some(
            &(prefix::WEBHOOK
                | prefix::UNDISPATCHED
                | prefix::EVENT
                | prefix::KIND
                | prefix::LEDGER
                | prefix::ENTITY
                | prefix::DELIVERY
                | prefix::DUE
                | prefix::ATTEMPT
                | prefix::LETTER)
        )
    )
}

/// Tells `to` the keys of all rows of a prefix, which are bundled, in order.
pub(super) fn each_key(db: &sled::Db, prefix: u8, mut to: impl FnMut(&[u8])) -> Result<(), sled::Error> {
    let mut key = Vec::new();
    for entry in db.range([prefix].as_slice()..keys::end_of(&[prefix]).as_slice()) {
        let (own, bundle) = entry?;
        // sled lets go of what it has read only when others were asked for often enough: pages that are each read once
        // would all stay, far beyond the size of its cache.
        db.contains_key(&own)?;
        for row in Rows::of(&own, &bundle) {
            let row = row?;
            key.clear();
            key.extend_from_slice(row.shared);
            key.extend_from_slice(row.rest);
            to(&key);
        }
    }
    Ok(())
}

/// A row of the tree.
pub(super) fn get(db: &sled::Db, key: &[u8]) -> Result<Option<IVec>, sled::Error> {
    if !is_bundled(key) {
        return db.get(key);
    }
    let Some((own, bundle)) = covering(db, key)? else { return Ok(None) };
    for row in Rows::of(&own, &bundle) {
        let row = row?;
        match row.cmp(key) {
            Ordering::Less => {}
            Ordering::Equal => return Ok(Some(row.row.into())),
            Ordering::Greater => break,
        }
    }
    Ok(None)
}

/// The bundle that has the row of a key, if there is one.
fn covering(db: &sled::Db, key: &[u8]) -> Result<Option<Entry>, sled::Error> {
    db.range(&key[..1]..=key).next_back().transpose()
}

fn damaged(why: &str) -> sled::Error {
    IoError::new(ErrorKind::InvalidData, why).into()
}

/// Writes the rows of one bundle, as they were at least once: those at the head of `writes`, in order, of which the first
/// is bundled. Answers how many bytes they had.
pub(super) fn write<'w>(
    db: &sled::Db,
    writes: &mut Peekable<impl Iterator<Item = (IVec, &'w Write)>>,
) -> Result<usize, sled::Error> {
    let Some((first, _)) = writes.peek() else { return Ok(0) };
    let first = first.clone();
    let all = &first[..1];
    let old = covering(db, &first)?;
    let after = old.as_ref().map_or(Included(all), |(own, _)| Excluded(own.as_ref()));
    let next = db.range::<&[u8], _>((after, Excluded(keys::end_of(all).as_slice()))).next().transpose()?;
    let end = next.map_or_else(|| keys::end_of(all).into(), |(key, _)| key);
    let mut bytes = 0;
    let some = std::iter::from_fn(|| {
        let (key, write) = writes.next_if(|(key, _)| *key < end && bytes < BYTES_AT_ONCE)?;
        bytes += write.size(&key);
        Some((key, write))
    });
    let merged = merged(old.as_ref(), some)?;
    let own = old.as_ref().map_or(&first, |(own, _)| own);
    let is_last = end == keys::end_of(all);
    let bundles = bundles(own, &merged, is_last);
    if bundles.is_empty() {
        old.map(|(own, _)| db.remove(own)).transpose()?;
    } else if moves(old.as_ref(), &bundles)? {
        // At once: what moves out of one bundle must not be in two, nor in none.
        let mut batch = sled::Batch::default();
        bundles.into_iter().for_each(|(own, bundle)| batch.insert(own, bundle));
        db.apply_batch(batch)?;
    } else {
        // For a batch sled writes out what it has gathered, and wakes all of its threads.
        bundles.into_iter().try_for_each(|(own, bundle)| db.insert(own, bundle).map(drop))?;
    }
    Ok(bytes)
}

/// Whether a row of the old bundle lies in another one now. Rows in the order of time seldom do: bundles are filled up.
fn moves(old: Option<&Entry>, bundles: &[Entry]) -> Result<bool, sled::Error> {
    let (Some((own, bundle)), Some((second, _))) = (old, bundles.get(1)) else { return Ok(false) };
    let last = Rows::of(own, bundle).last().transpose()?;
    Ok(last.is_some_and(|row| row.cmp(second).is_ge()))
}

/// The rows of a bundle with newer writes over them, in order.
fn merged<'w>(
    old: Option<&Entry>,
    writes: impl Iterator<Item = (IVec, &'w Write)>,
) -> Result<Vec<Entry>, sled::Error> {
    let mut merged = Vec::new();
    let mut rows = old.map(|(own, bundle)| Rows::of(own, bundle)).into_iter().flatten().peekable();
    for (key, write) in writes {
        while let Some(row) = rows.next_if(|row| row.as_ref().is_ok_and(|row| row.cmp(&key).is_lt())) {
            merged.push(row?.entry());
        }
        let _replaced = rows.next_if(|row| row.as_ref().is_ok_and(|row| row.cmp(&key).is_eq()));
        merged.extend(write.row().map(|row| (key, row.clone())));
    }
    for row in rows {
        merged.push(row?.entry());
    }
    Ok(merged)
}

/// Rows as bundles, of which the first is at `own`. The last ones of a prefix are filled, others have room for what may
/// come between.
fn bundles(own: &IVec, rows: &[Entry], is_last: bool) -> Vec<Entry> {
    let bytes = |(key, row): &Entry| HEADER + key.len() + row.len();
    let all: usize = rows.iter().map(bytes).sum();
    let parts = all.div_ceil(BUNDLE_BYTES).max(rows.len().div_ceil(BUNDLE_ROWS)).max(1);
    let enough = if is_last { BUNDLE_BYTES } else { all.div_ceil(parts) };
    let (mut bundles, mut left) = (Vec::with_capacity(parts), rows);
    while let Some((first, _)) = left.first() {
        let mut taken = 0;
        let fits = left.iter().take(BUNDLE_ROWS).take_while(|entry| {
            let has_room = taken < enough;
            taken += bytes(entry);
            has_room && taken <= BUNDLE_BYTES
        });
        let (some, rest) = left.split_at(fits.count().max(1));
        let own = if bundles.is_empty() { own } else { first };
        let mut bundle = Vec::with_capacity(BUNDLE_BYTES);
        some.iter().for_each(|(key, row)| append(own, &mut bundle, key, row));
        bundles.push((own.clone(), bundle.into()));
        left = rest;
    }
    bundles
}

fn append(own: &[u8], bundle: &mut Vec<u8>, key: &[u8], row: &[u8]) {
    let shared = own.iter().zip(key).take_while(|(a, b)| a == b).count();
    let [shared_byte, rest_byte] =
        [shared, key.len() - shared].map(|n| u8::try_from(n).expect("keys are short"));
    let len = u16::try_from(row.len()).expect("a row has at most `ROW_BYTES_MAX` bytes");
    bundle.extend_from_slice(&[shared_byte, rest_byte]);
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(&key[shared..]);
    bundle.extend_from_slice(row);
}

/// A row in a bundle: its key in two parts, and itself.
struct Row<'a> {
    shared: &'a [u8],
    rest: &'a [u8],
    row: &'a [u8],
}

impl Row<'_> {
    fn cmp(&self, key: &[u8]) -> Ordering {
        let (head, tail) = key.split_at(self.shared.len().min(key.len()));
        self.shared.cmp(head).then_with(|| self.rest.cmp(tail))
    }

    fn entry(&self) -> Entry {
        ([self.shared, self.rest].concat().into(), self.row.into())
    }
}

/// The rows of a bundle, in order.
struct Rows<'a> {
    own: &'a [u8],
    left: &'a [u8],
}

impl<'a> Rows<'a> {
    fn of(own: &'a [u8], bundle: &'a [u8]) -> Rows<'a> {
        Rows { own, left: bundle }
    }

    fn read(&mut self) -> Option<Row<'a>> {
        let ([shared, rest, high, low], left) = self.left.split_first_chunk::<HEADER>()?;
        let (rest, left) = left.split_at_checked(usize::from(*rest))?;
        let (row, left) = left.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        self.left = left;
        Some(Row { shared: self.own.get(..usize::from(*shared))?, rest, row })
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, sled::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let row = self.read();
        if row.is_none() {
            self.left = &[];
        }
        Some(row.ok_or_else(|| damaged("a bundle of rows is cut short")))
    }
}

/// The rows of a range in the tree, from either end. Each is whole; two may be of two moments.
pub(super) struct Range<'a> {
    db: &'a sled::Db,
    /// Once it was asked.
    stored: Option<sled::Iter>,
    /// What is left: it shrinks as rows are read, since one that moved to another bundle meanwhile may be met twice.
    left: Between,
    /// Of the bundle that was read last.
    rows: VecDeque<Entry>,
}

impl<'a> Range<'a> {
    pub(super) fn new(db: &'a sled::Db, between: Between) -> Range<'a> {
        Range { db, stored: None, left: between, rows: VecDeque::new() }
    }

    /// The next row, from the end if `back`. Ask in one direction only.
    pub(super) fn next(&mut self, back: bool) -> Option<Result<Entry, sled::Error>> {
        loop {
            let next = if back { self.rows.pop_back() } else { self.rows.pop_front() };
            if let Some((key, row)) = next {
                let passed = Excluded(key.clone());
                if back {
                    self.left.1 = passed
                } else {
                    self.left.0 = passed
                }
                return Some(Ok((key, row)));
            }
            match self.stored(back).transpose()? {
                Ok((own, bundle)) if is_bundled(&own) => {
                    for row in Rows::of(&own, &bundle) {
                        match row {
                            Ok(row) if is_between(&row, &self.left) => self.rows.push_back(row.entry()),
                            Ok(_) => {}
                            Err(error) => return Some(Err(error)),
                        }
                    }
                }
                alone => return Some(alone),
            }
        }
    }

    fn stored(&mut self, back: bool) -> Result<Option<Entry>, sled::Error> {
        if self.stored.is_none() {
            let mut from = self.left.0.clone();
            if let Included(key) | Excluded(key) = &self.left.0
                && is_bundled(key)
                && let Some((own, _)) = covering(self.db, key)?
            {
                from = Included(own);
            }
            self.stored = Some(self.db.range((from, self.left.1.clone())));
        }
        let Some(stored) = &mut self.stored else { return Ok(None) };
        if back { stored.next_back() } else { stored.next() }.transpose()
    }
}

fn is_between(row: &Row<'_>, (from, to): &(Bound<IVec>, Bound<IVec>)) -> bool {
    let is_after = match from {
        Included(key) => row.cmp(key).is_ge(),
        Excluded(key) => row.cmp(key).is_gt(),
        Unbounded => true,
    };
    is_after
        && match to {
            Included(key) => row.cmp(key).is_le(),
            Excluded(key) => row.cmp(key).is_lt(),
            Unbounded => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::view::Writes;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn db() -> sled::Db {
        sled::Config::new().temporary(true).open().unwrap()
    }

    fn key(n: u16) -> IVec {
        [&[prefix::DELIVERY][..], &n.to_be_bytes(), b"tail"].concat().into()
    }

    fn settle(db: &sled::Db, writes: &Writes) {
        let mut writes = writes.iter().map(|(key, write)| (key.clone(), write)).peekable();
        while writes.peek().is_some() {
            write(db, &mut writes).unwrap();
        }
    }

    fn put(range: impl Iterator<Item = u16>, bytes: usize) -> Writes {
        range.map(|n| (key(n), Write::Put(vec![n as u8; bytes].into()))).collect()
    }

    fn all(db: &sled::Db, back: bool) -> Vec<Entry> {
        let between =
            (Included(IVec::from(&[prefix::DELIVERY])), Excluded(IVec::from(&[prefix::DELIVERY + 1])));
        let mut range = Range::new(db, between);
        std::iter::from_fn(|| range.next(back)).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn rows_that_come_in_order_fill_their_bundles() {
        let db = db();
        for n in 0..10 {
            settle(&db, &put(n * 100..n * 100 + 100, 100));
        }
        let rows = BUNDLE_BYTES / (HEADER + 7 + 100);
        assert!(db.len() <= 1000 / rows + 2, "{} bundles", db.len());
        settle(&db, &(0..1000).map(|n| (key(n), Write::Remove)).collect());
        assert_eq!(db.len(), 0);
    }

    #[test]
    fn a_bundle_that_grows_in_the_middle_becomes_two_with_room() {
        let db = db();
        settle(&db, &put((0..2000).step_by(2), 60));
        let before = db.len();
        settle(&db, &put([501, 503].into_iter(), 1000));
        assert_eq!(db.len(), before + 1);
        assert_eq!(all(&db, false).len(), 1002);
        assert_eq!(get(&db, &key(501)).unwrap().unwrap().len(), 1000);
        assert_eq!(get(&db, &key(502)).unwrap().unwrap().len(), 60);
        assert!(get(&db, &key(505)).unwrap().is_none());
        settle(&db, &put(0..20, ROW_BYTES_MAX));
        assert_eq!(all(&db, true).len(), 1012);
    }

    #[test]
    fn rows_move_where_a_bundle_grows_in_the_middle_and_not_at_the_end() {
        let entry = |n: u16, bytes: usize| (key(n), IVec::from(vec![0; bytes]));
        let old = bundles(&key(0), &(0..20).map(|n| entry(2 * n, 150)).collect::<Vec<_>>(), true);
        assert_eq!(old.len(), 1);
        let with = |new: u16, is_last| {
            let rows = (0..20).map(|n| entry(2 * n, 150)).chain([entry(new, 1000)]);
            let rows = BTreeMap::from_iter(rows).into_iter().collect::<Vec<_>>();
            let new = bundles(&key(0), &rows, is_last);
            assert_eq!(new.len(), 2);
            moves(old.first(), &new).unwrap()
        };
        assert!(!with(40, true));
        assert!(with(40, false), "both have room where others follow");
        assert!(with(3, true));
    }

    #[test]
    fn what_moves_while_a_range_is_read_is_met_once() {
        for back in [false, true] {
            let db = db();
            settle(&db, &put((0..40).step_by(2), 150));
            let between = (Included(key(0)), Excluded(key(1000)));
            let mut range = Range::new(&db, between);
            let first = range.next(back).unwrap().unwrap();
            settle(&db, &put((1..40).step_by(2), 150));
            let mut keys = vec![first.0];
            keys.extend(std::iter::from_fn(|| range.next(back)).map(|entry| entry.unwrap().0));
            if back {
                keys.reverse();
            }
            assert!(keys.is_sorted_by(|a, b| a < b) && keys.len() >= 20, "{keys:?}");
            assert!((0..40).step_by(2).all(|n| keys.contains(&key(n))), "{keys:?}");
        }
    }

    #[test]
    fn a_damaged_bundle_is_an_error() {
        let db = db();
        settle(&db, &put(0..3, 10));
        let (own, bundle) = db.first().unwrap().unwrap();
        db.insert(own, &bundle[..bundle.len() - 1]).unwrap();
        let told = get(&db, &key(2)).unwrap_err().to_string();
        assert!(told.contains("a bundle of rows is cut short"), "{told}");
        let more = put(5..6, 1);
        let mut more = more.iter().map(|(key, write)| (key.clone(), write)).peekable();
        assert!(write(&db, &mut more).is_err());
        let mut range = Range::new(&db, (Included(key(0)), Unbounded));
        assert!(range.next(false).unwrap().is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever is written and removed in whatever order: bundles have what a map has.
        #[test]
        fn bundles_have_what_a_map_has(
            groups in vec(vec((0..300_u16, proptest::option::weighted(0.7, 0..700_usize)), 1..40), 1..30),
            cuts in vec((0..300_u16, 0..300_u16, any::<bool>()), 5),
        ) {
            let (db, mut model) = (db(), BTreeMap::new());
            for group in groups {
                let writes: Writes = group
                    .into_iter()
                    .map(|(n, len)| (key(n), len.map_or(Write::Remove, |len| Write::Put(vec![7; len].into()))))
                    .collect();
                settle(&db, &writes);
                for (key, write) in writes {
                    match write.row() {
                        Some(row) => drop(model.insert(key, row.clone())),
                        None => drop(model.remove(&key)),
                    }
                }
            }
            let expected: Vec<Entry> = model.clone().into_iter().collect();
            prop_assert_eq!(all(&db, false), expected);
            for n in 0..300 {
                prop_assert_eq!(get(&db, &key(n)).unwrap(), model.get(&key(n)).cloned());
            }
            for (a, b, back) in cuts {
                let (from, to) = (key(a.min(b)), key(a.max(b)));
                let mut range = Range::new(&db, (Excluded(from.clone()), Included(to.clone())));
                let found: Vec<_> = std::iter::from_fn(|| range.next(back)).map(|entry| entry.unwrap().0).collect();
                let mut expected: Vec<_> = model.keys().filter(|key| **key > from && **key <= to).cloned().collect();
                if back {
                    expected.reverse();
                }
                prop_assert_eq!(found, expected);
            }
        }
    }
}
