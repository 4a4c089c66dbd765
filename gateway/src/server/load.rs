//! Loads the plugins of a configuration and says what they make of its sources.

use crate::api::plugin::Origin;
use crate::clock::Clock;
use crate::config::plugin::{ENDPOINT_STEP, NORMALIZER, Role, SHADOW, STEP, VERIFIER, lying};
use crate::config::{Config, KEPT_DIR, OnFailure, PluginSpec, Shipped};
use crate::deliver;
use crate::dispatch::{Line, Step};
use crate::ingest::{Inlet, Inlets};
use crate::model::endpoint::Endpoint;
use crate::model::source::{Auth, Source};
use crate::outbound::Outbound;
use crate::plugins::facts::Facts;
use crate::plugins::manifest::{Manifest, Provider};
use crate::plugins::roster::{Enlisted, Kept, Roster, User};
use crate::plugins::{self, Compiler, Component, Limits, Plugins, Slot, Spec, shipped};
use anyhow::{Context, anyhow, bail, ensure};
use rustix::fs::{Access, access};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a body is remembered where no manifest says so.
const BODY_WINDOW: Duration = Duration::from_secs(60 * 60);

/// What the binary brings, for reading a configuration.
pub fn shipped() -> Shipped {
    let facts: BTreeMap<String, Arc<Facts>> = shipped::names()
        .filter_map(|name| Some((name.to_owned(), Facts::of(name, &shipped::component(name)?).ok()?.into())))
        .collect();
    let providers = || facts.values().flat_map(|facts| &facts.manifest.providers);
    Shipped {
        plugins: shipped::names().map(str::to_owned).collect(),
        providers: providers().map(|provider| provider.name.clone()).collect(),
        presets: providers()
            .filter_map(|provider| Some((provider.name.clone(), provider.auth.clone()?)))
            .collect(),
        facts,
    }
}

/// Loads every plugin of a configuration without starting anything; a line about each.
///
/// # Errors
/// Every plugin that does not load, also where a start would go on without it, and everything that a source or endpoint
/// does not find, a line each.
pub async fn check(config: &Config, compiler: Compiler) -> anyhow::Result<Vec<String>> {
    let cache = tempfile::tempdir().context("cannot create a directory for compiled plugins")?;
    let options = Options {
        cache_dir: Some(cache.path().to_owned()),
        compiler,
        kept: Kept::at(config.data_dir.join(KEPT_DIR)),
        outbound: None,
    };
    let dir = config.data_dir.display();
    // That it is a directory, or can become one, was seen when the configuration was read.
    let usable = access(config.data_dir_so_far(), Access::WRITE_OK | Access::EXEC_OK);
    let forbidden = match usable.map_err(io::Error::from) {
        // The gateway may run as another user.
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            Some(format!("`data_dir`: nothing can be kept in {dir} by the user who checks: {why}"))
        }
        Err(why) => bail!("`data_dir`: nothing can be kept in {dir}: {why}; name a directory"),
        Ok(()) => None,
    };
    let loaded = load(config.clone(), options, Clock::system()).await?;
    ensure!(loaded.refused.is_empty(), loaded.refused.join("\n"));
    let judged = config.sources.iter().filter_map(|source| match &source.auth {
        Auth::Plugin { plugin } => Some(format!("source `{}` is judged by `{plugin}`", source.name)),
        _ => None,
    });
    let put_through =
        config.endpoints.iter().filter(|endpoint| !endpoint.plugins.is_empty()).map(|endpoint| {
            format!("endpoint `{}` gets what {} make of it", endpoint.name, endpoint.plugins.join(", "))
        });
    Ok(loaded.ways(config).chain(judged).chain(put_through).chain(forbidden).collect())
}

/// What the plugins of a configuration make of its sources.
pub(super) struct Loaded {
    pub(super) lines: BTreeMap<String, Line<Slot>>,
    pub(super) inlets: Inlets,
    /// The plugins, whose versions may change.
    pub(super) roster: Arc<Roster>,
    /// What endpoints' requests are put through, by endpoint.
    pub(super) steps: BTreeMap<String, Vec<deliver::Step>>,
    /// What does not load and is needed by nobody, or gave way to what served before: a sentence each.
    pub(super) refused: Vec<String>,
}

