//! The thread that brings closed layers into the tree. The journal has their rows too, so a tree that has some of them
//! only is no harm: opening the store writes them all again.

use super::bundle;
use super::committer::{EndOnPanic, Work, end_process};
use super::keys::{self, prefix};
use super::recent::{Layer, Recent, last_webhook, size};
use super::rows::{self, LedgerRow};
use super::view::{View, Write, Writes};
use super::watchdog::Vitals;
use crate::store::crash::{Point, crash_point};
use billhook_event::Time;
use sled::IVec;
use std::fs::File;
use std::io::Error as IoError;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Bytes of rows between two syncs of the tree: sled then has no chance to reuse a segment of which the copy is not
/// durable. Less in builds with debug assertions, where layers are small.
const BYTES_A_SYNC: usize = if cfg!(debug_assertions) { 8 << 10 } else { 256 << 10 };
/// The ledger is swept where it grows, in leaves that are read anyway: of so many new keys one looks at so many rows from
/// its own on, and removes the expired ones. Keys are hashes, so each row has its turn, and the ledger settles at a third
/// more than what is live.
const KEYS_A_SWEEP: u8 = 4;
const ROWS_A_SWEEP: usize = 16;

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
        let all = size(&layer.writes);
        let settled = disk.settle(generation, &layer.writes, |done| {
            vitals.progress();
            crash_point(Point::HalfSettled);
            disk.recent.keep_pace(done, all);
        });
        if let Err(error) = settled {
            end_process("write", &error);
        }
        disk.recent.settled();
        // It reads no more if it is about to end.
        let _ = committer.send(Work::Settled);
    }
}

/// The rows: those in the tree, and those on their way there.
pub(super) struct Disk {
    pub(super) db: sled::Db,
    pub(super) recent: Arc<Recent>,
    file: File,
}

impl Disk {
    /// `file` is a descriptor of sled's `db`, to sync it with.
    pub(super) fn new(db: sled::Db, recent: Arc<Recent>, file: File) -> Disk {
        Disk { db, recent, file }
    }

    /// What a verb of a group sees that has written `writes`.
    pub(super) fn view<'a>(&'a self, writes: &'a Writes) -> View<'a> {
        View::over(&self.db, &self.recent, writes)
    }

    /// Writes the rows of a generation, and then that it is settled: both are durable when this returns. `on_sync` is
    /// told on the way how many bytes are.
    pub(super) fn settle(
        &self,
        generation: u64,
        writes: &Writes,
        on_sync: impl Fn(usize),
    ) -> Result<(), sled::Error> {
        let arrived = last_webhook(writes).and_then(|key| keys::arrived(key));
        let (mut bytes, mut synced) = (0, 0);
        let mut writes = writes.iter().peekable();
        while let Some((key, _)) = writes.peek() {
            bytes += if bundle::is_bundled(key) {
                bundle::write(&self.db, &mut writes)?
            } else {
                self.write_next(&mut writes, arrived)?
            };
            if bytes >= synced + BYTES_A_SYNC {
                self.sync()?;
                synced = bytes;
                on_sync(bytes);
            }
        }
        if bytes > synced {
            self.sync()?;
        }
        self.db.insert(keys::SETTLED, &generation.to_be_bytes())?;
        self.sync()
    }

    /// Writes a row that lies alone. Answers how many bytes it has.
    fn write_next<'w>(
        &self,
        writes: &mut impl Iterator<Item = (&'w IVec, &'w Write)>,
        arrived: Option<Time>,
    ) -> Result<usize, sled::Error> {
        let Some((key, write)) = writes.next() else { return Ok(0) };
        match write.row() {
            Some(row) => self.db.insert(key, row)?,
            None => self.db.remove(key)?,
        };
        if key[0] == prefix::LEDGER
            && key.last().is_some_and(|last| last.is_multiple_of(KEYS_A_SWEEP))
            && let Some(now) = arrived
        {
            self.forget_expired(key, now)?;
        }
        Ok(write.size(key))
    }

    fn forget_expired(&self, from: &[u8], now: Time) -> Result<(), sled::Error> {
        for entry in self.db.range(from..&keys::end_of(&[prefix::LEDGER])[..]).take(ROWS_A_SWEEP) {
            let (key, row) = entry?;
            // Whoever asks for a damaged row is told.
            if rows::decode::<LedgerRow>("ledger", &row).is_ok_and(|row| row.until() <= now) {
                self.db.remove(key)?;
            }
        }
        Ok(())
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
    use crate::model::id::WebhookId;
    use crate::store::sled::keys::Part;

    #[test]
    fn rows_are_in_the_tree_before_it_says_that_they_are() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let disk = Disk::new(db.clone(), Arc::default(), tempfile::tempfile().unwrap());
        db.insert([9, 9], "old").unwrap();
        let row = vec![7; 4096];
        let rows = (0..200_u8).map(|n| (vec![n].into(), Write::Put(row.as_slice().into())));
        let writes = rows.chain([(vec![9, 9].into(), Write::Remove)]).collect();
        let parts = std::cell::Cell::new(0);
        let settle = disk.settle(5, &writes, |bytes| {
            assert!(db.get(keys::SETTLED).unwrap().is_none() && bytes > parts.get() * BYTES_A_SYNC);
            parts.set(parts.get() + 1);
        });
        settle.unwrap();
        assert!(parts.get() > 2 && db.len() == 201);
        assert_eq!(db.get(keys::SETTLED).unwrap().unwrap(), &5_u64.to_be_bytes());
    }

    #[test]
    fn expired_keys_leave_the_ledger_where_it_grows_and_live_ones_stay() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let disk = Disk::new(db.clone(), Arc::default(), tempfile::tempfile().unwrap());
        let first = WebhookId::new(Time::from_secs(4), 1);
        let row = |until| rows::encode(&LedgerRow::new(first, Time::from_secs(until), &[0; 32]));
        for n in 0..30_u8 {
            db.insert(keys::ledger(&[n; 16]), row(if n < 25 { n.into() } else { 0 })).unwrap();
        }
        let grown = [
            (keys::ledger(&[0; 16]), row(50)),
            (keys::ledger(&[9; 16]), row(50)),
            (keys::webhook(first, Part::Head), Vec::new()),
        ];
        let put = |(key, row): (Vec<u8>, Vec<u8>)| (key.into(), Write::Put(row.into()));
        disk.settle(1, &grown.into_iter().map(put).collect(), |_| ()).unwrap();
        let left: Vec<u8> = (0..30).filter(|n| db.contains_key(keys::ledger(&[*n; 16])).unwrap()).collect();
        let expected: Vec<u8> = [0].into_iter().chain(5..30).collect();
        assert_eq!(left, expected, "those after a fourth of the keys, and only so many");
    }
}
