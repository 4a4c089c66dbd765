//! The one thread that commits. It runs verbs in the order they came, each over what is committed and what the verbs
//! before it in the same group have written, makes the group visible at once and hands it to the `syncer`, which makes
//! it durable and answers.
//!
//! There is no timer: a group is committed as soon as nothing more is there, while those before it are made durable, and
//! when [`UNSYNCED_MAX`] of them are not durable yet it gathers until one is. A verb that fails writes nothing. A write
//! or a sync that fails is final: nobody is answered and the process ends with [`EXIT_CODE`], since what the disk then
//! holds is known only after a restart.

use super::journal::{Journal, Record};
use super::keys;
use super::recent::{self, size};
use super::rows::Pieces;
use super::settler::{Disk, Settler};
use super::syncer::{Committed, Syncer, Trace};
use super::view::{View, Writes};
use super::watchdog::Vitals;
use crate::store::StoreError;
use crate::store::crash::{Point, crash_point};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use tracing::error;

/// Most verbs in a group.
pub(super) const GROUP_VERBS_MAX: usize = 1024;
/// Most bytes of rows in a group, unless one verb alone writes more.
pub(super) const GROUP_BYTES_MAX: usize = 256 << 10;
/// Pieces of more bytes than this are staged: written by groups of their own before the verb that shows them.
pub(super) const STAGE_BYTES_MIN: usize = 128 << 10;
/// Most bytes of staged pieces in a group, so that others have room in it.
const STAGE_BYTES_A_GROUP: usize = 128 << 10;
/// Most groups that are committed and not durable yet. With more, groups are smaller and cost more; with fewer, a verb
/// waits for the sync of what came before it.
pub(super) const UNSYNCED_MAX: usize = 4;
/// How the process ends when a write or sync failed: `EX_SOFTWARE` of sysexits.h.
pub(super) const EXIT_CODE: i32 = 70;

/// When a verb is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Once it has run: it writes nothing. It may see what its group writes, which is committed before anything that
    /// rests on the answer.
    Read,
    /// Once its commit is visible.
    Applied,
    /// Once its commit is durable.
    Durable,
}

/// Pieces to be written ahead of the verb that shows them.
pub(super) struct Stage {
    /// The pieces.
    pub(super) pieces: Arc<Vec<Pieces>>,
    /// Whether the verb will not need them: asked once, before the first is written.
    pub(super) needless: Question,
}

/// A yes or no that the rows decide.
pub(super) type Question = Box<dyn Fn(&View<'_>) -> Result<bool, StoreError> + Send>;
/// Tells whoever asked.
pub(super) type Callback = Box<dyn FnOnce() + Send>;

/// A verb on its way.
pub(super) struct Job {
    stage: Option<Stage>,
    run: Box<dyn FnOnce(&mut View<'_>) -> Ran + Send>,
}

/// A verb that has run.
struct Ran {
    keep: bool,
    when: When,
    answer: Callback,
}

/// What the thread is told.
pub(super) enum Work {
    Verb(Job),
    /// So many of the groups that were committed first are durable.
    Synced(usize),
    /// A layer is in the tree.
    Settled,
    /// Nothing comes after this. Whoever closes in order is told once the clean mark is durable.
    End(Option<oneshot::Sender<()>>),
}

/// The way to the committer.
pub(super) struct Committer {
    /// Bounded by `bound` verbs that are not answered.
    queue: Sender<Work>,
    bound: usize,
    vitals: Arc<Vitals>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(
        disk: Disk,
        journal: Journal,
        settler: Settler,
        bound: usize,
        vitals: Arc<Vitals>,
        trace: Trace,
    ) -> std::io::Result<Committer> {
        let (queue, work) = channel();
        let line = Line::start(Arc::new(disk), journal, settler, &queue, work, vitals.clone(), trace)?;
        let thread = std::thread::Builder::new().name("store-committer".into()).spawn(move || line.run())?;
        Ok(Committer { queue, bound, vitals, thread: Some(thread) })
    }

    /// Commits what `verb` writes, runs `then` and answers, both at `when`. Dropping the future does not undo it.
    pub(super) async fn commit<T: Send + 'static>(
        &self,
        when: When,
        stage: Option<Stage>,
        verb: impl FnOnce(&mut View<'_>) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let run = Box::new(move |view: &mut View<'_>| {
            let result = verb(view);
            let keep = result.is_ok();
            let answer = Box::new(move || {
                if let Ok(answer) = &result {
                    then(answer);
                }
                // Whoever asked may be gone; the commit stands.
                let _ = sender.send(result);
            });
            Ran { keep, when, answer }
        });
        self.send(Job { stage, run })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        if !self.vitals.begin(self.bound) {
            return Err(StoreError::Busy(self.bound));
        }
        self.queue.send(Work::Verb(job)).map_err(|_| {
            self.vitals.end();
            closed()
        })
    }

    /// Commits what is queued, marks the store as clean and ends the thread.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let (sender, done) = oneshot::channel();
        self.queue.send(Work::End(Some(sender))).map_err(|_| closed())?;
        done.await.map_err(|_| closed())
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // Fails when it was closed before.
        let _ = self.queue.send(Work::End(None));
        if let Some(thread) = self.thread.take() {
            // A panic of the thread ends the process by itself.
            let _ = thread.join();
        }
    }
}

