//! Gives a component what it imports, or says why not, and finds out what it can do.

use crate::plugins::LoadError;
use crate::plugins::bindings::filter::FilterPluginPre;
use crate::plugins::bindings::host;
use crate::plugins::bindings::map::MapPluginPre;
use crate::plugins::bindings::normalize::NormalizePluginPre;
use crate::plugins::bindings::transform::TransformPluginPre;
use crate::plugins::bindings::verify::VerifyPluginPre;
use crate::plugins::engine::Host;
use crate::plugins::grants::{self, Grants};
use crate::plugins::imports::State;
use crate::plugins::imports::handles::{Event, Secret, Webhook};
use crate::plugins::manifest::{Kind, Manifest};
use crate::plugins::wasi;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, ResourceType};

/// The version of our WIT package that is hosted, up to its patch number.
const VERSION: &str = "0.1.";
/// Interfaces that hold types or belong to kinds: a component may import them whatever it is granted.
const FREE: [&str; 8] = ["types", "webhooks", "events", "ingress", "deliveries", "log", "clock", "config"];

/// A component that is ready to be instantiated, for each kind that it exports.
pub(super) struct Linked {
    pub(super) kinds: Vec<Kind>,
    pub(super) verify: Option<VerifyPluginPre<State>>,
    pub(super) normalize: Option<NormalizePluginPre<State>>,
    pub(super) filter: Option<FilterPluginPre<State>>,
    pub(super) map: Option<MapPluginPre<State>>,
    pub(super) transform: Option<TransformPluginPre<State>>,
    /// The same, whatever it exports.
    pub(super) any: InstancePre<State>,
}

/// Holds imports against grants and exports against the manifest, and links.
pub(super) fn link(
    host: &Host,
    plugin: &str,
    component: &Component,
    manifest: &Manifest,
    granted: &[String],
) -> Result<(Linked, Grants), LoadError> {
    let ty = component.component_type();
    let imports: Vec<&str> = ty.imports(&host.engine).map(|(name, _)| name).collect();
    let grants = Grants::settle(&manifest.grants, granted)
        .map_err(|why| LoadError::Grant { plugin: plugin.to_owned(), why })?;
    for import in &imports {
        check_import(import, &grants).map_err(|why| LoadError::Import { plugin: plugin.to_owned(), why })?;
    }
    let kinds = exported(ty.exports(&host.engine).map(|(name, _)| name), &manifest.kinds);
    let kinds = kinds.map_err(|why| LoadError::Manifest { plugin: plugin.to_owned(), why })?;
    let linked = instantiable(host, component, &imports, kinds, &grants);
    let linked = linked.map_err(|error| LoadError::Import {
        plugin: plugin.to_owned(),
        why: format!("does not fit this gateway: {error:#}"),
    })?;
    Ok((linked, grants))
}

fn check_import(import: &str, grants: &Grants) -> Result<(), String> {
    if import.starts_with("wasi:") {
        return Ok(());
    }
    let Some((name, version)) = ours(import) else {
        return Err(format!("imports `{import}`, which no gateway offers: build it without"));
    };
    let opens = grants.opens(name);
    if (opens.is_none() && !FREE.contains(&name)) || !version.starts_with(VERSION) {
        return Err(format!("imports `{import}`: it needs a newer gateway"));
    }
    if opens == Some(false) {
        return Err(format!(
            "imports `{name}`, but its manifest asks for no `{}`: add that to its `grants`, or build it without",
            grants::example(name)
        ));
    }
    Ok(())
}

/// Name and version of an interface of ours.
fn ours(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("billhook:plugin/")?.split_once('@')
}

