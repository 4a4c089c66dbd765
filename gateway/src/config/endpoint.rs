//! `[[endpoint]]`: the ways out.

use crate::config::mistake::quote;
use crate::config::plugin::ENDPOINT_STEP;
use crate::config::reader::{Item, Table};
use crate::config::source::plugins;
use crate::config::{Names, headers, profile, schedule};
use crate::model::endpoint::{DISABLE_AFTER, Endpoint, Ordering, Stale, Terms};
use crate::model::id::EndpointId;
use crate::model::route;
use crate::model::words::{all_of, did_you_mean, nearest};
use crate::outbound::address::{Forbidden, literal};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use url::{Host, Url};

/// What lets an endpoint be where nothing is sent.
pub(super) const ALLOW: &str = "name its network in `network.allow` to deliver there";
/// How long one attempt may take unless the file says so, as Standard Webhooks 1.0.0 recommends (15 to 30 s).
const TIMEOUT: Duration = Duration::from_secs(15);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// Attempts that may be under way at once unless the file says so.
const CONCURRENCY: u64 = 16;
const CONCURRENCY_MAX: u64 = 1024;
/// An endpoint is not disabled before it had trials, and by ten years, as `10 years` is read, it never is.
const DISABLE_AFTER_MIN: Duration = Duration::from_secs(3600);
const DISABLE_AFTER_MAX: Duration = Duration::from_secs(10 * 31_557_600);

/// Reads one `[[endpoint]]`.
pub(super) fn read(mut table: Table<'_>, names: &Names<'_>) -> Option<Endpoint> {
    let name = table.required("name", "name it").and_then(|item| item.name());
    let mut url = table
        .required("url", "write where to post, such as `https://app.example.com/hooks`")
        .and_then(|item| url(&item, names));
    let headers = headers::read(&mut table, url.as_ref());
    let (profile, manner, secrets) = profile::read(&mut table, headers, url.as_ref());
    let event_items = table.item("events").map(|item| item.items()).unwrap_or_default();
    let events = event_items.iter().filter_map(|item| pattern(item, names)).collect();
    let sources = table.item("sources").map(|item| item.items()).unwrap_or_default();
    let sources: Vec<String> = sources.iter().filter_map(|item| source(item, names)).collect();
    note_idle_patterns(&event_items, &sources, names);
    let plugins = plugins(&mut table, &ENDPOINT_STEP, names);
    let timeout = table.item("timeout").and_then(|item| item.duration(TIMEOUT_MIN, TIMEOUT_MAX));
    let concurrency = table.item("concurrency").and_then(|item| item.number(1, CONCURRENCY_MAX));
    let disable_after =
        table.item("disable_after").and_then(|item| item.duration(DISABLE_AFTER_MIN, DISABLE_AFTER_MAX));
    let terms = terms(&mut table);
    let schedule = table.item("schedule").and_then(|item| schedule::read(&item));
    headers::query(&mut table, url.as_mut());
    table.finish();
    let name = name?;
    Some(Endpoint {
        id: EndpointId::derive(&name),
        name,
        url: url?,
        secrets,
        events,
        sources,
        plugins,
        schedule: schedule.unwrap_or_else(|| profile.schedule()),
        timeout: timeout.unwrap_or(TIMEOUT),
        concurrency: concurrency.unwrap_or(CONCURRENCY).try_into().unwrap_or(1),
        manner,
        disable_after: disable_after.unwrap_or(DISABLE_AFTER),
        terms,
    })
}

fn terms(table: &mut Table<'_>) -> Terms {
    let rate = table.item("rate").and_then(|item| {
        item.parsed(
            "a rate",
            "write one such as `100/s`, `30/m` or `500/h`, of 1 to 1000000 requests",
            str::parse,
        )
    });
    let ordering = table.item("ordering").and_then(|item| item.one_of("an ordering", &Ordering::NAMED));
    let stale =
        table.item("stale").and_then(|item| item.one_of("a way to treat what is stale", &Stale::NAMED));
    let livemode = table.item("livemode").and_then(|item| livemode(&item));
    Terms { rate, ordering: ordering.unwrap_or_default(), stale: stale.unwrap_or_default(), livemode }
}

/// `true`, `false` or `"both"`, which is none of them.
fn livemode(item: &Item<'_>) -> Option<bool> {
    let mode = item.truth();
    if mode.is_none() && item.as_text() != Some("both") {
        item.wrong("is no mode", "write `true`, `false` or `\"both\"`");
    }
    mode
}

