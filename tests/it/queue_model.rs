//! The queue against its model: any moves in any order, with the process ending on the way.
//!
//! [`queue`] is the model, plain maps; [`moves`] picks what is done next; [`bench`] does it to a real store and
//! compares the answer, and then all that can be seen. `PROPTEST_CASES` sets how many cases are tried.

mod bench;
mod moves;
mod queue;

use bench::{Bench, Seen, make, nothing_waits_unfound, open};
use gateway::model::Time;
use proptest::prelude::ProptestConfig;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use queue::{End, Move, Queue};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) use bench::placed;

const START: Time = Time::from_secs(1_790_000_000);
/// Cases without `PROPTEST_CASES`: a few seconds.
const CASES: u32 = 40;

fn config() -> ProptestConfig {
    let cases = std::env::var_os("PROPTEST_CASES").map_or(CASES, |_| ProptestConfig::default().cases);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn whatever_is_done_in_whatever_order_the_store_is_the_queue_it_promises(sequential 1..80 => Bench);
}

impl StateMachineTest for Bench {
    type SystemUnderTest = Bench;
    type Reference = Queue;

    fn init_test(_: &Queue) -> Bench {
        Bench::new()
    }

    fn apply(mut bench: Bench, queue: &Queue, made: Move) -> Bench {
        let told = match &made {
            Move::End(end) => bench.end(*end, queue),
            made => bench.make(made, queue),
        };
        assert_eq!(told, queue.told, "{made:?}");
        bench
    }

    fn check_invariants(bench: &Bench, queue: &Queue) {
        bench.runtime.block_on(async {
            Seen::of(bench.store(), queue).await.assert_is(&Seen::expected(queue));
            bench::timers_would_wake(bench.store(), queue).await;
        });
    }

    fn teardown(bench: Bench, mut queue: Queue) {
        bench.runtime.block_on(async {
            for id in queue.deliveries.values().filter(|owed| owed.is_leased).map(|owed| owed.delivery.id) {
                bench.store().release(id);
            }
            queue.end().into_iter().for_each(|id| bench.store().release_webhook(id));
            nothing_waits_unfound(bench.store(), &queue).await;
        });
    }
}

/// Where the child has its store, and which moves it makes.
const DIR: &str = "BILLHOOK_QUEUE_DIR";
const SEED: &str = "BILLHOOK_QUEUE_SEED";
/// Moves of a child: more than any child lives to make.
const CHILD_MOVES: usize = 400;

/// The same moves for the same seed, each with the queue after it; the first is none.
fn story(seed: u8) -> Vec<(Option<Move>, Queue)> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let tree = Queue::sequential_strategy(CHILD_MOVES).new_tree(&mut runner).unwrap();
    let (mut queue, moves, _) = tree.current();
    let mut story = vec![(None, queue.clone())];
    for made in moves {
        queue = queue.make(&made);
        story.push((Some(made), queue.clone()));
    }
    story
}

#[test]
fn a_process_that_dies_at_any_point_leaves_what_it_answered_and_whole_commits() {
    let mut deaths: Vec<(Option<String>, usize)> = Vec::new();
    // One sync covers several groups: there are fewer of them.
    for (point, nths) in [
        ("before-apply", [2, 31, 90]),
        ("applied-not-synced", [2, 9, 20]),
        ("synced-not-answered", [2, 9, 20]),
    ] {
        deaths.extend(nths.map(|nth| (Some(format!("{point}:{nth}")), usize::MAX)));
    }
    deaths.extend([10, 60, 150].map(|moves| (None, moves)));
    for (seed, (switch, moves)) in (1..).zip(deaths) {
        let dir = tempfile::tempdir().unwrap();
        let made = child(dir.path(), seed, switch.as_deref(), moves);
        println!("case: {switch:?}, {made} moves were answered");
        assert!(made < CHILD_MOVES, "it lived");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(left(dir.path(), &story(seed), made));
    }
}

/// Runs a child until it dies by the switch or is killed after so many moves. Answers how many it was told of.
fn child(dir: &Path, seed: u8, switch: Option<&str>, kill_after: usize) -> usize {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["queue_model::the_child_of_a_crash", "--exact", "--ignored", "--nocapture"]);
    command.env(DIR, dir).env(SEED, seed.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(switch) = switch {
        command.env("BILLHOOK_CRASH_AT", switch);
    }
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut made = 0;
    for _ in lines.filter(|line| line.ends_with("made")) {
        made += 1;
        if made == kill_after {
            // It goes on until the signal arrives: lines that are still in the pipe count.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    made
}

#[test]
#[ignore = "it is the child of the test above, which kills it"]
fn the_child_of_a_crash() {
    let (Some(dir), Ok(seed)) = (std::env::var_os(DIR), std::env::var(SEED)) else { return };
    let dir = Path::new(&dir);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut store, mut hands) = (open(dir), bench::Hands::default());
        for (made, queue) in story(seed.parse().unwrap()) {
            match made {
                None => continue,
                Some(Move::End(end)) => {
                    if end == End::Closed {
                        store.close().await.unwrap();
                    }
                    drop(store);
                    store = open(dir);
                    hands.clear();
                    store.suspect(queue.suspects.clone()).await.unwrap();
                }
                Some(made) => {
                    assert_eq!(make(&*store, &made, &queue, &mut hands).await, queue.told, "{made:?}")
                }
            }
            writeln!(std::io::stdout(), "made").unwrap();
            std::io::stdout().flush().unwrap();
        }
    });
}

/// What a child left is the queue after one of its moves: none before the last that it was told is durable, and none
/// after the one that was under way.
async fn left(dir: &Path, story: &[(Option<Move>, Queue)], made: usize) {
    let store = open(dir);
    let durable = (0..=made).rev().find(|at| story[*at].1.is_durable).unwrap_or(0);
    let mut possible = vec![story[made].1.clone()];
    for at in durable..=made {
        let (before, after) = (&story[at].1, &story[at + 1]);
        possible.push(before.clone());
        match &after.0 {
            // Attempts that end together are commits of their own, in this order.
            Some(Move::Finish(ends)) => possible
                .extend((1..=ends.len()).map(|n| before.clone().make(&Move::Finish(ends[..n].to_vec())))),
            _ => possible.push(after.1.clone()),
        }
    }
    let mut closest = None;
    for mut queue in possible {
        let seen = Seen::of(&*store, &queue).await;
        if seen == Seen::expected(&queue) {
            queue.end();
            nothing_waits_unfound(&*store, &queue).await;
            return;
        }
        closest = Some((seen, queue));
    }
    let (seen, queue) = closest.unwrap();
    seen.assert_is(&Seen::expected(&queue));
}
