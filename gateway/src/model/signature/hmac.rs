//! Whatever else a provider made of an HMAC, described by the parameters in [`Hmac`].

use super::{BadSecret, Refusal, any_matches, digits, fresh};
use crate::model::secret::Secret;
use crate::model::source::{Encoding, Grammar, Hash, Hmac, KeyEncoding};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use billhook_event::Time;
use hmac::{KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};

/// What a request with some other HMAC says.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The header [`Hmac::header`].
    pub signature: &'a str,
    /// The header [`Hmac::timestamp_header`], if the scheme has one.
    pub timestamp: Option<&'a str>,
    /// The header [`Hmac::id_header`], if the scheme has one.
    pub id: Option<&'a str>,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// Whether one of the signatures in the header is that of one of the scheme's secrets, and the time, where there is
/// one, is at most [`Hmac::tolerance`] off, either way.
pub fn verify_hmac(scheme: &Hmac, parts: Parts<'_>, now: Time) -> Result<(), Refusal> {
    let (in_header, texts) = read(scheme, parts.signature)?;
    let timestamp = in_header.or(parts.timestamp);
    let place = scheme.timestamp_header.as_deref().unwrap_or(&scheme.header);
    if let Some(text) = timestamp {
        let number = digits(text, place)?;
        if let Some(tolerance) = scheme.tolerance {
            fresh(number, scheme.timestamp_unit, now, tolerance)?;
        }
    } else if scheme.tolerance.is_some() {
        return Err(Refusal::Malformed { header: place.to_owned(), why: "it holds no time" });
    }
    let message = message(scheme, timestamp, parts)?;
    let candidates: Vec<Vec<u8>> = texts.iter().filter_map(|text| decode(scheme.encoding, text)).collect();
    let keys: Vec<Vec<u8>> = scheme.keys()?;
    any_matches(keys.iter().map(|key| mac(scheme.hash, key, message.iter().copied())), &candidates)
}

impl Hmac {
    /// The keys of all live secrets; an error if one of them cannot be decoded.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, BadSecret> {
        self.secrets.iter().map(|secret| key(secret, self.key)).collect()
    }
}

/// The key that a secret's text stands for.
pub fn key(secret: &Secret, encoding: KeyEncoding) -> Result<Vec<u8>, BadSecret> {
    let text = secret.reveal();
    if text.is_empty() {
        return Err(BadSecret::Empty);
    }
    match encoding {
        KeyEncoding::Utf8 => Ok(text.as_bytes().to_vec()),
        KeyEncoding::Base64 => {
            STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| BadSecret::NotBase64)
        }
        KeyEncoding::Hex => hex::decode(text).map_err(|_| BadSecret::NotHex),
        KeyEncoding::Sha1 => Ok(Sha1::digest(text.as_bytes()).to_vec()),
    }
}

/// The HMAC of `parts`, one after another.
pub fn mac<'a>(hash: Hash, key: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    fn run<'a, M: Mac + KeyInit>(key: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes keys of any length");
        parts.into_iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    }
    match hash {
        Hash::Sha1 => run::<hmac::Hmac<Sha1>>(key, parts),
        Hash::Sha256 => run::<hmac::Hmac<Sha256>>(key, parts),
        Hash::Sha512 => run::<hmac::Hmac<Sha512>>(key, parts),
    }
}

/// The time and the signatures in a header.
fn read<'a>(scheme: &Hmac, text: &'a str) -> Result<(Option<&'a str>, Vec<&'a str>), Refusal> {
    let malformed = |why| Refusal::Malformed { header: scheme.header.clone(), why };
    match &scheme.grammar {
        Grammar::Plain => Ok((None, vec![text.trim()])),
        Grammar::Prefix(prefix) => {
            let rest = text.trim().strip_prefix(prefix.as_str());
            Ok((None, vec![rest.ok_or(malformed("it does not begin as configured"))?]))
        }
        Grammar::Pairs { separator, timestamp, signature } => {
            let pairs = text.split(*separator).filter_map(|pair| pair.trim().split_once('='));
            let (mut time, mut signatures) = (None, Vec::new());
            for (key, value) in pairs {
                if Some(key) == timestamp.as_deref() && time.replace(value).is_some() {
                    return Err(malformed("it holds two times"));
                }
                if key == signature {
                    signatures.push(value);
                }
            }
            if signatures.is_empty() {
                return Err(malformed("it holds no signature"));
            }
            if timestamp.is_some() && time.is_none() {
                return Err(malformed("it holds no time"));
            }
            Ok((time, signatures))
        }
        Grammar::Positional => {
            let (time, rest) = text.trim().split_once(',').ok_or(malformed("it holds no signature"))?;
            Ok((Some(time.trim()), rest.split(',').map(str::trim).collect()))
        }
    }
}

