//! Gives a component what it imports, or says why not, and finds out what it can do.

use crate::plugins::LoadError;
use crate::plugins::bindings::filter::FilterPluginPre;
use crate::plugins::bindings::host;
use crate::plugins::bindings::map::MapPluginPre;
use crate::plugins::bindings::normalize::NormalizePluginPre;
use crate::plugins::engine::Host;
use crate::plugins::imports::State;
use crate::plugins::imports::handles::{Event, Webhook};
use crate::plugins::manifest::{Kind, Manifest};
use crate::plugins::wasi;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, ResourceType};

/// The version of our WIT package that is hosted, up to its patch number.
const VERSION: &str = "0.1.";
/// Interfaces that hold types or belong to kinds: a component may import them whatever it is granted.
const FREE: [&str; 8] = ["types", "webhooks", "events", "ingress", "deliveries", "log", "clock", "config"];
/// Interfaces that need a grant, which this version does not host.
const NOT_HOSTED: [&str; 4] = ["secrets", "reveal", "kv", "http"];

/// A component that is ready to be instantiated, for each kind that it exports.
pub(super) struct Linked {
    pub(super) kinds: Vec<Kind>,
    pub(super) normalize: Option<NormalizePluginPre<State>>,
    pub(super) filter: Option<FilterPluginPre<State>>,
    pub(super) map: Option<MapPluginPre<State>>,
    /// The same, whatever it exports.
    pub(super) any: InstancePre<State>,
}

/// Holds imports against grants and exports against the manifest, and links.
pub(super) fn link(
    host: &Host,
    plugin: &str,
    component: &Component,
    manifest: &Manifest,
    grants: &[String],
) -> Result<Linked, LoadError> {
    let ty = component.component_type();
    let imports: Vec<&str> = ty.imports(&host.engine).map(|(name, _)| name).collect();
    for import in &imports {
        check_import(import).map_err(|why| LoadError::Import { plugin: plugin.to_owned(), why })?;
    }
    check_grants(&manifest.grants, grants)
        .map_err(|why| LoadError::Grant { plugin: plugin.to_owned(), why })?;
    let kinds = kinds(ty.exports(&host.engine).map(|(name, _)| name))
        .and_then(|kinds| same_kinds(kinds, &manifest.kinds));
    let kinds = kinds.map_err(|why| LoadError::Manifest { plugin: plugin.to_owned(), why })?;
    instantiable(host, component, &imports, kinds).map_err(|error| LoadError::Import {
        plugin: plugin.to_owned(),
        why: format!("does not fit this gateway: {error:#}"),
    })
}

fn check_import(import: &str) -> Result<(), String> {
    if import.starts_with("wasi:") {
        return Ok(());
    }
    let Some((name, version)) = ours(import) else {
        return Err(format!("imports `{import}`, which no gateway offers: build it without"));
    };
    if NOT_HOSTED.contains(&name) {
        return Err(format!(
            "imports `{name}`, but this version does not host `{name}` yet: build it without"
        ));
    }
    if !FREE.contains(&name) || !version.starts_with(VERSION) {
        return Err(format!("imports `{import}`: it needs a newer gateway"));
    }
    Ok(())
}

/// Name and version of an interface of ours.
fn ours(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("billhook:plugin/")?.split_once('@')
}

fn check_grants(asked: &[String], granted: &[String]) -> Result<(), String> {
    if let Some(missing) = asked.iter().find(|grant| !granted.contains(grant)) {
        return Err(format!(
            "asks for `{missing}`, which it is not granted: add it to its `grants` if it may have it"
        ));
    }
    if let Some(idle) = granted.iter().find(|grant| !asked.contains(grant)) {
        return Err(format!("is granted `{idle}`, which it does not ask for: remove it from its `grants`"));
    }
    Ok(())
}

/// The kinds among a component's exports; exports that are not ours do not matter.
fn kinds<'a>(exports: impl Iterator<Item = &'a str>) -> Result<Vec<Kind>, String> {
    let mut kinds = Vec::new();
    for export in exports.filter(|export| export.starts_with("billhook:")) {
        let kind = ours(export).filter(|(_, version)| version.starts_with(VERSION));
        let kind = kind.and_then(|(name, _)| Kind::ALL.into_iter().find(|kind| kind.name() == name));
        kinds.push(kind.ok_or_else(|| {
            format!("cannot name what the component exports as `{export}`: it needs a newer gateway")
        })?);
    }
    kinds.sort_unstable();
    Ok(kinds)
}

