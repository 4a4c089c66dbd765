//! Secrets in memory: the values that a test granted on its thread.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

thread_local! {
    /// The live values of each secret, newest first, never none.
    static GRANTED: RefCell<BTreeMap<String, Vec<Vec<u8>>>> = const { RefCell::new(BTreeMap::new()) };
    static REVEALED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// A secret that knows its live values, newest first.
pub(crate) struct SecretHost {
    name: String,
    values: Vec<Vec<u8>>,
}

impl SecretHost {
    pub(crate) fn grant(name: &str, values: Vec<Vec<u8>>) {
        GRANTED.with_borrow_mut(|granted| match values.is_empty() {
            true => granted.remove(name),
            false => granted.insert(name.to_owned(), values),
        });
    }

    pub(crate) fn open(name: &str) -> Option<SecretHost> {
        let values = GRANTED.with_borrow(|granted| granted.get(name).cloned())?;
        Some(SecretHost { name: name.to_owned(), values })
    }

    pub(crate) fn grant_reveal(name: &str) {
        REVEALED.with_borrow_mut(|revealed| revealed.insert(name.to_owned()));
    }

    pub(crate) fn reveal(&self) -> Option<Vec<Vec<u8>>> {
        REVEALED.with_borrow(|revealed| revealed.contains(&self.name)).then(|| self.values.clone())
    }

    pub(crate) fn hmac_sha1(&self, data: &[u8]) -> Vec<u8> {
        self.make::<Hmac<Sha1>>(data)
    }

    pub(crate) fn hmac_sha256(&self, data: &[u8]) -> Vec<u8> {
        self.make::<Hmac<Sha256>>(data)
    }

    pub(crate) fn hmac_sha512(&self, data: &[u8]) -> Vec<u8> {
        self.make::<Hmac<Sha512>>(data)
    }

    pub(crate) fn verify_hmac_sha1(&self, data: &[u8], tag: &[u8]) -> bool {
        self.verify::<Hmac<Sha1>>(data, tag)
    }

    pub(crate) fn verify_hmac_sha256(&self, data: &[u8], tag: &[u8]) -> bool {
        self.verify::<Hmac<Sha256>>(data, tag)
    }

    pub(crate) fn verify_hmac_sha512(&self, data: &[u8], tag: &[u8]) -> bool {
        self.verify::<Hmac<Sha512>>(data, tag)
    }

    /// Not in constant time, which a test does not need.
    pub(crate) fn equals(&self, candidate: &[u8]) -> bool {
        self.values.iter().any(|value| value == candidate)
    }

    fn make<M: Mac + KeyInit>(&self, data: &[u8]) -> Vec<u8> {
        mac::<M>(&self.values[0], data).finalize().into_bytes().to_vec()
    }

    fn verify<M: Mac + KeyInit>(&self, data: &[u8], tag: &[u8]) -> bool {
        self.values.iter().any(|value| mac::<M>(value, data).verify_slice(tag).is_ok())
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes keys of any length");
    mac.update(data);
    mac
}
