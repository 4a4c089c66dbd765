//! Which runs wait for which with their commits: webhooks run side by side, and the one that came first may be the last to
//! be through.
//!
//! Runs of one source take turns in the order in which their webhooks were leased, which is that of their arrival. A
//! run that is through says which entities it is about. Where the order matters, it waits for the runs before it: until
//! they have said so too, and are done if they are about the same. What it read of them is then old, so its commit is
//! refused and it is made again. That is as long as a run may take, which asks plugins once for each event; a
//! run that failed is done, and its webhook comes later.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The turns of every source.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<Source>>>);

/// The runs of one source that are under way.
#[derive(Debug)]
struct Source {
    /// Held for a look or a change.
    runs: Mutex<Runs>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Runs {
    next: u64,
    /// By their order; what they are about, once it is known.
    about: BTreeMap<u64, Option<BTreeSet<String>>>,
}

/// The turn of one run, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    source: Arc<Source>,
    n: u64,
}

impl Turns {
    /// The turn after all that were taken before.
    pub(super) fn take(&self, source: &str) -> Turn {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !sources.contains_key(source) {
            let new = Source { runs: Mutex::default(), changed: watch::channel(()).0 };
            sources.insert(source.to_owned(), Arc::new(new));
        }
        let source = Arc::clone(&sources[source]);
        drop(sources);
        let mut runs = source.runs();
        let n = runs.next;
        runs.next += 1;
        runs.about.insert(n, None);
        drop(runs);
        Turn { source, n }
    }
}

impl Source {
    fn runs(&self) -> MutexGuard<'_, Runs> {
        // Each change is one call on the map, so a panic elsewhere leaves it whole.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Says what the run is about, and returns once nothing before it can be about any of `waits`, so that it may be
    /// committed. Dropping the future is safe.
    pub(super) async fn comes(&self, about: BTreeSet<String>, waits: &BTreeSet<String>) {
        self.source.runs().about.insert(self.n, Some(about));
        self.source.changed.send_replace(());
        if waits.is_empty() {
            return;
        }
        let free = |_: &()| {
            let runs = self.source.runs();
            let mut before = runs.about.range(..self.n).map(|(_, theirs)| theirs);
            before.all(|theirs| theirs.as_ref().is_some_and(|theirs| theirs.is_disjoint(waits)))
        };
        // The sender is ours: it cannot be gone.
        let _ = self.source.changed.subscribe().wait_for(free).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.source.runs().about.remove(&self.n);
        self.source.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn about(entities: &[&str]) -> BTreeSet<String> {
        entities.iter().map(ToString::to_string).collect()
    }

    fn may(turn: &Turn, entities: &[&str]) -> bool {
        turn.comes(about(entities), &about(entities)).now_or_never().is_some()
    }

    #[test]
    fn a_run_waits_for_those_before_it_that_are_about_the_same_or_do_not_say_yet() {
        let turns = Turns::default();
        let [first, second, third] = [(); 3].map(|()| turns.take("shop"));
        let elsewhere = turns.take("club");
        assert!(may(&elsewhere, &["a"]), "another source");
        assert!(!may(&third, &["b"]), "nobody knows what the others are about");
        assert!(may(&third, &[]), "it is about nothing that has an order");
        assert!(!may(&third, &["b"]));
        assert!(!may(&second, &["a"]));
        assert!(may(&first, &["a", "c"]));
        assert!(may(&third, &["b"]), "all have said so");
        assert!(third.comes(about(&["a"]), &about(&[])).now_or_never().is_some(), "it waits for nobody");
        assert!(!may(&second, &["a"]), "the first is under way");
        assert!(!may(&third, &["a"]));
        drop(first);
        assert!(may(&second, &["a"]));
        drop(second);
        assert!(may(&third, &["a"]));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let turns = Turns::default();
        let [first, second] = [(); 2].map(|()| turns.take("shop"));
        let waits = tokio::spawn(async move { second.comes(about(&["a"]), &about(&["a"])).await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(first);
        waits.await.unwrap();
    }
}
