//! What the normalizer makes of bodies.

mod billing;

use crate::catalogue::{CATALOGUE, Entry, Side};
use crate::{MANIFEST, Wingspan};
use billhook_plugin::model::kind;
use billhook_plugin::testing::{self, Sample};
use billhook_plugin::{Draft, Failure, Normalize, Time, Webhook};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

fn normalize(outside: Option<&str>, body: impl AsRef<[u8]>) -> Result<Draft, Failure> {
    let webhook = Webhook::new("pay", "wingspan").with_body(body);
    let webhook = match outside {
        Some(name) => webhook.with_event_name(name),
        None => webhook,
    };
    let mut drafts = Wingspan.normalize(&webhook)?;
    assert_eq!(drafts.len(), 1);
    Ok(drafts.remove(0))
}

fn read(body: &Value) -> Draft {
    normalize(None, body.to_string()).unwrap_or_else(|failure| panic!("{body}: {failure}"))
}

fn time(text: &str) -> Option<Time> {
    Some(Time::parse(text).unwrap())
}

/// A 5,000.75 dollar invoice for which `events` happened.
fn invoice(events: &Value) -> Value {
    json!({
        "invoiceId": "inv_77", "memberId": "mem_1", "clientId": "cli_2", "memberClientId": "mc_3",
        "invoiceNumber": "A-77", "amount": 5000.75, "currency": "USD", "status": "Open",
        "dueDate": "2026-07-31T00:00:00.000Z", "events": events,
    })
}

fn envelope(name: &str, data: &Value) -> Value {
    json!({ "eventId": "ev_9", "eventType": name, "data": data })
}

/// The objects of a draft as JSON, without what all drafts have.
fn objects(draft: &Draft) -> Value {
    let mut json = serde_json::to_value(draft).unwrap();
    let shared = [
        "type",
        "provider_event_type",
        "provider_event_id",
        "thin",
        "occurred_at",
        "semantic_key",
        "metadata",
    ];
    for member in shared {
        json.as_object_mut().unwrap().remove(member);
    }
    json
}

/// The field of `events` for a row, in the spelling of the API.
fn field(row: &str) -> String {
    let name = row.rsplit('.').next().unwrap();
    format!("{}{}At", name[..1].to_lowercase(), &name[1..])
}

#[test]
fn every_row_is_read_in_every_spelling() {
    for entry in CATALOGUE {
        let mut names = vec![entry.name.to_owned(), field(entry.name)];
        if entry.is_of_invoice() {
            names.extend(Side::ALL.map(|side| format!("{}{}", side.name(), entry.name)));
            names.extend(Side::ALL.map(|side| format!("{}.{}", side.name(), entry.name)));
        } else {
            names.pop();
        }
        for name in names {
            let at = "2026-07-01T08:00:00.000Z";
            let draft = read(&envelope(&name, &invoice(&json!({ field(entry.name): at }))));
            assert_eq!(draft.kind, entry.kind, "{name}");
            assert_eq!(draft.provider_event_type, name);
            assert_eq!(draft.provider_event_id.as_deref(), Some("ev_9"));
            assert_eq!(draft.occurred_at, time(at).filter(|_| entry.kind != "payout.estimated"), "{name}");
            assert_eq!(draft.warnings, [""; 0], "{name}");
            assert!(!draft.thin, "{name}");
        }
    }
}

