//! What a level did with images. Every number is an integer and merging is addition.

use crate::hist::LatencyHist;
use crate::outcome::{ImagesSent, Usage};

/// Images of the measured successes of a level, and how they went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageTally {
    /// Images.
    pub images: u64,
    /// Their pixels.
    pub pixels: u64,
    /// Their bytes, as files.
    pub bytes: u64,
    /// Prompt tokens of their requests, as the server counted them.
    pub prompt_tokens: u64,
    /// Of these requests the tokens of text asked for.
    pub text_tokens: u64,
    /// First byte of a request handed to the socket until its last one was.
    pub upload: LatencyHist,
    /// What servers fetched by URL, over the whole level.
    pub fetches: Fetches,
}

/// Images that a server fetched by their URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetches {
    /// Their bytes.
    pub bytes: u64,
    /// From the request's head to the last byte written.
    pub time: LatencyHist,
}

impl ImageTally {
    /// A measured success had these.
    pub(super) fn add(&mut self, sent: &ImagesSent, usage: Option<Usage>) {
        self.images += sent.images;
        self.pixels += sent.pixels;
        self.bytes += sent.bytes;
        if let Some(usage) = usage {
            self.prompt_tokens += usage.prompt;
            self.text_tokens += sent.text_tokens;
        }
        if let Some(upload_ns) = sent.upload_ns {
            self.upload.record_ns(upload_ns);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.images += other.images;
        self.pixels += other.pixels;
        self.bytes += other.bytes;
        self.prompt_tokens += other.prompt_tokens;
        self.text_tokens += other.text_tokens;
        self.upload.merge(&other.upload);
        self.fetches.bytes += other.fetches.bytes;
        self.fetches.time.merge(&other.fetches.time);
    }

    /// The histograms with their names, in a fixed order.
    pub fn each(&self) -> [(&'static str, &LatencyHist); 2] {
        [("upload", &self.upload), ("fetch", &self.fetches.time)]
    }
}

impl Fetches {
    /// One more, of so many bytes.
    pub fn add(&mut self, bytes: u64, time_ns: u64) {
        self.bytes += bytes;
        self.time.record_ns(time_ns);
    }
}
