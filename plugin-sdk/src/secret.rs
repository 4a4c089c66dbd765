//! Secrets that a plugin may use and not see.

use crate::host::SecretHost;
use std::fmt;

/// A secret of the operator's, by its name. Its value never enters the plugin: the gateway computes and compares.
///
/// A name must be asked for in `plugin.toml`, as `grants = ["secret:NAME"]`, and granted by the operator. While a
/// secret is rotated it has several live values: what is checked is checked against each of them, in constant time,
/// and what is made is made with the newest.
///
/// The key of a MAC is the value as it is configured, byte by byte: nothing is decoded.
pub struct Secret(SecretHost);

impl Secret {
    /// The secret that is called `name`; `None` if it was not granted.
    pub fn open(name: &str) -> Option<Secret> {
        SecretHost::open(name).map(Secret)
    }

    /// The HMAC-SHA1 of `data`, 20 bytes. Not for comparing with what a request brings: that is
    /// [`Secret::verify_hmac_sha1`].
    pub fn hmac_sha1(&self, data: &[u8]) -> Vec<u8> {
        self.0.hmac_sha1(data)
    }

    /// The HMAC-SHA256 of `data`, 32 bytes; see [`Secret::hmac_sha1`].
    pub fn hmac_sha256(&self, data: &[u8]) -> Vec<u8> {
        self.0.hmac_sha256(data)
    }

    /// The HMAC-SHA512 of `data`, 64 bytes; see [`Secret::hmac_sha1`].
    pub fn hmac_sha512(&self, data: &[u8]) -> Vec<u8> {
        self.0.hmac_sha512(data)
    }

    /// Whether `tag` is the whole HMAC-SHA1 of `data` under a live value.
    pub fn verify_hmac_sha1(&self, data: &[u8], tag: &[u8]) -> bool {
        self.0.verify_hmac_sha1(data, tag)
    }

    /// Whether `tag` is the whole HMAC-SHA256 of `data` under a live value.
    pub fn verify_hmac_sha256(&self, data: &[u8], tag: &[u8]) -> bool {
        self.0.verify_hmac_sha256(data, tag)
    }

    /// Whether `tag` is the whole HMAC-SHA512 of `data` under a live value.
    pub fn verify_hmac_sha512(&self, data: &[u8], tag: &[u8]) -> bool {
        self.0.verify_hmac_sha512(data, tag)
    }

    /// Whether `candidate` is a live value.
    pub fn equals(&self, candidate: &[u8]) -> bool {
        self.0.equals(candidate)
    }
}

impl Secret {
    /// Every live value, newest first, where the name was granted as `reveal:NAME` too; else none. What a plugin does
    /// with it is out of the gateway's hands: ask for it only where the other methods do not do.
    pub fn reveal(&self) -> Option<Vec<Vec<u8>>> {
        self.0.reveal()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(not(target_family = "wasm"))]
impl Secret {
    /// For native tests: grants the secret `name` on this thread from here on, with its live values, newest first.
    /// Without a value it is taken back.
    pub fn grant<V: AsRef<[u8]>>(name: &str, values: impl IntoIterator<Item = V>) {
        SecretHost::grant(name, values.into_iter().map(|value| value.as_ref().to_vec()).collect());
    }

    /// Grants this thread's plugins the sight of a secret that it granted before.
    pub fn grant_reveal(name: &str) {
        SecretHost::grant_reveal(name);
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    /// Test case 2 of RFC 2202 and RFC 4231.
    const DATA: &[u8] = b"what do ya want for nothing?";
    const SHA1: &str = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
    const SHA256: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const SHA512: &str = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                          9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    #[test]
    fn macs_are_those_of_the_published_vectors() {
        Secret::grant("key", ["Jefe"]);
        let key = Secret::open("key").unwrap();
        assert_eq!(key.hmac_sha1(DATA), bytes(SHA1));
        assert_eq!(key.hmac_sha256(DATA), bytes(SHA256));
        assert_eq!(key.hmac_sha512(DATA), bytes(SHA512));
    }

    #[test]
    fn every_live_value_is_tried_and_the_newest_makes() {
        Secret::grant("key", ["new", "Jefe"]);
        let key = Secret::open("key").unwrap();
        assert!(key.verify_hmac_sha1(DATA, &bytes(SHA1)));
        assert!(key.verify_hmac_sha256(DATA, &bytes(SHA256)));
        assert!(key.verify_hmac_sha512(DATA, &bytes(SHA512)));
        assert!(key.equals(b"Jefe") && key.equals(b"new"));
        assert_ne!(key.hmac_sha256(DATA), bytes(SHA256));
        assert!(key.verify_hmac_sha256(DATA, &key.hmac_sha256(DATA)));
    }

    #[test]
    fn what_is_wrong_or_shortened_is_refused() {
        Secret::grant("key", ["Jefe"]);
        let key = Secret::open("key").unwrap();
        let tag = bytes(SHA256);
        assert!(!key.verify_hmac_sha256(b"something else", &tag));
        assert!(!key.verify_hmac_sha256(DATA, &tag[..31]));
        assert!(!key.verify_hmac_sha256(DATA, &[]));
        assert!(!key.verify_hmac_sha512(DATA, &tag));
        assert!(!key.equals(b"Jef") && !key.equals(b""));
    }

    #[test]
    fn only_a_grant_of_its_own_reveals() {
        Secret::grant("key", ["new", "old"]);
        assert_eq!(Secret::open("key").unwrap().reveal(), None);
        Secret::grant_reveal("key");
        assert_eq!(Secret::open("key").unwrap().reveal(), Some(vec![b"new".to_vec(), b"old".to_vec()]));
    }

    #[test]
    fn only_what_is_granted_can_be_opened_and_nothing_shows_it() {
        assert!(Secret::open("key").is_none());
        Secret::grant("key", ["Jefe"]);
        assert_eq!(format!("{:?}", Secret::open("key")), "Some(***)");
        Secret::grant("key", [""; 0]);
        assert!(Secret::open("key").is_none());
    }
}