/// The seed's table, as far as a row says more than its type.
#[test]
fn a_row_says_what_its_note_says() {
    let message = |kind: &str, days: &str, to: &str| {
        let mut json = json!({ "kind": kind, "status": "sent" });
        for (member, value) in [("quantity", days), ("scope", to)] {
            if !value.is_empty() {
                json[member] = json!(value);
            }
        }
        ("notification", json)
    };
    let email =
        |status: &str| ("notification", json!({ "kind": "invoice", "method": "email", "status": status }));
    let invoice = || ("invoice", json!({ "id": "inv_1" }));
    let with_status = |status: &str| ("invoice", json!({ "id": "inv_1", "status": status }));
    let rows = [
        ("Opened", with_status("open")),
        ("Cancelled", with_status("void")),
        ("Approved", invoice()),
        ("Sent", invoice()),
        ("ClientDeclined", invoice()),
        ("MemberAccepted", invoice()),
        ("Paid", ("payment", json!({ "status": "succeeded" }))),
        ("PaymentFailed", ("payment", json!({ "status": "failed" }))),
        ("PaymentRetried", ("payment", json!({ "status": "pending" }))),
        ("Refunded", ("refund", json!({ "status": "succeeded" }))),
        ("EstimatedDeposit", ("payout", json!({ "status": "estimated" }))),
        ("DepositedToPayoutPlatform", ("payout", json!({ "status": "started" }))),
        ("SentPayoutMightBeDelayedToClient", message("payout_delayed", "", "payer")),
        ("PaymentInTransit", ("payment", json!({ "status": "pending" }))),
        ("Deposited", ("payout", json!({ "status": "paid" }))),
        ("InstantPayoutEligible", ("payout", json!({ "status": "eligible", "method": "instant" }))),
        ("InstantPayout", ("payout", json!({ "status": "paid", "method": "instant" }))),
        ("InstantPayoutFailed", ("payout", json!({ "status": "failed", "method": "instant" }))),
        ("PayoutFailed", ("payout", json!({ "status": "failed" }))),
        ("MarkedPaid", ("payment", json!({ "status": "succeeded", "method": "out_of_band" }))),
        ("EmailReceived", email("delivered")),
        ("EmailViewed", email("viewed")),
        ("EmailUndeliverable", email("undeliverable")),
        ("EmailMarkedAsSpam", email("marked_spam")),
        (
            "SentManually",
            ("notification", json!({ "kind": "invoice", "method": "manual", "status": "sent" })),
        ),
        ("SentRecurringPaymentFailed", message("recurring_payment_failed", "", "")),
        ("SentDue3DaysAgo", message("due", "-3", "")),
        ("SentDue7DaysAgo", message("due", "-7", "")),
        ("SentDueToday", message("due", "0", "")),
        ("SentDueIn3Days", message("due", "3", "")),
        ("SentPaymentInTransitReminder", message("payment_in_transit", "", "")),
        ("SentInstantPayoutFailedToMember", message("instant_payout_failed", "", "payee")),
        ("SentPaymentConfirmationToMember", message("payment_confirmation", "", "payee")),
        ("SentPaymentConfirmationToClient", message("payment_confirmation", "", "payer")),
        ("Disputed", ("dispute", json!({ "status": "open" }))),
        ("MemberDisputed", ("dispute", json!({ "status": "open", "initiator": "payee" }))),
        ("ClientResolvedDispute", ("dispute", json!({ "status": "closed", "reason": "resolved_by_payer" }))),
        ("MemberResubmitted", ("dispute", json!({ "status": "under_review" }))),
        ("Document.MemberSigned", ("document", json!({ "id": "doc_1", "name": "W-9", "scope": "payee" }))),
        ("Document.ClientSigned", ("document", json!({ "id": "doc_1", "name": "W-9", "scope": "payer" }))),
        ("Document.Completed", ("document", json!({ "id": "doc_1", "name": "W-9" }))),
        ("MemberClient.Pending", ("payee", json!({ "id": "mem_1", "status": "pending" }))),
        ("MemberClient.Active", ("payee", json!({ "id": "mem_1", "status": "active" }))),
    ];
    let told: BTreeSet<_> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(told, CATALOGUE.iter().map(|entry| entry.name).collect(), "every row is looked at");
    for (name, (block, expected)) in rows {
        let data =
            json!({ "invoiceId": "inv_1", "documentId": "doc_1", "title": "W-9", "memberId": "mem_1" });
        let objects = objects(&read(&envelope(name, &data)));
        assert_eq!(objects[block], expected, "{name}: {objects}");
    }
}

