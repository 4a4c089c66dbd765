//! Reads Wingback's webhooks.
//!
//! Wingback sends the id of a customer, an invoice or a contract and nothing else; which event it is stands in
//! the path that the operator gave to Wingback for it, or, where the sender adds it, in the body. What an id says by
//! its prefix is held against the event's name ([`catalogue`]).

mod catalogue;

use billhook_plugin::model::{
    Cancellation, CancellationKind, Customer, Draft, Initiator, Invoice, Payment, Phase, Subscription,
};
use billhook_plugin::{Failure, Fields, NoConfig, Normalize, Plugin, Webhook};
use catalogue::{Entry, Object};

/// The members of a body in which a sender may name the event, in the order in which they count.
const NAME_MEMBERS: [&str; 3] = ["type", "event", "event_type"];

/// The plugin.
#[derive(Debug)]
pub struct Wingback;

impl Plugin for Wingback {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Wingback, Failure> {
        Ok(Wingback)
    }
}

impl Normalize for Wingback {
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
        Ok(vec![read(webhook.event_name(), &webhook.fields()?)?])
    }
}

billhook_plugin::plugin! {
    Wingback: Normalize;
    manifest = "plugin.toml";
}

/// The draft of one body; `outside` is the event's name where the source found it outside.
fn read(outside: Option<&str>, body: &Fields<'_>) -> Result<Draft, Failure> {
    let inside = NAME_MEMBERS.iter().find_map(|member| body.text(member));
    let outside = outside.map(str::trim).filter(|name| !name.is_empty());
    let Some(name) = outside.or(inside.as_deref()) else {
        return Err(Failure::invalid(
            "nothing says which event this is: let Wingback post each event to its own URL, \
             /in/{source}/{event-type} as in /in/wingback/v1.payment.failed, or set `event_type` at the source",
        ));
    };
    let id = body.text("id").or_else(|| body.fields("data")?.text("id"));
    let entry = catalogue::find(name);
    if entry.is_some() && id.is_none() {
        return Err(Failure::invalid(format!(
            "`{name}` must come with an id at `id` or `data.id`, and there is none"
        )));
    }
    let mut draft = match (entry, id) {
        (Some(entry), Some(id)) => known(entry, id),
        (_, id) => unmapped(id),
    };
    draft.provider_event_type = name.to_owned();
    draft.thin = true;
    draft.occurred_at = body.time("timestamp");
    if let Some(inside) = inside.as_deref().filter(|inside| *inside != name) {
        draft.warnings.push(format!("the body names the event `{inside}` and the source names it `{name}`"));
    }
    Ok(draft)
}

fn known(entry: &Entry, id: String) -> Draft {
    let mut draft = Draft { kind: entry.kind.to_owned(), ..Draft::default() };
    if !entry.object.fits(&id) {
        draft.warnings.push(format!("`{id}` does not look like the id of {}", entry.object.name()));
    }
    let status = (!entry.status.is_empty()).then(|| entry.status.to_owned());
    match entry.object {
        Object::Customer => draft.customer = Some(customer(id)),
        Object::Invoice => draft.invoice = Some(Box::new(Invoice { id: Some(id), ..Invoice::default() })),
        Object::Contract => {
            draft.subscription =
                Some(Box::new(Subscription { id: Some(id), status, ..Subscription::default() }));
            draft.cancellation = cancellation(entry.kind);
        }
        Object::Payment => {
            draft.customer = Some(customer(id));
            let direction = Some("inbound".to_owned());
            draft.payment = Some(Box::new(Payment { status, direction, ..Payment::default() }));
        }
    }
    draft
}

/// An event that is not in the catalogue, with the object that its id's prefix names.
fn unmapped(id: Option<String>) -> Draft {
    let mut draft = Draft { kind: "provider.unmapped".to_owned(), ..Draft::default() };
    match id.as_deref().and_then(Object::of_id) {
        Some(Object::Customer | Object::Payment) => draft.customer = id.map(customer),
        Some(Object::Invoice) => draft.invoice = Some(Box::new(Invoice { id, ..Invoice::default() })),
        Some(Object::Contract) => {
            draft.subscription = Some(Box::new(Subscription { id, ..Subscription::default() }))
        }
        None => {}
    }
    draft
}

