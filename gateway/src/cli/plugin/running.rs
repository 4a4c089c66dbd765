//! `billhook plugin ls|show|load|swap|rollback`: which version of a plugin serves, and bringing another.

use crate::api::plugin::{By, LoadQuery, Origin, Plugin, PluginDetail, Rollback, SwapQuery, Turn};
use crate::cli::listing::all;
use crate::cli::terminal::{Span, Style, Tone, bad, care, faint, plain, print, show, strong};
use crate::cli::tree::Node;
use crate::client::Client;
use crate::plugins::COMPONENT_BYTES_MAX;
use anyhow::{Context, ensure};
use clap::Subcommand;
use std::path::{Path, PathBuf};

/// How many digits of a digest are shown where there is little room.
const DIGEST_CHARS: usize = 12;

/// What to do with the plugins of a gateway.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the plugins, the version of each that serves, and who uses it
    Ls {
        /// Print JSON, one plugin per line
        #[arg(long)]
        json: bool,
    },
    /// Show a plugin: what it can do, how it does, and what served before
    Show {
        /// Its name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Load a plugin that is not there yet; the configuration can name it from the next start on
    Load {
        /// Its name
        name: String,
        /// The version to bring
        #[command(flatten)]
        component: Component,
        /// Its configuration, a JSON object
        #[arg(long, value_name = "JSON")]
        settings: Option<String>,
        /// What it is granted, such as kv:seen; once for each
        #[arg(long = "grant", value_name = "GRANT")]
        grants: Vec<String>,
    },
    /// Have another version of a plugin serve; what is under way ends on the old one
    Swap {
        /// Its name
        name: String,
        /// The version to bring
        #[command(flatten)]
        component: Component,
    },
    /// Have the version of a plugin serve that served before
    Rollback {
        /// Its name
        name: String,
        /// Why, for those who look later
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
}

/// A component to bring.
#[derive(Debug, clap::Args)]
pub struct Component {
    /// The component's file
    file: PathBuf,
    /// Refuse it unless it has this digest
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// Why, for those who look later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Runs the command.
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    let plugin = match command {
        Command::Ls { json } => return ls(json, client).await,
        Command::Show { name, json } => return show(&client.plugin(&name).await?, json, render),
        Command::Load { name, component: Component { file, sha256, why }, settings, grants } => {
            let grants = (!grants.is_empty()).then(|| grants.join(","));
            let query = LoadQuery { sha256, config: settings, grants, why };
            told(client.load_plugin(&name, read(&file)?, &query).await?)?
        }
        Command::Swap { name, component: Component { file, sha256, why } } => {
            told(client.swap_plugin(&name, read(&file)?, &SwapQuery { sha256, why }).await?)?
        }
        Command::Rollback { name, why } => told(client.rollback_plugin(&name, &Rollback { why }).await?)?,
    };
    show(&plugin, false, render)
}

/// The bytes of a component's file, if it is not too large to be one.
pub(in crate::cli) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (shown, found) = (file.display(), bytes.len());
    ensure!(found <= COMPONENT_BYTES_MAX, "{shown} has {found} bytes, more than {COMPONENT_BYTES_MAX}");
    Ok(bytes)
}

/// Says whether another version serves now.
fn told(plugin: PluginDetail) -> anyhow::Result<PluginDetail> {
    if !plugin.changed {
        print("this version serves already\n")?;
    }
    Ok(plugin)
}

async fn ls(json: bool, client: &Client) -> anyhow::Result<()> {
    let columns = ["PLUGIN", "VERSION", "DIGEST", "KINDS", "CALLS", "FAILED", "USED BY", ""];
    all(columns, client.plugins().await?.items, json, row)
}

fn row(plugin: Plugin) -> [Span; 8] {
    [
        strong(plugin.name.clone()),
        plain(plugin.version.clone()),
        faint(short(&plugin.digest)),
        plain(plugin.kinds.join(", ")),
        plain(plugin.calls.to_string()),
        failures(&plugin),
        plain(plugin.used_by.join(", ")),
        care(rests(&plugin).or(plugin.notice).unwrap_or_default()),
    ]
}

/// A plugin as text for a terminal, each line ended by `\n`.
fn render(PluginDetail { plugin, history, before, .. }: &PluginDetail, style: Style) -> String {
    let list = |label: &str, list: &[String]| {
        (!list.is_empty()).then(|| Node::fact(label, [plain(list.join(", "))]))
    };
    let mut root = Node::new([strong(plugin.name.clone())]);
    let origin = origin(plugin.origin);
    let from = match plugin.by {
        By::Start | By::Directory | By::Load => format!(", {origin}"),
        By::Swap => format!(", in the place of the one {origin}"),
        // It may be that one, or one before.
        By::Rollback => String::new(),
    };
    root.push(Node::fact("version", [plain(plugin.version.clone() + &from)]));
    root.push(Node::fact("digest", [faint(plugin.digest.clone())]));
    root.push(Node::fact("since", [plain(format!("{}, {}", plugin.since, by(plugin.by)))]));
    root.extend(list("kinds", &plugin.kinds));
    root.extend(list("providers", &plugin.providers));
    root.extend(list("grants", &plugin.grants));
    root.extend(list("pinned", &plugin.pinned));
    root.push(Node::fact(
        "used by",
        [plain(if plugin.used_by.is_empty() { "nobody".to_owned() } else { plugin.used_by.join(", ") })],
    ));
    root.push(Node::fact("calls", [plain(plugin.calls.to_string())]));
    root.push(Node::fact("failed", [failures(plugin)]));
    root.extend(
        plugin
            .last_failure
            .as_ref()
            .map(|last| Node::fact("last", [bad(format!("{}: {}", last.at, last.why))])),
    );
    root.extend(rests(plugin).map(|rests| Node::fact("rests", [care(rests)])));
    root.extend(plugin.notice.clone().map(|notice| Node::fact("notice", [care(notice)])));
    root.push(Node::fact("history", []).with(history.iter().map(|turn| Node::new(spans(turn)))));
    root.extend(before.as_ref().map(|digest| {
        let text = format!("back to {}: billhook plugin rollback {}", short(digest), plugin.name);
        Node::fact("next", [faint(text)])
    }));
    root.draw(style)
}

fn spans(turn: &Turn) -> [Span; 2] {
    let why = turn.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    [
        plain(format!("{}  {}  ", turn.at, turn.version)),
        faint(format!("{}  {}{why}", short(&turn.digest), by(turn.by))),
    ]
}

fn short(digest: &str) -> String {
    digest.chars().take(DIGEST_CHARS).collect()
}

fn failures(plugin: &Plugin) -> Span {
    let tone = if plugin.failures == 0 { Tone::Plain } else { Tone::Bad };
    Span::new(tone, plugin.failures.to_string())
}

/// Until when it is left alone.
fn rests(plugin: &Plugin) -> Option<String> {
    Some(format!("it keeps failing and rests until {}", plugin.rests_until?))
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Shipped => "shipped",
        Origin::Configured => "configured",
        Origin::Watched => "in the watched directory",
        Origin::Loaded => "loaded by an operator",
    }
}

fn by(by: By) -> &'static str {
    match by {
        By::Start => "by a start",
        By::Directory => "by the watched directory",
        By::Load => "by an operator's load",
        By::Swap => "by an operator's swap",
        By::Rollback => "by an operator's rollback",
    }
}