#[test]
fn a_paid_invoice_comes_in_and_a_paid_payable_goes_out() {
    let paid =
        invoice(&json!({ "openedAt": "2026-07-01T08:00:00.000Z", "paidAt": "2026-07-04T09:30:00.000Z" }));
    let mut payable = paid.clone();
    payable["payableId"] = json!("pbl_1");
    let cases = [
        (envelope("InvoicePaid", &paid), Some("inbound"), Some("cli_2")),
        (envelope("PayablePaid", &paid), Some("outbound"), None),
        (envelope("paidAt", &paid), None, Some("cli_2")),
        (json!({ "eventType": "paidAt", "resourceType": "payable", "data": paid }), Some("outbound"), None),
        (envelope("paidAt", &payable), Some("outbound"), None),
        (payable.clone(), Some("outbound"), None),
        (envelope("InvoicePaid", &payable), Some("inbound"), Some("cli_2")),
        (
            json!({ "eventType": "paidAt", "resourceType": "Invoice", "data": payable }),
            Some("inbound"),
            Some("cli_2"),
        ),
        (
            json!({ "eventType": "InvoicePaid", "resourceType": "Payable", "data": paid }),
            Some("inbound"),
            Some("cli_2"),
        ),
    ];
    for (body, direction, customer) in cases {
        let draft = read(&body);
        let payment = draft.payment.unwrap();
        assert_eq!(draft.kind, "payment.succeeded");
        assert_eq!(
            (payment.status.as_deref(), payment.direction.as_deref()),
            (Some("succeeded"), direction),
            "{body}"
        );
        assert_eq!(draft.customer.and_then(|customer| customer.id).as_deref(), customer, "{body}");
        assert_eq!(draft.payee.unwrap().id.as_deref(), Some("mem_1"));
        assert_eq!(
            draft.semantic_key.as_deref(),
            Some("payment.succeeded:inv_77:Paid"),
            "one fact from both sides"
        );
        assert_eq!(draft.occurred_at, time("2026-07-04T09:30:00Z"));
        let invoice = draft.invoice.unwrap();
        assert_eq!((invoice.id.as_deref(), invoice.number.as_deref()), (Some("inv_77"), Some("A-77")));
        assert_eq!(invoice.paid_at, time("2026-07-04T09:30:00Z"));
        assert_eq!(invoice.due_at, time("2026-07-31T00:00:00Z"));
        assert_eq!(draft.metadata["memberClientId"], "mc_3");
        let client = Some("cli_2").filter(|_| customer.is_none());
        assert_eq!(draft.metadata.get("clientId").map(String::as_str), client, "{body}");
        assert_eq!(draft.metadata.contains_key("payableId"), body.to_string().contains("pbl_1"), "{body}");
    }
}

#[test]
fn amounts_are_exact_from_the_text_of_the_number() {
    let cases = [
        ("1250.5", "\"USD\"", Some((125_050, "1250.5")), 0),
        ("0.1", "\"CAD\"", Some((10, "0.1")), 0),
        ("4.35", "\"usd\"", Some((435, "4.35")), 0),
        ("90071992547409.93", "\"USD\"", Some((9_007_199_254_740_993, "90071992547409.93")), 0),
        ("1e3", "\"USD\"", Some((100_000, "1e3")), 0),
        ("\"12.30\"", "\"USD\"", Some((1230, "12.30")), 0),
        ("10.005", "\"USD\"", Some((1000, "10.005")), 1),
        ("1e40", "\"USD\"", None, 1),
        ("5", "null", None, 1),
        ("5", "\"dollars\"", None, 1),
        ("null", "\"USD\"", None, 0),
        ("{}", "\"USD\"", None, 0),
    ];
    for (amount, currency, expected, warnings) in cases {
        let body = format!(
            r#"{{"eventType":"InvoicePaid","data":{{"invoiceId":"i","amount":{amount},"currency":{currency}}}}}"#
        );
        let draft = normalize(None, &body).unwrap();
        let money = draft.payment.unwrap().amount;
        let got = money.as_ref().map(|money| (money.amount_minor, money.original.as_str()));
        assert_eq!(got, expected, "{body}");
        assert_eq!(draft.invoice.unwrap().total, money, "{body}");
        assert_eq!(draft.warnings.len(), warnings, "{body}: {:?}", draft.warnings);
    }
}

