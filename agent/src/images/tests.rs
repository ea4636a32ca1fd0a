//! Tests: requests carry the images that were asked for, in the shape that each API has, and an
//! origin serves those that are fetched and nothing else.

use std::collections::HashSet;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::TcpStream;

use common::images::ImageFormat;
use common::length::Length;
use common::mix::Weighted;
use common::target::Target;
use common::workload::Workload;
use proto::secrets::Secrets;

use super::*;
use crate::compose::{Composers, PARTS_MAX, Request};
use crate::sim::Images as Looked;
use crate::testing::assignment;

fn pictured(endpoint: Endpoint, format: ImageFormat, deliver: Deliver) -> Assignment {
    let mut assignment = assignment("http://127.0.0.1:9");
    assignment.target = Target { endpoint, ..assignment.target };
    let count = Length::Uniform { least: 1, most: 5 };
    let images = Images { count, width: 40, height: 64, format, deliver };
    assignment.workload.images = Some(images);
    assignment
}

/// The composer of a level, and what serves its images.
fn made(assignment: &Assignment) -> (Composers, Option<ImageOrigin>) {
    let prepared = Prepared::of(assignment).unwrap();
    let origin = prepared.origin(None, &["127.0.0.1:9".parse().unwrap()]).unwrap();
    let illustrations = prepared.for_requests(assignment, origin.as_ref());
    (Composers::new(assignment, &Secrets::default()).illustrated(illustrations), origin)
}

fn request(composer: &Composers, user: u32, number: u64) -> Request<'_> {
    let choice = composer.choose(UserId(user), number);
    composer.request(choice, UserId(user), number)
}

/// The body of a request, of the length that its head says.
fn body(composer: &Composers, user: u32, number: u64) -> Vec<u8> {
    let request = request(composer, user, number);
    let mut slices = vec![IoSlice::new(&[]); request.pieces().unwrap_or(PARTS_MAX)];
    let used = request.parts(&mut slices);
    let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = bytes.split_at(end);
    let length = format!("content-length: {}\r\n", body.len());
    assert!(String::from_utf8_lossy(head).contains(&length), "{length}");
    body.to_vec()
}

/// A fetch is counted just after its last byte was written, which its reader may see before.
fn until_fetched(origin: &ImageOrigin, count: u64) {
    let tries = (0..1_000_000).map(|_| std::thread::yield_now());
    let counted = tries.map(|()| origin.fetches().time.count()).find(|now| *now >= count);
    assert_eq!(counted, Some(count));
}

#[tokio::test]
async fn every_api_gets_images_that_it_can_look_at_and_no_two_are_the_same() {
    for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| endpoint.takes_images()) {
        for format in ImageFormat::ALL {
            for deliver in Deliver::ALL {
                let assignment = pictured(endpoint, format, deliver);
                let (composer, origin) = made(&assignment);
                let (mut seen, mut all) = (HashSet::new(), 0);
                for number in 0..12 {
                    let body = body(&composer, 3, number);
                    let looked = Looked::of_request(endpoint, &body).await.unwrap();
                    let sent = request(&composer, 3, number).images().unwrap();
                    assert_eq!(sent.images as usize, looked.hashes.len());
                    assert_eq!(sent.pixels, sent.images * 40 * 64);
                    assert_eq!(looked.tokens, sent.images * 2 * 3);
                    assert_eq!(looked.bytes, sent.bytes);
                    all += looked.hashes.len();
                    seen.extend(looked.hashes);
                }
                let what = (endpoint.name(), format.name(), deliver.name());
                assert!(all > 12 && seen.len() == all, "{what:?}: {all}");
                if let Some(origin) = origin {
                    until_fetched(&origin, all as u64);
                }
            }
        }
    }
}

#[test]
fn images_follow_from_seed_and_place_and_not_from_whose_share_it_is() {
    let assignment = pictured(Endpoint::Chat, ImageFormat::Jpeg, Deliver::Inline);
    let bodies = |assignment: &Assignment| {
        let (composer, _) = made(assignment);
        (body(&composer, 1, 0), body(&composer, 1, 1))
    };
    let first = bodies(&assignment);
    assert_ne!(first.0, first.1);
    let mut other = assignment.clone();
    other.share = other.load.share(1, 2);
    other.level.ordinal = 7;
    assert_eq!(bodies(&other), first);
    for change in [
        (|a| a.seed = Seed(2)) as fn(&mut Assignment),
        |a| a.place = 1,
        |a| a.phase = Phase::Stress,
    ] {
        let mut other = assignment.clone();
        change(&mut other);
        assert_ne!(bodies(&other).0, first.0);
    }
}

