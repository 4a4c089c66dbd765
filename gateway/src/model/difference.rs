//! What differs between two runs of one webhook: what its events say, and where they go.

use crate::model::id::EndpointId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Most differences that are told of a webhook; the others are counted.
pub const DIFFERENCES_MAX: usize = 32;
/// Most characters of a value that are told.
pub const VALUE_CHARS_MAX: usize = 120;
/// Deepest object that is looked into; what is below is held against each other whole.
const DEPTH_MAX: usize = 16;
/// Members of an event that say how it was made, and not what happened.
const NOT_TOLD: [&str; 2] = ["/replayed", "/plugins"];

/// One event as a run gave it, by its place in the webhook.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Its canonical type.
    pub kind: &'a str,
    /// The whole event.
    pub json: &'a [u8],
    /// Why it was dropped, if it was.
    pub dropped: Option<&'a str>,
    /// Where it goes.
    pub endpoints: &'a [EndpointId],
}

/// What differs between two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// The first [`DIFFERENCES_MAX`], in the order of the events.
    pub told: Vec<Difference>,
    /// How many there are beyond.
    pub more: u32,
}

impl Differences {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    fn add(&mut self, event: usize, part: Part) {
        match self.told.len() < DIFFERENCES_MAX {
            true => self.told.push(Difference { event: event.try_into().unwrap_or(u32::MAX), part }),
            false => self.more = self.more.saturating_add(1),
        }
    }
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The place of the event in its webhook.
    pub event: u32,
    /// What of it.
    pub part: Part,
}

/// What of an event differs. `None` is: not there. Values are JSON text of at most [`VALUE_CHARS_MAX`] characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// The webhook gives no such event any more; its type.
    Gone(String),
    /// The webhook gives one event more; its type.
    New(String),
    /// Its canonical type.
    Type(Change),
    /// Whether it is dropped, and why.
    Dropped(Change),
    /// The strategy to try first.
    Strategy(Change),
    /// Endpoints that would get it now, and those that would not any more.
    Route {
        /// Only now.
        gained: Vec<EndpointId>,
        /// Only before.
        lost: Vec<EndpointId>,
    },
    /// The value at a JSON pointer (RFC 6901).
    Field(String, Change),
}

/// Something before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// In the first run.
    pub before: Option<String>,
    /// In the second.
    pub after: Option<String>,
}

/// What differs between two runs of one webhook, `before` and `after`.
pub fn between(before: &[Told<'_>], after: &[Told<'_>]) -> Differences {
    let mut found = Differences::default();
    for at in 0..before.len().max(after.len()) {
        match (before.get(at), after.get(at)) {
            (Some(before), Some(after)) => event(at, before, after, &mut found),
            (Some(gone), None) => found.add(at, Part::Gone(gone.kind.to_owned())),
            (None, Some(new)) => found.add(at, Part::New(new.kind.to_owned())),
            (None, None) => {}
        }
    }
    found
}

fn event(at: usize, before: &Told<'_>, after: &Told<'_>, found: &mut Differences) {
    if before.kind != after.kind {
        found.add(at, Part::Type(change(Some(before.kind), Some(after.kind))));
    }
    if before.dropped != after.dropped {
        found.add(at, Part::Dropped(change(before.dropped, after.dropped)));
    }
    let (strategy, now) = (strategy(before.json), strategy(after.json));
    if strategy != now {
        found.add(at, Part::Strategy(change(strategy.as_deref(), now.as_deref())));
    }
    let [had, has] = [before, after].map(|told| told.endpoints.iter().copied().collect::<BTreeSet<_>>());
    let (gained, lost): (Vec<_>, Vec<_>) =
        (has.difference(&had).copied().collect(), had.difference(&has).copied().collect());
    if !gained.is_empty() || !lost.is_empty() {
        found.add(at, Part::Route { gained, lost });
    }
    if before.json != after.json {
        let [one, other] = [before, after].map(|told| serde_json::from_slice::<&RawValue>(told.json).ok());
        values(at, "", one.map(RawValue::get), other.map(RawValue::get), 0, found);
    }
}

fn strategy(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        retention: Option<Retention>,
    }
    #[derive(Deserialize)]
    struct Retention {
        primary: Option<String>,
    }
    serde_json::from_slice::<Event>(json).ok()?.retention?.primary
}

