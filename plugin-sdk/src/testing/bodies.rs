//! Bodies that nobody should send, for a normalizer's own tests. With the feature `testing`.
//!
//! [`any_body_gives_drafts_or_is_invalid`] is the whole check; [`body()`] makes the bodies for a property of one's own.
//! The bodies are JSON text and never a tree: duplicate names, lone surrogates and numbers that no type of Rust holds
//! are what a tree would lose.

use crate::{Draft, Failure, Normalize, Webhook};
use billhook_event::kind;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::strategy::BoxedStrategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many bodies are tried for one that proptest would try by itself, so that `PROPTEST_CASES` still counts.
const CASES_FACTOR: u32 = 4;

/// How deep a value is nested to show that reading it needs no stack.
const DEEP: usize = 10_000;

/// How many elements an array has that shows whether drafts multiply what stands beside it.
const MANY: usize = 100;

/// How many bodies a batch has.
const BATCH: usize = 500;

/// How long what stands beside it is.
const LONG: usize = 60_000;

/// The longest body that a source takes by default.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The most that the drafts of one body may be before they are cut: cutting them takes some times as much of a call's memory.
const DRAFTS_BYTES_MAX: usize = 4 << 20;

/// The most that a call may give.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// The most changes that are made to one sample.
const EDITS_MAX: usize = 5;

/// Values that have broken readers of JSON before, as their text.
const ODD: &[&str] = &[
    "null",
    "true",
    "\"false\"",
    "0",
    "-0",
    "-1",
    "1e999",
    "-1E-999",
    "1e-28",
    "12345.67890123456789",
    "0.1000000000000000055511151231257827",
    "18446744073709551616",
    "-9223372036854775808",
    "99999999999999999999999999999999999999",
    "\"-1\"",
    "\"1e400\"",
    "\"NaN\"",
    "\"99999999999999999999999999999999999999\"",
    "\"\"",
    "\" \\t\\n\"",
    "\"@\"",
    "\":\"",
    "\".\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"é\u{10ffff}\u{202e}\"",
    "\"€€€\"",
    "\"usd\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59.999999999-23:59\"",
    "\"99999-01-01\"",
    "\"2026-02-30\"",
    "\"2026-06-30T23:59:60Z\"",
    "[]",
    "[[{}],null]",
    "{}",
    "{\"id\":[1]}",
    "{\"\":{\"id\":1}}",
    "{\"id\":{},\"currency\":\"€€€\",\"metadata\":[1]}",
];

/// A body that a provider sends, and what the check starts from.
#[derive(Clone, Debug)]
pub struct Sample {
    event_name: Option<String>,
    body: Value,
}

impl Sample {
    /// A sample that names its event in the body.
    pub fn new(body: Value) -> Sample {
        Sample { event_name: None, body }
    }

    /// A sample whose event the source's rule names, outside the body.
    pub fn named(event_name: &str, body: Value) -> Sample {
        Sample { event_name: Some(event_name.to_owned()), body }
    }
}

/// Holds that any body gives drafts or is [`Failure::Invalid`]: no panic, no other failure, and the same answer twice.
/// Each draft has a canonical type and survives its own JSON, and all of a body are not more than a call may give.
///
/// The bodies are any bytes, any JSON, and `samples` with a few of their values replaced, left out or told twice; the
/// samples should therefore reach every part of the normalizer. Where an array gives several drafts, it is tried with
/// a hundred elements and long texts beside it, and a batch with hundreds of each sample.
///
/// # Panics
/// If it does not hold, with the smallest body that shows it; and if a sample itself gives no draft.
pub fn any_body_gives_drafts_or_is_invalid(normalizer: &impl Normalize, samples: &[Sample]) {
    for sample in samples {
        let event_name = sample.event_name.as_deref();
        match answer(normalizer, event_name, sample.body.to_string().as_bytes()) {
            Ok(1..) => {}
            other => panic!("{}: a sample should give a draft: {other:?}", sample.body),
        }
        amplify(normalizer, sample);
        let deep = ["[".repeat(DEEP) + &"]".repeat(DEEP), "{\"a\":".repeat(DEEP) + "1" + &"}".repeat(DEEP)];
        for (at, deep) in (0..count(&sample.body)).zip(deep.iter().cycle()) {
            let edits = BTreeMap::from([(at, Edit::Replace(deep.clone()))]);
            answer(normalizer, event_name, edited(&sample.body, &edits).as_bytes()).unwrap_or_else(|why| {
                panic!("{}: value {at} nested {DEEP} deep: {why}", sample.body);
            });
        }
    }
    let event_names: Vec<_> = samples.iter().map(|sample| sample.event_name.clone()).collect();
    run(&(select(event_names), body(samples)), |(event_name, body)| {
        answer(normalizer, event_name.as_deref(), &body).map(|_| ()).map_err(TestCaseError::fail)
    });
}

