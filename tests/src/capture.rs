//! A server that keeps what it is sent, and answers all of it alike.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Its first line.
    pub line: String,
    /// The fields of its head, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Captured {
    /// The values of a field.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// A server that runs for as long as the test's process lives.
#[derive(Debug)]
pub struct Capture {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Captured>>>,
}

impl Capture {
    /// Everything so far.
    pub fn requests(&self) -> Vec<Captured> {
        self.requests.lock().expect("no panic").clone()
    }
}

/// Starts a server that answers every request with this status and this JSON.
pub fn start(status: u16, body: &'static str) -> Capture {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let requests = Arc::<Mutex<Vec<Captured>>>::default();
    let kept = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || serve(&stream, status, body, &kept));
        }
    });
    Capture { address, requests }
}

fn serve(mut stream: &TcpStream, status: u16, answer: &str, kept: &Mutex<Vec<Captured>>) {
    let Ok(own) = stream.try_clone() else { return };
    let mut reader = BufReader::new(own);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line.trim().is_empty() => break,
                Ok(_) => head.push(line.trim().to_owned()),
            }
        }
        let mut lines = head.into_iter();
        let line = lines.next().unwrap_or_default();
        let fields: Vec<(String, String)> = lines
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect();
        let length = fields.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, length)| length.parse().ok()).unwrap_or_default();
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        kept.lock().expect("no panic").push(Captured { line, fields, body });
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if stream.write_all((head + answer).as_bytes()).is_err() {
            return;
        }
    }
}
