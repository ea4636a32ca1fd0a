//! Images in requests, as a server takes them: in base64 or fetched by their URL, looked at far
//! enough to know that they are images, how large they are, and which.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::digest::Digest;
use common::target::{BaseUrl, Host};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::http::{BODY_MAX, HEAD_MAX};

/// Where an image is, as a request says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ImageRef {
    /// `data:MEDIA;base64,…`, or the address of one.
    Url(String),
    /// The bytes in base64, with their media type.
    Data { media_type: String, data: String },
}

/// An image that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image {
    width: u32,
    height: u32,
    #[cfg(test)]
    pub(super) bytes: u64,
    /// The first eight bytes of the SHA-256 of its file.
    pub(super) hash: u64,
}

/// How long it may take to fetch one.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Pixels on the side of a token, as in vision models of today: patches of 14, two by two.
const TOKEN_SIDE: u32 = 28;
const FIELDS_MAX: usize = 64;

impl Image {
    /// Tokens of the prompt that it is.
    pub(super) fn tokens(self) -> u64 {
        u64::from(self.width.div_ceil(TOKEN_SIDE)) * u64::from(self.height.div_ceil(TOKEN_SIDE))
    }

    /// Looks at a file; the error is the message for the client.
    fn of(media_type: &str, file: &[u8]) -> Result<Self, String> {
        let size = match media_type {
            "image/jpeg" => jpeg_size(file),
            "image/png" => png_size(file),
            _ => return Err(format!("{media_type:?} is not a type of image that is known here")),
        };
        let broken = || format!("an image of type {media_type} cannot be decoded: it is broken");
        let (width, height) = size.filter(|(w, h)| *w > 0 && *h > 0).ok_or_else(broken)?;
        let Digest([a, b, c, d, e, f, g, h, ..]) = Digest::of(file);
        let hash = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Ok(Self {
            width,
            height,
            #[cfg(test)]
            bytes: file.len() as u64,
            hash,
        })
    }
}

/// Looks at the images of a request, and fetches those that are elsewhere; the error is the message
/// for the client.
pub(super) async fn look(images: &[ImageRef], most: u32) -> Result<Vec<Image>, String> {
    if images.len() > most as usize {
        return Err(format!("a request may have at most {most} images, not {}", images.len()));
    }
    let mut found = Vec::with_capacity(images.len());
    for image in images {
        found.push(match image {
            ImageRef::Data { media_type, data } => decoded(media_type, data)?,
            ImageRef::Url(url) => match url.strip_prefix("data:") {
                Some(data) => {
                    let parts = data.split_once(";base64,");
                    let (media_type, data) = parts.ok_or("an image's data is not in base64")?;
                    decoded(media_type, data)?
                }
                None => {
                    let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch(url)).await;
                    let fetched = fetched.unwrap_or(Err("it took too long"));
                    let (media_type, file) =
                        fetched.map_err(|why| format!("an image cannot be fetched: {why}"))?;
                    Image::of(&media_type, &file)?
                }
            },
        });
    }
    Ok(found)
}

fn decoded(media_type: &str, data: &str) -> Result<Image, String> {
    let file = STANDARD.decode(data).map_err(|error| format!("an image is not base64: {error}"))?;
    Image::of(media_type, &file)
}

/// Fetches a file; gives its media type and its bytes.
async fn fetch(url: &str) -> Result<(String, Vec<u8>), &'static str> {
    let url: BaseUrl = url.parse().map_err(|_| "its URL is none")?;
    if url.tls {
        return Err("only http is known here");
    }
    let stream = match &url.host {
        Host::Name(name) => TcpStream::connect((name.as_str(), url.port)).await,
        Host::V4(address) => TcpStream::connect((*address, url.port)).await,
        Host::V6(address) => TcpStream::connect((*address, url.port)).await,
    };
    let mut stream = stream.map_err(|_| "no connection")?;
    let ask = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        url.path,
        url.authority()
    );
    stream.write_all(ask.as_bytes()).await.map_err(|_| "the connection broke")?;
    let mut answer = Vec::new();
    let (head, length, media_type) = loop {
        if let Some(found) = head(&answer)? {
            break found;
        }
        if stream.read_buf(&mut answer).await.map_err(|_| "the connection broke")? == 0 {
            return Err("the answer has no end");
        }
    };
    while answer.len() < head + length {
        if stream.read_buf(&mut answer).await.map_err(|_| "the connection broke")? == 0 {
            return Err("the answer has no end");
        }
    }
    Ok((media_type, answer.get(head..head + length).unwrap_or_default().to_vec()))
}

