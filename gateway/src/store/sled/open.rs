//! Opens sled's directory: guarded, synced once, of a schema that we know, with all that the journal has, and rid of
//! what was cut short.

use super::journal::Journal;
use super::keys;
use super::places::Places;
use super::recent::Recent;
use super::settler::{Disk, Settler};
use super::view::{View, Writes};
use super::{CACHE_BYTES, Options};
use crate::store::StoreError;
use crate::store::crash::{Point, crash_point};
use std::cmp::Ordering;
use std::fs::{File, Permissions};
use std::io::{Error as IoError, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// The schema that we write.
pub(super) const SCHEMA: u32 = 5;
/// How often a lock that is held is asked for again, and the wait between: a process that is ending gets a second.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(50);
/// A file beside sled's, made once the first commit is durable. sled opens some damaged files as an empty store; with
/// this file there, an empty store is a loss.
const BORN: &str = "billhook-store";
/// Most rows that are removed between two syncs while opening.
const REMOVED_A_SYNC: usize = 1024;

/// A store that is open.
pub(super) struct Opened {
    /// The tree has every row.
    pub(super) disk: Disk,
    /// Nothing of it is needed any more.
    pub(super) journal: Journal,
    /// The thread that has opened it.
    pub(super) settler: Settler,
    /// Whether the process before closed it, or there was none.
    pub(super) clean: bool,
}

/// Opens or creates the store. When this returns, it is durably open: the clean mark is gone.
///
/// The settler's thread does it: an allocator keeps for each thread what that one has freed, and the settler goes on to
/// need what reading the files has taken. A thread that ended here would leave it to nobody.
pub(super) fn open(options: &Options) -> Result<Opened, StoreError> {
    let path = options.path.display().to_string();
    let failed = move |why: String| StoreError::Open { path: path.clone(), why };
    let settler = Settler::start().map_err(|error| failed(format!("cannot start a thread: {error}")))?;
    let (options, failed_there) = (options.clone(), failed.clone());
    // A damaged file can make sled panic instead of failing.
    let opened = settler.run(move || open_here(&options, failed_there)).unwrap_or_else(|| {
        Err(failed(
            "opening it panicked, as it does where files are damaged: restore a backup or move them away"
                .into(),
        ))
    });
    let (disk, journal, clean) = opened?;
    Ok(Opened { disk, journal, settler, clean })
}

fn open_here(
    options: &Options,
    failed: impl Fn(String) -> StoreError,
) -> Result<(Disk, Journal, bool), StoreError> {
    std::fs::create_dir_all(&options.path).map_err(|error| failed(error.to_string()))?;
    // It has what endpoints sign with. One that is another user's, as a mount may be, is that one's to close.
    if let Err(error) = std::fs::set_permissions(&options.path, Permissions::from_mode(0o700)) {
        warn!(path = %options.path.display(), %error, "others may read the store: it cannot be closed to them");
    }
    let db = open_sled(options).map_err(&failed)?;
    let born = options.path.join(BORN);
    let fresh = db.is_empty() && !born.exists();
    check_schema(&db, fresh)?;
    let clean = fresh || db.contains_key(keys::CLEAN).map_err(|error| failed(error.to_string()))?;

    // Before it is made anew: the next start would find it there.
    if !clean && Journal::is_missing(&options.path) {
        return Err(StoreError::Damaged("a file of its journal is missing: restore a backup".into()));
    }
    let mut journal = Journal::open(&options.path).map_err(|error| failed(error.to_string()))?;
    let file = sync_files(&options.path).map_err(|error| failed(format!("cannot sync: {error}")))?;

    let unwritten = |error: sled::Error| failed(error.to_string());
    let places = Places::read(&db).map_err(unwritten)?;
    let disk = Disk::new(db, Arc::new(Recent::over(places)), file);
    // First of all rows: whoever finds others without it finds no store of ours.
    disk.db.insert(keys::SCHEMA, &SCHEMA.to_be_bytes()).map_err(unwritten)?;
    if !clean {
        journal.check(settled(&disk)?)?;
    }
    let generation = bring_back(&disk, &journal, unwritten)?;
    crash_point(Point::InOpening);
    disk.recent.learn_last(&disk.db)?;
    disk.db.remove(keys::CLEAN).map_err(unwritten)?;
    disk.sync().map_err(unwritten)?;
    journal.begin(generation);
    if !born.exists() {
        mark_born(&born).map_err(|error| failed(format!("cannot mark it: {error}")))?;
    }
    remove_staged(&disk, unwritten)?;
    info!(path = %options.path.display(), clean, "store opened");
    Ok((disk, journal, clean))
}

/// Writes to the tree what only the journal has, a generation after the other. Answers the generation to begin with: a
/// record that an ended process has left half written is of an older one.
fn bring_back(
    disk: &Disk,
    journal: &Journal,
    failed: impl Fn(sled::Error) -> StoreError,
) -> Result<u64, StoreError> {
    let mut settled = settled(disk)?;
    for generation in journal.unsettled(settled)? {
        let mut writes = Writes::new();
        for more in journal.writes(generation)? {
            writes.extend(more?);
        }
        let worn = disk.settle(generation, &writes, |_, _| ()).map_err(&failed)?;
        disk.remove(worn, || ()).map_err(&failed)?;
        settled = generation;
    }
    let over = settled + 1;
    disk.settle(over, &Writes::new(), |_, _| ()).map_err(&failed)?;
    Ok(over + 1)
}

/// The newest generation of the journal of which the tree has every row.
fn settled(disk: &Disk) -> Result<u64, StoreError> {
    let row = View::of(&disk.db).get(keys::SETTLED)?;
    Ok(row.and_then(|row| row.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
}

fn open_sled(options: &Options) -> Result<sled::Db, String> {
    let config = sled::Config::new()
        .path(&options.path)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE_BYTES)
        // No thread of sled's that flushes: `Disk::sync` does. It would also move segments about, and does not end once the
        // file has shrunk, since it counts as free what lies behind its end: 4 MB/s of an idle gateway, for ever. Garbage is
        // collected with each page that is replaced all the same.
        .flush_every_ms(None);
    for tries in 1.. {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(error) if is_locked(&error) && tries < LOCK_TRIES => std::thread::sleep(LOCK_WAIT),
            Err(error) if is_locked(&error) => break,
            Err(error) => return Err(format!("{error}; {}", remedy(&error))),
        }
    }
    Err("another process has it open".into())
}

/// What is to be done about an error of sled's.
fn remedy(error: &sled::Error) -> &'static str {
    match error {
        sled::Error::Io(io) if io.kind() == ErrorKind::StorageFull => "free some space: nothing is lost",
        sled::Error::Io(io)
            if matches!(io.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            "let the gateway's user write there: nothing is lost"
        }
        _ => "restore a backup or move the directory away",
    }
}

