//! Finds the event's name and its object in a body.
//!
//! A body is an envelope `{eventId, eventType, resourceType?, resourceId?, data}`, or the invoice itself, with or without
//! the envelope's members beside its own. Where nothing names the event, the newest entry in `events` says what happened.

use crate::catalogue::{self, CATALOGUE, Entry, Side};
use billhook_plugin::{Failure, Fields, Json, Notes, Time};
use std::cmp::Reverse;

/// Members of an object, of which the envelope has none.
const TELLING: [&str; 5] = ["events", "amount", "status", "title", "name"];

/// A body, read.
pub(crate) struct Envelope<'a> {
    /// The event's name as sent, or the field of `events` that stood in for it.
    pub(crate) name: String,
    /// Its row, if it is a known one.
    pub(crate) entry: Option<&'static Entry>,
    /// Which side it is told from, if anything tells.
    pub(crate) side: Option<Side>,
    /// Wingspan's id of the event.
    pub(crate) id: Option<String>,
    /// The id beside the object.
    pub(crate) resource: Option<String>,
    /// The object: an invoice, a document, a contractor, ...
    pub(crate) object: Fields<'a>,
    /// Whether the object is the body itself, with the envelope's members among its own.
    is_bare: bool,
    /// When what happened to the object happened, by field.
    pub(crate) events: Fields<'a>,
    /// What looked odd.
    pub(crate) notes: Notes,
}

impl<'a> Envelope<'a> {
    /// Reads a body. `outside` is the name that the source's rule found outside of it.
    pub(crate) fn read(body: Fields<'a>, outside: Option<&str>) -> Result<Envelope<'a>, Failure> {
        let mut notes = Notes::default();
        let data = body.get("data");
        let inner = data.and_then(Json::fields);
        let is_bare = inner.is_none();
        let object = inner.unwrap_or_else(|| {
            if let Some(odd) = data {
                notes.add(format!("`data` is {}, not an object: the body itself is read", odd.kind()));
            }
            body.clone()
        });
        let events = object.fields("events").unwrap_or_default();

        let outside = outside.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        let inside = body.text("eventType");
        if let (Some(inside), Some(outside)) = (&inside, &outside)
            && inside != outside
        {
            notes.add(format!("the body names the event `{inside}` and the source names it `{outside}`"));
        }
        let name = inside.or(outside).or_else(|| {
            let newest = newest(&events)?;
            notes.add(format!("nothing names the event: `{newest}` is the newest of `events`"));
            Some(newest)
        });
        let Some(name) = name else {
            return Err(Failure::invalid(
                "nothing says which event this is: the body has no `eventType` and no times in `events`; set \
                 `event_type` at the source, or let Wingspan post each event to its own URL, \
                 /in/{source}/{event-type} as in /in/wingspan/InvoicePaid",
            ));
        };

        let found = catalogue::find(&name);
        let side = found
            .and_then(|(side, _)| side)
            .or_else(|| Side::of(&body.text("resourceType")?))
            .or_else(|| object.get("payableId").map(|_| Side::Payable));
        let mut envelope = Envelope {
            name,
            entry: found.map(|(_, entry)| entry),
            side,
            id: body.text("eventId"),
            resource: body.text("resourceId"),
            object,
            is_bare,
            events,
            notes,
        };
        if let Some(entry) = envelope.entry
            && envelope.is_in_dispute(entry)
        {
            envelope.entry = Some(entry.in_dispute());
        }
        Ok(envelope)
    }

    /// Whether the object holds ids alone, or is the body of a known event and tells nothing of its own. What an object
    /// of an unknown event would tell is not known.
    pub(crate) fn is_thin(&self) -> bool {
        let tells_nothing = |name: &str| ["id", "eventType", "resourceType", "data"].contains(&name);
        let is_told = || TELLING.iter().any(|name| self.object.get(name).is_some());
        self.object.iter().all(|(name, _)| tells_nothing(name) || name.ends_with("Id"))
            || (self.is_bare && self.entry.is_some() && !is_told())
    }

    /// Whether a dispute had begun at the time of the row, or ever if the row has none. What the client declines was in
    /// none if the dispute was resolved or its resolution accepted before; what the contractor accepts is a resolution.
    fn is_in_dispute(&self, entry: &Entry) -> bool {
        let at = self.at(entry);
        let times =
            |fields: [&'static str; 2]| fields.into_iter().filter_map(|field| last(&self.events, field));
        let is_over = |begun: Time| {
            entry.name == "ClientDeclined"
                && times(["clientResolvedDisputeAt", "memberAcceptedAt"])
                    .any(|ended| begun <= ended && at.is_none_or(|at| ended < at))
        };
        times(["disputedAt", "memberDisputedAt"])
            .any(|begun| at.is_none_or(|at| begun <= at) && !is_over(begun))
    }

    /// When the event happened: what the field of its row says, of an array the last.
    pub(crate) fn at(&self, entry: &Entry) -> Option<Time> {
        let field = field(entry.name);
        let stamped = format!("{field}At");
        [&self.events, &self.object]
            .into_iter()
            .find_map(|fields| last(fields, &stamped).or_else(|| last(fields, &field)))
    }

    /// How often the event has happened, where its field keeps count.
    pub(crate) fn count(&self, entry: &Entry) -> Option<u32> {
        let items = self.events.get(&format!("{}At", field(entry.name)))?.items()?;
        u32::try_from(items.len()).ok()
    }
}

/// The field of a row: `PaymentFailed` is `paymentFailed`, and `Document.MemberSigned` is `memberSigned`.
fn field(row: &str) -> String {
    let name = row.rsplit('.').next().unwrap_or(row);
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_ascii_lowercase() + rest
}

/// The time in a field; of an array the last that is one.
fn last(fields: &Fields<'_>, name: &str) -> Option<Time> {
    time(fields.get(name)?)
}

fn time(value: Json<'_>) -> Option<Time> {
    match value.items() {
        Some(items) => items.into_iter().rev().find_map(Json::time),
        None => value.time(),
    }
}

/// The field of `events` with the latest time. An estimate lies ahead and says nothing about what happened last.
fn newest(events: &Fields<'_>) -> Option<String> {
    let position = |name: &str| {
        let entry = catalogue::find(name).map(|(_, entry)| entry.name);
        CATALOGUE.iter().position(|known| Some(known.name) == entry).unwrap_or(usize::MAX)
    };
    let happened = |name: &str| catalogue::find(name).is_none_or(|(_, row)| row.kind != "payout.estimated");
    events
        .iter()
        .filter_map(|(name, value)| Some(((happened(name), time(value)?, Reverse(position(name))), name)))
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, name)| name.to_owned())
}
