//! Questions and orders to a server that answers as each test wants.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use common::target::Target;
use proto::secrets::Secrets;

use super::hook::CommandLine;
use super::identity::{Identity, ServedModel};
use super::prepare::{PrepareError, Server};
use super::several::{self, Unfit};
use crate::campaign::{CacheReset, RestartCommands, ServerPlan};
use crate::clock::Clock;
use crate::plan::Preparation;

/// A server: one answer per connection.
struct Stub {
    address: SocketAddr,
    /// What it was asked, a line for each connection.
    asked: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// An answer to a request line; `None` closes the connection without a word.
type Answer = Option<(u16, String)>;

impl Stub {
    /// Answers by the number of the connection and by what is asked.
    fn start(answer: impl Fn(usize, &str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let over = Arc::<AtomicBool>::default();
        let (list, is_over) = (asked.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let question = |line: &str| {
                    list.lock().unwrap().push(line.to_owned());
                    answer(number, line)
                };
                serve(stream.unwrap(), question);
            }
        });
        Self { address, asked, over, thread: Some(thread) }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn target(&self) -> Target {
        target(self.address)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes it.
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Reads a request's head and answers its first line, to which the key is added if there is one.
fn serve(stream: TcpStream, answer: impl Fn(&str) -> Answer) {
    let mut lines = BufReader::new(&stream).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let mut asked = first.trim_end_matches(" HTTP/1.1").to_owned();
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(key) = line.to_ascii_lowercase().strip_prefix("authorization: ") {
            asked = format!("{asked} ({key})");
        }
    }
    if let Some((status, body)) = answer(&asked) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close");
        let moved = if status == 307 { "\r\nlocation: /elsewhere" } else { "" };
        write!(&stream, "{head}{moved}\r\n\r\n{body}").unwrap();
    }
}

fn target(address: SocketAddr) -> Target {
    Target::new(format!("http://{address}").parse().unwrap(), "m".to_owned())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

fn ask(target: &Target) -> Identity {
    block_on(Identity::ask(target, &Secrets::default()))
}

/// What a server says at its three pages.
fn page(asked: &str, start_s: u32) -> Answer {
    let body = match asked {
        "GET /v1/models" => "{\"data\":[{\"id\":\"m\"}]}".to_owned(),
        "GET /version" => "{\"version\":\"1\"}".to_owned(),
        "GET /metrics" => format!("process_start_time_seconds {start_s}\n"),
        _ => return Some((404, String::new())),
    };
    Some((200, body))
}

fn started(process_start_s: f64) -> Identity {
    let models = Some(vec![ServedModel { id: "m".to_owned(), root: None, max_model_len: None }]);
    Identity { models, version: Some("1".to_owned()), process_start_s: Some(process_start_s) }
}

#[test]
fn a_target_that_cannot_be_reached_is_asked_one_question() {
    let closes = Stub::start(|_, _| None);
    assert_eq!(ask(&closes.target()), Identity::default());
    assert_eq!(closes.asked(), ["GET /v1/models"]);
    // Lost on the way, it is left alone from there on.
    let leaves = Stub::start(|number, asked| page(asked, 7).filter(|_| number == 0));
    let known = Identity { models: started(7.0).models, ..Identity::default() };
    assert_eq!(ask(&leaves.target()), known);
    assert_eq!(leaves.asked(), ["GET /v1/models", "GET /version"]);
    // Nobody listens there any more.
    let gone = leaves.target();
    drop(leaves);
    assert_eq!(ask(&gone), Identity::default());
}

#[test]
fn a_target_that_does_not_say_one_thing_is_asked_for_the_others() {
    let says_all = Stub::start(|_, asked| page(asked, 7));
    assert_eq!(ask(&says_all.target()), started(7.0));
    assert_eq!(says_all.asked(), ["GET /v1/models", "GET /version", "GET /metrics"]);
    for status in [204, 307, 404, 500] {
        let silent = Stub::start(move |_, asked| {
            if asked == "GET /version" { Some((status, String::new())) } else { page(asked, 7) }
        });
        assert_eq!(ask(&silent.target()), Identity { version: None, ..started(7.0) }, "{status}");
        assert_eq!(silent.asked().len(), 3, "{status}: redirects are not followed");
    }
    let nonsense = Stub::start(|_, _| Some((200, "<html>".repeat(9))));
    assert_eq!(ask(&nonsense.target()), Identity::default());
}

fn server(stub: &Stub, restart: &[&str], reset: Option<&str>) -> Server {
    let words = restart.iter().map(|word| (*word).to_owned()).collect();
    let plan = ServerPlan {
        restart: CommandLine::new(words).map_or(RestartCommands::Never, RestartCommands::Same),
        reset_cache: reset.map(|page| CacheReset::Page(page.to_owned())),
        ready_timeout: Duration::ZERO,
        hook_timeout: Duration::from_secs(20),
        ..ServerPlan::default()
    };
    Server { target: stub.target(), secrets: Secrets::default(), plan }
}

const RESTART: Preparation = Preparation { restart_server: true, reset_cache: false };
const RESET: Preparation = Preparation { restart_server: false, reset_cache: true };

fn prepare(
    server: &Server,
    what: Preparation,
    known: &Identity,
) -> Result<Option<Identity>, PrepareError> {
    block_on(server.prepare(what, None, known, Clock::start()))
}

#[test]
fn a_server_that_is_about_to_be_stopped_is_waited_for() {
    // The command only asks for a restart: the first round of questions meets the old process.
    let stub = Stub::start(|number, asked| page(asked, if number < 4 { 7 } else { 8 }));
    let server = server(&stub, &["true"], None);
    let after = prepare(&server, RESTART, &started(7.0)).unwrap();
    assert_eq!(after, Some(started(8.0)));
    assert_eq!(stub.asked().len(), 8, "twice whether it is ready, and what it is");
}

#[test]
fn a_server_that_keeps_its_process_is_not_waited_for_for_ever() {
    let stub = Stub::start(|_, asked| page(asked, 7));
    let server = server(&stub, &["true"], None);
    let known = started(7.0);
    let back = block_on(server.back(&known, Duration::ZERO, Clock::start()));
    assert_eq!(back.unwrap(), known);
    assert_eq!(stub.asked().len(), 4);
    // One that never told when it started may be the new one.
    let back = prepare(&server, RESTART, &Identity::default()).unwrap();
    assert_eq!(back, Some(started(7.0)));
}

#[test]
fn a_server_that_does_not_come_back_is_not_as_the_level_wants_it() {
    let stub = Stub::start(|_, _| None);
    let error = prepare(&server(&stub, &["true"], None), RESTART, &started(7.0)).unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, PrepareError::NotReady(_)), "{told}");
    assert!(told.starts_with("after its restart target http://127.0.0.1:"), "{told}");
    // Its command fails: nobody is asked.
    let stub = Stub::start(|_, asked| page(asked, 7));
    let error = prepare(&server(&stub, &["false"], None), RESTART, &started(7.0)).unwrap_err();
    let told = error.to_string();
    assert_eq!(told, "the restart of the server failed: false: exit status: 1; it printed nothing");
    assert_eq!(stub.asked(), [""; 0]);
}

