//! Where this host's connections come from: one address of its own, or several that they are
//! spread over, each of which brings its own local ports. It never adds an address to the host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;

use tokio::net::{TcpSocket, TcpStream};

/// Which of the host's addresses connections come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sources {
    /// The one that the system takes.
    #[default]
    System,
    /// All that the interface towards the target has.
    All,
    /// These; towards a target of another family the one that the system takes.
    Listed(Vec<IpAddr>),
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address such as 10.0.0.5 nor \"all\"")]
pub struct SourcesError(String);

impl Sources {
    /// Reads what a configuration lists: addresses, or `all` alone.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse(texts: &[String]) -> Result<Self, SourcesError> {
        if matches!(texts, [all] if all == "all") {
            return Ok(Self::All);
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        for text in texts {
            let address = IpAddr::from_str(text).ok().filter(|address| !address.is_unspecified());
            let address = address.ok_or_else(|| SourcesError(text.clone()))?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(if addresses.is_empty() { Self::System } else { Self::Listed(addresses) })
    }

    /// The addresses that connections to `target` are spread over; none where the system takes
    /// one.
    ///
    /// # Errors
    /// An address that is not this host's, and what to do.
    pub fn towards(&self, target: SocketAddr) -> Result<Vec<IpAddr>, String> {
        match self {
            Self::System => Ok(Vec::new()),
            Self::All => all_towards(target).map_err(|error| {
                format!(
                    "this agent cannot tell its addresses towards {target}: {error}; list them in \
                     `source_addresses`"
                )
            }),
            Self::Listed(addresses) => {
                let fitting = |address: &&IpAddr| address.is_ipv4() == target.is_ipv4();
                let fitting: Vec<IpAddr> = addresses.iter().filter(fitting).copied().collect();
                fitting.iter().try_for_each(|address| is_own(*address)).map(|()| fitting)
            }
        }
    }
}

/// Connects from the address of `sources` whose turn it is by `turn`, among those of the same
/// family; from the system's choice where there is none.
pub(crate) async fn connect(
    address: SocketAddr,
    sources: &[IpAddr],
    turn: u32,
) -> io::Result<TcpStream> {
    let Some(source) = source_of(address, sources, turn) else {
        return TcpStream::connect(address).await;
    };
    let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    system::choose_port_later(&socket)?;
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(address).await
}

fn source_of(address: SocketAddr, sources: &[IpAddr], turn: u32) -> Option<IpAddr> {
    let fitting = || sources.iter().filter(|source| source.is_ipv4() == address.is_ipv4());
    let count = fitting().count();
    let place = usize::try_from(turn).unwrap_or_default().checked_rem(count)?;
    fitting().nth(place).copied()
}

fn is_own(address: IpAddr) -> Result<(), String> {
    UdpSocket::bind((address, 0)).map(drop).map_err(|error| {
        format!(
            "connections cannot come from {address}: {error}; give this host the address with \
             `ip addr add {address}/{} dev INTERFACE`, or take it out of `source_addresses`",
            if address.is_ipv4() { 32 } else { 128 }
        )
    })
}

/// All addresses of the interface that leads to `target`.
fn all_towards(target: SocketAddr) -> io::Result<Vec<IpAddr>> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // Sends nothing: it only lets the system choose.
    socket.connect(target)?;
    let own = socket.local_addr()?.ip();
    Ok(of_the_interface(&system::addresses()?, own))
}