/// What every verb answers once the committer has gone.
pub(super) fn closed() -> StoreError {
    StoreError::Closed("it was closed".into())
}

/// A group of verbs: one record.
#[derive(Default)]
struct Group {
    writes: Writes,
    bytes: usize,
    answers: Vec<Ran>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.answers.is_empty()
    }

    fn is_full(&self) -> bool {
        self.answers.len() >= GROUP_VERBS_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    fn add(&mut self, writes: Writes, ran: Option<Ran>) {
        self.bytes += size(&writes);
        recent::merge(&mut self.writes, writes);
        self.answers.extend(ran);
    }
}

/// A verb whose pieces are being written.
struct Staging {
    job: Job,
    stage: Stage,
    /// The next piece to write: of which, and its number.
    at: Option<(usize, u16)>,
}

/// The thread.
struct Line {
    disk: Arc<Disk>,
    work: Receiver<Work>,
    /// What came while it waited for the syncer.
    waiting: VecDeque<Work>,
    syncer: Syncer,
    settler: Settler,
    /// Groups that the syncer has.
    unsynced: usize,
    vitals: Arc<Vitals>,
    staging: VecDeque<Staging>,
    /// A verb that has run and did not fit into the group it ran in: it saw exactly what is committed next, so its
    /// writes hold for the group after.
    held: Option<(Writes, Ran)>,
    end: Option<Option<oneshot::Sender<()>>>,
    trace: Trace,
}

impl Line {
    /// Starts the thread beside it and begins the other one, which report to `queue`.
    fn start(
        disk: Arc<Disk>,
        journal: Journal,
        mut settler: Settler,
        queue: &Sender<Work>,
        work: Receiver<Work>,
        vitals: Arc<Vitals>,
        trace: Trace,
    ) -> std::io::Result<Line> {
        let closed = settler.begin(disk.clone(), queue.clone(), vitals.clone());
        let syncer = Syncer::start(journal, queue.clone(), closed, vitals.clone(), trace.clone())?;
        let (waiting, staging) = (VecDeque::new(), VecDeque::new());
        let (unsynced, held, end) = (0, None, None);
        Ok(Line { disk, work, waiting, syncer, settler, unsynced, vitals, staging, held, end, trace })
    }

    fn run(mut self) {
        let _guard = EndOnPanic("committer");
        while let Some(group) = self.gather() {
            self.commit(group);
        }
        let generation = self.syncer.finish();
        self.disk.recent.hurry();
        self.settler.finish();
        if let Some(Some(answer)) = self.end.take()
            && let Some(generation) = generation
        {
            if let Err(error) = self.settle_all(generation) {
                end_process("write", &error);
            }
            // Nobody can be told if the closer is gone.
            let _ = answer.send(());
        }
    }

    /// Brings what is left into the tree, and says there that the store is closed.
    fn settle_all(&self, generation: u64) -> Result<(), sled::Error> {
        let layer = self.disk.recent.close();
        let worn = self.disk.settle(generation, &layer.writes, |_, _| self.vitals.progress())?;
        self.disk.recent.settled();
        self.disk.remove(worn, || self.vitals.progress())?;
        self.disk.db.insert(keys::CLEAN, &[1])?;
        self.disk.sync()
    }

    /// The next group: waits for the first verb, then takes what is there, lets those go first who are about to ask for
    /// more, and goes on while the syncer has no room. `None`: nothing is left and none will come.
    fn gather(&mut self) -> Option<Group> {
        let mut group = Group::default();
        if let Some((writes, ran)) = self.held.take() {
            group.add(writes, Some(ran));
        }
        self.stage(&mut group);
        let mut yielded = false;
        while !group.is_full() && self.held.is_none() && self.end.is_none() {
            match self.next(group.is_empty() || !self.has_room()) {
                Some(Work::End(answer)) => self.end = Some(answer),
                Some(Work::Synced(groups)) => self.unsynced -= groups,
                Some(Work::Settled) => self.close_large(),
                Some(Work::Verb(mut job)) => {
                    yielded = false;
                    match job.stage.take() {
                        None => self.verb(job, &mut group),
                        Some(stage) => {
                            self.staging.push_back(Staging { job, stage, at: None });
                            if self.staging.len() == 1 {
                                self.stage(&mut group);
                            }
                        }
                    }
                }
                None if yielded => break,
                None => {
                    // Costs nothing where a processor is free. Where none is, small groups cost most.
                    std::thread::yield_now();
                    yielded = true;
                }
            }
        }
        (!group.is_empty()).then_some(group)
    }

