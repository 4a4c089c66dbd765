//! `[[plugin]]`: which components run, and what they may do.

use crate::config::mistake::{At, all_of, did_you_mean, quote};
use crate::config::reader::{Item, Table};
use crate::config::{Config, KEPT_DIR, Names, OnFailure, PluginSpec};
use crate::model::name::is_name;
use crate::plugins::Limits;
use crate::plugins::roster::Kept;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::DeValue;

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
    let sha256 = sha256.iter().filter_map(digest).collect();
    let config_item = table.item("config");
    let config_line = config_item.as_ref().and_then(|item| item.at.line());
    let config = config_item.and_then(|item| item.table().and_then(|_| json(&item)));
    let component = component_item.as_ref().and_then(component);
    let grants = table.item("grants").map(|item| item.items()).unwrap_or_default();
    let grants: Vec<String> = grants.iter().filter_map(|item| grant(item, names)).collect();
    let ways =
        [("reject", OnFailure::Reject), ("skip", OnFailure::Skip), ("send-untransformed", OnFailure::Skip)];
    let on_failure = table.item("on_failure").and_then(|item| item.one_of("a way to fail", &ways));
    let limits = limits(&mut table, Limits::of(&grants));
    table.finish();
    Some(PluginSpec {
        name: name?,
        component,
        sha256,
        config: config.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        config_line,
        grants,
        on_failure: on_failure.unwrap_or_default(),
        limits,
    })
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
        DeValue::Array(_) => Some(item.items().iter().filter_map(json).collect()),
        DeValue::Table(_) => {
            let entries = item.table()?.all();
            Some(Value::Object(
                entries.iter().filter_map(|(key, item)| Some((key.clone(), json(item)?))).collect(),
            ))
        }
    }
}
