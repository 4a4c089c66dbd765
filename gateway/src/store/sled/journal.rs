//! What makes commits durable: two files beside sled's that are written in turns, a record for each group.
//!
//! A *generation* of groups is written into one file from its beginning. Once it is large enough the next one begins in
//! the other file, while `settler` brings the rows of the first into the tree; only when they are durable there is
//! their file written again. So files keep their length, and a sync is one append over old bytes.
//!
//! A record, numbers big endian:
//!
//! | bytes | |
//! |---|---|
//! | 4 | length of the writes |
//! | 4 | CRC-32 (ISO 3309) of all that follows |
//! | 8 | its generation |
//! | 4 | its number in the generation, from 0 |
//! | 4 | how many records the generation before has |
//! | | the writes |
//!
//! A write is the length of its key in 2 bytes, the key, the length of its row in 4 bytes, and the row; a length of
//! [`NO_ROW`] says that there is no row from then on. Whatever stands behind the last record of a generation is older,
//! or was cut short before anybody was told that it is durable.

use super::committer::UNSYNCED_MAX;
use super::view::{Write, Writes};
use crate::store::StoreError;
use sled::IVec;
use std::fs::File;
use std::io::{BufReader, Error as IoError, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The files, in the store's directory: a generation is in the one of its remainder by two.
const FILES: [&str; 2] = ["journal-0", "journal-1"];
/// What stands before the writes.
const HEADER: usize = 24;
/// What the checksum does not cover.
const UNCHECKED: usize = 8;
/// Stands for the length of a row that is removed.
const NO_ROW: u32 = u32::MAX;

/// Which of the files a generation is in.
fn file_of(generation: u64) -> usize {
    usize::from(generation % 2 == 1)
}

/// The writes of a group on their way to the journal.
pub(super) struct Record(Vec<u8>);

impl Record {
    /// Encodes writes: what can be done before it is known where they will stand.
    pub(super) fn of(writes: &Writes) -> Record {
        let mut bytes = vec![0; HEADER];
        for (key, write) in writes {
            let len = u16::try_from(key.len()).expect("keys are short");
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(key);
            let row = write.row();
            let len = row.map_or(NO_ROW, |row| u32::try_from(row.len()).expect("rows are short"));
            bytes.extend_from_slice(&len.to_be_bytes());
            row.iter().for_each(|row| bytes.extend_from_slice(row));
        }
        Record(bytes)
    }

    fn seal(&mut self, place: Place) -> &[u8] {
        let Record(bytes) = self;
        let len = u32::try_from(bytes.len() - HEADER).expect("a group is far smaller than 4 GiB");
        bytes[8..16].copy_from_slice(&place.generation.to_be_bytes());
        bytes[16..20].copy_from_slice(&place.n.to_be_bytes());
        bytes[20..24].copy_from_slice(&place.before.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[UNCHECKED..]);
        bytes[..4].copy_from_slice(&len.to_be_bytes());
        bytes[4..8].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    generation: u64,
    n: u32,
    before: u32,
}

/// The files, and where the next record goes.
#[derive(Debug)]
pub(super) struct Journal {
    files: [File; 2],
    next: Place,
    offset: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens the files in a directory, and makes those that are missing; their names are durable once the directory is
    /// synced.
    pub(super) fn open(dir: &Path) -> Result<Journal, IoError> {
        let open = |name| {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false).open(dir.join(name))?;
            file.sync_all()?;
            Ok::<_, IoError>(file)
        };
        let files = [open(FILES[0])?, open(FILES[1])?];
        Ok(Journal { files, next: Place { generation: 0, n: 0, before: 0 }, offset: 0, buffer: Vec::new() })
    }

    /// Whether a file is not there.
    pub(super) fn is_missing(dir: &Path) -> bool {
        FILES.iter().any(|name| !dir.join(name).exists())
    }

    /// The generations after `settled`, the oldest first: what they have the tree may not.
    ///
    /// Fails with [`StoreError::Damaged`] where a generation is missing, or is not whole although the one after it was
    /// begun: that one is begun when this one is durable.
    pub(super) fn unsettled(&self, settled: u64) -> Result<Vec<u64>, StoreError> {
        let mut ends = Vec::new();
        for file in &self.files {
            let end = records(file)?.last().transpose()?.map(|(place, _)| place);
            ends.extend(end.filter(|end| end.generation > settled));
        }
        ends.sort_by_key(|end| end.generation);
        for (expected, found) in (settled + 1..).zip(&ends) {
            if found.generation != expected {
                return Err(StoreError::Damaged(format!(
                    "the journal goes on with generation {} where {expected} is missing: restore a backup that was \
                     made while no gateway ran",
                    found.generation
                )));
            }
        }
        if let [first, second] = ends.as_slice()
            && first.n + 1 != second.before
        {
            return Err(StoreError::Damaged(format!(
                "the journal has {} of {} records of generation {}: restore a backup",
                first.n + 1,
                second.before,
                first.generation
            )));
        }
        Ok(ends.into_iter().map(|end| end.generation).collect())
    }

    /// Fails with [`StoreError::Damaged`] where a record after `settled` is not whole although it was durable: at most
    /// [`UNSYNCED_MAX`] are written without a sync between, so nothing of its generation may stand further behind it.
    pub(super) fn check(&self, settled: u64) -> Result<(), StoreError> {
        for mut file in &self.files {
            let (generations, n) = match records(file)?.last().transpose()? {
                Some((Place { generation, n, .. }, _)) if generation > settled => {
                    (generation..=generation, n + 1)
                }
                Some(_) => continue,
                None => (settled + 1..=settled + 2, 0),
            };
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(unreadable)?;
            let first = n as usize + UNSYNCED_MAX;
            let found = generations
                .flat_map(|generation| whole(&bytes, generation))
                .find(|place| place.n as usize >= first);
            if let Some(Place { generation, n: behind, .. }) = found {
                return Err(StoreError::Damaged(format!(
                    "record {n} of generation {generation} of the journal cannot be read, and record {behind} can: restore a \
                     backup"
                )));
            }
        }
        Ok(())
    }

    /// The writes of a generation that is not settled, record by record.
    pub(super) fn writes(
        &self,
        generation: u64,
    ) -> Result<impl Iterator<Item = Result<Writes, StoreError>>, StoreError> {
        Ok(records(&self.files[file_of(generation)])?.map(move |record| {
            let (_, writes) = record?;
            decode(&writes).ok_or_else(|| {
                StoreError::Damaged(format!(
                    "a record of generation {generation} of the journal cannot be read"
                ))
            })
        }))
    }

    /// Begins a generation that has no record yet and is newer than all before it.
    pub(super) fn begin(&mut self, generation: u64) {
        let before = self.next.n;
        self.next = Place { generation, n: 0, before };
        self.offset = 0;
    }

    /// The generation that is being written.
    pub(super) fn generation(&self) -> u64 {
        self.next.generation
    }

    /// Appends records: they are durable when this returns, and not before.
    pub(super) fn append(&mut self, records: &mut [Record]) -> Result<(), IoError> {
        self.buffer.clear();
        for record in records {
            self.buffer.extend_from_slice(record.seal(self.next));
            self.next.n += 1;
        }
        let file = &self.files[file_of(self.next.generation)];
        file.write_all_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        file.sync_data()
    }

    /// Bytes of both files in a directory.
    pub(super) fn bytes_on_disk(dir: &Path) -> u64 {
        FILES.iter().filter_map(|name| dir.join(name).metadata().ok()).map(|file| file.len()).sum()
    }
}

/// The records of the generation in a file, as far as they are whole.
fn records(mut file: &File) -> Result<Records<'_>, StoreError> {
    file.rewind().map_err(unreadable)?;
    let left = file.metadata().map_err(unreadable)?.len();
    Ok(Records { file: BufReader::new(file), left, next: None })
}

