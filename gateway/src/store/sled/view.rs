//! What a verb sees and writes: its own writes over those of its group, over what was committed lately, over the tree.
//! A reader outside the committer has no group.

use super::bundle;
use super::keys;
use super::pack::unpack;
use super::places;
use super::recent::{self, Known, Recent};
use super::rows::{self, Cut, Pieces, ROW_BYTES_MAX, Value};
use crate::store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sled::IVec;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{self, Excluded, Included};

/// Most writes that are copied at once from what was committed lately.
const COPIED_AT_ONCE: usize = 64;

/// How often a value is looked at that was replaced between a look at its row and one at its pieces.
const LOOKS_MAX: usize = 4;

/// Writes that are not in the tree yet.
pub(super) type Writes = BTreeMap<IVec, Write>;

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It is this.
    Put(IVec),
    /// It is this, and there was none before in what this is written over, nor in the tree.
    New(IVec),
    /// There is none.
    Remove,
}

impl Write {
    /// The row from then on.
    pub(super) fn row(&self) -> Option<&IVec> {
        match self {
            Write::Put(row) | Write::New(row) => Some(row),
            Write::Remove => None,
        }
    }

    /// Bytes of its key and its row.
    pub(super) fn size(&self, key: &[u8]) -> usize {
        key.len() + self.row().map_or(0, |row| row.len())
    }

    fn into_row(self) -> Option<IVec> {
        match self {
            Write::Put(row) | Write::New(row) => Some(row),
            Write::Remove => None,
        }
    }
}

/// The rows as one verb sees them, and what it writes.
pub(super) struct View<'a> {
    db: &'a sled::Db,
    /// Looked at before the tree: what is here may be moved there between two looks.
    recent: Option<&'a Recent>,
    group: Option<&'a Writes>,
    own: Writes,
}

/// A key and its row.
pub(super) type Entry = (IVec, IVec);

impl<'a> View<'a> {
    /// The tree alone, as it is now, but for rows that have lots. Two reads may see two states of it.
    pub(super) fn of(db: &'a sled::Db) -> View<'a> {
        View { db, recent: None, group: None, own: Writes::new() }
    }

    /// All that is committed.
    pub(super) fn with(db: &'a sled::Db, recent: &'a Recent) -> View<'a> {
        View { recent: Some(recent), ..View::of(db) }
    }

    /// All that is committed, and what the group of the verb has written.
    pub(super) fn over(db: &'a sled::Db, recent: &'a Recent, group: &'a Writes) -> View<'a> {
        View { recent: Some(recent), group: Some(group), ..View::of(db) }
    }

    /// What was written.
    pub(super) fn into_writes(self) -> Writes {
        self.own
    }

    /// A row.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let written = self.own.get(key).or_else(|| self.group.and_then(|group| group.get(key)));
        if let Some(write) = written {
            return Ok(write.row().cloned());
        }
        match self.recent.map_or(Known::Tree, |recent| recent.get(key)) {
            Known::Written(write) => Ok(write.into_row()),
            Known::Nothing => Ok(None),
            Known::Tree => bundle::get(self.db, key).map_err(unreadable),
            Known::Lots(lots) => self.in_lots(key, &lots),
        }
    }

    /// A row that was in one of these lots at the last look, the newest first.
    pub(super) fn in_lots(&self, key: &[u8], lots: &[u32]) -> Result<Option<IVec>, StoreError> {
        let key = IVec::from(key);
        for lot in lots {
            let row = bundle::get(self.db, &places::key_in(*lot, &key)).map_err(unreadable)?;
            if row.is_some() {
                return Ok(row);
            }
            // It may have moved meanwhile. An older one must not be taken for it.
            if self
                .recent
                .is_some_and(|recent| !matches!(recent.get(&key), Known::Lots(same) if same == lots))
            {
                return self.get(&key);
            }
        }
        Ok(None)
    }

