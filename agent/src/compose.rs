//! Requests as bytes, made before the instant at which they are to be sent.
//!
//! All requests of a level share their bytes but for a few: a nonce of fixed length, how much of the
//! passage the prompt is, and the digits of lengths that are drawn. So a distinct prompt costs no
//! more than a fixed one: no request is copied, formatted or allocated when it is sent.

mod head;
mod mixed;
mod records;
mod traced;

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::assignment::Assignment;
use common::body::fields;
use common::ids::UserId;
use common::length::Length;
use common::outcome::ImagesSent;
use common::phase::Phase;
use common::prompt::{Drawn, Prompts};
use common::records::{Carried, Records};
use common::seed::{Generator, Seed};
use common::target::Target;
use common::trace::Trace;
use common::workload::Workload;
use head::Head;
use proto::secrets::Secrets;
use serde_json::Value;

pub(crate) use self::records::Course;
use self::records::Source;
use crate::images::{self, Illustration, Shown};

pub use mixed::Composers;

/// Digits of a number that is written for one request.
const DIGITS_MAX: usize = 10;

/// Parts of a request without images, at most: between any two that differ from request to request lies one that
/// does not.
pub const PARTS_MAX: usize = 16;

/// The bytes of a level's requests.
pub struct Composer {
    /// One for each base URL.
    heads: Vec<Head>,
    parts: Vec<Part>,
    prompts: Prompts,
    /// Bytes of all bodies that are the same.
    body_fixed: usize,
    forced_length: bool,
    place: Place,
    /// What requests carry in place of prompts that are drawn.
    source: Option<Source>,
    /// What says how long requests are and what their prompts share.
    trace: Option<Arc<Trace>>,
    think_ms: Option<Length>,
    target: Target,
    secrets: Secrets,
    illustration: Option<Arc<Illustration>>,
    /// Makes one user's requests panic, for testing what a bug in a user's task does.
    #[cfg(test)]
    panic_at: Option<UserId>,
}

/// A piece of every request.
#[derive(Debug)]
enum Part {
    /// The head of a request to the base URL that is its turn.
    Head,
    /// The same in all.
    Bytes(Vec<u8>),
    /// The length of the body.
    Length,
    /// The prompt.
    Prompt,
    /// The tokens that are asked for.
    Output,
    /// Fields of the body that come with a recorded turn.
    Members,
    /// A recorded turn.
    Turn,
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
    /// Which base URL it goes to.
    url: usize,
    drawn: Drawn,
    carried: Option<Carried<'a>>,
    /// The prompt of a traced request, which is made for it alone.
    traced: Option<Vec<u8>>,
    output_tokens: u32,
    length: Digits,
    output: Digits,
    shown: Option<Shown>,
}

