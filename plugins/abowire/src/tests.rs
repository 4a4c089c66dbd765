//! What the normalizer makes of bodies.

mod change;

use crate::catalogue::CATALOGUE;
use crate::{Abowire, Config, MANIFEST, Unit};
use billhook_plugin::check;
use billhook_plugin::model::kind;
use billhook_plugin::testing::{self, Sample};
use billhook_plugin::{Draft, Failure, Normalize, Plugin, Time, Webhook};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

fn normalize_with(amounts: Option<Unit>, body: impl AsRef<[u8]>) -> Result<Vec<Draft>, Failure> {
    Abowire::new(Config { amounts })?.normalize(&Webhook::new("seats", "abowire").with_body(body))
}

fn normalize(body: &Value) -> Vec<Draft> {
    normalize_with(Some(Unit::Minor), body.to_string()).unwrap_or_else(|failure| panic!("{body}: {failure}"))
}

fn one(body: &Value) -> Draft {
    let mut drafts = normalize(body);
    assert_eq!(drafts.len(), 1, "{body}");
    drafts.remove(0)
}

fn v1(name: &str, payload: &Value) -> Value {
    let (component, action) = name.split_once(':').unwrap();
    json!({
        "id": "0e0e8a7c-hook", "eventArn": format!("arn:x:{name}"), "component": component, "action": action,
        "userId": "usr_8", "timestamp": "2026-05-06T07:08:09.100Z", "origin": "console",
        "destination": "https://billhook.example/in/abowire?token=hush", "payload": payload,
    })
}

fn v2(name: &str, payload: &Value, previous: Option<Value>) -> Value {
    let mut body = json!({
        "source": "com.abowire.billing", "event": name, "accountId": "acct_4", "isProduction": true, "payload": payload,
    });
    if let Some(previous) = previous {
        body["previousPayload"] = previous;
    }
    body
}

/// The objects of a draft as JSON, without what all drafts have.
fn objects(draft: &Draft) -> Value {
    let mut json = serde_json::to_value(draft).unwrap();
    let shared = [
        "type",
        "provider_event_type",
        "provider_api_version",
        "thin",
        "occurred_at",
        "semantic_key",
        "actor",
        "livemode",
        "provider_account_id",
    ];
    for member in shared {
        json.as_object_mut().unwrap().remove(member);
    }
    json
}