/// The kinds that were found, if the manifest claims exactly these.
fn same_kinds(found: Vec<Kind>, claimed: &[Kind]) -> Result<Vec<Kind>, String> {
    for kind in Kind::ALL {
        match (claimed.contains(&kind), found.contains(&kind)) {
            (true, false) => return Err(format!("claims `{kind}`, but the component does not export it")),
            (false, true) => {
                return Err(format!(
                    "does not name `{kind}`, which the component exports: add it to `kinds`"
                ));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn instantiable(
    host: &Host,
    component: &Component,
    imports: &[&str],
    kinds: Vec<Kind>,
) -> wasmtime::Result<Linked> {
    let mut linker: Linker<State> = Linker::new(&host.engine);
    // Traps first, what there is after.
    linker.define_unknown_imports_as_traps(component)?;
    linker.allow_shadowing(true);
    for import in imports {
        wasi::define(&mut linker, import)?;
    }
    define_handles(&mut linker, component)?;
    host::Host_::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    let pre: InstancePre<State> = linker.instantiate_pre(component)?;
    let is = |kind| kinds.contains(&kind);
    Ok(Linked {
        normalize: is(Kind::Normalize).then(|| NormalizePluginPre::new(pre.clone())).transpose()?,
        filter: is(Kind::Filter).then(|| FilterPluginPre::new(pre.clone())).transpose()?,
        map: is(Kind::Map).then(|| MapPluginPre::new(pre.clone())).transpose()?,
        any: pre,
        kinds,
    })
}

/// Defines the types of our handles wherever an interface names them: the bindings do so only where a type is at home,
/// and elsewhere (as `webhook` in `events`) the traps have put a type of theirs.
fn define_handles(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (import, item) in component.component_type().imports(&engine) {
        let (Some(_), ComponentItem::ComponentInstance(interface)) = (ours(import), item.ty) else {
            continue;
        };
        for (name, _) in
            interface.exports(&engine).filter(|(_, item)| matches!(item.ty, ComponentItem::Resource(_)))
        {
            let ty = match name {
                "webhook" => ResourceType::host::<Webhook>(),
                "event" => ResourceType::host::<Event>(),
                _ => continue,
            };
            linker.instance(import)?.resource(name, ty, |_, _| Ok(()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_taken_or_refused_by_name() {
        let cases = [
            ("wasi:sockets/tcp@0.2.6", None),
            ("billhook:plugin/webhooks@0.1.0", None),
            ("billhook:plugin/log@0.1.7", None),
            ("billhook:plugin/kv@0.1.0", Some("imports `kv`, but this version does not host `kv` yet")),
            ("billhook:plugin/http@0.1.0", Some("this version does not host `http` yet")),
            ("billhook:plugin/queue@0.1.0", Some("`billhook:plugin/queue@0.1.0`: it needs a newer gateway")),
            ("billhook:plugin/log@0.2.0", Some("needs a newer gateway")),
            ("acme:database/sql@1.0.0", Some("imports `acme:database/sql@1.0.0`, which no gateway offers")),
        ];
        for (import, expected) in cases {
            match (check_import(import), expected) {
                (Ok(()), None) => {}
                (Err(why), Some(expected)) => assert!(why.contains(expected), "{why}"),
                (result, _) => panic!("{import}: {result:?}"),
            }
        }
    }

    #[test]
    fn what_is_asked_for_must_be_granted_and_nothing_else() {
        let grants = |list: &[&str]| list.iter().map(|grant| (*grant).to_owned()).collect::<Vec<_>>();
        assert_eq!(check_grants(&grants(&["kv:a"]), &grants(&["kv:a"])), Ok(()));
        assert!(
            check_grants(&grants(&["kv:a"]), &grants(&["kv:b"])).unwrap_err().contains("asks for `kv:a`")
        );
        assert!(check_grants(&grants(&[]), &grants(&["kv:b"])).unwrap_err().contains("is granted `kv:b`"));
    }

    #[test]
    fn kinds_are_what_is_exported_and_the_manifest_must_agree() {
        let found =
            kinds(["billhook:plugin/map@0.1.0", "exports", "billhook:plugin/filter@0.1.3"].into_iter())
                .unwrap();
        assert_eq!(found, [Kind::Filter, Kind::Map]);
        assert_eq!(same_kinds(found.clone(), &[Kind::Map, Kind::Filter]), Ok(found.clone()));
        assert!(same_kinds(found.clone(), &[Kind::Map]).unwrap_err().contains("does not name `filter`"));
        assert!(
            same_kinds(found, &[Kind::Map, Kind::Filter, Kind::Verify])
                .unwrap_err()
                .contains("claims `verify`")
        );
        assert!(kinds(["billhook:plugin/filter2@0.1.0"].into_iter()).unwrap_err().contains("newer gateway"));
    }
}
