//! Which network addresses a connection may lead to.
//!
//! An address inside another one (an IPv4 address in an IPv6 one, behind NAT64 or 6to4) is judged as
//! what it leads to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

/// What an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The internet.
    Public,
    /// This machine or a private network: the connection has to grant it.
    Private,
    /// Nothing that a connection is for: link-local addresses, where clouds keep their metadata,
    /// multicast, unspecified and reserved ones.
    Never,
}

const PRIVATE: [&str; 6] =
    ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

const NEVER: [&str; 21] = [
    "0.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    // The metadata addresses of clouds inside of unique local space.
    "fd00:ec2::/32",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

static NETWORKS: LazyLock<(Vec<IpNet>, Vec<IpNet>)> = LazyLock::new(|| {
    let parse = |networks: &[&str]| networks.iter().filter_map(|it| it.parse().ok()).collect();
    (parse(&NEVER), parse(&PRIVATE))
});

/// Tells what `address` leads to.
pub(crate) fn reach(address: IpAddr) -> Reach {
    let address = match address {
        IpAddr::V6(Ipv6Addr::LOCALHOST) => return Reach::Private,
        IpAddr::V6(v6) => embedded(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let (never, private) = &*NETWORKS;
    if never.iter().any(|it| it.contains(&address)) {
        Reach::Never
    } else if private.iter().any(|it| it.contains(&address)) {
        Reach::Private
    } else {
        Reach::Public
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // v4-mapped, v4-compatible, v4-translated, NAT64
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if address != Ipv6Addr::UNSPECIFIED => v4(high, low),
        // 6to4
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_networks_are_read() {
        assert_eq!((NETWORKS.0.len(), NETWORKS.1.len()), (NEVER.len(), PRIVATE.len()));
    }

    #[test]
    fn addresses_lead_where_they_lead() {
        for (address, expected) in [
            ("93.184.216.34", Reach::Public),
            ("2606:2800:220:1::1", Reach::Public),
            ("::ffff:93.184.216.34", Reach::Public),
            ("127.0.0.1", Reach::Private),
            ("127.8.8.8", Reach::Private),
            ("::1", Reach::Private),
            ("10.1.2.3", Reach::Private),
            ("172.31.255.255", Reach::Private),
            ("172.32.0.0", Reach::Public),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("fd12:3456::1", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("::ffff:127.0.0.1", Reach::Private),
            ("::7f00:1", Reach::Private),
            ("64:ff9b::10.0.0.1", Reach::Private),
            ("2002:7f00:1::", Reach::Private),
            ("169.254.169.254", Reach::Never),
            ("::ffff:169.254.169.254", Reach::Never),
            ("64:ff9b::a9fe:a9fe", Reach::Never),
            ("2002:a9fe:a9fe::", Reach::Never),
            ("fd00:ec2::254", Reach::Never),
            ("fe80::1", Reach::Never),
            ("0.0.0.0", Reach::Never),
            ("::", Reach::Never),
            ("::ffff:0.0.0.0", Reach::Never),
            ("224.0.0.1", Reach::Never),
            ("255.255.255.255", Reach::Never),
            ("ff02::1", Reach::Never),
        ] {
            assert_eq!(reach(address.parse().expect(address)), expected, "{address}");
        }
    }
}
