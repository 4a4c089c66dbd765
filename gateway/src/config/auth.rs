//! `auth` of a source: how a sender proves itself.

use crate::config::mistake::quote;
use crate::config::plugin::VERIFIER;
use crate::config::reader::{Item, Table};
use crate::config::value::inbound_problem;
use crate::config::{Names, source};
use crate::model::secret::Secret;
use crate::model::signature;
use crate::model::source::{Auth, Encoding, Grammar, Hash, Hmac, KeyEncoding, SCHEMES, TimestampUnit};
use crate::model::words::{all_of, any_of, did_you_mean};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use std::time::Duration;
use toml::de::DeTable;

/// How far a signed time may be off unless the file says so: five minutes, as Standard Webhooks libraries have it.
const TOLERANCE: Duration = Duration::from_secs(300);
/// The least and the most that it may be off.
const TOLERANCE_MIN: Duration = Duration::from_secs(1);
const TOLERANCE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Reads an `auth` table. Its scheme may be the name of a provider: then what a manifest says of it counts where the table
/// is silent: that of the source's `normalizer`, else of the plugin that the provider would pick, else of a shipped one.
pub(super) fn read<'a>(item: &Item<'a>, normalizer: Option<&str>, names: &Names<'a>) -> Option<Auth> {
    if item.as_text().is_some() {
        item.wrong("a string stands where a table belongs", "write `{ scheme = \"...\" }`");
        return None;
    }
    let mut table = item.table()?;
    let scheme = table.required("scheme", &format!("write {}", any_of(SCHEMES)))?;
    let written = scheme.text()?;
    let preset = preset(written, normalizer, names);
    let of_preset = preset.and_then(|preset| preset.get("scheme")?.get_ref().as_str());
    if let Some(preset) = preset {
        table.fill_from(preset);
    }
    let auth = match of_preset.unwrap_or(written) {
        "standard-webhooks" => standard_webhooks(&mut table),
        "hmac" => hmac(&mut table).map(Auth::Hmac),
        "basic" => basic(&mut table),
        "header" => {
            let name = table
                .required("header", "name the header that holds the secret")
                .and_then(|item| item.header());
            let secrets = secrets(&mut table, header_problem);
            name.map(|name| Auth::Header { name, secrets })
        }
        "query" => {
            let name = table.required("name", "name the value of the query that holds the secret");
            let secrets = secrets(&mut table, |_| None);
            name.and_then(|item| item.text()).map(|name| Auth::Query { name: name.to_owned(), secrets })
        }
        "path-key" => Some(Auth::PathKey),
        "plugin" => {
            let name = table.required("plugin", "name the plugin that judges");
            name.and_then(|item| source::plugin(&item, &VERIFIER, names))
                .map(|plugin| Auth::Plugin { plugin })
        }
        "none" => Some(Auth::None),
        _ if preset.is_some() => {
            let wrong =
                format!("the preset of {} is of a scheme that this version does not know", quote(written));
            scheme.wrong(wrong, format!("write {}", any_of(SCHEMES)));
            return None;
        }
        _ => {
            // What else stands in the table belongs to a scheme that we do not know.
            unknown(&scheme, written, names);
            return None;
        }
    };
    table.finish();
    auth
}

fn preset<'a>(scheme: &str, normalizer: Option<&str>, names: &Names<'a>) -> Option<&'a DeTable<'a>> {
    if SCHEMES.contains(&scheme) {
        return None;
    }
    let picked = names.parts.picked(scheme);
    let first = picked.iter().find(|name| **name == scheme).or(picked.first()).copied();
    let of = |plugin: &str| {
        let mut presets = names.presets.iter();
        presets.find(|(of, _)| **of == (plugin, scheme)).map(|(_, preset)| preset)
    };
    normalizer.and_then(of).or_else(|| first.and_then(of)).or_else(|| of(""))
}

fn unknown(scheme: &Item<'_>, written: &str, names: &Names<'_>) {
    let provider = names.shipped.providers.iter().any(|provider| provider == written)
        || !names.parts.picked(written).is_empty();
    let presets: BTreeSet<&str> = names.presets.keys().map(|(_, provider)| *provider).collect();
    let presets = || presets.iter().copied();
    let choice = || match names.presets.is_empty() {
        true => format!("write {}", any_of(SCHEMES)),
        false => format!("write {}, or a provider that has a preset: {}", any_of(SCHEMES), all_of(presets())),
    };
    if provider {
        scheme.wrong(format!("the provider {} has no preset", quote(written)), choice());
    } else {
        let remedy = did_you_mean(written, SCHEMES.into_iter().chain(presets()), choice);
        scheme.wrong(format!("{} is not a scheme", quote(written)), remedy);
    }
}