#[test]
fn every_event_of_the_first_format_is_read() {
    let euros = |cents: i64| json!({ "amount_minor": cents, "currency": "EUR", "exponent": 2, "original": cents.to_string() });
    let license = |status: &str| json!({ "license": { "id": "lic_1", "status": status }, "subscription": { "id": "sub_1" } });
    let seat = json!({ "id": "lic_1", "subscriptionId": "sub_1" });
    let person = json!({ "id": "sbr_1", "firstName": "Ada", "lastName": "L", "email": "ada@example.com", "address": { "countryCode": "gb" } });
    let customer = json!({ "customer": { "id": "sbr_1", "name": "Ada L", "email": "ada@example.com", "country": "GB" } });
    let charge = json!({
        "id": "pay_1", "amount": 4900, "currency": "EUR", "subscriptionId": "sub_1", "invoiceId": "inv_1",
        "paymentMethod": { "type": "SEPA_MANDATE" }, "errorCode": "R01",
    });
    let payment = |status: &str, failure: Option<Value>| {
        let mut block = json!({
            "id": "pay_1", "status": status, "direction": "inbound", "amount": euros(4900), "method": "bank_debit",
        });
        if let Some(failure) = failure {
            block["failure"] = failure;
        }
        json!({ "payment": block, "subscription": { "id": "sub_1" }, "invoice": { "id": "inv_1" } })
    };
    let bought = json!({ "id": "sub_1", "status": "active", "subscriberId": "sbr_1", "productId": "prd_1", "quantity": 3, "startDate": "2026-05-01" });
    let subscription = json!({
        "customer": { "id": "sbr_1" },
        "subscription": {
            "id": "sub_1", "status": "active", "provider_status": "active", "started_at": "2026-05-01T00:00:00.000Z",
            "plan": { "product_id": "prd_1", "quantity": 3 },
        },
    });
    let product = json!({ "id": "prd_1", "name": "Team" });
    let invoice = json!({ "id": "inv_1", "number": "7", "status": "open", "total": 4900, "tax": 782, "currency": "EUR", "dueDate": "2026-06-01" });
    let org = json!({ "id": "acc_1", "name": "Org" });
    let key =
        json!({ "id": "key_1", "name": "ci", "key": "sk_live_hush", "secret": "hush", "value": "hush" });
    let rows = [
        (
            "invoice:create",
            invoice,
            json!({ "invoice": {
                "id": "inv_1", "number": "7", "status": "open", "total": euros(4900), "tax": euros(782),
                "due_at": "2026-06-01T00:00:00.000Z",
            } }),
        ),
        ("payment:create", charge.clone(), payment("created", None)),
        ("payment:accepted", charge.clone(), payment("succeeded", None)),
        (
            "payment:declined",
            charge,
            payment("failed", Some(json!({ "code": "other", "provider_code": "R01" }))),
        ),
        ("product:create", product.clone(), json!({ "product": product })),
        ("product:update", product.clone(), json!({ "product": product })),
        ("subscriber:create", person.clone(), customer.clone()),
        ("subscriber:update", person, customer),
        ("subscription:create", bought.clone(), subscription.clone()),
        ("subscription:update", bought, subscription),
        ("account:update", org.clone(), json!({ "account": org })),
        (
            "account-subaccount:create",
            org.clone(),
            json!({ "account": { "id": "acc_1", "name": "Org", "kind": "subaccount" } }),
        ),
        (
            "account-subaccount:update",
            org,
            json!({ "account": { "id": "acc_1", "name": "Org", "kind": "subaccount" } }),
        ),
        ("api-key:create", key.clone(), json!({ "api_key": { "id": "key_1", "name": "ci" } })),
        ("api-key:revoke", key, json!({ "api_key": { "id": "key_1", "name": "ci" } })),
        ("subscription:disable", seat.clone(), license("disabled")),
        ("subscription:enable", seat.clone(), license("enabled")),
        ("subscription:bulk-enable", seat.clone(), license("enabled")),
        ("subscription:bulk-disable", seat, license("disabled")),
    ];
    let known: Vec<_> = CATALOGUE.iter().filter(|(name, _)| name.contains(':')).collect();
    assert_eq!(rows.len(), known.len());
    for ((name, payload, expected), (listed, kind)) in rows.iter().zip(known) {
        assert_eq!(name, listed);
        let draft = one(&v1(name, payload));
        assert_eq!((draft.kind.as_str(), draft.provider_event_type.as_str()), (*kind, *name));
        assert_eq!(objects(&draft), *expected, "{name}");
        assert_eq!(draft.occurred_at, Time::parse("2026-05-06T07:08:09.100Z"), "{name}");
        let actor = draft.actor.as_ref().unwrap();
        assert_eq!((actor.id.as_str(), actor.kind.as_str()), ("usr_8", "user"));
        assert_eq!(draft.provider_api_version.as_deref(), Some("v1"));
        assert_eq!(
            (draft.livemode, &draft.provider_event_id),
            (None, &None),
            "its id is that of the definition"
        );
        assert!(!serde_json::to_string(&draft).unwrap().contains("hush"), "{name}");
    }
}