/// The kinds among a component's exports, if they are those that its manifest claims.
pub(super) fn exported<'a>(
    exports: impl Iterator<Item = &'a str>,
    claimed: &[Kind],
) -> Result<Vec<Kind>, String> {
    same_kinds(kinds(exports)?, claimed)
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
    if kinds.is_empty() {
        let known = Kind::ALL.map(|kind| format!("`{kind}`")).join(", ");
        return Err(format!("stands in a component that exports none of the kinds there are: {known}"));
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
    grants: &Grants,
) -> wasmtime::Result<Linked> {
    let mut linker: Linker<State> = Linker::new(&host.engine);
    // Traps first, what there is after.
    linker.define_unknown_imports_as_traps(component)?;
    linker.allow_shadowing(true);
    for import in imports {
        wasi::define(&mut linker, import)?;
    }
    define_handles(&mut linker, component)?;
    define_interfaces(&mut linker, grants)?;
    let pre: InstancePre<State> = linker.instantiate_pre(component)?;
    let is = |kind| kinds.contains(&kind);
    Ok(Linked {
        verify: is(Kind::Verify).then(|| VerifyPluginPre::new(pre.clone())).transpose()?,
        normalize: is(Kind::Normalize).then(|| NormalizePluginPre::new(pre.clone())).transpose()?,
        filter: is(Kind::Filter).then(|| FilterPluginPre::new(pre.clone())).transpose()?,
        map: is(Kind::Map).then(|| MapPluginPre::new(pre.clone())).transpose()?,
        transform: is(Kind::Transform).then(|| TransformPluginPre::new(pre.clone())).transpose()?,
        any: pre,
        kinds,
    })
}

/// Defines what there is for everybody, and what this plugin is granted.
fn define_interfaces(linker: &mut Linker<State>, grants: &Grants) -> wasmtime::Result<()> {
    use host::billhook::plugin as ours;
    macro_rules! add {
        ($($interface:ident),*) => {
            $(ours::$interface::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;)*
        };
    }
    add!(types, webhooks, events, ingress, deliveries, log, clock, config);
    if grants.opens("secrets") == Some(true) {
        add!(secrets);
    }
    if grants.opens("reveal") == Some(true) {
        add!(reveal);
    }
    if grants.opens("kv") == Some(true) {
        add!(kv);
    }
    if grants.opens("http") == Some(true) {
        add!(http);
    }
    Ok(())
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
                "secret" => ResourceType::host::<Secret>(),
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
        let asked = ["secret:a".to_owned(), "kv:b".to_owned()];
        let grants = Grants::settle(&asked, &asked).unwrap();
        let cases = [
            ("wasi:sockets/tcp@0.2.6", None),
            ("billhook:plugin/webhooks@0.1.0", None),
            ("billhook:plugin/ingress@0.1.0", None),
            ("billhook:plugin/log@0.1.7", None),
            ("billhook:plugin/kv@0.1.0", None),
            ("billhook:plugin/secrets@0.1.0", None),
            (
                "billhook:plugin/reveal@0.1.0",
                Some("imports `reveal`, but its manifest asks for no `reveal:NAME`"),
            ),
            ("billhook:plugin/http@0.1.0", Some("imports `http`, but its manifest asks for no `http:HOST`")),
            ("billhook:plugin/queue@0.1.0", Some("`billhook:plugin/queue@0.1.0`: it needs a newer gateway")),
            ("billhook:plugin/log@0.2.0", Some("needs a newer gateway")),
            ("billhook:plugin/kv@0.2.0", Some("needs a newer gateway")),
            ("acme:database/sql@1.0.0", Some("imports `acme:database/sql@1.0.0`, which no gateway offers")),
        ];
        for (import, expected) in cases {
            match (check_import(import, &grants), expected) {
                (Ok(()), None) => {}
                (Err(why), Some(expected)) => assert!(why.contains(expected), "{why}"),
                (result, _) => panic!("{import}: {result:?}"),
            }
        }
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
        assert!(kinds(["wasi:cli/run@0.2.6"].into_iter()).unwrap_err().contains("exports none of the kinds"));
        assert!(kinds(["billhook:plugin/filter2@0.1.0"].into_iter()).unwrap_err().contains("newer gateway"));
    }
}
