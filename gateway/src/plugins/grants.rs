//! What a plugin asks for and is granted beside log, clock and configuration.
//!
//! A grant is `secret:NAME`, `reveal:NAME`, `kv:NAME` or `http:HOST`. It counts only where the manifest asks for it and
//! the configuration gives it: where the two differ, the plugin is not loaded.

use crate::plugins::text::{SHOWN_MAX, one_line};
use std::collections::BTreeSet;
use url::Url;

/// The longest name in a grant, in bytes: of a host with its port.
const NAME_BYTES_MAX: usize = 260;

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Capability {
    /// The use of a secret.
    Secret,
    /// The sight of a secret.
    Reveal,
    /// A bucket.
    Kv,
    /// A host.
    Http,
}

/// Each with the word of its grants, and with the interface that it opens.
const CAPABILITIES: [(Capability, &str, &str); 4] = [
    (Capability::Secret, "secret", "secrets"),
    (Capability::Reveal, "reveal", "reveal"),
    (Capability::Kv, "kv", "kv"),
    (Capability::Http, "http", "http"),
];

/// What a plugin may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grants(BTreeSet<(Capability, String)>);

impl Grants {
    /// What is asked for and granted, if these are the same; else a sentence that names every difference.
    pub(super) fn settle(asked: &[String], granted: &[String]) -> Result<Grants, String> {
        let (missing, idle) = apart(asked, granted);
        let (missing, idle) = (list(&missing), list(&idle));
        let missing = missing.map(|list| {
            format!("asks for {list}, which it is not granted: add it to its `grants` if it may have it")
        });
        let idle = idle
            .map(|list| format!("is granted {list}, which it does not ask for: remove it from its `grants`"));
        match (missing, idle) {
            (None, None) => Ok(Grants(asked.iter().filter_map(|grant| parse(grant)).collect())),
            (missing, idle) => {
                let told = missing.into_iter().chain(idle).collect::<Vec<_>>().join("; it ");
                Err(one_line(&told, SHOWN_MAX))
            }
        }
    }

    /// Whether it has anything of a kind.
    pub(super) fn any(&self, of: Capability) -> bool {
        self.0.iter().any(|(capability, _)| *capability == of)
    }

    /// Whether a name was granted. To reveal a secret is to use it.
    pub(super) fn has(&self, of: Capability, name: &str) -> bool {
        let has = |of| self.0.contains(&(of, name.to_owned()));
        has(of) || (of == Capability::Secret && has(Capability::Reveal))
    }

    /// Whether the interface `name` is open to it; `None`: it needs no grant.
    pub(super) fn opens(&self, name: &str) -> Option<bool> {
        let (capability, ..) = CAPABILITIES.iter().find(|(.., interface)| *interface == name)?;
        let implied = *capability == Capability::Secret && self.any(Capability::Reveal);
        Some(self.any(*capability) || implied)
    }

    /// Whether `url` is at a host that was granted: as `http:HOST` at every port, as `http:HOST:PORT` at this one.
    pub(super) fn reaches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let host = host.trim_end_matches('.');
        let port = url.port_or_known_default().unwrap_or_default();
        let any = format!("{host}:{port}");
        self.0
            .iter()
            .filter(|(capability, _)| *capability == Capability::Http)
            .any(|(_, granted)| granted.eq_ignore_ascii_case(host) || granted.eq_ignore_ascii_case(&any))
    }
}

/// Why a manifest cannot ask for `grant`, if so.
pub(super) fn problem(grant: &str) -> Option<String> {
    parse(grant).is_none().then(|| {
        let shown = one_line(grant, NAME_BYTES_MAX);
        format!("asks for `{shown}`, which is no grant: write `secret:NAME`, `reveal:NAME`, `kv:NAME` or `http:HOST`")
    })
}

/// The secret that a grant names, if it is for one.
pub(super) fn secret(grant: &str) -> Option<&str> {
    grant.strip_prefix("secret:").or_else(|| grant.strip_prefix("reveal:"))
}

/// What a manifest must ask for, for a component to import the interface `name`.
pub(super) fn example(name: &str) -> String {
    let word =
        CAPABILITIES.iter().find(|(.., interface)| *interface == name).map_or(name, |(_, word, _)| word);
    format!("{word}:{}", if word == "http" { "HOST" } else { "NAME" })
}

