//! The secrets of an endpoint once they were rotated: which of them sign, and until when.
//!
//! What the configuration gives counts until the first rotation. From then on the newest secret is one that the store
//! has, and those before it sign beside it for an overlap, so that a receiver may change to the new one at any moment of
//! that. Should the configuration give other secrets later, it counts again: whoever writes it has the last word.

use crate::model::secret::Secret;
use crate::model::signature::{self, BadSecret};
use billhook_event::Time;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// How long the secrets before sign beside a new one unless it is said, as Svix has it.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// The longest that they may.
pub const OVERLAP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Most secrets that sign at once.
pub const LIVE_MAX: usize = 10;
/// How many bytes a secret that is brought along may have: what Standard Webhooks 1.0.0 asks for.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secrets of an endpoint that was rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Makes the next one of its kind.
    pub salt: [u8; 16],
    /// SHA-256 of the salt and the secrets of the configuration that it began from.
    pub configured: [u8; 32],
    /// Newest first. Those of the configuration are among them, so that they go on for the overlap when it has changed.
    pub secrets: Vec<Live>,
}

/// A secret that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The secret.
    pub secret: Secret,
    /// When it was made by a rotation; `None`: the configuration gave it.
    pub made: Option<Time>,
    /// It signs up to then; `None`: until it is rotated.
    pub until: Option<Time>,
}

/// Why a rotation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRotated {
    /// As many secrets sign as may.
    #[error("{LIVE_MAX} secrets sign already: wait until an overlap has ended")]
    TooMany,
    /// The secret signs already.
    #[error("this secret signs already: bring another one")]
    Known,
}

/// What signs at `now`, newest first.
pub fn live(rotation: Option<&Rotation>, configured: &[Secret], now: Time) -> Vec<Live> {
    let given = |secret: &Secret| Live { secret: secret.clone(), made: None, until: None };
    let Some(rotation) = rotation else { return configured.iter().map(given).collect() };
    let signs = |live: &&Live| live.until.is_none_or(|until| now < until);
    let mut secrets = rotation.secrets.iter().filter(signs);
    if rotation.is_of(configured) {
        return secrets.cloned().collect();
    }
    let mut all: Vec<Live> = configured.iter().map(given).collect();
    // The new secret was written into the configuration: the ones before it keep their time.
    if secrets.next().is_some_and(|newest| configured.contains(&newest.secret)) {
        all.extend(secrets.filter(|live| !configured.contains(&live.secret)).cloned());
    }
    all
}

impl Rotation {
    /// The rotation to `secret` from what signs at `now`, all of which does so for `overlap` and no longer. `salt` is
    /// random.
    ///
    /// # Errors
    /// When too many would sign, or it does already.
    pub fn to(
        secret: Secret,
        before: Option<&Rotation>,
        configured: &[Secret],
        overlap: Duration,
        salt: [u8; 16],
        now: Time,
    ) -> Result<Rotation, NotRotated> {
        let end = now.plus(overlap);
        let mut secrets = live(before, configured, now);
        if secrets.iter().any(|live| live.secret == secret) {
            return Err(NotRotated::Known);
        }
        secrets.iter_mut().for_each(|live| live.until = Some(live.until.map_or(end, |until| until.min(end))));
        secrets.retain(|live| live.until > Some(now));
        if secrets.len() >= LIVE_MAX {
            return Err(NotRotated::TooMany);
        }
        secrets.insert(0, Live { secret, made: Some(now), until: None });
        Ok(Rotation { salt, configured: hash(salt, configured), secrets })
    }

    /// Whether it began from these secrets of the configuration.
    pub fn is_of(&self, configured: &[Secret]) -> bool {
        self.configured == hash(self.salt, configured)
    }
}

fn hash(salt: [u8; 16], secrets: &[Secret]) -> [u8; 32] {
    let mut hash = Sha256::new().chain_update(salt);
    for secret in secrets {
        let bytes = secret.reveal().as_bytes();
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}

/// Why a text is no secret of a rotation. Never says what the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSecret {
    /// Nothing says what it is.
    #[error("the secret begins neither with `whsec_` nor with `whsk_`")]
    Prefix,
    /// It should be base64.
    #[error("the secret is not base64 after `whsec_`: copy it whole")]
    NotBase64,
    /// It has too few or too many bytes.
    #[error("the secret has {0} bytes after `whsec_`, {min} to {max} are taken", min = KEY_BYTES.start(), max = KEY_BYTES.end())]
    Length(usize),
    /// It should be an ed25519 private key.
    #[error(transparent)]
    PrivateKey(BadSecret),
}