    fn next(&mut self, wait: bool) -> Option<Work> {
        let waiting = self.waiting.pop_front();
        waiting.or_else(|| if wait { self.work.recv().ok() } else { self.work.try_recv().ok() })
    }

    fn has_room(&self) -> bool {
        self.unsynced < UNSYNCED_MAX && self.disk.recent.has_room()
    }

    fn verb(&mut self, job: Job, group: &mut Group) {
        self.vitals.progress();
        let mut view = self.disk.view(&group.writes);
        let ran = (job.run)(&mut view);
        if ran.when == When::Read {
            return self.answer(ran.answer);
        }
        let writes = if ran.keep { view.into_writes() } else { Writes::new() };
        if group.is_empty() || group.bytes + size(&writes) <= GROUP_BYTES_MAX {
            group.add(writes, Some(ran));
        } else {
            self.held = Some((writes, ran));
        }
    }

    /// Writes the next pieces of the first verb that has any left; runs the verb once they are all written.
    fn stage(&mut self, group: &mut Group) {
        let Some(mut staging) = self.staging.pop_front() else { return };
        self.vitals.progress();
        let mut view = self.disk.view(&group.writes);
        let pieces = staging.stage.pieces.clone();
        let mut at = match staging.at {
            Some(at) => at,
            // An error is left to the verb itself, which will meet it again.
            None if (staging.stage.needless)(&view).unwrap_or(true) => (pieces.len(), 0),
            None => {
                pieces.iter().for_each(|pieces| view.put(keys::staged(&pieces.prefix), &[]));
                (0, 0)
            }
        };
        let mut bytes = 0;
        while let Some(some) = pieces.get(at.0)
            && bytes < STAGE_BYTES_A_GROUP
        {
            let (key, piece) = some.piece(at.1);
            bytes += key.len() + piece.len();
            view.put(key, piece);
            at = if at.1 + 1 < some.count() { (at.0, at.1 + 1) } else { (at.0 + 1, 0) };
        }
        group.add(view.into_writes(), None);
        if at.0 == pieces.len() {
            self.verb(staging.job, group);
        } else {
            staging.at = Some(at);
            self.staging.push_front(staging);
        }
    }

    fn commit(&mut self, group: Group) {
        while !self.has_room() {
            match self.work.recv() {
                Ok(Work::Synced(groups)) => self.unsynced -= groups,
                Ok(Work::Settled) => self.close_large(),
                Ok(work) => self.waiting.push_back(work),
                // The syncer has a sender.
                Err(_) => return,
            }
        }
        let mut committed = Committed::default();
        if !group.writes.is_empty() {
            crash_point(Point::BeforeApply);
            self.trace.note("apply", 0);
            committed.record = Some(Record::of(&group.writes));
            self.disk.recent.take(group.writes);
            committed.closed = self.disk.recent.close_large();
        }
        for ran in group.answers {
            match ran.when {
                When::Read | When::Applied => self.answer(ran.answer),
                When::Durable => committed.answers.push(ran.answer),
            }
        }
        self.vitals.progress();
        if committed.record.is_some() || !committed.answers.is_empty() {
            self.unsynced += 1;
            self.syncer.take(committed);
        }
    }

    /// A layer has settled: the one that grew meanwhile may be large enough.
    fn close_large(&mut self) {
        if let Some(layer) = self.disk.recent.close_large() {
            self.unsynced += 1;
            self.syncer.take(Committed { closed: Some(layer), ..Committed::default() });
        }
    }

    fn answer(&self, answer: Callback) {
        self.vitals.end();
        answer();
    }
}

/// Ends the process when a thread of the store panics: what is queued would wait for ever.
pub(super) struct EndOnPanic(pub(super) &'static str);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            end_process("go on", &format_args!("its {} panicked", self.0));
        }
    }
}

/// Ends the process: what the disk holds is known only after a restart.
pub(super) fn end_process(what: &str, error: &dyn std::fmt::Display) -> ! {
    error!(%error, "the store cannot {what}: ending the process, a restart is the recovery");
    std::process::exit(EXIT_CODE)
}

#[cfg(test)]
mod tests;
