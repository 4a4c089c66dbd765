//! Webhooks that are leased and wait for a place among the runs of their source. Leases come in the order of arrival,
//! whatever the source: behind a source that a plugin makes slow, those of others are found only by leasing on.

use crate::dispatch::SOURCE_RUNS_MAX;
use crate::store::WebhookLease;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most webhooks that wait so, and the bytes of their bodies from which on nothing more is leased, which the last lease
/// may have gone over by all of its own: when there are more, others wait with them.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: usize = 16 << 20;

/// By source, each in its order. Reruns are apart: they wait for each other, and what comes now does not wait for them.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    sources: BTreeMap<String, Source>,
    reruns: BTreeMap<String, Source>,
    leases: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Source {
    waiting: VecDeque<WebhookLease>,
    places: Arc<Semaphore>,
}

/// A place among the runs of a source, until it is dropped.
pub(super) type Place = OwnedSemaphorePermit;

impl Waiting {
    /// How many more may be leased.
    pub(super) fn room(&self) -> usize {
        if self.bytes >= WAITING_BYTES_MAX { 0 } else { WAITING_MAX - self.leases.min(WAITING_MAX) }
    }

    /// Adds webhooks, each behind those of its source.
    pub(super) fn extend(&mut self, leases: Vec<WebhookLease>) {
        for lease in leases {
            (self.leases, self.bytes) = (self.leases + 1, self.bytes + size(&lease));
            let sources = if lease.run == 0 { &mut self.sources } else { &mut self.reruns };
            if !sources.contains_key(&lease.head.source) {
                let places = Arc::new(Semaphore::new(SOURCE_RUNS_MAX));
                let new = Source { waiting: VecDeque::new(), places };
                sources.insert(lease.head.source.clone(), new);
            }
            let source = sources.get_mut(&lease.head.source).expect("it was just made");
            source.waiting.push_back(lease);
        }
    }

    /// Up to `n` webhooks with their places, of each source in its order, and of the sources in turn.
    pub(super) fn take(&mut self, n: usize) -> Vec<(WebhookLease, Place)> {
        let mut taken = Vec::new();
        if self.leases == 0 {
            return taken;
        }
        loop {
            let before = taken.len();
            for source in self.sources.values_mut().chain(self.reruns.values_mut()) {
                if taken.len() == n || source.waiting.is_empty() {
                    continue;
                }
                let Ok(place) = Arc::clone(&source.places).try_acquire_owned() else { continue };
                taken.extend(source.waiting.pop_front().map(|lease| (lease, place)));
            }
            if taken.len() == before {
                break;
            }
        }
        self.leases -= taken.len();
        self.bytes -= taken.iter().map(|(lease, _)| size(lease)).sum::<usize>();
        taken
    }
}

fn size(lease: &WebhookLease) -> usize {
    lease.body.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::WebhookId;
    use crate::model::webhook::WebhookHead;
    use billhook_event::Time;

    fn lease(source: &str, n: u128, body: usize) -> WebhookLease {
        let body = vec![0; body];
        let head = WebhookHead::of(source, "p", Time::ZERO, &body);
        let id = WebhookId::new(Time::ZERO, n);
        WebhookLease { id, head: Arc::new(head), body: Some(body.into()), failures: 0, run: 0 }
    }

    fn names(taken: &[(WebhookLease, Place)]) -> Vec<(String, WebhookId)> {
        taken.iter().map(|(lease, _)| (lease.head.source.clone(), lease.id)).collect()
    }

    #[test]
    fn a_source_has_its_places_and_others_theirs() {
        let mut waiting = Waiting::default();
        let slow = 0..SOURCE_RUNS_MAX as u128 + 2;
        waiting.extend(slow.clone().map(|n| lease("slow", n, 1)).collect());
        let mut running = waiting.take(1000);
        assert_eq!(running.len(), SOURCE_RUNS_MAX);
        assert!(running.iter().zip(slow).all(|((lease, _), n)| lease.id == WebhookId::new(Time::ZERO, n)));
        waiting.extend(vec![lease("slow", 900, 1), lease("quick", 901, 1), lease("quick", 902, 1)]);
        let id = |n| WebhookId::new(Time::ZERO, n);
        let quick = [("quick".to_owned(), id(901)), ("quick".to_owned(), id(902))];
        assert_eq!(names(&waiting.take(1)), quick[..1]);
        assert_eq!(names(&waiting.take(9)), quick[1..]);
        assert!(waiting.take(9).is_empty());
        running.truncate(SOURCE_RUNS_MAX - 1);
        let next = waiting.take(9);
        assert_eq!(names(&next), [("slow".to_owned(), id(SOURCE_RUNS_MAX as u128))]);
        waiting.extend(vec![WebhookLease { run: 1, ..lease("slow", 903, 1) }]);
        assert_eq!(names(&waiting.take(9)), [("slow".to_owned(), id(903))], "reruns have their own");
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.room(), WAITING_MAX);
        waiting.extend(vec![lease("a", 1, 10), lease("a", 2, 10)]);
        assert_eq!(waiting.room(), WAITING_MAX - 2);
        waiting.extend(vec![lease("a", 3, WAITING_BYTES_MAX)]);
        assert_eq!(waiting.room(), 0);
        assert_eq!(waiting.take(3).len(), 3);
        assert_eq!((waiting.room(), waiting.bytes), (WAITING_MAX, 0));
    }
}
