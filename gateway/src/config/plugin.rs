//! `[[plugin]]`: which components run, and what they may do.

use crate::config::mistake::{At, quote};
use crate::config::parts::Part;
use crate::config::reader::{Item, Table};
use crate::config::{Config, KEPT_DIR, Names, OnFailure, PluginSpec, SHIPPED};
use crate::model::name::is_name;
use crate::model::words::{all_of, did_you_mean, nearest};
use crate::plugins::Limits;
use crate::plugins::manifest::Kind;
use crate::plugins::roster::Kept;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::DeValue;

/// What somebody uses a plugin for.
pub struct Role {
    /// What it must be, one of them.
    pub kinds: &'static [Kind],
    /// What is said of one that is none of them.
    pub lacks: &'static str,
    /// What to name instead.
    wants: &'static str,
}

/// `normalizer` of a source.
pub const NORMALIZER: Role =
    Role { kinds: &[Kind::Normalize], lacks: "is no normalizer", wants: "name a normalizer" };
/// `auth.plugin` of a source.
pub const VERIFIER: Role =
    Role { kinds: &[Kind::Verify], lacks: "does not judge requests", wants: "name a verifier" };
/// `plugins` of a source.
pub const STEP: Role = Role {
    kinds: &[Kind::Filter, Kind::Map],
    lacks: "is neither a filter nor a map",
    wants: "name filters and maps here",
};
/// `shadow` of a source.
pub const SHADOW: Role = Role {
    kinds: &[Kind::Normalize, Kind::Filter, Kind::Map],
    lacks: "is neither a normalizer nor a filter or map",
    wants: "name a normalizer, filter or map",
};
/// `plugins` of an endpoint.
pub const ENDPOINT_STEP: Role = Role {
    kinds: &[Kind::Filter, Kind::Transform],
    lacks: "is neither a filter nor a transform",
    wants: "name filters and transforms here",
};

impl Role {
    /// Notes where a plugin stands that cannot be what it is used for, as far as that is known.
    pub(super) fn hold(&self, item: &Item<'_>, name: &str, names: &Names<'_>) {
        let versions = names.parts.versions(name);
        let fits = |kinds: &[Kind]| kinds.iter().any(|kind| self.kinds.contains(kind));
        let Some(first) = versions.first() else { return };
        if !versions.iter().any(|facts| fits(&facts.manifest.kinds)) {
            let is = first.manifest.kinds.iter().map(|kind| noun(*kind)).collect::<Vec<_>>().join(" and ");
            let wrong = format!("the plugin {} {}", quote(name), self.lacks);
            item.wrong(wrong, format!("it is {is}: {}", self.wants));
        }
    }
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Verify => "a verifier",
        Kind::Normalize => "a normalizer",
        Kind::Filter => "a filter",
        Kind::Map => "a map",
        Kind::Transform => "a transform",
    }
}

/// What a grant may begin with.
const GRANTS: [&str; 4] = ["secret", "reveal", "kv", "http"];

/// What the limits of a call may be set to at most, beside those that [`Limits`] knows.
const OUTPUT_MAX: usize = 16 << 20;
const LOG_LINES_MAX: u64 = 10_000;
const LOG_LINE_MAX: usize = 64 << 10;
const HOST_CALLS_MAX: u64 = 1_000_000;
const HANDLES_MAX: u64 = 100_000;

