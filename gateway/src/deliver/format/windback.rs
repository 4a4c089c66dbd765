//! Windback's custom webhook: a churn event of any provider. Windback answers 200 to everything and drops in silence
//! what lacks one of its two required fields, so what lacks one is not sent.

use crate::deliver::format::{Owed, Unsent, json};
use billhook_event::{Cancellation, CancellationKind, Event, Money};
use serde::Serialize;

#[derive(Serialize)]
struct Body<'a> {
    customer_email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_name: Option<&'a str>,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<String>,
    /// In the currency's minor units, which Windback calls cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    mrr: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenure_days: Option<u32>,
}

/// The whole body.
pub(super) fn body(owed: &Owed<'_>) -> Result<Vec<u8>, Unsent> {
    let read = owed.read()?;
    let event = &read.event;
    let customer = event.customer.as_ref();
    let email = customer.and_then(|customer| customer.email.as_deref()).map(str::trim);
    let (Some(customer_email), Some(event_type)) =
        (email.filter(|email| !email.is_empty()), event_type(event))
    else {
        return Err(Unsent::Skip(missing(email.is_none_or(str::is_empty), event)));
    };
    let subscription = event.subscription.as_ref();
    let mrr = subscription.and_then(|subscription| subscription.mrr.as_ref());
    Ok(json(&Body {
        customer_email,
        customer_name: customer.and_then(|customer| customer.name.as_deref()),
        event_type,
        cancel_reason: event.cancellation.as_ref().filter(|_| event_type == CANCELLATION).and_then(reason),
        mrr: mrr.map(|mrr| mrr.amount_minor),
        currency: mrr.map(|Money { currency, .. }| currency.to_ascii_lowercase()),
        provider: event.origin_provider.as_deref().unwrap_or(&event.provider),
        plan_name: subscription.and_then(|subscription| subscription.plan.as_ref()?.name.as_deref()),
        tenure_days: subscription.and_then(|subscription| subscription.tenure_days),
    }))
}

const CANCELLATION: &str = "cancellation";

/// What Windback calls it. Who leaves because a payment failed is a case for its dunning, not for its offers.
fn event_type(event: &Event) -> Option<&'static str> {
    let involuntary = event
        .cancellation
        .as_ref()
        .is_some_and(|cancellation| cancellation.kind == CancellationKind::Involuntary);
    match event.kind.as_str() {
        "subscription.canceled" | "subscription.cancel_scheduled" if involuntary => Some("payment_failed"),
        "subscription.canceled" | "subscription.cancel_scheduled" => Some(CANCELLATION),
        "payment.failed" => Some("payment_failed"),
        "payment.recovered" => Some("payment_recovered"),
        _ => None,
    }
}

/// The reason in words: what the customer wrote, else what the provider says, else our code for it, in which Windback
/// finds its keywords once it is spelled with spaces.
fn reason(cancellation: &Cancellation) -> Option<String> {
    let Cancellation { comment, provider_reason, reason_code, .. } = cancellation;
    let told = reason_code.as_ref().filter(|code| *code != "unspecified");
    let words = told.map(|code| code.replace('_', " "));
    [comment.clone(), provider_reason.clone(), words]
        .into_iter()
        .flatten()
        .find(|text| !text.trim().is_empty())
}

fn missing(email: bool, event: &Event) -> String {
    let named = event_type(event).is_some();
    let type_missing = || format!("`event_type`, for it has none for `{}`", event.kind);
    match (email, named) {
        (true, true) => "the event lacks what this endpoint requires: `customer_email`".to_owned(),
        (false, _) => format!("the event lacks what this endpoint requires: {}", type_missing()),
        (true, false) => {
            format!("the event lacks what this endpoint requires: `customer_email` and {}", type_missing())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::body;
    use crate::deliver::format::Unsent;
    use crate::deliver::format::tests::{event, written};

    const ADA: &str = r#""customer":{"email":"ada@example.com"}"#;

    fn cancellation(kind: &str, members: &str) -> String {
        format!(
            r#""cancellation":{{"kind":"{kind}","initiator":"customer","phase":"effective"{members}}},{ADA}"#
        )
    }

    #[test]
    fn a_cancellation_of_any_provider_is_told_with_all_that_is_known() {
        let members = r#""origin_provider":"paddle","customer":{"email":" ada@example.com","name":"Ada"},"subscription":{"plan":{"name":"Duo"},"tenure_days":41,"mrr":{"amount_minor":1999,"currency":"EUR","exponent":2,"original":"19.99"}},"cancellation":{"kind":"voluntary","initiator":"customer","phase":"requested","provider_reason":"too_expensive","comment":"Too expensive for two"}"#;
        let expected = r#"{"customer_email":"ada@example.com","customer_name":"Ada","event_type":"cancellation","cancel_reason":"Too expensive for two","mrr":1999,"currency":"eur","provider":"paddle","plan_name":"Duo","tenure_days":41}"#;
        assert_eq!(written(&event("subscription.cancel_scheduled", members), body).unwrap(), expected);
    }

    #[test]
    fn only_what_is_known_is_told() {
        let cases = [
            ("subscription.canceled", ADA.to_owned(), r#""event_type":"cancellation""#),
            (
                "subscription.canceled",
                cancellation("voluntary", r#","reason_code":"unspecified""#),
                r#""event_type":"cancellation""#,
            ),
            ("payment.failed", ADA.to_owned(), r#""event_type":"payment_failed""#),
            ("payment.recovered", ADA.to_owned(), r#""event_type":"payment_recovered""#),
            (
                "subscription.canceled",
                cancellation("involuntary", r#","reason_code":"payment_failed""#),
                r#""event_type":"payment_failed""#,
            ),
            (
                "subscription.canceled",
                cancellation("voluntary", r#","reason_code":"too_expensive","comment":" ""#),
                r#""event_type":"cancellation","cancel_reason":"too expensive""#,
            ),
        ];
        for (kind, members, told) in cases {
            let expected = format!(r#"{{"customer_email":"ada@example.com",{told},"provider":"acme"}}"#);
            assert_eq!(written(&event(kind, &members), body).unwrap(), expected);
        }
    }

    #[test]
    fn what_lacks_a_required_field_is_skipped_and_told_which() {
        let cases = [
            ("payment.failed", r#""customer":{"id":"cus_1"}"#, "`customer_email`"),
            ("payment.failed", r#""customer":{"email":" "}"#, "`customer_email`"),
            ("invoice.paid", ADA, "`event_type`, for it has none for `invoice.paid`"),
            (
                "invoice.paid",
                r#""livemode":true"#,
                "`customer_email` and `event_type`, for it has none for `invoice.paid`",
            ),
        ];
        for (kind, members, lacks) in cases {
            let why = format!("the event lacks what this endpoint requires: {lacks}");
            assert_eq!(written(&event(kind, members), body), Err(Unsent::Skip(why)));
        }
    }
}