#[test]
fn an_origin_serves_its_images_and_nothing_else() {
    let assignment = pictured(Endpoint::Chat, ImageFormat::Png, Deliver::Url);
    let (composer, origin) = made(&assignment);
    let origin = origin.unwrap();
    let url = origin.url(0, ImageFormat::Png, '*');
    let host = url.strip_prefix("http://").unwrap().strip_suffix("/0/*.png").unwrap();
    let body = String::from_utf8(body(&composer, 0, 0)).unwrap();
    let path = body.split(host).nth(1).unwrap().split('"').next().unwrap();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // What is left unread makes the end a reset.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let get = |path: &str| ask(&format!("GET {path} HTTP/1.1\r\nconnection: close\r\n\r\n"));
    let answer = get(path);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n"), "{answer:.200}");
    for other in [
        "/",
        "/x.png",
        "/0.png",
        "/../etc/passwd",
        "/00000000000000.png",
        &path.replace(".png", ".jpg"),
        &path.to_uppercase(),
        &path.replacen('/', "/0", 1),
        &path.replacen("/0/", "/1/", 1),
        &path.replacen("/0/", "/", 1),
        "/ffffffffffffffffffff.png",
        "/+000000000000001.png",
    ] {
        assert!(get(other).starts_with("HTTP/1.1 404 "), "{other}");
    }
    assert!(ask(&format!("POST {path} HTTP/1.1\r\n\r\n")).starts_with("HTTP/1.1 405 "));
    assert_eq!(ask("no request\r\n\r\n"), "");
    assert_eq!(ask(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000))), "");
    // Two on one connection.
    let two = format!("GET {path} HTTP/1.1\r\n\r\nGET {path} HTTP/1.0\r\n\r\n");
    assert_eq!(ask(&two).matches("HTTP/1.1 200 OK").count(), 2);
    until_fetched(&origin, 3);
    assert!(origin.fetches().bytes > 3 * 40 * 64);
    drop(origin);
    assert!(TcpStream::connect(host).is_err(), "an origin ends with its level");
}

#[test]
fn an_origin_that_cannot_listen_says_what_to_do() {
    let assignment = pictured(Endpoint::Chat, ImageFormat::Png, Deliver::Url);
    let prepared = Prepared::of(&assignment).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let towards = ["127.0.0.1:9".parse().unwrap()];
    let why = prepared.origin(taken.local_addr().ok(), &towards).err().unwrap();
    assert!(why.contains("images_listen") && why.contains("cannot listen"), "{why}");
    // An address that stands for all is not one to fetch from.
    let all = prepared.origin("0.0.0.0:0".parse().ok(), &towards).unwrap().unwrap();
    let url = all.url(0, ImageFormat::Png, 'x');
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
}

#[tokio::test]
async fn each_workload_of_a_mix_has_its_own_images_or_none() {
    let with = |name: &str, images: Option<(ImageFormat, Deliver)>| {
        let workload = Workload::new(name.parse().unwrap(), 10.into(), 4.into());
        let images = images.map(|(format, deliver)| Images {
            count: 1.into(),
            width: 40,
            height: 64,
            format,
            deliver,
        });
        Weighted { item: Workload { images, ..workload }, weight: 1 }
    };
    let mut mix = vec![
        with("text", None),
        with("fetched", Some((ImageFormat::Png, Deliver::Url))),
        with("inline", Some((ImageFormat::Jpeg, Deliver::Inline))),
    ];
    // Two models, so that a workload has more than one composer.
    let model = |item: &str| Weighted { item: item.to_owned(), weight: 1 };
    mix[1].item.models = vec![model("base"), model("lora")];
    let mut assignment = assignment("http://127.0.0.1:9");
    assignment.workload = Workload::mixed("all".parse().unwrap(), mix).unwrap();
    let (composer, origin) = made(&assignment);
    let (mut shown, mut fetched) = ([0; 3], 0);
    for number in 0..60 {
        let body = body(&composer, 1, number);
        let looked = Looked::of_request(Endpoint::Chat, &body).await.unwrap();
        let component = composer.choose(UserId(1), number).component;
        assert_eq!(looked.hashes.len(), usize::from(component > 0));
        shown[usize::from(component)] += 1;
        fetched += u64::from(component == 1);
    }
    assert!(shown.iter().all(|shown| *shown > 5), "{shown:?}");
    until_fetched(&origin.unwrap(), fetched);
    let bare = Composers::new(&assignment, &Secrets::default()).size();
    assert!(composer.size() > bare, "images are held, too");
}

#[test]
fn a_level_whose_images_would_take_too_much_memory_is_refused_before_they_are_made() {
    let large = |name: &str| {
        let (side, png) = (common::images::SIDE_MAX, ImageFormat::Png);
        let deliver = Deliver::Inline;
        let images = Images { count: 1.into(), width: side, height: side, format: png, deliver };
        let workload = Workload::new(name.parse().unwrap(), 10.into(), 4.into());
        Weighted { item: Workload { images: Some(images), ..workload }, weight: 1 }
    };
    let mut assignment = assignment("http://127.0.0.1:9");
    let mix = ["a", "b", "c", "d"].map(large).into();
    assignment.workload = Workload::mixed("all".parse().unwrap(), mix).unwrap();
    let why = Prepared::of(&assignment).err().unwrap().to_string();
    assert!(why.contains("make them smaller"), "{why}");
}