    /// Whether there is a row.
    pub(super) fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.get(key)?.is_some())
    }

    /// A value, from its pieces if it is cut.
    pub(super) fn value(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        for _ in 0..LOOKS_MAX {
            let Some(row) = self.get(key)? else { break };
            let whole = self.whole(key, row)?;
            if whole.is_some() {
                return Ok(whole);
            }
        }
        Ok(None)
    }

    /// The value of a row, from its pieces if it is cut, unpacked. `None` if it was replaced meanwhile.
    fn whole(&self, key: &[u8], row: IVec) -> Result<Option<IVec>, StoreError> {
        let written = match Cut::read(&row)? {
            None => row,
            Some(cut) => match self.join(&keys::pieces(key, cut.generation), cut.bytes)? {
                Some(bytes) => bytes.into(),
                None => return Ok(None),
            },
        };
        Ok(Some(unpack(&written)?.map_or(written, IVec::from)))
    }

    /// The pieces that begin with `prefix`, if together they are `len` bytes.
    pub(super) fn join(&self, prefix: &[u8], len: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = Vec::with_capacity(len.try_into().unwrap_or(0));
        let mut any = false;
        for entry in self.range(prefix, &keys::end_of(prefix)) {
            bytes.extend_from_slice(&entry?.1);
            any = true;
        }
        Ok((any && bytes.len() as u64 == len).then_some(bytes))
    }

    /// A decoded row; `what` names it in errors.
    pub(super) fn read<T: DeserializeOwned>(&self, what: &str, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.value(key)?.map(|bytes| rows::decode(what, &bytes)).transpose()
    }

    /// The rows from `from` up to and without `to`, in order.
    pub(super) fn range(&self, from: &[u8], to: &[u8]) -> Merged<'a> {
        self.merged(from, to, false)
    }

    /// The same rows, last first.
    pub(super) fn range_back(&self, from: &[u8], to: &[u8]) -> Merged<'a> {
        self.merged(from, to, true)
    }

    fn merged(&self, from: &[u8], to: &[u8], back: bool) -> Merged<'a> {
        let from = from.min(to);
        let between = (Included(IVec::from(from)), Excluded(IVec::from(to)));
        // At most what a group may hold.
        let mut written = Writes::new();
        for layer in self.group.into_iter().chain([&self.own]) {
            let range = layer.range(between.clone());
            written.extend(range.map(|(key, write)| (key.clone(), write.clone())));
        }
        let recent = self.recent.map(|recent| Copied::first(recent, between.clone(), back));
        let tree = Tree::new(self.db, between);
        Merged { tree, recent, written, back }
    }

    /// The first row that begins with `prefix`.
    pub(super) fn first(&self, prefix: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.range(prefix, &keys::end_of(prefix)).next().transpose()
    }

    /// Writes a row of at most [`ROW_BYTES_MAX`] bytes.
    pub(super) fn put(&mut self, key: impl Into<IVec>, row: impl Into<IVec>) {
        let row = row.into();
        debug_assert!(row.len() <= ROW_BYTES_MAX, "a row of {} bytes", row.len());
        recent::put(&mut self.own, key.into(), Write::Put(row));
    }

    /// Writes a row where there is none. If it is removed soon, nothing of it is ever in the tree.
    pub(super) fn put_new(&mut self, key: impl Into<IVec>, row: impl Into<IVec>) {
        let (key, row) = (key.into(), row.into());
        debug_assert!(row.len() <= ROW_BYTES_MAX, "a row of {} bytes", row.len());
        debug_assert!(!matches!(self.has(&key), Ok(true)), "there is a row {key:?}");
        recent::put(&mut self.own, key, Write::New(row));
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, key: impl Into<IVec>) {
        let key = key.into();
        debug_assert!(!places::has_lots(&key), "older rows of {key:?} would be seen again");
        recent::put(&mut self.own, key, Write::Remove);
    }

    /// Encodes a value and writes it, in pieces if it must be. It may replace another.
    pub(super) fn write<T: Serialize>(&mut self, key: Vec<u8>, row: &T) -> Result<(), StoreError> {
        let value = Value::new(key, rows::encode(row), 0);
        self.put_value(&value)?;
        self.put_pieces(value.pieces.as_ref());
        Ok(())
    }

    /// Encodes and writes a row that is never longer than a row may be.
    pub(super) fn write_short<T: Serialize>(&mut self, key: Vec<u8>, row: &T) {
        self.put(key, rows::encode(row));
    }

    /// Writes the row of a value where there was none. Its pieces are written apart, as with [`View::put_value`].
    pub(super) fn put_new_value(&mut self, value: &Value) {
        self.put(value.key.as_slice(), value.row.as_slice());
    }

    /// Writes the row of a value, and removes the pieces of the value that it replaces. Its own are written apart,
    /// after this or before it, by [`View::put_pieces`].
    pub(super) fn put_value(&mut self, value: &Value) -> Result<(), StoreError> {
        if let Some(old) = self.get(&value.key)?
            && let Some(cut) = Cut::read(&old)?
        {
            let prefix = keys::pieces(&value.key, cut.generation);
            if value.pieces.as_ref().is_none_or(|pieces| pieces.prefix != prefix) {
                self.remove_all(&prefix)?;
            } else {
                let kept = value.pieces.as_ref().map_or(0, Pieces::count);
                let after = self.range(&keys::piece(&prefix, kept), &keys::end_of(&prefix));
                let after: Vec<Entry> = after.collect::<Result<_, _>>()?;
                after.into_iter().for_each(|(key, _)| self.remove(key));
            }
        }
        self.put_new_value(value);
        Ok(())
    }

    /// Writes all pieces.
    pub(super) fn put_pieces<'p>(&mut self, pieces: impl IntoIterator<Item = &'p Pieces>) {
        for pieces in pieces {
            for n in 0..pieces.count() {
                let (key, bytes) = pieces.piece(n);
                self.put(key, bytes);
            }
        }
    }

    /// Removes a value with its pieces.
    pub(super) fn remove_value(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        if let Some(row) = self.get(&key)?
            && let Some(cut) = Cut::read(&row)?
        {
            self.remove_all(&keys::pieces(&key, cut.generation))?;
        }
        self.remove(key);
        Ok(())
    }

    /// Removes every row that begins with `prefix`.
    pub(super) fn remove_all(&mut self, prefix: &[u8]) -> Result<(), StoreError> {
        let entries: Vec<Entry> = self.range(prefix, &keys::end_of(prefix)).collect::<Result<_, _>>()?;
        entries.into_iter().for_each(|(key, _)| self.remove(key));
        Ok(())
    }
}