impl Loaded {
    /// Where each source is posted to and what its webhooks are put through, a line each.
    pub(super) fn ways(&self, config: &Config) -> impl Iterator<Item = String> {
        config.sources.iter().filter_map(|source| {
            let line = self.lines.get(&source.name)?.now();
            let steps: String =
                line.steps.iter().map(|step| format!(", then {}", step.plugin.name())).collect();
            let facts = line.normalizer.manifest().provider(&line.provider);
            let paths = source.paths(facts.map_or(&[], |facts| &facts.event_name)).join(" or ");
            let (name, normalizer) = (&source.name, line.normalizer.name());
            let provider = &line.provider;
            // A preset may have said it, and it is chosen anew at the provider.
            let user = match &source.auth {
                Auth::Basic { user, .. } => format!(", as the user `{user}`"),
                _ => String::new(),
            };
            Some(format!(
                "source `{name}` is normalized by `{normalizer}`{steps}: POST {paths} from {provider}{user}"
            ))
        })
    }
}

/// How plugins are loaded.
pub(super) struct Options {
    /// Where machine code is kept.
    pub(super) cache_dir: Option<PathBuf>,
    /// Who compiles.
    pub(super) compiler: Compiler,
    /// What served before.
    pub(super) kept: Kept,
    /// What those with `http` grants send by.
    pub(super) outbound: Option<Outbound>,
}

/// Loads the plugins that sources and endpoints use. Compiling takes a while, so it has a thread of its own.
pub(super) async fn load(config: Config, options: Options, clock: Clock) -> anyhow::Result<Loaded> {
    let loading = tokio::task::spawn_blocking(move || {
        let Options { cache_dir, compiler, kept, outbound } = options;
        let options = plugins::Options { cache_dir, compiler, outbound, ..plugins::Options::default() };
        let roster = Roster::new(Plugins::start(options)?, kept, clock).with_secrets(config.secrets.clone());
        let mut loading = Loading {
            roster: &roster,
            config: &config,
            loaded: BTreeMap::new(),
            wrong: Vec::new(),
            refused: Vec::new(),
        };
        let (lines, inlets, steps) = loading.run()?;
        let refused = loading.refused;
        Ok(Loaded { lines, inlets, roster: Arc::new(roster), steps, refused })
    });
    loading.await.context("loading the plugins panicked")?
}

/// What sources are put through, how they are entered, and what endpoints' requests are put through.
type Ways = (BTreeMap<String, Line<Slot>>, Inlets, BTreeMap<String, Vec<deliver::Step>>);

/// Loads each plugin once, whoever names it.
struct Loading<'a> {
    roster: &'a Roster,
    config: &'a Config,
    loaded: BTreeMap<String, Slot>,
    /// What does not load or is not found, each once.
    wrong: Vec<String>,
    /// What a start goes on without.
    refused: Vec<String>,
}