#[test]
fn a_page_that_empties_no_cache_says_what_it_answered() {
    let known = Identity::default();
    let stub = Stub::start(|_, _| Some((200, String::new())));
    let mut emptied = server(&stub, &[], Some("/reset_prefix_cache"));
    emptied.secrets.api_key = Some("sk-secret".into());
    assert!(prepare(&emptied, RESET, &known).unwrap().is_none());
    assert_eq!(stub.asked(), ["POST /reset_prefix_cache (bearer sk-secret)"]);
    // Neither is anything done that was not asked for.
    assert!(prepare(&emptied, Preparation::default(), &known).unwrap().is_none());
    assert_eq!(stub.asked().len(), 1);
    let answers = [
        (Some((404, "no route\r\nfor sk-secret\u{1b}[2J")), "HTTP 404 no route  for"),
        (Some((307, "")), "HTTP 307"),
        (Some((500, "")), "HTTP 500"),
        (None, ""),
    ];
    for (answer, said) in answers {
        let stub = Stub::start(move |_, _| answer.map(|(status, body)| (status, body.to_owned())));
        let failing = Server { target: stub.target(), ..emptied.clone() };
        let error = prepare(&failing, RESET, &known).unwrap_err();
        let told = error.to_string();
        let begins = format!(
            "its cache could not be emptied: POST http://{}/reset_prefix_cache: {said}",
            stub.address
        );
        assert!(told.starts_with(&begins) && told.len() > begins.len() - said.len(), "{told}");
        assert!(!told.contains("sk-secret") && !told.contains('\u{1b}'), "{told:?}");
        assert_eq!(stub.asked().len(), 1, "asked once: {answer:?}");
    }
}

/// A target of two servers.
fn pair(first: &Stub, second: &Stub) -> Target {
    let more_base_urls = vec![second.target().base_url];
    Target { more_base_urls, ..first.target() }
}

fn meet(target: &Target) -> Result<Identity, Unfit> {
    let (plan, secrets) = (ServerPlan::default(), Secrets::default());
    let met = several::meet(target, &plan, &secrets, Duration::ZERO, Clock::start(), |_, _| {});
    block_on(met)
}

#[test]
fn all_servers_of_a_target_are_met_and_must_be_of_one_kind() {
    let one = Stub::start(|_, asked| page(asked, 7));
    let later = Stub::start(|_, asked| page(asked, 9));
    assert_eq!(meet(&pair(&one, &later)).unwrap(), started(7.0), "the oldest process");
    assert_eq!((one.asked().len(), later.asked().len()), (4, 4));
    let other = Stub::start(|_, asked| match asked {
        "GET /v1/models" => Some((200, "{\"data\":[{\"id\":\"other\"}]}".to_owned())),
        asked => page(asked, 7),
    });
    let told = meet(&pair(&one, &other)).unwrap_err().to_string();
    assert_eq!(
        told,
        format!(
            "SERVER_CHANGED: http://{} and http://{} are not the same server: it served m, then \
             other; load one kind at a time",
            one.address, other.address
        )
    );
    let gone = Stub::start(|_, _| None);
    let told = meet(&pair(&one, &gone)).unwrap_err().to_string();
    assert!(told.starts_with(&format!("target http://{}/v1/models is not ready", gone.address)));
    // What one of them becomes later differs from what all were.
    let together = block_on(several::identity(&pair(&one, &other), &Secrets::default()));
    assert_eq!(started(7.0).differences(&together).len(), 1);
}

#[test]
fn the_cache_of_every_server_is_emptied() {
    let stubs = [0, 1].map(|_| Stub::start(|_, _| Some((200, String::new()))));
    let emptied = Server {
        target: pair(&stubs[0], &stubs[1]),
        ..server(&stubs[0], &[], Some("/reset_prefix_cache"))
    };
    assert!(prepare(&emptied, RESET, &Identity::default()).unwrap().is_none());
    for stub in &stubs {
        assert_eq!(stub.asked(), ["POST /reset_prefix_cache"]);
    }
}
