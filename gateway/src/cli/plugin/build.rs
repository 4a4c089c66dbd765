//! `billhook plugin build`: makes a component of a crate and says what it is.

use crate::cli::plugin::inspect::summary;
use crate::cli::plugin::subject::{build, named};
use crate::cli::terminal::{Style, care, print, print_json, strong};
use crate::cli::tree::Node;
use crate::plugins::inspect::inspect;
use serde_json::json;
use std::path::PathBuf;

/// Components of more bytes are pointed out: they compile slowly and cost more to start.
const LARGE_BYTES: usize = 1 << 20;

/// What to build.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the plugin's crate
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let file = build(&args.path)?;
    let (name, component) = named(&file)?;
    let found = inspect(&name, &component)?;
    if args.json {
        return print_json(&json!({
            "component": file,
            "name": found.manifest.name,
            "version": found.manifest.version,
            "kinds": found.manifest.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
            "grants": found.manifest.grants,
            "bytes": found.bytes,
            "sha256": found.sha256,
        }));
    }
    let place = Node::fact("component", [strong(file.display().to_string())]);
    let mut node = summary(&found, [place]);
    if found.bytes > LARGE_BYTES {
        let advice = "large: `lto = true`, `codegen-units = 1` and `panic = \"abort\"` in [profile.release] make it smaller";
        node.push(Node::fact("", [care(advice)]));
    }
    Ok(print(&node.draw(Style::detect()))?)
}
