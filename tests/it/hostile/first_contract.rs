//! A component that was built from the contract as it was first published.

use crate::fixtures::built;
use crate::hostile::{call, engine, said, spec, webhook};
use gateway::model::Time;
use gateway::plugins::{EventInput, Spec, Verdict};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// SHA-256 of `wit/v0.1/plugin.wit` as it was first published.
const FIRST_CONTRACT: &str = "7dcc4da60ebace7c51ae56d8adb61ed1791184305ab41408ba7b367fef380f53";

#[tokio::test]
async fn a_component_of_the_first_contract_runs_as_it_did() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let wit = fs::read(root.join("tests/fixtures/first-contract/wit/plugin.wit")).unwrap();
    assert_eq!(hex::encode(Sha256::digest(wit)), FIRST_CONTRACT, "what was published does not change");

    let plugins = engine(1);
    let plugin = plugins
        .load(Spec {
            config: json!({ "a": 1 }),
            ..spec("first", fs::read(built("first-contract")).unwrap().into())
        })
        .unwrap();
    let drafts = plugin.normalize(&call(), &webhook(r#"{"id":"in_1","amount":12.50}"#)).await.unwrap();
    assert_eq!(drafts[0].kind, "invoice.paid");
    let expected = [
        ("amount", "12.50"),
        ("body", "28"),
        ("config", r#"{"a":1}"#),
        ("id", "in_1"),
        ("now", "1786363200000"),
        ("source", "source"),
    ];
    let metadata: Vec<(&str, &str)> = drafts[0].metadata.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(metadata, expected);
    assert_eq!(
        said(&plugin).await,
        Err("invalid: no /id".to_owned()),
        "a failure is of the kind that it was"
    );

    assert_eq!(plugin.filter(&call(), &event("keep")).await, Ok(Verdict::Keep));
    assert_eq!(
        plugin.filter(&call(), &event("drop")).await,
        Ok(Verdict::Drop("drop of 2 bytes, last seen Some(5)".to_owned()))
    );
    assert!(matches!(plugin.map(&call(), &event("nothing")).await, Ok(None)));
    let patch = plugin.map(&call(), &event("note")).await.unwrap().unwrap();
    assert_eq!(patch.annotations.unwrap().get(), r#"{"type":"invoice.paid"}"#);
    assert_eq!(plugins.in_use(), Some(0));
}

pub(crate) fn event(what: &str) -> Arc<EventInput> {
    let json: Value = json!({
        "id": "evt_x", "schema_version": 1, "type": "invoice.paid", "source": "s", "provider": "p",
        "provider_event_type": "t", "received_at": "2026-08-10T12:00:00.000Z", "ordering_key": "p:s:x",
        "verified": "none", "raw": { "webhook": "whk_x", "sha256": "00", "bytes": 2 }, "metadata": { "do": what },
    });
    Arc::new(EventInput {
        event: serde_json::from_value(json.clone()).unwrap(),
        json: json.to_string().into(),
        webhook: Some(webhook("{}")),
        seen: BTreeMap::from([("invoice.paid".to_owned(), Time::from_millis(5))]),
        replayed: false,
    })
}
