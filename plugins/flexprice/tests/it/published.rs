//! The bodies that Flexprice published, where `BILLHOOK_PROVIDERS_DIR` says they are.

use crate::objects::{normalize, one, seed};
use billhook_plugin::testing;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[test]
fn every_row_of_the_published_map_has_its_type() {
    let Some(providers) = std::env::var_os("BILLHOOK_PROVIDERS_DIR").map(PathBuf::from) else {
        println!("skipped: BILLHOOK_PROVIDERS_DIR is not set");
        return;
    };
    let map = std::fs::read_to_string(providers.join("event_map.tsv")).unwrap();
    let (mut documented, mut code) = (0, 0);
    for row in map.lines().map(|line| line.split('\t').collect::<Vec<_>>()) {
        let (name, expected) = (row[1], row[2]);
        // An object without a state: a name that covers several facts then has the type of its row.
        let body = match row[0] {
            "flexprice (seed format)" => {
                documented += 1;
                seed(name, "object", &json!({ "id": "x" }))
            }
            "flexprice (real code / cloud)" => {
                code += 1;
                json!({ "event_type": name })
            }
            _ => continue,
        };
        assert_eq!(one(&body).kind, expected, "{name}");
    }
    assert_eq!((documented, code), (31, 62));
}

#[test]
fn published_bodies_have_the_type_that_the_map_gives() {
    let Some(providers) = std::env::var_os("BILLHOOK_PROVIDERS_DIR").map(PathBuf::from) else {
        println!("skipped: BILLHOOK_PROVIDERS_DIR is not set");
        return;
    };
    let map = std::fs::read_to_string(providers.join("event_map.tsv")).unwrap();
    let rows = map.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let types: BTreeMap<&str, &str> =
        rows.filter(|row| row[0].starts_with("flexprice")).map(|row| (row[1], row[2])).collect();
    for (name, kind) in &types {
        let known = flexprice::catalogue::CATALOGUE.iter().find(|(known, _)| known == name);
        assert_eq!(known.map(|(_, kind)| kind), Some(kind), "{name}");
    }
    for (file, text) in testing::published("flexprice") {
        let body: Value = serde_json::from_str(&text).unwrap();
        let name = body["event_type"].as_str().or(body["webhook_type"].as_str()).unwrap();
        let kind = match (name, &file) {
            (_, file) if file.contains("cancel_scheduled") => "subscription.cancel_scheduled",
            // Its payment_status is SUCCEEDED.
            ("invoice.payment_status_updated", _) => "invoice.paid",
            (name, _) => types[name],
        };
        let expected = match name {
            // Of money that is given back.
            "credit_note.created" => vec![kind, "refund.created"],
            _ => vec![kind],
        };
        let drafts = normalize(&text).unwrap();
        let kinds: Vec<_> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
        assert_eq!(kinds, expected, "{file}");
        assert_eq!(drafts[0].warnings, [""; 0], "{file}");
    }
}
