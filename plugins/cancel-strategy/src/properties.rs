//! What holds for every event and every configuration: there is a choice, it is a whole one, and always the same.

use crate::reason::{CODES, ROWS};
use crate::words::phrase;
use crate::{CancelStrategy, Config, Strategy};
use billhook_plugin::model::{self, Retention};
use billhook_plugin::{Decimal, Event, Map, Number, Plugin};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::Strategy as Values;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use serde_json::{Value, json};

/// What customers say: words of the tables, whole phrases, codes, and anything.
fn text() -> impl Values<Value = String> + Clone {
    let phrases: Vec<_> = ROWS.iter().flat_map(|(_, phrases)| phrases.iter()).collect();
    let words: Vec<_> = phrases.iter().flat_map(|phrase| phrase.iter().copied().flatten().copied()).collect();
    let phrases: Vec<_> = phrases
        .iter()
        .map(|phrase| phrase.iter().map(|choices| choices[0]).collect::<Vec<_>>().join(" "))
        .collect();
    let codes: Vec<_> = CODES.iter().map(|(code, _)| *code).collect();
    let glue = ["need", "needs", "to", "not", "n't", "and", ":", ".", ",", "'", "\u{2019}", "other:", "  "];
    let piece = prop_oneof![
        6 => select([words, glue.to_vec()].concat()).prop_map(str::to_owned),
        2 => select(phrases),
        1 => select(codes).prop_map(|code| code.to_uppercase()),
        1 => any::<String>(),
    ];
    let one_code = select(CODES.map(|(code, _)| code).to_vec()).prop_map(str::to_owned);
    prop_oneof![1 => one_code, 4 => vec(piece, 0..12).prop_map(|pieces| pieces.join(" "))]
}

fn strategy() -> impl Values<Value = Strategy> + Clone {
    select(Strategy::ALL.to_vec())
}

/// Those that could be found.
fn phrases(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().filter(|text| phrase(&text.to_lowercase()).is_ok()).collect()
}

/// A configuration. One in a hundred does not hold together: its percentage is out of bounds.
fn config() -> impl Values<Value = Config> {
    let amounts = (0..=i64::MAX, 0..=i64::MAX, 0u32..=28);
    let written = (
        select(vec!["USD", "eur", "JPY"]),
        amounts,
        (any::<u32>(), any::<u32>()),
        (0..=100u8, 1..=100u8),
        btree_map(text(), strategy(), 0..4),
        btree_map(strategy(), vec(text(), 0..4).prop_map(phrases), 0..4),
        btree_map(text(), text(), 0..4),
        btree_set(strategy(), 0..=9),
    );
    let number = |amount, scale| Number::parse(&Decimal::new(amount, scale).to_string()).unwrap();
    written.prop_map(
        move |(currency, (a, b, scale), days, percent, structured, keywords, cheaper_plans, never)| Config {
            currency: currency.to_owned(),
            low_mrr: number(a.min(b), scale),
            high_mrr: number(a.max(b), scale),
            new_customer_days: days.0.min(days.1),
            long_tenure_days: days.0.max(days.1),
            discount_percent: percent.0,
            discount_percent_long_tenure: percent.1,
            structured,
            keywords,
            cheaper_plans,
            never,
            ..Config::default()
        },
    )
}

/// The JSON of an event of any type, with whatever the strategies go by, or without it.
fn event() -> impl Values<Value = Value> {
    let word = |words: &[&'static str]| select(words.to_vec());
    let kinds = word(&["subscription.cancel_scheduled", "subscription.canceled", "payment.failed"]);
    let kind = prop_oneof![4 => kinds, 1 => select(model::kind::KINDS)];
    let time = (0..=253_402_207_200_000u64).prop_map(|at| json!(model::Time::from_millis(at)));
    let cancellation = (
        word(&["voluntary", "involuntary", "unknown"]),
        option::of(text()),
        option::of(text()),
        option::of(text()),
    )
        .prop_map(|(kind, reason, comment, code)| {
            json!({
                "kind": kind, "initiator": "unknown", "phase": "effective", "provider_reason": reason,
                "comment": comment, "reason_code": code,
            })
        });
    let mrr = (any::<i64>(), word(&["USD", "EUR", "JPY"]))
        .prop_map(|(amount, currency)| json!(model::Money::from_minor(amount, currency)));
    let plan = (option::of(text()), option::of(word(&["month", "year", ""])))
        .prop_map(|(name, interval)| json!({ "name": name, "interval": interval }));
    let subscription = (
        option::of(any::<u32>()),
        option::of(time.clone()),
        option::of(time.clone()),
        option::of(word(&["trialing", "active"])),
        option::of(mrr),
        option::of(plan),
    )
        .prop_map(|(tenure, started_at, trial_end, status, mrr, plan)| {
            json!({
                "tenure_days": tenure, "started_at": started_at, "trial_end": trial_end, "status": status, "mrr": mrr,
                "plan": plan,
            })
        });
    let occurred_at = option::of(time);
    (kind, occurred_at, option::of(cancellation), option::of(subscription)).prop_map(
        |(kind, occurred_at, cancellation, subscription)| {
            json!({
                "type": kind, "occurred_at": occurred_at, "cancellation": cancellation, "subscription": subscription,
            })
        },
    )
}

/// The patch for an event, made from scratch, as JSON; `None` for events that ask for none.
fn patch(config: &Config, event: &Value) -> Option<String> {
    let event = Event::from_json(&event.to_string()).unwrap();
    let patch = CancelStrategy::new(config.clone()).unwrap().map(&event).unwrap();
    patch.map(|patch| serde_json::to_string(&patch).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_choice_is_total_and_always_the_same(config in config(), event in event()) {
        if config.discount_percent == 0 {
            prop_assert!(CancelStrategy::new(config).is_err());
            return Ok(());
        }
        let Some(text) = patch(&config, &event) else {
            let kind = event["type"].as_str().unwrap();
            prop_assert!(!["subscription.cancel_scheduled", "subscription.canceled", "payment.failed"].contains(&kind));
            return Ok(());
        };
        prop_assert_eq!(Some(text.clone()), patch(&config, &event));

        let retention: Retention = serde_json::from_str::<model::Patch>(&text).unwrap().retention.unwrap();
        if retention.kind == "dunning" {
            prop_assert!(retention.variants.is_empty() && retention.primary.is_none());
            return Ok(());
        }
        prop_assert_eq!(&retention.kind, "retention");
        let ranks: Vec<_> = retention.variants.iter().map(|variant| variant.rank).collect();
        prop_assert_eq!(ranks, (1..=9).collect::<Vec<u8>>());
        for strategy in Strategy::ALL {
            let mut found = retention.variants.iter().filter(|variant| variant.strategy == strategy.name());
            let variant = found.next().unwrap();
            prop_assert!(found.next().is_none(), "{} stands twice", variant.strategy);
            prop_assert_eq!(variant.eligible, !config.never.contains(&strategy));
        }
        let first = retention.variants.iter().find(|variant| variant.eligible);
        prop_assert_eq!(retention.primary.as_ref(), first.map(|variant| &variant.strategy));
        prop_assert!(retention.matched.is_some());
    }
}