/// Holds two values against each other, by their text: numbers are never converted.
fn values(
    at: usize,
    pointer: &str,
    before: Option<&str>,
    after: Option<&str>,
    depth: usize,
    found: &mut Differences,
) {
    if before == after || NOT_TOLD.contains(&pointer) || pointer == "/type" {
        return;
    }
    let [one, other] = [before, after].map(|text| members(text.filter(|_| depth < DEPTH_MAX)));
    if let (Some(one), Some(other)) = (one, other) {
        let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for name in names {
            let below = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            let [one, other] = [&one, &other].map(|of| of.get(name).map(|value| value.get()));
            values(at, &below, one, other, depth + 1, found);
        }
        return;
    }
    found.add(at, Part::Field(pointer.to_owned(), change(before, after)));
}

fn members(text: Option<&str>) -> Option<BTreeMap<String, &RawValue>> {
    text.filter(|text| text.starts_with('{')).and_then(|text| serde_json::from_str(text).ok())
}

fn change(before: Option<&str>, after: Option<&str>) -> Change {
    let [before, after] = [before, after].map(|text| text.map(cut));
    Change { before, after }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: EndpointId = EndpointId([1; 16]);
    const CRM: EndpointId = EndpointId([2; 16]);

    fn told<'a>(kind: &'a str, json: &'a str, endpoints: &'a [EndpointId]) -> Told<'a> {
        Told { kind, json: json.as_bytes(), dropped: None, endpoints }
    }

    fn is(before: &str, after: &str) -> Change {
        change(Some(before), Some(after))
    }

    #[test]
    fn each_thing_that_differs_is_told_once_by_its_place() {
        let before = r#"{"type":"invoice.paid","invoice":{"total":{"amount":1.10},"a/b":1},"replayed":false,
            "plugins":[1],"retention":{"kind":"retention","primary":"discount"}}"#;
        let after = r#"{"type":"invoice.voided","invoice":{"total":{"amount":1.1},"a/b":2,"new":[1]},"replayed":true,
            "plugins":[2],"retention":{"kind":"retention","primary":"pause"}}"#;
        let found =
            between(&[told("invoice.paid", before, &[APP])], &[told("invoice.voided", after, &[CRM])]);
        let field = |pointer: &str, change| Part::Field(pointer.to_owned(), change);
        let expected = [
            Part::Type(is("invoice.paid", "invoice.voided")),
            Part::Strategy(is("discount", "pause")),
            Part::Route { gained: vec![CRM], lost: vec![APP] },
            field("/invoice/a~1b", is("1", "2")),
            field("/invoice/new", change(None, Some("[1]"))),
            field("/invoice/total/amount", is("1.10", "1.1")),
            field("/retention/primary", is("\"discount\"", "\"pause\"")),
        ];
        assert_eq!(found.told.iter().map(|found| found.part.clone()).collect::<Vec<_>>(), expected);
        assert_eq!(found.more, 0);
    }

    #[test]
    fn events_that_come_or_go_are_told_and_equal_runs_say_nothing() {
        let [one, two] = [told("a.b", "{}", &[]), told("c.d", "{}", &[])];
        assert!(between(&[one, two], &[one, two]).is_empty());
        let gone = between(&[one, two], &[one]);
        assert_eq!(gone.told, [Difference { event: 1, part: Part::Gone("c.d".to_owned()) }]);
        let new = between(&[], &[one]);
        assert_eq!(new.told, [Difference { event: 0, part: Part::New("a.b".to_owned()) }]);
        let dropped = Told { dropped: Some("noise"), ..one };
        let part = Part::Dropped(change(None, Some("noise")));
        assert_eq!(between(&[one], &[dropped]).told, [Difference { event: 0, part }]);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let many = |value: &str| {
            let members: Vec<String> = (0..100).map(|n| format!("\"m{n}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let long = format!("\"{}\"", "ä".repeat(1000));
        let found = between(&[told("a.b", &many("1"), &[])], &[told("a.b", &many(&long), &[])]);
        assert_eq!((found.told.len(), found.more), (DIFFERENCES_MAX, 100 - DIFFERENCES_MAX as u32));
        let Part::Field(_, Change { after: Some(after), .. }) = &found.told[0].part else { panic!() };
        assert_eq!(after.chars().count(), VALUE_CHARS_MAX + 3);
        let deep = |leaf: &str| format!("{}{leaf}{}", "{\"a\":".repeat(100), "}".repeat(100));
        let found = between(&[told("a.b", &deep("1"), &[])], &[told("a.b", &deep("2"), &[])]);
        let [Difference { part: Part::Field(pointer, _), .. }] = &found.told[..] else { panic!("{found:?}") };
        assert_eq!(pointer.len(), 2 * DEPTH_MAX);
    }
}