/// Reads the records of a file, one at a time: all of them are megabytes.
struct Records<'a> {
    file: BufReader<&'a File>,
    /// Bytes that are not read.
    left: u64,
    /// Where the next one stands, once there was one.
    next: Option<Place>,
}

impl Records<'_> {
    fn read(&mut self) -> Result<Option<(Place, Vec<u8>)>, IoError> {
        let mut header = [0; HEADER];
        let Some(left) = self.left.checked_sub(HEADER as u64) else { return Ok(None) };
        self.file.read_exact(&mut header)?;
        let Some((len, checksum, place)) = unseal(&header) else { return Ok(None) };
        let Some(left) = left.checked_sub(len) else { return Ok(None) };
        self.left = left;
        let mut writes = vec![0; len as usize];
        self.file.read_exact(&mut writes)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header[UNCHECKED..]);
        hasher.update(&writes);
        if u64::from(hasher.finalize()) != checksum {
            return Ok(None);
        }
        let expected = self.next.unwrap_or(Place { n: 0, ..place });
        self.next = Some(Place { n: place.n + 1, ..place });
        Ok((place == expected).then_some((place, writes)))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<(Place, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(unreadable).transpose()
    }
}

/// Where the whole records of a generation stand, wherever in a file they are.
fn whole(bytes: &[u8], generation: u64) -> impl Iterator<Item = Place> {
    let name = generation.to_be_bytes();
    let begins =
        (0..bytes.len().saturating_sub(HEADER)).filter(move |at| bytes[at + UNCHECKED..][..8] == name);
    begins.filter_map(|at| {
        let (header, rest) = bytes[at..].split_first_chunk()?;
        let (len, checksum, place) = unseal(header)?;
        let end = HEADER + rest.get(..usize::try_from(len).ok()?)?.len();
        (u64::from(crc32fast::hash(&bytes[at..][UNCHECKED..end])) == checksum).then_some(place)
    })
}

