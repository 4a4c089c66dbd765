//! Sample objects, envelopes and helpers.

use billhook_plugin::{Draft, Failure, Normalize, Time, Webhook};
use flexprice::Flexprice;
use serde_json::{Value, json};

pub(crate) fn normalize(body: impl AsRef<[u8]>) -> Result<Vec<Draft>, Failure> {
    let webhook = Webhook::new("billing", "flexprice").with_body(body);
    Flexprice.normalize(&webhook)
}

/// The only draft of a body.
pub(crate) fn one(body: &Value) -> Draft {
    let mut drafts = normalize(body.to_string()).unwrap();
    assert_eq!(drafts.len(), 1, "{body}");
    drafts.remove(0)
}

pub(crate) fn time(text: &str) -> Option<Time> {
    Some(Time::parse(text).unwrap())
}

/// `object` with some members set.
pub(crate) fn with(mut object: Value, members: Value) -> Value {
    object.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    object
}

/// The envelope of the code and the cloud.
pub(crate) fn cloud(name: &str, key: &str, object: &Value) -> Value {
    json!({ "event_type": name, key: object })
}

/// The envelope of the documentation of 2025.
pub(crate) fn seed(name: &str, key: &str, object: &Value) -> Value {
    json!({ "webhook_type": name, "object_type": key, "data": { "object": object } })
}

pub(crate) fn customer() -> Value {
    json!({
        "id": "cust_7", "external_id": "shop-7", "environment_id": "env_live", "name": "Hafen Ltd",
        "email": "ap@hafen.example", "address_country": "de", "metadata": { "tier": "gold", "seats": 4, "old": null },
    })
}

pub(crate) fn subscription() -> Value {
    json!({
        "id": "subs_5", "customer_id": "cust_7", "plan_id": "plan_team", "lookup_key": "team-monthly",
        "subscription_status": "active", "currency": "eur", "start_date": "2026-01-01T00:00:00Z",
        "current_period_start": "2026-03-01T00:00:00Z", "current_period_end": "2026-04-01T00:00:00Z",
        "cancel_at_period_end": false, "billing_cadence": "RECURRING", "billing_period": "MONTHLY",
        "billing_period_count": 1, "pause_status": "none", "subscription_type": "standalone",
        "customer": customer(),
    })
}

pub(crate) fn invoice() -> Value {
    json!({
        "id": "inv_3", "customer_id": "cust_7", "subscription_id": "subs_5", "environment_id": "env_live",
        "invoice_type": "SUBSCRIPTION", "invoice_status": "FINALIZED", "payment_status": "PENDING",
        "currency": "eur", "amount_due": "120.00", "amount_paid": "20.50", "amount_remaining": "99.50",
        "total": "120.00", "subtotal": "100.84", "invoice_number": "INV-3", "billing_reason": "SUBSCRIPTION_CYCLE",
        "due_date": "2026-03-15T00:00:00Z", "finalized_at": "2026-03-01T00:10:00Z",
        "period_start": "2026-03-01T00:00:00Z", "period_end": "2026-04-01T00:00:00Z",
    })
}

pub(crate) fn payment() -> Value {
    json!({
        "id": "pay_9", "destination_type": "INVOICE", "destination_id": "inv_3", "payment_method_type": "CARD",
        "amount": "99.50", "currency": "eur", "payment_status": "PENDING", "payment_gateway": "stripe",
        "invoice_number": "INV-3",
    })
}

pub(crate) fn credit_note() -> Value {
    json!({
        "id": "cn_2", "credit_note_number": "CN-2", "invoice_id": "inv_3", "customer_id": "cust_7",
        "subscription_id": "subs_5", "credit_note_status": "FINALIZED", "credit_note_type": "ADJUSTMENT",
        "reason": "BILLING_ERROR", "currency": "eur", "total_amount": "10.00", "finalized_at": "2026-03-02T00:00:00Z",
    })
}

pub(crate) fn wallet() -> Value {
    json!({
        "id": "wallet_1", "customer_id": "cust_7", "name": "Credits", "wallet_type": "PRE_PAID",
        "wallet_status": "active", "currency": "eur", "balance": "-2.50", "credit_balance": "-250",
        "created_at": "2026-02-01T08:00:00.123456Z", "updated_at": "2026-03-01T08:00:00.999Z",
    })
}

/// An object of any key.
pub(crate) fn object(key: &str) -> Value {
    match key {
        "customer" => customer(),
        "subscription" => subscription(),
        "invoice" => invoice(),
        "payment" => payment(),
        "credit_note" => credit_note(),
        "wallet" => wallet(),
        "phase" => json!({ "id": "phase_1", "subscription_id": "subs_5" }),
        "transaction" => json!({
            "id": "wtxn_1", "wallet_id": "wallet_1", "customer_id": "cust_7", "type": "credit", "amount": "25.00",
            "credit_amount": "2500", "currency": "eur", "transaction_status": "completed",
        }),
        "feature" => json!({ "id": "feat_1", "name": "Calls", "type": "metered", "status": "published" }),
        "entitlement" => json!({ "id": "ent_1", "feature_id": "feat_1", "feature_type": "metered" }),
        "entitlement_grant" => json!({
            "id": "eg_1", "subscription_id": "subs_5", "customer_id": "cust_7", "usage": "110", "quota": "100",
            "grant_status": "exhausted",
        }),
        "checkout_session" => {
            json!({ "id": "cs_1", "customer_id": "cust_7", "checkout_url": "https://pay.example/1" })
        }
        "event" => json!({ "id": "ev_1", "event_name": "call", "external_customer_id": "shop-7" }),
        "fee" => json!({ "id": "fee_1", "amount": "3.10", "currency": "eur" }),
        "billable_metric" => json!({ "id": "bm_1", "name": "Calls" }),
        other => panic!("no sample of {other}"),
    }
}
