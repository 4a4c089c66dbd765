//! `billhook plugin inspect`: what a component is and says of itself.

use crate::cli::plugin::figure;
use crate::cli::terminal::{Style, faint, good, plain, print, print_json, strong};
use crate::cli::tree::Node;
use crate::plugins::inspect::{Inspection, inspect};
use crate::plugins::manifest::{Provider, Smoke};
use crate::plugins::{Component, shipped};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::path::Path;

/// Files of more bytes are not read: no gateway loads so large a component.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Which component.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component: its file, or the name of a shipped plugin
    #[arg(value_name = "FILE.wasm|NAME")]
    file: String,
    /// Print JSON, with the whole manifest and the schema of the configuration
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let found = inspect(&args.file, &component(&args.file)?)?;
    if args.json {
        return print_json(&json!({
            "manifest": found.written,
            "config_schema": found.config_schema,
            "imports": found.imports,
            "exports": found.exports,
            "contract": found.contract,
            "sdk": found.sdk,
            "bytes": found.bytes,
            "sha256": found.sha256,
        }));
    }
    Ok(print(&whole(&found).draw(Style::detect()))?)
}

fn component(file: &str) -> anyhow::Result<Component> {
    let path = Path::new(file);
    if let Some(shipped) = shipped::component(file).filter(|_| !path.exists()) {
        return Ok(shipped);
    }
    let unreadable = || {
        let known: Vec<_> = shipped::names().collect();
        format!("cannot read {file}, and no plugin of that name is shipped ({})", known.join(", "))
    };
    let size = std::fs::metadata(path).with_context(unreadable)?.len();
    ensure!(size <= FILE_BYTES_MAX, "{file} has {size} bytes, too many for a component");
    Ok(Component::new(std::fs::read(path).with_context(unreadable)?))
}

/// Name, version, kinds and what concerns whoever loads it.
pub(super) fn summary(found: &Inspection, first: impl IntoIterator<Item = Node>) -> Node {
    let manifest = &found.manifest;
    let kinds: Vec<_> = manifest.kinds.iter().map(|kind| kind.name()).collect();
    let mut root = Node::new([
        strong(manifest.name.clone()),
        plain(format!(" {}  ", manifest.version)),
        good(kinds.join(" + ")),
    ])
    .with(first);
    if let Some(description) = &manifest.description {
        root.push(fact("says", &flowing(description)));
    }
    root.push(fact("size", &format!("{} ({} bytes)", figure::bytes(found.bytes), found.bytes)));
    root.push(fact("sha256", &found.sha256));
    let wants = if manifest.grants.is_empty() { "nothing".to_owned() } else { manifest.grants.join(", ") };
    root.push(fact("wants", &wants));
    for provider in &manifest.providers {
        root.push(fact("provider", &format!("{}, {} events", provider.name, provider.events.len())));
    }
    root
}

fn whole(found: &Inspection) -> Node {
    let manifest = &found.manifest;
    let mut root = summary(found, []);
    let facts = [
        ("authors", Some(manifest.authors.join(", ")).filter(|authors| !authors.is_empty())),
        ("licence", manifest.license.clone()),
        ("written with", Some(found.sdk.clone().unwrap_or_else(|| "it does not say".to_owned()))),
        ("contract", found.contract.as_ref().map(|version| format!("billhook:plugin@{version}"))),
    ];
    for (label, text) in facts {
        root.extend(text.map(|text| fact(label, &text)));
    }
    root.push(list("exports", &found.exports));
    root.push(list("imports", &found.imports));
    root.push(configuration(found.config_schema.as_ref()));
    root.push(list("smoke", &manifest.smoke.iter().map(trial).collect::<Vec<_>>()));
    for provider in &manifest.providers {
        root.push(facts_of(provider));
    }
    root
}

/// What an entry of `[[smoke]]` asks for.
fn trial(smoke: &Smoke) -> String {
    match (&smoke.event, &smoke.kind) {
        (Some(_), _) => "an event, on which it does not fail".to_owned(),
        (None, Some(kind)) => format!("a webhook, of which it makes `{kind}`"),
        (None, None) => "a webhook, of which it makes a draft".to_owned(),
    }
}

/// A text without the ends of its lines.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fact(label: &str, text: &str) -> Node {
    Node::fact(label, [plain(text)])
}

fn list(label: &str, items: &[String]) -> Node {
    let lines = items.iter().map(|item| Node::new([plain(item.clone())]));
    fact(label, &if items.is_empty() { "none".to_owned() } else { items.len().to_string() }).with(lines)
}

/// What of a schema's root is told by the keys, or tells nothing of a configuration.
const TOLD: [&str; 8] = ["$schema", "$id", "$defs", "title", "description", "type", "properties", "required"];

