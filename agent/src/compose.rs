//! Requests as bytes, made before the instant at which they are to be sent.
//!
//! All requests of a level share their bytes but for a few: a nonce of fixed length, how much of the
//! passage the prompt is, and the digits of lengths that are drawn. So a distinct prompt costs no
//! more than a fixed one: no request is copied, formatted or allocated when it is sent.

mod mixed;

use std::io::IoSlice;
use std::sync::Arc;

use common::assignment::Assignment;
use common::detail::without_secret;
use common::ids::UserId;
use common::outcome::ImagesSent;
use common::phase::Phase;
use common::seed::{Generator, Seed};
use common::target::{Connection, Endpoint, Target};
use common::workload::{CHARS_PER_TOKEN, CacheMode, SharedPrefix, Workload};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::images::{self, Illustration, Shown};

pub use mixed::Composers;

/// What prompts are made of: four sentences, repeated to the length asked for. The paper's own
/// passage is unpublished; this one is ours, of the same kind.
pub const PASSAGE: &str = "A neural network learns by comparing what it predicted with what was \
    seen, and by moving each of its weights a little in the direction that would have made the \
    error smaller. Deep models stack many such layers, so that early layers find simple patterns \
    and later ones combine them into concepts. Attention lets every position of a sequence look \
    at every other one and decide how much each of them matters. At serving time the weights no \
    longer change, and the work is to move them through memory fast enough for everyone who \
    waits. ";

const NONCE_LEN: usize = 16;

/// Digits of a number that is written for one request.
const DIGITS_MAX: usize = 10;

/// Parts of a request without images, at most: between any two that differ from request to request lies one that
/// does not.
pub const PARTS_MAX: usize = 16;

/// The bytes of a level's requests.
pub struct Composer {
    parts: Vec<Part>,
    /// As much of the passage as the longest prompt takes.
    passage: Vec<u8>,
    /// Bytes of all bodies that are the same.
    body_fixed: usize,
    workload: Workload,
    place: Place,
    api_key: Option<SecretString>,
    illustration: Option<Arc<Illustration>>,
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
    /// What the prompt begins with.
    Opening,
    /// Passage that fills the prompt.
    Text,
    /// The tokens that are asked for.
    Output,
    /// Images, each with what stands around it.
    Images,
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
    shown: Option<Shown>,
}

/// What is drawn for one request.
#[derive(Clone, Copy)]
struct Drawn {
    /// The nonces, one after the other, each with a space after it; of a prompt with a shared prefix
    /// the first names its group.
    nonces: [Option<[u8; NONCE_LEN + 1]>; 2],
    /// Bytes of passage after the first nonce, before the second.
    prefix: usize,
    /// Bytes of passage after the nonces.
    text: usize,
    input_tokens: u32,
    output_tokens: u32,
}

