//! Chooses how to win back a customer who cancels.
//!
//! A cancel reason becomes one of the nine strategies that Windback names, by code or by keyword ([`reason`]);
//! tenure and revenue then move strategies up and down ([`rank`]). All nine are ranked, each with its reasons, so
//! that every choice can be explained. Nothing is learned and nothing is random.

mod about;
mod config;
#[cfg(test)]
mod properties;
mod rank;
mod reason;
mod strategy;
mod words;

pub use config::Config;
pub use strategy::Strategy;

use about::About;
use billhook_plugin::model::Retention;
use billhook_plugin::model::decision::{
    self, ACTIVATED, CANCEL_SCHEDULED, CANCEL_UNSCHEDULED, CANCELED, SCHEDULED,
};
use billhook_plugin::{Event, Failure, Map, Patch, Plugin};
use config::Settings;
use std::collections::BTreeMap;

const PAYMENT_FAILED: &str = "payment.failed";
/// What is told of a subscription that lives, or is to live.
const LIVES: [&str; 7] = [
    "subscription.created",
    SCHEDULED,
    "subscription.trial_started",
    ACTIVATED,
    "subscription.renewed",
    "subscription.resumed",
    CANCEL_UNSCHEDULED,
];

/// The plugin.
#[derive(Debug)]
pub struct CancelStrategy {
    settings: Settings,
}

impl Plugin for CancelStrategy {
    type Config = Config;

    fn new(config: Config) -> Result<CancelStrategy, Failure> {
        Settings::new(config).map(|settings| CancelStrategy { settings }).map_err(Failure::Invalid)
    }
}

impl Map for CancelStrategy {
    fn map(&self, event: &Event<'_>) -> Result<Option<Patch>, Failure> {
        let kind = event.event_type();
        if ![CANCEL_SCHEDULED, CANCELED, PAYMENT_FAILED].contains(&kind.as_str()) {
            return Ok(None);
        }
        let is_told = || has_ended(event) || (was_decided(event) && !is_told_anew(event));
        if kind != PAYMENT_FAILED && is_told() {
            return Ok(None);
        }
        let about = About::of(event.fields()?);
        if about.is_of_merchant() {
            return Ok(None);
        }
        Ok(Some(patch(self.choose(&kind, &about))?))
    }
}

/// Whether a decision was told that still stands, so that this event tells it again or carries it out.
fn was_decided(event: &Event<'_>) -> bool {
    decision::standing(|kind| event.last_seen(kind), || event.time("/subscription/trial_end")).is_some()
}

/// Whether this event belongs to an end of its subscription that was told: it happened no later. Where the provider gives
/// no time, no end is another one unless the subscription was seen to live since. A customer may have several that end: of
/// one without a subscription's id only what was decided and came at the same time is the same end.
fn has_ended(event: &Event<'_>) -> bool {
    let Some(ended) = event.last_seen(CANCELED) else { return false };
    let is_named = event.text("/subscription/id").is_some();
    match event.occurred_at() {
        Some(at) if is_named => at <= ended,
        Some(at) => at == ended && event.last_seen(CANCEL_SCHEDULED).is_some(),
        None => is_named && !LIVES.iter().any(|kind| event.last_seen(kind).is_some_and(|at| at > ended)),
    }
}

/// Whether the provider says what has changed of a decision, such as its reason: one that does not tells it with every
/// update until the end. That the end was moved is nobody's reason to ask again.
fn is_told_anew(event: &Event<'_>) -> bool {
    if event.event_type() != CANCEL_SCHEDULED || event.get_json("/previous").is_none() {
        return false;
    }
    let has_changed = |name: &str| event.get_json(&format!("/previous/{name}")).is_some();
    has_changed("cancellation_details") || !(has_changed("cancel_at") || has_changed("cancel_at_period_end"))
}

impl CancelStrategy {
    /// What to do about an event whose type asks for it: retention for a decision, dunning for a failure.
    fn choose(&self, kind: &str, about: &About<'_>) -> Retention {
        if kind == PAYMENT_FAILED || about.is_involuntary() {
            return Retention {
                kind: "dunning".to_owned(),
                primary: None,
                variants: Vec::new(),
                matched: None,
                requires_human: false,
                skipped_rules: Vec::new(),
            };
        }
        let reading = self.settings.tables.read(about.said());
        rank::rank(&self.settings, &reading, &about.facts())
    }
}