#[test]
fn a_bulk_event_gives_one_event_for_each_element() {
    let payload = json!([{ "id": "lic_1", "subscriptionId": "sub_1" }, "lic_2", 3, { "id": "lic_4", "status": "off" }, null]);
    for (name, kind, status) in [
        ("subscription:bulk-enable", "license.enabled", "enabled"),
        ("subscription:bulk-disable", "license.disabled", "disabled"),
    ] {
        let drafts = normalize(&v1(name, &payload));
        let seen: Vec<_> = drafts.iter().map(|draft| draft.license.clone().unwrap()).collect();
        let ids: Vec<_> = seen.iter().map(|license| license.id.as_deref()).collect();
        assert_eq!(ids, [Some("lic_1"), Some("lic_2"), Some("3"), Some("lic_4"), None]);
        let states: Vec<_> = seen.iter().map(|license| license.status.as_deref().unwrap()).collect();
        assert_eq!(states, [status, status, status, "off", status]);
        assert!(drafts.iter().all(|draft| draft.kind == kind && draft.cancellation.is_none()));
        let keys: BTreeSet<_> = drafts.iter().filter_map(|draft| draft.semantic_key.clone()).collect();
        assert_eq!(keys.len(), 4, "{keys:?}");
        assert_eq!(normalize(&v1(name, &json!([]))).len(), 0, "a list of nothing");
    }
    assert_eq!(normalize(&v1("subscription:enable", &json!([{ "id": "a" }, { "id": "b" }]))).len(), 2);
    assert_eq!(normalize(&v1("invoice:create", &json!([]))).len(), 1);
    let many = json!(vec!["x"; 1001]);
    let refused = normalize_with(None, v1("subscription:bulk-enable", &many).to_string());
    assert!(
        matches!(refused, Err(Failure::Invalid(why)) if why.contains("1000 objects, and this one holds 1001"))
    );
    let name = format!("customer.{}", "x".repeat(20_000));
    let refused = normalize_with(None, v2(&name, &json!(vec!["x"; 100]), None).to_string());
    assert!(
        matches!(refused, Err(Failure::Invalid(why)) if why.starts_with("`payload` holds 100 objects, and what stands"))
    );
}

#[test]
fn of_an_object_its_id_may_be_all_that_is_sent() {
    let cases = [
        ("invoice:create", "/invoice/id"),
        ("payment:accepted", "/payment/id"),
        ("product:update", "/product/id"),
        ("subscriber:create", "/customer/id"),
        ("subscription:create", "/subscription/id"),
        ("subscription:disable", "/license/id"),
        ("account:update", "/account/id"),
    ];
    for (name, path) in cases {
        let draft = one(&v1(name, &json!("x_1")));
        assert_eq!(objects(&draft).pointer(path), Some(&json!("x_1")), "{name}");
        assert!(draft.thin && draft.semantic_key.is_some_and(|key| key.contains(":x_1")), "{name}");
        let both = normalize(&v1(name, &json!(["x_1", 2])));
        let ids: Vec<_> = both.iter().map(|draft| objects(draft).pointer(path).cloned()).collect();
        assert_eq!(ids, [Some(json!("x_1")), Some(json!("2"))], "{name}");
    }
    let method = one(&v2("paymentMethod.created", &json!("pm_1"), None)).payment_method.unwrap();
    assert_eq!(method.id.as_deref(), Some("pm_1"));
    // It may be the key itself.
    let key = one(&v1("api-key:create", &json!("hush")));
    assert!(!serde_json::to_string(&key).unwrap().contains("hush"));
}