fn customer(id: String) -> Customer {
    Customer { id: Some(id), ..Customer::default() }
}

/// Wingback tells neither who cancelled nor why.
fn cancellation(kind: &str) -> Option<Cancellation> {
    let phase = Phase::of_kind(kind)?;
    Some(Cancellation {
        kind: CancellationKind::Unknown,
        initiator: Initiator::Unknown,
        phase,
        requested_at: None,
        effective_at: None,
        at_period_end: None,
        reason_code: None,
        reason_group: None,
        provider_reason: None,
        provider_reason_field: None,
        comment: None,
    })
}

#[cfg(test)]
mod tests {
    use super::catalogue::CATALOGUE;
    use super::{MANIFEST, Wingback};
    use billhook_plugin::model::{CancellationKind, Phase, kind};
    use billhook_plugin::testing::{self, Sample};
    use billhook_plugin::{Draft, Failure, Normalize, Webhook};
    use serde_json::{Value, json};

    fn normalize(path: Option<&str>, body: impl AsRef<[u8]>) -> Result<Draft, Failure> {
        let webhook = Webhook::new("billing", "wingback").with_body(body);
        let webhook = match path {
            Some(name) => webhook.with_event_name(name),
            None => webhook,
        };
        let mut drafts = Wingback.normalize(&webhook)?;
        assert_eq!(drafts.len(), 1);
        Ok(drafts.remove(0))
    }

    /// The objects of a draft as JSON, without what all drafts have.
    fn objects(draft: &Draft) -> Value {
        let mut json = serde_json::to_value(draft).unwrap();
        for shared in ["type", "provider_event_type", "thin"] {
            json.as_object_mut().unwrap().remove(shared);
        }
        json
    }

    #[test]
    fn every_event_of_the_catalogue_is_read_from_its_path() {
        let unknown = json!({ "kind": "unknown", "initiator": "unknown" });
        let with_phase = |phase: &str| {
            let mut json = unknown.clone();
            json["phase"] = json!(phase);
            json
        };
        let rows = [
            ("v1.customer.created", "Cust_7a", "customer.created", json!({"customer":{"id":"Cust_7a"}})),
            ("v1.customer.updated", "Cust_7a", "customer.updated", json!({"customer":{"id":"Cust_7a"}})),
            ("v1.invoice.created", "Inv_9c", "invoice.created", json!({"invoice":{"id":"Inv_9c"}})),
            (
                "v1.contract.signature.scheduled",
                "Cont_3b",
                "subscription.scheduled",
                json!({"subscription":{"id":"Cont_3b","status":"scheduled"}}),
            ),
            (
                "v1.contract.signature.completed",
                "Cont_3b",
                "subscription.activated",
                json!({"subscription":{"id":"Cont_3b","status":"active"}}),
            ),
            (
                "v1.contract.change.completed",
                "Cont_3b",
                "subscription.plan_changed",
                json!({"subscription":{"id":"Cont_3b"}}),
            ),
            (
                "v1.contract.cancellation.scheduled",
                "Cont_3b",
                "subscription.cancel_scheduled",
                json!({"subscription":{"id":"Cont_3b"},"cancellation":with_phase("requested")}),
            ),
            (
                "v1.contract.cancellation.completed",
                "Cont_3b",
                "subscription.canceled",
                json!({"subscription":{"id":"Cont_3b","status":"canceled"},"cancellation":with_phase("effective")}),
            ),
            (
                "v1.payment.started",
                "Cust_7a",
                "payment.created",
                json!({"customer":{"id":"Cust_7a"},"payment":{"status":"created","direction":"inbound"}}),
            ),
            (
                "v1.payment.failed",
                "Cust_7a",
                "payment.failed",
                json!({"customer":{"id":"Cust_7a"},"payment":{"status":"failed","direction":"inbound"}}),
            ),
            (
                "v1.payment.succeeded",
                "Cust_7a",
                "payment.succeeded",
                json!({"customer":{"id":"Cust_7a"},"payment":{"status":"succeeded","direction":"inbound"}}),
            ),
        ];
        assert_eq!(rows.len(), CATALOGUE.len());
        for (name, id, kind, expected) in rows {
            let draft = normalize(Some(name), json!({ "id": id }).to_string()).unwrap();
            assert_eq!((draft.kind.as_str(), draft.provider_event_type.as_str()), (kind, name));
            assert!(draft.thin, "{name}");
            assert_eq!(objects(&draft), expected, "{name}");
        }
    }

