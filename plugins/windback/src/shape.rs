//! Which of Windback's shapes a body has.

use billhook_plugin::Fields;

/// A published shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The custom webhook: `cancellation` by name, also without one where the fields of 2026 tell it
    /// (`mrr_cents`, `provider_subscription_id`, `provider_customer_id`), and `subscription.canceled`.
    Cancellation,
    /// The custom webhook: `payment_failed`.
    PaymentFailed,
    /// The custom webhook: `payment_recovered`.
    PaymentRecovered,
    /// What Windback itself posts when a customer is likely to leave.
    ChurnRisk,
    /// The custom webhook with a name that is not published.
    Unknown,
}

/// Every name that is known, with its canonical type and shape.
pub(crate) const NAMES: [(&str, &str, Shape); 6] = [
    ("cancellation", "subscription.canceled", Shape::Cancellation),
    ("subscription.canceled", "subscription.canceled", Shape::Cancellation),
    ("payment_failed", "payment.failed", Shape::PaymentFailed),
    ("payment_recovered", "payment.recovered", Shape::PaymentRecovered),
    ("churn_risk", "customer.risk_changed", Shape::ChurnRisk),
    (ALERT, "customer.risk_changed", Shape::ChurnRisk),
];

/// What Windback's own webhook is called where it names its event, which it does in `event`.
const ALERT: &str = "churn_risk.alert";

/// Members that only the shape of 2026 has, which names no event and is always a cancellation.
const OF_2026: [&str; 3] = ["mrr_cents", "provider_subscription_id", "provider_customer_id"];

/// The name of the event and its shape, in any case; `None` if the body names none and has no shape that needs none.
pub(crate) fn of(body: &Fields<'_>) -> Option<(String, &'static str, Shape)> {
    let implied = || {
        // A name that is no text is none that could be passed over; an empty one is none.
        if body.get("event_type").is_some_and(|name| name.kind() != "a string") {
            return None;
        }
        if body.text("event").is_some_and(|name| name == ALERT) {
            return Some(ALERT.to_owned());
        }
        if body.get("risk_score").is_some() || body.get("risk_level").is_some() {
            return Some("churn_risk".to_owned());
        }
        OF_2026.iter().any(|member| body.get(member).is_some()).then(|| "cancellation".to_owned())
    };
    let name = body.text("event_type").or_else(implied)?;
    let known = NAMES.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(&name));
    let (kind, shape) =
        known.map_or(("provider.unmapped", Shape::Unknown), |(_, kind, shape)| (*kind, shape.clone()));
    Some((name, kind, shape))
}
