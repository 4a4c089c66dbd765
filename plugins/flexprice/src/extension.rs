//! The smaller objects: wallets, usage, entitlements, products, meters, checkouts, fees, integrations.

use crate::envelope::{Envelope, alert_status};
use billhook_plugin::model::{Draft, Invoice, Object, Payment};
use billhook_plugin::{Fields, Json, Notes};

/// Fills the extension block of `draft`'s type.
pub(crate) fn fill(draft: &mut Draft, envelope: &Envelope<'_>, currency: Option<&str>, notes: &mut Notes) {
    let none = Fields::default();
    let (key, main) = envelope.main().unwrap_or(("", &none));
    let name = envelope.name.as_deref().unwrap_or_default();
    let family = draft.kind.split('.').next().unwrap_or_default();
    match family {
        "wallet" if key == "transaction" => {
            draft.wallet = Some(Box::new(transaction(main, envelope, currency, notes)));
            // The block's id is that of the wallet.
            for (name, field) in [("transaction_id", "id"), ("reference_id", "reference_id")] {
                draft.metadata.extend(main.text(field).map(|id| (name.to_owned(), id)));
            }
        }
        "wallet" => {
            let object = wallet(envelope.object("wallet").unwrap_or(&none), envelope, name, currency, notes);
            draft.wallet = Some(Box::new(object));
            let by_id = || envelope.body.text("feature_id").map(feature_by_id);
            draft.product = envelope.object("feature").map(feature).or_else(by_id);
        }
        "usage" if draft.kind == "usage.event_rejected" => {
            draft.usage = Some(Box::new(rejected(main, envelope)))
        }
        "usage" => {
            draft.usage = Some(Box::new(usage(envelope, name, currency, notes)));
            draft.product = envelope.object("feature").map(feature);
        }
        "entitlement" => {
            // An alert may be told by ids alone, beside a subscription.
            let main = if key == "subscription" { &none } else { main };
            draft.entitlement = Some(Box::new(entitlement(envelope, main, &draft.kind)));
        }
        "product" => draft.product = Some(feature(main)),
        "meter" => {
            let kind = main.text("aggregation_type").or_else(|| main.text("recurring"));
            draft.meter = Some(Box::new(Object { kind, ..named(main) }));
        }
        "checkout" => {
            // The older format tells it of the customer, whose id is not that of the checkout.
            let id = if key == "customer" { None } else { main.text("id") };
            draft.checkout = Some(Box::new(Object {
                id: main.text("checkout_session_id").or(id),
                ..checkout(main, currency, notes)
            }));
            if let Some(id) = main.text("checkout_invoice_id") {
                draft.invoice = Some(Box::new(Invoice { id: Some(id), ..Invoice::default() }));
            }
            if let Some(id) = main.text("checkout_payment_id") {
                draft.payment = Some(Box::new(Payment { id: Some(id), ..Payment::default() }));
            }
        }
        "fee" => {
            let kind = main.text("fee_type").or_else(|| main.text("type"));
            let amount = notes.major(main, "amount", currency);
            draft.fee =
                Some(Box::new(Object { kind, amount, quantity: decimal(main, "units"), ..named(main) }));
        }
        "notification" => {
            let kind = Some("invoice".to_owned());
            let method = envelope.body.text("channel");
            draft.notification =
                Some(Box::new(Object { kind, method, status: Some("sent".to_owned()), ..Object::default() }));
        }
        "integration" => draft.integration = Some(Box::new(integration(main, &draft.kind))),
        _ => {}
    }
}

/// What nearly every object has.
fn named(object: &Fields<'_>) -> Object {
    Object {
        id: object.text("id"),
        name: object.text("name"),
        status: object.text("status"),
        ..Object::default()
    }
}

fn decimal(object: &Fields<'_>, field: &str) -> Option<String> {
    object.number(field).map(|number| number.to_string())
}

