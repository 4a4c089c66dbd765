//! A canonical event, as a filter or map sees it.

use crate::host::EventHost;
use crate::json::Scalar;
use crate::{Decimal, Document, Failure, Fields, Time, Webhook};
use billhook_event::money;
use serde::de::DeserializeOwned;
use std::cell::OnceCell;

/// A canonical event, with the patches of the plugins before this one.
#[derive(Debug)]
pub struct Event<'a> {
    pub(crate) host: EventHost<'a>,
    document: OnceCell<Document>,
    typed: OnceCell<Result<billhook_event::Event, Failure>>,
    raw: OnceCell<Option<Webhook<'static>>>,
}

impl<'a> Event<'a> {
    pub(crate) fn over(host: EventHost<'a>) -> Event<'a> {
        Event { host, document: OnceCell::new(), typed: OnceCell::new(), raw: OnceCell::new() }
    }

    /// `evt_...`.
    pub fn id(&self) -> String {
        self.host.id()
    }

    /// The canonical type, such as `subscription.canceled`.
    pub fn event_type(&self) -> String {
        self.host.event_type()
    }

    /// The provider.
    pub fn provider(&self) -> String {
        self.host.provider()
    }

    /// The configured source it came through.
    pub fn source(&self) -> String {
        self.host.source()
    }

    /// When the gateway accepted the webhook.
    pub fn received_at(&self) -> Time {
        self.host.received_at()
    }

    /// When it happened, if the provider tells.
    pub fn occurred_at(&self) -> Option<Time> {
        self.host.occurred_at()
    }

    /// When it happened; where the provider does not tell, when the gateway accepted the webhook.
    pub fn happened_at(&self) -> Time {
        self.occurred_at().unwrap_or_else(|| self.received_at())
    }

    /// Whether it was made by a reprocess.
    pub fn replayed(&self) -> bool {
        self.host.replayed()
    }

    /// The whole event, parsed once. Cheaper than [`Event::get`] from about ten fields on.
    pub fn typed(&self) -> Result<&billhook_event::Event, Failure> {
        let typed = self.typed.get_or_init(|| self.host.typed());
        typed.as_ref().map_err(Failure::clone)
    }

    /// The members of the event, read in place. The cheapest way to more than one or two of them.
    pub fn fields(&self) -> Result<Fields<'_>, Failure> {
        self.document.get_or_init(|| Document::written(self.json())).fields()
    }

    /// The event as a type of the plugin's own, which names the members that it needs; the others are passed over.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.json()).map_err(unexpected)
    }

    /// The whole event as JSON, `billhook.event/1`.
    pub fn json(&self) -> Vec<u8> {
        self.host.json()
    }

    /// The scalar at a JSON pointer (RFC 6901) in the event, looked up by the gateway.
    pub fn get(&self, pointer: &str) -> Option<Scalar> {
        self.host.get(pointer)
    }

    /// The JSON text at a pointer in the event.
    pub fn get_json(&self, pointer: &str) -> Option<String> {
        self.host.get_json(pointer)
    }

    /// The string, or the text of the number, at a pointer.
    pub fn text(&self, pointer: &str) -> Option<String> {
        self.get(pointer)?.into_text()
    }

    /// The decimal number at a pointer, written as a number or as a string, exactly.
    pub fn decimal(&self, pointer: &str) -> Option<Decimal> {
        money::decimal(&self.text(pointer)?)
    }

    /// The time at a pointer, as [`Time::parse`] reads it.
    pub fn time(&self, pointer: &str) -> Option<Time> {
        Time::parse(&self.text(pointer)?)
    }

    /// The webhook it came from; `None` once its body has aged out.
    pub fn raw(&self) -> Option<&Webhook<'static>> {
        self.raw.get_or_init(|| self.host.raw()).as_ref()
    }

    /// When an event of the canonical type `kind` was last committed for the same subscription (else customer). Of
    /// `subscription.cancel_scheduled` it is when the decision that stands was told first: some providers tell it again
    /// with every update.
    pub fn last_seen(&self, kind: &str) -> Option<Time> {
        self.host.last_seen(kind)
    }
}

/// An event that is not as it should be is nothing that the plugin or its operator can mend.
pub(crate) fn unexpected(error: serde_json::Error) -> Failure {
    Failure::Other(format!("the event is not as expected: {error}"))
}

#[cfg(not(target_family = "wasm"))]
impl Event<'static> {
    /// A sample for native tests, without a webhook and with nothing seen before.
    pub fn new(event: billhook_event::Event) -> Event<'static> {
        Event::over(EventHost::sample(event))
    }

    /// A sample from its JSON, `billhook.event/1`; members that every event has may be left out.
    pub fn from_json(json: &str) -> Result<Event<'static>, Failure> {
        EventHost::sample_from_json(json).map(Event::over)
    }

    /// Makes [`Event::last_seen`] answer `at` for `kind`.
    #[must_use]
    pub fn seen(mut self, kind: &str, at: Time) -> Self {
        self.host.seen.insert(kind.to_owned(), at);
        self
    }

    /// Sets what [`crate::now`] answers on this thread from here on.
    #[must_use]
    pub fn now(self, now: Time) -> Self {
        crate::host::set_now(now);
        self
    }

    /// Sets the webhook that it came from.
    #[must_use]
    pub fn with_raw(self, webhook: Webhook<'static>) -> Self {
        Event { raw: OnceCell::from(Some(webhook)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::Event;
    use crate::{Time, Webhook, now};

    #[test]
    fn a_sample_answers_as_the_gateway_would() {
        let at = Time::from_secs(1_700_000_000);
        let event =
            Event::from_json(r#"{"type":"payment.failed","source":"shop","customer":{"id":"cus_1"}}"#)
                .unwrap()
                .seen("payment.failed", at)
                .now(at)
                .with_raw(Webhook::new("shop", "acme").with_body("{}"));
        assert_eq!(event.event_type(), "payment.failed");
        assert_eq!(event.text("/customer/id").as_deref(), Some("cus_1"));
        assert_eq!(event.typed().unwrap().entity().as_deref(), Some("cus_1"));
        let members: std::collections::BTreeMap<String, serde::de::IgnoredAny> = event.parse().unwrap();
        assert!(members.contains_key("customer"));
        assert!(matches!(event.parse::<u8>(), Err(crate::Failure::Other(_))));
        assert_eq!(event.last_seen("payment.failed"), Some(at));
        assert_eq!(event.last_seen("invoice.paid"), None);
        assert_eq!(event.raw().unwrap().body(), b"{}");
        assert_eq!(now(), at);
    }
}
