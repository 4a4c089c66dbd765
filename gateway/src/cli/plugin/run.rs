//! `billhook plugin run`: plays one fixture, and shows what the call answered, logged and used.

use crate::cli::plugin::figure;
use crate::cli::plugin::play::{Played, Stage};
use crate::cli::plugin::subject::Which;
use crate::cli::terminal::{Span, Style, Tone, faint, plain, print, print_json, strong};
use crate::cli::tree::Node;
use anyhow::Context;
use billhook_fixture::Fixture;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Which fixture of which plugin.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The fixture: its folder, or its name among the plugin's fixtures
    #[arg(value_name = "FIXTURE")]
    fixture: PathBuf,
    /// The plugin: the folder of its crate, or a component [default: the crate that the fixture is of, else this folder]
    #[arg(long, value_name = "PATH|FILE.wasm")]
    plugin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let subject = Which::at(args.plugin.clone().unwrap_or_else(|| home_of(&args.fixture))).subject()?;
    let is_folder = args.fixture.join("input.json").is_file();
    let folder = if is_folder { args.fixture.clone() } else { subject.fixtures.join(&args.fixture) };
    let fixture = Fixture::read(&folder)?;
    let mut played = Stage::open(&subject)?.play(&fixture).await?;
    played.usage.instructions = Stage::counting(&subject)?.play(&fixture).await?.usage.instructions;
    if args.json {
        return print_json(&json!({
            "fixture": fixture.name,
            "kind": fixture.kind.name(),
            "answer": played.answer,
            "log": played.usage.log.iter().map(|line| json!({
                "level": line.level, "message": line.message, "fields": line.fields,
            })).collect::<Vec<_>>(),
            "stdout": played.usage.stdout,
            "stderr": played.usage.stderr,
            "wall_ns": u64::try_from(played.wall.as_nanos())?,
            "cpu_ns": u64::try_from(played.usage.cpu.as_nanos())?,
            "memory_bytes": played.usage.memory,
            "instructions": played.usage.instructions,
            "host_calls": played.usage.host_calls,
        }));
    }
    let answer = played.answer.tree().context("the answer cannot be shown")?;
    let mut out = String::new();
    for line in answer.pretty().lines() {
        plain(line).draw(Style::detect(), &mut out);
        out.push('\n');
    }
    out.push_str(&figures(&fixture, &played).draw(Style::detect()));
    Ok(print(&out)?)
}

/// The crate whose fixture a folder is; else the folder we are in.
fn home_of(fixture: &Path) -> PathBuf {
    let folder = fixture.parent().filter(|parent| parent.ends_with("fixtures")).and_then(Path::parent);
    match folder {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn figures(fixture: &Fixture, played: &Played) -> Node {
    let fact = |label: &str, text: String| Node::fact(label, [plain(text)]);
    let usage = &played.usage;
    let mut root = Node::new([strong(fixture.name.clone()), faint(format!("  {}", fixture.kind))]);
    for line in &usage.log {
        let tone = match line.level {
            "error" => Tone::Bad,
            "warn" => Tone::Care,
            _ => Tone::Plain,
        };
        let fields = format!("  {}", line.fields);
        root.push(Node::fact(line.level, [Span::new(tone, line.message.clone()), faint(fields)]));
    }
    if usage.log_lines_dropped > 0 {
        root.push(fact(
            "dropped",
            format!("{} lines of the log are over the limit", usage.log_lines_dropped),
        ));
    }
    for (stream, text) in [("stdout", &usage.stdout), ("stderr", &usage.stderr)] {
        for line in text.lines() {
            root.push(fact(stream, line.to_owned()));
        }
    }
    root.push(fact("time", format!("{}, of a first call", figure::time(played.wall))));
    root.push(fact("processor", figure::time(usage.cpu)));
    root.push(fact("memory", figure::bytes(usage.memory)));
    root.extend(usage.instructions.map(|count| fact("instructions", figure::count(count))));
    root.push(fact("host calls", figure::count(usage.host_calls.into())));
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixture_belongs_to_the_crate_above_its_folder() {
        for (fixture, home) in
            [("acme/fixtures/paid", "acme"), ("fixtures/paid", "."), ("paid", "."), ("/a/b/paid", ".")]
        {
            assert_eq!(home_of(Path::new(fixture)), Path::new(home), "{fixture}");
        }
    }
}