impl Composer {
    /// Prepares the bytes of a level's requests.
    pub fn new(assignment: &Assignment, api_key: Option<&SecretString>) -> Self {
        let Assignment { workload, target, .. } = assignment;
        let longest = chars(workload.input_tokens.most());
        let parts = parts(workload, target, api_key);
        let in_body = parts.iter().skip_while(|part| !matches!(part, Part::Length)).skip(1);
        let body_fixed = in_body.map(|part| match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::Length | Part::Opening | Part::Text | Part::Output | Part::Images => 0,
        });
        let body_fixed = body_fixed.sum::<usize>() - HEAD_END.len();
        let Assignment { seed, phase, place, .. } = *assignment;
        Self {
            parts,
            passage: PASSAGE.bytes().cycle().take(longest).collect(),
            body_fixed,
            workload: workload.clone(),
            place: Place { seed, phase, place },
            api_key: api_key.cloned(),
            illustration: None,
            #[cfg(test)]
            panic_at: crate::testing::panic_at(target),
        }
    }

    /// The same, with the images that the workload asks for.
    fn illustrated(self, illustration: Option<Arc<Illustration>>) -> Self {
        Self { illustration, ..self }
    }

    /// The request of a user with this number.
    pub fn request(&self, user: UserId, number: u64) -> Request<'_> {
        #[cfg(test)]
        assert_ne!(self.panic_at, Some(user), "a user's task was made to panic");
        let drawn = self.draw(user, number);
        let output = Digits::of(u64::from(drawn.output_tokens));
        let asked = self.parts.iter().filter(|part| matches!(part, Part::Output)).count();
        let nonces = drawn.nonces.iter().flatten().count() * (NONCE_LEN + 1);
        let shown = self.illustration.as_ref().map(|images| images.draw(user, number));
        let images = self.illustration.as_ref().zip(shown.as_ref());
        let images = images.map_or(0, |(images, shown)| images.len(shown));
        let own = nonces + drawn.prefix + drawn.text + asked * output.len + images;
        let length = Digits::of((self.body_fixed + own) as u64);
        Request { composer: self, drawn, length, output, shown }
    }

    fn draw(&self, user: UserId, number: u64) -> Drawn {
        let Place { seed, phase, place } = self.place;
        let mut generator = seed.request(phase, place, user, number);
        let own = nonce(&mut generator);
        let Workload { input_tokens, output_tokens, cache, .. } = &self.workload;
        let input_tokens = input_tokens.draw(&mut generator);
        let input = chars(input_tokens);
        let output_tokens = output_tokens.draw(&mut generator);
        let rest = |taken: usize| input.saturating_sub(taken).max(1);
        let drawn =
            |nonces, prefix, text| Drawn { nonces, prefix, text, input_tokens, output_tokens };
        let cold = || drawn([Some(own), None], 0, rest(own.len()));
        match cache {
            CacheMode::Cold => cold(),
            CacheMode::Replay => drawn([None, None], 0, rest(0)),
            CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille }) => {
                let shares = generator.unit() * 1e3 < f64::from(*share_permille);
                let group = (generator.unit() * f64::from(*groups)) as u64;
                if !shares {
                    return cold();
                }
                let prefix = chars(*tokens);
                let group = nonce(&mut prefix_generator(seed, group));
                let text = rest(prefix.max(group.len()) + own.len());
                drawn([Some(group), Some(own)], prefix.saturating_sub(group.len()), text)
            }
        }
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
            Part::Length | Part::Opening | Part::Text | Part::Output | Part::Images => 0,
        });
        self.passage.len() + same.sum::<usize>()
    }
}