/// The keys of the configuration with what their schema says, and what else it says of the whole.
fn configuration(schema: Option<&Value>) -> Node {
    let Some(schema) = schema else { return fact("config", "takes none") };
    let members = schema["properties"].as_object().into_iter().flatten();
    let required = schema["required"].as_array();
    let is_required = |key: &str| required.is_some_and(|all| all.iter().any(|name| name == key));
    let line = |(key, of): (&String, &Value)| {
        let kinds = of["type"].as_array().map_or(std::slice::from_ref(&of["type"]), Vec::as_slice);
        let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).collect();
        let kind = if kinds.is_empty() { String::new() } else { format!("  {}", kinds.join(" or ")) };
        let must = if is_required(key) { ", required" } else { "" };
        let says = of["description"].as_str().map(|text| format!("  {}", flowing(text))).unwrap_or_default();
        Node::new([strong(key.clone()), faint(format!("{kind}{must}")), plain(says)])
    };
    let more = schema.as_object().into_iter().flatten();
    let more = more.filter(|(key, of)| !TOLD.contains(&key.as_str()) && **of != json!(false));
    let more = more.map(|(key, of)| match of.as_array() {
        Some(items) => list(key, &items.iter().map(Value::to_string).collect::<Vec<_>>()),
        None => fact(key, &of.to_string()),
    });
    let count = match members.clone().count() {
        0 => "no keys by name".to_owned(),
        count => format!("{count} keys"),
    };
    fact("config", &count).with(members.map(line)).with(more)
}

/// What is particular about a provider, and its catalogue.
fn facts_of(provider: &Provider) -> Node {
    let places = |places: &[crate::model::source::Place]| {
        places.iter().cloned().map(String::from).collect::<Vec<_>>().join(", ")
    };
    let secrets = [&provider.secret_headers, &provider.secret_query, &provider.secret_pointers]
        .map(|names| names.join(", "));
    let [headers, query, pointers] = secrets;
    // As an operator writes it, but for the secret.
    let auth = provider.auth.clone().map(toml::Value::Table);
    let facts = [
        ("auth", auth.map_or_else(String::new, |auth| auth.to_string())),
        ("dedupe", places(&provider.dedupe)),
        ("body window", humantime::format_duration(provider.body_window).to_string()),
        ("dated by", places(&provider.dated_by)),
        ("event name", places(&provider.event_name)),
        ("delivery id", places(&provider.delivery_id)),
        (
            "hides",
            [headers, query, pointers].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", "),
        ),
        ("answers", if provider.always_ok { "always 200".to_owned() } else { String::new() }),
    ];
    let facts = facts.iter().filter(|(_, text)| !text.is_empty()).map(|(label, text)| fact(label, text));
    let width = provider.events.iter().map(|event| event.name.chars().count()).max().unwrap_or(0);
    let event = |event: &crate::plugins::manifest::Named| {
        let mut node =
            Node::new([plain(format!("{:width$}", event.name)), faint("  "), strong(event.kind.clone())]);
        node.extend(event.example.as_ref().map(|example| Node::new([faint(example.trim())])));
        node
    };
    let catalogue =
        fact("events", &provider.events.len().to_string()).with(provider.events.iter().map(event));
    Node::fact("provider", [strong(provider.name.clone())]).with(facts).with([catalogue])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_shown_whatever_its_schema_says_of_it() {
        let told = |schema: Option<Value>| configuration(schema.as_ref()).draw(Style::Plain);
        assert!(told(None).contains("takes none"));
        let keys = told(Some(json!({
            "title": "Config",
            "properties": { "a": { "type": ["string", "null"], "description": "What,\nand why." }, "b": { "type": "integer" } },
            "required": ["b"],
            "additionalProperties": false,
        })));
        for expected in ["2 keys", "a  string or null  What, and why.", "b  integer, required"] {
            assert!(keys.contains(expected), "no {expected:?} in:\n{keys}");
        }
        assert_eq!(keys.lines().count(), 3, "{keys}");
        let branches = told(Some(json!({ "oneOf": [{ "required": ["a"] }, { "required": ["b"] }] })));
        for expected in ["no keys by name", "oneOf", r#"{"required":["b"]}"#] {
            assert!(branches.contains(expected), "no {expected:?} in:\n{branches}");
        }
        let map = told(Some(json!({ "type": "object", "additionalProperties": { "type": "string" } })));
        assert!(map.contains("additionalProperties") && map.contains(r#"{"type":"string"}"#), "{map}");
    }

    #[test]
    fn the_way_in_is_shown_as_an_operator_writes_it() {
        let stripe = inspect("stripe", &component("stripe").unwrap()).unwrap();
        let shown = facts_of(&stripe.manifest.providers[0]).draw(Style::Plain);
        let (_, auth) = shown.lines().find_map(|line| line.split_once("─ auth ")).unwrap();
        let written: toml::Table = format!("auth = {auth}").parse().unwrap();
        assert_eq!(written["auth"].as_table(), stripe.manifest.providers[0].auth.as_ref());
    }
}