/// sled has no variant for it, only this text.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"))
}

/// Syncs what sled never does: its configuration and the directories that name its files.
fn sync_files(path: &Path) -> Result<File, IoError> {
    File::open(path.join("conf"))?.sync_all()?;
    let file = File::options().read(true).write(true).open(path.join("db"))?;
    file.sync_all()?;
    let path = path.canonicalize()?;
    // The directory itself, its parent and the one above: `create_dir_all` may have made them all.
    path.ancestors().take(3).map(PathBuf::from).try_for_each(|dir| File::open(dir)?.sync_all())?;
    Ok(file)
}

/// Writes the file that tells a store from a directory whose rows sled could not find any more.
fn mark_born(path: &Path) -> Result<(), IoError> {
    std::fs::write(path, "This directory is a store of Billhook. sled wrote the other files.\n")?;
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn check_schema(db: &sled::Db, fresh: bool) -> Result<(), StoreError> {
    match View::of(db).get(keys::SCHEMA)? {
        None if fresh => Ok(()),
        None if db.is_empty() => {
            Err(StoreError::Damaged("its rows are gone: restore a backup or move it away".into()))
        }
        None => {
            Err(StoreError::Damaged("it holds rows but no schema version: it is not a store of ours".into()))
        }
        Some(row) => {
            let found = row.as_ref().try_into().map(u32::from_be_bytes);
            let found = found.map_err(|_| StoreError::Damaged("its schema version cannot be read".into()))?;
            match found.cmp(&SCHEMA) {
                Ordering::Less => Err(StoreError::Older { found, known: SCHEMA }),
                Ordering::Equal => Ok(()),
                Ordering::Greater => Err(StoreError::Newer { found, known: SCHEMA }),
            }
        }
    }
}

/// Removes pieces that were written ahead of a commit that never came.
fn remove_staged(disk: &Disk, failed: impl Fn(sled::Error) -> StoreError) -> Result<(), StoreError> {
    while let Some((mark, _)) = View::of(&disk.db).first(&keys::staged(&[]))? {
        let prefix = keys::pieces_of_staged(&mark);
        warn!("removing the pieces of a commit that was cut short");
        loop {
            let view = View::of(&disk.db);
            let some = view.range(prefix, &keys::end_of(prefix)).take(REMOVED_A_SYNC);
            let some = some.collect::<Result<Vec<_>, _>>()?;
            for (key, _) in &some {
                disk.db.remove(key).map_err(&failed)?;
            }
            disk.sync().map_err(&failed)?;
            if some.len() < REMOVED_A_SYNC {
                break;
            }
        }
        disk.db.remove(mark).map_err(&failed)?;
        disk.sync().map_err(&failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_another_schema_is_refused() {
        for found in [SCHEMA - 1, SCHEMA + 1] {
            let dir = tempfile::tempdir().unwrap();
            let options = Options::at(dir.path());
            let opened = open(&options).unwrap();
            opened.disk.db.insert(keys::SCHEMA, &found.to_be_bytes()).unwrap();
            drop(opened);
            let error = open(&options).err().unwrap();
            assert_eq!(matches!(error, StoreError::Older { found: 4, known: 5 }), found < SCHEMA, "{error}");
            assert_eq!(matches!(error, StoreError::Newer { found: 6, known: 5 }), found > SCHEMA, "{error}");
        }
    }

    #[test]
    fn pieces_of_a_commit_that_was_cut_short_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::at(dir.path());
        let opened = open(&options).unwrap();
        let rows = opened.disk.db.len();
        for n in 0..1500 {
            opened.disk.db.insert(keys::piece(b"bcut", n), b"x").unwrap();
        }
        opened.disk.db.insert(keys::piece(b"bother", 0), b"x").unwrap();
        opened.disk.db.insert(keys::staged(b"bcut"), b"").unwrap();
        drop(opened);
        let opened = open(&options).unwrap();
        assert!(!opened.clean);
        assert_eq!(opened.disk.db.len(), rows + 1);
    }

    #[test]
    fn a_directory_of_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::at(dir.path());
        sled::open(dir.path()).unwrap().insert("hello", "world").unwrap();
        assert!(matches!(open(&options).err(), Some(StoreError::Damaged(_))));
    }

    #[test]
    fn damaged_files_are_an_error_and_not_an_empty_store() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::at(dir.path());
        drop(open(&options).unwrap());
        let db = dir.path().join("db");
        let len = std::fs::metadata(&db).unwrap().len();
        for byte in [0, 0xa5] {
            std::fs::write(&db, vec![byte; len as usize]).unwrap();
            let error = open(&options).err();
            assert!(matches!(error, Some(StoreError::Open { .. } | StoreError::Damaged(_))), "{error:?}");
        }
    }

    #[test]
    fn a_journal_that_is_gone_is_told_at_each_start() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::at(dir.path());
        drop(open(&options).unwrap());
        std::fs::remove_file(dir.path().join("journal-1")).unwrap();
        for _ in 0..2 {
            let error = open(&options).err();
            assert!(matches!(&error, Some(StoreError::Damaged(why)) if why.contains("journal")), "{error:?}");
        }
    }

    #[test]
    fn a_creation_that_was_cut_short_is_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        drop(sled::open(dir.path()).unwrap());
        assert!(open(&Options::at(dir.path())).unwrap().clean);
    }
}