fn wallet(
    object: &Fields<'_>,
    envelope: &Envelope<'_>,
    name: &str,
    currency: Option<&str>,
    notes: &mut Notes,
) -> Object {
    // An alert about a feature has no more of the wallet than its id and what is in it.
    let body = &envelope.body;
    let alert = body.fields("alert").or_else(|| object.fields("alert")).unwrap_or_default();
    let scope = match name {
        "feature.wallet_balance.alert" => Some("feature"),
        _ if name.starts_with("wallet.ongoing_balance.") => Some("ongoing_balance"),
        "wallet.depleted_ongoing_balance" => Some("ongoing_balance"),
        _ if name.starts_with("wallet.credit_balance.") => Some("credit_balance"),
        _ => None,
    };
    // What is used and not billed yet is missing in the balance of the wallet.
    let (balances, credits): (&[(&Fields<'_>, &str)], _) = match scope {
        Some("ongoing_balance") => (
            &[(object, "ongoing_balance"), (&alert, "current_balance"), (object, "balance")],
            [&alert, object],
        ),
        _ => (&[(object, "balance"), (body, "current_balance")], [object, body]),
    };
    let balance = balances.iter().find(|(of, field)| of.get(field).is_some());
    Object {
        id: object.text("id").or_else(|| body.text("wallet_id")),
        kind: object.text("wallet_type"),
        status: object.text("wallet_status").or_else(|| object.text("status")),
        scope: scope.map(str::to_owned),
        amount: balance.and_then(|(of, field)| notes.major(of, field, currency)),
        quantity: credits.into_iter().find_map(|of| decimal(of, "credit_balance")),
        message: body.text("alert_status").or_else(|| alert.text("state")),
        ..named(object)
    }
}

fn transaction(
    object: &Fields<'_>,
    envelope: &Envelope<'_>,
    currency: Option<&str>,
    notes: &mut Notes,
) -> Object {
    let none = Fields::default();
    let wallet = envelope.object("wallet").unwrap_or(&none);
    Object {
        id: object.text("wallet_id").or_else(|| wallet.text("id")),
        name: wallet.text("name"),
        kind: object.text("type").or_else(|| object.text("transaction_type")).map(|kind| kind.to_lowercase()),
        status: object.text("transaction_status").or_else(|| object.text("status")),
        scope: Some("transaction".to_owned()),
        amount: notes.major(object, "amount", currency),
        quantity: decimal(object, "credit_amount"),
        method: object.text("transaction_reason").map(|reason| reason.to_lowercase()),
        message: object.text("error_message").or_else(|| object.text("description")),
        ..Object::default()
    }
}

fn usage(envelope: &Envelope<'_>, name: &str, currency: Option<&str>, notes: &mut Notes) -> Object {
    let none = Fields::default();
    let usage = envelope.object("usage").unwrap_or(&none);
    let feature = envelope.object("feature").unwrap_or(&none);
    let scope = match name {
        "subscription.usage_threshold_reached" => "subscription",
        _ if name.starts_with("subscription.spend.") => "subscription",
        _ if name.starts_with("subscription.line_item_spend.") => "line_item",
        _ if name.starts_with("subscription.group_spend.") => "group",
        _ if name.starts_with("customer.") => "customer",
        _ => "feature",
    };
    let body = &envelope.body;
    let amount = notes.major(usage, "current_usage_amount", currency);
    Object {
        id: body.text("alert_id").or_else(|| feature.text("id")),
        name: feature.text("name"),
        kind: body.text("alert_type"),
        status: alert_status(body),
        scope: Some(scope.to_owned()),
        amount: amount.or_else(|| notes.major(body, "current_spend", currency)),
        quantity: decimal(usage, "current_usage").or_else(|| decimal(body, "usage_ratio")),
        message: body.text("message"),
        ..Object::default()
    }
}

fn rejected(event: &Fields<'_>, envelope: &Envelope<'_>) -> Object {
    let reason = envelope.body.get("reason").or_else(|| event.get("reason")).or_else(|| event.get("errors"));
    Object {
        id: event.text("id").or_else(|| event.text("transaction_id")),
        name: event.text("event_name").or_else(|| event.text("code")),
        status: Some("rejected".to_owned()),
        message: reason.map(words),
        ..Object::default()
    }
}

fn entitlement(envelope: &Envelope<'_>, main: &Fields<'_>, kind: &str) -> Object {
    let entitlement = envelope.object("entitlement").unwrap_or(main);
    let none = Fields::default();
    let grant = envelope.object("entitlement_grant").unwrap_or(&none);
    let feature = entitlement.fields("feature").unwrap_or_default();
    let exhausted = (kind == "entitlement.exhausted").then(|| "exhausted".to_owned());
    Object {
        id: entitlement.text("id").or_else(|| envelope.body.text("entitlement_id")),
        name: feature.text("name"),
        kind: entitlement.text("feature_type"),
        status: grant.text("grant_status").or_else(|| entitlement.text("status")).or(exhausted),
        scope: entitlement.text("feature_id").or_else(|| grant.text("scope_entity_id")),
        quantity: decimal(grant, "usage").or_else(|| decimal(entitlement, "usage_limit")),
        expected_at: grant.time("valid_to"),
        message: envelope.body.text("alert_status"),
        ..Object::default()
    }
}

fn feature(object: &Fields<'_>) -> Box<Object> {
    Box::new(Object { kind: Some("feature".to_owned()), ..named(object) })
}

fn feature_by_id(id: String) -> Box<Object> {
    Box::new(Object { kind: Some("feature".to_owned()), id: Some(id), ..Object::default() })
}

fn checkout(object: &Fields<'_>, currency: Option<&str>, notes: &mut Notes) -> Object {
    Object {
        status: object.text("checkout_status").or_else(|| object.text("status")),
        amount: notes.major(object, "amount", currency),
        url: ["checkout_url", "payment_url", "url"]
            .iter()
            .find_map(|field| object.text(field))
            .or_else(|| object.text_at("/payment_action/url")),
        expected_at: object.time("expires_at"),
        message: object.text("failure_reason").or_else(|| object.text("error_message")),
        ..Object::default()
    }
}

fn integration(customer: &Fields<'_>, kind: &str) -> Object {
    let error = customer.get("provider_error").or_else(|| customer.get("error_message"));
    Object {
        id: customer.text("provider_customer_id").or_else(|| customer.text("external_provider_id")),
        name: customer.text("payment_provider").or_else(|| customer.text("payment_provider_code")),
        kind: Some("customer".to_owned()),
        status: Some(if kind == "integration.error" { "error" } else { "synced" }.to_owned()),
        message: error.map(words),
        ..Object::default()
    }
}

/// The longest text that is taken over from a value that may be of any shape, in characters.
const WORDS_CHARS_MAX: usize = 1000;

/// A text, or the `message` of an object, or the JSON as it stands.
fn words(value: Json<'_>) -> String {
    let message = value.fields().and_then(|fields| fields.text("message"));
    let text = message.or_else(|| value.text().map(|text| text.into_owned()));
    text.unwrap_or_else(|| value.raw().to_owned()).chars().take(WORDS_CHARS_MAX).collect()
}
