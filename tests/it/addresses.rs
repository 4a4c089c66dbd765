//! The address policy held to properties: all over the address space, in every spelling of a literal.

use gateway::model::Time;
use gateway::model::attempt::{Failure, Outcome};
use gateway::outbound::address::{Forbidden, Policy};
use gateway::outbound::{Outbound, Post};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::sample::select;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Runtime;
use url::Url;

/// What no sender of webhooks should reach: the union of what others refuse, written down here once more and by hand.
const REFUSED_V4: [&str; 17] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
];
/// The same for IPv6, beside what carries an IPv4 address. `2001::/23` has Teredo in it. Of the first three, which leave
/// only `2000::/3`, some parts are there once more: their edges are looked at.
const REFUSED_V6: [&str; 15] = [
    "::/3",
    "4000::/2",
    "8000::/1",
    "::/8",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fd00:ec2::254/128",
    "fe80::/10",
    "ff00::/8",
];

fn nets_v4() -> Vec<Ipv4Net> {
    REFUSED_V4.iter().map(|net| net.parse().unwrap()).collect()
}

fn nets_v6() -> Vec<Ipv6Net> {
    REFUSED_V6.iter().map(|net| net.parse().unwrap()).collect()
}

/// Anywhere, inside a refused network, or within a few addresses of its edges.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let near = (select(nets_v4()), any::<bool>(), -3..=3_i64).prop_map(|(net, first, off)| {
        let edge = u32::from(if first { net.network() } else { net.broadcast() });
        Ipv4Addr::from((i64::from(edge) + off).rem_euclid(1 << 32) as u32)
    });
    prop_oneof![any::<u32>().prop_map(Ipv4Addr::from), inside_v4(), near]
}

fn inside_v4() -> impl Strategy<Value = Ipv4Addr> {
    (select(nets_v4()), any::<u32>())
        .prop_map(|(net, host)| Ipv4Addr::from(u32::from(net.network()) | host & u32::from(net.hostmask())))
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let inside = (select(nets_v6()), any::<u128>()).prop_map(|(net, host)| {
        Ipv6Addr::from(u128::from(net.network()) | host & u128::from(net.hostmask()))
    });
    let near = (select(nets_v6()), any::<bool>(), -3..=3_i128).prop_map(|(net, first, off)| {
        let edge = u128::from(if first { net.network() } else { net.broadcast() });
        Ipv6Addr::from(edge.wrapping_add_signed(off))
    });
    let global = any::<u128>().prop_map(|bits| Ipv6Addr::from(bits >> 3 | 0x2000 << 112));
    prop_oneof![any::<u128>().prop_map(Ipv6Addr::from), global, inside, near]
}

fn refused_v4(ip: Ipv4Addr) -> bool {
    nets_v4().iter().any(|net| net.contains(&ip))
}

/// By what is at the other end: NAT64 and mapped addresses end at the IPv4 address that they carry.
fn refused_v6(ip: Ipv6Addr) -> bool {
    let [.., c, d] = ip.segments();
    let carried = Ipv4Addr::from(u32::from(c) << 16 | u32::from(d));
    match ip.segments()[..6] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => refused_v4(carried),
        _ => nets_v6().iter().any(|net| net.contains(&ip)),
    }
}

/// Every IPv6 address that leads to an IPv4 address on some machine, and whether all of its kind are refused.
fn carriers(v4: Ipv4Addr) -> [(Ipv6Addr, bool); 6] {
    let bits = u32::from(v4);
    let (high, low) = ((bits >> 16) as u16, bits as u16);
    [
        (v4.to_ipv6_mapped(), false),
        (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low), false),
        // Compatible, translated (RFC 2765), 6to4 and Teredo, which carries the client's address with its bits turned.
        (Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low), true),
        (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low), true),
        (Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1), true),
        (Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low), true),
    ]
}

/// The spellings of an IPv4 address that some resolver or URL parser takes for one.
fn spellings(ip: Ipv4Addr) -> Vec<String> {
    let ([a, b, c, d], bits) = (ip.octets(), u32::from(ip));
    let [mapped, nat64, compatible, translated, to4, teredo] = carriers(ip).map(|(carrier, _)| carrier);
    let (high, low) = (bits >> 16, bits & 0xffff);
    let dotted = ip.to_string();
    let mut all = vec![
        dotted.clone(),
        format!("{dotted}."),
        format!("{bits}"),
        format!("0{bits:o}"),
        format!("0x{bits:x}"),
        format!("0X{bits:X}"),
        format!("0x00000000{bits:x}"),
        format!("{a}.{}", bits & 0xff_ffff),
        format!("{a}.{b}.{low}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.{b}.0x{c:x}.{d}"),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0x{a:x}.{}", bits & 0xff_ffff),
        format!("user:secret@{dotted}"),
        format!("{dotted}%2e"),
        dotted.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        // Full width digits and an ideographic full stop, which become ASCII.
        dotted
            .chars()
            .map(|c| if c == '.' { '。' } else { char::from_u32(c as u32 + 0xfee0).unwrap() })
            .collect(),
        format!("[::ffff:{dotted}]"),
        format!("[::FFFF:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:ffff:{high:04x}:{low:04x}]"),
        format!("[64:ff9b::{dotted}]"),
        format!("[::{dotted}]"),
    ];
    all.extend([mapped, nat64, compatible, translated, to4, teredo].map(|carrier| format!("[{carrier}]")));
    all.extend(["%25eth0", "%eth0", "%251", "%1"].map(|zone| format!("[{mapped}{zone}]")));
    all
}