fn parse(grant: &str) -> Option<(Capability, String)> {
    let (word, name) = grant.split_once(':')?;
    let (capability, ..) = CAPABILITIES.iter().find(|(_, known, _)| *known == word)?;
    let is_name =
        (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then(|| (*capability, name.to_owned()))
}

/// What is asked for and not granted, and what is granted and not asked for.
pub(super) fn apart<'a>(asked: &'a [String], granted: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
    let without = |these: &'a [String], those: &[String]| {
        these.iter().filter(|grant| !those.contains(grant)).map(String::as_str).collect()
    };
    (without(asked, granted), without(granted, asked))
}

fn list(grants: &[&str]) -> Option<String> {
    let quoted: Vec<String> = grants.iter().map(|grant| format!("`{grant}`")).collect();
    (!quoted.is_empty()).then(|| quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(list: &[&str]) -> Vec<String> {
        list.iter().map(|grant| (*grant).to_owned()).collect()
    }

    #[test]
    fn what_is_asked_for_must_be_granted_and_nothing_else() {
        assert!(Grants::settle(&grants(&["kv:a"]), &grants(&["kv:a"])).unwrap().has(Capability::Kv, "a"));
        let told = Grants::settle(&grants(&["kv:a", "secret:s", "http:h"]), &grants(&["http:h", "kv:b"]));
        let expected = "asks for `kv:a`, `secret:s`, which it is not granted: add it to its `grants` if it may have it; it is \
            granted `kv:b`, which it does not ask for: remove it from its `grants`";
        assert_eq!(told.unwrap_err(), expected);
    }

    #[test]
    fn a_grant_is_for_something_that_can_be_written() {
        let long = format!("kv:{}", "a".repeat(NAME_BYTES_MAX + 1));
        for (grant, is_one) in [
            ("kv:a", true),
            ("http:api.example.com:8443", true),
            ("kv:", false),
            ("kv", false),
            ("disk:a", false),
            ("kv:a b", false),
            ("kv:\u{1b}[31m", false),
            ("kv:\u{202e}", false),
            (&long, false),
        ] {
            let problem = problem(grant);
            assert_eq!(problem.is_none(), is_one, "{problem:?}");
            let harmless = |told: String| told.len() < 500 && !told.contains(['\u{1b}', '\u{202e}']);
            assert!(problem.is_none_or(harmless), "{grant}");
        }
    }

    #[test]
    fn an_interface_is_open_with_a_grant_of_its_kind() {
        let all = |list: &[&str]| Grants::settle(&grants(list), &grants(list)).unwrap();
        let cases = [
            (&["secret:a"][..], "secrets", Some(true)),
            (&["secret:a"], "reveal", Some(false)),
            (&["reveal:a"], "secrets", Some(true)),
            (&["kv:a"], "http", Some(false)),
            (&["http:h"], "http", Some(true)),
            (&[], "log", None),
        ];
        for (list, interface, expected) in cases {
            assert_eq!(all(list).opens(interface), expected, "{list:?} {interface}");
        }
        assert!(all(&["reveal:a"]).has(Capability::Secret, "a"));
        assert!(!all(&["secret:a"]).has(Capability::Reveal, "a"));
        assert_eq!(example("secrets"), "secret:NAME");
    }

    #[test]
    fn only_granted_hosts_are_reached_however_they_are_written() {
        let all =
            grants(&["http:api.example.com", "http:127.0.0.1:8080", "http:[::1]", "secret:other.example"]);
        let grants = Grants::settle(&all, &all).unwrap();
        let cases = [
            ("https://api.example.com/v1", true),
            ("http://API.example.com:8443/", true),
            ("https://api.example.com./", true),
            ("https://user:word@api.example.com/", true),
            ("http://[::1]:99/", true),
            ("http://127.0.0.1:8080/", true),
            ("http://127.1:8080/", true),
            ("http://127.0.0.1/", false),
            ("http://127.0.0.1:8081/", false),
            ("https://api.example.com@evil.example/", false),
            ("https://api.example.com.evil.example/", false),
            ("https://xapi.example.com/", false),
            ("https://other.example/", false),
            ("http://[::ffff:127.0.0.1]:8080/", false),
            ("data:text/plain,x", false),
        ];
        for (url, expected) in cases {
            assert_eq!(grants.reaches(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
