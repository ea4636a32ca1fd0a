//! Requests as bytes, made before the instant at which they are to be sent.
//!
//! All requests of a level share their bytes but for a few: a nonce of fixed length, how much of the
//! passage the prompt is, and the digits of lengths that are drawn. So a distinct prompt costs no
//! more than a fixed one: no request is copied, formatted or allocated when it is sent.

mod mixed;

use std::io::IoSlice;

use common::assignment::Assignment;
use common::body::fields;
use common::detail::without_secret;
use common::ids::UserId;
use common::phase::Phase;
use common::prompt::{Drawn, Prompts};
use common::seed::Seed;
use common::target::{Connection, Target};
use common::workload::Workload;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

pub use mixed::Composers;

/// Digits of a number that is written for one request.
const DIGITS_MAX: usize = 10;

/// Parts of a request, at most: between any two that differ from request to request lies one that
/// does not.
pub const PARTS_MAX: usize = 16;

/// The bytes of a level's requests.
pub struct Composer {
    parts: Vec<Part>,
    prompts: Prompts,
    /// Bytes of all bodies that are the same.
    body_fixed: usize,
    forced_length: bool,
    place: Place,
    api_key: Option<SecretString>,
    /// Makes one user's requests panic, for testing what a bug in a user's task does.
    #[cfg(test)]
    panic_at: Option<UserId>,
}

/// A piece of every request.
#[derive(Debug)]
enum Part {
    /// The same in all.
    Bytes(Vec<u8>),
    /// The length of the body.
    Length,
    /// The prompt.
    Prompt,
    /// The tokens that are asked for.
    Output,
}

/// Where in a campaign the level is: requests depend on it, and not on the agent.
#[derive(Clone, Copy)]
struct Place {
    seed: Seed,
    phase: Phase,
    place: u32,
}

/// One request, ready to be written.
pub struct Request<'a> {
    composer: &'a Composer,
    drawn: Drawn,
    length: Digits,
    output: Digits,
}

impl Composer {
    /// Prepares the bytes of a level's requests.
    pub fn new(assignment: &Assignment, api_key: Option<&SecretString>) -> Self {
        let Assignment { workload, target, .. } = assignment;
        let parts = parts(workload, target, api_key);
        let in_body = parts.iter().skip_while(|part| !matches!(part, Part::Length)).skip(1);
        let body_fixed = in_body.map(|part| match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::Length | Part::Prompt | Part::Output => 0,
        });
        let body_fixed = body_fixed.sum::<usize>() - HEAD_END.len();
        let Assignment { seed, phase, place, .. } = *assignment;
        Self {
            parts,
            prompts: Prompts::new(workload, seed),
            forced_length: workload.forced_length,
            body_fixed,
            place: Place { seed, phase, place },
            api_key: api_key.cloned(),
            #[cfg(test)]
            panic_at: crate::testing::panic_at(target),
        }
    }

    /// The request of a user with this number.
    pub fn request(&self, user: UserId, number: u64) -> Request<'_> {
        #[cfg(test)]
        assert_ne!(self.panic_at, Some(user), "a user's task was made to panic");
        let Place { seed, phase, place } = self.place;
        let drawn = self.prompts.draw(&mut seed.request(phase, place, user, number));
        let output = Digits::of(u64::from(drawn.output_tokens));
        let asked = self.parts.iter().filter(|part| matches!(part, Part::Output)).count();
        let prompt = self.prompts.slices(&drawn).iter().map(|slice| slice.len()).sum::<usize>();
        let own = prompt + asked * output.len;
        let length = Digits::of((self.body_fixed + own) as u64);
        Request { composer: self, drawn, length, output }
    }

    /// A server's words without the key that was sent to it.
    pub fn without_key(&self, words: String) -> String {
        match &self.api_key {
            Some(key) => without_secret(&words, key.expose_secret()),
            None => words,
        }
    }

    /// Bytes held for the level.
    pub fn size(&self) -> usize {
        let same = self.parts.iter().map(|part| match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::Length | Part::Prompt | Part::Output => 0,
        });
        self.prompts.size() + same.sum::<usize>()
    }
}

