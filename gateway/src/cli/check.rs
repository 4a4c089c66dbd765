//! `billhook check`: tells every mistake of a configuration, or what would run.

use crate::cli::{compiler, terminal};
use crate::config::Config;
use crate::config::environment::Environment;
use crate::server;
use std::path::Path;

/// Reads the configuration and loads its plugins, starting nothing.
///
/// # Errors
/// All mistakes of the configuration; if there are none, all plugins that do not load or are not what they are used for.
pub async fn run(file: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(file, &Environment::of_process(), &server::load::shipped())?;
    let loaded = server::load::check(&config, compiler()?).await?;
    let idle = config.idle.to_string();
    let idle = idle.lines().map(|line| format!("note: {line}"));
    let lines = config.summary().into_iter().chain(loaded).chain(idle);
    let text: String = std::iter::once("ok".to_owned())
        .chain(lines.map(|line| format!("  {line}")))
        .map(|line| line + "\n")
        .collect();
    Ok(terminal::print(&text)?)
}