impl Loading<'_> {
    fn run(&mut self) -> anyhow::Result<Ways> {
        // Declared plugins are loaded even if no source uses them, so that mistakes show before they are needed.
        for spec in &self.config.plugins {
            let loaded = self.plugin(&spec.name);
            self.noted(loaded);
        }
        for name in lying(self.config) {
            if let Err(error) = self.plugin(&name) {
                self.refused.push(format!(
                    "{error:#}: the configuration does not name it, and a start goes on without it"
                ));
            }
        }
        let mut lines = BTreeMap::new();
        let mut inlets = Vec::new();
        for source in &self.config.sources {
            let normalizer = self.normalizer(source);
            let normalizer = self.noted(normalizer);
            let verifier = self.verifier(source);
            let verifier = self.noted(verifier).flatten();
            let mut steps = Vec::new();
            for name in &source.plugins {
                let step = self.step(source, name);
                steps.extend(self.noted(step));
            }
            let shadow = self.shadow(source);
            let shadow = self.noted(shadow).flatten();
            let Some(normalizer) = normalizer else { continue };
            let now = normalizer.now();
            let facts = now.manifest().provider(&source.provider);
            inlets.push(Inlet { verifier, ..inlet(source, facts) });
            let provider = source.provider.clone();
            lines.insert(source.name.clone(), Line { provider, normalizer, steps, shadow });
        }
        let mut steps = BTreeMap::new();
        for endpoint in &self.config.endpoints {
            let of: &mut Vec<_> = steps.entry(endpoint.name.clone()).or_default();
            for name in &endpoint.plugins {
                let step = self.endpoint_step(endpoint, name);
                of.extend(self.noted(step));
            }
        }
        if !self.wrong.is_empty() {
            // It may be what is missing.
            self.wrong.append(&mut self.refused);
            bail!(self.wrong.join("\n"));
        }
        Ok((lines, Inlets::new(inlets), steps))
    }

    /// What was found; else notes why not, once.
    fn noted<T>(&mut self, found: anyhow::Result<T>) -> Option<T> {
        found
            .inspect_err(|error| {
                let why = format!("{error:#}");
                if !self.wrong.contains(&why) {
                    self.wrong.push(why);
                }
            })
            .ok()
    }

    /// Who is asked beside the plugins of a source.
    fn shadow(&mut self, source: &Source) -> anyhow::Result<Option<Slot>> {
        let Some(name) = &source.shadow else { return Ok(None) };
        Ok(Some(self.used(name, &SHADOW, format!("the shadow of source {}", source.name), None)?))
    }

    /// Who judges the requests of a source whose scheme is a plugin.
    fn verifier(&mut self, source: &Source) -> anyhow::Result<Option<Slot>> {
        let Auth::Plugin { plugin: name } = &source.auth else { return Ok(None) };
        Ok(Some(self.used(name, &VERIFIER, format!("source {}", source.name), None)?))
    }

    fn endpoint_step(&mut self, endpoint: &Endpoint, name: &str) -> anyhow::Result<deliver::Step> {
        let plugin = self.used(name, &ENDPOINT_STEP, format!("endpoint {}", endpoint.name), None)?;
        Ok(deliver::Step { plugin, skip_on_failure: self.skips(name) })
    }

    /// Whether what a plugin keeps failing at goes on without it.
    fn skips(&self, name: &str) -> bool {
        let spec = self.config.plugins.iter().find(|spec| spec.name == name);
        spec.is_some_and(|spec| spec.on_failure == OnFailure::Skip)
    }

    /// The plugin that a source names, else the one that its provider picks.
    fn normalizer(&mut self, source: &Source) -> anyhow::Result<Slot> {
        let name = match &source.normalizer {
            Some(name) => name.clone(),
            None => self.provided(&source.provider).with_context(|| format!("source `{}`", source.name))?,
        };
        self.used(&name, &NORMALIZER, format!("source {}", source.name), Some(&source.provider))
    }

    /// The plugin whose manifest names `provider`: a declared one, else a shipped one, else one that merely lies there.
    /// Of several the one that is called like the provider. No shadow: it is there to be compared.
    fn provided(&self, provider: &str) -> anyhow::Result<String> {
        let names = |manifest: &Manifest| manifest.provider(provider).is_some();
        let is_shadow = |name: &str| self.config.sources.iter().any(|of| of.shadow.as_deref() == Some(name));
        let declared: BTreeSet<&str> =
            self.config.plugins.iter().filter(|spec| spec.is_declared).map(|spec| &*spec.name).collect();
        let (declared, lying): (Vec<_>, Vec<_>) = { self.loaded.iter() }
            .filter(|(name, plugin)| !is_shadow(name) && names(plugin.now().manifest()))
            .map(|(name, _)| name.as_str())
            .partition(|name| declared.contains(name));
        let shipped = shipped::names().filter(|name| {
            shipped::component(name)
                .is_some_and(|component| Manifest::of(name, &component).is_ok_and(|m| names(&m)))
        });
        let shipped = shipped.collect();
        for found in [declared, shipped, lying] {
            match found[..] {
                [] => {}
                [one] => return Ok(one.to_owned()),
                _ if found.contains(&provider) => return Ok(provider.to_owned()),
                _ => {
                    let found = found.join("`, `");
                    bail!("`{found}` all normalize `{provider}`: name one with `normalizer`");
                }
            }
        }
        bail!("no plugin normalizes `{provider}`: name one with `normalizer`")
    }

    fn step(&mut self, source: &Source, name: &str) -> anyhow::Result<Step<Slot>> {
        let plugin = self.used(name, &STEP, format!("source {}", source.name), None)?;
        Ok(Step { name: name.to_owned(), plugin, skip_on_failure: self.skips(name) })
    }

    /// A plugin that somebody uses, and relies on to stay what it is.
    fn used(&mut self, name: &str, role: &Role, who: String, provider: Option<&str>) -> anyhow::Result<Slot> {
        let plugin = self.plugin(name)?;
        let can = plugin.now().kinds().iter().any(|kind| role.kinds.contains(kind));
        ensure!(can, "{who}: the plugin `{name}` {}", role.lacks);
        let kinds = role.kinds.to_vec();
        self.roster.rely(name, User { who, kinds, provider: provider.map(str::to_owned) });
        Ok(plugin)
    }

    fn plugin(&mut self, name: &str) -> anyhow::Result<Slot> {
        if let Some(plugin) = self.loaded.get(name) {
            return Ok(plugin.clone());
        }
        let spec = self.config.plugins.iter().find(|spec| spec.name == name);
        let (component, origin, terms) = self.component(name, spec)?;
        let config = spec.map(|spec| spec.config.clone()).filter(|config| *config != serde_json::json!({}));
        let grants = spec.map(|spec| spec.grants.clone()).filter(|grants| !grants.is_empty());
        let grants = grants.unwrap_or(terms.1);
        let limits = spec.map_or_else(|| Limits::of(&grants), |spec| spec.limits.clone());
        let enlisted = self.roster.enlist(Enlisted {
            spec: Spec {
                name: name.to_owned(),
                component,
                config: config.unwrap_or(terms.0),
                grants,
                secrets: self.config.secrets.clone(),
                limits,
            },
            origin,
            pinned: spec.map(|spec| spec.sha256.clone()).unwrap_or_default(),
        });
        let (slot, refused) = enlisted.map_err(|error| match spec.and_then(|spec| spec.config_line) {
            Some(line) if error.may_be_of_its_configuration() => {
                anyhow!("{error}; its `config` begins on line {line}: mend it there, if it is the cause")
            }
            _ => error.into(),
        })?;
        self.refused.extend(refused.map(|error| {
            format!("{error}: it lies in the watched directory, and what served before goes on")
        }));
        self.loaded.insert(name.to_owned(), slot.clone());
        Ok(slot)
    }

    /// The component of a plugin, where it comes from and what it runs with where the configuration says nothing: of its
    /// file if it has one, of the watched directory, of the shipped one of that name, or of one that was loaded before.
    fn component(
        &self,
        name: &str,
        spec: Option<&PluginSpec>,
    ) -> anyhow::Result<(Component, Origin, (serde_json::Value, Vec<String>))> {
        let no_terms = (serde_json::Value::Null, Vec::new());
        let read = |path: &Path| {
            Component::read(path).with_context(|| format!("plugin `{name}`: cannot read {}", path.display()))
        };
        let watched = self.config.watch.as_ref().map(|dir| dir.join(format!("{name}.wasm")));
        if let Some(shipped) = spec.and_then(|spec| shipped::component(spec.shipped.as_ref()?)) {
            return Ok((shipped, Origin::Configured, no_terms));
        }
        let configured = spec.and_then(|spec| spec.component.as_ref());
        if let Some(path) = configured.filter(|path| Some(*path) != watched.as_ref()) {
            return Ok((read(path)?, Origin::Configured, no_terms));
        }
        if let Some(path) = watched.filter(|path| path.is_file()) {
            return Ok((read(&path)?, Origin::Watched, self.roster.kept_terms(name).unwrap_or(no_terms)));
        }
        if let Some(shipped) = shipped::component(name) {
            return Ok((shipped, Origin::Shipped, no_terms));
        }
        if let Some((Spec { component, config, grants, .. }, origin)) = self.roster.kept_spec(name) {
            return Ok((component, origin, (config, grants)));
        }
        let known: Vec<_> = shipped::names().collect();
        Err(anyhow!(
            "plugin `{name}`: no `component` is given and none is shipped under that name ({})",
            known.join(", ")
        ))
    }
}

