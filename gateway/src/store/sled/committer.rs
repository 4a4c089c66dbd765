//! The one thread that writes. It runs verbs in the order they came, each over the tree and what the verbs before it
//! in the same group have written, applies the group as one batch and hands it to the `syncer`, which makes it
//! durable and answers.
//!
//! There is no timer: a group is applied as soon as nothing more is there, while those before it are made durable, and
//! when [`UNSYNCED_MAX`] of them are not durable yet it gathers until one is. A verb that fails writes nothing. A write
//! or a sync that fails is final: nobody is answered and the process ends with [`EXIT_CODE`], since what the disk then
//! holds is known only after a restart.

use super::keys;
use super::rows::Pieces;
use super::syncer::{Applied, Disk, Syncer};
use super::view::{View, Write, Writes};
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
/// Most bytes of rows in a group, unless one verb alone writes more: sled then has no chance to free and reuse a
/// segment inside a commit.
pub(super) const GROUP_BYTES_MAX: usize = 256 << 10;
/// Pieces of more bytes than this are staged: written by groups of their own before the verb that shows them.
pub(super) const STAGE_BYTES_MIN: usize = 128 << 10;
/// Most bytes of staged pieces in a group, so that others have room in it.
const STAGE_BYTES_A_GROUP: usize = 128 << 10;
/// Most groups that are applied and not durable yet. With more, groups are smaller and cost more; with fewer, a verb
/// waits for the sync of what came before it.
pub(super) const UNSYNCED_MAX: usize = 4;
/// How the process ends when a write or sync failed: `EX_SOFTWARE` of sysexits.h.
pub(super) const EXIT_CODE: i32 = 70;

/// When a verb is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Once it has run: it writes nothing. It may see what its group writes, which is applied before anything that
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
    /// So many of the groups that were applied first are durable.
    Synced(usize),
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
    pub(super) fn start(disk: Disk, bound: usize, vitals: Arc<Vitals>) -> std::io::Result<Committer> {
        let (queue, work) = channel();
        let disk = Arc::new(disk);
        let syncer = Syncer::start(disk.clone(), queue.clone(), vitals.clone())?;
        let line = Line::new(disk, work, syncer, vitals.clone());
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

/// A group of verbs: one batch.
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
        self.writes.extend(writes);
        self.answers.extend(ran);
    }
}

fn size(writes: &Writes) -> usize {
    writes.iter().map(|(key, row)| key.len() + row.row().map_or(0, |row| row.len())).sum()
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
    /// Groups that the syncer has.
    unsynced: usize,
    vitals: Arc<Vitals>,
    staging: VecDeque<Staging>,
    /// A verb that has run and did not fit into the group it ran in: it saw exactly what is committed next, so its
    /// writes hold for the group after.
    held: Option<(Writes, Ran)>,
    end: Option<Option<oneshot::Sender<()>>>,
}

impl Line {
    fn new(disk: Arc<Disk>, work: Receiver<Work>, syncer: Syncer, vitals: Arc<Vitals>) -> Line {
        let (waiting, staging) = (VecDeque::new(), VecDeque::new());
        Line { disk, work, waiting, syncer, unsynced: 0, vitals, staging, held: None, end: None }
    }