/// Reads one `[[plugin]]`.
pub(super) fn read(mut table: Table<'_>, names: &Names<'_>) -> Option<PluginSpec> {
    let name_item = table.required("name", "name a shipped plugin, or one of your own with `component`");
    let name = name_item.as_ref().and_then(Item::name);
    let component_item = table.item("component");
    if let (None, Some(item), Some(name)) = (&component_item, &name_item, &name)
        && !names.shipped.plugins.contains(name)
        && !names.lying.contains(name)
    {
        let shipped = || names.shipped.plugins.iter().map(String::as_str);
        let remedy = did_you_mean(name, shipped(), || {
            format!(
                "say where it is with `component = \"PATH\"`, or name a shipped one: {}",
                all_of(shipped())
            )
        });
        item.wrong(format!("no plugin {} is shipped", quote(name)), remedy);
    }
    let sha256 = table.item("sha256").map(|item| item.some("no digest is given")).unwrap_or_default();
    let digest = |item: &Item<'_>| {
        item.parsed("a SHA-256", "write the 64 hex digits that `sha256sum` prints", |text| {
            let mut digest = [0; 32];
            hex::decode_to_slice(text, &mut digest).map(|()| digest)
        })
    };
    let digests: Vec<[u8; 32]> = sha256.iter().filter_map(digest).collect();
    let config_item = table.item("config");
    let config_line = config_item.as_ref().and_then(|item| item.at.line());
    let config = match &config_item {
        Some(item) => item.table().and_then(|_| json(item)),
        None => Some(Value::Object(serde_json::Map::new())),
    };
    let shipped = component_item.as_ref().and_then(|item| item.as_text()?.strip_prefix(SHIPPED));
    let component = match (&component_item, shipped) {
        (Some(item), Some(of)) => {
            known_shipped(item, of, names);
            None
        }
        (item, _) => item.as_ref().and_then(component),
    };
    let grants_item = table.item("grants");
    let grant_items = grants_item.as_ref().map(Item::items).unwrap_or_default();
    let grants: Vec<String> = grant_items.iter().filter_map(|item| grant(item, names)).collect();
    if let Some(name) = &name
        && let Some(part) = names.parts.declared(name)
    {
        if let (Some((wrong, remedy)), Some(item)) =
            (part.unread(), component_item.as_ref().or(name_item.as_ref()))
        {
            item.wrong(wrong, remedy);
        }
        if let Some(item) = sha256.first().filter(|_| digests.len() == sha256.len()) {
            hold_digest(item, part, &digests);
        }
        // One that an operator loaded has the terms of then where the file says nothing.
        let has_terms = |is_empty: bool| is_empty && names.lying.contains(name);
        if let Some(config) = config.as_ref().filter(|config| !has_terms(**config == serde_json::json!({}))) {
            for misfit in part.problems(&digests, |facts| facts.misfits(config)) {
                match &config_item {
                    Some(item) => item.wrong_below(&misfit.path, &misfit.wrong, &misfit.remedy),
                    None => {
                        let key = format!("{}.config.{}", table.key, misfit.path.join("."));
                        table.reader.note(table.at.clone(), &key, misfit.wrong, misfit.remedy);
                    }
                }
            }
        }
        if grants.len() == grant_items.len() && !has_terms(grants.is_empty()) {
            hold_grants(&table, &grant_items, part, &grants, &digests);
        }
    }
    let ways =
        [("reject", OnFailure::Reject), ("skip", OnFailure::Skip), ("send-untransformed", OnFailure::Skip)];
    let on_failure = table.item("on_failure").and_then(|item| item.one_of("a way to fail", &ways));
    let limits = limits(&mut table, Limits::of(&grants));
    table.finish();
    Some(PluginSpec {
        name: name?,
        is_declared: true,
        component,
        shipped: shipped.map(str::to_owned),
        sha256: digests,
        config: config.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        config_line,
        grants,
        on_failure: on_failure.unwrap_or_default(),
        limits,
    })
}

/// Notes a component that is not the one that is meant.
fn hold_digest(item: &Item<'_>, part: &Part, allowed: &[[u8; 32]]) {
    if let Some(Ok(given)) = &part.given
        && !allowed.contains(&given.digest)
    {
        let expected = allowed.iter().map(hex::encode).collect::<Vec<_>>().join(" or ");
        let found = hex::encode(given.digest);
        item.wrong(
            format!("the component's SHA-256 is {found}, but `sha256` says {expected}"),
            "bring the component that is meant, or write its digest",
        );
    }
}

/// Notes where a plugin asks for other grants than it has.
fn hold_grants(table: &Table<'_>, items: &[Item<'_>], part: &Part, grants: &[String], pinned: &[[u8; 32]]) {
    let apart = part.problems(pinned, |facts| {
        let (missing, idle) = facts.grants_apart(grants);
        let missing = missing.into_iter().map(|grant| (grant.to_owned(), true));
        missing.chain(idle.into_iter().map(|grant| (grant.to_owned(), false))).collect()
    });
    for (grant, is_missing) in apart {
        let item = items.iter().find(|item| item.as_text() == Some(&grant));
        match item {
            Some(item) if !is_missing => {
                item.wrong(format!("the plugin does not ask for {}", quote(&grant)), "take it out");
            }
            _ => {
                let wrong = format!("the plugin asks for {}, which it is not granted", quote(&grant));
                let at = table.peek("grants").map_or(table.at.clone(), |item| item.at);
                let key = format!("{}.grants", table.key);
                table.reader.note(at, &key, wrong, "add it if the plugin may have it");
            }
        }
    }
}

/// Reads `limits`: what is not written is as it is by default.
fn limits(table: &mut Table<'_>, mut limits: Limits) -> Limits {
    let Some(mut table) = table.item("limits").and_then(|item| item.table()) else { return limits };
    let size = |table: &mut Table<'_>, name, min: usize, max: usize| {
        let size = table.item(name)?.size(min as u64, max as u64)?;
        usize::try_from(size).ok()
    };
    let span = |table: &mut Table<'_>, name, max| table.item(name)?.duration(Duration::from_millis(1), max);
    let number = |table: &mut Table<'_>, name, min, max| {
        let number = table.item(name)?.number(min, max)?;
        u32::try_from(number).ok()
    };
    limits.memory = size(&mut table, "memory", 1 << 20, Limits::MEMORY_MAX).unwrap_or(limits.memory);
    limits.cpu = span(&mut table, "cpu", Limits::CPU_MAX).unwrap_or(limits.cpu);
    limits.wall = span(&mut table, "wall", Limits::WALL_MAX).unwrap_or(limits.wall);
    limits.output = size(&mut table, "output", 1 << 10, OUTPUT_MAX).unwrap_or(limits.output);
    let log_lines = number(&mut table, "log_lines", 0, LOG_LINES_MAX);
    limits.log_lines = log_lines.map_or(limits.log_lines, |n| n as usize);
    limits.log_line = size(&mut table, "log_line", 64, LOG_LINE_MAX).unwrap_or(limits.log_line);
    limits.host_calls = number(&mut table, "host_calls", 1, HOST_CALLS_MAX).unwrap_or(limits.host_calls);
    limits.handles = number(&mut table, "handles", 1, HANDLES_MAX).map_or(limits.handles, |n| n as usize);
    table.finish();
    limits
}

