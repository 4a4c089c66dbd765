//! What a verb sees and writes: its own writes over those of its group over the tree. A reader outside the committer
//! has the tree alone.

use super::keys;
use super::pack::unpack;
use super::rows::{self, Cut, Pieces, ROW_BYTES_MAX, Value};
use super::young::Young;
use crate::store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sled::IVec;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound::{Excluded, Included};

/// Writes that are not in the tree yet.
pub(super) type Writes = BTreeMap<IVec, Write>;

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It is this.
    Put(IVec),
    /// It is this, and what is committed with it says so too: it need not be in the tree yet (see [`Young`]).
    Young(IVec),
    /// There is none.
    Remove,
}

impl Write {
    /// The row from then on.
    pub(super) fn row(&self) -> Option<&IVec> {
        match self {
            Write::Put(row) | Write::Young(row) => Some(row),
            Write::Remove => None,
        }
    }
}

/// The rows as one verb sees them, and what it writes.
pub(super) struct View<'a> {
    db: &'a sled::Db,
    /// Before the tree: what is here may be moved there between two looks.
    young: Option<&'a Young>,
    group: Option<&'a Writes>,
    own: Writes,
}

/// A key and its row.
pub(super) type Entry = (IVec, IVec);

impl<'a> View<'a> {
    /// The tree alone, as it is now. Two reads may see two states of it.
    pub(super) fn of(db: &'a sled::Db) -> View<'a> {
        View { db, young: None, group: None, own: Writes::new() }
    }

    /// All rows, in the tree or too young for it.
    pub(super) fn with(db: &'a sled::Db, young: &'a Young) -> View<'a> {
        View { young: Some(young), ..View::of(db) }
    }

    /// All rows and what the group of the verb has written.
    pub(super) fn over(db: &'a sled::Db, young: Option<&'a Young>, group: &'a Writes) -> View<'a> {
        View { young, group: Some(group), ..View::of(db) }
    }

    /// What was written.
    pub(super) fn into_writes(self) -> Writes {
        self.own
    }

    /// A row.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let written = self.own.get(key).or_else(|| self.group.and_then(|group| group.get(key)));
        match written {
            Some(write) => Ok(write.row().cloned()),
            None => match self.young.and_then(|young| young.get(key)) {
                Some(row) => Ok(Some(row)),
                None => self.db.get(key).map_err(unreadable),
            },
        }
    }

    /// Whether there is a row.
    pub(super) fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.get(key)?.is_some())
    }

    /// A value, from its pieces if it is cut.
    pub(super) fn value(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let Some(row) = self.get(key)? else { return Ok(None) };
        self.whole(key, row)
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
    pub(super) fn range(&self, from: &[u8], to: &[u8]) -> Merged {
        let written: Written = Box::new(self.written(from, to).into_iter());
        let tree = Box::new(self.db.range(from..to).map(|entry| entry.map_err(unreadable)));
        Merged { tree: (tree as Tree).peekable(), written: written.peekable(), back: false }
    }

    /// The same rows, last first.
    pub(super) fn range_back(&self, from: &[u8], to: &[u8]) -> Merged {
        let written: Written = Box::new(self.written(from, to).into_iter().rev());
        let tree = Box::new(self.db.range(from..to).rev().map(|entry| entry.map_err(unreadable)));
        Merged { tree: (tree as Tree).peekable(), written: written.peekable(), back: true }
    }

    /// What is too young for the tree, and what the group and the verb have written there; at most what a group may
    /// hold.
    fn written(&self, from: &[u8], to: &[u8]) -> Writes {
        let mut written = self.young.map_or_else(Writes::new, |young| young.range(from, to));
        for layer in self.group.into_iter().chain([&self.own]) {
            if !layer.is_empty() && from < to {
                written.extend(
                    layer
                        .range::<[u8], _>((Included(from), Excluded(to)))
                        .map(|(key, row)| (key.clone(), row.clone())),
                );
            }
        }
        written
    }

    /// The first row that begins with `prefix`.
    pub(super) fn first(&self, prefix: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.range(prefix, &keys::end_of(prefix)).next().transpose()
    }

    /// Writes a row of at most [`ROW_BYTES_MAX`] bytes.
    pub(super) fn put(&mut self, key: impl Into<IVec>, row: impl Into<IVec>) {
        let row = row.into();
        debug_assert!(row.len() <= ROW_BYTES_MAX, "a row of {} bytes", row.len());
        self.own.insert(key.into(), Write::Put(row));
    }

    /// Writes a row of at most [`ROW_BYTES_MAX`] bytes that [`Young::recover`] can bring back.
    pub(super) fn put_young(&mut self, key: impl Into<IVec>, row: impl Into<IVec>) {
        self.own.insert(key.into(), Write::Young(row.into()));
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, key: impl Into<IVec>) {
        self.own.insert(key.into(), Write::Remove);
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

type Tree = Box<dyn Iterator<Item = Result<Entry, StoreError>>>;
type Written = Box<dyn Iterator<Item = (IVec, Write)>>;

/// Two ordered sequences as one; where both name a key, what was written wins.
pub(super) struct Merged {
    tree: Peekable<Tree>,
    written: Peekable<Written>,
    back: bool,
}

impl Iterator for Merged {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((written, _)) = self.written.peek() else { return self.tree.next() };
            let order = match self.tree.peek() {
                None => std::cmp::Ordering::Greater,
                Some(Err(_)) => return self.tree.next(),
                Some(Ok((key, _))) if self.back => written.cmp(key),
                Some(Ok((key, _))) => key.cmp(written),
            };
            match order {
                std::cmp::Ordering::Less => return self.tree.next(),
                std::cmp::Ordering::Equal => drop(self.tree.next()),
                std::cmp::Ordering::Greater => {}
            }
            if let Some((key, Write::Put(row) | Write::Young(row))) = self.written.next() {
                return Some(Ok((key, row)));
            }
        }
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
        for key in ["a", "c", "e", "g"] {
            db.insert(key, "0").unwrap();
        }
        let group: Writes = [("a", None), ("b", Some("1")), ("c", Some("1")), ("h", Some("1"))]
            .into_iter()
            .map(entry)
            .collect();
        let mut view = View::over(&db, None, &group);
        view.put("c", "2");
        view.remove("e");
        view.remove("h");
        view.put("f", "2");
        assert_eq!(text(view.range(b"a", b"z")), "b1c2f2g0");
        assert_eq!(text(view.range_back(b"a", b"z")), "g0f2c2b1");
        assert_eq!(text(view.range(b"c", b"g")), "c2f2");
        assert_eq!(text(View::of(&db).range_back(b"a", b"f")), "e0c0a0");
        assert_eq!(view.get(b"c").unwrap().unwrap(), "2");
        assert!(!view.has(b"a").unwrap());
        assert_eq!(view.first(b"b").unwrap().unwrap().1, "1");
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