/// Whether a text can be the secret of a rotation: `whsec_` and base64 of 24 to 64 bytes, or a `whsk_` private key.
pub fn check(secret: &Secret) -> Result<(), NoSecret> {
    let text = secret.reveal();
    if text.starts_with(signature::PRIVATE_KEY_PREFIX) {
        return signature::private_key(text).map(|_| ()).map_err(NoSecret::PrivateKey);
    }
    if !text.starts_with("whsec_") {
        return Err(NoSecret::Prefix);
    }
    match signature::standard_key(text) {
        Ok(key) if KEY_BYTES.contains(&key.len()) => Ok(()),
        Ok(key) => Err(NoSecret::Length(key.len())),
        Err(BadSecret::Length(n)) => Err(NoSecret::Length(n)),
        Err(BadSecret::Empty) => Err(NoSecret::Length(0)),
        Err(_) => Err(NoSecret::NotBase64),
    }
}

/// What people tell a secret by without knowing it: the beginning of its SHA-256.
pub fn fingerprint(secret: &Secret) -> String {
    hex::encode(&Sha256::digest(secret.reveal().as_bytes())[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: u64) -> Time {
        Time::from_secs(1_700_000_000 + hours * 3600)
    }

    fn secrets(names: &[&str]) -> Vec<Secret> {
        names.iter().map(|name| Secret::new(*name)).collect()
    }

    fn rotated(
        to: &str,
        before: Option<&Rotation>,
        configured: &[&str],
        overlap: u64,
        hours: u64,
    ) -> Rotation {
        let (overlap, salt) = (HOUR * u32::try_from(overlap).unwrap(), [7; 16]);
        Rotation::to(Secret::new(to), before, &secrets(configured), overlap, salt, at(hours)).unwrap()
    }

    /// What signs, with the hour in which it ends.
    fn signing(rotation: &Rotation, configured: &[&str], hours: u64) -> Vec<String> {
        let live = live(Some(rotation), &secrets(configured), at(hours)).into_iter();
        let told = |live: Live| {
            let until = live.until.map(|until| format!("<{}", until.since(at(0)).as_secs() / 3600));
            format!("{}{}", live.secret.reveal(), until.unwrap_or_default())
        };
        live.map(told).collect()
    }

    #[test]
    fn both_sign_during_the_overlap_and_only_the_new_one_after_it() {
        let first = rotated("b", None, &["a"], 24, 0);
        assert_eq!(signing(&first, &["a"], 0), ["b", "a<24"]);
        assert_eq!(signing(&first, &["a"], 23), ["b", "a<24"]);
        assert_eq!(signing(&first, &["a"], 24), ["b"]);
        let second = rotated("c", Some(&first), &["a"], 12, 20);
        assert_eq!(signing(&second, &["a"], 20), ["c", "b<32", "a<24"], "no overlap is made longer");
        assert_eq!(signing(&second, &["a"], 25), ["c", "b<32"]);
        let now = rotated("d", Some(&second), &["a"], 0, 21);
        assert_eq!(signing(&now, &["a"], 21), ["d"]);
    }

    #[test]
    fn a_configuration_that_is_changed_afterwards_counts() {
        let rotation = rotated("b", None, &["a"], 24, 0);
        assert_eq!(signing(&rotation, &["x"], 1), ["x"]);
        assert_eq!(signing(&rotation, &["b"], 1), ["b", "a<24"], "the old one keeps its time");
        assert_eq!(signing(&rotation, &["b", "a"], 1), ["b", "a"]);
        assert_eq!(signing(&rotation, &["b"], 24), ["b"]);
        let next = rotated("c", Some(&rotation), &["x"], 24, 1);
        assert_eq!(signing(&next, &["x"], 1), ["c", "x<25"], "and is what the next rotation begins from");
    }

    #[test]
    fn what_cannot_be_rotated_is_refused() {
        let configured = secrets(&["a"]);
        let mut rotation = None;
        for n in 1..LIVE_MAX {
            rotation = Some(rotated(&n.to_string(), rotation.as_ref(), &["a"], 24, 0));
        }
        let to = |name: &str, hours| {
            Rotation::to(Secret::new(name), rotation.as_ref(), &configured, HOUR, [0; 16], at(hours))
        };
        assert_eq!(to("b", 0).unwrap_err(), NotRotated::TooMany);
        assert_eq!(to("3", 0).unwrap_err(), NotRotated::Known);
        assert_eq!(to("b", 24).unwrap().secrets.len(), 2);
        let wrong = [
            ("", NoSecret::Prefix),
            ("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", NoSecret::Prefix),
            ("whsec_?", NoSecret::NotBase64),
            ("whsec_AAAA", NoSecret::Length(3)),
            ("whsk_AAAA", NoSecret::PrivateKey(BadSecret::PrivateKey)),
        ];
        for (text, why) in wrong {
            assert_eq!(check(&Secret::new(text)), Err(why), "{text}");
        }
        check(&Secret::new("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")).unwrap();
    }
}
