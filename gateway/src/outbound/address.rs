//! Where we do not connect to: the address policy.
//!
//! Pure: addresses in, verdicts out. It is asked for IP literals before the resolver and for every answer of the
//! resolver; one forbidden answer refuses the whole name, because a name that points inside and outside is either
//! a mistake or an attack.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use url::Host;

/// The address that a host is, where it is no name.
pub fn literal<S>(host: &Host<S>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(*ip)),
        Host::Domain(_) => None,
    }
}

/// What may be connected to.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Networks that are allowed although they are private: `network.allow`.
    pub allow: Vec<IpNet>,
    /// Our own listeners, which nothing allows. An unspecified address stands for every address of this machine.
    pub own: Vec<SocketAddr>,
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// It is private, reserved or otherwise not for the public.
    #[error("{ip} is {what} ({net}); name its network in `network.allow` to deliver there")]
    Net {
        /// The address as it was given.
        ip: IpAddr,
        /// What kind of network.
        what: &'static str,
        /// The network.
        net: IpNet,
    },
    /// It is one of our own listeners.
    #[error("{0} is this gateway itself")]
    Own(SocketAddr),
}

impl Policy {
    /// Whether `ip` may be connected to at `port`.
    pub fn check(&self, ip: IpAddr, port: u16) -> Result<(), Forbidden> {
        if self.is_own(ip, port) {
            return Err(Forbidden::Own(SocketAddr::new(ip, port)));
        }
        let judged = carried(ip);
        if [ip, judged].iter().any(|ip| self.allow.iter().any(|net| net.contains(ip))) {
            return Ok(());
        }
        match denied(judged) {
            Some((net, what)) => Err(Forbidden::Net { ip, what, net }),
            None => Ok(()),
        }
    }

    /// Checks every answer for a name; one that is forbidden refuses all.
    pub fn check_all(&self, ips: impl IntoIterator<Item = IpAddr>, port: u16) -> Result<(), Forbidden> {
        ips.into_iter().try_for_each(|ip| self.check(ip, port))
    }

    fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        // Connecting to the unspecified address reaches the loopback listeners of this machine (Linux and macOS).
        let unspecified = carried(ip).is_unspecified();
        let ip = carried(ip);
        self.own.iter().filter(|own| own.port() == port).any(|own| {
            let own = carried(own.ip());
            own == ip || (own.is_unspecified() && is_local(ip)) || (unspecified && own.is_loopback())
        })
    }
}

/// Whether `ip` belongs to this machine: only such an address can be bound.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

/// The IPv4 address that an IPv6 address carries and a packet to it ends at (IPv4-mapped, NAT64 of RFC 6052), else
/// the address itself.
fn carried(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let [.., a, b, c, d] = v6.octets();
    let nat64 = v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    if nat64 || v6.to_ipv4_mapped().is_some() { IpAddr::V4(Ipv4Addr::new(a, b, c, d)) } else { ip }
}

