//! The thread that brings closed layers into the tree. The journal has their rows too, so a tree that has some of them
//! only is no harm: opening the store writes them all again, those that have lots into the same one or a later.

use super::bundle;
use super::committer::{EndOnPanic, Work, end_process};
use super::keys;
use super::places;
use super::recent::{Layer, Recent, last_arrival};
use super::sweep::{Sweep, Worn};
use super::view::{View, Write, Writes};
use super::watchdog::Vitals;
use crate::store::crash::{Point, crash_point};
use sled::IVec;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Error as IoError;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Bytes of rows between two syncs of the tree: sled then has no chance to reuse a segment of which the copy is not
/// durable. Less in builds with debug assertions, where layers are small.
const BYTES_A_SYNC: usize = if cfg!(debug_assertions) { 8 << 10 } else { 256 << 10 };

/// A layer whose records are durable.
pub(super) struct Closed {
    /// The generation of its records.
    pub(super) generation: u64,
    /// Its rows.
    pub(super) layer: Arc<Layer>,
}

/// The thread, which may do something else before.
pub(super) struct Settler {
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

type Task = Box<dyn FnOnce() + Send>;

impl Settler {
    /// Starts the thread, with nothing to do.
    pub(super) fn start() -> std::io::Result<Settler> {
        let (tasks, given) = channel::<Task>();
        let run = move || given.into_iter().for_each(|task| task());
        let thread = std::thread::Builder::new().name("store-settler".into()).spawn(run)?;
        Ok(Settler { tasks: Some(tasks), thread: Some(thread) })
    }

    /// Has the thread do something, and waits for it. `None`: it panicked.
    pub(super) fn run<T: Send + 'static>(&self, task: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = channel();
        let task = move || drop(answer.send(task()));
        self.tasks.as_ref()?.send(Box::new(task)).ok()?;
        answered.recv().ok()
    }

    /// Has the thread settle layers, and tell `committer` that there is room, until nobody can send it a layer.
    pub(super) fn begin(
        &mut self,
        disk: Arc<Disk>,
        committer: Sender<Work>,
        vitals: Arc<Vitals>,
    ) -> Sender<Closed> {
        let (closed, layers) = channel();
        if let Some(tasks) = self.tasks.take() {
            // A thread that is gone takes no layer either.
            let _ = tasks.send(Box::new(move || run(&disk, &layers, &committer, &vitals)));
        }
        closed
    }

    /// Returns once all that was sent is in the tree.
    pub(super) fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of the thread ends the process by itself.
            let _ = thread.join();
        }
    }
}

fn run(disk: &Disk, layers: &Receiver<Closed>, committer: &Sender<Work>, vitals: &Vitals) {
    let _guard = EndOnPanic("settler");
    while let Ok(Closed { generation, layer }) = layers.recv() {
        let settled = disk.settle(generation, &layer.writes, |done, all| {
            vitals.progress();
            crash_point(Point::HalfSettled);
            disk.recent.keep_pace(done, all);
        });
        let worn = settled.unwrap_or_else(|error| end_process("write", &error));
        disk.recent.settled();
        // It reads no more if it is about to end.
        let _ = committer.send(Work::Settled);
        // Commits need not wait for it.
        if let Err(error) = disk.remove(worn, || vitals.progress()) {
            end_process("write", &error);
        }
    }
}

/// The rows: those in the tree, and those on their way there.
pub(super) struct Disk {
    pub(super) db: sled::Db,
    pub(super) recent: Arc<Recent>,
    file: File,
    sweep: Mutex<Sweep>,
}

impl Disk {
    /// `file` is a descriptor of sled's `db`, to sync it with.
    pub(super) fn new(db: sled::Db, recent: Arc<Recent>, file: File) -> Disk {
        Disk { db, recent, file, sweep: Mutex::default() }
    }

    /// What a verb of a group sees that has written `writes`.
    pub(super) fn view<'a>(&'a self, writes: &'a Writes) -> View<'a> {
        View::over(&self.db, &self.recent, writes)
    }

