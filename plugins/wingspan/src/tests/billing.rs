//! What it makes of the payments and refunds that an invoice lists.

use super::{envelope, field, invoice, objects, read};
use serde_json::{Value, json};

/// The payment or refund of a row's draft, of an invoice with these fields beside its own, and the warnings.
fn money_of(name: &str, fields: &Value) -> (Value, Vec<String>) {
    let mut object = invoice(&json!({ field(name): "2026-07-05T00:00:00.000Z" }));
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let draft = read(&envelope(&format!("Invoice{name}"), &object));
    let objects = objects(&draft);
    let block = if name == "Refunded" { "refund" } else { "payment" };
    (objects[block].clone(), draft.warnings)
}

fn dollars(minor: i64, original: &str) -> Value {
    json!({ "amount_minor": minor, "currency": "USD", "exponent": 2, "original": original })
}

#[test]
fn a_failed_payment_is_the_newest_that_failed() {
    let payment = |id: &str, status: &str, events: Value| json!({ "paymentId": id, "amount": 100.5, "sourceType": "Card", "status": status, "events": events });
    let failed_at =
        |id: &str, day: &str| payment(id, "Failed", json!({ "failedAt": format!("2026-07-{day}") }));
    let returned_at =
        |id: &str, day: &str| payment(id, "Returned", json!({ "returnedAt": format!("2026-07-{day}") }));
    let mut updated = payment("updated", "Failed", json!({}));
    updated["updatedAt"] = json!("2026-07-04");
    updated["createdAt"] = json!("2026-07-09");
    let cases = [
        (json!([failed_at("a", "02"), failed_at("b", "03"), failed_at("c", "01")]), Some("b")),
        (
            json!([failed_at("a", "02"), returned_at("b", "03"), payment("c", "Cleared", json!({}))]),
            Some("b"),
        ),
        (json!([failed_at("a", "03"), returned_at("b", "02")]), Some("a")),
        (json!([failed_at("a", "05"), updated, failed_at("c", "03")]), Some("a")),
        (json!([failed_at("a", "03"), updated]), Some("updated")),
        (json!([payment("a", "Failed", json!({})), payment("b", "Failed", json!(null))]), Some("b")),
        (json!([payment("a", "Pending", json!({ "failedAt": "2026-07-05" }))]), None),
        (json!(["a", null]), None),
        (json!([]), None),
        (json!({ "paymentId": "a", "status": "Failed" }), None),
    ];
    for (payments, expected) in cases {
        let (payment, warnings) = money_of("PaymentFailed", &json!({ "payments": payments }));
        assert_eq!(payment["id"].as_str(), expected, "{payments}");
        let amount = if expected.is_some() { dollars(10_050, "100.5") } else { dollars(500_075, "5000.75") };
        assert_eq!(payment["amount"], amount, "{payments}");
        assert_eq!(payment["method"].as_str(), expected.map(|_| "card"), "{payments}");
        assert_eq!(warnings, [""; 0], "{payments}");
        assert_eq!(money_of("Paid", &json!({ "payments": payments })).0["id"], json!(null));
    }
}

#[test]
fn why_a_payment_failed_is_told() {
    let cases = [
        ("InsufficientFunds", Some("insufficient_funds"), 0),
        ("CardExpired", Some("expired_card"), 0),
        ("AccountNotFound", Some("invalid_payment_details"), 0),
        ("CardInputInvalid", Some("invalid_payment_details"), 0),
        ("CardCurrencyNotSupported", Some("card_declined"), 0),
        ("GenericCardError", Some("card_declined"), 0),
        ("GenericBankError", Some("other"), 0),
        ("Unauthorized", Some("other"), 0),
        ("BankOnFire", Some("other"), 1),
        ("<nil>", None, 0),
        ("", None, 0),
    ];
    for (reason, code, warned) in cases {
        let failed = json!({ "paymentId": "pay_1", "status": "Failed", "statusReason": reason });
        let (payment, warnings) = money_of("PaymentFailed", &json!({ "payments": [failed] }));
        assert_eq!(payment["failure"]["code"].as_str(), code, "{reason}");
        assert_eq!(payment["failure"]["provider_code"].as_str(), code.map(|_| reason));
        assert_eq!(warnings.len(), warned, "{reason}: {warnings:?}");
        assert_eq!(payment["amount"], dollars(500_075, "5000.75"), "without one of its own, the invoice's");
    }
    for (source, method) in [
        ("Account", Some("bank_debit")),
        ("Card", Some("card")),
        ("InternalAccount", Some("other")),
        ("", None),
    ] {
        let failed = json!({ "status": "Returned", "sourceType": source });
        let (payment, _) = money_of("PaymentFailed", &json!({ "payments": [failed] }));
        assert_eq!(payment["method"].as_str(), method, "{source}");
    }
}

#[test]
fn how_much_was_refunded_is_told_by_a_sole_refund() {
    let cases = [
        (json!([{ "amount": 12.25, "destinationType": "Card" }]), dollars(1225, "12.25"), 0),
        (json!([{ "amount": 12.25 }, { "amount": 3 }]), json!(null), 0),
        (json!([]), json!(null), 0),
        (json!([{ "amount": "a lot" }]), json!(null), 1),
        (json!({ "amount": 12.25 }), json!(null), 0),
    ];
    for (destinations, amount, warned) in cases {
        let fields = json!({ "refundDestinations": destinations, "amountDetails": { "clientRefunded": 99 } });
        let (refund, warnings) = money_of("Refunded", &fields);
        assert_eq!((&refund["status"], &refund["amount"]), (&json!("succeeded"), &amount), "{destinations}");
        assert_eq!(warnings.len(), warned, "{destinations}: {warnings:?}");
    }
}