/// A URL may hold a password or a token, so nothing of it is quoted after the host.
fn url(item: &Item<'_>, names: &Names<'_>) -> Option<Url> {
    let remedy = "write a URL such as `https://app.example.com/hooks`";
    let Ok(url) = Url::parse(item.text()?) else {
        item.wrong("is not a URL", remedy);
        return None;
    };
    if !matches!(url.scheme(), "http" | "https") {
        item.wrong(format!("{} is not a scheme that webhooks are posted by", quote(url.scheme())), remedy);
        return None;
    }
    if url.fragment().is_some() {
        item.wrong("what follows `#` is never sent", "take it out");
        return None;
    }
    // Another name is looked at when it is resolved.
    let ips = url.host().map(|host| match literal(&host) {
        Some(ip) => vec![ip],
        None if is_of_this_machine(&host) => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
        None => Vec::new(),
    });
    let port = url.port_or_known_default().unwrap_or_default();
    // Of several addresses one that is open is enough: which of them a name has is not known yet.
    let checks = ips.unwrap_or_default().into_iter().map(|ip| names.policy.check(ip, port));
    match checks.reduce(Result::or).unwrap_or(Ok(())) {
        Ok(()) => Some(url),
        Err(Forbidden::Net { ip, what, net }) => {
            item.wrong(format!("nothing is sent to {ip}, which is {what} ({net})"), ALLOW);
            None
        }
        Err(own @ Forbidden::Own(_)) => {
            item.wrong(own.to_string(), "write where the receiver listens");
            None
        }
    }
}

/// Whether a name is this machine's wherever it is looked up (RFC 6761, 6.3).
fn is_of_this_machine(host: &Host<&str>) -> bool {
    let Host::Domain(name) = host else { return false };
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn pattern(item: &Item<'_>, names: &Names<'_>) -> Option<String> {
    let text = item.text()?;
    if route::problem(text).is_some() {
        let choice = "write a canonical type, `family.*`, `*`, `provider/NAME` or `provider/*`".to_owned();
        let kinds = billhook_event::kind::KINDS;
        let families = kinds.iter().filter_map(|kind| Some(format!("{}.*", kind.split_once('.')?.0)));
        let families: BTreeSet<String> = families.collect();
        let families = families.iter().map(String::as_str);
        let found = match text.ends_with(".*") {
            true => nearest(text, families),
            false => nearest(text, families.chain(kinds.iter().copied())),
        };
        let remedy = found.map_or(choice, |pattern| format!("did you mean `{pattern}`?"));
        item.wrong(format!("{} matches no event", quote(text)), remedy);
        return None;
    }
    if let Some((provider, _)) = text.split_once('/')
        && !names.providers.contains(provider)
        // A source that is mended may be of it.
        && !item.reader.has_noted(".provider")
    {
        let known = || names.providers.iter().map(String::as_str);
        let remedy = did_you_mean(provider, known(), || {
            format!("write a provider that a `[[source]]` has, of which there are {}", all_of(known()))
        });
        item.wrong(format!("no source has the provider {}", quote(provider)), remedy);
        return None;
    }
    Some(text.to_owned())
}

/// Notes the events of providers that none of an endpoint's sources has.
fn note_idle_patterns(events: &[Item<'_>], sources: &[String], names: &Names<'_>) {
    for item in events {
        let provider = item.as_text().and_then(|text| text.split_once('/')).map(|(provider, _)| provider);
        let is_of = |source: &String| names.sources.get(source).map(String::as_str) == provider;
        if let Some(provider) = provider.filter(|_| !sources.is_empty() && !sources.iter().any(is_of)) {
            let wrong = format!("none of the `sources` has the provider {}", quote(provider));
            item.idle(wrong, "add one that has, or take it out");
        }
    }
}

fn source(item: &Item<'_>, names: &Names<'_>) -> Option<String> {
    let name = item.name()?;
    if !names.sources.contains_key(&name) {
        let remedy = did_you_mean(&name, names.sources.keys().map(String::as_str), || {
            "declare it as a `[[source]]`".to_owned()
        });
        item.wrong(format!("no source is called {}", quote(&name)), remedy);
        return None;
    }
    Some(name)
}