fn unreadable(error: IoError) -> StoreError {
    StoreError::Damaged(format!("cannot read the journal: {error}"))
}

/// What a header says: the length of the writes, the checksum, and where the record stands.
fn unseal(header: &[u8; HEADER]) -> Option<(u64, u64, Place)> {
    let (len, rest) = number::<4>(header)?;
    let (checksum, rest) = number::<4>(rest)?;
    let (generation, rest) = number::<8>(rest)?;
    let (n, rest) = number::<4>(rest)?;
    let (before, _) = number::<4>(rest)?;
    Some((len, checksum, Place { generation, n: n as u32, before: before as u32 }))
}

/// The writes of a record.
fn decode(mut record: &[u8]) -> Option<Writes> {
    let mut writes = Writes::new();
    while !record.is_empty() {
        let (len, rest) = number::<2>(record)?;
        let (key, rest) = rest.split_at_checked(len as usize)?;
        let (len, rest) = number::<4>(rest)?;
        let (write, rest) = match len {
            len if len == u64::from(NO_ROW) => (Write::Remove, rest),
            len => {
                let (row, rest) = rest.split_at_checked(len as usize)?;
                (Write::Put(row.into()), rest)
            }
        };
        writes.insert(IVec::from(key), write);
        record = rest;
    }
    Some(writes)
}

