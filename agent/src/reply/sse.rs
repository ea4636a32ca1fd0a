//! Server-sent events, split as the WHATWG rules say, in place.
//!
//! An event that lies whole in one slice is handed out as a part of it; only what is incomplete at
//! the end of a slice is copied. It never looks into an event's data.

use std::mem;

use memchr::memchr2;

use super::{Limits, TooLarge};

/// One dispatched event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// The data lines, joined by line feeds.
    pub(super) data: &'a [u8],
    /// `event: error`.
    pub(super) error: bool,
}

/// Splits one body into events, whatever slices it comes in.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
    /// Data of the event under way, as far as it could not be borrowed.
    data: Vec<u8>,
    has_data: bool,
    error: bool,
    /// A line just ended with a carriage return: a line feed right after it belongs to it.
    after_cr: bool,
    /// The first line has been read: a byte order mark can no longer come.
    begun: bool,
    events: u64,
}

impl Splitter {
    /// Forgets everything, keeping at most `keep` bytes of each buffer.
    pub(super) fn reset(&mut self, keep: usize) {
        let (mut line, mut data) = (mem::take(&mut self.line), mem::take(&mut self.data));
        for buffer in [&mut line, &mut data] {
            buffer.clear();
            buffer.shrink_to(keep);
        }
        *self = Self { line, data, ..Self::default() };
    }

    /// Takes the next bytes of the body and hands every event they complete to `sink`.
    pub(super) fn feed<'a>(
        &mut self,
        mut rest: &'a [u8],
        limits: &Limits,
        mut sink: impl FnMut(Event<'_>),
    ) -> Result<(), TooLarge> {
        // The only data line of the event under way, while it lies whole in this slice.
        let mut held: Option<&'a [u8]> = None;
        loop {
            if self.after_cr
                && let Some((&first, tail)) = rest.split_first()
            {
                self.after_cr = false;
                if first == b'\n' {
                    rest = tail;
                }
            }
            let Some(at) = memchr2(b'\n', b'\r', rest) else {
                break;
            };
            let (start, tail) = rest.split_at(at);
            self.after_cr = tail.first() == Some(&b'\r');
            rest = tail.get(1..).unwrap_or_default();

            if self.line.is_empty() {
                match self.field(start, limits)? {
                    Field::Blank => self.dispatch(&mut held, limits, &mut sink)?,
                    Field::Data(value) if !self.has_data => {
                        fits(value.len(), limits.event)?;
                        self.has_data = true;
                        held = Some(value);
                    }
                    Field::Data(value) => {
                        self.data.extend_from_slice(held.take().unwrap_or_default());
                        self.append(value, limits)?;
                    }
                    Field::Event { error } => self.error = error,
                    Field::Other => {}
                }
            } else {
                let mut line = mem::take(&mut self.line);
                line.extend_from_slice(start);
                match self.field(&line, limits)? {
                    // A carried line is not empty, except for a byte order mark.
                    Field::Blank => self.dispatch(&mut held, limits, &mut sink)?,
                    Field::Data(value) => self.append(value, limits)?,
                    Field::Event { error } => self.error = error,
                    Field::Other => {}
                }
                line.clear();
                self.line = line;
            }
        }
        self.data.extend_from_slice(held.unwrap_or_default());
        fits(self.line.len().saturating_add(rest.len()), limits.line)?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// Whether any event was dispatched.
    pub(super) fn any(&self) -> bool {
        self.events > 0
    }

    fn field<'l>(&mut self, line: &'l [u8], limits: &Limits) -> Result<Field<'l>, TooLarge> {
        fits(line.len(), limits.line)?;
        if mem::replace(&mut self.begun, true) {
            Ok(Field::of(line))
        } else {
            Ok(Field::of(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)))
        }
    }

    fn append(&mut self, value: &[u8], limits: &Limits) -> Result<(), TooLarge> {
        if mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        fits(self.data.len().saturating_add(value.len()), limits.event)?;
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn dispatch(
        &mut self,
        held: &mut Option<&[u8]>,
        limits: &Limits,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), TooLarge> {
        let error = mem::take(&mut self.error);
        if mem::take(&mut self.has_data) {
            self.events += 1;
            if self.events > limits.events {
                return Err(TooLarge);
            }
            sink(Event { data: held.take().unwrap_or(&self.data), error });
            self.data.clear();
        }
        Ok(())
    }
}

/// One line.
enum Field<'a> {
    /// The end of an event.
    Blank,
    Data(&'a [u8]),
    Event {
        error: bool,
    },
    /// A comment, an id, a retry time, or anything unknown.
    Other,
}