#[test]
fn of_an_array_the_last_time_counts() {
    let times = json!(["2026-07-01T00:00:00.000Z", "2026-07-08T00:00:00.000Z", "2026-07-05T00:00:00.000Z"]);
    let draft = read(&envelope("InvoicePaymentFailed", &invoice(&json!({ "paymentFailedAt": times }))));
    assert_eq!(draft.occurred_at, time("2026-07-05T00:00:00Z"));
    assert_eq!(draft.payment.unwrap().attempt_count, Some(3));
    assert_eq!(
        draft.semantic_key.as_deref(),
        Some("payment.failed:inv_77:PaymentFailed:2026-07-05T00:00:00.000Z")
    );
    for none in [json!([]), json!([null, {}]), json!("soon"), json!(null)] {
        let draft = read(&envelope("InvoicePaymentFailed", &invoice(&json!({ "paymentFailedAt": none }))));
        assert_eq!((draft.occurred_at, draft.semantic_key), (None, None), "{none}");
    }
}

#[test]
fn what_may_happen_twice_has_a_key_for_each_time() {
    let key = |name: &str, at: &str, entry: &Entry| {
        read(&envelope(name, &invoice(&json!({ field(entry.name): at })))).semantic_key
    };
    for entry in CATALOGUE.iter().filter(|entry| entry.is_of_invoice()) {
        let [incoming, outgoing] = Side::ALL.map(|side| format!("{}{}", side.name(), entry.name));
        let first = key(&incoming, "2026-07-01T00:00:00.000Z", entry);
        let second = key(&incoming, "2026-07-08T00:00:00.000Z", entry);
        assert!(first.is_some(), "{incoming}");
        assert_eq!(key(&outgoing, "2026-07-01T00:00:00.000Z", entry), first, "one fact from both sides");
        let is_once = ["Opened", "Paid", "MarkedPaid", "Cancelled"].contains(&entry.name);
        assert_eq!(first == second, is_once, "{incoming}: {second:?}");
        assert_eq!(key(&incoming, "soon", entry).is_some(), is_once, "{incoming} without a time");
    }
}

#[test]
fn an_estimated_deposit_lies_ahead() {
    let estimate =
        json!({ "paidAt": "2026-07-04T00:00:00.000Z", "estimatedDepositAt": "2026-07-09T00:00:00.000Z" });
    for name in ["InvoiceEstimatedDeposit", "PayableEstimatedDeposit", "estimatedDepositAt"] {
        let draft = read(&envelope(name, &invoice(&estimate)));
        assert_eq!((draft.kind.as_str(), draft.occurred_at), ("payout.estimated", None));
        assert_eq!(draft.payout.unwrap().expected_at, time("2026-07-09T00:00:00Z"));
    }
    let paid = read(&envelope("InvoicePaid", &invoice(&estimate)));
    assert_eq!(paid.occurred_at, time("2026-07-04T00:00:00Z"));
    let guessed = read(&invoice(&estimate));
    assert_eq!(guessed.kind, "payment.succeeded", "an estimate is not what happened last");
}

