//! The images of a level: how many, how large, how long it took to send them or to have them
//! fetched, and which part of the prompt's tokens they are.

use common::images::{Deliver, Images};
use common::tally::ImageTally;
use common::workload::Workload;
use serde::Serialize;

use super::level::sketch;
use super::model::{Real, ReportModel, Sketch};
use super::plain::{CLIP, plain, wrap};
use super::text::{WIDTH, short};
use crate::measure::{Measured, Worth};
use crate::stats;

/// The images of a level's measured successes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImagesReport {
    /// What was asked for, by each workload that has images.
    pub asked: Vec<AskedImages>,
    /// How many there were.
    pub images: u64,
    /// Mean of a request, with images or without.
    pub images_per_request: Option<Real>,
    /// The rate of requests times their mean.
    pub images_per_s: Option<Real>,
    /// Their pixels.
    pub pixels: u64,
    /// Their bytes, as files.
    pub bytes: u64,
    /// Prompt tokens of requests with images, as the server counted them.
    pub prompt_tokens: u64,
    /// Of the same requests the tokens of text asked for.
    pub text_tokens_asked: u64,
    /// The first less the second: an estimate, since the text's tokens are not told apart.
    pub image_tokens_estimate: Option<u64>,
    /// First byte of a request handed to the socket until its last one was.
    pub upload_ms: Sketch,
    /// What the server fetched by URL, over the whole level; `None` where it has nothing to fetch.
    pub fetched: Option<Fetched>,
}

/// The images that a workload asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AskedImages {
    /// The workload's name.
    pub workload: String,
    /// How many in a request, in words where it is drawn.
    pub count: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The type of their files.
    pub media_type: &'static str,
    /// How the server gets them.
    pub deliver: &'static str,
}

/// Images that a server fetched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fetched {
    /// Their bytes.
    pub bytes: u64,
    /// From the head of its request to the last byte written.
    pub time_ms: Sketch,
}

impl ImagesReport {
    /// Those of a level; `None` where its requests have none.
    pub(super) fn of(level: &Measured<'_>) -> Option<Self> {
        let workload = &level.record.planned.workload;
        let asked: Vec<AskedImages> = workload.illustrated().map(AskedImages::of).collect();
        if asked.is_empty() {
            return None;
        }
        let by_url = workload.illustrated().any(|(_, images)| images.deliver == Deliver::Url);
        let tally = level.tally();
        let none = ImageTally::default();
        let images = tally.images.as_deref().unwrap_or(&none);
        let per_request = stats::ratio(images.images as f64, tally.measured.succeeded as f64);
        let per_s = level.rates.requests.zip(per_request).map(|(rate, mean)| rate * mean);
        let tokens = images.prompt_tokens.checked_sub(images.text_tokens);
        let fetched = Fetched {
            bytes: images.fetches.bytes,
            time_ms: sketch(&images.fetches.time, Worth::FULL),
        };
        Some(Self {
            asked,
            images: images.images,
            images_per_request: per_request.and_then(Real::new),
            images_per_s: per_s.and_then(Real::new),
            pixels: images.pixels,
            bytes: images.bytes,
            prompt_tokens: images.prompt_tokens,
            text_tokens_asked: images.text_tokens,
            image_tokens_estimate: tokens.filter(|_| images.prompt_tokens > 0),
            upload_ms: sketch(&images.upload, Worth::FULL),
            fetched: by_url.then_some(fetched),
        })
    }

    /// In one sentence.
    fn text(&self) -> String {
        let number = |value: Option<Real>| short(value.map(Real::value));
        let quantiles = |sketch: &Sketch| {
            let known = [("p50", sketch.p50), ("p99", sketch.p99)];
            let known = known
                .iter()
                .filter_map(|(name, ms)| Some(format!("{name} {} ms", number(Some((*ms)?)))));
            let known: Vec<String> = known.collect();
            if known.is_empty() { "-".to_owned() } else { known.join(", ") }
        };
        let mean = |sum: u64| stats::ratio(sum as f64, self.images as f64);
        let kinds: Vec<String> = self.asked.iter().map(AskedImages::text).collect();
        if self.images == 0 {
            return format!("none of {} in an answered request", kinds.join(" and "));
        }
        let mut parts = vec![
            format!("{} images/s of {}", number(self.images_per_s), kinds.join(" and ")),
            format!("{} kB each", short(mean(self.bytes).map(|bytes| bytes / 1e3))),
        ];
        if let Some(tokens) = self.image_tokens_estimate.and_then(mean) {
            parts.push(format!("about {tokens:.0} tokens each"));
        }
        parts.push(format!("requests sent within {}", quantiles(&self.upload_ms)));
        if let Some(fetched) = &self.fetched {
            let count = fetched.time_ms.count;
            parts.push(format!("{count} fetched, {}", quantiles(&fetched.time_ms)));
        }
        parts.join("; ")
    }
}