/// Reads `[plugins]`.
pub(super) fn read_watch(mut table: Table<'_>, config: &mut Config) {
    if let Some(item) = table.item("watch")
        && let Some(path) = item.text()
    {
        // A variable is set by whoever starts the process: its path is relative to where they are.
        let base = if matches!(item.at, At::Variable(_)) { Path::new("") } else { item.reader.base };
        let path = base.join(path);
        if !path.is_dir() {
            let wrong = format!("{} is not a directory", quote(&path.display().to_string()));
            item.wrong(wrong, "make it, or write the path of one, from the directory of this file");
        } else if let Err(why) = std::fs::read_dir(&path) {
            let wrong = format!("cannot read {}: {why}", quote(&path.display().to_string()));
            item.wrong(wrong, "let this process read it, or take it out");
        }
        config.watch = Some(path);
    }
    table.finish();
}

/// The plugins whose components lie where the gateway finds them by name: in the watched directory, and those that were
/// loaded while a gateway ran.
pub fn lying(config: &Config) -> BTreeSet<String> {
    let mut names = Kept::at(config.data_dir.join(KEPT_DIR)).loaded();
    let entries = config.watch.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    names.extend(entries.filter_map(|entry| name_of(&entry.path())));
    names
}

/// The plugin whose component is at this path: `NAME.wasm`.
fn name_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
    (is_name(name) && path.is_file()).then(|| name.to_owned())
}

fn known_shipped(item: &Item<'_>, of: &str, names: &Names<'_>) {
    let shipped = || names.shipped.plugins.iter().map(String::as_str);
    if !shipped().any(|known| known == of) {
        let near = nearest(of, shipped()).map(|near| format!("did you mean `{SHIPPED}{near}`?"));
        let remedy = near.unwrap_or_else(|| format!("the shipped ones are {}", all_of(shipped())));
        item.wrong(format!("no plugin {} is shipped", quote(of)), remedy);
    }
}

fn component(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.reader.base.join(item.text()?);
    if !path.is_file() {
        let wrong = format!("{} is not a file", quote(&path.display().to_string()));
        item.wrong(wrong, "write the path of a component, from the directory of this file");
    }
    Some(path)
}

fn grant(item: &Item<'_>, names: &Names<'_>) -> Option<String> {
    let text = item.text()?;
    let remedy = "write `secret:NAME`, `reveal:NAME`, `kv:NAME` or `http:HOST`";
    let Some((kind, of)) = text.split_once(':').filter(|(kind, of)| GRANTS.contains(kind) && !of.is_empty())
    else {
        item.wrong(format!("{} is not a grant", quote(text)), remedy);
        return None;
    };
    match kind {
        "secret" | "reveal" if !names.secrets.contains(of) => {
            let remedy = did_you_mean(of, names.secrets.iter().map(String::as_str), || {
                format!("add `{of}` to `[secrets]`")
            });
            item.wrong(format!("`[secrets]` has no {}", quote(of)), remedy);
        }
        "kv" if !is_name(of) => item.wrong(format!("{} is not a name", quote(of)), remedy),
        "http" if of.contains(['/', '@', ' ']) => item.wrong(format!("{} is not a host", quote(of)), remedy),
        _ => return Some(text.to_owned()),
    }
    None
}

/// The table that a plugin gets as its configuration, as JSON. Its depth is bounded by the TOML parser.
fn json(item: &Item<'_>) -> Option<Value> {
    let no_number =
        |text: &str, what: &str| item.wrong(format!("{} is not {what}", quote(text)), "write it as a string");
    match item.tree()? {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Boolean(value) => Some(Value::Bool(*value)),
        DeValue::Datetime(date) => Some(Value::String(date.to_string())),
        DeValue::Integer(number) => {
            let value = i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from);
            if value.is_none() {
                no_number(number.as_str(), "a number of 64 bits");
            }
            value
        }
        DeValue::Float(number) => {
            let value =
                number.as_str().parse().ok().and_then(serde_json::Number::from_f64).map(Value::Number);
            if value.is_none() {
                no_number(number.as_str(), "a number in JSON");
            }
            value
        }
        DeValue::Array(_) => {
            // Each is read, so that no mistake hides another.
            let values: Vec<_> = item.items().iter().map(json).collect();
            values.into_iter().collect()
        }
        DeValue::Table(_) => {
            let entries = item.table()?.all();
            let values: Vec<_> = entries.iter().map(|(key, item)| Some((key.clone(), json(item)?))).collect();
            values.into_iter().collect::<Option<_>>().map(Value::Object)
        }
    }
}