fn secrets(table: &mut Table<'_>, problem: impl Fn(&Secret) -> Option<(String, String)>) -> Vec<Secret> {
    let remedy = "write the secret, `env:NAME`, `file:PATH` or a list of them";
    table.required("secret", remedy).map(|item| item.secrets(problem)).unwrap_or_default()
}

fn tolerance(table: &mut Table<'_>) -> Option<Duration> {
    table.item("tolerance").and_then(|item| item.duration(TOLERANCE_MIN, TOLERANCE_MAX))
}

fn standard_webhooks(table: &mut Table<'_>) -> Option<Auth> {
    let tolerance = tolerance(table).unwrap_or(TOLERANCE);
    let public_keys = table.item("public_key").map(|item| {
        let key = |item: &Item<'_>| {
            let key = signature::public_key(item.text()?);
            if key.is_none() {
                // Not quoted: somebody may have written the secret here.
                let remedy = "copy the whole `whpk_...` from the provider's page";
                item.wrong("is not an ed25519 public key", remedy);
            }
            key
        };
        item.some("no key is given").iter().filter_map(key).collect()
    });
    // Who signs with a private key needs no secret.
    let secrets = match (&public_keys, table.item("secret")) {
        (_, Some(item)) => item.secrets(inbound_problem),
        (Some(_), None) => Vec::new(),
        (None, None) => secrets(table, inbound_problem),
    };
    Some(Auth::StandardWebhooks { secrets, public_keys: public_keys.unwrap_or_default(), tolerance })
}

fn basic(table: &mut Table<'_>) -> Option<Auth> {
    let user = table.required("user", "write the user name that the provider sends");
    let user = user.and_then(|item| {
        let user = item.text()?;
        if user.contains(':') {
            // Not quoted: what follows may be the password.
            item.wrong("holds a `:`, which no user name does", "write the password as `secret`");
            return None;
        }
        Some(user.to_owned())
    });
    let secrets = secrets(table, |_| None);
    user.map(|user| Auth::Basic { user, secrets })
}

fn hmac(table: &mut Table<'_>) -> Option<Hmac> {
    let header =
        table.required("header", "name the header that holds the signature").and_then(|item| item.header());
    let grammar = grammar(table);
    let in_grammar = matches!(grammar, Some(Grammar::Positional | Grammar::Pairs { timestamp: Some(_), .. }));
    let timestamp_header = table.item("timestamp_header").and_then(|item| {
        if in_grammar {
            // It would count as signed, and what is signed is the other.
            item.wrong("the time stands in the header of the signature already", "take it out");
        }
        item.header()
    });
    let id_header = table.item("id_header").and_then(|item| item.header());
    let timed = in_grammar || timestamp_header.is_some();
    let template = template(table, timed, id_header.is_some(), grammar.is_some());

    let units = [("s", TimestampUnit::S), ("ms", TimestampUnit::Ms)];
    let timestamp_unit = table.item("timestamp_unit").and_then(|item| item.one_of("a unit of time", &units));
    let hashes = [("sha1", Hash::Sha1), ("sha256", Hash::Sha256), ("sha512", Hash::Sha512)];
    let hash = table.item("hash").and_then(|item| item.one_of("a hash", &hashes));
    let keys = [
        ("utf8", KeyEncoding::Utf8),
        ("base64", KeyEncoding::Base64),
        ("hex", KeyEncoding::Hex),
        ("sha1", KeyEncoding::Sha1),
    ];
    let key =
        table.item("key").and_then(|item| item.one_of("a form of key", &keys)).unwrap_or(KeyEncoding::Utf8);
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding = table.item("encoding").and_then(|item| item.one_of("an encoding", &encodings));
    let secrets = secrets(table, |secret| key_problem(key, secret));
    let tolerance = match table.item("tolerance") {
        Some(item) if !timed && grammar.is_some() => {
            item.wrong("there is no signed time to compare", "say where it is, or take `tolerance` out");
            None
        }
        Some(item) => item.duration(TOLERANCE_MIN, TOLERANCE_MAX),
        None => timed.then_some(TOLERANCE),
    };
    Some(Hmac {
        secrets,
        header: header?,
        grammar: grammar?,
        template,
        timestamp_header,
        id_header,
        timestamp_unit: timestamp_unit.unwrap_or(TimestampUnit::S),
        hash: hash.unwrap_or(Hash::Sha256),
        key,
        encoding: encoding.unwrap_or(Encoding::Hex),
        tolerance,
    })
}