/// A source with its provider's facts where it says nothing itself.
fn inlet(source: &Source, facts: Option<&Provider>) -> Inlet {
    Inlet {
        dedupe: source.dedupe.clone().or_else(|| facts.map(|f| f.dedupe.clone())).unwrap_or_default(),
        body_window: facts.map_or(BODY_WINDOW, |f| f.body_window),
        dated_by: facts.map(|f| f.dated_by.clone()).unwrap_or_default(),
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
        verifier: None,
        source: source.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Environment;
    use std::fs;
    use std::path::Path;

    #[test]
    fn no_mistake_of_a_plugin_hides_another_and_each_has_its_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.wasm"), "hello").unwrap();
        let (pinned, mine) = (dir.path().join("pinned.wasm"), dir.path().join("mine.wasm"));
        let component = shipped::component("event-filter").unwrap();
        std::fs::write(&pinned, &component[..]).unwrap();
        let zeros = "0".repeat(64);
        let text = format!(
            r#"data_dir = "mine.wasm"
[[plugin]]
name = "cancel-strategy"
config = {{ curency = "USD" }}
grants = ["kv:seen"]
[[plugin]]
name = "event-filter"
[[plugin.config.drop]]
types = ["invoice.paid"]
[[plugin.config.drop]]
types = ["invoice.payed", "wingspan"]
where = [
  {{ pointer = "/a" }},
  {{ pointer = "/a", exists = 1, less = "much" }},
]
[[plugin]]
name = "mine"
component = "mine.wasm"
[[plugin]]
name = "pinned"
component = "pinned.wasm"
sha256 = "{zeros}"
config.dorp = []
[[source]]
name = "a"
provider = "flexprice"
normalizer = "cancel-strategy"
plugins = ["stripe", "mine"]
shadow = "pinned"
auth = {{ scheme = "plugin", plugin = "event-filter" }}
rate = "x"
[[endpoint]]
name = "app"
url = "https://app.example.com"
plugins = ["cancel-strategy"]
secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"#
        );
        let told = Config::parse(&text, dir.path(), &Environment::default(), &shipped()).unwrap_err();
        let (found, mine) = (component.digest_hex(), mine.display());
        let number = "write what `^-?[0-9]+([.][0-9]+)?$` matches";
        let expected = [
            &format!(
                "1: data_dir: nothing can be kept in `{mine}`: not a directory; name a directory, or one that can be made"
            ),
            "4: plugin[0].config.curency: there is no such key; did you mean `currency`?",
            "5: plugin[0].grants[0]: the plugin does not ask for `kv:seen`; take it out",
            "11: plugin[1].config.drop[1].types[0]: \"invoice.payed\" is none of the 141 choices that there are; did you mean `invoice.paid`?",
            "11: plugin[1].config.drop[1].types[1]: \"wingspan\" is none of",
            "13: plugin[1].config.drop[1].where[0]: it has 1 key, and needs 2; add `equals`, `exists`, `greater`, `less` or `one_of`",
            "14: plugin[1].config.drop[1].where[1].exists: a number stands where a truth value belongs; write `true` or `false`",
            &format!(
                "14: plugin[1].config.drop[1].where[1].less: it has not the form that is asked for; {number}"
            ),
            &format!(
                "18: plugin[2].component: `{mine}` is not a WebAssembly component; write the path of a component: `billhook plugin build` makes one"
            ),
            &format!(
                "22: plugin[3].sha256: the component's SHA-256 is {found}, but `sha256` says {zeros}; bring the component that is meant, or write its digest"
            ),
            "23: plugin[3].config.dorp: there is no such key; did you mean `drop`?",
            "27: source[0].normalizer: the plugin `cancel-strategy` is no normalizer; it is a map: name a normalizer",
            "28: source[0].plugins[0]: the plugin `stripe` is neither a filter nor a map; it is a normalizer: name filters and maps here",
            "30: source[0].auth.plugin: the plugin `event-filter` does not judge requests; it is a filter: name a verifier",
            "31: source[0].rate: `x` is not a rate; ",
            "35: endpoint[0].plugins[0]: the plugin `cancel-strategy` is neither a filter nor a transform; it is a map: name filters and transforms here",
        ];
        let told = told.to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{told}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(&format!("configuration:{expected}")), "{line}\n{expected}");
        }
    }

    /// The shipped component of this name with other words of the same length in its manifest.
    fn altered(name: &str, words: &[(&str, &str)]) -> Vec<u8> {
        let mut component = shipped::component(name).unwrap().to_vec();
        for (from, to) in words {
            assert_eq!(from.len(), to.len());
            let at = component.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            component[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
        component
    }

    #[test]
    fn a_preset_is_that_of_the_plugin_that_normalizes() {
        let dir = tempfile::tempdir().unwrap();
        let named = ("name = \"chargebee\"", "name = \"acmebills\"");
        let user = |user| ("user = \"chargebee\"", user);
        let write = |name: &str, words: &[_]| fs::write(dir.path().join(name), altered("chargebee", words));
        write("acme.wasm", &[named, named]).unwrap();
        write("ada.wasm", &[user("user = \"ada-lovel\"")]).unwrap();
        write("bob.wasm", &[user("user = \"bob-sawye\"")]).unwrap();
        let plugin = |name: &str, file: &str| format!("[[plugin]]\nname = '{name}'\ncomponent = '{file}'\n");
        let both = plugin("ada", "ada.wasm") + &plugin("bob", "bob.wasm");
        let cases = [
            (String::new(), "chargebee", "", "chargebee"),
            (plugin("mine", "acme.wasm"), "acmebills", "", "chargebee"),
            (plugin("chargebee", "ada.wasm"), "chargebee", "", "ada-lovel"),
            (plugin("ada", "ada.wasm"), "chargebee", "", "ada-lovel"),
            (plugin("ada", "ada.wasm"), "chargebee", "normalizer = 'chargebee'", "chargebee"),
            (both.clone(), "chargebee", "normalizer = 'bob'", "bob-sawye"),
            (both, "chargebee", "normalizer = 'ada'", "ada-lovel"),
        ];
        for (plugins, provider, more, expected) in cases {
            let text = format!(
                "{plugins}[[source]]\nname = 'a'\nprovider = '{provider}'\n{more}\nauth = {{ scheme = '{provider}', secret = 'x' }}"
            );
            let config = Config::parse(&text, dir.path(), &Environment::default(), &shipped());
            let config = config.unwrap_or_else(|mistakes| panic!("{text}: {mistakes}"));
            let Auth::Basic { user, .. } = &config.sources[0].auth else { panic!("{text}") };
            assert_eq!(user, expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_shipped_plugin_may_have_several_configurations_and_check_names_the_user() {
        let dir = tempfile::tempdir().unwrap();
        let read = |of: &str, rules: &str| {
            let text = format!(
                "data_dir = 'data'\n[[plugin]]\nname = 'other-filter'\ncomponent = '{of}'\nconfig = {{ {rules} }}\n\
                 [[plugin]]\nname = 'event-filter'\nconfig = {{ drop = [{{ types = ['invoice.*'] }}] }}\n\
                 [[source]]\nname = 'in'\nprovider = 'chargebee'\nauth = {{ scheme = 'chargebee', secret = 'x' }}\n\
                 plugins = ['event-filter', 'other-filter']"
            );
            Config::parse(&text, dir.path(), &Environment::default(), &shipped())
        };
        let rules = "drop = [{ types = ['payment.*'] }]";
        let config = read("shipped:event-filter", rules).unwrap();
        let told = check(&config, Compiler::InProcess).await.unwrap();
        assert_eq!(
            told[0],
            "source `in` is normalized by `chargebee`, then event-filter, then other-filter: POST /in/in from chargebee, as the user `chargebee`"
        );
        let wrong = [
            (
                "shipped:event-filter",
                "dorp = []",
                "plugin[0].config.dorp: there is no such key; did you mean",
            ),
            (
                "shipped:event-fitler",
                rules,
                "no plugin `event-fitler` is shipped; did you mean `shipped:event-filter`?",
            ),
        ];
        for (of, rules, expected) in wrong {
            let mistakes = read(of, rules).unwrap_err().to_string();
            assert!(mistakes.contains(expected), "{mistakes}");
        }
    }

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