/// Made once: it reads the machine's root certificates.
static OUTBOUND: LazyLock<(Runtime, Outbound)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    (runtime, Outbound::new(Policy::default()).unwrap())
});

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn exactly_what_is_not_for_the_public_is_refused_by_whatever_carries_it(v4 in v4(), v6 in v6(), port in any::<u16>()) {
        let policy = Policy::default();
        let refuses = |ip| policy.check(ip, port).is_err();
        prop_assert_eq!(refuses(IpAddr::V4(v4)), refused_v4(v4), "{}", v4);
        prop_assert_eq!(refuses(IpAddr::V6(v6)), refused_v6(v6), "{}", v6);
        for (carrier, whole_kind) in carriers(v4) {
            prop_assert_eq!(refuses(IpAddr::V6(carrier)), whole_kind || refused_v4(v4), "{}", carrier);
        }
        let answers = [IpAddr::V4(v4), IpAddr::V6(v6), "9.9.9.9".parse().unwrap()];
        prop_assert_eq!(policy.check_all(answers, port).is_err(), refused_v4(v4) || refused_v6(v6));
    }

    #[test]
    fn an_allowed_network_opens_itself_and_no_other_and_never_our_listeners(
        (v4, v6, own) in (v4(), v6(), any::<u16>()),
        (len_v4, len_v6) in (0..=32_u8, 0..=128_u8),
        // Somewhere else, or around what is asked for.
        (at_v4, at_v6) in (prop_oneof![Just(None), v4().prop_map(Some)], prop_oneof![Just(None), v6().prop_map(Some)]),
        port in any::<u16>(),
    ) {
        let net_v4 = Ipv4Net::new(at_v4.unwrap_or(v4), len_v4).unwrap().trunc();
        let net_v6 = Ipv6Net::new(at_v6.unwrap_or(v6), len_v6).unwrap().trunc();
        let listener = SocketAddr::new(IpAddr::V4(v4), own);
        let policy = Policy { allow: vec![IpNet::V4(net_v4), IpNet::V6(net_v6)], own: vec![listener] };
        let open_v4 = |ip: Ipv4Addr| !refused_v4(ip) || net_v4.contains(&ip);
        if port != own {
            prop_assert_eq!(policy.check(IpAddr::V4(v4), port).is_ok(), open_v4(v4), "{} {}", v4, net_v4);
            let (mapped, nat64) = (carriers(v4)[0].0, carriers(v4)[1].0);
            for carrier in [mapped, nat64] {
                let open = open_v4(v4) || net_v6.contains(&carrier);
                prop_assert_eq!(policy.check(IpAddr::V6(carrier), port).is_ok(), open, "{}", carrier);
            }
            let open = !refused_v6(v6) || net_v6.contains(&v6);
            if v6.to_ipv4_mapped().is_none() && v6.segments()[..6] != [0x64, 0xff9b, 0, 0, 0, 0] {
                prop_assert_eq!(policy.check(IpAddr::V6(v6), port).is_ok(), open, "{} {}", v6, net_v6);
            }
        }
        let (mapped, nat64) = (carriers(v4)[0].0, carriers(v4)[1].0);
        for ip in [IpAddr::V4(v4), IpAddr::V6(mapped), IpAddr::V6(nat64)] {
            prop_assert_eq!(policy.check(ip, own), Err(Forbidden::Own(SocketAddr::new(ip, own))));
        }
    }

    #[test]
    fn a_forbidden_address_is_refused_in_every_spelling_of_it(ip in inside_v4(), port in 1..=u16::MAX, tls in any::<bool>()) {
        let (runtime, outbound) = &*OUTBOUND;
        for host in spellings(ip) {
            let text = format!("{}://{host}:{port}/hooks", if tls { "https" } else { "http" });
            // What cannot be parsed cannot be configured.
            let Ok(url) = text.parse::<Url>() else { continue };
            let now = Time::from_secs(0);
            let post = Post { url, headers: &http::HeaderMap::new, body: "{}".into(), timeout: Duration::from_secs(5), now };
            let sent = runtime.block_on(outbound.send(post));
            let forbidden = matches!(sent.outcome, Outcome::Failed(Failure::Forbidden(_)));
            prop_assert!(forbidden, "{} for {}: {:?}", text, ip, sent.outcome);
        }
    }
}