impl<'a> Field<'a> {
    fn of(line: &'a [u8]) -> Self {
        if line.is_empty() {
            Self::Blank
        } else if let Some(value) = value(line, b"data") {
            Self::Data(value)
        } else if let Some(value) = value(line, b"event") {
            Self::Event { error: value == b"error" }
        } else {
            Self::Other
        }
    }
}

/// The value of this field, less the one space that may follow its colon.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

fn fits(length: usize, max: usize) -> Result<(), TooLarge> {
    if length > max { Err(TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Events = Vec<(String, bool)>;

    fn split(body: &[u8], sizes: &[usize], limits: &Limits) -> Result<Events, TooLarge> {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        let mut left = body;
        let mut sizes = sizes.iter().copied().cycle();
        while !left.is_empty() {
            let size = sizes.next().unwrap_or(usize::MAX).clamp(1, left.len());
            let (slice, tail) = left.split_at(size);
            left = tail;
            splitter.feed(slice, limits, |event| {
                events.push((String::from_utf8_lossy(event.data).into_owned(), event.error));
            })?;
        }
        Ok(events)
    }

    /// The rules once more, over the whole text and without regard to cost.
    fn model(body: &str) -> Events {
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        let body = body.replace("\r\n", "\n").replace('\r', "\n");
        let mut lines: Vec<&str> = body.split('\n').collect();
        lines.pop();
        let (mut events, mut data, mut kind) = (Vec::new(), String::new(), String::new());
        for line in lines {
            if line.is_empty() {
                if let Some(data) = data.strip_suffix('\n') {
                    events.push((data.to_owned(), kind == "error"));
                }
                data.clear();
                kind.clear();
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "data" => data.extend([value, "\n"]),
                "event" => kind = value.to_owned(),
                _ => {}
            }
        }
        events
    }

    fn any_body() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec![
            "data",
            "event",
            ":",
            " ",
            "error",
            "\r\n",
            "\n",
            "\r",
            "\n\n",
            "data: é€😀",
            "\u{feff}",
            "data:x\n\n",
            "x",
            "id: 1",
            ": ping\r\n\r\n",
            "datax: y",
            "event: error\n",
            "data\r",
        ]);
        prop::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn any_slices_give_the_events_of_the_rules(
            body in any_body(),
            sizes in prop::collection::vec(1usize..9, 1..8),
        ) {
            let want = model(&body);
            let limits = Limits::default();
            prop_assert_eq!(split(body.as_bytes(), &[usize::MAX], &limits), Ok(want.clone()));
            prop_assert_eq!(split(body.as_bytes(), &sizes, &limits), Ok(want));
        }

        #[test]
        fn limits_hold_whatever_the_slices(
            body in any_body(),
            sizes in prop::collection::vec(1usize..9, 1..8),
            line in 4usize..20, event in 0usize..12, events in 0u64..4,
        ) {
            let limits = Limits { line, event, events, ..Limits::default() };
            prop_assert_eq!(
                split(body.as_bytes(), &[usize::MAX], &limits),
                split(body.as_bytes(), &sizes, &limits)
            );
        }
    }

    fn check(body: &str, want: &[&str]) {
        let events = split(body.as_bytes(), &[usize::MAX], &Limits::default());
        let data: Vec<String> = events.unwrap().into_iter().map(|(data, _)| data).collect();
        assert_eq!(data, want, "{body:?}");
    }

    #[test]
    fn one_space_is_dropped() {
        check("data:a\n\ndata: b\n\ndata:  c\n\n", &["a", "b", " c"]);
    }

    #[test]
    fn a_byte_order_mark_is_dropped_at_the_start_only() {
        check("\u{feff}data: a\n\n\u{feff}data: b\n\n", &["a"]);
    }

    #[test]
    fn data_lines_are_joined() {
        check("data: a\ndata:\ndata: b\n\n", &["a\n\nb"]);
    }

    #[test]
    fn an_event_cut_by_the_end_is_discarded() {
        check("data: a\n\ndata: b\n", &["a"]);
    }

    #[test]
    fn a_keepalive_comment_is_no_event() {
        check(": ping\n\n:\n\n", &[]);
    }

    #[test]
    fn buffers_do_not_stay_large() {
        let mut splitter = Splitter::default();
        splitter.feed(&vec![b'x'; 900_000], &Limits::default(), |_| {}).unwrap();
        splitter.reset(1000);
        assert!(splitter.line.capacity() <= 1000);
        assert!(splitter.line.is_empty());
    }
}