    /// Writes the rows of a generation, and then that it is settled: both are durable when this returns. `on_sync` is
    /// told on the way how many bytes are, and of how many. Answers the lots that nobody needs from then on, for
    /// [`Disk::remove`].
    pub(super) fn settle(
        &self,
        generation: u64,
        writes: &Writes,
        on_sync: impl Fn(usize, usize),
    ) -> Result<Vec<Worn>, sled::Error> {
        let (lot, is_new) = self.recent.next_lot();
        let worn = match is_new && !writes.is_empty() {
            true => self.sweep().worn(&self.db, &self.recent, last_arrival(writes))?,
            false => Vec::new(),
        };
        let mut rows: BTreeMap<&IVec, &Write> = worn.iter().flat_map(Worn::needed).collect();
        // What is written again has the last word.
        rows.extend(writes);
        self.write(lot, &rows, on_sync)?;
        self.db.insert(keys::SETTLED, &generation.to_be_bytes())?;
        self.sync()?;
        let placed: Vec<&IVec> = rows.into_keys().filter(|key| places::has_lots(key)).collect();
        self.recent.placed(&placed, lot);
        Ok(worn)
    }

    /// Writes rows, those that have lots into this one. They are durable when it returns.
    fn write(
        &self,
        lot: u32,
        rows: &BTreeMap<&IVec, &Write>,
        on_sync: impl Fn(usize, usize),
    ) -> Result<(), sled::Error> {
        let all = rows.iter().map(|(key, write)| write.size(key)).sum();
        let (mut bytes, mut synced) = (0, 0);
        let mut rows = rows.iter().map(|(key, write)| (places::key_in(lot, key), *write)).peekable();
        while let Some((key, _)) = rows.peek() {
            bytes += if bundle::is_bundled(key) {
                bundle::write(&self.db, &mut rows)?
            } else {
                self.write_next(&mut rows)?
            };
            if bytes >= synced + BYTES_A_SYNC {
                self.sync()?;
                synced = bytes;
                // Keys are longer with their lots.
                on_sync(bytes.min(all), all);
            }
        }
        if bytes > synced { self.sync() } else { Ok(()) }
    }

    fn sweep(&self) -> MutexGuard<'_, Sweep> {
        // Nobody panics with it.
        self.sweep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes lots: what was needed of them is durable elsewhere. `on_sync` is told of each sync.
    pub(super) fn remove(&self, worn: Vec<Worn>, on_sync: impl Fn()) -> Result<(), sled::Error> {
        let sync = || {
            on_sync();
            self.sync()
        };
        worn.into_iter().try_for_each(|worn| worn.remove(&self.db, &self.recent, sync))
    }

    /// Writes a row that lies alone. Answers how many bytes it has.
    fn write_next<'w>(
        &self,
        writes: &mut impl Iterator<Item = (IVec, &'w Write)>,
    ) -> Result<usize, sled::Error> {
        let Some((key, write)) = writes.next() else { return Ok(0) };
        match write.row() {
            Some(row) => self.db.insert(&key, row)?,
            None => self.db.remove(&key)?,
        };
        Ok(write.size(&key))
    }

    /// Makes durable what is in the tree. `flush` alone hands the data to the kernel and no further on Linux: it ends
    /// in `sync_file_range`.
    pub(super) fn sync(&self) -> Result<(), sled::Error> {
        self.db.flush()?;
        self.file.sync_data().map_err(|error: IoError| error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_tree_before_it_says_that_they_are() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let disk = Disk::new(db.clone(), Arc::default(), tempfile::tempfile().unwrap());
        db.insert([9, 9], "old").unwrap();
        let row = vec![7; 4096];
        let rows = (0..200_u8).map(|n| (vec![n].into(), Write::Put(row.as_slice().into())));
        let writes = rows.chain([(vec![9, 9].into(), Write::Remove)]).collect();
        let parts = std::cell::Cell::new(0);
        let settle = disk.settle(5, &writes, |bytes, _| {
            assert!(db.get(keys::SETTLED).unwrap().is_none() && bytes > parts.get() * BYTES_A_SYNC);
            parts.set(parts.get() + 1);
        });
        settle.unwrap();
        assert!(parts.get() > 2 && db.len() == 201);
        assert_eq!(db.get(keys::SETTLED).unwrap().unwrap(), &5_u64.to_be_bytes());
    }
}
