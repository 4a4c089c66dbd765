//! What would make a second arrival a duplicate.

use crate::ingest::Inlet;
use crate::ingest::arrival::Arrival;
use crate::model::source::{Place, Proof};
use crate::model::webhook::DedupeKey;
use billhook_event::Time;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::time::Duration;

/// How long an id is remembered: longer than any provider retries.
const ID_WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The key by the first rule of `inlet` that finds a value; `None`: every arrival is new.
///
/// A header counts only when the signature covers it: else whoever has seen one request could send it again under
/// another id. The families of Standard Webhooks are one: their names are not signed, and whoever has seen one request
/// could send it again under the others. A body counts together with its event name, since a provider that names the
/// event beside the body may send two events with equal bodies. One that says when its event was is as good as an id:
/// the same change at another time has another body. The rule is part of the key, so an id and a body never
/// collide.
pub(super) fn key(
    inlet: &Inlet,
    arrival: &Arrival,
    proof: &Proof,
    sha256: &[u8; 32],
    event_name: Option<&str>,
    now: Time,
) -> Option<DedupeKey> {
    let source = &inlet.source.name;
    inlet.dedupe.iter().find_map(|place| match place {
        Place::Header(_) | Place::Pointer(_) | Place::Query(_) => {
            let value = match place {
                Place::Header(name) => arrival.text(&Place::Header(covered(name, arrival, proof)?))?,
                _ => arrival.text(place)?,
            };
            Some(DedupeKey { hash: hash(source, place, &[value.as_bytes()]), until: now.plus(ID_WINDOW) })
        }
        Place::Body => {
            let parts = [sha256.as_slice(), event_name.unwrap_or_default().as_bytes()];
            let is_dated = arrival.first(&inlet.dated_by).is_some();
            let window = if is_dated { inlet.body_window.max(ID_WINDOW) } else { inlet.body_window };
            Some(DedupeKey { hash: hash(source, place, &parts), until: now.plus(window) })
        }
        // The same for every arrival, or for every event of a kind: no id.
        Place::Path | Place::Const(_) => None,
    })
}

/// Whether another body under a known id is nothing to look after: the provider's manifest finds the id in the body, the
/// rest of which such providers write anew when they send again. Under an id that is a header, or by a rule that the
/// operator chose, it may be another event, which is lost.
pub(super) fn may_differ(inlet: &Inlet) -> bool {
    inlet.source.dedupe.is_none() && inlet.dedupe.iter().any(|place| matches!(place, Place::Pointer(_)))
}

/// The header of this name, or of the like name of the other family, that a signature covers; or that a plugin vouches
/// for.
fn covered(name: &str, arrival: &Arrival, proof: &Proof) -> Option<String> {
    let signed = proof.signed_headers.iter().find(|signed| one_name(signed) == one_name(name));
    let vouched = || arrival.text(&Place::Header(name.to_owned())) == proof.delivery_id;
    let own = || (proof.delivery_id.is_some() && vouched()).then(|| name.to_owned());
    signed.cloned().or_else(own)
}

/// One name for a header of either family of Standard Webhooks.
fn one_name(name: &str) -> Cow<'_, str> {
    name.strip_prefix("svix-").map_or(Cow::Borrowed(name), |rest| Cow::Owned(format!("webhook-{rest}")))
}

