//! Serves images to the server under test, for requests that have the URL of theirs: HTTP/1.1 on a
//! thread of its own, apart from the workers, while a level needs it. It serves the images of that
//! level and nothing else, and times how long each fetch takes.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use common::images::ImageFormat;
use common::tally::Fetches;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::gallery::{Gallery, Picture};
use crate::clock::Clock;

/// Connections at once; more wait to be accepted.
pub(super) const CONNECTIONS_MAX: usize = 1024;
/// The largest head of a request.
const HEAD_MAX: usize = 8 << 10;
const FIELDS_MAX: usize = 64;
/// How long a client may take over a head, or over reading what it asked for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after a failure to accept, such as having no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What serves the images of a level; it ends when it is dropped.
pub(crate) struct ImageOrigin {
    address: SocketAddr,
    fetches: Arc<Mutex<Fetches>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ImageOrigin {
    /// Listens at `listen`, or else on the address that this host has towards the target, at a free
    /// port; and serves.
    ///
    /// # Errors
    /// Why it cannot, and what to do.
    pub(super) fn open(
        galleries: Vec<Option<(Arc<Gallery>, ImageFormat)>>,
        listen: Option<SocketAddr>,
        towards: &[SocketAddr],
    ) -> Result<Self, String> {
        let own = own_address(towards).map_err(|error| {
            format!(
                "this agent has no route to the target, which is to fetch images from it: {error}"
            )
        });
        let at = match listen {
            Some(listen) => listen,
            None => SocketAddr::new(own.clone()?, 0),
        };
        let failed = |error: io::Error| {
            format!(
                "this agent cannot listen on {at} for the target to fetch images: {error}; set \
                 images_listen in its configuration file, or deliver images inline"
            )
        };
        let listener = TcpListener::bind(at).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let mut address = listener.local_addr().map_err(failed)?;
        if address.ip().is_unspecified() {
            address.set_ip(own?);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let fetches = Arc::new(Mutex::new(Fetches::default()));
        let (stop, stopped) = oneshot::channel();
        let shelf =
            Arc::new(Shelf { galleries, fetches: Arc::clone(&fetches), clock: Clock::start() });
        let serving = move || runtime.block_on(serve(listener, shelf, stopped));
        let thread = std::thread::Builder::new().name("images".to_owned()).spawn(serving);
        let thread = Some(thread.map_err(failed)?);
        Ok(Self { address, fetches, stop: Some(stop), thread })
    }

    /// The URL of an image with this name, of the gallery with this number.
    pub(super) fn url(&self, number: usize, format: ImageFormat, name: char) -> String {
        format!("http://{}/{number}/{name}{}", self.address, suffix(format))
    }

    /// What has been fetched.
    pub(crate) fn fetches(&self) -> Fetches {
        lock(&self.fetches).clone()
    }
}

impl Drop for ImageOrigin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What all connections serve from.
struct Shelf {
    galleries: Vec<Option<(Arc<Gallery>, ImageFormat)>>,
    fetches: Arc<Mutex<Fetches>>,
    clock: Clock,
}

fn suffix(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => ".jpg",
        ImageFormat::Png => ".png",
    }
}

fn lock(fetches: &Mutex<Fetches>) -> MutexGuard<'_, Fetches> {
    // Nothing panics while the lock is held.
    fetches.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address that packets to the target have as their source. Nothing is sent.
fn own_address(towards: &[SocketAddr]) -> io::Result<IpAddr> {
    let target = towards.first().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let any = match target {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

async fn serve(listener: TcpListener, shelf: Arc<Shelf>, stopped: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut stopped = std::pin::pin!(stopped);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopped.as_mut() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&shelf), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for an image");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

/// Serves one connection, as long as it asks for what is there. A client that breaks off, or takes
/// too long, has no one to be told of it.
async fn connection(shelf: Arc<Shelf>, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut inbox = Vec::with_capacity(1024);
    loop {
        let asked = tokio::time::timeout(PATIENCE, next(&mut stream, &mut inbox)).await;
        let Ok(Ok(Some(asked))) = asked else { return };
        let received = shelf.clock.now();
        let answer = shelf.answer(&mut stream, &asked);
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(Some(bytes))) => {
                let taken = shelf.clock.now().ns_since(received);
                lock(&shelf.fetches).add(bytes, taken);
            }
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        }
        if !asked.keep_alive {
            return;
        }
    }
}

/// A request, as far as it matters here.
struct Asked {
    is_get: bool,
    path: String,
    keep_alive: bool,
}

/// Reads the next request; `None` if there is none, or it is not one that can be answered.
async fn next(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> io::Result<Option<Asked>> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(inbox) {
            Ok(httparse::Status::Complete(length)) => {
                let closes = |field: &httparse::Header<'_>| {
                    field.name.eq_ignore_ascii_case("connection")
                        && field.value.to_ascii_lowercase().starts_with(b"close")
                };
                let asked = Asked {
                    is_get: request.method == Some("GET"),
                    path: request.path.unwrap_or_default().to_owned(),
                    keep_alive: request.version == Some(1) && !request.headers.iter().any(closes),
                };
                inbox.drain(..length);
                return Ok(Some(asked));
            }
            Ok(httparse::Status::Partial) if inbox.len() < HEAD_MAX => {}
            Ok(httparse::Status::Partial) | Err(_) => return Ok(None),
        }
        if stream.read_buf(inbox).await? == 0 {
            return Ok(None);
        }
    }
}

impl Shelf {
    /// The image at a path.
    fn find(&self, path: &str) -> Option<(&Gallery, ImageFormat, Picture)> {
        let (number, file) = path.strip_prefix('/')?.split_once('/')?;
        let places = self.galleries.iter().zip(0u32..);
        let mut found = places.filter(|(_, place)| place.to_string() == number);
        let (gallery, format) = found.next()?.0.as_ref()?;
        let name = super::name(file.strip_suffix(suffix(*format))?)?;
        Some((gallery, *format, gallery.named(name)?))
    }

    /// Answers; gives the bytes of an image that was sent, or nothing where there is none.
    async fn answer(&self, stream: &mut TcpStream, asked: &Asked) -> io::Result<Option<u64>> {
        let Some((gallery, format, picture)) = self.find(&asked.path).filter(|_| asked.is_get)
        else {
            let status = if asked.is_get { "404 Not Found" } else { "405 Method Not Allowed" };
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            return Ok(None);
        };
        let connection = if asked.keep_alive { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: {}\r\n\
             connection: {connection}\r\n\r\n",
            format.media_type(),
            picture.len()
        );
        let mut slices = Vec::with_capacity(gallery.pieces() + 1);
        slices.push(IoSlice::new(head.as_bytes()));
        gallery.put(&picture, &mut |bytes| slices.push(IoSlice::new(bytes)));
        let mut slices = slices.as_mut_slice();
        while !slices.is_empty() {
            let written = stream.write_vectored(slices).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut slices, written);
        }
        Ok(Some(picture.len() as u64))
    }
}