/// The patch for a choice, with a sentence for people.
fn patch(retention: Retention) -> Result<Patch, Failure> {
    let note = BTreeMap::from([("summary", summary(&retention))]);
    let annotations = serde_json::value::to_raw_value(&note)?;
    Ok(Patch { retention: Some(retention), annotations: Some(annotations), warnings: Vec::new() })
}

fn summary(retention: &Retention) -> String {
    if retention.kind == "dunning" {
        return "nobody decided this: dunning, no retention offer".to_owned();
    }
    let Some(primary) = &retention.primary else {
        return "no strategy may be offered: the configuration forbids all nine".to_owned();
    };
    let chosen = retention.variants.iter().find(|variant| variant.strategy == *primary);
    let why = chosen.and_then(|variant| variant.reasons.first()).map(String::as_str).unwrap_or_default();
    let person = if retention.requires_human { "; a person should act" } else { "" };
    match why {
        "" => format!("{primary}{person}"),
        why => format!("{primary}: {why}{person}"),
    }
}

billhook_plugin::plugin! {
    CancelStrategy: Map;
    manifest = "plugin.toml";
    schema = "config.schema.json";
}

#[cfg(test)]
mod tests {
    use super::{CancelStrategy, Config};
    use billhook_plugin::model::Retention;
    use billhook_plugin::model::decision::{
        ACTIVATED, CANCEL_SCHEDULED as SCHEDULED, CANCEL_UNSCHEDULED as UNSCHEDULED, CANCELED,
        SCHEDULED as PLANNED, TRIAL_ENDED,
    };
    use billhook_plugin::{Event, Failure, Map, Patch, Plugin, Time};
    use serde_json::{Value, json};

