//! A slow line to an agent: what a coordinator sends goes through it a little at a time.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Bytes that are let through at a time, and the pause after them: 1.5 MiB in a second.
const PIECE: usize = 12 << 10;
const PAUSE: Duration = Duration::from_millis(8);

/// Starts a line to `to`, for as long as the test's process lives; gives where it begins. No data
/// goes through it faster than 1.5 MiB in a second, and answers come back at once.
pub fn line(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || carry(near, to));
        }
    });
    address
}

/// Carries one connection, until either side ends it.
fn carry(mut near: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(to)?;
    let (mut answers, mut back) = (far.try_clone()?, near.try_clone()?);
    std::thread::spawn(move || {
        // An end of either side is the end of the line.
        let _ = io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut piece = vec![0; PIECE];
    loop {
        let count = near.read(&mut piece)?;
        if count == 0 {
            return far.shutdown(Shutdown::Both);
        }
        far.write_all(&piece[..count])?;
        std::thread::sleep(PAUSE.mul_f64(count as f64 / PIECE as f64));
    }
}
