//! The file as a whole: its sections, and what they may name of each other.

use crate::config::environment::Environment;
use crate::config::mistake::{At, Mistake, quote};
use crate::config::parts::Parts;
use crate::config::reader::{Item, MISSING, Reader, Table, UNKNOWN};
use crate::config::{
    Config, Names, OnFailure, PluginSpec, Presets, Shipped, StoreUrl, endpoint, plugin, source,
};
use crate::model::name::is_name;
use crate::model::secret::Secret;
use crate::model::source::{Auth, Source};
use crate::outbound::address::Policy;
use crate::plugins::Limits;
use crate::telemetry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use toml::de::DeTable;

/// The bounds of `ingest.max_body`.
const BODY_MIN: u64 = 1 << 10;
const BODY_MAX: u64 = 64 << 20;
/// The bounds of `store.min_free`. What is free is looked at once a second: much may be written meanwhile.
const FREE_MIN: u64 = 64 << 20;
const FREE_MAX: u64 = 1 << 50;

/// Reads a file's text and the environment.
pub(super) fn read(
    text: &str,
    base: &Path,
    environment: &Environment,
    shipped: &Shipped,
) -> Result<Config, Vec<Mistake>> {
    let reader = Reader::new(text, base, environment);
    let (tree, errors) = DeTable::parse_recoverable(text);
    let broken = note_syntax(&reader, text, &errors);
    let (mut config, tables) = top(reader.root(tree.get_ref()));
    let lying = plugin::lying(&config);
    let shadows = named(&tables.sources, "shadow");
    let parts = Parts::read(&tables.plugins, &config, &lying, shipped, shadows);
    let texts: Vec<_> = parts.presets().map(|(names, table)| (names, table.to_string())).collect();
    let presets: Presets<'_> = texts
        .iter()
        // What was written as TOML is read as TOML.
        .filter_map(|(names, text)| Some((*names, DeTable::parse(text).ok()?.into_inner())))
        .collect();
    named_tables(&mut config, tables, &lying, &parts, shipped, &presets);
    config.idle.list = reader.idle();
    reader.refuse_unknown_variables();
    let mut mistakes = reader.into_mistakes();
    keep_what_is_certain(&mut mistakes, &broken);
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
}

/// Reads only what a client on the same machine needs: `data_dir` and `[admin]`, and of this the token only if it wants
/// it. Mistakes elsewhere are not told, for a client need not hold the gateway's secrets.
pub(super) fn read_for_client(
    text: &str,
    base: &Path,
    environment: &Environment,
    wants_token: bool,
) -> Result<Config, Vec<Mistake>> {
    let reader = Reader::new(text, base, environment);
    let (tree, errors) = DeTable::parse_recoverable(text);
    let broken = note_syntax(&reader, text, &errors);
    let (mut config, mut root) = (Config::default(), reader.root(tree.get_ref()));
    data_dir(&mut root, &mut config);
    listeners(&mut root, &mut config);
    let mut mistakes = reader.into_mistakes();
    keep_what_is_certain(&mut mistakes, &broken);
    mistakes.retain(|mistake| match mistake.key.as_str() {
        "" | "data_dir" => true,
        "admin.token" => wants_token,
        key => key.starts_with("admin."),
    });
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
}

/// Notes the first thing that is not TOML, since it may be why what follows seems to be none, and tells which lines are
/// not. Only the parser's own words are told: a line may hold a secret.
fn note_syntax(reader: &Reader<'_>, text: &str, errors: &[toml::de::Error]) -> Vec<At> {
    let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    if let Some(first) = errors.iter().min_by_key(|error| start(error)) {
        let message = first.message();
        // The one message that needs its word, which is a key.
        let word = first.span().filter(|_| message == "duplicate key").and_then(|span| text.get(span));
        let word = word.map(|word| format!(" {}", quote(word))).unwrap_or_default();
        let line = text.get(..start(first)).and_then(|before| before.rsplit('\n').next());
        let column = line.map_or(1, |line| line.chars().count() + 1);
        let wrong = format!("not TOML at column {column}: {message}{word}");
        reader.note(reader.at(start(first)..start(first)), "", wrong, syntax_remedy(message));
    }
    errors.iter().map(|error| reader.at(start(error)..start(error))).collect()
}

/// What to do about what a parser of TOML says.
fn syntax_remedy(message: &str) -> &'static str {
    let remedies = [
        ("duplicate", "take one of them out"),
        ("unclosed", "close it there, or where a line before left it open"),
        ("missing value", "write a value after the `=`"),
        ("missing comma", "write a comma there, or close what a line before left open"),
        ("must be quoted", "write it in quotes"),
        ("quote", "close the string, on the line on which it begins"),
        ("extra", "take it out"),
        ("unexpected", "take it out"),
    ];
    let known = remedies.iter().find(|(words, _)| message.contains(words));
    known.map_or("write it as `key = \"value\"`, or as `[table]`", |(_, remedy)| remedy)
}

