//! What the tests that [`plugin!`](crate::plugin!) generates hold. Native only; every function panics with what
//! is wrong, as tests do.

use crate::Plugin;
use schemars::JsonSchema;
use std::collections::BTreeSet;

/// Set this variable to any value to have a stale schema file rewritten instead of refused.
pub const BLESS: &str = "BILLHOOK_BLESS";

/// `plugin.toml` is TOML, bears the crate's name and version, and lists exactly the kinds that are exported.
///
/// # Panics
/// If not.
pub fn manifest(text: &str, name: &str, version: &str, kinds: &[&str]) {
    let manifest: toml::Table =
        text.parse().unwrap_or_else(|error| panic!("plugin.toml is not TOML: {error}"));
    let field = |key: &str| manifest.get(key).and_then(toml::Value::as_str);
    assert_eq!(field("name"), Some(name), "`name` in plugin.toml against the crate's name");
    assert_eq!(field("version"), Some(version), "`version` in plugin.toml against the crate's version");
    let listed: BTreeSet<_> = manifest
        .get("kinds")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|k| k.as_str())
        .collect();
    let exported: Vec<_> = kinds.iter().map(|kind| kind.to_lowercase()).collect();
    let exported: BTreeSet<_> = exported.iter().map(String::as_str).collect();
    assert_eq!(listed, exported, "`kinds` in plugin.toml against those of plugin!");
}

/// The events that `plugin.toml` lists for its first provider are those of `catalogue`, in its order, and their types
/// are canonical.
///
/// # Panics
/// If not.
pub fn catalogue(text: &str, catalogue: &[(&str, &str)]) {
    let manifest: toml::Table =
        text.parse().unwrap_or_else(|error| panic!("plugin.toml is not TOML: {error}"));
    let provider = manifest.get("provider").and_then(|providers| providers.get(0));
    let events = provider.and_then(|provider| provider.get("event")).and_then(toml::Value::as_array);
    let listed: Vec<_> = events
        .into_iter()
        .flatten()
        .map(|event| {
            ["name", "type"].map(|key| event.get(key).and_then(toml::Value::as_str).unwrap_or_default())
        })
        .collect();
    let known: Vec<_> = catalogue.iter().map(|(name, kind)| [*name, *kind]).collect();
    assert_eq!(listed, known, "the events in plugin.toml against the catalogue");
    let unknown = catalogue.iter().find(|(_, kind)| !billhook_event::kind::is_known(kind));
    assert_eq!(unknown, None, "is no canonical type");
}

/// The schema file at `path`, whose content is `text`, is the schema of the plugin's configuration.
///
/// # Panics
/// If not; with [`BLESS`] set it rewrites the file instead.
pub fn config_schema<P: Plugin<Config: JsonSchema>>(text: &str, path: &str) {
    let meant = schemars::schema_for!(P::Config).to_value();
    let stands: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    if meant == stands {
        return;
    }
    let meant = format!("{meant:#}\n");
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(path, meant).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
        return;
    }
    panic!("{path} is not the schema of the configuration; set {BLESS}=1 to rewrite it:\n{meant}");
}