impl Request<'_> {
    /// Puts its bytes, in order, into slices; gives how many are used.
    pub fn parts<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        let mut used = 0;
        let mut put = |bytes: &'s [u8]| {
            if let Some(place) = slices.get_mut(used).filter(|_| !bytes.is_empty()) {
                *place = IoSlice::new(bytes);
                used += 1;
            }
        };
        let passage = |bytes: usize| self.composer.passage.get(..bytes).unwrap_or_default();
        for part in &self.composer.parts {
            match part {
                Part::Bytes(bytes) => put(bytes),
                Part::Length => put(self.length.bytes()),
                Part::Opening => {
                    let [first, second] = &self.drawn.nonces;
                    put(first.as_ref().map_or(&[], |nonce| nonce));
                    put(passage(self.drawn.prefix));
                    put(second.as_ref().map_or(&[], |nonce| nonce));
                }
                Part::Text => put(passage(self.drawn.text)),
                Part::Output => put(self.output.bytes()),
                Part::Images => {
                    if let Some((images, shown)) = self.illustrated() {
                        images.put(shown, &mut put);
                    }
                }
            }
        }
        used
    }

    /// Slices that its parts take, where that is more than [`PARTS_MAX`].
    pub(crate) fn pieces(&self) -> Option<usize> {
        self.illustrated().map(|(images, shown)| PARTS_MAX + images.pieces(shown))
    }

    /// What is recorded of its images.
    pub(crate) fn images(&self) -> Option<ImagesSent> {
        self.illustrated().map(|(images, shown)| images.sent(shown, self.drawn.input_tokens))
    }

    fn illustrated(&self) -> Option<(&Illustration, &Shown)> {
        self.composer.illustration.as_deref().zip(self.shown.as_ref())
    }

    /// The tokens that are asked for.
    pub fn output_tokens(&self) -> u32 {
        self.drawn.output_tokens
    }

    /// The tokens that the answer must have, if their number is forced.
    pub fn forced_tokens(&self) -> Option<u64> {
        self.composer.workload.forced_length.then(|| self.output_tokens().into())
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

/// Sixteen letters and a space.
fn nonce(generator: &mut Generator) -> [u8; NONCE_LEN + 1] {
    let mut nonce = [b' '; NONCE_LEN + 1];
    let mut bits = generator.next_u64();
    for letter in nonce.iter_mut().take(NONCE_LEN) {
        *letter = b'a' + (bits & 15) as u8;
        bits >>= 4;
    }
    nonce
}

/// What names a group of prompts: the same at every level of a repeat, as a system prompt is.
fn prefix_generator(seed: Seed, group: u64) -> Generator {
    seed.request(Phase::Warmup, u32::MAX, UserId(u32::MAX - 1), group)
}

fn chars(tokens: u32) -> usize {
    tokens as usize * CHARS_PER_TOKEN as usize
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
const OPENING: &str = "\u{1}";
const OUTPUT: &str = "\u{2}";
const OPENING_WRITTEN: &str = "\"\\u0001\"";
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
    let prompt = images::prompt(target.endpoint, OPENING.into(), workload.images.as_ref());
    let body = fields(workload, target, &prompt, &output).to_string();
    let mut rest = body.as_str();
    loop {
        match (rest.split_once(OPENING_WRITTEN), rest.split_once(OUTPUT_WRITTEN)) {
            (Some((before, after)), output)
                if output.is_none_or(|(other, _)| before.len() < other.len()) =>
            {
                put(&mut parts, before);
                put(&mut parts, "\"");
                parts.extend([Part::Opening, Part::Text]);
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
    if let Some((before, after)) = images::around(text) {
        put(parts, before);
        parts.push(Part::Images);
        return put(parts, after);
    }
    match parts.last_mut() {
        Some(Part::Bytes(bytes)) => bytes.extend_from_slice(text.as_bytes()),
        Some(Part::Length | Part::Opening | Part::Text | Part::Output | Part::Images) | None => {
            parts.push(Part::Bytes(text.into()));
        }
    }
}

/// The body's fields. What makes an answer as long as asked for has no place in the APIs: vLLM reads
/// `min_tokens` beside `ignore_eos` where the endpoint knows it, and other servers the latter.
fn fields(workload: &Workload, target: &Target, prompt: &Value, output: &Value) -> Value {
    let (model, stream) = (&target.model, target.stream);
    let mut body = match target.endpoint {
        Endpoint::Chat => json!({ "messages": [{ "role": "user", "content": prompt }] }),
        Endpoint::Completions => json!({ "prompt": prompt }),
        // A server that is measured is not asked to keep what it said.
        Endpoint::Responses => json!({ "input": prompt, "store": false }),
        Endpoint::Messages => json!({ "messages": [{ "role": "user", "content": prompt }] }),
        Endpoint::Embeddings => json!({ "input": prompt, "encoding_format": "float" }),
    };
    let mut set = |key: &str, value: Value| {
        if let Some(object) = body.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
    };
    set("model", model.as_str().into());
    if !target.endpoint.generates() {
        return body;
    }
    set("temperature", 0.into());
    set("stream", stream.into());
    match target.endpoint {
        Endpoint::Chat | Endpoint::Completions => {
            set("max_tokens", output.clone());
            if stream {
                set("stream_options", json!({ "include_usage": true }));
            }
            if workload.forced_length {
                set("ignore_eos", true.into());
                set("min_tokens", output.clone());
            }
        }
        Endpoint::Responses => {
            set("max_output_tokens", output.clone());
            if workload.forced_length {
                set("ignore_eos", true.into());
            }
        }
        Endpoint::Messages => set("max_tokens", output.clone()),
        Endpoint::Embeddings => {}
    }
    body
}

#[cfg(test)]
mod tests;