impl Composer {
    /// Prepares the bytes of a level's requests.
    pub fn new(assignment: &Assignment, secrets: &Secrets) -> Self {
        let Assignment { workload, target, .. } = assignment;
        let parts = parts(workload, target);
        let in_body = parts.iter().skip_while(|part| !matches!(part, Part::Length)).skip(1);
        let body_fixed = in_body.map(|part| match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::Head | Part::Length | Part::Prompt | Part::Output => 0,
            Part::Members | Part::Turn | Part::Images => 0,
        });
        let body_fixed = body_fixed.sum::<usize>() - HEAD_END.len();
        let Assignment { seed, phase, place, .. } = *assignment;
        Self {
            heads: Head::all(target, secrets),
            parts,
            prompts: Prompts::new(workload, seed),
            forced_length: workload.forced_length,
            body_fixed,
            place: Place { seed, phase, place },
            source: None,
            trace: None,
            think_ms: workload.think_ms.clone(),
            target: target.clone(),
            secrets: secrets.clone(),
            illustration: None,
            #[cfg(test)]
            panic_at: crate::testing::panic_at(target),
        }
    }

    /// The same, with the images that the workload asks for.
    fn illustrated(self, illustration: Option<Arc<Illustration>>) -> Self {
        Self { illustration, ..self }
    }

    /// The same, for requests that carry the records of the workload's data set.
    pub fn of_records(assignment: &Assignment, secrets: &Secrets, records: Arc<Records>) -> Self {
        let source = Some(Source::new(records, assignment));
        Self { source, ..Self::new(assignment, secrets) }
    }

    /// The same, for requests as long as those of a trace.
    pub(crate) fn of_trace(assignment: &Assignment, secrets: &Secrets, trace: Arc<Trace>) -> Self {
        Self { trace: Some(trace), ..Self::new(assignment, secrets) }
    }

    /// Where a user begins that carries records, and is one of so many; `None` if none are carried.
    pub(crate) fn course(&self, user: UserId, users: u32) -> Option<Course> {
        self.source.as_ref().map(|_| Course::new(user, users))
    }

    /// The request of a user with this number, or in open loop the arrival with this number.
    pub fn request(&self, user: UserId, number: u64) -> Request<'_> {
        let carried = self.source.as_ref().and_then(|source| source.arrival(number));
        self.compose(user, number, carried)
    }

    /// The request with this number of a user who is in the midst of conversations.
    pub(crate) fn turn(&self, user: UserId, number: u64, course: &Course) -> Request<'_> {
        let carried = self.source.as_ref().and_then(|source| source.at(course.at()));
        self.compose(user, number, carried)
    }

    fn compose<'a>(
        &'a self,
        user: UserId,
        number: u64,
        carried: Option<Carried<'a>>,
    ) -> Request<'a> {
        #[cfg(test)]
        assert_ne!(self.panic_at, Some(user), "a user's task was made to panic");
        let Place { seed, phase, place } = self.place;
        let generator = || seed.request(phase, place, user, number);
        let drawn = self.prompts.draw(&mut generator());
        let replayed = self.trace.as_ref().and_then(|trace| trace.get(number));
        let stated = carried.and_then(|carried| carried.output_tokens);
        let stated = stated.or(replayed.and_then(|replayed| replayed.output_tokens));
        let output_tokens = stated.unwrap_or(drawn.output_tokens);
        let output = Digits::of(u64::from(output_tokens));
        let asked = self.parts.iter().filter(|part| matches!(part, Part::Output)).count();
        let traced = replayed.map(|replayed| traced::prompt(seed, &mut generator(), replayed));
        let prompt = match (&traced, carried) {
            (Some(traced), _) => traced.len(),
            (None, Some(carried)) => carried.members.len() + carried.text.len(),
            (None, None) => self.prompts.slices(&drawn).iter().map(|slice| slice.len()).sum(),
        };
        let shown = self.illustration.as_ref().map(|images| images.draw(user, number));
        let images = self.illustration.as_ref().zip(shown.as_ref());
        let images = images.map_or(0, |(images, shown)| images.len(shown));
        let own = prompt + asked * output.len + images;
        let length = Digits::of((self.body_fixed + own) as u64);
        let url = self.target.url_of(user, number);
        Request {
            composer: self,
            url,
            drawn,
            carried,
            traced,
            output_tokens,
            length,
            output,
            shown,
        }
    }

    /// How long a user waits after the answer to this request; nothing where users do not.
    pub(crate) fn think(&self, user: UserId, number: u64) -> Duration {
        let Some(think_ms) = &self.think_ms else {
            return Duration::ZERO;
        };
        let Place { seed, phase, place } = self.place;
        let bits = seed.request(phase, place, user, number).next_u64();
        // Lengths are drawn from what follows these bits: pauses do not go with them.
        let ms = think_ms.draw(&mut Generator::new(!bits));
        Duration::from_millis(ms.into())
    }

    /// A server's words without the secrets that were sent to it.
    pub fn without_secrets(&self, words: &str) -> String {
        self.secrets.without(words)
    }

    /// Bytes held for the level.
    pub fn size(&self) -> usize {
        let same = self.parts.iter().map(|part| match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::Head | Part::Length | Part::Prompt | Part::Output => 0,
            Part::Members | Part::Turn | Part::Images => 0,
        });
        let heads = self.heads.iter().map(|head| head.lines().len()).sum::<usize>();
        self.prompts.size() + heads + same.sum::<usize>()
    }
}

