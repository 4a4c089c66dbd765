//! The thread that makes groups durable, in the order in which they were applied, and then answers those who wait for
//! that. One sync covers everything that was applied before it began.

use super::committer::{Callback, EndOnPanic, GROUP_BYTES_MAX, UNSYNCED_MAX, Work, end_process};
use super::keys;
use super::view::{View, Write, Writes};
use super::watchdog::Vitals;
use super::young::Young;
use crate::store::crash::{Point, crash_point};
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the sync of a group that nobody waits for is put off: it rides with the next one that somebody does.
const NOBODY_WAITS: Duration = Duration::from_millis(10);

/// A group that was applied.
pub(super) struct Applied {
    /// Whether it has writes. One without rests on the groups before it.
    pub(super) wrote: bool,
    /// Who waits until it is durable.
    pub(super) answers: Vec<Callback>,
}

/// The way to the thread.
pub(super) struct Syncer {
    /// `None` once it is finished.
    applied: Option<Sender<Applied>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread, which tells `committer` how many groups have become durable.
    pub(super) fn start(
        disk: Arc<Disk>,
        committer: Sender<Work>,
        vitals: Arc<Vitals>,
    ) -> std::io::Result<Syncer> {
        let (applied, groups) = channel();
        let line = Line { disk, groups, committer, vitals };
        let thread = std::thread::Builder::new().name("store-syncer".into()).spawn(move || line.run())?;
        Ok(Syncer { applied: Some(applied), thread: Some(thread) })
    }

    /// Takes over a group. The committer keeps the number of them bounded.
    pub(super) fn take(&self, group: Applied) {
        if let Some(applied) = &self.applied {
            // A thread that is gone has ended the process.
            let _ = applied.send(group);
        }
    }

    /// Returns once all that was taken over is durable and answered.
    pub(super) fn finish(&mut self) {
        self.applied = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread ends the process by itself.
            let _ = thread.join();
        }
    }
}

struct Line {
    disk: Arc<Disk>,
    groups: Receiver<Applied>,
    committer: Sender<Work>,
    vitals: Arc<Vitals>,
}

impl Line {
    fn run(self) {
        let _guard = EndOnPanic("syncer");
        while let Ok(mut group) = self.groups.recv() {
            let mut count = 1;
            while let Some(more) = self.more(&group, count) {
                group.wrote |= more.wrote;
                group.answers.extend(more.answers);
                count += 1;
            }
            if group.wrote {
                crash_point(Point::AppliedNotSynced);
                self.disk.sync();
                crash_point(Point::SyncedNotAnswered);
            }
            for answer in group.answers {
                self.vitals.end();
                answer();
            }
            self.vitals.progress();
            // The committer waits for this thread before it ends, and reads no more by then.
            let _ = self.committer.send(Work::Synced(count));
        }
    }

    /// What else the next sync covers.
    fn more(&self, group: &Applied, count: usize) -> Option<Applied> {
        if group.answers.is_empty() && count < UNSYNCED_MAX {
            self.groups.recv_timeout(NOBODY_WAITS).ok()
        } else {
            self.groups.try_recv().ok()
        }
    }
}

/// Where groups go.
pub(super) struct Disk {
    db: sled::Db,
    young: Arc<Young>,
    file: File,
    pub(super) trace: Trace,
}

impl Disk {
    /// `file` is a descriptor of sled's `db`, to sync it with.
    pub(super) fn new(db: sled::Db, young: Arc<Young>, file: File) -> Disk {
        Disk { db, young, file, trace: Trace::default() }
    }

    /// What a verb of a group sees that has written `writes`.
    pub(super) fn view<'a>(&'a self, writes: &'a Writes) -> View<'a> {
        View::over(&self.db, Some(&self.young), writes)
    }

    /// Makes the writes of a group visible, all at once.
    pub(super) fn apply(&self, writes: Writes) {
        let mut batch = sled::Batch::default();
        let until = self.young.until();
        let (mut bytes, mut kept, mut gone) = (0, Vec::new(), Vec::new());
        for (key, write) in writes {
            let here = self.young.get(&key).is_some();
            gone.extend(here.then(|| key.clone()));
            match write {
                Write::Young(row) if self.young.takes(&key, until) => kept.push((key, row)),
                Write::Put(row) | Write::Young(row) => {
                    bytes += key.len() + row.len();
                    batch.insert(key, row);
                }
                Write::Remove if here => {}
                Write::Remove => batch.remove(key),
            }
        }
        let grown = self.young.grown(until, GROUP_BYTES_MAX.saturating_sub(bytes), &gone);
        for (key, row) in &grown.rows {
            batch.insert(key, row);
        }
        if let Some(mark) = grown.mark {
            batch.insert(keys::YOUNG, &mark.to_be_bytes());
        }
        self.trace.note("apply", 0);
        if let Err(error) = self.db.apply_batch(batch) {
            end_process("write", &error);
        }
        self.young.settle(kept, &gone, grown);
    }

    /// Makes durable what was applied before. `flush` alone hands the data to the kernel and no further on Linux: it
    /// ends in `sync_file_range`.
    pub(super) fn sync(&self) {
        self.trace.note("sync", 0);
        if let Err(error) = self.db.flush() {
            end_process("write", &error);
        }
        if let Err(error) = self.file.sync_data() {
            end_process("sync", &error);
        }
        self.trace.note("synced", 0);
    }
}

/// What tests see of the order of things.
#[derive(Clone, Default)]
pub(super) struct Trace {
    #[cfg(test)]
    pub(super) steps: Arc<std::sync::Mutex<Vec<(&'static str, usize)>>>,
}

impl Trace {
    #[cfg(test)]
    pub(super) fn note(&self, step: &'static str, n: usize) {
        self.steps.lock().unwrap().push((step, n));
    }

    #[cfg(not(test))]
    fn note(&self, _: &'static str, _: usize) {}
}
