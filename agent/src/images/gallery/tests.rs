//! Tests: whatever is drawn can be decoded, has the size asked for, and differs from the others.

use std::collections::HashSet;

use common::images::{SIDE_MAX, SIDE_MIN};
use proptest::prelude::*;

use super::*;

fn images(format: ImageFormat, deliver: Deliver, (width, height): (u32, u32)) -> Images {
    Images { count: 1.into(), width, height, format, deliver }
}

/// An image as a file.
fn file(gallery: &Gallery, picture: &Picture) -> Vec<u8> {
    let (mut bytes, mut pieces) = (Vec::new(), 0);
    gallery.put(picture, &mut |piece| {
        bytes.extend_from_slice(piece);
        pieces += 1;
    });
    assert_eq!(bytes.len(), picture.len());
    assert!(pieces <= gallery.pieces(), "{pieces}");
    match gallery.images.deliver {
        Deliver::Url => bytes,
        Deliver::Inline => STANDARD.decode(bytes).unwrap(),
    }
}

/// The size and the pixels of a file.
fn decoded(format: ImageFormat, file: &[u8]) -> ((u32, u32), Vec<u8>) {
    match format {
        ImageFormat::Jpeg => {
            let mut decoder = jpeg_decoder::Decoder::new(file);
            let pixels = decoder.decode().unwrap();
            let info = decoder.info().unwrap();
            assert_eq!(info.pixel_format, jpeg_decoder::PixelFormat::RGB24);
            ((info.width.into(), info.height.into()), pixels)
        }
        ImageFormat::Png => {
            let mut reader = ::png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            // The checksum is behind the pixels.
            reader.finish().unwrap();
            ((info.width, info.height), pixels)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_draw_is_an_image_of_its_size_and_no_two_are_alike(
        width in SIDE_MIN..90, height in prop_oneof![SIDE_MIN..90, 120u32..150],
        png: bool, inline: bool, seed: u64,
        draws in prop::collection::vec(any::<u64>(), 4),
    ) {
        let format = if png { ImageFormat::Png } else { ImageFormat::Jpeg };
        let deliver = if inline { Deliver::Inline } else { Deliver::Url };
        let images = images(format, deliver, (width, height));
        let gallery = Gallery::make(&images, &mut Generator::new(seed)).unwrap();
        prop_assert!(gallery.size() as u64 <= images.prepared_max());
        let (mut names, mut seen) = (HashSet::new(), HashSet::new());
        for bits in draws {
            // The neighbour in each place, too: one part is another.
            let near = (0..gallery.cut.parts).map(|place| bits ^ (1 << (place * gallery.cut.bits)));
            for bits in near.chain([bits]) {
                let picture = gallery.drawn(bits);
                let (size, pixels) = decoded(format, &file(&gallery, &picture));
                prop_assert_eq!(size, (width, height));
                prop_assert_eq!(pixels.len() as u32, width * height * 3);
                prop_assert_eq!(gallery.named(picture.name()).map(|p| p.len()), Some(picture.len()));
                names.insert(picture.name());
                seen.insert(Digest::of(&pixels));
            }
        }
        prop_assert_eq!(seen.len(), names.len());
        let beyond = gallery.names().checked_add(1);
        prop_assert!(beyond.is_none_or(|name| gallery.named(name).is_none()));
    }
}

#[test]
fn the_same_seed_makes_the_same_images_however_they_are_delivered() {
    for format in ImageFormat::ALL {
        let make = |deliver, seed| {
            let images = images(format, deliver, (100, 60));
            let gallery = Gallery::make(&images, &mut Generator::new(seed)).unwrap();
            file(&gallery, &gallery.drawn(0x1234_5678_9abc_def0))
        };
        assert_eq!(make(Deliver::Inline, 1), make(Deliver::Url, 1));
        assert_ne!(make(Deliver::Inline, 1), make(Deliver::Inline, 2));
    }
}

#[test]
fn images_are_about_as_large_as_photographs() {
    for (format, least, most) in [(ImageFormat::Jpeg, 0.15, 0.4), (ImageFormat::Png, 1.5, 2.2)] {
        let images = images(format, Deliver::Url, (512, 384));
        let gallery = Gallery::make(&images, &mut Generator::new(7)).unwrap();
        let share = gallery.drawn(99).len() as f64 / images.pixels() as f64;
        println!("{}: {share:.3} bytes per pixel", format.name());
        assert!((least..most).contains(&share), "{}: {share}", format.name());
        assert!(gallery.size() as u64 <= images.prepared_max());
    }
}

/// The bound that a plan states holds where it is nearest: small parts, and the largest side.
#[test]
fn what_is_prepared_stays_below_what_the_plan_says() {
    for format in ImageFormat::ALL {
        for size in [(16, 16), (16, 130), (SIDE_MAX, 16), (16, SIDE_MAX)] {
            let images = images(format, Deliver::Inline, size);
            let gallery = Gallery::make(&images, &mut Generator::new(3)).unwrap();
            let (held, most) = (gallery.size() as u64, images.prepared_max());
            assert!(held <= most, "{} {size:?}: {held} of {most}", format.name());
        }
    }
}