/// The rows of a range in order, where the same key is named more than once as it was written last.
pub(super) struct Merged<'a> {
    tree: Tree<'a>,
    recent: Option<Copied<'a>>,
    written: Writes,
    back: bool,
}

impl Iterator for Merged<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // First, since it may have the tree begin again.
            let recent = self.recent.as_mut().and_then(|recent| recent.peek(&mut self.tree, self.back));
            let written =
                if self.back { self.written.last_key_value() } else { self.written.first_key_value() };
            let tree = match self.tree.peek(self.back) {
                Some(Err(_)) => return self.tree.take(),
                Some(Ok((key, _))) => Some(key),
                None => None,
            };
            let keys = [written.map(|(key, _)| key), recent, tree].into_iter().flatten();
            let key = (if self.back { keys.max() } else { keys.min() })?.clone();
            let tree = self.tree.take_if(&key);
            let recent = self.recent.as_mut().and_then(|recent| recent.take_if(&key));
            let row = match self.written.remove(&key).or(recent) {
                Some(write) => write.into_row(),
                None => tree,
            };
            if let Some(row) = row {
                return Some(Ok((key, row)));
            }
        }
    }
}

/// The ends of a range.
pub(super) type Between = (Bound<IVec>, Bound<IVec>);

/// The rows of a range in the tree.
struct Tree<'a> {
    db: &'a sled::Db,
    rows: bundle::Range<'a>,
    next: Option<Option<Result<Entry, StoreError>>>,
}

impl<'a> Tree<'a> {
    fn new(db: &'a sled::Db, between: Between) -> Tree<'a> {
        Tree { db, rows: bundle::Range::new(db, between), next: None }
    }

    fn peek(&mut self, back: bool) -> Option<&Result<Entry, StoreError>> {
        let rows = &mut self.rows;
        let read = || rows.next(back).map(|entry| entry.map_err(unreadable));
        self.next.get_or_insert_with(read).as_ref()
    }

    fn take(&mut self) -> Option<Result<Entry, StoreError>> {
        self.next.take().flatten()
    }

    fn take_if(&mut self, key: &IVec) -> Option<IVec> {
        match &self.next {
            Some(Some(Ok((head, _)))) if head == key => self.take()?.ok().map(|(_, row)| row),
            _ => None,
        }
    }
}

/// The writes of a range that were committed lately, copied a few at a time.
struct Copied<'a> {
    recent: &'a Recent,
    /// What is not copied yet; `None`: all is.
    rest: Option<Between>,
    some: VecDeque<(IVec, Write)>,
    /// How many layers had settled when it was looked at last.
    settled: u64,
}

