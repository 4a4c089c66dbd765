//! Reads what a component says of itself, before anything of it is compiled or run.

use crate::plugins::LoadError;
use wasmparser::{Parser, Payload};

/// A component larger than this is refused.
pub(super) const COMPONENT_BYTES_MAX: usize = 32 << 20;

/// The custom section with the manifest, as TOML.
const MANIFEST_SECTION: &str = "billhook:plugin";
/// The custom section with the JSON Schema of the configuration.
const CONFIG_SCHEMA_SECTION: &str = "billhook:config-schema";

/// The sections of a component that are ours.
pub(super) struct Sections<'a> {
    pub(super) manifest: &'a [u8],
    pub(super) config_schema: Option<&'a [u8]>,
}

/// Finds our sections, at any depth: the SDK puts them into the core module, which becomes a part of the component.
pub(super) fn read<'a>(plugin: &str, bytes: &'a [u8]) -> Result<Sections<'a>, LoadError> {
    let refuse = |why: String| LoadError::NotAComponent { plugin: plugin.to_owned(), why };
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(refuse(format!(
            "{} bytes are too many for a component: at most {COMPONENT_BYTES_MAX}",
            bytes.len()
        )));
    }
    if Parser::is_core_wasm(bytes) {
        return Err(refuse(
            "is a core module, not a component: build it with `--target wasm32-wasip2`".to_owned(),
        ));
    }
    if !Parser::is_component(bytes) {
        return Err(refuse("is not a WebAssembly component".to_owned()));
    }
    let (mut manifests, mut config_schema) = (Vec::new(), None);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| refuse(format!("is a damaged component: {error}")))? {
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                manifests.push(section.data())
            }
            Payload::CustomSection(section) if section.name() == CONFIG_SCHEMA_SECTION => {
                config_schema = Some(section.data());
            }
            _ => {}
        }
    }
    let wrong = |why: &str| LoadError::Manifest { plugin: plugin.to_owned(), why: why.to_owned() };
    let manifest = match manifests[..] {
        [manifest] => manifest,
        [] => {
            return Err(wrong(
                "is missing: use the SDK's macro `plugin!`, or add the custom section `billhook:plugin`",
            ));
        }
        _ => return Err(wrong("stands in it more than once")),
    };
    Ok(Sections { manifest, config_schema })
}