/// Holds that drafts of `sample` do not multiply what its body says once.
fn amplify(normalizer: &impl Normalize, sample: &Sample) {
    let drafts = |body: &str| {
        if body.len() > BODY_BYTES_MAX {
            return 0;
        }
        answer(normalizer, sample.event_name.as_deref(), body.as_bytes())
            .unwrap_or_else(|why| panic!("{}: {why}", crate::notes::quoted(body)))
    };
    let list = |element: &str, count: usize| format!("[{}]", vec![element; count].join(","));
    drafts(&list(&sample.body.to_string(), BATCH));
    let members: Vec<_> = (0..LONG / 20).map(|n| format!("\"k{n}\":\"some text\"")).collect();
    let long = [quoted(&"x".repeat(LONG)), format!("{{{}}}", members.join(","))];
    for at in 1..count(&sample.body) {
        let mut edits = BTreeMap::from([(at, Edit::Replace(list("0", MANY)))]);
        if drafts(&edited(&sample.body, &edits)) < MANY {
            continue;
        }
        for beside in (1..count(&sample.body)).filter(|beside| *beside != at) {
            for long in &long {
                edits.insert(beside, Edit::Replace(long.clone()));
                drafts(&edited(&sample.body, &edits));
            }
            edits.remove(&beside);
        }
    }
}

/// Drafts as the gateway gets them: of what is too long for a call some is left out.
pub fn sent(mut drafts: Vec<Draft>) -> Result<Vec<Draft>, Failure> {
    let written = drafts.iter().map(serde_json::to_vec).collect::<Result<_, _>>()?;
    let sent = crate::draft::bounded(&mut drafts, written)?;
    Ok(sent.iter().map(|draft| serde_json::from_slice(draft)).collect::<Result<_, _>>()?)
}

/// The bodies that a provider published, by their file's name without `.json`: those in its folder of
/// `BILLHOOK_PROVIDERS_DIR`, signature vectors left out. Where the variable is not set it says so and gives none.
///
/// # Panics
/// If the folder cannot be read, or has none.
pub fn published(provider: &str) -> Vec<(String, String)> {
    let Some(dir) = std::env::var_os("BILLHOOK_PROVIDERS_DIR") else {
        println!("skipped: BILLHOOK_PROVIDERS_DIR is not set");
        return Vec::new();
    };
    let dir = std::path::Path::new(&dir).join(provider);
    let bodies = bodies_in(&dir).unwrap_or_else(|error| panic!("cannot read {}: {error}", dir.display()));
    assert!(!bodies.is_empty(), "{} has no bodies", dir.display());
    bodies
}

fn bodies_in(dir: &std::path::Path) -> std::io::Result<Vec<(String, String)>> {
    let mut bodies = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
        if let Some(name) = name.filter(|name| *name != "signature-vectors") {
            bodies.push((name.to_owned(), std::fs::read_to_string(&path)?));
        }
    }
    bodies.sort();
    Ok(bodies)
}

/// Tries `property` with many values. Failures are told and not written to files.
///
/// # Panics
/// If it does not hold, with the smallest value that shows it.
pub fn run<S: Strategy>(values: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let usual = Config::default();
    let cases = usual.cases.saturating_mul(CASES_FACTOR);
    let config = Config { cases, failure_persistence: None, ..usual };
    if let Err(failure) = TestRunner::new(config).run(values, property) {
        panic!("{failure}");
    }
}

