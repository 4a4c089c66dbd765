//! Whether a request is genuine: one function for each scheme.

use crate::ingest::arrival::Arrival;
use crate::model::refused::Presented;
use crate::model::secret::Secret;
use crate::model::signature::{self, Parts, Refusal, Signed};
use crate::model::source::{Auth, FAMILIES, Hmac, Place, Proof, Source};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billhook_event::{Time, Verified};
use ed25519_dalek::VerifyingKey;
use http::header::AUTHORIZATION;
use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;
use subtle::Choice;

/// Whether `source` takes anything from `remote`.
pub(super) fn allowed(source: &Source, remote: IpAddr) -> Result<(), Refusal> {
    if !source.allow_from.is_empty() && !source.allow_from.iter().any(|network| network.contains(&remote)) {
        return Err(Refusal::Address(remote));
    }
    Ok(())
}

/// What `arrival` from `remote` proves under the scheme of `source`, or why it proves nothing.
pub(super) fn authenticate(
    source: &Source,
    arrival: &Arrival,
    remote: IpAddr,
    now: Time,
) -> Result<Proof, Refusal> {
    allowed(source, remote)?;
    match &source.auth {
        Auth::StandardWebhooks { secrets, public_keys, tolerance } => {
            standard_webhooks(secrets, public_keys, *tolerance, arrival, now)
        }
        Auth::Hmac(scheme) => hmac(scheme, arrival, now),
        Auth::Basic { .. } | Auth::Header { .. } | Auth::Query { .. } => static_secret(&source.auth, arrival),
        Auth::PathKey => path_key(source, arrival),
        Auth::None => Ok(unsigned(Verified::None)),
        Auth::Plugin { plugin } => Err(Refusal::ByPlugin(format!("the plugin `{plugin}` was not asked"))),
    }
}

fn standard_webhooks(
    secrets: &[Secret],
    public_keys: &[VerifyingKey],
    tolerance: Duration,
    arrival: &Arrival,
    now: Time,
) -> Result<Proof, Refusal> {
    let keys = secrets
        .iter()
        .map(|secret| signature::standard_key(secret.reveal()))
        .collect::<Result<Vec<_>, _>>()?;
    // Whoever sends both families signs both alike; the specification's own counts.
    let there = |family: &&str| arrival.headers.contains_key(format!("{family}-signature"));
    let family = FAMILIES.into_iter().find(there).unwrap_or(FAMILIES[0]);
    let (id, timestamp) = (format!("{family}-id"), format!("{family}-timestamp"));
    let signed = Signed {
        signature: arrival.only_header(&format!("{family}-signature"))?,
        id: arrival.only_header(&id)?,
        timestamp: arrival.only_header(&timestamp)?,
        body: &arrival.body,
    };
    match signature::verify_v1(&keys, signed, now, tolerance) {
        Err(Refusal::NoMatch) if !public_keys.is_empty() => {
            signature::verify_v1a(public_keys, signed, now, tolerance)?;
        }
        verified => verified?,
    }
    Ok(Proof { verified: Verified::Signature, signed_headers: vec![id, timestamp], delivery_id: None })
}

fn hmac(scheme: &Hmac, arrival: &Arrival, now: Time) -> Result<Proof, Refusal> {
    let own = |name: &Option<String>| name.as_deref().map(|name| arrival.only_header(name)).transpose();
    let parts = Parts {
        signature: arrival.only_header(&scheme.header)?,
        timestamp: own(&scheme.timestamp_header)?,
        id: own(&scheme.id_header)?,
        body: &arrival.body,
    };
    signature::verify_hmac(scheme, parts, now)?;
    let signed_headers = scheme.signed_headers().map(str::to_owned).collect();
    Ok(Proof { verified: Verified::Signature, signed_headers, delivery_id: None })
}

