//! Where a request comes from: from the other end of its connection, or, where that is a proxy that is trusted, from
//! where the proxy says.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// What every proxy adds the address to that it was asked from (there is no RFC of it;
/// <https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For>).
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Who sent a request that came over a connection from `peer`. `X-Forwarded-For` is read from its end, where the nearest
/// proxy wrote: as long as whoever wrote is one of `proxies`, what it wrote counts. What a sender made up is before that.
/// A proxy that says nothing, or no address, is the sender.
pub(super) fn of(headers: &HeaderMap, peer: IpAddr, proxies: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: &IpAddr| proxies.iter().any(|network| network.contains(ip));
    let mut sender = peer;
    for told in headers.get_all(FORWARDED_FOR).iter().rev() {
        // Bytes: what a sender made up before the proxy's own word may be no text.
        for told in told.as_bytes().rsplit(|byte| *byte == b',') {
            match str::from_utf8(told).ok().and_then(|told| address(told.trim())) {
                Some(ip) if is_trusted(&sender) => sender = ip,
                Some(_) | None => return sender,
            }
        }
    }
    sender
}

/// An address, as some proxies write it with its port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare().or_else(with_port).or_else(in_brackets).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_wrote_counts_and_the_nearest_wrote_last() {
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        for (peer, told, expected) in [
            ("192.0.2.7", &["203.0.113.9"][..], "192.0.2.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1,203.0.113.9 , 10.9.9.9"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9", "10.9.9.9"], "203.0.113.9"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["[2001:db8::9]:4711"], "2001:db8::9"),
            ("fd00::1", &["[2001:db8::9]"], "2001:db8::9"),
            ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.9, "], "10.0.0.1"),
            ("10.0.0.1", &["é"], "10.0.0.1"),
            ("10.0.0.1", &["é, 203.0.113.9"], "203.0.113.9"),
        ] {
            let mut headers = HeaderMap::new();
            for value in told {
                headers.append(FORWARDED_FOR, value.as_bytes().try_into().unwrap());
            }
            let sender = of(&headers, peer.parse().unwrap(), &proxies);
            assert_eq!(sender, expected.parse::<IpAddr>().unwrap(), "{peer} {told:?}");
        }
    }
}
