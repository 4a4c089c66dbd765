//! The thread that makes groups durable, in the order in which they were committed, and then answers those who wait for
//! that. One sync covers everything that was committed before it began.

use super::committer::{Callback, EndOnPanic, UNSYNCED_MAX, Work, end_process};
use super::journal::{Journal, Record};
use super::recent::Layer;
use super::settler::Closed;
use super::watchdog::Vitals;
use crate::store::crash::{Point, crash_point};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the sync of a group that nobody waits for is put off: it rides with the next one that somebody does.
const NOBODY_WAITS: Duration = Duration::from_millis(10);

/// A group that is committed.
#[derive(Default)]
pub(super) struct Committed {
    /// What it writes. A group without rests on those before it.
    pub(super) record: Option<Record>,
    /// The layer that it has closed.
    pub(super) closed: Option<Arc<Layer>>,
    /// Who waits until it is durable.
    pub(super) answers: Vec<Callback>,
}

/// The way to the thread.
pub(super) struct Syncer {
    /// `None` once it is finished.
    committed: Option<Sender<Committed>>,
    thread: Option<JoinHandle<Journal>>,
}

impl Syncer {
    /// Starts the thread, which tells `committer` how many groups have become durable, and hands layers to `settler`
    /// once they are.
    pub(super) fn start(
        journal: Journal,
        committer: Sender<Work>,
        settler: Sender<Closed>,
        vitals: Arc<Vitals>,
        trace: Trace,
    ) -> std::io::Result<Syncer> {
        let (committed, groups) = channel();
        let line = Line { journal, groups, committer, settler, vitals, trace };
        let thread = std::thread::Builder::new().name("store-syncer".into()).spawn(move || line.run())?;
        Ok(Syncer { committed: Some(committed), thread: Some(thread) })
    }

    /// Takes over a group. The committer keeps the number of them bounded.
    pub(super) fn take(&self, group: Committed) {
        if let Some(committed) = &self.committed {
            // A thread that is gone has ended the process.
            let _ = committed.send(group);
        }
    }

    /// Returns once all that was taken over is durable and answered. Answers the generation that is being written.
    pub(super) fn finish(&mut self) -> Option<u64> {
        self.committed = None;
        // A panic of the thread ends the process by itself.
        Some(self.thread.take()?.join().ok()?.generation())
    }
}

struct Line {
    journal: Journal,
    groups: Receiver<Committed>,
    committer: Sender<Work>,
    settler: Sender<Closed>,
    vitals: Arc<Vitals>,
    trace: Trace,
}

impl Line {
    fn run(mut self) -> Journal {
        let _guard = EndOnPanic("syncer");
        while let Ok(Committed { record, mut closed, mut answers }) = self.groups.recv() {
            let mut records = Vec::from_iter(record);
            let mut count = 1;
            while closed.is_none()
                && let Some(more) = self.more(answers.is_empty(), count)
            {
                records.extend(more.record);
                closed = more.closed;
                answers.extend(more.answers);
                count += 1;
            }
            if !records.is_empty() {
                crash_point(Point::AppliedNotSynced);
                self.trace.note("sync", 0);
                if let Err(error) = self.journal.append(&mut records) {
                    end_process("sync", &error);
                }
                self.trace.note("synced", 0);
                crash_point(Point::SyncedNotAnswered);
            }
            for answer in answers {
                self.vitals.end();
                answer();
            }
            if let Some(layer) = closed {
                let generation = self.journal.generation();
                // The committer waits for both threads before it ends.
                let _ = self.settler.send(Closed { generation, layer });
                self.journal.begin(generation + 1);
            }
            self.vitals.progress();
            // As above; and it reads no more by then.
            let _ = self.committer.send(Work::Synced(count));
        }
        self.journal
    }

    /// What else the next sync covers.
    fn more(&self, nobody_waits: bool, count: usize) -> Option<Committed> {
        if nobody_waits && count < UNSYNCED_MAX {
            self.groups.recv_timeout(NOBODY_WAITS).ok()
        } else {
            self.groups.try_recv().ok()
        }
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
    pub(super) fn note(&self, _: &'static str, _: usize) {}
}
