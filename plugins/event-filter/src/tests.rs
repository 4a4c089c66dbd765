//! Rules against events.

use crate::{CONFIG_SCHEMA, Config, EventFilter};
use billhook_plugin::model::kind::KINDS;
use billhook_plugin::{Event, Failure, Filter, Plugin, Verdict};
use serde_json::{Value, json};

/// A filter with this configuration; what is wrong with it, as the gateway would say it.
fn filter(config: &Value) -> Result<EventFilter, String> {
    let config: Config = serde_json::from_str(&config.to_string()).map_err(|error| error.to_string())?;
    EventFilter::new(config).map_err(|failure| match failure {
        Failure::Invalid(why) => why,
        other => panic!("{other}"),
    })
}

/// Why an event is dropped; `None` if it is kept.
fn dropped(config: &Value, event: &Value) -> Option<String> {
    let event = Event::from_json(&event.to_string()).unwrap();
    match filter(config).unwrap().filter(&event).unwrap() {
        Verdict::Keep => None,
        Verdict::Drop(why) => Some(why),
    }
}

fn paid() -> Value {
    json!({
        "type": "invoice.paid", "provider": "acme", "provider_event_type": "bill:settled", "livemode": true,
        "customer": { "country": "DE", "name": "a/b" },
        "invoice": { "id": "inv_1", "total": { "amount_minor": 4990, "currency": "EUR", "exponent": 2, "original": "49.90" } },
        "metadata": { "seats": "12", "beta": "true", "a/b": "slash" },
    })
}

#[test]
fn a_rule_matches_what_fits_all_that_it_says() {
    let cases = [
        (json!({}), true),
        (json!({ "types": [] }), true),
        (json!({ "types": ["*"] }), true),
        (json!({ "types": ["invoice.*"] }), true),
        (json!({ "types": ["invoice.paid"] }), true),
        (json!({ "types": ["payment.*", "invoice.paid"] }), true),
        (json!({ "types": ["acme/bill:settled"] }), true),
        (json!({ "types": ["acme/bill"] }), false),
        (json!({ "types": ["other/bill:settled"] }), false),
        (json!({ "types": ["payment.*"] }), false),
        (json!({ "types": ["provider.*"] }), false),
        (json!({ "providers": ["acme"] }), true),
        (json!({ "providers": ["globex", "acme"] }), true),
        (json!({ "providers": ["globex"] }), false),
        (json!({ "livemode": true }), true),
        (json!({ "livemode": false }), false),
        (json!({ "types": ["invoice.*"], "providers": ["acme"], "livemode": true }), true),
        (json!({ "types": ["invoice.*"], "providers": ["acme"], "livemode": false }), false),
        (
            json!({ "types": ["invoice.*"], "where": [{ "pointer": "/customer/country", "equals": "FR" }] }),
            false,
        ),
    ];
    for (rule, matches) in cases {
        assert_eq!(dropped(&json!({ "drop": [rule] }), &paid()).is_some(), matches, "{rule}");
    }
    let unmapped = json!({ "type": "provider.unmapped" });
    assert_eq!(dropped(&json!({ "drop": [{ "types": ["*"] }] }), &unmapped), None, "as for endpoints");
    assert!(dropped(&json!({ "drop": [{ "types": ["provider.*"] }] }), &unmapped).is_some());
    for livemode in [true, false] {
        let config = json!({ "drop": [{ "livemode": livemode }] });
        assert_eq!(dropped(&config, &unmapped), None, "its provider does not tell");
    }
}

