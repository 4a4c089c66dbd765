//! Loads the plugins of a configuration and says what they make of its sources.

use crate::config::{Config, OnFailure, PluginSpec, Shipped};
use crate::dispatch::{Line, Step};
use crate::ingest::{Inlet, Inlets};
use crate::model::source::Source;
use crate::plugins::manifest::{Kind, Manifest, Provider};
use crate::plugins::{Compiler, Limits, Options, Plugin, Plugins, Spec, shipped};
use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How long a body is remembered where no manifest says so.
const BODY_WINDOW: Duration = Duration::from_secs(60 * 60);

/// What the binary brings, for reading a configuration.
pub fn shipped() -> Shipped {
    let providers: Vec<Provider> = shipped::names()
        .filter_map(|name| Manifest::of(name, shipped::component(name)?).ok())
        .flat_map(|manifest| manifest.providers)
        .collect();
    Shipped {
        plugins: shipped::names().map(str::to_owned).collect(),
        providers: providers.iter().map(|provider| provider.name.clone()).collect(),
        presets: providers.into_iter().filter_map(|provider| Some((provider.name, provider.auth?))).collect(),
    }
}

/// Loads every plugin of a configuration without starting anything; a line about each.
///
/// # Errors
/// The first plugin that does not load, or source that finds no normalizer.
pub async fn check(config: &Config, compiler: Compiler) -> anyhow::Result<Vec<String>> {
    let cache = tempfile::tempdir().context("cannot create a directory for compiled plugins")?;
    let loaded = load(config.clone(), Some(cache.path().to_owned()), compiler).await?;
    let line = |(source, line): (&String, &Line)| {
        let steps: Vec<_> = line.steps.iter().map(|step| step.plugin.name()).collect();
        let steps = if steps.is_empty() { String::new() } else { format!(", then {}", steps.join(", ")) };
        format!("source `{source}` is normalized by `{}`{steps}", line.normalizer.name())
    };
    Ok(loaded.lines.iter().map(line).collect())
}

/// What the plugins of a configuration make of its sources.
pub(super) struct Loaded {
    pub(super) lines: BTreeMap<String, Line>,
    pub(super) inlets: Inlets,
}

/// Loads the plugins that sources use. Compiling takes a while, so it has a thread of its own.
pub(super) async fn load(
    config: Config,
    cache_dir: Option<PathBuf>,
    compiler: Compiler,
) -> anyhow::Result<Loaded> {
    let loading = tokio::task::spawn_blocking(move || {
        let options = Options { cache_dir, compiler, ..Options::default() };
        Loading { plugins: Plugins::start(options)?, config: &config, loaded: BTreeMap::new() }.run()
    });
    loading.await.context("loading the plugins panicked")?
}

/// Loads each plugin once, whoever names it.
struct Loading<'a> {
    plugins: Plugins,
    config: &'a Config,
    loaded: BTreeMap<String, Plugin>,
}