impl AskedImages {
    fn of((workload, images): (&Workload, &Images)) -> Self {
        Self {
            workload: workload.name.to_string(),
            count: images.count.to_string(),
            width: images.width,
            height: images.height,
            media_type: images.format.media_type(),
            deliver: images.deliver.name(),
        }
    }

    fn text(&self) -> String {
        let Self { width, height, media_type, deliver, .. } = self;
        format!("{width} x {height} ({media_type}, {deliver})")
    }
}

/// The section of the report.
pub(super) fn images_text(model: &ReportModel) -> String {
    let levels = model.levels.iter().filter_map(|level| Some((level, level.images.as_ref()?)));
    let mut out = String::new();
    for (level, images) in levels {
        let text =
            format!("{} {}: {}", level.phase, plain(&level.planned_label, CLIP), images.text());
        out.push_str(&wrap("images    ", &text, WIDTH));
    }
    if !out.is_empty() {
        let note = "an image's tokens are those of the prompt less those asked for as text: compare \
                    levels with images among themselves only";
        out.push_str(&wrap("* ", note, WIDTH));
    }
    out
}

#[cfg(test)]
mod tests {
    use common::images::ImageFormat;

    use super::*;
    use crate::record::RunRecord;
    use crate::testdata::run;

    /// A level of many requests.
    const PLACE: usize = 3;

    fn with_images(deliver: Deliver) -> RunRecord {
        let mut record = run();
        let level = &mut record.levels[PLACE];
        let (width, height, format) = (512, 384, ImageFormat::Jpeg);
        let images = Images { count: 2.into(), width, height, format, deliver };
        level.planned.workload.images = Some(images);
        for share in &mut level.shares {
            let tally = &mut share.seal.as_mut().unwrap().snapshot.tally;
            let images = tally.images.get_or_insert_default();
            let requests = tally.measured.succeeded;
            (images.images, images.pixels) = (2 * requests, 2 * requests * 512 * 384);
            (images.bytes, images.text_tokens) = (2 * requests * 40_000, requests * 3);
            images.prompt_tokens = tally.tokens.prompt;
            (0..requests).for_each(|nth| images.upload.record_us(900 + nth));
            if deliver == Deliver::Url {
                (0..2 * requests).for_each(|_| images.fetches.add(40_000, 3_000_000));
            }
        }
        record
    }

    #[test]
    fn images_are_told_apart_and_only_of_levels_that_have_them() {
        let model = ReportModel::new(&with_images(Deliver::Url), &[]);
        insta::assert_snapshot!(images_text(&model), @"
        images    SCALING 50: 1418 images/s of 512 x 384 (image/jpeg, url); 40.0 kB each; about 24 tokens
                  each; requests sent within p50 1.02 ms; 980 fetched, p50 3.00 ms, p99 3.00 ms
        * an image's tokens are those of the prompt less those asked for as text: compare levels with images
          among themselves only
        ");
        let with: Vec<bool> = model.levels.iter().map(|level| level.images.is_some()).collect();
        assert!(with[PLACE] && with.iter().filter(|with| **with).count() == 1, "{with:?}");
        let summary = crate::report::summary_json(&model);
        let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
        let images = &summary["levels"][PLACE]["images"];
        assert_eq!(images["fetched"]["time_ms"]["count"], images["images"]);
        assert_eq!(summary["levels"][0].get("images"), None);
        let inline = ReportModel::new(&with_images(Deliver::Inline), &[]);
        assert_eq!(inline.levels[PLACE].images.as_ref().unwrap().fetched, None);
        assert_eq!(images_text(&ReportModel::new(&run(), &[])), "");
    }
}
