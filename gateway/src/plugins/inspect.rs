//! What a component says of itself and what it is, without compiling or running it.

use crate::plugins::manifest::Manifest;
use crate::plugins::{Component, LoadError, component, config, link};
use serde_json::Value;

/// What there is to know about a component.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest as JSON, with everything that stands in it.
    pub written: Value,
    /// The JSON Schema of its configuration; `None`: it takes none.
    pub config_schema: Option<Value>,
    /// What it imports, such as `billhook:plugin/log@0.1.0`.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// What it was written with, such as `billhook-plugin 0.1.0`, if it says so.
    pub sdk: Option<String>,
    /// The version of the contract that it was built against.
    pub contract: Option<String>,
    /// Its size in bytes.
    pub bytes: usize,
    /// Its SHA-256 in hex: what an operator pins.
    pub sha256: String,
}

/// Looks at a component, which `plugin` names in errors. One that exports other kinds than its manifest claims is refused,
/// as by every gateway.
pub fn inspect(plugin: &str, component: &Component) -> Result<Inspection, LoadError> {
    let sections = component::read(plugin, component)?;
    let manifest = Manifest::read(plugin, sections.manifest)?;
    let wrong = |why| LoadError::Manifest { plugin: plugin.to_owned(), why };
    link::exported(sections.exports.iter().copied(), &manifest.kinds).map_err(wrong)?;
    let text = String::from_utf8_lossy(sections.manifest);
    let written = toml::from_str(&text).map_err(|error| wrong(format!("is wrong: {error}")))?;
    let config_schema = sections.config_schema.map(|bytes| config::schema(plugin, bytes)).transpose()?;
    let contract =
        sections.exports.iter().find_map(|export| export.strip_prefix("billhook:plugin/")?.split_once('@'));
    Ok(Inspection {
        manifest,
        written,
        config_schema,
        contract: contract.map(|(_, version)| version.to_owned()),
        imports: sections.imports.into_iter().map(str::to_owned).collect(),
        exports: sections.exports.into_iter().map(str::to_owned).collect(),
        sdk: sections.sdk.map(|sdk| String::from_utf8_lossy(sdk).into_owned()),
        bytes: component.len(),
        sha256: component.digest_hex(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::shipped;

    #[test]
    fn a_component_that_does_not_export_what_its_manifest_claims_is_refused() {
        let component = shipped::component("event-filter").unwrap();
        assert!(inspect("p", &component).is_ok());
        let (from, to) = (b"kinds = [\"filter\"]\ngrants = []", b"kinds = [\"filter\", \"map\"]     ");
        let at = component.windows(from.len()).position(|window| window == from).unwrap();
        let mut lies = component.to_vec();
        lies[at..at + to.len()].copy_from_slice(to);
        let told = inspect("p", &Component::new(lies)).map(|_| ()).unwrap_err().to_string();
        assert_eq!(told, "plugin `p`: its manifest claims `map`, but the component does not export it");
    }
}