/// Reads `format` and the keys that belong to it; those of other formats are refused.
fn grammar(table: &mut Table<'_>) -> Option<Grammar> {
    let formats = ["plain", "prefix", "pairs", "positional"].map(|format| (format, format));
    let format = match table.item("format") {
        None => Some("plain"),
        Some(item) => item.one_of("a format of a signature header", &formats),
    };
    let mut of_format = |key, of: &str| {
        let item = table.item(key)?;
        match format {
            Some(format) if format != of => {
                let remedy = format!("take it out, or write `format = \"{of}\"`");
                item.wrong(format!("means nothing with `format = \"{format}\"`"), remedy);
                None
            }
            _ => Some(item),
        }
    };
    let prefix = of_format("prefix", "prefix");
    let separator = of_format("separator", "pairs")
        .and_then(|item| item.one_of("a separator", &[(",", ','), (";", ';')]));
    let timestamp = of_format("timestamp_key", "pairs").and_then(|item| item.text()).map(str::to_owned);
    let signature = of_format("signature_key", "pairs");
    match format? {
        "prefix" => {
            let prefix = prefix.or_else(|| {
                table.required("prefix", "write what stands before the signature, such as `sha256=`")
            });
            prefix?.text().map(|prefix| Grammar::Prefix(prefix.to_owned()))
        }
        "pairs" => {
            let signature = signature
                .or_else(|| table.required("signature_key", "name the key of the signature, such as `v1`"));
            let signature = signature?.text()?.to_owned();
            Some(Grammar::Pairs { separator: separator.unwrap_or(','), timestamp, signature })
        }
        "positional" => Some(Grammar::Positional),
        _ => Some(Grammar::Plain),
    }
}

/// Reads the template, and checks that it signs the body and whatever is said to be signed. A time or id that came
/// unsigned could be replaced by anybody.
fn template(table: &mut Table<'_>, timed: bool, identified: bool, grammar_is_known: bool) -> String {
    let item = table.item("template");
    let written = item.as_ref().and_then(|item| item.text());
    let template = written.unwrap_or("{body}");
    let note = |wrong: &str, remedy: &str| match &item {
        Some(item) => item.wrong(wrong, remedy),
        None => table.reader.note(table.at.clone(), &format!("{}.template", table.key), wrong, remedy),
    };
    if item.is_some() && written.is_none() {
        return String::new();
    }
    let rest = ["{body}", "{timestamp}", "{id}"]
        .iter()
        .fold(template.to_owned(), |rest, name| rest.replace(name, ""));
    if rest.contains(['{', '}']) {
        note(
            &format!("{} holds an unknown place", quote(template)),
            "use `{body}`, `{timestamp}` and `{id}`",
        );
    }
    if !template.contains("{body}") {
        note(&format!("{} does not sign the body", quote(template)), "write a template with `{body}`");
    }
    match (template.contains("{timestamp}"), timed) {
        (false, true) => note(
            "the time is given but not signed",
            "write a template with `{timestamp}`, such as `{timestamp}.{body}`",
        ),
        (true, false) if grammar_is_known => {
            note(
                "nothing says where the signed time is",
                "add `timestamp_header`, or `timestamp_key` with `format = \"pairs\"`",
            );
        }
        _ => {}
    }
    match (template.contains("{id}"), identified) {
        (true, false) => note("nothing says where the signed id is", "add `id_header`"),
        (false, true) => {
            note("the id is given but not signed", "write a template with `{id}`, or take `id_header` out")
        }
        _ => {}
    }
    template.to_owned()
}

/// Why a secret can never be what a header says, if so: blanks around a value are not part of it (RFC 9110, 5.5).
fn header_problem(secret: &Secret) -> Option<(String, String)> {
    let text = secret.reveal();
    let fits = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text == text.trim_matches(' ');
    let wrong = "the secret begins or ends with a blank, or is not visible ASCII on one line: no header is";
    (!fits).then(|| (wrong.to_owned(), "write the secret as the provider sends it".to_owned()))
}

fn key_problem(key: KeyEncoding, secret: &Secret) -> Option<(String, String)> {
    let (decodes, what) = match key {
        KeyEncoding::Utf8 | KeyEncoding::Sha1 => (true, ""),
        KeyEncoding::Base64 => (STANDARD.decode(secret.reveal()).is_ok(), "base64"),
        KeyEncoding::Hex => (hex::decode(secret.reveal()).is_ok(), "hex"),
    };
    (!decodes).then(|| {
        (format!("the secret is not {what}, which `key` says it is"), "mend the secret or `key`".to_owned())
    })
}
