//! The kernel's answers about TCP connections (`sock_diag(7)`): the question as bytes, and the round
//! trips in an answer. No socket here.

use std::net::{IpAddr, SocketAddr};

use common::health::RoundTrip;

/// Bytes of a message's head.
const HEAD: usize = 16;
/// Bytes of what is said of a socket, attributes aside.
const SOCKET: usize = 72;
/// Where its far port and address begin in that.
const FAR_PORT: usize = 6;
const FAR_ADDRESS: usize = 24;
/// Where the smoothed round trip stands in `struct tcp_info`.
const ROUND_TRIP: usize = 68;

const BY_FAMILY: u16 = 20;
const REQUEST_ALL: u16 = 0x1 | 0x300;
const TCP: u8 = 6;
const ESTABLISHED: u32 = 1 << 1;
const INFO: u16 = 2;
const V4: u8 = 2;
const V6: u8 = 10;

/// Asks for all established connections to the port of an address, in its family.
pub(super) fn question(target: SocketAddr) -> Vec<u8> {
    let family = if target.is_ipv4() { V4 } else { V6 };
    let mut socket = vec![family, TCP, 1 << (INFO - 1), 0];
    socket.extend(ESTABLISHED.to_ne_bytes());
    // The near port, the far port, and no address, interface or cookie.
    socket.extend([0, 0]);
    socket.extend(target.port().to_be_bytes());
    socket.resize(56, 0);
    let length = u32::try_from(HEAD + socket.len()).unwrap_or(0);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST_ALL.to_ne_bytes());
    message.resize(HEAD, 0);
    message.extend(socket);
    message
}

/// Adds the round trips, in µs, of the connections to `target` that a part of the answer tells of;
/// `false` if it is the last part.
pub(super) fn answer(mut bytes: &[u8], target: SocketAddr, trips: &mut Vec<u32>) -> bool {
    while let Some((message, rest)) = piece(bytes, u32_at(bytes, 0), HEAD) {
        if u16_at(message, 4) != Some(BY_FAMILY) {
            return false;
        }
        let socket = message.get(HEAD..).unwrap_or_default();
        if is_to(socket, target) {
            trips.extend(round_trip(socket.get(SOCKET..).unwrap_or_default()));
        }
        bytes = rest;
    }
    true
}

/// What a sample of round trips amounts to; `None` of none.
pub(super) fn sum_up(mut trips: Vec<u32>) -> Option<RoundTrip> {
    trips.sort_unstable();
    let median_us = *trips.get(trips.len().saturating_sub(1) / 2)?;
    let connections = u32::try_from(trips.len()).unwrap_or(u32::MAX);
    Some(RoundTrip { connections, median_us, max_us: *trips.last()? })
}

/// The first piece of some bytes, whose length is told in it, and the rest; both ends are aligned.
fn piece(bytes: &[u8], length: Option<u32>, least: usize) -> Option<(&[u8], &[u8])> {
    let length = length? as usize;
    let piece = bytes.get(..length).filter(|piece| piece.len() >= least)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((piece, rest))
}

fn is_to(socket: &[u8], target: SocketAddr) -> bool {
    let port = socket.get(FAR_PORT..FAR_PORT + 2).is_some_and(|p| p == target.port().to_be_bytes());
    let far = |length: usize| socket.get(FAR_ADDRESS..FAR_ADDRESS + length);
    let address = match socket.first() {
        Some(&V4) => far(4).and_then(|b| Some(IpAddr::from(<[u8; 4]>::try_from(b).ok()?))),
        Some(&V6) => far(16).and_then(|b| Some(IpAddr::from(<[u8; 16]>::try_from(b).ok()?))),
        Some(_) | None => None,
    };
    port && address.map(|address| address.to_canonical()) == Some(target.ip().to_canonical())
}

/// The smoothed round trip among a socket's attributes; one that was never measured is 0.
fn round_trip(mut attributes: &[u8]) -> Option<u32> {
    while let Some((attribute, rest)) = piece(attributes, u16_at(attributes, 0).map(u32::from), 4) {
        if u16_at(attribute, 2) == Some(INFO) {
            return u32_at(attribute, 4 + ROUND_TRIP).filter(|us| *us > 0);
        }
        attributes = rest;
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the kernel says of one connection.
    fn said(far: SocketAddr, round_trip_us: u32) -> Vec<u8> {
        let mut socket = vec![if far.is_ipv4() { V4 } else { V6 }, 1, 0, 0, 1, 1];
        socket.extend(far.port().to_be_bytes());
        socket.resize(FAR_ADDRESS, 9);
        match far.ip() {
            IpAddr::V4(address) => socket.extend(address.octets()),
            IpAddr::V6(address) => socket.extend(address.octets()),
        }
        socket.resize(SOCKET, 0);
        // An attribute of five bytes, padded to eight, and then the one that matters.
        socket.extend([5u16.to_ne_bytes(), 8u16.to_ne_bytes()].concat());
        socket.extend([1, 0, 0, 0]);
        let mut info = vec![0; ROUND_TRIP];
        info.extend(round_trip_us.to_ne_bytes());
        info.resize(240, 0);
        socket.extend(244u16.to_ne_bytes());
        socket.extend(INFO.to_ne_bytes());
        socket.extend(info);
        let length = u32::try_from(HEAD + socket.len()).unwrap();
        let head = [&length.to_ne_bytes()[..], &BY_FAMILY.to_ne_bytes(), &[0; 10]].concat();
        [head, socket].concat()
    }

    #[test]
    fn round_trips_of_connections_to_the_target_are_told_apart_from_others() {
        for (target, other) in [
            ("10.0.0.5:8000", "10.0.0.6:8000"),
            ("[2001:db8::1]:443", "[2001:db8::2]:443"),
            ("10.0.0.5:8000", "10.0.0.5:8001"),
        ] {
            let (target, other): (SocketAddr, SocketAddr) =
                (target.parse().unwrap(), other.parse().unwrap());
            let part =
                [said(target, 70), said(other, 9), said(target, 50), said(target, 0)].concat();
            let mut trips = Vec::new();
            assert!(answer(&part, target, &mut trips));
            let done = [&20u32.to_ne_bytes()[..], &3u16.to_ne_bytes(), &[0; 14]].concat();
            assert!(!answer(&[said(target, 60), done].concat(), target, &mut trips));
            let all = RoundTrip { connections: 3, median_us: 60, max_us: 70 };
            assert_eq!(sum_up(trips), Some(all));
        }
        assert_eq!(sum_up(Vec::new()), None);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_hostile(
            start in 0usize..200, cut in 0usize..400, noise in proptest::collection::vec(any::<u8>(), 0..64)
        ) {
            let target = "10.0.0.5:8000".parse().unwrap();
            let mut bytes = said(target, 70);
            let place = start.min(bytes.len());
            let end = (place + noise.len()).min(bytes.len());
            bytes.splice(place..end, noise);
            bytes.truncate(cut);
            let mut trips = Vec::new();
            answer(&bytes, target, &mut trips);
            prop_assert!(trips.len() <= 1);
        }
    }
}