fn denied(ip: IpAddr) -> Option<(IpNet, &'static str)> {
    match ip {
        IpAddr::V4(ip) => {
            DENIED_V4.iter().find(|(net, _)| net.contains(&ip)).map(|(net, what)| (IpNet::V4(*net), *what))
        }
        IpAddr::V6(ip) => {
            let mut denied = DENIED_V6.iter().chain(ABOVE_AND_BELOW.iter());
            denied.find(|(net, _)| net.contains(&ip)).map(|(net, what)| (IpNet::V6(*net), *what))
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

const fn v6(a: u16, b: u16, c: u16, len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), len)
}

/// IANA's special-purpose registry (RFC 6890 and its updates), multicast, and the address at which Azure serves its
/// machines.
const DENIED_V4: [(Ipv4Net, &str); 16] = [
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared by a carrier"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(168, 63, 129, 16, 32), "a cloud's own service"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved"),
    (v4(192, 0, 2, 0, 24), "for documentation"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "for benchmarks"),
    (v4(198, 51, 100, 0, 24), "for documentation"),
    (v4(203, 0, 113, 0, 24), "for documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// The same for IPv6. 6to4 (`2002::/16`) is refused whatever it carries: RFC 7526 retired it. `2001::/23` has Teredo
/// (RFC 4380) in it, which carries an IPv4 address too, and nothing that takes webhooks. `fc00::/7` covers the metadata
/// address `fd00:ec2::254`.
const DENIED_V6: [(Ipv6Net, &str); 11] = [
    (v6(0x64, 0xff9b, 1, 48), "a local NAT64"),
    (v6(0, 0, 0, 8), "reserved"),
    (v6(0x100, 0, 0, 64), "discarded"),
    (v6(0x2001, 0, 0, 23), "for protocols such as Teredo"),
    (v6(0x2001, 0xdb8, 0, 32), "for documentation"),
    (v6(0x2002, 0, 0, 16), "6to4"),
    (v6(0x3fff, 0, 0, 20), "for documentation"),
    (v6(0x5f00, 0, 0, 16), "segment routing"),
    (v6(0xfc00, 0, 0, 7), "private"),
    (v6(0xfe80, 0, 0, 10), "link-local"),
    (v6(0xff00, 0, 0, 8), "multicast"),
];

/// Everything outside `2000::/3`, the only addresses that are given out to the public.
const ABOVE_AND_BELOW: [(Ipv6Net, &str); 3] = [
    (v6(0, 0, 0, 3), "not for the public"),
    (v6(0x4000, 0, 0, 2), "not for the public"),
    (v6(0x8000, 0, 0, 1), "not for the public"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn public_addresses_pass_and_all_others_are_refused() {
        let allowed = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2003::1",
        ];
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "::ffff:0:8.8.8.8",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "200::1",
            "1fff:ffff::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:1ff:ffff::",
            "2001:db8::1",
            "2002:808:808::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "8000::1",
            "bfff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ];
        let policy = Policy::default();
        for text in allowed {
            assert_eq!(policy.check(ip(text), 443), Ok(()), "{text}");
        }
        for text in refused {
            assert!(matches!(policy.check(ip(text), 443), Err(Forbidden::Net { .. })), "{text}");
        }
    }

    /// What the standard library knows of an address, independently of our table.
    fn std_says_public(ip: Ipv4Addr) -> bool {
        let [a, b, c, _] = ip.octets();
        let special = ip.is_private()
            || ip.is_loopback()
            || ip.is_link_local()
            || ip.is_multicast()
            || ip.is_broadcast();
        let reserved = a == 0 || a >= 240 || (a == 100 && b & 0xc0 == 64) || (a == 198 && b & 0xfe == 18);
        let protocol =
            (a, b, c) == (192, 0, 0) || (a, b, c) == (192, 88, 99) || ip == Ipv4Addr::new(168, 63, 129, 16);
        !(special || reserved || protocol || ip.is_documentation())
    }

    #[test]
    fn the_table_agrees_with_the_standard_library_all_over_the_address_space() {
        let policy = Policy::default();
        let mut random = StdRng::seed_from_u64(6);
        let edges = DENIED_V4.iter().flat_map(|(net, _)| {
            let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
        });
        let every_block =
            (0..=u16::MAX).map(|high| u32::from(high) << 16 | u32::from(high.wrapping_mul(40_503)));
        let anywhere: Vec<u32> = (0..100_000).map(|_| random.random()).collect();
        for bits in edges.chain(every_block).chain(anywhere) {
            let v4 = Ipv4Addr::from(bits);
            let public = std_says_public(v4);
            let carriers = [IpAddr::V4(v4), IpAddr::V6(v4.to_ipv6_mapped()), nat64(v4)];
            for ip in carriers {
                assert_eq!(policy.check(ip, 80).is_ok(), public, "{ip}");
            }
            // Allowing one network opens that network and no other.
            let allow = Policy { allow: vec!["10.20.0.0/16".parse().unwrap()], ..Policy::default() };
            let inside = v4.octets()[..2] == [10, 20];
            assert_eq!(allow.check(IpAddr::V4(v4), 80).is_ok(), public || inside, "{v4}");
        }
    }

    fn nat64(v4: Ipv4Addr) -> IpAddr {
        let [a, b, c, d] = v4.octets().map(u16::from);
        IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d))
    }

    #[test]
    fn only_global_unicast_passes_among_ipv6_addresses() {
        let policy = Policy::default();
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..100_000 {
            let bits: u128 = random.random();
            let any = Ipv6Addr::from(bits);
            let global = Ipv6Addr::from(bits >> 3 | 0x2000 << 112);
            for ip in [any, global] {
                let [a, b, ..] = ip.segments();
                let protocols = a == 0x2001 && b < 0x200;
                let special =
                    protocols || a == 0x2002 || (a, b) == (0x2001, 0xdb8) || (a == 0x3fff && b & 0xf000 == 0);
                let is_global = a >> 13 == 1;
                assert_eq!(policy.check(IpAddr::V6(ip), 443).is_ok(), is_global && !special, "{ip}");
            }
        }
    }

    #[test]
    fn one_forbidden_answer_refuses_the_name() {
        let policy = Policy::default();
        assert!(policy.check_all([ip("8.8.8.8"), ip("2606:4700::1111")], 443).is_ok());
        assert!(policy.check_all([ip("8.8.8.8"), ip("10.0.0.1")], 443).is_err());
    }

    #[test]
    fn our_own_listeners_are_refused_in_every_spelling_even_where_all_is_allowed() {
        let all = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let cases: [(&str, &[&str], &[&str]); 4] = [
            (
                "127.0.0.1:8400",
                &["127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "64:ff9b::127.0.0.1"],
                &["127.0.0.2", "10.0.0.1"],
            ),
            (
                "0.0.0.0:8400",
                &["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"],
                &["192.0.2.77"],
            ),
            ("[::]:8400", &["127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1"], &["192.0.2.77"]),
            ("10.1.2.3:8400", &["10.1.2.3", "::ffff:10.1.2.3"], &["127.0.0.1", "10.1.2.4"]),
        ];
        for (own, refused, passed) in cases {
            let policy = Policy { allow: all.clone(), own: vec![own.parse().unwrap()] };
            for text in refused {
                assert!(matches!(policy.check(ip(text), 8400), Err(Forbidden::Own(_))), "{own} {text}");
                assert_eq!(policy.check(ip(text), 8402), Ok(()), "{own} {text}: another port");
            }
            for text in passed {
                assert_eq!(policy.check(ip(text), 8400), Ok(()), "{own} {text}");
            }
        }
    }
}
