//! Puts the drafts together.

use crate::Unit;
use crate::change;
use crate::envelope::Envelope;
use crate::object::Read;
use billhook_plugin::model::{Actor, Object, Phase};
use billhook_plugin::{Draft, Failure, Fields, Json};
use std::borrow::Cow;

/// The most objects that one body may hold: as many drafts as the gateway takes from one call.
const OBJECTS_MAX: usize = 1000;

/// The most that may stand beside a list of objects in all drafts together, in bytes: each has a copy of it.
const BESIDE_BYTES_MAX: usize = 1 << 20;

/// The longest `previous` that is kept, in bytes.
const PREVIOUS_BYTES_MAX: usize = 64 << 10;

/// The drafts of a body: one, or one for each element of an array.
pub(crate) fn drafts(envelope: &Envelope<'_>, amounts: Option<Unit>) -> Result<Vec<Draft>, Failure> {
    match envelope.payload.and_then(Json::items) {
        Some(objects) if objects.len() > OBJECTS_MAX => Err(Failure::Invalid(format!(
            "`payload` may hold {OBJECTS_MAX} objects, and this one holds {}",
            objects.len()
        ))),
        Some(objects) if objects.len() * envelope.beside_bytes() > BESIDE_BYTES_MAX => {
            Err(Failure::Invalid(format!(
                "`payload` holds {} objects, and what stands beside it is too long to be said of each: send fewer",
                objects.len()
            )))
        }
        Some(objects) if objects.len() > 1 => {
            // Of which of them it was so is not told.
            let mut each = Envelope { previous: None, ..envelope.clone() };
            if envelope.previous.is_some() {
                each.notes
                    .add("`previousPayload` is left out: it is one, and `payload` holds several objects");
            }
            Ok(objects.into_iter().map(|object| draft(&each, Some(object), amounts)).collect())
        }
        Some(objects) if objects.is_empty() && envelope.is_bulk() => Ok(Vec::new()),
        Some(objects) => Ok(vec![draft(envelope, objects.first().copied(), amounts)]),
        None => Ok(vec![draft(envelope, envelope.payload, amounts)]),
    }
}

fn draft(envelope: &Envelope<'_>, payload: Option<Json<'_>>, amounts: Option<Unit>) -> Draft {
    let fields = payload.and_then(Json::fields);
    let none = Fields::default();
    let object = fields.as_ref().unwrap_or(&none);
    let kind = change::refined(envelope, object);
    let (family, verb) = kind.split_once('.').unwrap_or((kind, ""));
    // Its id alone may be all that is sent; of a key that may be the key.
    let bare_id = || payload?.text().filter(|_| family != "api_key").map(Cow::into_owned);
    let id = object.text("id").or_else(bare_id);
    let mut read = Read { object, id: id.clone(), amounts, notes: envelope.notes.clone() };
    let mut draft = Draft {
        kind: kind.to_owned(),
        provider_event_type: envelope.name.clone(),
        provider_api_version: Some(envelope.version.to_owned()),
        provider_account_id: envelope.account.clone(),
        thin: object.iter().all(|(name, _)| name == "id" || name.ends_with("Id")),
        livemode: envelope.livemode,
        actor: envelope.user.clone().map(|id| Actor { id, kind: "user".to_owned() }),
        occurred_at: envelope.at.or_else(|| read.time_of_row(verb)),
        ..Draft::default()
    };

    draft.customer = read.customer(family);
    match family {
        "subscription" => {
            let subscription = read.subscription();
            draft.cancellation = change::cancellation(kind, &subscription);
            let planned = draft.cancellation.as_ref().filter(|end| end.phase == Phase::Requested);
            draft.effective_at = planned.and_then(|end| end.effective_at);
            draft.subscription = Some(Box::new(subscription));
        }
        "invoice" => draft.invoice = Some(Box::new(read.invoice())),
        "payment" => draft.payment = Some(Box::new(read.payment(kind))),
        "payment_method" => draft.payment_method = Some(Box::new(read.payment_method())),
        "license" => {
            // What is on or off is the licence: its subscription goes on.
            let status = read.object.text("status").or_else(|| match verb {
                "enabled" | "disabled" => Some(verb.to_owned()),
                _ => None,
            });
            draft.license = Some(Box::new(Object { status, ..read.named() }));
        }
        "product" => draft.product = Some(Box::new(read.named())),
        "account" => {
            let kind = envelope.is_of_subaccount().then(|| "subaccount".to_owned());
            draft.account = Some(Box::new(Object { kind, ..read.named() }));
        }
        // Only what tells one key from another: never the key.
        "api_key" => draft.api_key = Some(Box::new(read.named())),
        "checkout" => draft.checkout = Some(Box::new(read.named())),
        "entitlement" => draft.entitlement = Some(Box::new(read.named())),
        _ => {}
    }
    draft.invoice = draft.invoice.or_else(|| read.invoice_reference());
    draft.subscription = draft.subscription.or_else(|| read.subscription_reference());
    if let Some(previous) = envelope.previous
        && previous.kind() == "an object"
    {
        match family {
            // They may hold secrets: of keys, of the payment providers that an account is connected to, of who knows.
            "api_key" | "account" | "provider" => {}
            _ if previous.raw().len() > PREVIOUS_BYTES_MAX => {
                read.notes.add(format!(
                    "`previousPayload` has more than {PREVIOUS_BYTES_MAX} bytes and is left out"
                ));
            }
            _ => draft.previous = Some(previous.to_raw()),
        }
    }
    draft.semantic_key = id.and_then(|id| semantic_key(&draft, verb, &id));
    draft.warnings = read.notes.into_warnings();
    draft
}

/// The same for both formats, where both tell the same fact. `None` for what may happen to an object again and again
/// and bears no time.
fn semantic_key(draft: &Draft, verb: &str, id: &str) -> Option<String> {
    let key = format!("{}:{id}", draft.kind);
    match (verb, draft.occurred_at) {
        ("created" | "attached" | "revoked" | "succeeded", _) => Some(key),
        ("unmapped", _) | (_, None) => None,
        (_, Some(at)) => Some(format!("{key}:{at}")),
    }
}