#[test]
fn who_accepts_or_declines_ends_a_dispute_if_there_is_one() {
    let rows = [
        ("MemberAccepted", "invoice.approved", "accepted_by_payee"),
        ("ClientDeclined", "invoice.rejected", "declined_by_payer"),
    ];
    // The times of the row and of the disputes, and whether that ends one.
    let cases = [
        (Some("04"), json!({}), false),
        (None, json!({}), false),
        (Some("04"), json!({ "disputedAt": "2026-07-02" }), true),
        (Some("04"), json!({ "memberDisputedAt": "2026-07-02" }), true),
        (Some("04"), json!({ "memberDisputedAt": "2026-07-04" }), true),
        (Some("04"), json!({ "disputedAt": ["2026-07-01", "2026-07-02"] }), true),
        (Some("04"), json!({ "disputedAt": "2026-07-05" }), false),
        (Some("04"), json!({ "memberDisputedAt": "2026-07-05" }), false),
        (Some("04"), json!({ "disputedAt": "2026-07-05", "memberDisputedAt": "2026-07-02" }), true),
        (Some("04"), json!({ "disputedAt": "soon" }), false),
        (None, json!({ "disputedAt": "2026-07-05" }), true),
    ];
    for (name, otherwise, outcome) in rows {
        for (day, disputes, ends) in &cases {
            let mut events = disputes.clone();
            events[field(name)] = json!(day.map(|day| format!("2026-07-{day}")));
            let draft = read(&envelope(&format!("Payable{name}"), &invoice(&events)));
            assert_eq!(draft.kind, if *ends { "dispute.closed" } else { otherwise }, "{name} {events}");
            assert_eq!(draft.occurred_at, day.and_then(|day| time(&format!("2026-07-{day}"))));
            let reason = draft.dispute.and_then(|dispute| dispute.reason);
            assert_eq!(reason.as_deref(), ends.then_some(outcome), "{name} {events}");
        }
    }
}

#[test]
fn who_declines_after_the_dispute_was_resolved_rejects_the_invoice() {
    // The times beside the decline of the ninth, and whether that ends a dispute.
    let cases = [
        (json!({ "disputedAt": "2026-07-01", "clientResolvedDisputeAt": "2026-07-02" }), false),
        (json!({ "memberDisputedAt": "2026-07-01", "clientResolvedDisputeAt": ["2026-07-02"] }), false),
        (json!({ "disputedAt": "2026-07-01", "memberAcceptedAt": "2026-07-02" }), false),
        (
            json!({ "disputedAt": ["2026-07-01", "2026-07-05"], "clientResolvedDisputeAt": "2026-07-02" }),
            true,
        ),
        (
            json!({ "disputedAt": "2026-07-01", "memberDisputedAt": "2026-07-05", "memberAcceptedAt": "2026-07-02" }),
            true,
        ),
        (json!({ "disputedAt": "2026-07-01", "clientResolvedDisputeAt": "2026-07-10" }), true),
        // Who resolves it by declining.
        (json!({ "disputedAt": "2026-07-01", "clientResolvedDisputeAt": "2026-07-09" }), true),
    ];
    for (mut events, ends) in cases {
        events["clientDeclinedAt"] = json!("2026-07-09");
        let draft = read(&envelope("InvoiceClientDeclined", &invoice(&events)));
        assert_eq!(draft.kind, if ends { "dispute.closed" } else { "invoice.rejected" }, "{events}");
        assert_eq!(draft.dispute.is_some(), ends, "{events}");
    }
    let untimed = json!({ "disputedAt": "2026-07-01", "clientResolvedDisputeAt": "2026-07-02" });
    assert_eq!(read(&envelope("InvoiceClientDeclined", &invoice(&untimed))).kind, "invoice.rejected");
    // The contractor accepts what the client resolved.
    let accepted = json!({
        "disputedAt": "2026-07-01", "clientResolvedDisputeAt": "2026-07-02", "memberAcceptedAt": "2026-07-09",
    });
    assert_eq!(read(&envelope("InvoiceMemberAccepted", &invoice(&accepted))).kind, "dispute.closed");
}