/// Any bytes, any JSON, and bodies that are nearly those of `samples`.
pub fn body(samples: &[Sample]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let words = words(samples);
    let bodies: Vec<_> = samples.iter().map(|sample| sample.body.clone()).collect();
    let json = prop_oneof![1 => json(&words), 6 => shaped(bodies, &words)].prop_map(String::into_bytes);
    prop_oneof![
        1 => vec(any::<u8>(), 0..64),
        3 => (json.clone(), any::<Index>(), any::<Option<u8>>()).prop_map(|(body, at, byte)| bent(body, at, byte)),
        16 => json,
    ]
}

/// Any JSON, as text. The names and some of the texts in it are `words`.
pub fn json(words: &[String]) -> BoxedStrategy<String> {
    let digits = "-?(0|[1-9][0-9]{0,40})([.][0-9]{1,40})?([eE][+-]?[0-9]{1,4})?";
    let scalar = prop_oneof![
        4 => select(ODD).prop_map(str::to_owned),
        2 => digits.prop_map(|number| number),
        1 => digits.prop_map(|number| format!("\"{number}\"")),
        1 => any::<String>().prop_map(|text| quoted(&text)),
        4 => word(words),
    ];
    let name = word(words);
    scalar
        .prop_recursive(4, 24, 6, move |inner| {
            let members = vec((name.clone(), inner.clone()), 0..6);
            prop_oneof![
                1 => vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                2 => members.prop_map(|members| {
                    let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
        .boxed()
}

/// One of `words`, or any text, quoted.
fn word(words: &[String]) -> BoxedStrategy<String> {
    let any = any::<String>().prop_map(|text| quoted(&text));
    if words.is_empty() {
        return any.boxed();
    }
    prop_oneof![1 => any, 12 => select(words.to_vec()).prop_map(|text| quoted(&text))].boxed()
}

/// What is done to one value of a sample.
#[derive(Clone, Debug)]
enum Edit {
    /// Another value stands in its place.
    Replace(String),
    /// It is left out, with its name.
    Omit,
    /// Another value of the same name follows it.
    Repeat(String),
}

/// A sample with some of its values changed.
fn shaped(bodies: Vec<Value>, words: &[String]) -> impl Strategy<Value = String> + Clone + use<> {
    let other = json(words);
    let edit = prop_oneof![
        6 => other.clone().prop_map(Edit::Replace),
        1 => Just(Edit::Omit),
        1 => other.prop_map(Edit::Repeat),
    ];
    let edits = vec((any::<Index>(), edit), 1..=EDITS_MAX);
    (select(bodies), edits).prop_map(|(body, edits)| {
        let size = count(&body);
        edited(&body, &edits.into_iter().map(|(at, edit)| (at.index(size), edit)).collect())
    })
}

/// How many values a body has, itself counted.
fn count(body: &Value) -> usize {
    1 + match body {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The text of `body` with `edits`, by the number of the value, counted from the body itself inwards.
fn edited(body: &Value, edits: &BTreeMap<usize, Edit>) -> String {
    texts(body, edits, &mut 0).concat()
}

/// What stands in the place of one value: nothing, one text, or two.
fn texts(value: &Value, edits: &BTreeMap<usize, Edit>, at: &mut usize) -> Vec<String> {
    let edit = edits.get(at);
    *at += 1;
    let own = match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().flat_map(|item| texts(item, edits, at)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let mut written = Vec::new();
            for (name, value) in members {
                let name = quoted(name);
                written.extend(texts(value, edits, at).iter().map(|text| format!("{name}:{text}")));
            }
            format!("{{{}}}", written.join(","))
        }
        scalar => scalar.to_string(),
    };
    match edit {
        None => vec![own],
        Some(Edit::Omit) => Vec::new(),
        Some(Edit::Replace(other)) => vec![other.clone()],
        Some(Edit::Repeat(other)) => vec![own, other.clone()],
    }
}

/// A body with the byte at `at` replaced, or cut off there.
fn bent(mut body: Vec<u8>, at: Index, byte: Option<u8>) -> Vec<u8> {
    if body.is_empty() {
        return body;
    }
    let at = at.index(body.len());
    match byte {
        Some(byte) => body[at] = byte,
        None => body.truncate(at),
    }
    body
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The names and texts of the samples: what a body of the same provider is made of.
fn words(samples: &[Sample]) -> Vec<String> {
    let mut words = BTreeSet::new();
    let mut values: Vec<_> = samples.iter().map(|sample| &sample.body).collect();
    while let Some(value) = values.pop() {
        match value {
            Value::Array(items) => values.extend(items),
            Value::Object(members) => {
                words.extend(members.keys().cloned());
                values.extend(members.values());
            }
            Value::String(text) => {
                words.insert(text.clone());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    words.into_iter().collect()
}

/// How many drafts a body gave (none if it was invalid), or what is wrong with the answer.
fn answer(normalizer: &impl Normalize, event_name: Option<&str>, body: &[u8]) -> Result<usize, String> {
    let normalize = || {
        let webhook = Webhook::new("source", "provider").with_body(body);
        match event_name {
            Some(event_name) => normalizer.normalize(&webhook.with_event_name(event_name)),
            None => normalizer.normalize(&webhook),
        }
    };
    let mut drafts = match normalize() {
        Ok(drafts) => drafts,
        Err(Failure::Invalid(_)) => return Ok(0),
        Err(other) => return Err(format!("neither drafts nor invalid: {other}")),
    };
    let texts = drafts.iter().map(written).collect::<Result<Vec<_>, _>>()?;
    let again = normalize().map_err(|failure| format!("drafts, and at the second time {failure}"))?;
    if texts != again.iter().map(written).collect::<Result<Vec<_>, _>>()? {
        return Err("the second time gave other drafts".to_owned());
    }
    let whole: usize = texts.iter().map(String::len).sum();
    if whole > DRAFTS_BYTES_MAX {
        return Err(format!("{} drafts of {whole} bytes from a body of {}", texts.len(), body.len()));
    }
    match crate::draft::bounded(&mut drafts, texts.into_iter().map(String::into_bytes).collect()) {
        Ok(sent) if sent.iter().map(Vec::len).sum::<usize>() <= OUTPUT_BYTES_MAX => Ok(sent.len()),
        Ok(sent) => Err(format!("{} drafts are more than a call may give", sent.len())),
        Err(Failure::Invalid(_)) => Ok(0),
        Err(other) => Err(format!("neither drafts nor invalid: {other}")),
    }
}

/// A draft's JSON, which must be read as the same draft.
fn written(draft: &Draft) -> Result<String, String> {
    if !kind::is_known(&draft.kind) {
        return Err(format!("`{}` is not a canonical type", draft.kind));
    }
    let text = serde_json::to_string(draft).map_err(|error| format!("the draft is not JSON: {error}"))?;
    let read: Draft =
        serde_json::from_str(&text).map_err(|error| format!("{text} cannot be read again: {error}"))?;
    match serde_json::to_string(&read) {
        Ok(same) if same == text => Ok(text),
        other => Err(format!("{text} was read as {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Edit, Sample, body, edited, run};
    use serde_json::json;
    use std::cell::Cell;
    use std::collections::BTreeMap;

    #[test]
    fn edits_replace_omit_and_repeat_the_value_they_name() {
        let body = json!({ "a": [1, { "b": 2 }], "c": "x" });
        let replace = |other: &str| Edit::Replace(other.to_owned());
        let cases = [
            (0, replace("7"), "7"),
            (0, Edit::Omit, ""),
            (1, Edit::Omit, r#"{"c":"x"}"#),
            (2, Edit::Repeat("1e9".to_owned()), r#"{"a":[1,1e9,{"b":2}],"c":"x"}"#),
            (4, Edit::Repeat("null".to_owned()), r#"{"a":[1,{"b":2,"b":null}],"c":"x"}"#),
            (5, replace("[]"), r#"{"a":[1,{"b":2}],"c":[]}"#),
        ];
        for (at, edit, text) in cases {
            assert_eq!(edited(&body, &BTreeMap::from([(at, edit)])), text);
        }
    }

    #[test]
    fn most_bodies_are_json_and_some_are_not() {
        let samples = [Sample::new(json!({ "event": "paid", "lines": [{ "amount": 1 }] }))];
        let (json, all) = (Cell::new(0), Cell::new(0));
        run(&body(&samples), |body| {
            let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(&body).is_ok();
            json.set(json.get() + u32::from(is_json));
            all.set(all.get() + 1);
            Ok(())
        });
        let share = f64::from(json.get()) / f64::from(all.get());
        assert!((0.6..0.98).contains(&share), "{share}");
    }
}
