//! Whether a request is genuine: one function for each scheme.

use crate::ingest::arrival::Arrival;
use crate::model::secret::Secret;
use crate::model::signature::{self, Parts, Refusal, Signed};
use crate::model::source::{Auth, Hmac, Proof, Source};
use billhook_event::{Time, Verified};
use sha2::{Digest, Sha256};
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq};

/// The names that Standard Webhooks headers begin with: the specification's, and Svix's own.
const FAMILIES: [&str; 2] = ["webhook", "svix"];

/// What `arrival` proves under the scheme of `source`, or why it proves nothing.
pub(super) fn authenticate(source: &Source, arrival: &Arrival, now: Time) -> Result<Proof, Refusal> {
    match &source.auth {
        Auth::StandardWebhooks { secrets, tolerance } => standard_webhooks(secrets, *tolerance, arrival, now),
        Auth::Hmac(scheme) => hmac(scheme, arrival, now),
        Auth::Header { name, secrets } => header(name, secrets, arrival),
        Auth::Query { name, secrets } => query(name, secrets, arrival),
        Auth::PathKey => path_key(source, arrival),
        Auth::None => Ok(unsigned(Verified::None)),
    }
}

fn standard_webhooks(
    secrets: &[Secret],
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
    signature::verify_v1(&keys, signed, now, tolerance)?;
    Ok(Proof { verified: Verified::Signature, signed_headers: vec![id, timestamp] })
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
    let covered = [("{id}", &scheme.id_header), ("{timestamp}", &scheme.timestamp_header)];
    let covered = covered.into_iter().filter(|(place, _)| scheme.template.contains(place));
    Ok(Proof {
        verified: Verified::Signature,
        signed_headers: covered.filter_map(|(_, name)| name.clone()).collect(),
    })
}

fn header(name: &str, secrets: &[Secret], arrival: &Arrival) -> Result<Proof, Refusal> {
    let value = arrival.only_header(name)?;
    if !is_one_of(value, secrets) {
        return Err(Refusal::WrongSecret(format!("the header `{name}`")));
    }
    Ok(unsigned(Verified::StaticHeader))
}

fn query(name: &str, secrets: &[Secret], arrival: &Arrival) -> Result<Proof, Refusal> {
    let value = arrival.only_query(name)?;
    if !is_one_of(&value, secrets) {
        return Err(Refusal::WrongSecret(format!("`{name}` in the query")));
    }
    Ok(unsigned(Verified::QueryToken))
}

fn path_key(source: &Source, arrival: &Arrival) -> Result<Proof, Refusal> {
    match &arrival.key {
        Some(key) if source.public_keys.contains(key) => Ok(unsigned(Verified::PathKey)),
        _ => Err(Refusal::WrongPathKey),
    }
}

fn unsigned(verified: Verified) -> Proof {
    Proof { verified, signed_headers: Vec::new() }
}

/// Compares hashes, so that the time it takes tells neither length nor content, and all of them.
fn is_one_of(value: &str, secrets: &[Secret]) -> bool {
    let value = Sha256::digest(value.as_bytes());
    let mut found = Choice::from(0);
    for secret in secrets.iter().filter(|secret| !secret.reveal().is_empty()) {
        found |= value.as_slice().ct_eq(Sha256::digest(secret.reveal().as_bytes()).as_slice());
    }
    found.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::arrival::tests::arrival;
    use crate::model::source::{Encoding, Grammar, Hash, KeyEncoding, TimestampUnit};

    const NOW: Time = Time::from_secs(1_700_000_000);
    const KEY: [u8; 24] = [9; 24];
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
        }
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
            let auth = Auth::StandardWebhooks { secrets: secrets(of), tolerance };
            authenticate(&source(auth), &arrival(headers, "{}"), NOW)
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
            let proof = authenticate(&source, &arrival(&headers, "{}"), NOW).unwrap();
            assert_eq!(proof.signed_headers, covered, "{template}");
            let changed = authenticate(&source, &arrival(&headers, "{ }"), NOW);
            assert_eq!(changed, Err(Refusal::NoMatch));
            let bare = authenticate(&source, &arrival(&[], "{}"), NOW);
            assert_eq!(bare, Err(Refusal::MissingHeader("x-signature".to_owned())));
        }
    }

    #[test]
    fn a_secret_header_must_hold_one_of_the_secrets() {
        let auth = Auth::Header { name: "wb-secret".to_owned(), secrets: secrets(&["one", "two", ""]) };
        let check = |headers: &[(&'static str, &str)]| {
            authenticate(&source(auth.clone()), &arrival(headers, ""), NOW)
        };
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
            assert_eq!(authenticate(&source(auth.clone()), &arrival, NOW).is_ok(), ok, "{query}");
        }
    }

    #[test]
    fn a_path_key_must_be_one_of_the_sources_and_nothing_else_proves_anything() {
        for (key, ok) in [(Some("pub_1"), true), (Some("pub_2"), false), (None, false)] {
            let mut arrival = arrival(&[], "");
            arrival.key = key.map(str::to_owned);
            assert_eq!(authenticate(&source(Auth::PathKey), &arrival, NOW).is_ok(), ok, "{key:?}");
        }
        let proof = authenticate(&source(Auth::None), &arrival(&[], ""), NOW);
        assert_eq!(proof, Ok(unsigned(Verified::None)));
    }
}