/// A number of `N` bytes at the beginning, and what follows it.
fn number<const N: usize>(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<N>()?;
    Some((number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(rows: &[(&str, Option<&str>)]) -> Writes {
        let write = |row: &Option<&str>| row.map_or(Write::Remove, |row| Write::Put(row.into()));
        rows.iter().map(|(key, row)| ((*key).into(), write(row))).collect()
    }

    fn append(journal: &mut Journal, rows: &[(&str, Option<&str>)]) {
        journal.append(&mut [Record::of(&writes(rows))]).unwrap();
    }

    /// What the generations write, and the number of the newest.
    fn read(dir: &Path, settled: u64) -> Result<(Writes, u64), StoreError> {
        let journal = Journal::open(dir).unwrap();
        let found = journal.unsettled(settled)?;
        let records = found.iter().flat_map(|generation| journal.writes(*generation).unwrap());
        let writes = records.flat_map(Result::unwrap).collect();
        Ok((writes, *found.last().unwrap_or(&settled)))
    }

    /// Two generations, the second of two records.
    fn two(dir: &Path) -> Journal {
        let mut journal = Journal::open(dir).unwrap();
        journal.begin(6);
        append(&mut journal, &[("a", Some("1")), ("b", Some("1"))]);
        append(&mut journal, &[("b", None)]);
        journal.begin(7);
        journal
            .append(&mut [Record::of(&writes(&[("c", Some(""))])), Record::of(&writes(&[("a", Some("2"))]))])
            .unwrap();
        journal
    }

    #[test]
    fn what_was_appended_is_read_the_newest_of_each_key() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), 5).unwrap(), (Writes::new(), 5));
        two(dir.path());
        let both = writes(&[("a", Some("2")), ("b", None), ("c", Some(""))]);
        assert_eq!(read(dir.path(), 5).unwrap(), (both, 7));
        assert_eq!(read(dir.path(), 6).unwrap(), (writes(&[("a", Some("2")), ("c", Some(""))]), 7));
        assert_eq!(read(dir.path(), 7).unwrap(), (Writes::new(), 7));
    }

    #[test]
    fn a_generation_over_a_longer_one_ends_where_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = two(dir.path());
        journal.begin(8);
        append(&mut journal, &[("z", Some("3"))]);
        assert_eq!(read(dir.path(), 7).unwrap(), (writes(&[("z", Some("3"))]), 8));
    }

    #[test]
    fn the_end_may_be_torn_at_any_byte() {
        let dir = tempfile::tempdir().unwrap();
        two(dir.path());
        let path = dir.path().join(FILES[1]);
        let whole = std::fs::read(&path).unwrap();
        let len = u32::from_be_bytes(*whole.first_chunk().unwrap());
        let first = HEADER + len as usize;
        for cut in 0..whole.len() {
            let mut torn = whole.clone();
            torn[cut..].fill(0xee);
            for bytes in [&whole[..cut], &torn] {
                std::fs::write(&path, bytes).unwrap();
                let (found, _) = read(dir.path(), 5).unwrap();
                let expected = match cut {
                    cut if cut < first => writes(&[("a", Some("1")), ("b", None)]),
                    _ => writes(&[("a", Some("1")), ("b", None), ("c", Some(""))]),
                };
                assert_eq!(found, expected, "at {cut}");
            }
        }
    }

    #[test]
    fn a_hole_that_was_durable_is_told_and_a_torn_end_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.begin(6);
        (0..6).for_each(|n| append(&mut journal, &[("a", Some(&n.to_string()))]));
        let path = dir.path().join(FILES[0]);
        let whole = std::fs::read(&path).unwrap();
        let record = whole.len() / 6;
        for (n, told) in [(0, true), (1, true), (2, false), (5, false)] {
            let mut bytes = whole.clone();
            bytes[n * record + record - 1] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            let checked = Journal::open(dir.path()).unwrap().check(5);
            assert_eq!(checked.is_err(), told, "record {n}: {checked:?}");
            assert!(
                Journal::open(dir.path()).unwrap().check(7).is_ok(),
                "once it is settled nobody asks for it"
            );
        }
    }

    #[test]
    fn a_hole_before_a_newer_generation_is_told() {
        let dir = tempfile::tempdir().unwrap();
        two(dir.path());
        let path = dir.path().join(FILES[0]);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = read(dir.path(), 5).unwrap_err();
        assert!(matches!(&error, StoreError::Damaged(why) if why.contains("1 of 2 records")), "{error}");
        assert!(read(dir.path(), 6).is_ok(), "once it is settled nobody asks for it");
        std::fs::write(&path, b"").unwrap();
        for settled in [4, 5] {
            let error = read(dir.path(), settled).unwrap_err().to_string();
            assert!(error.contains(&format!("{} is missing", settled + 1)), "{error}");
        }
    }
}