/// The template with its places filled, in pieces.
fn message<'a>(
    scheme: &'a Hmac,
    timestamp: Option<&'a str>,
    parts: Parts<'a>,
) -> Result<Vec<&'a [u8]>, Refusal> {
    let missing =
        |header: &Option<String>| Refusal::MissingHeader(header.as_ref().unwrap_or(&scheme.header).clone());
    let mut pieces = Vec::new();
    let mut rest = scheme.template.as_str();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("{body}") {
            pieces.push(parts.body);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{timestamp}") {
            pieces.push(timestamp.ok_or_else(|| missing(&scheme.timestamp_header))?.as_bytes());
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{id}") {
            pieces.push(parts.id.ok_or_else(|| missing(&scheme.id_header))?.as_bytes());
            rest = after;
        } else {
            let next = rest.char_indices().skip(1).find(|(_, c)| *c == '{').map_or(rest.len(), |(at, _)| at);
            let (literal, after) = rest.split_at(next);
            pieces.push(literal.as_bytes());
            rest = after;
        }
    }
    Ok(pieces)
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::source::TimestampUnit;
    use std::time::Duration;

    const TOLERANCE: Duration = Duration::from_secs(300);

    fn hmac(header: &str, grammar: Grammar, template: &str) -> Hmac {
        Hmac {
            secrets: vec![Secret::new("a secret")],
            header: header.to_owned(),
            grammar,
            template: template.to_owned(),
            timestamp_header: None,
            id_header: None,
            timestamp_unit: TimestampUnit::S,
            hash: Hash::Sha256,
            key: KeyEncoding::Utf8,
            encoding: Encoding::Hex,
            tolerance: None,
        }
    }

    fn pairs(separator: char, timestamp: &str, signature: &str) -> Grammar {
        Grammar::Pairs { separator, timestamp: Some(timestamp.to_owned()), signature: signature.to_owned() }
    }

    fn parts<'a>(signature: &'a str, body: &'a [u8]) -> Parts<'a> {
        Parts { signature, timestamp: None, id: None, body }
    }

    #[test]
    fn every_parameter_of_an_hmac_counts() {
        let body = b"{\"a\":1}";
        let sign = |hash, key: &[u8], message: &str| mac(hash, key, [message.as_bytes()]);
        let base = hmac("x-signature", Grammar::Plain, "{body}");
        let sha1_of_secret = Sha1::digest(b"a secret").to_vec();
        let text = "{\"a\":1}";
        let cases = [
            (base.clone(), hex::encode(sign(Hash::Sha256, b"a secret", text))),
            (base.clone(), hex::encode_upper(sign(Hash::Sha256, b"a secret", text))),
            (Hmac { hash: Hash::Sha1, ..base.clone() }, hex::encode(sign(Hash::Sha1, b"a secret", text))),
            (Hmac { hash: Hash::Sha512, ..base.clone() }, hex::encode(sign(Hash::Sha512, b"a secret", text))),
            (
                Hmac { key: KeyEncoding::Sha1, ..base.clone() },
                hex::encode(sign(Hash::Sha256, &sha1_of_secret, text)),
            ),
            (
                Hmac { key: KeyEncoding::Hex, secrets: vec![Secret::new("00Ff")], ..base.clone() },
                hex::encode(sign(Hash::Sha256, &[0, 255], text)),
            ),
            (
                Hmac { key: KeyEncoding::Base64, secrets: vec![Secret::new("AP8=")], ..base.clone() },
                hex::encode(sign(Hash::Sha256, &[0, 255], text)),
            ),
            (
                Hmac { encoding: Encoding::Base64, ..base.clone() },
                STANDARD.encode(sign(Hash::Sha256, b"a secret", text)),
            ),
            (
                Hmac { grammar: Grammar::Prefix("sha256=".to_owned()), ..base.clone() },
                format!("sha256={}", hex::encode(sign(Hash::Sha256, b"a secret", text))),
            ),
            (
                Hmac { template: "v0:{body}{nothing}".to_owned(), ..base.clone() },
                hex::encode(sign(Hash::Sha256, b"a secret", "v0:{\"a\":1}{nothing}")),
            ),
            (
                Hmac { secrets: vec![Secret::new("old"), Secret::new("a secret")], ..base.clone() },
                hex::encode(sign(Hash::Sha256, b"a secret", text)),
            ),
            (
                hmac("x-signature", pairs(';', "ts", "h1"), "{timestamp}:{body}"),
                format!("ts=12; h1=00;h1={}", hex::encode(sign(Hash::Sha256, b"a secret", "12:{\"a\":1}"))),
            ),
            (
                hmac("x-signature", Grammar::Positional, "{timestamp}.{body}"),
                format!("12,{},00", hex::encode(sign(Hash::Sha256, b"a secret", "12.{\"a\":1}"))),
            ),
            (
                hmac("x-signature", Grammar::Positional, "{timestamp}.{body}"),
                format!("12,00, {}", hex::encode(sign(Hash::Sha256, b"a secret", "12.{\"a\":1}"))),
            ),
        ];
        for (scheme, header) in cases {
            assert_eq!(verify_hmac(&scheme, parts(&header, body), Time::ZERO), Ok(()), "{scheme:?} {header}");
            let other = verify_hmac(&scheme, parts(&header, b"{\"a\":2}"), Time::ZERO);
            assert_eq!(other, Err(Refusal::NoMatch), "{scheme:?} {header}");
            let stranger = Hmac { secrets: vec![Secret::new("0000")], ..scheme.clone() };
            assert_eq!(
                verify_hmac(&stranger, parts(&header, body), Time::ZERO),
                Err(Refusal::NoMatch),
                "{scheme:?}"
            );
        }
    }

    #[test]
    fn id_and_time_from_headers_of_their_own_are_signed_and_needed() {
        let scheme = Hmac {
            timestamp_header: Some("x-time".to_owned()),
            id_header: Some("x-id".to_owned()),
            tolerance: Some(TOLERANCE),
            ..hmac("x-signature", Grammar::Plain, "{id}.{timestamp}.{body}")
        };
        let signature = hex::encode(mac(Hash::Sha256, b"a secret", [b"7.1000.{}".as_slice()]));
        let whole = Parts { signature: &signature, timestamp: Some("1000"), id: Some("7"), body: b"{}" };
        let now = Time::from_secs(1000);
        assert_eq!(verify_hmac(&scheme, whole, now), Ok(()));
        assert_eq!(verify_hmac(&scheme, Parts { id: Some("8"), ..whole }, now), Err(Refusal::NoMatch));
        assert_eq!(
            verify_hmac(&scheme, Parts { timestamp: Some("1001"), ..whole }, now),
            Err(Refusal::NoMatch)
        );
        let no_id = verify_hmac(&scheme, Parts { id: None, ..whole }, now);
        assert_eq!(no_id, Err(Refusal::MissingHeader("x-id".to_owned())));
        for timestamp in [None, Some("soon")] {
            let refused = verify_hmac(&scheme, Parts { timestamp, ..whole }, now);
            assert!(
                matches!(refused, Err(Refusal::Malformed { ref header, .. }) if header == "x-time"),
                "{refused:?}"
            );
        }
        let late = verify_hmac(&scheme, whole, Time::from_secs(1301));
        assert!(matches!(late, Err(Refusal::TooOld { .. })), "{late:?}");
        let early = verify_hmac(&scheme, whole, Time::from_secs(699));
        assert!(matches!(early, Err(Refusal::FromTheFuture { .. })), "{early:?}");
    }

    #[test]
    fn malformed_headers_are_refused() {
        let stripe_like = hmac("x-signature", pairs(',', "t", "v1"), "{timestamp}.{body}");
        let prefixed = hmac("x-signature", Grammar::Prefix("sha256=".to_owned()), "{body}");
        let positional = hmac("x-signature", Grammar::Positional, "{timestamp}.{body}");
        let cases = [
            (&stripe_like, ""),
            (&stripe_like, "t=1"),
            (&stripe_like, "v1=00"),
            (&stripe_like, "t=1,t=1,v1=00"),
            (&stripe_like, "t=,v1=00"),
            (&stripe_like, "t=1,v0=00"),
            (&prefixed, "00"),
            (&prefixed, "SHA256=00"),
            (&positional, "1"),
            (&positional, ",00"),
        ];
        for (scheme, header) in cases {
            let refused = verify_hmac(scheme, parts(header, b"{}"), Time::ZERO);
            assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{header:?}: {refused:?}");
        }
    }

    #[test]
    fn a_secret_that_is_no_key_refuses_and_is_not_shown() {
        let scheme = Hmac {
            key: KeyEncoding::Hex,
            secrets: vec![Secret::new("tell-nobody")],
            ..hmac("x", Grammar::Plain, "{body}")
        };
        let refused = verify_hmac(&scheme, parts("00", b"{}"), Time::ZERO).unwrap_err();
        assert_eq!(refused, Refusal::BadSecret(BadSecret::NotHex));
        assert!(!format!("{refused} {refused:?} {scheme:?}").contains("tell-nobody"));
    }
}
