//! What a run of the pipeline gives: events, deliveries and what plugins said.

use crate::model::difference::Differences;
use crate::model::id::{EndpointId, EventId};
use crate::model::kv::KvRun;
use billhook_event::decision::{self, CANCEL_SCHEDULED};
use billhook_event::{PluginRef, Time};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Everything that one run of the pipeline over one webhook commits.
#[derive(Clone, Debug, Default)]
pub struct Dispatch {
    /// The run.
    pub run: Run,
    /// The events, in order; index `i` has the id `EventId::derive(webhook, i)`.
    pub events: Vec<NewEvent>,
    /// The versions of the entity rows that the run read (0: there was none). A commit against other versions is a
    /// conflict, and the run repeats.
    pub entities: Vec<EntityRead>,
    /// The endpoints that take the events of one entity one at a time, in the order of their commits.
    pub ordered: Vec<EndpointId>,
    /// What its plugins keep.
    pub kv: KvRun,
}

/// One run of the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The time that plugins saw.
    pub now: Time,
    /// What plugins said, in order.
    pub notes: Vec<Note>,
    /// What the shadow of the source would have made of the same webhook, if it has one.
    pub shadow: Option<Shadowed>,
    /// What was remembered of each entity when the webhook first ran: a later run is told the same. Entities of which
    /// nothing was are left out.
    pub known: BTreeMap<String, Remembered>,
}

/// The last event of each canonical type: when it happened, and which.
pub type Remembered = BTreeMap<String, (Time, EventId)>;

/// What a shadow plugin would have made of a webhook. Nothing of it is delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadowed {
    /// The shadow.
    pub plugin: PluginRef,
    /// What came of it.
    pub said: Compared,
}

/// What another plugin makes of a webhook, held against what was made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Compared {
    /// The same events, strategies and routes.
    Same,
    /// Others.
    Differs(Differences),
    /// It failed: why.
    Failed(String),
}

/// What one plugin said in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The plugin.
    pub plugin: PluginRef,
    /// The index of the event it was asked about; `None` for the normalizer.
    pub event: Option<u32>,
    /// What it did.
    pub said: Said,
    /// How long the call took, in microseconds.
    pub took_us: u64,
}

/// What a plugin did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Said {
    /// A normalizer gave this many drafts.
    Drafts(u32),
    /// A filter kept the event.
    Keep,
    /// A filter dropped the event.
    Drop(String),
    /// A map changed the event; the patch as JSON text, without the variants of the retention that stands: they are in
    /// the event.
    Patch(String),
    /// A map had nothing to say.
    Nothing,
    /// It failed and `on_failure = "skip"` went on without it.
    Skipped(String),
}

/// An event as the pipeline made it.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// Its canonical type.
    pub kind: String,
    /// The whole event, `billhook.event/1`.
    pub json: Bytes,
    /// The entity it is about: subscription, else customer.
    pub entity: Option<String>,
    /// The object that its type is of, where an entity may have many; what happened to one makes nothing of another
    /// stale.
    pub object: Option<String>,
    /// When it happened, else when it was received: what the entity row and lists show.
    pub occurred_at: Time,
    /// The plugin that dropped it and why; a dropped event is kept and not delivered.
    pub dropped: Option<(String, String)>,
    /// The endpoints it is owed to.
    pub endpoints: Vec<EndpointId>,
}

/// Whether two documents of an event say the same to whoever gets them. That it was made by a reprocess, and which
/// versions of plugins made it, is about the event and not of it.
pub fn says_the_same(one: &[u8], other: &[u8]) -> bool {
    let said = |json| {
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(json).ok()?;
        fields.retain(|name, _| name != "replayed" && name != "plugins");
        Some(fields.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect::<Vec<_>>())
    };
    one == other || said(one).is_some_and(|fields| Some(fields) == said(other))
}

/// The version of an entity row that a run read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityRead {
    /// Subscription or customer id.
    pub entity: String,
    /// 0: there was no row.
    pub version: u64,
}

/// What the store remembers of a subscription (else a customer) of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Grows by one with each commit; 0: there is no row.
    pub version: u64,
    /// The last event of each canonical type: when it happened, and which. Of [`CANCEL_SCHEDULED`] the one that told the
    /// decision first that stands.
    pub last: Remembered,
}

impl Entity {
    /// Takes note of an event of the type `kind` that happened at `at`.
    pub fn note(&mut self, kind: &str, at: Time, event: EventId) {
        if kind == CANCEL_SCHEDULED && self.decided(None).is_some() {
            return;
        }
        let last = self.last.entry(kind.to_owned()).or_insert((at, event));
        if last.0 <= at {
            *last = (at, event);
        }
    }

    /// When the planned end was decided that still stands, as [`decision::standing`] says. `trial_end` is what an event
    /// says of its subscription.
    pub fn decided(&self, trial_end: Option<Time>) -> Option<Time> {
        decision::standing(|kind| self.last.get(kind).map(|(at, _)| *at), || trial_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rerun_says_the_same_unless_something_that_is_told_differs() {
        let first = r#"{"id":"evt_1","total":0.10,"replayed":false,"plugins":[{"version":"1"}]}"#;
        for (other, same) in [
            (r#"{"id":"evt_1","total":0.10,"replayed":true,"plugins":[{"version":"2"}]}"#, true),
            (r#"{"id":"evt_1","total":0.1,"replayed":false,"plugins":[{"version":"1"}]}"#, false),
            (r#"{"id":"evt_1","total":0.10,"warnings":["x"]}"#, false),
            (first, true),
            ("no JSON", false),
        ] {
            assert_eq!(says_the_same(first.as_bytes(), other.as_bytes()), same, "{other}");
        }
        assert!(!says_the_same(b"no JSON", b"nor this"));
    }

    #[test]
    fn a_decision_that_is_told_again_is_the_first_one() {
        let mut entity = Entity::default();
        let told =
            |entity: &mut Entity, kind: &str, at| entity.note(kind, Time::from_secs(at), EventId([0; 16]));
        told(&mut entity, CANCEL_SCHEDULED, 5);
        told(&mut entity, CANCEL_SCHEDULED, 7);
        assert_eq!(entity.decided(None), Some(Time::from_secs(5)));
        told(&mut entity, "subscription.canceled", 8);
        told(&mut entity, CANCEL_SCHEDULED, 9);
        assert_eq!(entity.decided(None), Some(Time::from_secs(9)), "another one");
    }
}