#[test]
fn the_second_format_tells_account_mode_and_what_was_before() {
    let before = json!({ "id": "cus_1", "name": "Old", "limit": 1.10 });
    let draft = one(&v2(
        "customer.updated",
        &json!({ "id": "cus_1", "name": "New", "updatedAt": "2026-05-06T00:00:00Z" }),
        Some(before),
    ));
    assert_eq!(
        (draft.kind.as_str(), draft.provider_api_version.as_deref()),
        ("customer.updated", Some("v2"))
    );
    assert_eq!((draft.livemode, draft.provider_account_id.as_deref()), (Some(true), Some("acct_4")));
    assert_eq!(draft.customer.unwrap().name.as_deref(), Some("New"));
    assert_eq!(draft.occurred_at, Time::parse("2026-05-06"));
    assert!(draft.actor.is_none());

    // The text itself, with its number as it stood.
    let text = r#"{"event":"customer.updated","isProduction":false,"payload":{"id":"c"},"previousPayload":{"limit":1.10}}"#;
    let draft = normalize_with(None, text).unwrap().remove(0);
    assert_eq!((draft.livemode, draft.previous.unwrap().get()), (Some(false), r#"{"limit":1.10}"#));

    for (name, kept) in [("account.updated", false), ("apiKey.updated", false), ("product.updated", true)] {
        let draft = one(&v2(name, &json!({ "id": "x" }), Some(json!({ "settings": "hush" }))));
        assert_eq!(draft.previous.is_some(), kept, "{name} {}", draft.kind);
    }
    for odd in [json!(null), json!([1]), json!("x")] {
        assert!(one(&v2("customer.updated", &json!({}), Some(odd))).previous.is_none());
    }
    let before = || Some(json!({ "id": "s_1", "status": "canceled" }));
    let now = json!({ "id": "s_1", "status": "active" });
    assert!(one(&v2("subscription.updated", &json!([now]), before())).previous.is_some());
    for draft in normalize(&v2("subscription.updated", &json!([now, now]), before())) {
        assert!(draft.kind == "subscription.updated" && draft.previous.is_none(), "whose it is, is not told");
        assert!(draft.warnings[0].starts_with("`previousPayload` is left out"), "{:?}", draft.warnings);
    }
    let large = one(&v2("customer.updated", &json!({}), Some(json!({ "x": "y".repeat(70_000) }))));
    assert!(large.previous.is_none() && large.warnings[0].contains("65536 bytes"), "{:?}", large.warnings);
}

#[test]
fn names_that_are_not_listed_are_told_by_their_resource() {
    let cases = [
        ("product.updated", "product.updated"),
        ("subscription.created", "subscription.created"),
        ("subscriber.updated", "customer.updated"),
        ("invoice.created", "invoice.created"),
        ("payment.updated", "payment.updated"),
        ("paymentMethod.created", "payment_method.attached"),
        ("payment-method.updated", "payment_method.updated"),
        ("creditNote.created", "credit_note.created"),
        ("checkout.created", "checkout.created"),
        ("account.updated", "account.updated"),
        ("licence.created", "license.created"),
        ("transaction.created", "provider.unmapped"),
        ("checkout.updated", "provider.unmapped"),
        ("customer.deleted", "customer.deleted"),
        ("invoice.paid", "invoice.paid"),
        ("payment.failed", "payment.failed"),
        ("paymentMethod.expired", "payment_method.expired"),
        ("licence.disabled", "license.disabled"),
        ("subscription.canceled", "subscription.canceled"),
        ("subscription.disabled", "provider.unmapped"),
        ("provider.created", "provider.unmapped"),
        ("created", "provider.unmapped"),
        (".created", "provider.unmapped"),
        ("customer", "provider.unmapped"),
    ];
    for (name, expected) in cases {
        let draft = one(&v2(name, &json!({ "id": "x" }), None));
        assert_eq!((draft.kind.as_str(), draft.provider_event_type.as_str()), (expected, name));
        for name in [name.to_ascii_uppercase(), name.to_ascii_lowercase()] {
            assert_eq!(one(&v2(&name, &json!({ "id": "x" }), None)).kind, expected, "{name}");
        }
    }
    for (name, kind) in CATALOGUE {
        let name = name.to_ascii_uppercase();
        let payload = if name.contains("BULK") { json!([{}, {}]) } else { json!({}) };
        let drafts =
            normalize(&if name.contains(':') { v1(&name, &payload) } else { v2(&name, &payload, None) });
        assert!(drafts.iter().all(|draft| draft.kind == *kind), "{name}");
        assert_eq!(drafts.len(), if name.contains("BULK") { 2 } else { 1 }, "{name}");
    }
    assert_eq!(normalize(&v1("Subscription:Bulk-Enable", &json!([]))).len(), 0);
    let subaccount = one(&v1("Account-Subaccount:Update", &json!({})));
    assert_eq!(subaccount.account.unwrap().kind.as_deref(), Some("subaccount"));
    assert_eq!(one(&v1("quantum:entangle", &json!({ "customerId": "c" }))).kind, "provider.unmapped");
}

#[test]
fn what_an_object_refers_to_is_read_in_every_form() {
    let forms = |name: &str| {
        let id = format!("{name}Id");
        [
            json!({ (id.as_str()): "x_1" }),
            json!({ name: { "id": "x_1" } }),
            json!({ name: "x_1" }),
            json!({ (id.as_str()): "x_1", name: { "id": "x_2" } }),
            json!({ (id.as_str()): "x_1", name: "x_2" }),
            json!({ (id.as_str()): null, name: { "id": "x_1" } }),
        ]
    };
    let cases = [
        ("subscription.created", "customer", "/customer/id"),
        ("subscription.created", "subscriber", "/customer/id"),
        ("subscription.created", "plan", "/subscription/plan/id"),
        ("subscription.created", "product", "/subscription/plan/product_id"),
        ("payment.created", "invoice", "/invoice/id"),
        ("payment.created", "subscription", "/subscription/id"),
        ("invoice.created", "subscription", "/subscription/id"),
    ];
    for (event, name, path) in cases {
        for payload in forms(name) {
            let objects = objects(&one(&v2(event, &payload, None)));
            assert_eq!(objects.pointer(path), Some(&json!("x_1")), "{event} {payload}: {objects}");
        }
        for none in [json!({ name: {} }), json!({ name: [] }), json!({ name: true }), json!({})] {
            let objects = objects(&one(&v2(event, &none, None)));
            assert_eq!(objects.pointer(path), None, "{event} {none}");
        }
    }
    for name in ["plan", "product"] {
        for now in forms(name) {
            let update = |before: &str| {
                one(&v2("subscription.updated", &now, Some(json!({ name: { "id": before } })))).kind
            };
            assert_eq!(update("x_0"), "subscription.plan_changed", "{now}");
            assert_eq!(update("x_1"), "subscription.updated", "{now}");
        }
    }
}

#[test]
fn the_paid_period_and_the_name_of_the_plan_are_read() {
    let period = json!({ "currentPeriodStart": "2026-05-01T10:00:00Z", "currentPeriodEnd": "2026-06-01" });
    let subscription = one(&v1("subscription:update", &period)).subscription.unwrap();
    let named = json!({ "plan": { "id": "plan_1", "name": "Team" } });
    let plan = one(&v1("subscription:update", &named)).subscription.unwrap().plan.unwrap();
    assert_eq!((plan.id.as_deref(), plan.name.as_deref()), (Some("plan_1"), Some("Team")));
    assert_eq!(subscription.current_period_start, Time::parse("2026-05-01T10:00:00Z"));
    assert_eq!(subscription.current_period_end, Time::parse("2026-06-01"));
}

#[test]
fn one_fact_told_in_both_formats_has_one_key() {
    let key = |body: &Value| one(body).semantic_key;
    let customer = json!({ "id": "c_1" });
    assert_eq!(key(&v1("subscriber:create", &customer)), key(&v2("customer.created", &customer, None)));
    assert_eq!(key(&v2("customer.created", &customer, None)).as_deref(), Some("customer.created:c_1"));
    assert_eq!(
        key(&v1("subscription:disable", &json!({ "id": "lic_1" }))).as_deref(),
        Some("license.disabled:lic_1:2026-05-06T07:08:09.100Z")
    );
    assert_eq!(key(&v2("customer.updated", &customer, None)), None);
    assert_eq!(key(&v1("payment:accepted", &json!({}))), None);
    // A payment may be declined again.
    let payment = json!({ "id": "pay_1" });
    let mut declined = v1("payment:declined", &payment);
    assert_eq!(key(&declined).as_deref(), Some("payment.failed:pay_1:2026-05-06T07:08:09.100Z"));
    declined["timestamp"] = json!(null);
    assert_eq!(key(&declined), None);
}

#[test]
fn amounts_need_a_unit_and_are_exact() {
    let cases = [
        (Some(Unit::Minor), "4900", "\"eur\"", Some((4900, "4900")), None),
        (Some(Unit::Major), "49.00", "\"EUR\"", Some((4900, "49.00")), None),
        (
            Some(Unit::Major),
            "\"90071992547409.93\"",
            "\"EUR\"",
            Some((9_007_199_254_740_993, "90071992547409.93")),
            None,
        ),
        (Some(Unit::Minor), "49.5", "\"EUR\"", None, Some("is not an amount in `EUR`")),
        (Some(Unit::Major), "0.005", "\"EUR\"", Some((0, "0.005")), Some("is finer than EUR")),
        (Some(Unit::Minor), "1", "null", None, Some("has no currency")),
        (None, "4900", "\"EUR\"", None, Some("`amounts` are minor or major")),
        (None, "null", "\"EUR\"", None, None),
        (Some(Unit::Minor), "\"free\"", "\"EUR\"", None, None),
    ];
    for (unit, amount, currency, expected, warning) in cases {
        let body = format!(
            r#"{{"component":"payment","action":"accepted","payload":{{"id":"p","amount":{amount},"currency":{currency}}}}}"#
        );
        let draft = normalize_with(unit, &body).unwrap().remove(0);
        let money = draft.payment.unwrap().amount;
        assert_eq!(
            money.as_ref().map(|m| (m.amount_minor, m.original.as_str())),
            expected,
            "{unit:?} {body}"
        );
        match warning {
            Some(text) => assert!(draft.warnings[0].contains(text), "{:?}", draft.warnings),
            None => assert_eq!(draft.warnings, [""; 0], "{body}"),
        }
    }
}

#[test]
fn the_arn_stands_in_for_a_name_that_is_missing() {
    let body = json!({ "eventArn": "arn:abowire:x:invoice:create", "payload": { "id": "i" } });
    let draft = one(&body);
    assert_eq!(
        (draft.kind.as_str(), draft.provider_event_type.as_str()),
        ("invoice.created", "invoice:create")
    );
    assert_eq!(draft.warnings, ["the event's name was taken from `eventArn`"]);
    for body in [
        "{}",
        r#"{"component":"invoice"}"#,
        r#"{"eventArn":"invoice"}"#,
        r#"{"eventArn":"::"}"#,
        "[]",
        "x",
        "",
    ] {
        assert!(matches!(normalize_with(None, body), Err(Failure::Invalid(_))), "{body}");
    }
    let named = Webhook::new("s", "abowire").with_event_name("invoice:create").with_body("{}");
    assert_eq!(
        Abowire::new(Config::default()).unwrap().normalize(&named).unwrap()[0].kind,
        "invoice.created"
    );
}

#[test]
fn every_event_of_the_manifest_has_an_example_that_is_read_as_it_says() {
    testing::examples::<Abowire>(MANIFEST);
}

#[test]
fn the_manifest_lists_the_catalogue_and_hides_the_secrets() {
    let manifest: toml::Table = MANIFEST.parse().unwrap();
    let provider = &manifest["provider"][0];
    check::catalogue(MANIFEST, CATALOGUE);
    let pointers = provider["secret_pointers"].as_array().unwrap();
    let is_hidden = |path: &str| pointers.iter().any(|pointer| pointer.as_str() == Some(path));
    assert!(is_hidden("/destination"));
    for field in ["key", "apiKey", "secret", "secretKey", "token", "settings/payments/providers"] {
        for payload in ["payload", "previousPayload"] {
            assert!(is_hidden(&format!("/{payload}/{field}")), "{payload} {field}");
        }
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
    let (mut first, mut second) = (0, 0);
    for row in map.lines().map(|line| line.split('\t').collect::<Vec<_>>()) {
        let (name, expected) = (row[1], row[2]);
        match row[0] {
            format if format.starts_with("abowire v1") => {
                assert_eq!(one(&v1(name, &json!({ "id": "x" }))).kind, expected, "{name}");
                first += 1;
            }
            format if format.starts_with("abowire v2") => {
                // One row stands for every resource.
                let resources = ["customer", "product", "subscription", "invoice", "payment", "account"];
                let names: Vec<_> = match name.starts_with("<resource>") {
                    true => resources
                        .iter()
                        .flat_map(|of| [format!("{of}.created"), format!("{of}.updated")])
                        .collect(),
                    false => vec![name.to_owned()],
                };
                for name in names {
                    let expected =
                        expected.split(" / ").next().filter(|kind| kind::is_known(kind)).unwrap_or(&name);
                    assert_eq!(one(&v2(&name, &json!({ "id": "x" }), None)).kind, expected, "{name}");
                }
                second += 1;
            }
            _ => {}
        }
    }
    assert_eq!((first, second), (19, 4));
}

#[test]
fn published_bodies_are_read() {
    for (name, body) in testing::published("abowire") {
        let (expected, events) = match name.strip_prefix("derived.").unwrap_or(&name) {
            "v1.api-key_revoke" => ("api_key.revoked", 1),
            "v1.invoice_create" => ("invoice.created", 1),
            "v1.payment_accepted" => ("payment.succeeded", 1),
            "v1.payment_declined" => ("payment.failed", 1),
            "v1.subscription_bulk-disable" => ("license.disabled", 2),
            "v1.subscription_create" => ("subscription.created", 1),
            "v1.subscription_disable" => ("license.disabled", 1),
            "v1.subscription_update" => ("subscription.updated", 1),
            "v2.customer.created" => ("customer.created", 1),
            "v2.customer.updated" => ("customer.updated", 1),
            other => panic!("{other}: no type is expected of it"),
        };
        let drafts = normalize_with(Some(Unit::Minor), body).unwrap();
        assert_eq!(drafts.len(), events, "{name}");
        for draft in drafts {
            assert_eq!(draft.kind, expected, "{name}");
            assert_eq!(draft.warnings, [""; 0], "{name}");
        }
    }
}

#[test]
fn any_body_gives_drafts_or_is_invalid() {
    let payload = json!({
        "id": "p_1", "status": "ACTIVE", "amount": 49.5, "currency": "EUR", "customer": { "id": "c_1", "email": "a@b.c" },
        "address": { "countryCode": "DE" }, "paymentMethod": { "type": "card" }, "subscriptionId": "s_1", "quantity": 2,
        "startDate": "2026-05-06",
        "total": "1.5", "tax": 0.1, "dueDate": "2026-06-01", "declineCode": "card_declined", "planId": "plan_1", "cancelAtPeriodEnd": false,
    });
    let first = ["payment:declined", "subscription:update", "invoice:create", "api-key:revoke"];
    let first = first.map(|name| v1(name, &payload));
    let bulk = v1("subscription:bulk-disable", &json!([payload, payload]));
    let second = ["customer.updated", "payment.created", "subscription.updated"];
    let before = json!({ "quantity": 1, "status": "trial", "cancelAtPeriodEnd": true, "planId": "plan_2" });
    let second = second.map(|name| v2(name, &payload, Some(before.clone())));
    let samples: Vec<_> = first.into_iter().chain([bulk]).chain(second).map(Sample::new).collect();
    for amounts in [None, Some(Unit::Minor), Some(Unit::Major)] {
        testing::any_body_gives_drafts_or_is_invalid(&Abowire::new(Config { amounts }).unwrap(), &samples);
    }
}
