//! A component as it comes, and what it says of itself before anything of it is compiled or run.

use crate::plugins::LoadError;
use crate::plugins::text::{SHOWN_MAX, one_line};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;
use wasmparser::{
    BinaryReaderError, ComponentExternalKind, ComponentInstance, ComponentType, ComponentTypeRef,
    InstanceTypeDeclaration, Parser, Payload,
};

/// A component of more bytes than this is refused.
pub const COMPONENT_BYTES_MAX: usize = 32 << 20;

/// The bytes of a component with their SHA-256: reckoning that is a good part of a load, and done once. Nothing else about
/// them is known: loading them says what is wrong. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Component {
    bytes: Bytes,
    digest: [u8; 32],
}

impl Component {
    /// A component of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Component {
        let bytes = bytes.into();
        Component { digest: Sha256::digest(&bytes).into(), bytes }
    }

    /// The component in a file, which is not read if it has more than [`COMPONENT_BYTES_MAX`].
    ///
    /// # Errors
    /// When it cannot be read or has too many bytes.
    pub fn read(path: &Path) -> io::Result<Component> {
        let mut bytes = Vec::new();
        File::open(path)?.take(COMPONENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > COMPONENT_BYTES_MAX {
            let why = format!("it has more than {COMPONENT_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(Component::new(bytes))
    }

    /// One whose SHA-256 somebody knows.
    pub(super) fn known(bytes: &'static [u8], digest: [u8; 32]) -> Component {
        Component { bytes: Bytes::from_static(bytes), digest }
    }

    /// Its SHA-256.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Its SHA-256 in hex.
    pub fn digest_hex(&self) -> String {
        hex::encode(self.digest)
    }
}

impl Deref for Component {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The custom section with the manifest, as TOML.
const MANIFEST_SECTION: &str = "billhook:plugin";
/// The custom section with the JSON Schema of the configuration.
const CONFIG_SCHEMA_SECTION: &str = "billhook:config-schema";
/// The custom section with what the component was written with, such as `billhook-plugin 0.1.0`.
const SDK_SECTION: &str = "billhook:sdk";

/// The sections of a component that are ours.
pub(super) struct Sections<'a> {
    pub(super) manifest: &'a [u8],
    pub(super) config_schema: Option<&'a [u8]>,
    pub(super) sdk: Option<&'a [u8]>,
    /// What the component as a whole imports, such as `billhook:plugin/log@0.1.0`.
    pub(super) imports: Vec<&'a str>,
    /// What it exports.
    pub(super) exports: Vec<&'a str>,
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
    let (mut manifests, mut config_schema, mut sdk) = (Vec::new(), None, None);
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let damaged = |error: BinaryReaderError| refuse(damaged(&error.to_string()));
    let only_flat = |is_nested| if is_nested { Err(refuse(NESTED.to_owned())) } else { Ok(()) };
    // How many modules and components the reader is inside of, the whole counted.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentTypeSection(section) => {
                for declared in section {
                    only_flat(nests(&declared.map_err(damaged)?))?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for made in section {
                    only_flat(gathers_instances(&made.map_err(damaged)?))?;
                }
            }
            // A component that is nested in one that is nested: what composes plugins needs one depth less.
            Payload::ComponentExportSection(section) if depth > 2 => {
                for export in section {
                    only_flat(export.map_err(damaged)?.kind == ComponentExternalKind::Instance)?;
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(damaged)?;
                    only_flat(is_whole(import.ty))?;
                    imports.push(import.name.name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(damaged)?.name.name);
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                manifests.push(section.data())
            }
            Payload::CustomSection(section) if section.name() == CONFIG_SCHEMA_SECTION => {
                config_schema = Some(section.data());
            }
            Payload::CustomSection(section) if section.name() == SDK_SECTION => sdk = Some(section.data()),
            _ => {}
        }
    }
    let wrong = |why: &str| LoadError::Manifest { plugin: plugin.to_owned(), why: why.to_owned() };
    let manifest = match manifests[..] {
        [manifest] => manifest,
        [] => {
            return Err(wrong(
                "is missing: use the SDK's macro `plugin!`, or add the custom section `billhook:plugin`; if a tool stripped the component, have it keep the sections `billhook:*`",
            ));
        }
        _ => return Err(wrong("stands in it more than once")),
    };
    Ok(Sections { manifest, config_schema, sdk, imports, exports })
}

/// Nobody gives a plugin what such an import asks for; and a few levels that each name the one before twice, in a type or
/// in an instance that is put together, are more than a gateway has memory for.
const NESTED: &str =
    "imports modules or components, or has interfaces within interfaces, which plugins are not given";

/// Whether an instance is put together of others.
fn gathers_instances(made: &ComponentInstance<'_>) -> bool {
    let ComponentInstance::FromExports(exports) = made else { return false };
    exports.iter().any(|export| export.kind == ComponentExternalKind::Instance)
}

/// Whether this is the type of an interface that has others in it.
fn nests(declared: &ComponentType<'_>) -> bool {
    let ComponentType::Instance(declarations) = declared else { return false };
    declarations.iter().any(|declaration| match declaration {
        InstanceTypeDeclaration::Export { ty, .. } => {
            is_whole(*ty) || matches!(ty, ComponentTypeRef::Instance(_))
        }
        _ => false,
    })
}

/// Whether it is a module or component to make instances of.
fn is_whole(of: ComponentTypeRef) -> bool {
    matches!(of, ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_))
}

