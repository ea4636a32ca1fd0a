//! Images in requests: distinct, seeded, and put together of prepared parts, so that nothing is
//! encoded, copied or waited for while requests are sent.
//!
//! | Module | What it is |
//! |---|---|
//! | `pixels` | what images show |
//! | `jpeg`, `png` | formats, cut into parts that fit in any place |
//! | `gallery` | the prepared parts of a level, and images made of them |
//! | `origin` | serves images that requests have the URL of |

mod gallery;
mod jpeg;
mod origin;
mod pixels;
mod png;

use std::net::SocketAddr;
use std::sync::Arc;

use common::assignment::Assignment;
use common::ids::UserId;
use common::images::{Deliver, Images, PREPARED_MAX};
use common::outcome::ImagesSent;
use common::phase::Phase;
use common::seed::Seed;
use common::target::Endpoint;
use serde_json::{Value, json};

use gallery::{Gallery, Picture};
pub(crate) use origin::ImageOrigin;

/// Why the images of a level cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// An encoder refused.
    #[error("an image could not be encoded: {0}")]
    Encode(String),
    /// They take too much memory.
    #[error(
        "the images of this level may take {size} bytes prepared, more than the {PREPARED_MAX} that \
         an agent holds; make them smaller, or have fewer kinds of them in a mix"
    )]
    TooLarge {
        /// Bytes.
        size: u64,
    },
}

/// The images of a level's requests.
pub(crate) struct Illustration {
    images: Images,
    gallery: Arc<Gallery>,
    seed: Seed,
    phase: Phase,
    place: u32,
    /// What stands before an image, and after it.
    before: Vec<u8>,
    after: Vec<u8>,
}

/// The images of one request.
pub(crate) struct Shown(Vec<One>);

struct One {
    picture: Picture,
    name: [u8; NAME_LEN],
}

/// Digits of an image's name.
const NAME_LEN: usize = 16;

/// The prepared parts of a level's images, for each workload that requests are of.
pub(crate) struct Prepared(Vec<Option<Kind>>);

/// The prepared parts of the images of one workload.
struct Kind {
    images: Images,
    gallery: Arc<Gallery>,
}

impl Prepared {
    /// Prepares the parts.
    ///
    /// # Errors
    /// If they cannot be made, or take more memory than they may.
    pub(crate) fn of(assignment: &Assignment) -> Result<Self, MakeError> {
        let Assignment { seed, phase, place, .. } = *assignment;
        // Known before anything is made, by the arithmetic that a plan states.
        let size = assignment.workload.illustrated().map(|(_, images)| images.prepared_max()).sum();
        if size > PREPARED_MAX {
            return Err(MakeError::TooLarge { size });
        }
        let mut kinds = Vec::new();
        for (workload, _) in assignment.workload.components() {
            let kind = match &workload.images {
                None => None,
                Some(images) => {
                    let gallery = Gallery::make(images, &mut seed.picture_parts(phase, place))?;
                    Some(Kind { images: images.clone(), gallery: Arc::new(gallery) })
                }
            };
            kinds.push(kind);
        }
        Ok(Self(kinds))
    }

    /// What serves the images, where requests only have their URL.
    ///
    /// # Errors
    /// Why it cannot be listened.
    pub(crate) fn origin(
        &self,
        listen: Option<SocketAddr>,
        towards: &[SocketAddr],
    ) -> Result<Option<ImageOrigin>, String> {
        let Self(kinds) = self;
        let galleries = kinds.iter().map(|kind| {
            let kind = kind.as_ref().filter(|kind| kind.images.deliver == Deliver::Url)?;
            Some((Arc::clone(&kind.gallery), kind.images.format))
        });
        let galleries: Vec<_> = galleries.collect();
        if galleries.iter().flatten().next().is_none() {
            return Ok(None);
        }
        ImageOrigin::open(galleries, listen, towards).map(Some)
    }

    /// The images of the requests of `assignment`, for each workload that they are of.
    pub(crate) fn for_requests(
        self,
        assignment: &Assignment,
        origin: Option<&ImageOrigin>,
    ) -> Vec<Option<Arc<Illustration>>> {
        let Assignment { seed, phase, place, .. } = *assignment;
        let of = |(number, kind): (usize, Option<Kind>)| {
            let Kind { images, gallery } = kind?;
            let url = match images.deliver {
                Deliver::Inline => None,
                Deliver::Url => origin.map(|origin| origin.url(number, images.format, IMAGE)),
            };
            let written = part(assignment.target.endpoint, &images, url).to_string();
            let (before, after) = written.split_once(IMAGE_WRITTEN).unwrap_or_default();
            let (before, after) = (before.as_bytes().to_vec(), after.as_bytes().to_vec());
            Some(Arc::new(Illustration { images, gallery, seed, phase, place, before, after }))
        };
        let Self(kinds) = self;
        kinds.into_iter().enumerate().map(of).collect()
    }
}

impl Illustration {
    /// The images of a user's request with this number.
    pub(crate) fn draw(&self, user: UserId, number: u64) -> Shown {
        let mut generator = self.seed.images(self.phase, self.place, user, number);
        let count = self.images.count.draw(&mut generator);
        let one = |_| {
            let picture = self.gallery.drawn(generator.next_u64());
            One { picture, name: digits(picture.name()) }
        };
        Shown((0..count).map(one).collect())
    }

