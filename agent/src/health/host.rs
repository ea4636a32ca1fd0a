//! Reads what a host tells: files of `/proc` and `/sys`, and the kernel's answers about sockets.
//! What cannot be read is not stated; nothing here waits.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use common::health::{RoundTrip, Used};
use rustix::process::{Resource, getrlimit};

use super::texts::{self, Bytes};
use super::{Link, Reading, routes};
use crate::clock::Clock;
use crate::load::seat::Seat;
use crate::preflight;

/// Addresses of a target that are looked at.
const ADDRESSES_MAX: usize = 8;
const LOOPBACK: &str = "lo";

/// Where this host tells of what matters to a level.
#[derive(Debug)]
pub(crate) struct Host {
    clock: Clock,
    seats: Vec<Seat>,
    targets: Vec<SocketAddr>,
    /// Of the groups of processes that the agent belongs to, those that can have a quota.
    quotas: Vec<PathBuf>,
    links: Vec<Link>,
    ports: Option<u64>,
}

impl Host {
    /// A host whose workers have these seats and load these addresses.
    pub(crate) fn new(
        clock: Clock,
        seats: Vec<Seat>,
        targets: impl Iterator<Item = SocketAddr>,
    ) -> Self {
        let mut targets: Vec<SocketAddr> = targets.take(ADDRESSES_MAX).collect();
        targets.sort_unstable();
        targets.dedup();
        let quotas = read("/proc/self/cgroup").as_deref().map(texts::quota_files);
        let mut quotas = quotas.unwrap_or_default();
        quotas.sort_unstable();
        quotas.dedup();
        quotas.retain(|file| read(file).as_deref().and_then(texts::quota).is_some());
        let links = links(&targets);
        let ports = preflight::local_ports()
            .map(|(low, high)| u64::from(high.saturating_sub(low)).saturating_add(1));
        Self { clock, seats, targets, quotas, links, ports }
    }

    /// The processor that each worker is bound to.
    pub(super) fn bound(&self) -> Vec<Option<u32>> {
        self.seats.iter().map(|seat| seat.processor).collect()
    }

    /// The interfaces towards the target.
    pub(super) fn links(&self) -> Vec<Link> {
        self.links.clone()
    }

    /// Reads everything once.
    pub(super) fn read(&self) -> Reading {
        let sched = |seat: &Seat| {
            let file = format!("/proc/self/task/{}/schedstat", seat.thread?);
            read(file).as_deref().and_then(texts::sched)
        };
        let quota = |file: &PathBuf| read(file).as_deref().and_then(texts::quota);
        let processors = read("/proc/stat").as_deref().map(texts::processors);
        Reading {
            at: self.clock.now(),
            workers: self.seats.iter().map(sched).collect(),
            processors: processors.unwrap_or_default(),
            quotas: self.quotas.iter().map(quota).collect(),
            segments: read("/proc/net/snmp").as_deref().and_then(texts::segments),
            links: self.links.iter().map(bytes).collect(),
            fds: fds(),
            ports: self.ports(),
            round_trip: self.round_trip(),
        }
    }

    fn ports(&self) -> Option<Used> {
        let v6 = read("/proc/net/sockstat6");
        let used = texts::sockets(&read("/proc/net/sockstat")?, v6.as_deref())?;
        Some(Used { used, limit: self.ports? })
    }

    #[cfg(target_os = "linux")]
    fn round_trip(&self) -> Option<RoundTrip> {
        linux::round_trip(&self.targets)
    }

    #[cfg(not(target_os = "linux"))]
    fn round_trip(&self) -> Option<RoundTrip> {
        None
    }
}

fn read(file: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(file).ok()
}

/// Open files. Kernels from 6.2 on tell their number; the others list them.
fn fds() -> Option<Used> {
    let limit = getrlimit(Resource::Nofile).current?;
    let folder = "/proc/self/fd";
    let used = match fs::metadata(folder).ok()?.len() {
        0 => fs::read_dir(folder).ok()?.count() as u64,
        told => told,
    };
    (limit > 0).then_some(Used { used, limit })
}