/// The addresses, of its family, that share an interface with `own`; `own` is the first.
fn of_the_interface(found: &[(String, IpAddr)], own: IpAddr) -> Vec<IpAddr> {
    let interface = found.iter().find(|(_, address)| *address == own).map(|(name, _)| name);
    // An alias of an interface, `eth0:1`, is that interface.
    let device = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
    let mut addresses = vec![own];
    for (name, address) in found {
        let beside = interface.is_some_and(|interface| device(interface) == device(name));
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if beside
            && address.is_ipv4() == own.is_ipv4()
            && !link_local
            && !addresses.contains(address)
        {
            addresses.push(*address);
        }
    }
    addresses
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::net::IpAddr;

    use nix::ifaddrs::getifaddrs;
    use nix::net::if_::InterfaceFlags;
    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::IpBindAddressNoPort;
    use tokio::net::TcpSocket;

    /// A port is chosen as the socket connects: until then it would be taken from all targets at
    /// once.
    pub(super) fn choose_port_later(socket: &TcpSocket) -> io::Result<()> {
        Ok(setsockopt(socket, IpBindAddressNoPort, &true)?)
    }

    /// Every address of this host with the interface that has it.
    pub(super) fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
        let up = getifaddrs()?.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP));
        let found = up.filter_map(|one| {
            let address = one.address.as_ref()?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            let v6 = address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
            Some((one.interface_name, v4.or(v6)?))
        });
        Ok(found.collect())
    }
}

/// Elsewhere a port is taken at once, and interfaces are not told apart.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::net::IpAddr;

    use tokio::net::TcpSocket;

    pub(super) fn choose_port_later(_: &TcpSocket) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Sources, SourcesError> {
        Sources::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_list_is_of_addresses_or_all() {
        assert_eq!(parse(&[]), Ok(Sources::System));
        assert_eq!(parse(&["all"]), Ok(Sources::All));
        let listed = ["10.0.0.5", "fd00::5"].map(|text| text.parse().unwrap());
        assert_eq!(parse(&["10.0.0.5", "fd00::5", "10.0.0.5"]), Ok(Sources::Listed(listed.into())));
        for bad in ["10.0.0.5:80", "eth0", "0.0.0.0", "::"] {
            assert!(parse(&["10.0.0.5", bad]).unwrap_err().to_string().contains(bad));
        }
        assert!(parse(&["all", "10.0.0.5"]).is_err());
    }

    #[test]
    fn connections_take_turns_among_the_sources_of_the_targets_family() {
        let sources = ["127.0.0.2", "::1", "127.0.0.3"].map(|text| text.parse().unwrap());
        let from = |target: &str| {
            let target: SocketAddr = target.parse().unwrap();
            let turns = (0..4).map(|turn| source_of(target, &sources, turn).unwrap().to_string());
            turns.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(from("127.0.0.1:1"), "127.0.0.2 127.0.0.3 127.0.0.2 127.0.0.3");
        assert_eq!(from("[::1]:1"), "::1 ::1 ::1 ::1");
        assert_eq!(source_of("127.0.0.1:1".parse().unwrap(), &[], 3), None);
    }

    #[test]
    fn an_address_of_another_host_is_refused_with_what_mends_it() {
        let target = "127.0.0.1:1".parse().unwrap();
        let sources = Sources::Listed(vec!["192.0.2.77".parse().unwrap()]);
        let why = sources.towards(target).unwrap_err();
        assert!(why.contains("ip addr add 192.0.2.77/32 dev") && why.contains("source_addresses"));
        let own = Sources::Listed(vec!["127.0.0.9".parse().unwrap(), "fd00::5".parse().unwrap()]);
        assert_eq!(own.towards(target), Ok(vec!["127.0.0.9".parse().unwrap()]));
    }

    #[test]
    fn all_are_those_of_one_interface() {
        let found = [
            ("lo", "127.0.0.1"),
            ("eth0", "10.0.0.5"),
            ("docker0", "172.17.0.1"),
            ("eth0", "10.0.0.6"),
            ("eth0:1", "10.0.0.7"),
            ("eth0", "fe80::1"),
            ("eth0", "fd00::5"),
        ]
        .map(|(name, address)| (name.to_owned(), address.parse().unwrap()));
        let of = |own: &str| {
            let all = of_the_interface(&found, own.parse().unwrap());
            all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("10.0.0.6"), "10.0.0.6 10.0.0.5 10.0.0.7");
        assert_eq!(of("fd00::5"), "fd00::5");
        assert_eq!(of("127.0.0.1"), "127.0.0.1");
        // One that the list does not know, such as of a route's own.
        assert_eq!(of("10.9.9.9"), "10.9.9.9");
        assert_eq!(Sources::All.towards("127.0.0.1:1".parse().unwrap()).unwrap().len(), 1);
    }
}