fn data_dir(root: &mut Table<'_>, config: &mut Config) {
    let Some(item) = root.item("data_dir") else { return };
    // A variable is set by whoever starts the process: its path is relative to where they are.
    let base = if matches!(item.at, At::Variable(_)) { Path::new("") } else { item.reader.base };
    let path = |text: &str| (!text.is_empty() && !text.contains('\0')).then(|| base.join(text)).ok_or(());
    if let Some(path) = item.parsed("the path of a directory", "write one such as `./billhook-data`", path) {
        config.data_dir = path;
    }
}

/// Whether what is there is a directory; who may use it is told elsewhere.
fn is_dir(there: &Path) -> io::Result<()> {
    match fs::metadata(there) {
        Ok(found) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Err(why) if why.kind() != io::ErrorKind::PermissionDenied => Err(why),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The tables that may name each other.
struct Tables<'a> {
    reader: &'a Reader<'a>,
    secrets: Vec<(String, At)>,
    plugins: Vec<Table<'a>>,
    sources: Vec<Table<'a>>,
    endpoints: Vec<Table<'a>>,
}

/// Reads what nobody names, and finds what may be named.
fn top<'a>(mut root: Table<'a>) -> (Config, Tables<'a>) {
    let mut config = Config::default();
    data_dir(&mut root, &mut config);
    if let Err(why) = is_dir(config.data_dir_so_far()) {
        let at = root.item("data_dir").map_or(At::File, |item| item.at);
        let wrong =
            format!("nothing can be kept in {}: {why}", quote(&config.data_dir.display().to_string()));
        root.reader.note(at, "data_dir", wrong, "name a directory, or one that can be made");
    }
    store(root.table("store"), &mut config);
    listeners(&mut root, &mut config);
    network(root.table("network"), &mut config);
    log(root.table("log"), &mut config);
    let mut secret_table = root.table("secrets");
    let secret_items = secret_table.all().into_iter().map(|(name, item)| (name, item.at)).collect();
    config.secrets = secrets(secret_table);
    plugin::read_watch(root.table("plugins"), &mut config);
    let (plugins, sources, endpoints) =
        (root.tables("plugin"), root.tables("source"), root.tables("endpoint"));
    let reader = root.reader;
    root.finish();
    (config, Tables { reader, secrets: secret_items, plugins, sources, endpoints })
}

fn named_tables<'a>(
    config: &mut Config,
    tables: Tables<'a>,
    lying: &'a BTreeSet<String>,
    parts: &'a Parts<'a>,
    shipped: &'a Shipped,
    presets: &'a Presets<'a>,
) {
    let Tables { reader, secrets, plugins, sources, endpoints } = tables;
    let declared: Vec<Item<'_>> = plugins.iter().filter_map(|table| table.peek("name")).collect();
    let names = Names {
        plugins: named(&plugins, "name").into_iter().chain(lying.iter().cloned()).collect(),
        lying,
        sources: { sources.iter() }
            .filter_map(|table| {
                let text = |key: &str| table.peek(key)?.as_text().map(str::to_owned);
                Some((text("name")?, text("provider").unwrap_or_default()))
            })
            .collect(),
        providers: named(&sources, "provider"),
        secrets: config.secrets.keys().cloned().collect(),
        shipped,
        policy: Policy {
            allow: config.network.allow.clone(),
            own: vec![config.ingest.listen, config.admin.listen],
        },
        presets,
        parts,
        local: Some(config.ingest.listen.ip())
            .filter(|ip| ip.is_loopback() && config.ingest.trusted_proxies.is_empty()),
    };
    for tables in [&plugins, &sources, &endpoints] {
        refuse_duplicates(tables);
    }
    refuse_shared_public_keys(&sources);
    config.plugins = plugins.into_iter().filter_map(|table| plugin::read(table, &names)).collect();
    config.sources = sources.into_iter().filter_map(|table| source::read(table, &names)).collect();
    config.endpoints = endpoints.into_iter().filter_map(|table| endpoint::read(table, &names)).collect();
    note_idle_plugins(&declared, config, parts);
    if lying.is_empty() {
        // Those that are loaded while the gateway runs may be granted any.
        note_idle_secrets(reader, &secrets, config);
    }
    add_undeclared(config);
}