/// The interfaces towards the targets, each once.
fn links(targets: &[SocketAddr]) -> Vec<Link> {
    let v4 = read("/proc/net/route").unwrap_or_default();
    let v6 = read("/proc/net/ipv6_route").unwrap_or_default();
    let mut names: Vec<&str> = targets
        .iter()
        .filter_map(|target| {
            let own = is_own(*target);
            if own { Some(LOOPBACK) } else { routes::interface(target.ip(), &v4, &v6) }
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    let link = |name: &&str| Link { name: (*name).to_owned(), bytes_per_s_max: speed(name) };
    names.iter().map(link).collect()
}

/// Whether an address is one of this host: what is sent there goes nowhere else.
fn is_own(target: SocketAddr) -> bool {
    let any = match target.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // Binds a socket to the route; nothing is sent.
    let near = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(target)?;
        socket.local_addr()
    });
    target.ip().is_loopback() || near.is_ok_and(|near| near.ip() == target.ip())
}

/// Bytes per second that an interface can carry in one direction. One that is not made of hardware
/// states a number that nothing holds it to.
fn speed(name: &str) -> Option<u64> {
    let folder = interface(name);
    let is_real = ["device", "bonding"].iter().any(|part| folder.join(part).exists());
    let megabits: i64 = read(folder.join("speed"))?.trim().parse().ok()?;
    let megabits = u64::try_from(megabits).ok().filter(|megabits| is_real && *megabits > 0)?;
    megabits.checked_mul(1_000_000 / 8)
}

fn bytes(link: &Link) -> Option<Bytes> {
    let folder = interface(&link.name).join("statistics");
    let count = |file: &str| read(folder.join(file))?.trim().parse().ok();
    Some(Bytes { received: count("rx_bytes")?, sent: count("tx_bytes")? })
}

fn interface(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::SocketAddr;

    use common::health::RoundTrip;
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    };

    use crate::health::diag;

    /// Parts of an answer that are read: the sample is of the connections that they tell of.
    const PARTS_MAX: usize = 4;
    const PART_BYTES: usize = 32 << 10;

    /// Round trips of a sample of the connections to `targets`.
    pub(super) fn round_trip(targets: &[SocketAddr]) -> Option<RoundTrip> {
        let mut trips = Vec::new();
        for target in targets {
            ask(*target, &mut trips);
        }
        diag::sum_up(trips)
    }

    /// One question on a socket of its own; what is left of the answer goes with it.
    fn ask(target: SocketAddr, trips: &mut Vec<u32>) -> Option<()> {
        let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
        let protocol = Some(netlink::SOCK_DIAG);
        let socket = socket_with(family, SocketType::DGRAM, flags, protocol).ok()?;
        send(&socket, &diag::question(target), SendFlags::empty()).ok()?;
        let mut part = vec![0; PART_BYTES];
        for _ in 0..PARTS_MAX {
            let (_, length) = recv(&socket, part.as_mut_slice(), RecvFlags::DONTWAIT).ok()?;
            if length == 0 || !diag::answer(part.get(..length)?, target, trips) {
                break;
            }
        }
        Some(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Reads this very host: a thread that runs, a connection on loopback, its descriptors.
    #[test]
    fn this_host_tells_of_a_thread_a_connection_and_files() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = listener.local_addr().unwrap();
        let mut near = TcpStream::connect(target).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(b"ping").unwrap();
        far.read_exact(&mut [0; 4]).unwrap();
        let seat = Seat::take(None).unwrap();
        let host = Host::new(Clock::start(), vec![seat], [target, target].into_iter());
        assert_eq!(host.links(), [Link { name: LOOPBACK.to_owned(), bytes_per_s_max: None }]);
        let reading = host.read();
        assert!(reading.workers[0].is_some() && reading.links[0].is_some());
        assert!(reading.fds.unwrap().used > 3);
        assert!(reading.ports.unwrap().used > 1);
        let trip = reading.round_trip.unwrap();
        assert!(trip.connections == 1 && trip.max_us < 1_000_000, "{trip:?}");
        drop((near, far));
    }
}