    fn run(mut self) {
        let _guard = EndOnPanic("committer");
        while let Some(group) = self.gather() {
            self.commit(group);
        }
        self.syncer.finish();
        if let Some(Some(answer)) = self.end.take() {
            let mark = Writes::from([(keys::CLEAN.into(), Write::Put(sled::IVec::from(&[1])))]);
            self.disk.apply(mark);
            self.disk.sync();
            // Nobody can be told if the closer is gone.
            let _ = answer.send(());
        }
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
                    // Costs nothing where a processor is free. Where none is, small groups cost most: sled wakes all its
                    // threads for each.
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
        self.unsynced < UNSYNCED_MAX
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
                Ok(work) => self.waiting.push_back(work),
                // The syncer has a sender.
                Err(_) => return,
            }
        }
        let wrote = !group.writes.is_empty();
        if wrote {
            crash_point(Point::BeforeApply);
            self.disk.apply(group.writes);
        }
        let mut durable = Vec::new();
        for ran in group.answers {
            match ran.when {
                When::Read | When::Applied => self.answer(ran.answer),
                When::Durable => durable.push(ran.answer),
            }
        }
        self.vitals.progress();
        if wrote || !durable.is_empty() {
            self.unsynced += 1;
            self.syncer.take(Applied { wrote, answers: durable });
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
mod tests {
    use super::*;
    use crate::store::sled::rows::ROW_BYTES_MAX;
    use crate::store::sled::syncer::Trace;
    use bytes::Bytes;
    use std::fs::File;

    fn put(view: &mut View<'_>, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
        view.put(key, row);
        Ok(())
    }

    fn start() -> (Committer, Trace, sled::Db, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let db = sled::open(dir.path()).unwrap();
        let file = File::options().read(true).write(true).open(dir.path().join("db")).unwrap();
        let trace = Trace::default();
        let mut disk = Disk::new(db.clone(), Arc::default(), file);
        disk.trace = trace.clone();
        let vitals = Arc::new(Vitals::new(dir.path().into(), 0));
        (Committer::start(disk, 1000, vitals).unwrap(), trace, db, dir)
    }

    #[tokio::test]
    async fn every_durable_answer_comes_after_the_sync_of_its_group() {
        let (committer, trace, _db, _dir) = start();
        let mut line = tokio::task::JoinSet::new();
        let committer = Arc::new(committer);
        for n in 0..20_u8 {
            for when in [When::Durable, When::Applied] {
                let (committer, ran, told) = (committer.clone(), trace.clone(), trace.clone());
                let name = if when == When::Durable { "durable" } else { "applied" };
                line.spawn(async move {
                    let verb = move |view: &mut View<'_>| {
                        ran.note("ran", usize::from(n));
                        put(view, &[n], &[n])
                    };
                    committer.commit(when, None, verb, move |()| told.note(name, usize::from(n))).await
                });
            }
            if n % 5 == 0 {
                line.join_next().await.unwrap().unwrap().unwrap();
            }
        }
        line.join_all().await;
        drop(committer);
        let steps = trace.steps.lock().unwrap().clone();
        let at = |step, from: usize| steps[from..].iter().position(|at| *at == step).map(|at| from + at);
        for n in 0..20 {
            let ran = at(("ran", n), 0).unwrap();
            let applied = at(("apply", 0), ran).unwrap();
            let synced = at(("synced", 0), at(("sync", 0), applied).unwrap()).unwrap();
            assert!(at(("durable", n), 0).unwrap() > synced, "{n} of {steps:?}");
            assert!(at(("applied", n), 0).unwrap() > applied, "{n} of {steps:?}");
        }
    }

    #[tokio::test]
    async fn a_verb_that_fails_writes_nothing_and_spoils_no_other() {
        let (committer, _, db, _dir) = start();
        let bad = committer.commit(
            When::Durable,
            None,
            |view| {
                view.put(b"bad", b"1");
                Err::<(), _>(StoreError::Damaged("on purpose".into()))
            },
            |()| (),
        );
        let good = committer.commit(When::Durable, None, |view| put(view, b"good", b"1"), |()| ());
        let (bad, good) = tokio::join!(bad, good);
        assert!(matches!(bad, Err(StoreError::Damaged(_))));
        good.unwrap();
        assert_eq!((db.get("bad").unwrap(), db.get("good").unwrap()), (None, Some(b"1".into())));
    }

    #[tokio::test]
    async fn no_group_is_larger_than_it_may_be() {
        let (committer, _, db, _dir) = start();
        let mut line = tokio::task::JoinSet::new();
        let committer = Arc::new(committer);
        for n in 0..200_u8 {
            let committer = committer.clone();
            line.spawn(async move {
                let row = vec![n; ROW_BYTES_MAX];
                committer.commit(When::Durable, None, move |view| put(view, &[n], &row), |()| ()).await
            });
        }
        while let Some(done) = line.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(db.len(), 200);
        let mut group = Group::default();
        let vitals = Arc::new(Vitals::new(".".into(), 0));
        let file = File::open("/dev/null").unwrap();
        let disk = Arc::new(Disk::new(db, Arc::default(), file));
        let (queue, work) = channel();
        let syncer = Syncer::start(disk.clone(), queue, vitals.clone()).unwrap();
        let mut line = Line::new(disk, work, syncer, vitals);
        while line.held.is_none() {
            let n = group.answers.len() as u8;
            let run = Box::new(move |view: &mut View<'_>| {
                view.put(&[n][..], vec![n; ROW_BYTES_MAX]);
                Ran { keep: true, when: When::Applied, answer: Box::new(|| ()) }
            });
            line.verb(Job { stage: None, run }, &mut group);
        }
        assert!(group.bytes <= GROUP_BYTES_MAX && group.bytes > GROUP_BYTES_MAX - 2 * ROW_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_full_queue_says_so() {
        let (committer, _, _db, _dir) = start();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let blocked = committer.commit(
            When::Applied,
            None,
            move |_| {
                wait.recv().unwrap();
                Ok(())
            },
            |()| (),
        );
        let mut line = vec![Box::pin(blocked) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>];
        let mut busy = 0;
        for _ in 0..1100 {
            line.push(Box::pin(committer.commit(When::Applied, None, |_| Ok(()), |()| ())));
        }
        for verb in &mut line {
            if let std::task::Poll::Ready(Err(StoreError::Busy(1000))) = futures_poll(verb.as_mut()) {
                busy += 1;
            }
        }
        go.send(()).unwrap();
        assert!((99..=101).contains(&busy), "{busy}");
    }

    fn futures_poll<T>(future: std::pin::Pin<&mut (dyn Future<Output = T> + Send)>) -> std::task::Poll<T> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }

    #[tokio::test]
    async fn staged_pieces_come_before_the_verb_that_shows_them() {
        let (committer, trace, db, _dir) = start();
        let body = Bytes::from(vec![7; 1 << 20]);
        let pieces = Arc::new(vec![Pieces { prefix: b"bx".to_vec(), bytes: body }]);
        let stage = Stage { pieces, needless: Box::new(|_| Ok(false)) };
        let seen = |view: &mut View<'_>| {
            view.remove(keys::staged(b"bx"));
            view.join(b"bx", 1 << 20)
        };
        let seen = committer.commit(When::Durable, Some(stage), seen, |_| ()).await.unwrap();
        assert_eq!(seen.unwrap().len(), 1 << 20);
        drop(committer);
        let groups = trace.steps.lock().unwrap().iter().filter(|step| step.0 == "apply").count();
        assert!(groups >= 8, "{groups}");
        assert!(db.get(keys::staged(b"bx")).unwrap().is_none());
    }

    #[tokio::test]
    async fn pieces_that_nobody_will_need_are_not_written() {
        let (committer, _, db, _dir) = start();
        let pieces = Arc::new(vec![Pieces { prefix: b"bx".to_vec(), bytes: vec![7; 1 << 20].into() }]);
        let stage = Stage { pieces, needless: Box::new(|_| Ok(true)) };
        committer.commit(When::Durable, Some(stage), |_| Ok(()), |()| ()).await.unwrap();
        drop(committer);
        assert_eq!(db.len(), 0);
    }
}