    #[test]
    fn a_name_in_the_body_serves_where_the_path_has_none() {
        for body in [
            r#"{"type":"v1.payment.failed","id":"Cust_1"}"#,
            r#"{"event":"v1.payment.failed","data":{"id":"Cust_1"}}"#,
            r#"{"event_type":"v1.payment.failed","id":"Cust_1"}"#,
        ] {
            for path in [None, Some(""), Some("v1.payment.failed")] {
                let draft = normalize(path, body).unwrap();
                assert_eq!(draft.kind, "payment.failed", "{body}");
                assert_eq!(draft.customer.unwrap().id.as_deref(), Some("Cust_1"), "{body}");
                assert!(draft.warnings.is_empty(), "{body}");
            }
        }
    }

    #[test]
    fn the_path_wins_over_the_body_and_the_difference_is_told() {
        let draft = normalize(Some("v1.customer.created"), r#"{"type":"v1.customer.updated","id":"Cust_1"}"#)
            .unwrap();
        assert_eq!(draft.kind, "customer.created");
        assert_eq!(draft.warnings.len(), 1);
        assert!(draft.warnings[0].contains("`v1.customer.updated`"));
    }

    #[test]
    fn an_id_whose_prefix_does_not_fit_gives_a_warning() {
        let cases = [
            ("v1.customer.created", "Cust_1", false),
            ("v1.customer.created", "Cont_1", true),
            ("v1.customer.created", "cus_1", true),
            ("v1.invoice.created", "Inv_1", false),
            ("v1.invoice.created", "Invoice_1", false),
            ("v1.invoice.created", "Cust_1", true),
            ("v1.contract.cancellation.completed", "Cont_1", false),
            ("v1.contract.cancellation.completed", "Inv_1", true),
            ("v1.payment.failed", "Cust_1", false),
            ("v1.payment.failed", "Inv_1", true),
            ("v1.payment.failed", "Cust", true),
        ];
        for (name, id, warned) in cases {
            let draft = normalize(Some(name), json!({ "id": id }).to_string()).unwrap();
            assert_eq!(!draft.warnings.is_empty(), warned, "{name} {id}: {:?}", draft.warnings);
            assert_eq!(draft.kind, super::catalogue::find(name).unwrap().kind);
        }
    }

    #[test]
    fn names_that_are_not_in_the_catalogue_are_kept_as_unmapped() {
        let cases = [
            (r#"{"id":"Cont_1"}"#, json!({"subscription":{"id":"Cont_1"}})),
            (r#"{"id":"Cust_1"}"#, json!({"customer":{"id":"Cust_1"}})),
            (r#"{"id":"Inv_1"}"#, json!({"invoice":{"id":"Inv_1"}})),
            (r#"{"id":"Plan_1"}"#, json!({})),
            (r#"{}"#, json!({})),
        ];
        for (body, expected) in cases {
            let draft = normalize(Some("v2.contract.moved"), body).unwrap();
            assert_eq!(draft.kind, "provider.unmapped");
            assert_eq!(draft.provider_event_type, "v2.contract.moved");
            assert_eq!(objects(&draft), expected, "{body}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_to_do() {
        let cases = [
            (None, r#"{"id":"Cont_1"}"#, "/in/{source}/{event-type}"),
            (None, r#"{"id":"Cont_1"}"#, "`event_type` at the source"),
            (None, r#"{"id":"Cont_1","type":""}"#, "nothing says which event this is"),
            (Some("v1.customer.created"), "{}", "must come with an id at `id` or `data.id`"),
            (Some("v1.customer.created"), r#"{"id":{}}"#, "must come with an id"),
            (Some("v1.customer.created"), "[]", "the body is an array, not a JSON object"),
            (Some("v1.customer.created"), "id=1", "the body is not JSON"),
            (Some("v1.customer.created"), "", "the body is not JSON"),
        ];
        for (path, body, message) in cases {
            match normalize(path, body) {
                Err(Failure::Invalid(why)) => assert!(why.contains(message), "{body}: {why}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn every_event_of_the_manifest_has_an_example_that_is_read_as_it_says() {
        testing::examples::<Wingback>(MANIFEST);
    }

    #[test]
    fn the_manifest_lists_the_catalogue() {
        let manifest: toml::Table = MANIFEST.parse().unwrap();
        let provider = &manifest["provider"][0];
        let listed: Vec<_> = provider["event"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| (event["name"].as_str().unwrap(), event["type"].as_str().unwrap()))
            .collect();
        let known: Vec<_> = CATALOGUE.iter().map(|entry| (entry.name, entry.kind)).collect();
        assert_eq!(listed, known);
        assert!(known.iter().all(|(_, kind)| kind::is_known(kind)));
        assert!(!provider["dedupe"].as_array().unwrap().iter().any(|place| place.as_str() == Some("body")));
    }

    #[test]
    fn a_cancellation_is_neither_voluntary_nor_involuntary() {
        let draft = normalize(Some("v1.contract.cancellation.scheduled"), r#"{"id":"Cont_1"}"#).unwrap();
        let cancellation = draft.cancellation.unwrap();
        assert_eq!((cancellation.kind, cancellation.phase), (CancellationKind::Unknown, Phase::Requested));
    }

    #[test]
    fn every_row_of_the_published_map_has_its_type() {
        let Some(dir) = std::env::var_os("BILLHOOK_PROVIDERS_DIR") else {
            println!("skipped: BILLHOOK_PROVIDERS_DIR is not set");
            return;
        };
        let map = std::fs::read_to_string(std::path::Path::new(&dir).join("event_map.tsv")).unwrap();
        let mut rows = 0;
        for row in map.lines().map(|line| line.split('\t').collect::<Vec<_>>()) {
            if row[0].starts_with("wingback") {
                let draft = normalize(Some(row[1]), r#"{"id":"Cont_1"}"#).unwrap();
                assert_eq!(draft.kind, row[2], "{}", row[1]);
                rows += 1;
            }
        }
        assert_eq!(rows, 11, "ten of the documentation and one of a consumer");
    }

    #[test]
    fn published_bodies_are_read() {
        for (file, body) in testing::published("wingback") {
            let (name, expected) = match file.strip_prefix("derived.").unwrap_or(&file) {
                // Of a consumer, which is told so by its path.
                "contract.id-only" => ("v1.contract.change.completed", "subscription.plan_changed"),
                name @ "v1.customer.created" => (name, "customer.created"),
                name @ "v1.customer.updated" => (name, "customer.updated"),
                name @ "v1.invoice.created" => (name, "invoice.created"),
                name @ "v1.contract.signature.scheduled" => (name, "subscription.scheduled"),
                name @ "v1.contract.signature.completed" => (name, "subscription.activated"),
                name @ "v1.contract.cancellation.scheduled" => (name, "subscription.cancel_scheduled"),
                name @ "v1.contract.cancellation.completed" => (name, "subscription.canceled"),
                name @ "v1.payment.started" => (name, "payment.created"),
                name @ "v1.payment.failed" => (name, "payment.failed"),
                name @ "v1.payment.succeeded" => (name, "payment.succeeded"),
                other => panic!("{other}: no type is expected of it"),
            };
            let draft = normalize(Some(name), body).unwrap();
            assert_eq!((draft.provider_event_type.as_str(), draft.kind.as_str()), (name, expected));
            assert!(draft.warnings.is_empty(), "{name}: {:?}", draft.warnings);
        }
    }

    #[test]
    fn any_body_gives_drafts_or_is_invalid() {
        let body = json!({ "id": "Cust_1", "timestamp": "2026-05-01T00:00:00Z" });
        let named = json!({ "type": "v1.payment.failed", "data": { "id": "Cust_1" } });
        let paths = CATALOGUE.iter().map(|entry| Sample::named(entry.name, body.clone()));
        let others =
            [Sample::named("x", body.clone()), Sample::named("x", named.clone()), Sample::new(named)];
        let samples: Vec<_> = paths.chain(others).collect();
        testing::any_body_gives_drafts_or_is_invalid(&Wingback, &samples);
    }
}
