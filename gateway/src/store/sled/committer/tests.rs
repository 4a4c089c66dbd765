//! The committer over a store of the test's own.

use super::*;
use crate::store::sled::recent::Recent;
use crate::store::sled::rows::ROW_BYTES_MAX;
use bytes::Bytes;
use std::fs::File;

fn put(view: &mut View<'_>, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
    view.put(key, row);
    Ok(())
}

struct Rig {
    committer: Arc<Committer>,
    trace: Trace,
    db: sled::Db,
    recent: Arc<Recent>,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn start() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let (disk, journal) = disk(dir.path());
        let (db, recent, trace) = (disk.db.clone(), disk.recent.clone(), Trace::default());
        let vitals = Arc::new(Vitals::new(dir.path().into(), 0));
        let committer =
            Committer::start(disk, journal, Settler::start().unwrap(), 1000, vitals, trace.clone()).unwrap();
        Rig { committer: Arc::new(committer), trace, db, recent, _dir: dir }
    }

    fn get(&self, key: &[u8]) -> Option<sled::IVec> {
        View::with(&self.db, &self.recent).get(key).unwrap()
    }

    fn len(&self) -> usize {
        View::with(&self.db, &self.recent).range(&[], &[255]).filter(|row| !is_mark(row)).count()
    }
}

fn is_mark(row: &Result<(sled::IVec, sled::IVec), StoreError>) -> bool {
    row.as_ref().is_ok_and(|(key, _)| key == keys::SETTLED)
}

fn disk(dir: &std::path::Path) -> (Disk, Journal) {
    let db = sled::open(dir).unwrap();
    let file = File::options().read(true).write(true).open(dir.join("db")).unwrap();
    (Disk::new(db, Arc::default(), file), Journal::open(dir).unwrap())
}

#[tokio::test]
async fn every_durable_answer_comes_after_the_sync_of_its_group() {
    let rig = Rig::start();
    let mut line = tokio::task::JoinSet::new();
    for n in 0..20_u8 {
        for when in [When::Durable, When::Applied] {
            let (committer, ran, told) = (rig.committer.clone(), rig.trace.clone(), rig.trace.clone());
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
    let steps = rig.trace.steps.lock().unwrap().clone();
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
    let rig = Rig::start();
    let bad = rig.committer.commit(
        When::Durable,
        None,
        |view| {
            view.put(b"bad", b"1");
            Err::<(), _>(StoreError::Damaged("on purpose".into()))
        },
        |()| (),
    );
    let good = rig.committer.commit(When::Durable, None, |view| put(view, b"good", b"1"), |()| ());
    let (bad, good) = tokio::join!(bad, good);
    assert!(matches!(bad, Err(StoreError::Damaged(_))));
    good.unwrap();
    assert_eq!((rig.get(b"bad"), rig.get(b"good")), (None, Some(b"1".into())));
}

#[tokio::test]
async fn no_group_is_larger_than_it_may_be() {
    let rig = Rig::start();
    let mut line = tokio::task::JoinSet::new();
    for n in 0..200_u8 {
        let committer = rig.committer.clone();
        line.spawn(async move {
            let row = vec![n; ROW_BYTES_MAX];
            committer.commit(When::Durable, None, move |view| put(view, &[n], &row), |()| ()).await
        });
    }
    while let Some(done) = line.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(rig.len(), 200);
    let mut group = Group::default();
    let dir = tempfile::tempdir().unwrap();
    let vitals = Arc::new(Vitals::new(dir.path().into(), 0));
    let (disk, journal) = disk(dir.path());
    let (queue, work) = channel();
    let line = Line::start(
        Arc::new(disk),
        journal,
        Settler::start().unwrap(),
        &queue,
        work,
        vitals,
        Trace::default(),
    );
    let mut line = line.unwrap();
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
    let rig = Rig::start();
    let committer = &rig.committer;
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
    let rig = Rig::start();
    let body = Bytes::from(vec![7; 1 << 20]);
    let pieces = Arc::new(vec![Pieces { prefix: b"bx".to_vec(), bytes: body }]);
    let stage = Stage { pieces, needless: Box::new(|_| Ok(false)) };
    let seen = |view: &mut View<'_>| {
        view.remove(keys::staged(b"bx"));
        view.join(b"bx", 1 << 20)
    };
    let seen = rig.committer.commit(When::Durable, Some(stage), seen, |_| ()).await.unwrap();
    assert_eq!(seen.unwrap().len(), 1 << 20);
    let groups = rig.trace.steps.lock().unwrap().iter().filter(|step| step.0 == "apply").count();
    assert!(groups >= 8, "{groups}");
    assert!(rig.get(&keys::staged(b"bx")).is_none());
}

#[tokio::test]
async fn pieces_that_nobody_will_need_are_not_written() {
    let rig = Rig::start();
    let pieces = Arc::new(vec![Pieces { prefix: b"bx".to_vec(), bytes: vec![7; 1 << 20].into() }]);
    let stage = Stage { pieces, needless: Box::new(|_| Ok(true)) };
    rig.committer.commit(When::Durable, Some(stage), |_| Ok(()), |()| ()).await.unwrap();
    assert_eq!(rig.len(), 0);
}
