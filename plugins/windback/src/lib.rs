//! Reads Windback's custom webhook in its published shapes, and Windback's own churn-risk webhook.
//!
//! A body is one event or an array of them. [`shape`] tells the shapes apart, [`read`] makes the draft.

mod read;
mod shape;

use billhook_plugin::{Draft, Failure, Json, NoConfig, Normalize, Plugin, Webhook};

/// The most events that one body may hold.
const BATCH_MAX: usize = 500;

/// The plugin.
#[derive(Debug)]
pub struct Windback;

impl Plugin for Windback {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Windback, Failure> {
        Ok(Windback)
    }
}

impl Normalize for Windback {
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
        let body = webhook.json()?;
        match body.items() {
            Some(items) => batch(&items),
            None => one(body).map(|draft| vec![draft]).map_err(Failure::Invalid),
        }
    }
}

billhook_plugin::plugin! {
    Windback: Normalize;
    manifest = "plugin.toml";
}

fn one(json: Json<'_>) -> Result<Draft, String> {
    let Some(fields) = json.fields() else {
        return Err(format!("an event is a JSON object, and this is {}", json.kind()));
    };
    read::draft(&fields)
}

/// The drafts of an array. An item that cannot be read stays in its place as `provider.unmapped`, so that it does not
/// cost the others; if none can be read the whole is invalid.
fn batch(items: &[Json<'_>]) -> Result<Vec<Draft>, Failure> {
    if items.is_empty() || items.len() > BATCH_MAX {
        return Err(Failure::Invalid(format!(
            "a batch has 1 to {BATCH_MAX} events, and this one has {}",
            items.len()
        )));
    }
    let read: Vec<_> = items.iter().map(|item| one(*item)).collect();
    if let Some(Err(first)) = read.iter().find(|item| item.is_err())
        && read.iter().all(Result::is_err)
    {
        return Err(Failure::Invalid(format!("no event of the batch can be read; the first: {first}")));
    }
    let unreadable = |why: String, item: &Json<'_>| {
        let name = item.fields().and_then(|fields| fields.text("event_type"));
        read::unmapped(name.unwrap_or_else(|| "unreadable".to_owned()), why)
    };
    Ok(read
        .into_iter()
        .zip(items)
        .map(|(draft, item)| draft.unwrap_or_else(|why| unreadable(why, item)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::{BATCH_MAX, MANIFEST, Windback, shape::NAMES};
    use billhook_plugin::model::{CancellationKind, Initiator, Phase, kind};
    use billhook_plugin::testing::{self, Sample};
    use billhook_plugin::{Draft, Failure, Normalize, Time, Webhook};
    use serde_json::{Value, json};

    fn normalize(body: impl AsRef<[u8]>) -> Result<Vec<Draft>, Failure> {
        Windback.normalize(&Webhook::new("shop", "windback").with_body(body))
    }

    fn only(body: &Value) -> Draft {
        let mut drafts = normalize(body.to_string()).unwrap_or_else(|failure| panic!("{body}: {failure}"));
        assert_eq!(drafts.len(), 1);
        drafts.remove(0)
    }

    fn invalid(body: impl AsRef<[u8]>) -> String {
        match normalize(&body) {
            Err(Failure::Invalid(why)) => why,
            other => panic!("{}: {other:?}", String::from_utf8_lossy(body.as_ref())),
        }
    }

    #[test]
    fn every_event_of_the_catalogue_is_read() {
        let about =
            |event_type: &str| json!({ "customer_email": "ada@example.com", "event_type": event_type });
        let rows = [
            (about("cancellation"), "cancellation", "subscription.canceled"),
            (about("Cancellation"), "Cancellation", "subscription.canceled"),
            (about("payment_failed"), "payment_failed", "payment.failed"),
            (about("payment_recovered"), "payment_recovered", "payment.recovered"),
            (
                json!({"customer_email":"ada@example.com","mrr_cents":1}),
                "cancellation",
                "subscription.canceled",
            ),
            (
                json!({"customer_email":"ada@example.com","mrr_cents":1,"event_type":""}),
                "cancellation",
                "subscription.canceled",
            ),
            (
                json!({"customer_id":"u_1","risk_score":40,"event_type":" "}),
                "churn_risk",
                "customer.risk_changed",
            ),
            (about("subscription.canceled"), "subscription.canceled", "subscription.canceled"),
            (json!({"customer_id":"u_1","risk_score":40}), "churn_risk", "customer.risk_changed"),
            (about("churn_risk"), "churn_risk", "customer.risk_changed"),
            (
                json!({"event":"churn_risk.alert","customer_email":"ada@example.com"}),
                "churn_risk.alert",
                "customer.risk_changed",
            ),
            (about("refund_asked"), "refund_asked", "provider.unmapped"),
            (json!({"event_type":"refund_asked"}), "refund_asked", "provider.unmapped"),
        ];
        for (body, name, kind) in rows {
            let draft = only(&body);
            assert_eq!((draft.provider_event_type.as_str(), draft.kind.as_str()), (name, kind), "{body}");
            assert!(draft.warnings.is_empty(), "{body}: {:?}", draft.warnings);
        }
    }

    #[test]
    fn a_cancellation_of_the_published_shape_is_read_whole() {
        let draft = only(&json!({
            "customer_email": "ada@example.com", "customer_name": "Ada", "event_type": "cancellation",
            "cancel_reason": "Pricey for two people", "mrr": 1999, "currency": "eur", "provider": "lemonsqueezy",
            "plan_name": "Duo", "tenure_days": 41,
        }));
        let customer = draft.customer.unwrap();
        assert_eq!(customer.email.as_deref(), Some("ada@example.com"));
        assert_eq!(customer.name.as_deref(), Some("Ada"));
        assert_eq!(draft.origin_provider.as_deref(), Some("lemonsqueezy"));
        let subscription = draft.subscription.unwrap();
        let mrr = subscription.mrr.unwrap();
        assert_eq!((mrr.amount_minor, mrr.currency.as_str(), mrr.exponent), (1999, "EUR", 2));
        assert_eq!(subscription.mrr_source.as_deref(), Some("provider"));
        assert_eq!(subscription.plan.unwrap().name.as_deref(), Some("Duo"));
        assert_eq!(subscription.tenure_days, Some(41));
        assert_eq!(subscription.status.as_deref(), Some("canceled"));
        let cancellation = draft.cancellation.unwrap();
        assert_eq!(cancellation.kind, CancellationKind::Voluntary);
        assert_eq!(cancellation.initiator, Initiator::Customer);
        assert_eq!(cancellation.phase, Phase::Effective);
        assert_eq!(cancellation.provider_reason.as_deref(), Some("Pricey for two people"));
        assert_eq!(cancellation.provider_reason_field.as_deref(), Some("cancel_reason"));
        assert_eq!(cancellation.reason_code, None);
    }

    #[test]
    fn the_shape_of_2026_names_no_event_and_has_ids() {
        let draft = only(&json!({
            "customer_email": "bob@example.com", "provider_subscription_id": "sub_9", "provider_customer_id": "cus_9",
            "mrr_cents": 12000, "cancel_reason": "switching_competitor",
        }));
        let subscription = draft.subscription.unwrap();
        assert_eq!(subscription.id.as_deref(), Some("sub_9"));
        assert_eq!(subscription.mrr.unwrap().original, "12000");
        let customer = draft.customer.unwrap();
        assert_eq!((customer.id.as_deref(), customer.name.as_deref()), (Some("cus_9"), Some("bob")));
        let cancellation = draft.cancellation.unwrap();
        assert_eq!(cancellation.reason_code.as_deref(), Some("switched_service"));
        assert_eq!(cancellation.reason_group.as_deref(), Some("competitor"));
    }

    #[test]
    fn the_shape_of_the_marketing_page_has_reason_metadata_and_a_time() {
        let draft = only(&json!({
            "event_type": "subscription.canceled", "customer_id": "cus_3", "customer_email": "eve@example.com",
            "mrr": 900, "reason": "Too many bugs", "canceled_at": "2026-03-01T08:00:00+01:00",
            "metadata": {"subscription_id": "sub_3", "provider": "dodo", "seats": 3, "trial": false, "nested": {}},
        }));
        let at = Time::parse("2026-03-01T07:00:00Z");
        assert_eq!(draft.occurred_at, at);
        assert_eq!(draft.origin_provider.as_deref(), Some("dodo"));
        assert_eq!(draft.metadata["seats"], "3");
        assert_eq!(draft.metadata["trial"], "false");
        assert!(!draft.metadata.contains_key("nested"));
        let subscription = draft.subscription.unwrap();
        assert_eq!((subscription.id.as_deref(), subscription.canceled_at), (Some("sub_3"), at));
        assert_eq!(draft.customer.unwrap().id.as_deref(), Some("cus_3"));
        let cancellation = draft.cancellation.unwrap();
        assert_eq!(cancellation.provider_reason.as_deref(), Some("Too many bugs"));
        assert_eq!(cancellation.provider_reason_field.as_deref(), Some("reason"));
        assert_eq!(cancellation.effective_at, at);
    }

    #[test]
    fn failed_and_recovered_payments_carry_no_cancellation() {
        for (name, status) in [("payment_failed", "failed"), ("payment_recovered", "succeeded")] {
            let draft = only(
                &json!({"customer_email": "a@b.c", "event_type": name, "mrr": 500, "cancel_reason": "x"}),
            );
            assert_eq!(draft.payment.unwrap().status.as_deref(), Some(status));
            assert_eq!(draft.subscription.unwrap().mrr.unwrap().currency, "USD");
            assert!(draft.cancellation.is_none());
        }
    }

    #[test]
    fn a_risk_has_score_level_and_signals() {
        let draft = only(&json!({
            "customer_id": "u_5", "customer_name": "Kim", "risk_score": 71, "risk_level": "high", "subject": "Hello?",
            "signals": [{"name": "quiet", "description": "no login for a week"}, {"name": "export"}, 7, {}],
            "timestamp": "2026-05-01T00:00:00Z",
        }));
        let risk = draft.risk.unwrap();
        assert_eq!((risk.quantity.as_deref(), risk.status.as_deref()), (Some("71"), Some("high")));
        assert_eq!(risk.message.as_deref(), Some("quiet: no login for a week; export"));
        assert_eq!(draft.occurred_at, Time::parse("2026-05-01"));
        assert_eq!(draft.customer.unwrap().id.as_deref(), Some("u_5"));
    }

    #[test]
    fn an_alert_has_an_id_a_project_and_the_time_it_was_triggered() {
        let draft = only(&json!({
            "event": "churn_risk.alert", "project_id": "proj_abc123", "customer_email": "jane@example.com",
            "risk_score": 82, "risk_level": "critical", "signals": [{"name": "login_drop", "weight": 0.4}],
            "triggered_at": "2026-03-12T10:00:00Z", "opaque_id": "alert_1",
        }));
        assert_eq!(draft.provider_event_type, "churn_risk.alert");
        assert_eq!(draft.provider_event_id.as_deref(), Some("alert_1"));
        assert_eq!(draft.provider_account_id.as_deref(), Some("proj_abc123"));
        assert_eq!(draft.occurred_at, Time::parse("2026-03-12T10:00:00Z"));
        let risk = draft.risk.unwrap();
        assert_eq!((risk.quantity.as_deref(), risk.message.as_deref()), (Some("82"), Some("login_drop")));
        assert!(draft.warnings.is_empty(), "{:?}", draft.warnings);
    }

    #[test]
    fn codes_of_the_list_become_canonical_and_the_rest_stays_text() {
        let cases = [
            (json!("too_expensive"), Some("too_expensive"), Some("price"), None),
            (json!("missing_features"), Some("missing_features"), Some("product"), None),
            (json!("Technical_Issues: sync"), Some("low_quality"), Some("product"), Some("sync")),
            (json!("not_using_enough"), Some("unused"), Some("usage"), None),
            (json!("dont_need_anymore"), Some("no_longer_needed"), Some("usage"), None),
            (json!("switching_competitor"), Some("switched_service"), Some("competitor"), None),
            (json!("poor_support"), Some("customer_service"), Some("service"), None),
            (json!(" other : moved abroad "), Some("other"), Some("other"), Some("moved abroad")),
            (json!("Note: see mail"), None, None, None),
            (json!("zu teuer"), None, None, None),
            (json!(""), Some("unspecified"), Some("other"), None),
            (Value::Null, Some("unspecified"), Some("other"), None),
        ];
        for (reason, code, group, comment) in cases {
            let body =
                json!({"customer_email": "a@b.c", "event_type": "cancellation", "cancel_reason": reason});
            let cancellation = only(&body).cancellation.unwrap();
            assert_eq!(cancellation.reason_code.as_deref(), code, "{reason}");
            assert_eq!(cancellation.reason_group.as_deref(), group, "{reason}");
            assert_eq!(cancellation.comment.as_deref(), comment, "{reason}");
            let verbatim = reason.as_str().filter(|text| !text.is_empty());
            assert_eq!(cancellation.provider_reason.as_deref(), verbatim, "{reason}");
        }
    }

    #[test]
    fn money_is_whole_cents_and_exact() {
        let cases = [
            (r#""mrr":9007199254740993"#, Some(9_007_199_254_740_993), None),
            (r#""mrr":9223372036854775807"#, Some(i64::MAX), None),
            (r#""mrr":9223372036854775808"#, None, Some("not a whole number of cents")),
            (r#""mrr":"4999""#, Some(4999), None),
            (r#""mrr":49.99"#, None, Some("`mrr` is 49.99")),
            (r#""mrr":null,"mrr_cents":7"#, Some(7), None),
            (r#""mrr":0"#, Some(0), None),
            (r#""mrr":1,"mrr":2"#, Some(2), None),
            (r#""mrr":{}"#, None, Some("`mrr` is {}")),
            (r#""mrr":1,"currency":"dollars""#, None, Some("`currency` is `dollars`")),
            (r#""currency":"usd""#, None, None),
        ];
        for (members, amount, warning) in cases {
            let body = format!(r#"{{"customer_email":"a@b.c","event_type":"cancellation",{members}}}"#);
            let draft = normalize(&body).unwrap().remove(0);
            let mrr = draft.subscription.and_then(|subscription| subscription.mrr);
            assert_eq!(mrr.map(|mrr| mrr.amount_minor), amount, "{members}");
            match warning {
                None => assert!(draft.warnings.is_empty(), "{members}: {:?}", draft.warnings),
                Some(warning) => {
                    assert!(draft.warnings[0].contains(warning), "{members}: {:?}", draft.warnings)
                }
            }
        }
    }

    #[test]
    fn odd_fields_are_told_and_do_not_lose_the_event() {
        let cases = [
            (json!({"tenure_days": -3}), "`tenure_days` is -3, not a number of days"),
            (
                json!({"cancel_reason": ["too_expensive"]}),
                "`cancel_reason` is [\"too_expensive\"], not a text",
            ),
            (json!({"cancel_reason": "x", "reason": {}}), "`reason` is {}, not a text"),
            (json!({"canceled_at": "soon"}), "`canceled_at` is \"soon\", not a time"),
            (
                json!({"event_type": "churn_risk", "triggered_at": {}, "timestamp": "2026-05-01"}),
                "`triggered_at` is {}, not a time",
            ),
        ];
        for (odd, warning) in cases {
            let mut body = json!({"customer_email": "a@b.c", "event_type": "cancellation"});
            body.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
            assert_eq!(only(&body).warnings, [warning], "{odd}");
        }
        let spaced = only(&json!({"customer_email": " a@b.c\n", "event_type": "cancellation"}));
        assert_eq!(spaced.customer.unwrap().email.as_deref(), Some("a@b.c"));
        let draft = only(
            &json!({"customer_email": "@", "event_type": "cancellation", "plan_name": 7, "provider": []}),
        );
        assert_eq!(draft.customer.unwrap().name, None);
    }

    #[test]
    fn what_lacks_a_required_field_is_refused_by_name() {
        let cases = [
            (
                r#"{"customer_name":"X","mrr":1}"#,
                "required and missing, empty or not text: `customer_email`, `event_type`",
            ),
            (r#"{"customer_email":"a@b.c"}"#, "text: `event_type`"),
            (r#"{"customer_email":"a@b.c","event_type":""}"#, "text: `event_type`"),
            (r#"{"event_type":"cancellation"}"#, "text: `customer_email`"),
            (r#"{"customer_email":" ","event_type":"payment_failed"}"#, "text: `customer_email`"),
            (
                r#"{"customer_email":{},"event_type":"payment_failed"}"#,
                "missing, empty or not text: `customer_email`",
            ),
            (r#"{"mrr_cents":5}"#, "text: `customer_email`"),
            (r#"{"customer_email":"a@b.c","mrr_cents":5,"event_type":[]}"#, "not text: `event_type`"),
            (r#"{"customer_id":"u_1","risk_score":5,"event_type":{}}"#, "`event_type`"),
            (r#"{"risk_score":5}"#, "text: `customer_id` or `customer_email`"),
            ("[]", "a batch has 1 to 500 events, and this one has 0"),
            (r#"[{"mrr":1},7]"#, "no event of the batch can be read; the first: required and missing"),
            ("7", "an event is a JSON object, and this is a number"),
            ("", "the body is not JSON"),
            ("email=a", "the body is not JSON"),
        ];
        for (body, message) in cases {
            let why = invalid(body);
            assert!(why.contains(message), "{body}: {why}");
        }
        assert!(invalid(format!("[{}1]", "1,".repeat(BATCH_MAX))).contains("501"));
        assert!(invalid([b'"', 0xff, b'"']).contains("not JSON"));
    }

    #[test]
    fn a_batch_keeps_its_order_and_one_bad_item_costs_no_other() {
        let drafts = normalize(
            r#"[{"customer_email":"a@b.c","event_type":"cancellation"},
                {"event_type":"payment_failed"}, 7,
                {"customer_email":"d@e.f","event_type":"payment_recovered"}]"#,
        )
        .unwrap();
        let kinds: Vec<_> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
        assert_eq!(
            kinds,
            ["subscription.canceled", "provider.unmapped", "provider.unmapped", "payment.recovered"]
        );
        assert_eq!(drafts[1].provider_event_type, "payment_failed");
        assert!(drafts[1].warnings[0].contains("text: `customer_email`"));
        assert!(drafts[2].warnings[0].contains("this is a number"));
    }

    #[test]
    fn a_whole_batch_of_usual_events_is_read_though_not_all_of_their_metadata_fits() {
        let metadata: serde_json::Map<String, Value> = (0..20)
            .map(|n| {
                (
                    format!("custom_field_{n}"),
                    json!(format!("what a form asks the customer in its field {n}")),
                )
            })
            .collect();
        let event = |n: usize| {
            json!({
                "event_type": "subscription.canceled", "customer_id": format!("cus_{n}"), "mrr": 900,
                "customer_email": "eve@example.com", "reason": "Too many bugs", "canceled_at": "2026-03-01T08:00:00Z",
                "metadata": metadata,
            })
        };
        let batch: Value = (0..BATCH_MAX).map(event).collect();
        let drafts = testing::sent(normalize(batch.to_string()).unwrap()).unwrap();
        assert_eq!(drafts.len(), BATCH_MAX);
        for (n, draft) in drafts.iter().enumerate() {
            assert_eq!(draft.customer.as_ref().unwrap().id, Some(format!("cus_{n}")));
            let reason = &draft.cancellation.as_ref().unwrap().provider_reason;
            assert_eq!(reason.as_deref(), Some("Too many bugs"));
            assert!(draft.warnings[0].contains("`metadata` are left out"), "{:?}", draft.warnings);
            assert!(draft.metadata.is_empty());
        }
    }

    #[test]
    fn every_event_of_the_manifest_has_an_example_that_is_read_as_it_says() {
        testing::examples::<Windback>(MANIFEST);
    }

    #[test]
    fn the_manifest_lists_the_catalogue() {
        let manifest: toml::Table = MANIFEST.parse().unwrap();
        let provider = &manifest["provider"][0];
        let dedupe: Vec<_> =
            provider["dedupe"].as_array().unwrap().iter().map(|place| place.as_str()).collect();
        assert_eq!(dedupe, [Some("body")], "a custom webhook may bear its customer's `opaque_id`");
        let events = provider["event"].as_array().unwrap();
        let mut listed: Vec<_> =
            events.iter().map(|e| (e["name"].as_str().unwrap(), e["type"].as_str().unwrap())).collect();
        let mut known: Vec<_> = NAMES.iter().map(|(name, kind, _)| (*name, *kind)).collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
        assert!(known.iter().all(|(_, kind)| kind::is_known(kind)));
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
            if !row[0].starts_with("windback") {
                continue;
            }
            let mut body = json!({ "customer_email": "ada@example.com" });
            // A name in brackets tells of a body that names no event.
            match row[1] {
                "(2026-02 docs body without event_type)" => body["mrr_cents"] = json!(4900),
                "(churn-risk webhook)" => body["risk_score"] = json!(80),
                name => body["event_type"] = json!(name.trim_start_matches("(marketing page) ")),
            }
            assert_eq!(only(&body).kind, row[2], "{}", row[1]);
            rows += 1;
        }
        assert_eq!(rows, 6);
    }

    #[test]
    fn published_bodies_are_read() {
        for (name, body) in testing::published("windback") {
            let expected = match name.as_str() {
                "cancellation.seed" | "custom.docs-2026" => "subscription.canceled",
                "churn-risk.outbound" => "customer.risk_changed",
                "derived.payment_failed" => "payment.failed",
                "derived.payment_recovered" => "payment.recovered",
                "derived.missing_required" => {
                    invalid(body);
                    continue;
                }
                // Of the plugin that reads reasons.
                "reason-vectors" => continue,
                other => panic!("{other}: no type is expected of it"),
            };
            let drafts = normalize(body).unwrap();
            let kinds: Vec<_> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
            assert_eq!(kinds, [expected], "{name}");
            assert_eq!(drafts[0].warnings, [""; 0], "{name}");
        }
    }

    #[test]
    fn any_body_gives_drafts_or_is_invalid() {
        let event = |event_type: &str| {
            json!({
                "customer_email": "ada@example.com", "customer_name": "Ada", "event_type": event_type,
                "cancel_reason": "poor_support: nobody answers", "reason": "other", "cancel_reason_text": "x",
                "mrr": 1999, "mrr_cents": "1999", "currency": "eur", "provider": "dodo", "plan_name": "Duo",
                "tenure_days": 41, "provider_customer_id": "cus_9", "provider_subscription_id": "sub_9",
                "canceled_at": "2026-03-01T08:00:00+01:00", "timestamp": "2026-05-01T00:00:00Z",
                "triggered_at": "2026-05-01T00:00:00Z", "opaque_id": "alert_1", "project_id": "proj_1",
                "risk_score": 71, "risk_level": "high",
                "signals": [{ "name": "quiet", "description": "no login" }, { "name": "export" }],
                "metadata": { "subscription_id": "sub_3", "provider": "dodo", "seats": 3, "trial": false },
            })
        };
        let of_2026 = json!({ "customer_email": "bob@example.com", "mrr_cents": 12000 });
        let batch = json!([event("cancellation"), event("payment_failed"), {}]);
        let names = NAMES.iter().map(|(name, _, _)| event(name));
        let samples: Vec<_> = names.chain([of_2026, batch]).map(Sample::new).collect();
        testing::any_body_gives_drafts_or_is_invalid(&Windback, &samples);
    }
}