/// The head of an answer: its length, that of the body, and what the body is.
fn head(answer: &[u8]) -> Result<Option<(usize, usize, String)>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if answer.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err("the answer is not HTTP"),
    };
    if response.code != Some(200) {
        return Err("the answer is not 200");
    }
    let value = |name: &str| {
        let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok()
    };
    let body = value("content-length").and_then(|text| text.parse().ok());
    let body = body.filter(|body| *body <= BODY_MAX).ok_or("the answer has no length")?;
    Ok(Some((length, body, value("content-type").unwrap_or_default().to_owned())))
}

/// The size in the frame of a JPEG that has both ends.
fn jpeg_size(file: &[u8]) -> Option<(u32, u32)> {
    let mut rest = file.strip_prefix(&[0xff, 0xd8])?.strip_suffix(&[0xff, 0xd9])?;
    loop {
        let &[0xff, kind, l0, l1, ..] = rest else { return None };
        let (segment, after) =
            rest.split_at_checked(2 + usize::from(u16::from_be_bytes([l0, l1])))?;
        // Frames of all kinds; between them lie tables.
        if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
            let &[_, _, _, _, _, h0, h1, w0, w1, ..] = segment else { return None };
            let side = |bytes: [u8; 2]| u32::from(u16::from_be_bytes(bytes));
            return Some((side([w0, w1]), side([h0, h1])));
        }
        rest = after;
    }
}

/// The size in the header of a PNG that has both ends.
fn png_size(file: &[u8]) -> Option<(u32, u32)> {
    let rest = file.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")?;
    rest.strip_suffix(b"\0\0\0\0IEND\xae\x42\x60\x82")?;
    let &[a, b, c, d, e, f, g, h, ..] = rest else { return None };
    Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(image: ImageRef) -> String {
        look(&[image], 1).await.unwrap_err()
    }

    #[tokio::test]
    async fn what_is_no_image_is_refused_with_words() {
        let data = |media_type: &str, data: &str| ImageRef::Data {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        };
        let url = |url: &str| ImageRef::Url(url.to_owned());
        let cut = STANDARD.encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10");
        let jpeg = STANDARD.encode([0xff, 0xd8, 0xff, 0xd9]);
        for (image, why) in [
            (data("image/png", "!"), "not base64"),
            (data("image/png", &cut), "cannot be decoded"),
            (data("image/jpeg", &jpeg), "cannot be decoded"),
            (data("image/jpeg", &cut), "cannot be decoded"),
            (data("image/webp", "AA=="), "known here"),
            (url("data:image/png,xx"), "not in base64"),
            (url("ftp://h/x.png"), "cannot be fetched: its URL"),
            (url("https://127.0.0.1/x.png"), "cannot be fetched: only http"),
            (url("http://127.0.0.1:1/x.png"), "cannot be fetched: no connection"),
        ] {
            let words = refusal(image.clone()).await;
            assert!(words.contains(why), "{image:?}: {words}");
        }
    }

    #[test]
    fn an_image_is_a_token_for_every_28_by_28_pixels() {
        for (width, height, tokens) in [(28, 28, 1), (29, 28, 2), (1024, 1024, 1369)] {
            assert_eq!(Image { width, height, bytes: 0, hash: 0 }.tokens(), tokens);
        }
    }
}