#[test]
fn a_bare_invoice_is_named_by_the_source_or_by_its_newest_time() {
    let paid = json!({
        "openedAt": "2026-07-01T00:00:00.000Z", "emailViewedAt": ["2026-07-02T00:00:00.000Z"],
        "paidAt": "2026-07-03T00:00:00.000Z", "sentPaymentConfirmationToClient": "2026-07-03T00:00:00.000Z",
    });
    let by_source = normalize(Some("PayablePaid"), invoice(&paid).to_string()).unwrap();
    assert_eq!(
        (by_source.kind.as_str(), by_source.provider_event_type.as_str()),
        ("payment.succeeded", "PayablePaid")
    );
    assert_eq!(by_source.payment.unwrap().direction.as_deref(), Some("outbound"));
    assert_eq!(by_source.warnings, [""; 0]);

    let by_time = read(&invoice(&paid));
    assert_eq!(
        (by_time.kind.as_str(), by_time.provider_event_type.as_str()),
        ("payment.succeeded", "paidAt")
    );
    assert_eq!(by_time.warnings, ["nothing names the event: `paidAt` is the newest of `events`"]);

    let later = json!({ "paidAt": "2026-07-03T00:00:00.000Z", "sentRecurringPaymentFailed": "2026-07-04T00:00:00.000Z" });
    assert_eq!(read(&invoice(&later)).kind, "notification.sent");
    let unknown =
        json!({ "paidAt": "2026-07-03T00:00:00.000Z", "preApprovedAt": "2026-07-04T00:00:00.000Z" });
    let unknown = read(&invoice(&unknown));
    assert_eq!(
        (unknown.kind.as_str(), unknown.provider_event_type.as_str()),
        ("provider.unmapped", "preApprovedAt")
    );
    let only_an_estimate = json!({ "estimatedDepositAt": "2026-07-09T00:00:00.000Z" });
    assert_eq!(read(&invoice(&only_an_estimate)).kind, "payout.estimated");
}

#[test]
fn the_name_in_the_body_wins_and_the_difference_is_told() {
    let body = envelope("InvoicePaid", &invoice(&json!({}))).to_string();
    let draft = normalize(Some("InvoiceSent"), &body).unwrap();
    assert_eq!(draft.kind, "payment.succeeded");
    assert!(draft.warnings[0].contains("`InvoiceSent`"), "{:?}", draft.warnings);
    assert_eq!(normalize(Some("InvoicePaid"), &body).unwrap().warnings, [""; 0]);
}

#[test]
fn an_envelope_of_ids_is_thin() {
    let body = json!({ "eventId": "e", "eventType": "InvoiceOpened", "resourceType": "Invoice", "resourceId": "inv_1" });
    let draft = read(&body);
    assert!(draft.thin);
    let invoice = draft.invoice.unwrap();
    assert_eq!((invoice.id.as_deref(), invoice.status.as_deref()), (Some("inv_1"), Some("open")));
    let active =
        json!({ "eventType": "MemberClient.Active", "resourceId": "mc_1", "data": { "clientId": "cli_1" } });
    let draft = read(&active);
    assert!(draft.thin);
    assert_eq!(draft.payee.unwrap().id.as_deref(), Some("mc_1"));
    assert_eq!(draft.invoice, None);

    // Another member of the envelope tells nothing of an object that is not there.
    let mut stamped = body;
    stamped["timestamp"] = json!("2026-07-01T00:00:00.000Z");
    assert!(read(&stamped).thin);
    for (member, value) in
        [("events", json!({})), ("amount", json!(1.5)), ("status", json!("Open")), ("title", json!("W-9"))]
    {
        let mut told = stamped.clone();
        told[member] = value;
        assert!(!read(&told).thin, "{member}");
    }
    assert!(
        !read(&envelope("MemberClient.Active", &json!({ "company": "Org" }))).thin,
        "an object in `data`"
    );
    let mut unknown =
        json!({ "eventType": "WorkLog.Approved", "resourceType": "WorkLog", "resourceId": "w_1" });
    assert!(read(&unknown).thin, "an unknown event of ids");
    unknown["gross"] = json!(10.5);
    assert!(!read(&unknown).thin, "an unknown event");
}

#[test]
fn without_data_the_body_itself_is_read() {
    let object = invoice(&json!({ "paidAt": "2026-07-03T00:00:00.000Z" }));
    let wrapped = read(&envelope("InvoicePaid", &object));
    let cases = [
        (json!(null), None),
        (json!("inv_77"), Some("`data` is a string, not an object: the body itself is read")),
        (json!([{}]), Some("`data` is an array, not an object: the body itself is read")),
    ];
    for (data, warning) in cases {
        let mut body = object.clone();
        body["eventId"] = json!("ev_9");
        body["eventType"] = json!("InvoicePaid");
        body["resourceType"] = json!("Invoice");
        body["data"] = data;
        let mut draft = read(&body);
        assert_eq!(std::mem::take(&mut draft.warnings), Vec::from_iter(warning), "{body}");
        assert_eq!(json!(draft), json!(wrapped), "{body}");

        for member in object.as_object().unwrap().keys().filter(|member| !member.ends_with("Id")) {
            body.as_object_mut().unwrap().remove(member);
        }
        assert!(read(&body).thin, "{body}");
    }
    let mut unnamed = object;
    unnamed["eventId"] = json!("ev_9");
    assert_eq!(read(&unnamed).provider_event_type, "paidAt");
}