impl<'a> Copied<'a> {
    fn first(recent: &'a Recent, between: Between, back: bool) -> Copied<'a> {
        let (some, settled) = recent.some(&between, back, COPIED_AT_ONCE);
        let mut copied = Copied { recent, rest: Some(between), some: some.into(), settled };
        copied.go_on(back);
        copied
    }

    /// Says where to go on after the last that was copied.
    fn go_on(&mut self, back: bool) {
        self.rest = match (self.rest.take(), self.some.back()) {
            (Some((from, to)), Some((last, _))) if self.some.len() == COPIED_AT_ONCE => {
                let last = Excluded(last.clone());
                Some(if back { (from, last) } else { (last, to) })
            }
            _ => None,
        };
    }

    /// The next key. What has settled since the last look is in the tree only, which is then read again from here on.
    fn peek(&mut self, tree: &mut Tree<'a>, back: bool) -> Option<&IVec> {
        if self.some.is_empty()
            && let Some(rest) = &self.rest
        {
            let (some, settled) = self.recent.some(rest, back, COPIED_AT_ONCE);
            if settled != self.settled {
                *tree = Tree::new(tree.db, rest.clone());
            }
            (self.some, self.settled) = (some.into(), settled);
            self.go_on(back);
        }
        self.some.front().map(|(key, _)| key)
    }

    fn take_if(&mut self, key: &IVec) -> Option<Write> {
        self.some.pop_front_if(|(head, _)| head == key).map(|(_, write)| write)
    }
}

fn unreadable(error: sled::Error) -> StoreError {
    StoreError::Damaged(format!("cannot read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entries: impl Iterator<Item = Result<Entry, StoreError>>) -> String {
        entries
            .map(|entry| entry.unwrap())
            .map(|(k, v)| format!("{}{}", k[0] as char, v[0] as char))
            .collect()
    }

    #[test]
    fn a_verb_sees_its_writes_over_its_groups_over_the_tree() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        for key in ["A", "C", "E", "G"] {
            db.insert(key, "0").unwrap();
        }
        let group: Writes = [("A", None), ("B", Some("1")), ("C", Some("1")), ("H", Some("1"))]
            .into_iter()
            .map(entry)
            .collect();
        let recent = Recent::default();
        let mut view = View::over(&db, &recent, &group);
        view.put("C", "2");
        view.remove("E");
        view.remove("H");
        view.put("F", "2");
        assert_eq!(text(view.range(b"A", b"Z")), "B1C2F2G0");
        assert_eq!(text(view.range_back(b"A", b"Z")), "G0F2C2B1");
        assert_eq!(text(view.range(b"C", b"G")), "C2F2");
        assert_eq!(text(View::of(&db).range_back(b"A", b"F")), "E0C0A0");
        assert_eq!(view.get(b"C").unwrap().unwrap(), "2");
        assert!(!view.has(b"A").unwrap());
        assert_eq!(view.first(b"B").unwrap().unwrap().1, "1");
    }

    #[test]
    fn a_list_goes_on_in_the_tree_where_rows_settle_meanwhile() {
        let row = |n: u32| (IVec::from(&n.to_be_bytes()), IVec::from(b"x"));
        for (back, after) in [(false, 0), (false, 70), (true, 0), (true, 63), (false, 64)] {
            let (db, recent) = (sled::Config::new().temporary(true).open().unwrap(), Recent::default());
            db.insert(row(500).0, "x").unwrap();
            recent.take((0..200).map(row).map(|(key, row)| (key, Write::Put(row))).collect());
            let mut list = View::with(&db, &recent).merged(&[0], &[1], back);
            let mut listed: Vec<_> = list.by_ref().take(after).collect();
            for (key, write) in &recent.close().writes {
                db.insert(key, write.row().unwrap()).unwrap();
            }
            recent.settled();
            listed.extend(list);
            let mut expected: Vec<_> = (0..200).chain([500]).map(row).collect();
            if back {
                expected.reverse();
            }
            assert_eq!(
                listed.into_iter().collect::<Result<Vec<_>, _>>().unwrap(),
                expected,
                "{back} {after}"
            );
        }
    }

    fn entry((key, row): (&str, Option<&str>)) -> (IVec, Write) {
        (key.into(), row.map_or(Write::Remove, |row| Write::Put(row.into())))
    }

    #[test]
    fn a_long_value_that_is_replaced_leaves_no_piece() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let mut view = View::of(&db);
        for len in [3 * ROW_BYTES_MAX, 2 * ROW_BYTES_MAX, ROW_BYTES_MAX + 1, 10] {
            let text: String = (0..len).map(|_| rand::random_range('!'..='~')).collect();
            view.write(b"wlong".to_vec(), &text).unwrap();
            assert_eq!(view.read::<String>("text", b"wlong").unwrap(), Some(text), "{len}");
        }
        assert!(view.first(&[keys::prefix::PIECE]).unwrap().is_none());
    }
}