    fn event(kind: &str, rest: &Value) -> Event<'static> {
        let mut json = json!({
            "id": "evt_1", "schema_version": 1, "type": kind, "source": "shop", "provider": "windback",
            "provider_event_type": "x", "received_at": "2026-08-10T12:00:00.000Z", "ordering_key": "k",
            "verified": "none", "raw": {"webhook": "whk_1", "sha256": "", "bytes": 0},
        });
        json.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        Event::from_json(&json.to_string()).unwrap()
    }

    fn map(event: &Event<'_>) -> Option<Patch> {
        CancelStrategy::new(Config::default()).unwrap().map(event).unwrap()
    }

    fn retention(event: &Event<'_>) -> Retention {
        map(event).unwrap().retention.unwrap()
    }

    fn at(secs: u64) -> Time {
        Time::from_secs(1_700_000_000 + secs)
    }

    #[test]
    fn it_fires_once_for_a_decision() {
        let nothing = json!({});
        let canceled = || event(CANCELED, &nothing);
        let canceled_at = |secs| event(CANCELED, &json!({ "occurred_at": at(secs).to_string() }));
        let of = |initiator: &str, kind| {
            let phase = if kind == SCHEDULED { "requested" } else { "effective" };
            let cancellation = json!({ "kind": "voluntary", "initiator": initiator, "phase": phase });
            event(kind, &json!({ "cancellation": cancellation }))
        };
        let cases = [
            (event(SCHEDULED, &nothing), true, "a decision"),
            (event(SCHEDULED, &nothing).seen(SCHEDULED, at(1)), false, "a decision again"),
            (
                event(SCHEDULED, &json!({ "previous": {"cancellation_details": {}} })).seen(SCHEDULED, at(1)),
                true,
                "a decision whose reason was added",
            ),
            (
                event(SCHEDULED, &json!({ "previous": {"cancel_at": 1} })).seen(SCHEDULED, at(1)),
                false,
                "a decision whose end was moved",
            ),
            (
                event(SCHEDULED, &json!({ "previous": {"cancel_at": 1, "cancellation_details": {}} }))
                    .seen(SCHEDULED, at(1)),
                true,
                "a decision whose end was moved with a reason",
            ),
            (
                event(SCHEDULED, &json!({ "previous": {"status": "active"} })).seen(SCHEDULED, at(1)),
                true,
                "a decision of which something else changed",
            ),
            (
                event(SCHEDULED, &nothing).seen(SCHEDULED, at(1)).seen(UNSCHEDULED, at(2)),
                true,
                "a decision after one that was withdrawn",
            ),
            (canceled(), true, "an end without a decision before"),
            (canceled().seen(SCHEDULED, at(1)), false, "an end that was decided before"),
            (
                canceled().seen(SCHEDULED, at(1)).seen(UNSCHEDULED, at(2)),
                true,
                "a decision that was withdrawn",
            ),
            (
                canceled().seen(SCHEDULED, at(3)).seen(UNSCHEDULED, at(2)),
                false,
                "decided again after a withdrawal",
            ),
            (canceled().seen(UNSCHEDULED, at(2)), true, "a withdrawal alone"),
            (
                canceled_at(9).seen(SCHEDULED, at(1)).seen(CANCELED, at(2)),
                true,
                "an end after a decision that was carried out",
            ),
            (
                canceled_at(9).seen(CANCELED, at(2)).seen(SCHEDULED, at(3)),
                false,
                "an end that was decided after the last one",
            ),
            (
                canceled_at(2).seen(SCHEDULED, at(1)).seen(CANCELED, at(2)),
                false,
                "an end that was decided before, told again",
            ),
            (
                canceled().seen(SCHEDULED, at(1)).seen(TRIAL_ENDED, at(2)).seen(ACTIVATED, at(2)),
                false,
                "an end that was decided in a trial, and came after it",
            ),
            (
                event(CANCELED, &json!({ "subscription": { "trial_end": at(2).to_string() } }))
                    .seen(SCHEDULED, at(1))
                    .seen(ACTIVATED, at(3)),
                false,
                "an end that was decided in a trial whose end only the subscription tells",
            ),
            (
                event(SCHEDULED, &nothing).seen(SCHEDULED, at(1)).seen(ACTIVATED, at(2)),
                true,
                "a decision after it was signed anew",
            ),
            (
                event(SCHEDULED, &nothing).seen(ACTIVATED, at(1)).seen(SCHEDULED, at(1)),
                false,
                "a decision that came with the signature",
            ),
            (
                event(SCHEDULED, &nothing).seen(PLANNED, at(1)).seen(SCHEDULED, at(2)).seen(ACTIVATED, at(3)),
                false,
                "a decision before a beginning that was planned",
            ),
            (
                canceled().seen(SCHEDULED, at(1)).seen("subscription.resumed", at(2)),
                false,
                "an end that was decided before a pause ended",
            ),
            (canceled_at(2).seen(CANCELED, at(2)), true, "another end of a customer at the same time"),
            (canceled_at(2).seen(CANCELED, at(3)), true, "another end of a customer, told late"),
            (
                canceled().seen(SCHEDULED, at(1)).seen("subscription.renewed", at(2)),
                false,
                "an end that was decided many periods before",
            ),
            (
                event(
                    SCHEDULED,
                    &json!({ "occurred_at": at(2).to_string(), "previous": {}, "subscription": { "id": "s" } }),
                )
                .seen(CANCELED, at(3)),
                false,
                "a decision that comes after its end",
            ),
            (of("merchant", SCHEDULED), false, "a decision of the seller's"),
            (of("merchant", CANCELED), false, "an end that the seller decided"),
            (of("customer", CANCELED), true, "an end that the customer decided"),
            (of("unknown", CANCELED), true, "an end of which nobody says who decided"),
            (event("payment.failed", &nothing), true, "a failure"),
            (event("payment.succeeded", &nothing), false, "a payment"),
            (event("subscription.updated", &nothing), false, "an update"),
            (event("subscription.expired", &nothing), false, "an expiry"),
        ];
        for (event, fires, what) in cases {
            assert_eq!(map(&event).is_some(), fires, "{what}");
        }
    }

    #[test]
    fn an_end_without_a_time_is_told_once_until_the_subscription_lives_again() {
        let of = |kind: &str| event(kind, &json!({ "subscription": { "id": "Cont_1" } }));
        let mut rows = Vec::new();
        for kind in [SCHEDULED, CANCELED] {
            rows.extend([
                (of(kind), true),
                (of(kind).seen(CANCELED, at(2)), false),
                (of(kind).seen(SCHEDULED, at(1)).seen(CANCELED, at(2)), false),
                (of(kind).seen(CANCELED, at(2)).seen("subscription.updated", at(3)), false),
                (event(kind, &json!({ "customer": { "id": "cus_1" } })).seen(CANCELED, at(2)), true),
            ]);
            for lives in super::LIVES {
                rows.push((of(kind).seen(lives, at(1)).seen(CANCELED, at(2)), false));
                rows.push((of(kind).seen(CANCELED, at(2)).seen(lives, at(3)), true));
            }
        }
        for (event, fires) in rows {
            assert_eq!(map(&event).is_some(), fires, "{event:?}");
        }
    }

    #[test]
    fn what_nobody_decided_goes_to_dunning_without_variants() {
        let cancellation = |kind: &str, code: &str| {
            let cancellation =
                json!({"kind": kind, "initiator": "system", "phase": "effective", "reason_code": code});
            event("subscription.canceled", &json!({ "cancellation": cancellation }))
        };
        let cases = [
            (event("payment.failed", &json!({})), "dunning"),
            (cancellation("involuntary", "payment_failed"), "dunning"),
            (cancellation("unknown", "payment_method_missing"), "dunning"),
            (cancellation("unknown", "too_expensive"), "retention"),
            (cancellation("voluntary", "too_expensive"), "retention"),
        ];
        for (event, kind) in cases {
            let retention = retention(&event);
            assert_eq!(retention.kind, kind);
            assert_eq!(retention.variants.len(), if kind == "dunning" { 0 } else { 9 });
            assert_eq!(retention.primary.is_none(), kind == "dunning");
        }
    }

    #[test]
    fn reason_tenure_and_revenue_are_read_from_the_event() {
        let event = event(
            "subscription.canceled",
            &json!({
                "occurred_at": "2026-08-10T12:00:00.000Z",
                "cancellation": {
                    "kind": "voluntary", "initiator": "customer", "phase": "effective",
                    "provider_reason": "It\u{2019}s too expensive", "provider_reason_field": "cancel_reason",
                },
                "subscription": {
                    "id": "sub_1", "started_at": "2025-01-01T00:00:00.000Z", "plan": {"interval": "month"},
                    "mrr": {"amount_minor": 90_000, "currency": "USD", "exponent": 2, "original": "90000"},
                },
            }),
        );
        let patch = map(&event).unwrap();
        let retention = patch.retention.unwrap();
        let matched = retention.matched.unwrap();
        assert_eq!((matched.by.as_str(), matched.value.as_deref()), ("keyword", Some("too expensive")));
        assert_eq!(retention.primary.as_deref(), Some("discount"));
        assert_eq!(retention.variants[0].params["percent"], 35, "586 days are long");
        assert_eq!(retention.variants[1].strategy, "founder_email");
        assert!(retention.requires_human);
        let note: Value = serde_json::from_str(patch.annotations.unwrap().get()).unwrap();
        assert_eq!(note["summary"], "discount: the reason says `too expensive`; a person should act");
    }

    #[test]
    fn the_days_that_the_provider_gives_count_before_those_that_are_reckoned() {
        let subscription = json!({"tenure_days": 3, "started_at": "2020-01-01T00:00:00.000Z"});
        let cancellation = json!({
            "kind": "voluntary", "initiator": "customer", "phase": "effective", "reason_code": "too_expensive",
        });
        let event = event(
            "subscription.canceled",
            &json!({"subscription": subscription, "cancellation": cancellation}),
        );
        assert_eq!(retention(&event).primary.as_deref(), Some("value_recap"));
    }

    #[test]
    fn a_configuration_that_does_not_hold_together_is_refused() {
        let config = Config { currency: "dollars".to_owned(), ..Config::default() };
        assert!(
            matches!(CancelStrategy::new(config), Err(Failure::Invalid(why)) if why.contains("`currency`"))
        );
    }
}