    /// Bytes that these take in the body.
    pub(crate) fn len(&self, Shown(shown): &Shown) -> usize {
        let around = self.before.len() + self.after.len();
        let image = |one: &One| match self.images.deliver {
            Deliver::Inline => one.picture.len(),
            Deliver::Url => one.name.len(),
        };
        let between = shown.len().saturating_sub(1);
        shown.iter().map(|one| around + image(one)).sum::<usize>() + between
    }

    /// Pieces that [`Illustration::put`] hands over, at most.
    pub(crate) fn pieces(&self, Shown(shown): &Shown) -> usize {
        shown.len() * (self.gallery.pieces() + 3)
    }

    /// Hands over their bytes, in order.
    pub(crate) fn put<'s>(&'s self, Shown(shown): &'s Shown, put: &mut impl FnMut(&'s [u8])) {
        for (place, one) in shown.iter().enumerate() {
            if place > 0 {
                put(b",");
            }
            put(&self.before);
            match self.images.deliver {
                Deliver::Inline => self.gallery.put(&one.picture, put),
                Deliver::Url => put(&one.name),
            }
            put(&self.after);
        }
    }

    /// What is recorded of them, beside how long they took to send.
    pub(crate) fn sent(&self, Shown(shown): &Shown, text_tokens: u32) -> ImagesSent {
        let bytes = |one: &One| match self.images.deliver {
            // Every piece is whole groups of base64.
            Deliver::Inline => one.picture.len() as u64 / 4 * 3,
            Deliver::Url => one.picture.len() as u64,
        };
        ImagesSent {
            images: shown.len() as u64,
            pixels: shown.len() as u64 * self.images.pixels(),
            bytes: shown.iter().map(bytes).sum(),
            text_tokens: text_tokens.into(),
            upload_ns: None,
        }
    }

    /// Bytes held for the level.
    pub(crate) fn size(&self) -> usize {
        self.gallery.size()
    }
}

/// Connections that a target may have at once to fetch images.
pub(crate) fn connections(assignment: &Assignment) -> u64 {
    let fetched = assignment.workload.illustrated().any(|(_, images)| match images.deliver {
        Deliver::Inline => false,
        Deliver::Url => true,
    });
    if fetched { origin::CONNECTIONS_MAX as u64 } else { 0 }
}

/// Stands for all images of a request, as a text that no field holds.
const IMAGES: &str = "\u{3}";
const IMAGES_WRITTEN: &str = "\"\\u0003\"";

/// Stands for one image within what stands around it.
const IMAGE: char = '\u{4}';
const IMAGE_WRITTEN: &str = "\\u0004";

/// Makes the prompt of a body, which is text, text and then images.
pub(crate) fn add_to(body: &mut Value, endpoint: Endpoint, images: Option<&Images>) {
    if images.is_none() {
        return;
    }
    let prompt = match endpoint {
        Endpoint::Chat | Endpoint::Messages => body.pointer_mut("/messages/0/content"),
        Endpoint::Responses => body.get_mut("input"),
        // These have no place for images, and no campaign has them there.
        Endpoint::Completions | Endpoint::Embeddings => None,
    };
    let Some(prompt) = prompt else { return };
    let text = prompt.take();
    *prompt = match endpoint {
        Endpoint::Responses => json!([{
            "role": "user",
            "content": [{ "type": "input_text", "text": text }, IMAGES],
        }]),
        Endpoint::Chat | Endpoint::Messages | Endpoint::Completions | Endpoint::Embeddings => {
            json!([{ "type": "text", "text": text }, IMAGES])
        }
    };
}

/// What stands before the images of a body and after them; `None` if it has none.
pub(crate) fn around(bytes: &str) -> Option<(&str, &str)> {
    bytes.split_once(IMAGES_WRITTEN)
}

/// One image as a part of a prompt.
fn part(endpoint: Endpoint, images: &Images, url: Option<String>) -> Value {
    let media_type = images.format.media_type();
    let url = url.unwrap_or_else(|| format!("data:{media_type};base64,{IMAGE}"));
    match (endpoint, images.deliver) {
        (Endpoint::Messages, Deliver::Inline) => {
            let image = IMAGE.to_string();
            let source = json!({ "type": "base64", "media_type": media_type, "data": image });
            json!({ "type": "image", "source": source })
        }
        (Endpoint::Messages, Deliver::Url) => {
            json!({ "type": "image", "source": { "type": "url", "url": url } })
        }
        (Endpoint::Responses, _) => {
            json!({ "type": "input_image", "detail": "auto", "image_url": url })
        }
        (Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings, _) => {
            json!({ "type": "image_url", "image_url": { "url": url } })
        }
    }
}

/// A name as it is written.
fn digits(name: u64) -> [u8; NAME_LEN] {
    let mut digits = [b'0'; NAME_LEN];
    let mut rest = name;
    for digit in digits.iter_mut().rev() {
        let value = (rest & 15) as u8;
        *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        rest >>= 4;
    }
    digits
}

/// A name from how it is written, and in no other way.
fn name(written: &str) -> Option<u64> {
    let name = u64::from_str_radix(written, 16).ok()?;
    (digits(name) == written.as_bytes()).then_some(name)
}

#[cfg(test)]
mod tests;
