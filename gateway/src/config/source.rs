//! `[[source]]`: the ways in.

use crate::config::mistake::quote;
use crate::config::plugin::{NORMALIZER, Role, SHADOW, STEP};
use crate::config::reader::{Item, Table};
use crate::config::{Names, auth};
use crate::model::refused::NO_SOURCE;
use crate::model::source::{Auth, Place, Source};
use crate::model::words::{all_of, did_you_mean};
use ipnet::IpNet;

/// The longest public key.
const PUBLIC_KEY_MAX: usize = 128;

/// Reads one `[[source]]`.
pub(super) fn read(mut table: Table<'_>, names: &Names<'_>) -> Option<Source> {
    let name = table.required("name", "name it: its webhooks are posted to `/in/NAME`").and_then(|item| {
        let name = item.name()?;
        if name == NO_SOURCE {
            item.wrong("`-` stands for no source where refused requests are listed", "give it another name");
            return None;
        }
        Some(name)
    });
    let normalizer = table.item("normalizer").and_then(|item| plugin(&item, &NORMALIZER, names));
    let provider_item = table.required("provider", "name the provider, which picks the normalizer");
    let provider = provider_item.as_ref().and_then(Item::name);
    if let (Some(item), Some(provider)) = (&provider_item, &provider)
        && normalizer.is_none()
    {
        known_provider(item, provider, names);
    }
    let no_auth = "say how a sender proves itself, such as `auth = { scheme = \"standard-webhooks\", secret = \"whsec_...\" }`";
    let auth =
        table.required("auth", no_auth).and_then(|item| auth::read(&item, normalizer.as_deref(), names));
    let event_type = table.item("event_type").map(|item| {
        let remedy = "write `header:NAME`, `query:NAME`, `pointer:/path`, `path` or `const:VALUE`";
        let places = places(item, remedy, |place| !matches!(place, Place::Body));
        places.into_iter().map(|(_, place)| place).collect()
    });
    let dedupe = table.item("dedupe").map(|item| dedupe(item, auth.as_ref()));
    let plugins = plugins(&mut table, &STEP, names);
    let shadow = table.item("shadow").and_then(|item| plugin(&item, &SHADOW, names));
    let public_keys = table.item("public_keys").map(|item| item.items()).unwrap_or_default();
    let public_keys: Vec<String> = public_keys.iter().filter_map(public_key).collect();
    if let (Some(Auth::PathKey), true) = (&auth, public_keys.is_empty()) {
        table.missing(
            "public_keys",
            "give the keys that `scheme = \"path-key\"` looks for, such as `[\"pub_...\"]`",
        );
    }
    let allow_from = table.item("allow_from").map(|item| allow_from(&item, names)).unwrap_or_default();
    let rate = table.item("rate").and_then(|item| {
        item.parsed(
            "a rate",
            "write one such as `500/s`, `30/m` or `100/h`, of 1 to 1000000 requests",
            str::parse,
        )
    });
    table.finish();
    Some(Source {
        name: name?,
        provider: provider?,
        normalizer,
        auth: auth?,
        event_type,
        dedupe,
        plugins,
        shadow,
        public_keys,
        allow_from,
        rate,
    })
}

/// Who may send.
fn allow_from(item: &Item<'_>, names: &Names<'_>) -> Vec<IpNet> {
    if item.is_list() && item.items().is_empty() {
        item.wrong("nobody may send", "give at least one network, or take it out: then anybody may");
    }
    let networks = item.networks();
    let is_local = |network: &IpNet, ip| network.contains(&ip) || network.addr().is_loopback();
    if let Some(ip) = names.local
        && !networks.is_empty()
        && !networks.iter().any(|network| is_local(network, ip))
    {
        let wrong = "every connection to `ingest.listen` comes from this machine, so that none is allowed";
        item.idle(wrong, "name the proxy before it in `ingest.trusted_proxies`, or listen elsewhere");
    }
    networks
}