/// A secret that senders write as it is: where, what is taken, and what it proves.
struct Static<'a> {
    place: Place,
    known: Vec<Cow<'a, str>>,
    proves: Verified,
}

impl Static<'_> {
    /// The secret of a scheme that has one of this kind, and what stands in its place.
    fn of<'a>(auth: &'a Auth, arrival: &'a Arrival) -> Option<(Static<'a>, Result<Cow<'a, str>, Refusal>)> {
        let live =
            |secrets: &'a [Secret]| secrets.iter().map(Secret::reveal).filter(|secret| !secret.is_empty());
        match auth {
            Auth::Basic { user, secrets } => {
                let place = Place::Header(AUTHORIZATION.as_str().to_owned());
                let known = live(secrets).map(|secret| format!("{user}:{secret}").into()).collect();
                let value = credentials(arrival).map(Cow::Owned);
                let value = value.map_err(|refusal| Refusal::NoCredentials(Box::new(refusal)));
                Some((Static { place, known, proves: Verified::Basic }, value))
            }
            Auth::Header { name, secrets } => {
                let (place, known) =
                    (Place::Header(name.clone()), live(secrets).map(Cow::Borrowed).collect());
                let value = arrival.only_header(name).map(Cow::Borrowed);
                Some((Static { place, known, proves: Verified::StaticHeader }, value))
            }
            Auth::Query { name, secrets } => {
                let (place, known) = (Place::Query(name.clone()), live(secrets).map(Cow::Borrowed).collect());
                Some((Static { place, known, proves: Verified::QueryToken }, arrival.only_query(name)))
            }
            Auth::StandardWebhooks { .. } | Auth::Hmac(_) | Auth::PathKey => None,
            Auth::Plugin { .. } | Auth::None => None,
        }
    }
}

/// Compares hashes, so that the time it takes tells neither length nor content, and all of them.
fn static_secret(auth: &Auth, arrival: &Arrival) -> Result<Proof, Refusal> {
    let Some((secret, value)) = Static::of(auth, arrival) else { return Ok(unsigned(Verified::None)) };
    let mut presented: Vec<Presented> =
        arrival.presented.iter().filter(|earlier| earlier.place == secret.place).cloned().collect();
    if presented.is_empty() {
        // This hash is not kept: it needs no salt.
        presented.push(Presented::new(secret.place.clone(), &value?, [0; 16]));
    }
    let pairs =
        presented.iter().flat_map(|presented| secret.known.iter().map(move |known| presented.fits(known)));
    let found = pairs.fold(Choice::from(0), |found, fits| found | fits);
    if found.into() { Ok(unsigned(secret.proves)) } else { Err(wrong(auth, &secret.place)) }
}

/// What is told of a secret that is none of those that are taken.
fn wrong(auth: &Auth, place: &Place) -> Refusal {
    match auth {
        Auth::Basic { user, .. } => Refusal::WrongCredentials(user.clone()),
        _ => Refusal::WrongSecret(told(place)),
    }
}

/// The user name and the password of basic authentication, with `:` between.
pub(super) fn credentials(arrival: &Arrival) -> Result<String, Refusal> {
    let value = arrival.only_header(AUTHORIZATION.as_str())?;
    let malformed = || Refusal::Malformed {
        header: AUTHORIZATION.as_str().to_owned(),
        why: "it is not `Basic` and the base64 of a user name and a password",
    };
    let (scheme, credentials) = value.split_once(' ').ok_or_else(malformed)?;
    let credentials =
        STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"));
    String::from_utf8(credentials.ok_or_else(malformed)?).map_err(|_| malformed())
}

fn told(place: &Place) -> String {
    match place {
        Place::Query(name) => format!("`{name}` in the query"),
        Place::Header(name) => format!("the header `{name}`"),
        Place::Pointer(_) | Place::Path | Place::Body | Place::Const(_) => "the request".to_owned(),
    }
}