#[test]
fn a_condition_compares_a_field() {
    let total = "/invoice/total/amount_minor";
    let original = "/invoice/total/original";
    let cases = [
        (json!({ "pointer": "/customer/country", "equals": "DE" }), true),
        (json!({ "pointer": "/customer/country", "equals": "de" }), false),
        (json!({ "pointer": "/customer/country", "one_of": ["FR", "DE"] }), true),
        (json!({ "pointer": "/customer/country", "one_of": ["FR"] }), false),
        (json!({ "pointer": "/livemode", "equals": true }), true),
        (json!({ "pointer": "/livemode", "equals": "true" }), false),
        (json!({ "pointer": "/metadata/beta", "equals": true }), false),
        (json!({ "pointer": "/metadata/beta", "equals": "true" }), true),
        (json!({ "pointer": "/metadata/seats", "equals": 12 }), true),
        (json!({ "pointer": "/metadata/seats", "equals": 12.0 }), true),
        (json!({ "pointer": "/metadata/seats", "one_of": ["x", 12] }), true),
        (json!({ "pointer": "/metadata/a~1b", "equals": "slash" }), true),
        (json!({ "pointer": total, "equals": 4990 }), true),
        (json!({ "pointer": total, "equals": "4990" }), false),
        (json!({ "pointer": total, "less": 4991 }), true),
        (json!({ "pointer": total, "less": 4990 }), false),
        (json!({ "pointer": total, "greater": 4989.5 }), true),
        (json!({ "pointer": total, "greater": 4990 }), false),
        (json!({ "pointer": total, "greater": 4000, "less": 5000 }), true),
        (json!({ "pointer": total, "greater": 4000, "less": 4500 }), false),
        (json!({ "pointer": original, "less": "49.900000000000000000001" }), true),
        (json!({ "pointer": original, "greater": "49.899999999999999999999" }), true),
        (json!({ "pointer": original, "greater": "-1" }), true),
        (json!({ "pointer": "/customer/country", "less": 5 }), false),
        (json!({ "pointer": "/customer/country", "greater": -5 }), false),
        (json!({ "pointer": "/invoice", "exists": true }), true),
        (json!({ "pointer": "/invoice", "exists": false }), false),
        (json!({ "pointer": "/invoice", "equals": "inv_1" }), false),
        (json!({ "pointer": "/payment", "exists": true }), false),
        (json!({ "pointer": "/payment", "exists": false }), true),
        (json!({ "pointer": "/payment/amount/amount_minor", "less": 5 }), false),
        (json!({ "pointer": "/retention", "exists": true }), false),
        (json!({ "pointer": "/retention", "exists": false }), true),
        (json!({ "pointer": "/customer/country", "exists": true, "one_of": ["DE"] }), true),
    ];
    for (condition, holds) in cases {
        let config = json!({ "drop": [{ "where": [condition] }] });
        assert_eq!(dropped(&config, &paid()).is_some(), holds, "{condition}");
    }
    let both = |country: &str| {
        json!({ "drop": [{ "where": [
            { "pointer": "/customer/country", "equals": country }, { "pointer": "/livemode", "equals": true },
        ] }] })
    };
    assert!(dropped(&both("DE"), &paid()).is_some());
    assert!(dropped(&both("FR"), &paid()).is_none());
}