/// The parser's words: it quotes what it found, over several lines.
fn damaged(error: &str) -> String {
    let words: Vec<&str> = error.split_whitespace().collect();
    one_line(&format!("is a damaged component: {}", words.join(" ")), SHOWN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_within_an_import_is_refused_before_it_is_compiled() {
        let levels = |n: usize| {
            let level = |n| {
                format!(
                    "(type $t{} (instance (alias outer 1 $t{n} (type $p)) (export \"a\" (instance (type $p))) (export \"b\" (instance (type $p)))))",
                    n + 1
                )
            };
            let levels: String = (0..n).map(level).collect();
            format!(
                "(component (type $t0 (instance (export \"f\" (func)))) {levels} (import \"wasi:a/b@0.2.0\" (instance (type $t{n}))))"
            )
        };
        let gathered = |n: usize| {
            let level = |n| {
                format!(
                    "(instance $i{} (export \"a\" (instance $i{n})) (export \"b\" (instance $i{n})))",
                    n + 1
                )
            };
            let levels: String = (0..n).map(level).collect();
            format!("(component (instance $i0) {levels})")
        };
        let doubled = |n: usize| {
            let level = |inner: String, _| {
                let exports = "(export \"a\" (instance $i)) (export \"b\" (instance $i))";
                format!("(component $c {inner} (instance $i (instantiate $c)) {exports})")
            };
            format!("(component {})", (0..n).fold("(component $c)".to_owned(), level))
        };
        let cases = [
            (doubled(0), false),
            (doubled(1), false),
            (doubled(3), true),
            (gathered(0), false),
            (gathered(1), true),
            (format!("(component {})", levels(2)), true),
            (levels(0), false),
            (levels(1), true),
            (levels(19), true),
            ("(component (import \"a\" (core module)))".to_owned(), true),
            ("(component (import \"a\" (component)))".to_owned(), true),
        ];
        for (text, is_refused) in cases {
            let told = read("p", &wat::parse_str(&text).unwrap()).map(|_| ()).unwrap_err().to_string();
            // What is taken has no manifest.
            assert_eq!(told.contains("within interfaces"), is_refused, "{text}: {told}");
        }
    }

    #[test]
    fn what_the_parser_says_is_one_line() {
        // A component with a module whose magic number is wrong, which is told as a list over several lines.
        let told =
            read("p", b"\0asm\x0d\0\x01\0\x01\x08\0asn\x01\0\0\0").map(|_| ()).unwrap_err().to_string();
        assert!(told.starts_with("plugin `p`: is a damaged component: ") && !told.contains("\\n"), "{told}");
        assert!(!told.contains(char::is_control), "{told}");
    }
}