impl Request<'_> {
    /// Puts its bytes, in order, into slices; gives how many are used.
    pub fn parts<'s>(&'s self, slices: &mut [IoSlice<'s>; PARTS_MAX]) -> usize {
        let mut used = 0;
        let mut put = |bytes: &'s [u8]| {
            if let Some(place) = slices.get_mut(used).filter(|_| !bytes.is_empty()) {
                *place = IoSlice::new(bytes);
                used += 1;
            }
        };
        for part in &self.composer.parts {
            match part {
                Part::Bytes(bytes) => put(bytes),
                Part::Length => put(self.length.bytes()),
                Part::Prompt => {
                    self.composer.prompts.slices(&self.drawn).into_iter().for_each(&mut put);
                }
                Part::Output => put(self.output.bytes()),
            }
        }
        used
    }

    /// The tokens that are asked for.
    pub fn output_tokens(&self) -> u32 {
        self.drawn.output_tokens
    }

    /// The tokens that the answer must have, if their number is forced.
    pub fn forced_tokens(&self) -> Option<u64> {
        self.composer.forced_length.then(|| self.output_tokens().into())
    }
}

/// A number written out.
#[derive(Clone, Copy)]
struct Digits {
    digits: [u8; DIGITS_MAX],
    len: usize,
}

impl Digits {
    fn of(number: u64) -> Self {
        let mut digits = [b'0'; DIGITS_MAX];
        let (mut rest, mut len) = (number, 0);
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            len += 1;
            if rest == 0 {
                break;
            }
        }
        Self { digits, len }
    }

    fn bytes(&self) -> &[u8] {
        self.digits.get(DIGITS_MAX - self.len..).unwrap_or_default()
    }
}

/// What ends a head.
const HEAD_END: &str = "\r\n\r\n";

/// The head up to the length of the body, which is its last field.
fn head(target: &Target, api_key: Option<&SecretString>) -> String {
    let accept = if target.stream { "text/event-stream" } else { "application/json" };
    let mut head = format!(
        "POST {}{} HTTP/1.1\r\nhost: {}\r\nuser-agent: floodmark/{}\r\naccept: {accept}\r\n\
         accept-encoding: identity\r\ncontent-type: application/json\r\n",
        target.base_url.path,
        target.endpoint.path(),
        target.base_url.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    let mut field = |parts: &[&str]| {
        head.extend(parts.iter().copied().chain(["\r\n"]));
    };
    match target.connection {
        Connection::KeepAlive => {}
        Connection::PerRequest => field(&["connection: close"]),
    }
    for (name, value) in target.endpoint.head_fields() {
        field(&[name, ": ", value]);
    }
    if let Some(key) = api_key {
        for (name, before) in target.endpoint.key_fields() {
            field(&[name, ": ", before, key.expose_secret()]);
        }
    }
    head.push_str("content-length: ");
    head
}

/// Stand for what differs from request to request: texts of one control character, which no field
/// holds, and which JSON writes in a way that nothing else is written.
const PROMPT: &str = "\u{1}";
const OUTPUT: &str = "\u{2}";
const PROMPT_WRITTEN: &str = "\"\\u0001\"";
const OUTPUT_WRITTEN: &str = "\"\\u0002\"";

/// The parts of every request.
fn parts(workload: &Workload, target: &Target, api_key: Option<&SecretString>) -> Vec<Part> {
    let mut parts = vec![
        Part::Bytes(head(target, api_key).into_bytes()),
        Part::Length,
        Part::Bytes(HEAD_END.into()),
    ];
    let output = match workload.output_tokens.fixed() {
        Some(tokens) => Value::from(tokens),
        None => OUTPUT.into(),
    };
    let body = fields(workload, target, PROMPT.to_owned(), &output).to_string();
    let mut rest = body.as_str();
    loop {
        match (rest.split_once(PROMPT_WRITTEN), rest.split_once(OUTPUT_WRITTEN)) {
            (Some((before, after)), output)
                if output.is_none_or(|(other, _)| before.len() < other.len()) =>
            {
                put(&mut parts, before);
                put(&mut parts, "\"");
                parts.push(Part::Prompt);
                put(&mut parts, "\"");
                rest = after;
            }
            (_, Some((before, after))) => {
                put(&mut parts, before);
                parts.push(Part::Output);
                rest = after;
            }
            (_, None) => break,
        }
    }
    put(&mut parts, rest);
    parts
}

fn put(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Bytes(bytes)) => bytes.extend_from_slice(text.as_bytes()),
        Some(Part::Length | Part::Prompt | Part::Output) | None => {
            parts.push(Part::Bytes(text.into()));
        }
    }
}

#[cfg(test)]
mod tests;