fn path_key(source: &Source, arrival: &Arrival) -> Result<Proof, Refusal> {
    match &arrival.key {
        Some(key) if source.public_keys.contains(key) => Ok(unsigned(Verified::PathKey)),
        _ => Err(Refusal::WrongPathKey),
    }
}

fn unsigned(verified: Verified) -> Proof {
    Proof { verified, signed_headers: Vec::new(), delivery_id: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::arrival::tests::arrival;
    use crate::model::source::{Encoding, Grammar, Hash, KeyEncoding, TimestampUnit};
    use ed25519_dalek::{Signer, SigningKey};
    use std::net::Ipv4Addr;

    const NOW: Time = Time::from_secs(1_700_000_000);
    const KEY: [u8; 24] = [9; 24];
    const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    const SECRET: &str = "whsec_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ";

    fn source(auth: Auth) -> Source {
        Source {
            name: "s".to_owned(),
            provider: "p".to_owned(),
            normalizer: None,
            auth,
            event_type: None,
            dedupe: None,
            plugins: Vec::new(),
            public_keys: vec!["pub_1".to_owned()],
            allow_from: Vec::new(),
            shadow: None,
            rate: None,
        }
    }

    fn judge(source: &Source, arrival: &Arrival, now: Time) -> Result<Proof, Refusal> {
        authenticate(source, arrival, REMOTE, now)
    }

    fn secrets(of: &[&str]) -> Vec<Secret> {
        of.iter().map(|secret| Secret::new(*secret)).collect()
    }

    #[test]
    fn standard_webhooks_under_both_names_and_with_several_secrets() {
        let signature = signature::sign_v1(&KEY, "msg_1", NOW.secs(), b"{}");
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let check = |of: &[&str], headers: &[(&'static str, &str)]| {
            let tolerance = Duration::from_secs(300);
            let auth = Auth::StandardWebhooks { secrets: secrets(of), public_keys: Vec::new(), tolerance };
            judge(&source(auth), &arrival(headers, "{}"), NOW)
        };
        for (family, names) in [
            ("webhook", ["webhook-id", "webhook-timestamp", "webhook-signature"]),
            ("svix", ["svix-id", "svix-timestamp", "svix-signature"]),
        ] {
            let [id, timestamp, signed] = names;
            let headers = [(id, "msg_1"), (timestamp, "1700000000"), (signed, signature.as_str())];
            let proof = check(&[other, SECRET], &headers).unwrap();
            assert_eq!(proof.verified, Verified::Signature);
            assert_eq!(proof.signed_headers, [format!("{family}-id"), format!("{family}-timestamp")]);
            assert_eq!(check(&[other], &headers), Err(Refusal::NoMatch));
            for left_out in 0..3 {
                let mut fewer = headers.to_vec();
                let (name, _) = fewer.remove(left_out);
                let name = if left_out == 2 { "webhook-signature" } else { name };
                assert_eq!(check(&[SECRET], &fewer), Err(Refusal::MissingHeader(name.to_owned())));
            }
            let twice = [headers.as_slice(), &[(id, "msg_1")]].concat();
            assert_eq!(check(&[SECRET], &twice), Err(Refusal::RepeatedHeader(id.to_owned())));
        }
        let mixed = [
            ("svix-id", "msg_1"),
            ("svix-timestamp", "1700000000"),
            ("webhook-signature", signature.as_str()),
        ];
        assert_eq!(check(&[SECRET], &mixed), Err(Refusal::MissingHeader("webhook-id".to_owned())));
    }

    #[test]
    fn an_hmac_names_the_headers_that_it_covers() {
        let scheme = |template: &str| Hmac {
            secrets: secrets(&["key"]),
            header: "x-signature".to_owned(),
            grammar: Grammar::Plain,
            template: template.to_owned(),
            timestamp_header: Some("x-time".to_owned()),
            id_header: Some("x-id".to_owned()),
            timestamp_unit: TimestampUnit::S,
            hash: Hash::Sha256,
            key: KeyEncoding::Utf8,
            encoding: Encoding::Hex,
            tolerance: None,
        };
        for (template, message, covered) in [
            ("{id}.{timestamp}.{body}", "7.1700000000.{}", vec!["x-id", "x-time"]),
            ("{id}{body}", "7{}", vec!["x-id"]),
            ("{body}", "{}", vec![]),
        ] {
            let signature = hex::encode(signature::mac(Hash::Sha256, b"key", [message.as_bytes()]));
            let headers = [("x-signature", signature.as_str()), ("x-time", "1700000000"), ("x-id", "7")];
            let source = source(Auth::Hmac(scheme(template)));
            let proof = judge(&source, &arrival(&headers, "{}"), NOW).unwrap();
            assert_eq!(proof.signed_headers, covered, "{template}");
            let changed = judge(&source, &arrival(&headers, "{ }"), NOW);
            assert_eq!(changed, Err(Refusal::NoMatch));
            let bare = judge(&source, &arrival(&[], "{}"), NOW);
            assert_eq!(bare, Err(Refusal::MissingHeader("x-signature".to_owned())));
        }
    }

    #[test]
    fn either_version_of_standard_webhooks_is_enough_where_both_have_keys() {
        let pair = SigningKey::from_bytes(&[7; 32]);
        let message = format!("msg_1.{}.{{}}", NOW.secs());
        let v1a = format!("v1a,{}", STANDARD.encode(pair.sign(message.as_bytes()).to_bytes()));
        let v1 = signature::sign_v1(&KEY, "msg_1", NOW.secs(), b"{}");
        let check = |of: &[&str], public_keys: Vec<VerifyingKey>, signature: &str| {
            let tolerance = Duration::from_secs(300);
            let auth = Auth::StandardWebhooks { secrets: secrets(of), public_keys, tolerance };
            let timestamp = NOW.secs().to_string();
            let headers = [
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", &timestamp),
                ("webhook-signature", signature),
            ];
            judge(&source(auth), &arrival(&headers, "{}"), NOW).map(|proof| proof.verified)
        };
        let (key, other) = (pair.verifying_key(), SigningKey::from_bytes(&[8; 32]).verifying_key());
        let both = format!("{v1} {v1a}");
        for (of, public_keys, signature, ok) in [
            (&[][..], vec![key], &v1a, true),
            (&[], vec![other, key], &both, true),
            (&[], vec![key], &v1, false),
            (&[], vec![other], &v1a, false),
            (&[SECRET], vec![], &v1a, false),
            (&[SECRET], vec![key], &v1, true),
            (&[SECRET], vec![key], &v1a, true),
            (&[SECRET], vec![other], &both, true),
            (&["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"], vec![other], &both, false),
        ] {
            let expected = if ok { Ok(Verified::Signature) } else { Err(Refusal::NoMatch) };
            assert_eq!(check(of, public_keys, signature), expected, "{signature}");
        }
    }

    #[test]
    fn basic_credentials_must_be_the_user_and_one_of_the_secrets() {
        let auth = Auth::Basic { user: "billing".to_owned(), secrets: secrets(&["one", "t:wo é", ""]) };
        let check = |value: &str| {
            let arrival = arrival(&[("authorization", value)], "");
            judge(&source(auth.clone()), &arrival, NOW).map(|proof| proof.verified)
        };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for right in
            [basic("billing:one"), basic("billing:t:wo é"), basic("billing:one").replace("Basic", "bAsIC")]
        {
            assert_eq!(check(&right), Ok(Verified::Basic), "{right}");
        }
        for wrong in ["billing:", "billing", ":one", "other:one", "billing:onee", "Billing:one", "", ":"] {
            let refused = check(&basic(wrong));
            assert!(matches!(refused, Err(Refusal::WrongCredentials(_))), "{wrong:?}: {refused:?}");
        }
        let digest = basic("billing:one").replace("Basic", "Digest");
        for malformed in ["", "Basic", "Basic !", "billing:one", "Basic /w==", &digest] {
            let refused = check(malformed);
            let Err(Refusal::NoCredentials(why)) = &refused else { panic!("{malformed:?}: {refused:?}") };
            assert!(matches!(**why, Refusal::Malformed { .. }), "{malformed:?}: {refused:?}");
        }
        let bare = judge(&source(auth.clone()), &arrival(&[], ""), NOW);
        let missing = Refusal::MissingHeader("authorization".to_owned());
        assert_eq!(bare, Err(Refusal::NoCredentials(Box::new(missing))));
    }

    #[test]
    fn a_sender_must_be_in_one_of_the_allowed_networks() {
        let networks = ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"];
        for (remote, ok) in [
            ("10.1.2.3", true),
            ("192.0.2.1", true),
            ("2001:db8::7", true),
            ("192.0.2.2", false),
            ("11.0.0.1", false),
            ("::1", false),
            ("::ffff:10.1.2.3", false),
        ] {
            let remote: IpAddr = remote.parse().unwrap();
            let mut source = source(Auth::None);
            source.allow_from = networks.map(|network| network.parse().unwrap()).to_vec();
            let judged = authenticate(&source, &arrival(&[], ""), remote, NOW).map(|_| ());
            assert_eq!(judged, if ok { Ok(()) } else { Err(Refusal::Address(remote)) });
            source.allow_from.clear();
            assert!(authenticate(&source, &arrival(&[], ""), remote, NOW).is_ok());
        }
    }

    #[test]
    fn a_secret_header_must_hold_one_of_the_secrets() {
        let auth = Auth::Header { name: "wb-secret".to_owned(), secrets: secrets(&["one", "two", ""]) };
        let check =
            |headers: &[(&'static str, &str)]| judge(&source(auth.clone()), &arrival(headers, ""), NOW);
        assert_eq!(check(&[("wb-secret", "two")]), Ok(unsigned(Verified::StaticHeader)));
        for wrong in ["three", "", "on", "onee", "One"] {
            let refused = check(&[("wb-secret", wrong)]);
            assert!(matches!(refused, Err(Refusal::WrongSecret(_))), "{wrong:?}: {refused:?}");
        }
        assert_eq!(check(&[]), Err(Refusal::MissingHeader("wb-secret".to_owned())));
        let twice = check(&[("wb-secret", "one"), ("wb-secret", "x")]);
        assert_eq!(twice, Err(Refusal::RepeatedHeader("wb-secret".to_owned())));
    }

    #[test]
    fn a_query_token_must_be_one_of_the_secrets() {
        let auth = Auth::Query { name: "token".to_owned(), secrets: secrets(&["a b"]) };
        for (query, ok) in [
            ("token=a%20b", true),
            ("x=1&token=a+b", true),
            ("token=a", false),
            ("token=", false),
            ("", false),
            ("token=a%20b&token=a%20b", false),
            ("Token=a%20b", false),
        ] {
            let mut arrival = arrival(&[], "");
            arrival.query = query.to_owned();
            assert_eq!(judge(&source(auth.clone()), &arrival, NOW).is_ok(), ok, "{query}");
        }
    }

    #[test]
    fn a_path_key_must_be_one_of_the_sources_and_nothing_else_proves_anything() {
        for (key, ok) in [(Some("pub_1"), true), (Some("pub_2"), false), (None, false)] {
            let mut arrival = arrival(&[], "");
            arrival.key = key.map(str::to_owned);
            assert_eq!(judge(&source(Auth::PathKey), &arrival, NOW).is_ok(), ok, "{key:?}");
        }
        let proof = judge(&source(Auth::None), &arrival(&[], ""), NOW);
        assert_eq!(proof, Ok(unsigned(Verified::None)));
    }
}