#[test]
fn the_first_rule_that_matches_decides_and_keep_comes_first() {
    let config = json!({
        "keep": [{ "types": ["payment.failed"] }, { "types": ["invoice.paid"], "livemode": true }],
        "drop": [
            { "name": "other people's tests", "livemode": false, "providers": ["globex"] },
            { "livemode": false },
            { "types": ["invoice.*"] },
        ],
    });
    let cases = [
        (json!({ "type": "payment.failed", "livemode": false }), None),
        (json!({ "type": "invoice.paid", "livemode": true }), None),
        (json!({ "type": "invoice.paid" }), Some("rule drop[2] matches")),
        (json!({ "type": "invoice.paid", "livemode": false }), Some("rule drop[1] matches")),
        (
            json!({ "type": "invoice.paid", "livemode": false, "provider": "globex" }),
            Some("rule `other people's tests` (drop[0]) matches"),
        ),
        (json!({ "type": "customer.created" }), None),
    ];
    for (event, expected) in cases {
        assert_eq!(dropped(&config, &event).as_deref(), expected, "{event}");
    }
    assert_eq!(dropped(&json!({}), &paid()), None, "without rules everything is kept");
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_key() {
    let rule = |rule: Value| json!({ "drop": [{}, rule] });
    let condition = |condition: Value| json!({ "keep": [{ "where": [condition] }] });
    let cases = [
        (json!({ "dorp": [] }), "unknown field `dorp`"),
        (rule(json!({ "type": ["invoice.*"] })), "unknown field `type`"),
        (
            rule(json!({ "types": ["invoice.payed"] })),
            "config: `drop[1].types[0]`: `invoice.payed` matches no event",
        ),
        (rule(json!({ "types": ["*", "inv.*"] })), "config: `drop[1].types[1]`: `inv.*` matches no event"),
        (rule(json!({ "types": ["acme/"] })), "`acme/` matches no event"),
        (
            rule(json!({ "types": ["acme/bill:*"] })),
            "`drop[1].types[0]`: `acme/bill:*` matches no event: `*` stands for no",
        ),
        (rule(json!({ "types": "*" })), "invalid type: string"),
        (
            rule(json!({ "providers": ["acme", "Windback"] })),
            "config: `drop[1].providers[1]`: `Windback` is no provider's name",
        ),
        (rule(json!({ "providers": [""] })), "`` is no provider's name"),
        (rule(json!({ "livemode": "yes" })), "expected a boolean"),
        (
            condition(json!({ "pointer": "customer", "exists": true })),
            "config: `keep[0].where[0]`: `customer` is not",
        ),
        (condition(json!({ "pointer": "/a~b", "exists": true })), "`/a~b` is not a JSON pointer"),
        (condition(json!({ "pointer": "", "exists": true })), "is not a JSON pointer"),
        (condition(json!({ "exists": true })), "missing field `pointer`"),
        (condition(json!({ "pointer": "/a" })), "says nothing of the field"),
        (condition(json!({ "pointer": "/a", "one_of": [] })), "`one_of` is empty"),
        (condition(json!({ "pointer": "/a", "equal": 1 })), "unknown field `equal`"),
        (condition(json!({ "pointer": "/a", "one_of": [null] })), "`null` is neither a string"),
        (condition(json!({ "pointer": "/a", "equals": [1] })), "`[1]` is neither a string"),
        (condition(json!({ "pointer": "/a", "less": "much" })), "`much` is not a decimal number"),
        (condition(json!({ "pointer": "/a", "less": true })), "`true` is not a decimal number"),
    ];
    for (config, expected) in cases {
        let refused = filter(&config).unwrap_err();
        assert!(refused.contains(expected), "{config}: {refused}");
    }
}

#[test]
fn the_schema_knows_every_type_and_family() {
    let schema: Value = serde_json::from_str(CONFIG_SCHEMA).unwrap();
    let known = schema["$defs"]["Pattern"]["else"]["enum"].as_array().unwrap();
    for kind in KINDS {
        let family = format!("{}.*", kind.split('.').next().unwrap());
        assert!(known.contains(&json!(kind)) && known.contains(&json!(family)), "{kind}");
    }
}

#[test]
fn every_kind_of_value_is_compared_without_a_panic() {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("99999999999999999999999999999999"),
        json!([]),
        json!([[{}]]),
        json!({}),
        json!({ "x": { "y": 1 } }),
    ];
    let literals = [json!(0), json!("x"), json!(false), json!("0.000000000000000000000000001")];
    for value in &values {
        let event = json!({ "type": "invoice.paid", "previous": { "x": value } });
        for pointer in ["/previous/x", "/previous/x/0", "/previous/x/x/y", "/previous/-", "/", "//"] {
            for literal in &literals {
                let mut condition =
                    json!({ "pointer": pointer, "equals": literal, "one_of": [literal], "exists": true });
                if !literal.is_boolean() && literal != "x" {
                    condition["less"] = literal.clone();
                    condition["greater"] = literal.clone();
                }
                dropped(&json!({ "drop": [{ "where": [condition] }] }), &event);
            }
        }
    }
}