impl Loading<'_> {
    fn run(mut self) -> anyhow::Result<Loaded> {
        // Declared plugins are loaded even if no source uses them, so that mistakes show before they are needed.
        for spec in &self.config.plugins {
            self.plugin(&spec.name)?;
        }
        let mut lines = BTreeMap::new();
        let mut inlets = Vec::new();
        for source in &self.config.sources {
            let normalizer = self.normalizer(source)?;
            let facts =
                normalizer.manifest().providers.iter().find(|provider| provider.name == source.provider);
            inlets.push(inlet(source, facts));
            let steps =
                source.plugins.iter().map(|name| self.step(source, name)).collect::<Result<_, _>>()?;
            lines.insert(source.name.clone(), Line { provider: source.provider.clone(), normalizer, steps });
        }
        Ok(Loaded { lines, inlets: Inlets::new(inlets) })
    }

    /// The plugin that a source names, else a declared or shipped one whose manifest names its provider.
    fn normalizer(&mut self, source: &Source) -> anyhow::Result<Plugin> {
        let name = match &source.normalizer {
            Some(name) => name.clone(),
            None => self.provided(&source.provider).with_context(|| {
                format!(
                    "source `{}`: no plugin normalizes `{}`: name one with `normalizer`",
                    source.name, source.provider
                )
            })?,
        };
        let plugin = self.plugin(&name)?;
        ensure!(
            plugin.kinds().contains(&Kind::Normalize),
            "source `{}`: the plugin `{name}` is no normalizer",
            source.name
        );
        Ok(plugin)
    }

    fn provided(&self, provider: &str) -> Option<String> {
        let names = |manifest: &Manifest| manifest.providers.iter().any(|known| known.name == provider);
        let declared = self.loaded.values().find(|plugin| names(plugin.manifest()));
        declared.map(|plugin| plugin.name().to_owned()).or_else(|| {
            let mut shipped = shipped::names();
            let found = shipped.find(|name| {
                shipped::component(name)
                    .is_some_and(|bytes| Manifest::of(name, bytes).is_ok_and(|m| names(&m)))
            });
            found.map(str::to_owned)
        })
    }

    fn step(&mut self, source: &Source, name: &str) -> anyhow::Result<Step> {
        let plugin = self.plugin(name)?;
        ensure!(
            plugin.kinds().iter().any(|kind| matches!(kind, Kind::Filter | Kind::Map)),
            "source `{}`: the plugin `{name}` is neither a filter nor a map",
            source.name
        );
        let spec = self.config.plugins.iter().find(|spec| spec.name == name);
        let skip_on_failure = spec.is_some_and(|spec| spec.on_failure == OnFailure::Skip);
        Ok(Step { plugin, skip_on_failure })
    }

    fn plugin(&mut self, name: &str) -> anyhow::Result<Plugin> {
        if let Some(plugin) = self.loaded.get(name) {
            return Ok(plugin.clone());
        }
        let spec = self.config.plugins.iter().find(|spec| spec.name == name);
        let plugin = self.plugins.load(Spec {
            name: name.to_owned(),
            component: component(name, spec)?,
            sha256: spec.and_then(|spec| spec.sha256),
            config: spec.map_or(serde_json::Value::Null, |spec| spec.config.clone()),
            grants: spec.map(|spec| spec.grants.clone()).unwrap_or_default(),
            limits: Limits::default(),
        })?;
        self.loaded.insert(name.to_owned(), plugin.clone());
        Ok(plugin)
    }
}

/// The bytes of a plugin: of its file if it has one, else of the shipped one of that name.
fn component(name: &str, spec: Option<&PluginSpec>) -> anyhow::Result<Bytes> {
    if let Some(path) = spec.and_then(|spec| spec.component.as_ref()) {
        let bytes = std::fs::read(path)
            .with_context(|| format!("plugin `{name}`: cannot read {}", path.display()))?;
        return Ok(bytes.into());
    }
    let shipped = shipped::component(name).ok_or_else(|| {
        let known: Vec<_> = shipped::names().collect();
        anyhow!(
            "plugin `{name}`: no `component` is given and none is shipped under that name ({})",
            known.join(", ")
        )
    })?;
    Ok(Bytes::from_static(shipped))
}

/// A source with its provider's facts where it says nothing itself.
fn inlet(source: &Source, facts: Option<&Provider>) -> Inlet {
    Inlet {
        dedupe: source.dedupe.clone().or_else(|| facts.map(|f| f.dedupe.clone())).unwrap_or_default(),
        body_window: facts.map_or(BODY_WINDOW, |f| f.body_window),
        event_name: source
            .event_type
            .clone()
            .or_else(|| facts.map(|f| f.event_name.clone()))
            .unwrap_or_default(),
        delivery_id: facts.map(|f| f.delivery_id.clone()).unwrap_or_default(),
        secret_headers: facts.map(|f| f.secret_headers.clone()).unwrap_or_default(),
        secret_query: facts.map(|f| f.secret_query.clone()).unwrap_or_default(),
        secret_pointers: facts.map(|f| f.secret_pointers.clone()).unwrap_or_default(),
        always_ok: facts.is_some_and(|f| f.always_ok),
        source: source.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Environment;
    use std::path::Path;

    #[test]
    fn every_preset_of_a_shipped_plugin_is_understood() {
        let shipped = shipped();
        assert!(!shipped.presets.is_empty());
        for (provider, preset) in &shipped.presets {
            let secretless = ["path-key", "none"].map(Some).contains(&preset["scheme"].as_str());
            let secret = if secretless { "" } else { ", secret = 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'" };
            let text = format!(
                "[[source]]\nname = 'a'\nprovider = '{provider}'\npublic_keys = ['pub_1']\n\
                 auth = {{ scheme = '{provider}'{secret} }}"
            );
            let config = Config::parse(&text, Path::new(""), &Environment::default(), &shipped);
            assert!(config.is_ok(), "{provider}: {}", config.unwrap_err());
        }
    }
}