/// Notes the declared plugins that nobody uses.
fn note_idle_plugins(declared: &[Item<'_>], config: &Config, parts: &Parts<'_>) {
    for item in declared {
        let Some(name) = item.as_text() else { continue };
        let is_picked =
            |source: &Source| source.normalizer.is_none() && parts.picked(&source.provider).contains(&name);
        let uses = |source: &Source| {
            let is_shadow = source.shadow.as_deref() == Some(name);
            is_shadow || is_picked(source) || of_source(source).any(|used| used == name)
        };
        let of_endpoints = || config.endpoints.iter().flat_map(|endpoint| &endpoint.plugins);
        if !config.sources.iter().any(uses) && !of_endpoints().any(|used| used == name) {
            let wrong = format!("no source or endpoint uses the plugin {}", quote(name));
            item.idle(wrong, "name it where it is to be used, or take it out");
        }
    }
}

/// Notes the secrets that no plugin is granted.
fn note_idle_secrets(reader: &Reader<'_>, secrets: &[(String, At)], config: &Config) {
    let granted = || config.plugins.iter().flat_map(|plugin| &plugin.grants);
    for (name, at) in secrets {
        let is_granted = granted()
            .filter_map(|grant| grant.split_once(':'))
            .any(|(kind, of)| of == name && matches!(kind, "secret" | "reveal"));
        if !is_granted {
            let wrong = "no plugin is granted this secret";
            let remedy =
                format!("write `secret:{name}` in the `grants` of one that asks for it, or take it out");
            reader.note_idle(at.clone(), &format!("secrets.{name}"), wrong, remedy);
        }
    }
}

/// The plugins that a source names, but for its shadow.
fn of_source(source: &Source) -> impl Iterator<Item = &String> {
    let verifier = match &source.auth {
        Auth::Plugin { plugin } => Some(plugin),
        _ => None,
    };
    source.plugins.iter().chain(&source.normalizer).chain(verifier)
}

fn store(mut table: Table<'_>, config: &mut Config) {
    if let Some(item) = table.item("url") {
        match item.text() {
            None => {}
            Some("sled") => config.store.url = StoreUrl::Sled,
            // A URL may hold a password.
            Some(url) if url.starts_with("postgres:") || url.starts_with("postgresql:") => {
                item.wrong("PostgreSQL is not in this version", "write `sled`");
            }
            Some(_) => item.wrong("is not a store", "write `sled`"),
        }
    }
    if let Some(size) = table.item("min_free").and_then(|item| item.size(FREE_MIN, FREE_MAX)) {
        config.store.min_free = size;
    }
    table.finish();
}

fn listeners(root: &mut Table<'_>, config: &mut Config) {
    let mut table = root.table("ingest");
    let ingest = table.item("listen");
    if let Some(address) = ingest.as_ref().and_then(address) {
        config.ingest.listen = address;
    }
    if let Some(size) = table.item("max_body").and_then(|item| item.size(BODY_MIN, BODY_MAX)) {
        config.ingest.max_body = size.try_into().unwrap_or(usize::MAX);
    }
    if let Some(item) = table.item("trusted_proxies") {
        config.ingest.trusted_proxies = item.networks();
        if config.ingest.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
            item.wrong("everybody would be a proxy, and could say that anybody sent", "name those that are");
        }
    }
    table.finish();

    let mut table = root.table("admin");
    let admin = table.item("listen");
    if let Some(address) = admin.as_ref().and_then(address) {
        config.admin.listen = address;
    }
    if let Some(item) = table.item("token") {
        config.admin.token = item.secret().filter(|token| sendable(&item, token));
    }
    table.finish();
    let (public, private) = (canonical(config.ingest.listen), canonical(config.admin.listen));
    // All addresses of IPv6 are those of IPv4 too.
    let covers = |one: IpAddr, other: IpAddr| {
        one == other || one.is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    if public.port() == private.port()
        && public.port() != 0
        && (covers(public.ip(), private.ip()) || covers(private.ip(), public.ip()))
        && let Some(item) = admin.or(ingest)
    {
        item.wrong("the public and the private listener have the same port", "give each its own");
    }
}

/// The address under the one of its names that counts: an address of IPv4 has one of IPv6 too.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn address(item: &Item<'_>) -> Option<SocketAddr> {
    item.parsed("an address with a port", "write one such as `127.0.0.1:8400` or `[::]:8400`", str::parse)
}

/// Whether a token can stand in an `Authorization` header (RFC 6750, `b64token`).
fn sendable(item: &Item<'_>, token: &Secret) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let sendable = token.reveal().bytes().all(allowed);
    if !sendable {
        item.wrong("the token has a character that no bearer token has", "use A-Z, a-z, 0-9 and `-._~+/=`");
    }
    sendable
}