/// `plugins`, in order.
pub(super) fn plugins(table: &mut Table<'_>, role: &Role, names: &Names<'_>) -> Vec<String> {
    let items = table.item("plugins").map(|item| item.items()).unwrap_or_default();
    for (n, item) in items.iter().enumerate() {
        let is_same = |before: &Item<'_>| before.as_text().is_some() && before.as_text() == item.as_text();
        if let Some(before) = items.iter().take(n).find(|before| is_same(before)) {
            item.idle(
                format!("the plugin is `{}` already", before.key),
                "take it out, unless it is to run twice",
            );
        }
    }
    items.iter().filter_map(|item| plugin(item, role, names)).collect()
}

/// The name of a plugin that is declared or shipped.
pub(super) fn plugin(item: &Item<'_>, role: &Role, names: &Names<'_>) -> Option<String> {
    let name = item.name()?;
    let known = || names.plugins.iter().chain(&names.shipped.plugins).map(String::as_str);
    if !known().any(|known| known == name) {
        let remedy = did_you_mean(&name, known(), || {
            format!(
                "declare it as a `[[plugin]]`, or name a shipped one: {}",
                all_of(names.shipped.plugins.iter().map(String::as_str))
            )
        });
        item.wrong(format!("no plugin is called {}", quote(&name)), remedy);
        return None;
    }
    role.hold(item, &name, names);
    Some(name)
}

/// Notes a provider that picks no normalizer, or several. A component of which nothing is known may name any provider:
/// that is seen when it is loaded.
fn known_provider(item: &Item<'_>, provider: &str, names: &Names<'_>) {
    let shipped = || names.shipped.providers.iter().map(String::as_str);
    match names.parts.picked(provider)[..] {
        [] if names.parts.are_unknown() || shipped().any(|known| known == provider) => return,
        [] => {}
        [_] => return,
        ref several if several.contains(&provider) => return,
        ref several => {
            let wrong = format!("{} all normalize {}", all_of(several.iter().copied()), quote(provider));
            item.wrong(wrong, "name one with `normalizer`");
            return;
        }
    }
    let remedy = did_you_mean(provider, shipped(), || {
        format!(
            "name a plugin with `normalizer`, or a provider that shipped ones know: {}",
            all_of(shipped())
        )
    });
    item.wrong(format!("no plugin knows the provider {}", quote(provider)), remedy);
}

fn dedupe(item: Item<'_>, auth: Option<&Auth>) -> Vec<Place> {
    let remedy = "write `header:NAME`, `pointer:/path` or `body`";
    let allowed = |place: &Place| matches!(place, Place::Header(_) | Place::Pointer(_) | Place::Body);
    let places = places(item, remedy, allowed);
    for (item, place) in &places {
        if let (Place::Header(name), Some(auth)) = (place, auth)
            && !auth.may_cover(name)
        {
            item.wrong(
                format!("no signature covers the header {}: it cannot tell a duplicate", quote(name)),
                "name a header that `auth` signs, a `pointer:/path` or `body`",
            );
        }
    }
    places.into_iter().map(|(_, place)| place).collect()
}

fn places<'a>(item: Item<'a>, remedy: &str, allowed: impl Fn(&Place) -> bool) -> Vec<(Item<'a>, Place)> {
    let place = |item: &Item<'_>| {
        item.parsed("a place for this", remedy, |text| {
            Place::try_from(text.to_owned()).ok().filter(&allowed).ok_or(())
        })
    };
    item.one_or_more().into_iter().filter_map(|item| place(&item).map(|place| (item, place))).collect()
}

fn public_key(item: &Item<'_>) -> Option<String> {
    item.parsed("a public key", "write 1 to 128 of A-Z, a-z, 0-9, `-` and `_`", |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let valid = (1..=PUBLIC_KEY_MAX).contains(&text.len()) && text.bytes().all(allowed);
        valid.then(|| text.to_owned()).ok_or(())
    })
}