impl Request<'_> {
    /// The place of the base URL that it goes to.
    pub fn url(&self) -> usize {
        self.url
    }

    /// Its head and its body as HTTP/2 has them; `None` of HTTP/1.1. The body is copied: a
    /// connection of HTTP/2 sends it when the server lets it.
    pub fn frames(&self) -> Option<(http::Request<()>, Bytes)> {
        let head = self.composer.heads.get(self.url)?;
        let mut slices = vec![IoSlice::new(&[]); self.pieces().unwrap_or(PARTS_MAX)];
        let used = self.parts(&mut slices);
        let mut body = BytesMut::new();
        // The head has no lines: the length comes first, and the end of the head after it.
        for (place, slice) in slices.iter().take(used).enumerate().skip(1) {
            let skipped = if place == 1 { HEAD_END.len() } else { 0 };
            body.extend_from_slice(slice.get(skipped..).unwrap_or_default());
        }
        Some((head.fields(body.len() as u64)?, body.freeze()))
    }

    /// Puts its bytes, in order, into slices; gives how many are used.
    pub fn parts<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        let mut used = 0;
        let mut put = |bytes: &'s [u8]| {
            if let Some(place) = slices.get_mut(used).filter(|_| !bytes.is_empty()) {
                *place = IoSlice::new(bytes);
                used += 1;
            }
        };
        for part in &self.composer.parts {
            match part {
                Part::Head => put(self.composer.heads.get(self.url).map_or(&[], Head::lines)),
                Part::Bytes(bytes) => put(bytes),
                Part::Length => put(self.length.bytes()),
                Part::Prompt => match &self.traced {
                    Some(traced) => put(traced),
                    None => {
                        self.composer.prompts.slices(&self.drawn).into_iter().for_each(&mut put);
                    }
                },
                Part::Output => put(self.output.bytes()),
                Part::Members => put(self.carried.map_or(&[], |carried| carried.members)),
                Part::Turn => put(self.carried.map_or(&[], |carried| carried.text)),
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
        self.output_tokens
    }

    /// A further turn of its conversation follows.
    pub(crate) fn goes_on(&self) -> bool {
        self.carried.is_some_and(|carried| !carried.is_last)
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

/// Stand for what differs from request to request: texts of one control character, which no field
/// holds, and which JSON writes in a way that nothing else is written.
const PROMPT: &str = "\u{1}";
const OUTPUT: &str = "\u{2}";
const PROMPT_WRITTEN: &str = "\"\\u0001\"";
const OUTPUT_WRITTEN: &str = "\"\\u0002\"";

/// The parts of every request.
fn parts(workload: &Workload, target: &Target) -> Vec<Part> {
    let mut parts = vec![Part::Head, Part::Length, Part::Bytes(HEAD_END.into())];
    // A record may ask for another number than the workload.
    let fixed = workload.output_tokens.fixed().filter(|_| workload.data.is_none());
    let output = match fixed {
        Some(tokens) => Value::from(tokens),
        None => OUTPUT.into(),
    };
    let recorded = is_recorded(workload).then(|| records::field(target.endpoint));
    let mut body = fields(workload, target, PROMPT.to_owned(), &output);
    if let (Some((name, ..)), Some(object)) = (recorded, body.as_object_mut()) {
        object.insert(name.to_owned(), PROMPT.into());
    }
    images::add_to(&mut body, target.endpoint, workload.images.as_ref());
    let body = body.to_string();
    let mut rest = body.as_str();
    if let (Some(_), Some(after)) = (recorded, rest.strip_prefix('{')) {
        put(&mut parts, "{");
        parts.push(Part::Members);
        rest = after;
    }
    loop {
        match (rest.split_once(PROMPT_WRITTEN), rest.split_once(OUTPUT_WRITTEN)) {
            (Some((before, after)), output)
                if output.is_none_or(|(other, _)| before.len() < other.len()) =>
            {
                put(&mut parts, before);
                let (open, close) = recorded.map_or(("\"", "\""), |(_, open, close)| (open, close));
                put(&mut parts, open);
                parts.push(if recorded.is_some() { Part::Turn } else { Part::Prompt });
                put(&mut parts, close);
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

/// Requests carry turns of conversations in place of prompts.
fn is_recorded(workload: &Workload) -> bool {
    workload.data.as_ref().is_some_and(|data| !data.format.is_trace())
}

fn put(parts: &mut Vec<Part>, text: &str) {
    if let Some((before, after)) = images::around(text) {
        put(parts, before);
        parts.push(Part::Images);
        return put(parts, after);
    }
    match parts.last_mut() {
        Some(Part::Bytes(bytes)) => bytes.extend_from_slice(text.as_bytes()),
        Some(Part::Head | Part::Length | Part::Prompt)
        | Some(Part::Output | Part::Members | Part::Turn | Part::Images)
        | None => parts.push(Part::Bytes(text.into())),
    }
}

#[cfg(test)]
mod tests;