fn network(mut table: Table<'_>, config: &mut Config) {
    let items = table.item("allow").map(|item| item.items()).unwrap_or_default();
    let net = |item: &Item<'_>| item.network("write one such as `10.20.0.0/16`", str::parse);
    config.network.allow = items.iter().filter_map(net).collect();
    table.finish();
}

fn log(mut table: Table<'_>, config: &mut Config) {
    let remedy = "write `off`, `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,gateway::deliver=debug`";
    if let Some(item) = table.item("level")
        && let Some(options) = item.parsed("a level", remedy, telemetry::Options::parse)
    {
        config.log = options;
    }
    let reader = table.reader;
    if let Some(written) = reader.environment.get("BILLHOOK_LOG").filter(|written| !written.is_empty()) {
        match telemetry::Options::parse(written) {
            Ok(options) => config.log = options,
            Err(_) => {
                let at = At::Variable("BILLHOOK_LOG".to_owned());
                reader.note(at, "log.level", format!("{} is not a level", quote(written)), remedy);
            }
        }
    }
    table.finish();
}

fn secrets(mut table: Table<'_>) -> BTreeMap<String, Vec<Secret>> {
    let mut secrets = BTreeMap::new();
    for (name, item) in table.all() {
        if !is_name(&name) {
            item.wrong(format!("{} is not a name", quote(&name)), "write 1 to 64 of a-z, 0-9, `-` and `_`");
        }
        // One that cannot be read is noted; its name is kept, so that grants of it are not noted too.
        secrets.insert(name, item.secrets(|_| None));
    }
    secrets
}

/// The names that tables give under `key`, good or bad: a bad one is noted once, where it is given.
fn named(tables: &[Table<'_>], key: &str) -> BTreeSet<String> {
    tables.iter().filter_map(|table| table.peek(key)?.as_text().map(str::to_owned)).collect()
}

fn refuse_duplicates(tables: &[Table<'_>]) {
    let mut first = BTreeMap::new();
    for table in tables {
        let Some(item) = table.peek("name") else { continue };
        let Some(name) = item.as_text() else { continue };
        if let Some(other) = first.get(name) {
            item.wrong(format!("{} is the name of `{other}` too", quote(name)), "give each its own name");
        } else {
            first.insert(name, table.key.clone());
        }
    }
}

/// A public key alone says which source a request is for.
fn refuse_shared_public_keys(tables: &[Table<'_>]) {
    let mut first = BTreeMap::new();
    let keys = tables.iter().filter_map(|table| table.peek("public_keys"));
    for item in keys.filter(Item::is_list).flat_map(|item| item.items()) {
        let Some(key) = item.as_text() else { continue };
        if let Some(other) = first.get(key) {
            item.wrong(format!("{} stands in `{other}` too", quote(key)), "give each source keys of its own");
        } else {
            first.insert(key, item.key.clone());
        }
    }
}

/// A shipped plugin needs no `[[plugin]]` unless it is to be configured.
fn add_undeclared(config: &mut Config) {
    let of_endpoints = config.endpoints.iter().flat_map(|endpoint| &endpoint.plugins);
    let named: BTreeSet<String> =
        config.sources.iter().flat_map(of_source).chain(of_endpoints).cloned().collect();
    for name in named {
        if config.plugins.iter().all(|plugin| plugin.name != name) {
            let config_of = serde_json::Value::Object(serde_json::Map::new());
            let (sha256, grants, on_failure) = (Vec::new(), Vec::new(), OnFailure::Reject);
            config.plugins.push(PluginSpec {
                name,
                is_declared: false,
                component: None,
                shipped: None,
                sha256,
                config: config_of,
                config_line: None,
                grants,
                on_failure,
                limits: Limits::default(),
            });
        }
    }
}

/// Where the text is not TOML, on `broken` lines, part of it was not understood: what seems to be missing may be there, and
/// a name or key may not be what it seems. Such mistakes are left for the next run.
fn keep_what_is_certain(mistakes: &mut Vec<Mistake>, broken: &[At]) {
    if broken.is_empty() {
        return;
    }
    let guess = |mistake: &Mistake| match mistake.wrong.as_str() {
        UNKNOWN => broken.iter().any(|at| *at < mistake.at),
        wrong => {
            let unsure = wrong == MISSING
                || wrong.starts_with("no ")
                || wrong.contains("has no")
                || wrong.contains(" all normalize ")
                || wrong.starts_with("it has ")
                || wrong.contains("is not granted");
            unsure || mistake.remedy == endpoint::ALLOW
        }
    };
    mistakes.retain(|mistake| mistake.key.is_empty() || !guess(mistake) && !broken.contains(&mistake.at));
}
