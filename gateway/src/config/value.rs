//! What stands in one value: names, spans of time, sizes, secrets.

use crate::config::mistake::quote;
use crate::config::reader::Item;
use crate::model::name::is_name;
use crate::model::secret::Secret;
use crate::model::signature;
use ipnet::IpNet;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// The largest file that holds a secret.
const SECRET_FILE_MAX: u64 = 64 * 1024;

impl<'a> Item<'a> {
    /// A name: 1 to 64 of `a-z`, `0-9`, `-`, `_`.
    pub(super) fn name(&self) -> Option<String> {
        self.parsed("a name", "write 1 to 64 of a-z, 0-9, `-` and `_`", |text| {
            is_name(text).then(|| text.to_owned()).ok_or(())
        })
    }

    /// Networks and single addresses.
    pub(super) fn networks(&self) -> Vec<IpNet> {
        let network = |text: &str| text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse());
        let remedy = "write a network such as `10.20.0.0/16` or an address such as `192.0.2.1`";
        self.items().iter().filter_map(|item| item.network(remedy, network)).collect()
    }

    /// A network, as `parse` understands it, that names no host in it. One of addresses of IPv4 is one of IPv4 however it
    /// is written, as those are that it is held against.
    pub(super) fn network<E>(
        &self,
        remedy: &str,
        parse: impl FnOnce(&str) -> Result<IpNet, E>,
    ) -> Option<IpNet> {
        let net = self.parsed("a network", remedy, parse)?;
        if net != net.trunc() {
            let wrong = format!("{} names a host in a network", quote(&net.to_string()));
            self.wrong(wrong, format!("did you mean `{}`?", net.trunc()));
        }
        Some(canonical(net))
    }

    /// A span of time such as `30s` or `1h 30m`, within bounds.
    pub(super) fn duration(&self, min: Duration, max: Duration) -> Option<Duration> {
        let duration = self.parsed(
            "a span of time",
            "write one such as `30s`, `5m` or `2h`",
            humantime::parse_duration,
        )?;
        if !(min..=max).contains(&duration) {
            let remedy =
                format!("write {} to {}", humantime::format_duration(min), humantime::format_duration(max));
            self.wrong(format!("{} is out of bounds", quote(self.text()?)), remedy);
            return None;
        }
        Some(duration)
    }

    /// A size in bytes such as `512MiB`, within bounds.
    pub(super) fn size(&self, min: u64, max: u64) -> Option<u64> {
        let size = self
            .parsed("a size", "write one such as `512MiB`", |text| text.parse::<bytesize::ByteSize>())?
            .as_u64();
        if !(min..=max).contains(&size) {
            let remedy = format!("write {} to {}", size_text(min), size_text(max));
            self.wrong(format!("{} is out of bounds", quote(self.text()?)), remedy);
            return None;
        }
        Some(size)
    }

    /// The name of a header, in lower case.
    pub(super) fn header(&self) -> Option<String> {
        let parse =
            |text: &str| http::HeaderName::from_bytes(text.as_bytes()).map(|name| name.as_str().to_owned());
        self.parsed("the name of a header", "write one such as `x-signature`", parse)
    }

    /// A secret: itself, `env:NAME` or `file:PATH`. The end of the last line is not part of it.
    pub(super) fn secret(&self) -> Option<Secret> {
        let written = self.text()?;
        let value = match written.split_once(':') {
            Some(("env", name)) => self.variable(name)?,
            Some(("file", path)) => self.secret_file(path)?,
            _ => written.to_owned(),
        };
        let value = value.trim_end_matches(['\r', '\n']);
        if value.is_empty() {
            self.wrong("the secret is empty", "write a secret, `env:NAME` or `file:PATH`");
            return None;
        }
        Some(Secret::new(value))
    }

    /// One secret or a list of them, at least one, each of which `problem` finds nothing wrong with.
    pub(super) fn secrets(self, problem: impl Fn(&Secret) -> Option<(String, String)>) -> Vec<Secret> {
        let checked = |item: &Item<'_>| {
            let secret = item.secret()?;
            match problem(&secret) {
                Some((wrong, remedy)) => item.wrong(wrong, remedy),
                None => return Some(secret),
            }
            None
        };
        self.some("no secret is given").iter().filter_map(checked).collect()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.reader.knows_variable(name);
        let value = self.reader.environment.get(name);
        if value.is_none() {
            let wrong = format!("the environment variable {} is not set", quote(name));
            self.wrong(wrong, "set it for this process, or write `file:PATH`");
        }
        value.map(str::to_owned)
    }

    fn secret_file(&self, path: &str) -> Option<String> {
        let path = self.reader.base.join(path);
        match read_small(&path) {
            Ok(text) => Some(text),
            Err(why) => {
                let wrong = format!("cannot read {}: {why}", quote(&path.display().to_string()));
                self.wrong(wrong, "write the path of a text file that this process may read");
                None
            }
        }
    }
}

fn canonical(net: IpNet) -> IpNet {
    /// The bits of an address of IPv6 before the one of IPv4 that it stands for.
    const MAPPED_BITS: u8 = 96;
    let bits = net.prefix_len().checked_sub(MAPPED_BITS);
    match (net.addr().to_canonical(), bits) {
        (IpAddr::V4(ip), Some(bits)) if net.addr().is_ipv6() => IpNet::new(ip.into(), bits).unwrap_or(net),
        _ => net,
    }
}

/// Why a secret cannot sign what we send, if so: Standard Webhooks 1.0.0 asks for `whsec_` and base64 of 24 to 64
/// bytes, or for `whsk_` and a private key.
pub(super) fn outbound_problem(secret: &Secret) -> Option<(String, String)> {
    if secret.reveal().starts_with(signature::PRIVATE_KEY_PREFIX) {
        let problem = |why: signature::BadSecret| {
            (why.to_string(), "make one with `billhook secret new --v1a`".to_owned())
        };
        return signature::private_key(secret.reveal()).err().map(problem);
    }
    let signs = secret.reveal().starts_with("whsec_")
        && signature::standard_key(secret.reveal()).is_ok_and(|key| (24..=64).contains(&key.len()));
    let wrong = "the secret is not `whsec_` and base64 of 24 to 64 bytes";
    (!signs).then(|| (wrong.to_owned(), "make one with `billhook secret new`".to_owned()))
}

/// Why a secret cannot verify what providers sign with Standard Webhooks, if so.
pub(super) fn inbound_problem(secret: &Secret) -> Option<(String, String)> {
    let verifies = signature::standard_key(secret.reveal()).is_ok();
    let wrong = "the secret is not `whsec_` and base64 of a key";
    (!verifies).then(|| (wrong.to_owned(), "copy the whole secret from the provider's page".to_owned()))
}

fn size_text(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string().replace(".0 ", "")
}

fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SECRET_FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_FILE_MAX {
        return Err(io::Error::other(format!("it is larger than {SECRET_FILE_MAX} bytes")));
    }
    Ok(text)
}
