//! Which network interface leads to a target, by the routing tables that a kernel shows. Rules that
//! choose among tables are not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A route is up.
const UP: u32 = 0x1;
/// A route that leads nowhere.
const REJECT: u32 = 0x200;
/// Longest name of an interface.
const NAME_MAX: usize = 15;

/// The interface towards an address: `v4` is `/proc/net/route`, `v6` is `/proc/net/ipv6_route`.
pub(super) fn interface<'a>(address: IpAddr, v4: &'a str, v6: &'a str) -> Option<&'a str> {
    match address {
        IpAddr::V4(address) => best(v4.lines().skip(1), |line| route_v4(line, address)),
        IpAddr::V6(address) => best(v6.lines(), |line| route_v6(line, address)),
    }
}

/// A route that holds the address.
struct Route<'a> {
    prefix: u32,
    metric: u32,
    name: &'a str,
}

fn best<'a>(
    lines: impl Iterator<Item = &'a str>,
    route: impl Fn(&'a str) -> Option<Route<'a>>,
) -> Option<&'a str> {
    let usable = |route: &Route<'_>| {
        let name = route.name;
        !name.is_empty() && name.len() <= NAME_MAX && !name.contains('/') && !name.starts_with('.')
    };
    let routes = lines.filter_map(route).filter(usable);
    // The longest prefix wins, then the smallest metric, then the first.
    routes
        .reduce(|a, b| {
            let longer = b.prefix > a.prefix;
            if longer || (b.prefix == a.prefix && b.metric < a.metric) { b } else { a }
        })
        .map(|route| route.name)
}

/// Interface, destination, gateway, flags, two counts, metric, mask.
fn route_v4(line: &str, address: Ipv4Addr) -> Option<Route<'_>> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    let destination = bytes_v4(words.next()?)?;
    let flags = hex(words.nth(1)?)?;
    let metric = words.nth(2)?.parse().ok()?;
    let mask = bytes_v4(words.next()?)?;
    let holds = address.to_bits() & mask == destination;
    (holds && flags & UP != 0 && flags & REJECT == 0).then_some(Route {
        prefix: mask.count_ones(),
        metric,
        name,
    })
}

/// Destination, its prefix, source, its prefix, next hop, metric, two counts, flags, interface.
fn route_v6(line: &str, address: Ipv6Addr) -> Option<Route<'_>> {
    let mut words = line.split_ascii_whitespace();
    let destination = u128::from_str_radix(words.next()?, 16).ok()?;
    let prefix = hex(words.next()?)?;
    let metric = hex(words.nth(3)?)?;
    let flags = hex(words.nth(2)?)?;
    let name = words.next()?;
    let differ = address.to_bits() ^ destination;
    let holds = prefix <= 128 && differ.leading_zeros() >= prefix;
    (holds && flags & UP != 0 && flags & REJECT == 0).then_some(Route { prefix, metric, name })
}

/// An address as the kernel writes it: its bytes as one number of the host's byte order.
fn bytes_v4(word: &str) -> Option<u32> {
    Some(u32::from_be_bytes(hex(word)?.to_ne_bytes()))
}

fn hex(word: &str) -> Option<u32> {
    u32::from_str_radix(word, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table_v4(routes: &[(&str, [u8; 4], u32, u32)]) -> String {
        let head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
        let line = |(name, to, prefix, metric): &(&str, [u8; 4], u32, u32)| {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0).to_be_bytes();
            let (to, mask) = (u32::from_ne_bytes(*to), u32::from_ne_bytes(mask));
            format!("{name}\t{to:08X}\t00000000\t0001\t0\t0\t{metric}\t{mask:08X}\t0\t0\t0 \n")
        };
        head.to_owned() + &routes.iter().map(line).collect::<String>()
    }

    #[test]
    fn the_longest_route_wins_and_then_the_cheapest() {
        let v4 = table_v4(&[
            ("far", [0, 0, 0, 0], 0, 100),
            ("near", [10, 0, 0, 0], 8, 0),
            ("dear", [10, 1, 0, 0], 16, 9),
            ("cheap", [10, 1, 0, 0], 16, 3),
            ("../x", [10, 1, 1, 0], 24, 0),
        ]);
        let v6 = format!(
            "{:032x} 00 {:032x} 00 {:032x} 00000400 1 0 00000003 far6\n\
             20010db8{:024x} 20 {:032x} 00 {:032x} 00000100 1 0 00000001 near6\n\
             20010db8{:024x} 30 {:032x} 00 {:032x} 00000100 1 0 00000201 none6\n",
            0, 0, 0, 0, 0, 0, 0, 0, 0
        );
        for (address, name) in [
            ("8.8.8.8", "far"),
            ("10.9.9.9", "near"),
            ("10.1.1.1", "cheap"),
            ("2001:db8::1", "near6"),
            ("2001:db9::1", "far6"),
        ] {
            assert_eq!(interface(address.parse().unwrap(), &v4, &v6), Some(name), "{address}");
        }
        assert_eq!(interface("10.0.0.1".parse().unwrap(), "", ""), None);
    }

    proptest! {
        #[test]
        fn no_table_is_too_hostile(text in "([0-9a-f]{1,33}|[ \\t\\n]|eth0|\\.\\./)*", low in any::<u32>()) {
            for address in [IpAddr::V4(low.into()), IpAddr::V6(u128::from(low).into())] {
                let name = interface(address, &text, &text).unwrap_or("x");
                prop_assert!(!name.contains('/') && !name.starts_with('.'));
            }
        }
    }
}