/// SHA-256 of source, rule and value, each with its length before it, cut to 16 bytes.
fn hash(source: &str, place: &Place, value: &[&[u8]]) -> [u8; 16] {
    let place = match place {
        Place::Header(name) => String::from(Place::Header(one_name(name).into_owned())),
        place => String::from(place.clone()),
    };
    let mut hash = Sha256::new();
    for part in [source.as_bytes(), place.as_bytes()].iter().chain(value) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[..16].try_into().expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::arrival::tests::arrival;
    use crate::ingest::tests::inlet;
    use crate::model::source::Auth;
    use billhook_event::Verified;

    const NOW: Time = Time::from_secs(1_700_000_000);

    fn find(
        rules: &[&str],
        arrival: &Arrival,
        signed: &[&str],
        event_name: Option<&str>,
    ) -> Option<DedupeKey> {
        let dedupe = rules.iter().map(|rule| Place::try_from((*rule).to_owned()).unwrap()).collect();
        let body_window = Duration::from_secs(60);
        let dated_by = vec![Place::Pointer("/at".to_owned())];
        let inlet = Inlet { dedupe, body_window, dated_by, ..inlet("s", Auth::None) };
        let signed_headers = signed.iter().map(|name| (*name).to_owned()).collect();
        let proof = Proof { verified: Verified::Signature, signed_headers, delivery_id: None };
        key(&inlet, arrival, &proof, &Sha256::digest(&arrival.body).into(), event_name, NOW)
    }

    #[test]
    fn the_first_rule_with_a_value_counts_and_a_header_only_if_it_is_signed() {
        let rules = ["header:webhook-id", "header:svix-id", "pointer:/eventId", "body"];
        let (id, body) = (NOW.plus(ID_WINDOW), NOW.plus(Duration::from_secs(60)));
        let json = r#"{"eventId":"e1"}"#;
        let cases = [
            (Some("webhook-id"), json, Some("webhook-id"), id),
            (Some("webhook-id"), "{}", None, body),
            (None, json, None, id),
            (None, r#"{"eventId":null}"#, None, body),
            (None, "not json", None, body),
            (None, r#"{"at":1}"#, None, id),
        ];
        let mut seen = std::collections::HashSet::new();
        for (header, body, signed, until) in cases {
            let headers: Vec<_> = header.into_iter().map(|name| (name, "1")).collect();
            let signed: Vec<_> = signed.into_iter().collect();
            let key = find(&rules, &arrival(&headers, body), &signed, None).unwrap();
            assert_eq!(key.until, until, "{header:?} {body}");
            assert!(seen.insert(key.hash), "{header:?} {body}: the key of another");
        }
    }

    #[test]
    fn the_other_family_of_standard_webhooks_makes_no_other_key() {
        let of = |rule: &str, family: &str| {
            let id: &'static str = if family == "svix" { "svix-id" } else { "webhook-id" };
            find(&[rule], &arrival(&[(id, "msg_1")], "{}"), &[id], None)
        };
        let first = of("header:webhook-id", "webhook");
        assert!(first.is_some());
        for (rule, family) in
            [("header:webhook-id", "svix"), ("header:svix-id", "svix"), ("header:svix-id", "webhook")]
        {
            assert_eq!(of(rule, family), first, "{rule} {family}");
        }
    }

    #[test]
    fn without_a_rule_that_finds_something_every_arrival_is_new() {
        for rules in [&[][..], &["header:x-id"], &["pointer:/id"], &["query:id"], &["path"], &["const:x"]] {
            assert_eq!(find(rules, &arrival(&[("x-id", "1")], "{}"), &[], None), None, "{rules:?}");
        }
    }

    #[test]
    fn another_body_is_expected_under_an_id_that_a_manifest_finds_in_it() {
        let rules = |of: &str| vec![Place::try_from(of.to_owned()).unwrap(), Place::Body];
        for (rule, is_operators, expected) in [
            ("pointer:/event_id", false, true),
            ("pointer:/event_id", true, false),
            ("header:webhook-id", false, false),
            ("header:webhook-id", true, false),
        ] {
            let mut inlet = Inlet { dedupe: rules(rule), ..inlet("s", Auth::None) };
            inlet.source.dedupe = is_operators.then(|| rules(rule));
            assert_eq!(may_differ(&inlet), expected, "{rule} {is_operators}");
        }
    }

    #[test]
    fn equal_bodies_are_duplicates_unless_the_event_is_named_beside_them() {
        let of = |body: &str, name| find(&["body"], &arrival(&[], body), &[], name).unwrap().hash;
        assert_eq!(of("{}", None), of("{}", None));
        assert_ne!(of("{}", None), of("{ }", None));
        assert_ne!(of("{}", Some("paid")), of("{}", Some("voided")));
    }
}