#[test]
fn names_of_other_tables_are_kept_as_unmapped() {
    for name in
        ["PayStatement.Issued", "WorkLog.Approved", "InvoiceTeleported", "Invoice", "Pay", "é", "InvoiceAt"]
    {
        let draft = read(&envelope(name, &json!({ "gross": 10.5, "memberId": "mem_1" })));
        assert_eq!((draft.kind.as_str(), draft.provider_event_type.as_str()), ("provider.unmapped", name));
        assert_eq!(objects(&draft), json!({ "payee": { "id": "mem_1" } }), "{name}");
    }
}

#[test]
fn an_odd_state_is_told_and_loses_nothing() {
    let mut object = invoice(&json!({ "paidAt": "2026-07-03T00:00:00.000Z" }));
    for (state, expected, warnings) in
        [("Paid", "paid", 0), ("Disputed", "unknown", 0), ("Vaporised", "unknown", 1)]
    {
        object["status"] = json!(state);
        let draft = read(&envelope("InvoicePaid", &object));
        assert_eq!(draft.invoice.unwrap().status.as_deref(), Some(expected));
        assert_eq!(draft.warnings.len(), warnings, "{state}");
    }
}

#[test]
fn what_names_no_event_is_refused_with_what_to_do() {
    let cases = [
        (None, "{}", "nothing says which event this is"),
        (None, r#"{"eventId":"e","data":{}}"#, "`event_type` at the source"),
        (Some(" "), r#"{"invoiceId":"i","events":{}}"#, "/in/wingspan/InvoicePaid"),
        (None, r#"{"invoiceId":"i","events":{"paidAt":"soon"}}"#, "no times in `events`"),
        (Some("InvoicePaid"), "[]", "the body is an array, not a JSON object"),
        (Some("InvoicePaid"), "paid", "the body is not JSON"),
        (Some("InvoicePaid"), "", "the body is not JSON"),
    ];
    for (outside, body, message) in cases {
        match normalize(outside, body) {
            Err(Failure::Invalid(why)) => assert!(why.contains(message), "{body}: {why}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn every_event_of_the_manifest_has_an_example_that_is_read_as_it_says() {
    testing::examples::<Wingspan>(MANIFEST);
}

#[test]
fn the_manifest_lists_the_catalogue() {
    let manifest: toml::Table = MANIFEST.parse().unwrap();
    let events = manifest["provider"][0]["event"].as_array().unwrap();
    let listed: Vec<_> = events
        .iter()
        .map(|event| (event["name"].as_str().unwrap().to_owned(), event["type"].as_str().unwrap()))
        .collect();
    let mut known = Vec::new();
    for entry in CATALOGUE {
        assert!(kind::is_known(entry.kind), "{}", entry.kind);
        if entry.is_of_invoice() {
            known.extend(Side::ALL.map(|side| (format!("{}{}", side.name(), entry.name), entry.kind)));
        } else {
            known.push((entry.name.to_owned(), entry.kind));
        }
    }
    assert_eq!(listed, known);
}

#[test]
fn tax_forms_and_accounts_are_not_stored_and_not_read() {
    let manifest: toml::Table = MANIFEST.parse().unwrap();
    let pointers = manifest["provider"][0]["secret_pointers"].as_array().unwrap();
    let account = json!({ "bankName": "Bank", "accountNumber": "hush", "routingNumber": "hush" });
    let contractor = json!({
        "formW9Data": { "ssn": "hush", "ein": "hush", "dob": "hush" },
        "achCreditAccount": account, "internationalWireAccount": account,
    });
    let mut object = invoice(&json!({ "paidAt": "2026-07-04T00:00:00.000Z" }));
    object.as_object_mut().unwrap().extend(contractor.as_object().unwrap().clone());
    object["memberClient"] = contractor;
    object["bankTransferInfo"] = account.clone();
    object["internationalBankTransferInfo"] = account;
    for body in [envelope("InvoicePaid", &object), object] {
        let mut stored = body.clone();
        for pointer in pointers {
            if let Some(secret) = stored.pointer_mut(pointer.as_str().unwrap()) {
                *secret = json!("***");
            }
        }
        assert!(!stored.to_string().contains("hush"), "{stored}");
        assert_eq!(objects(&read(&stored)), objects(&read(&body)));
    }
}

fn providers() -> Option<PathBuf> {
    let dir = std::env::var_os("BILLHOOK_PROVIDERS_DIR").map(PathBuf::from);
    if dir.is_none() {
        println!("skipped: BILLHOOK_PROVIDERS_DIR is not set");
    }
    dir
}

#[test]
fn every_row_of_the_published_map_has_its_type() {
    let Some(providers) = providers() else { return };
    let map = std::fs::read_to_string(providers.join("event_map.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = map.lines().map(|line| line.split('\t').collect()).collect();
    let rows: Vec<_> = rows.iter().filter(|row| row[0].starts_with("wingspan")).collect();
    for row in &rows {
        let (name, expected) = (row[1], row[2]);
        let names = match name.contains('.') {
            true => vec![name.to_owned()],
            false => {
                Side::ALL.iter().map(|side| format!("{}{name}", side.name())).chain([field(name)]).collect()
            }
        };
        for name in names {
            assert_eq!(read(&envelope(&name, &json!({ "invoiceId": "i" }))).kind, expected, "{name}");
        }
    }
    assert_eq!(rows.len(), 41);
}

#[test]
fn published_bodies_are_read() {
    let Some(providers) = providers() else { return };
    let mut read = 0;
    for file in std::fs::read_dir(providers.join("wingspan")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let expected = match name {
            "derived.InvoicePaid.bare-object.json" | "derived.InvoicePaid.envelope.json" => {
                "payment.succeeded"
            }
            "derived.InvoicePaymentFailed.envelope.json" => "payment.failed",
            "derived.PayableDisputed.envelope.json" => "dispute.opened",
            "derived.MemberClient.Active.envelope.json" => "payee.active",
            "derived.PayStatement.Issued.v3.json" => "provider.unmapped",
            other => panic!("{other}: no type is expected of it"),
        };
        assert_eq!(normalize(None, std::fs::read(&path).unwrap()).unwrap().kind, expected, "{name}");
        read += 1;
    }
    assert_eq!(read, 6);
}

#[test]
fn any_body_gives_drafts_or_is_invalid() {
    let paid = invoice(&json!({ "paidAt": "2026-07-03T00:00:00Z", "disputedAt": ["2026-07-02T00:00:00Z"] }));
    let names = CATALOGUE.iter().map(|entry| Sample::new(envelope(&field(entry.name), &paid)));
    let others = [
        Sample::new(paid.clone()),
        Sample::named("InvoicePaymentFailed", paid.clone()),
        Sample::new(envelope(
            "InvoicePaymentFailed",
            &json!({
                "currency": "USD",
                "payments": [{ "paymentId": "p", "amount": 1.5, "sourceType": "Card", "status": "Failed", "statusReason": "CardExpired", "events": { "failedAt": "2026-07-03T00:00:00Z" } }],
            }),
        )),
        Sample::new(envelope(
            "InvoiceRefunded",
            &json!({ "currency": "USD", "refundDestinations": [{ "amount": 1.5 }] }),
        )),
        Sample::new(envelope(
            "MemberClient.Active",
            &json!({ "memberClientId": "mc_3", "status": "Active" }),
        )),
    ];
    let samples: Vec<_> = names.chain(others).collect();
    testing::any_body_gives_drafts_or_is_invalid(&Wingspan, &samples);
}
