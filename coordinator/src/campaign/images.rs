//! Images in requests: a key of a workload.

use common::images::{Deliver, ImageFormat, Images, SIDE_MAX, SIDE_MIN};
use common::length::Length;
use common::target::Endpoint;

use super::law::IMAGES;
use super::raw::Collector;
use super::read::{Field, Section};

/// Width and height where none is stated: with 28 pixels on the side of a token, as vision models of
/// today have them, such an image is 1,369 tokens.
const SIDE: u32 = 1024;

/// The images of a workload.
pub(super) fn read_images(
    field: &Field<'_>,
    endpoint: Endpoint,
    c: &mut Collector<'_>,
) -> Option<Images> {
    if !endpoint.takes_images() {
        let what = format!(
            "{} takes no images; leave images out, or load the server with target.endpoint chat, \
             responses or messages",
            endpoint.name()
        );
        return field.refuse_unseen(c, &what);
    }
    let section = Section::open(field, &["count", "width", "height", "format", "deliver"], c)?;
    let count = match section.get("count") {
        Some(field) => IMAGES.read(&field, c),
        None => Some(Length::Fixed(1)),
    };
    let mut side = |key: &str| match section.get(key) {
        Some(field) => {
            let pixels = field.integer(SIDE_MIN.into()..=SIDE_MAX.into(), c)?;
            u32::try_from(pixels).ok()
        }
        None => Some(SIDE),
    };
    let (width, height) = (side("width"), side("height"));
    let format = match section.get("format") {
        Some(field) => field.word(&ImageFormat::ALL.map(|format| (format.name(), format)), c),
        None => Some(ImageFormat::Jpeg),
    };
    let deliver = match section.get("deliver") {
        Some(field) => field.word(&Deliver::ALL.map(|deliver| (deliver.name(), deliver)), c),
        None => Some(Deliver::Inline),
    };
    Some(Images {
        count: count?,
        width: width?,
        height: height?,
        format: format?,
        deliver: deliver?,
    })
}

/// Images as their key is written.
pub(super) fn images_text(images: &Images) -> String {
    let Images { count, width, height, format, deliver } = images;
    format!(
        "{{ count = {}, width = {width}, height = {height}, format = \"{}\", deliver = \"{}\" }}",
        IMAGES.text(count),
        format.name(),
        deliver.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::{Campaign, Overlay, Source, resolve};

    fn read(endpoint: &str, images: &str) -> Result<Campaign, String> {
        let text = format!(
            "[target]\nbase_urls = [\"http://h\"]\nmodel = \"m\"\nendpoint = \"{endpoint}\"\n\
             [workloads.w]\ninput_tokens = 100\noutput_tokens = 20\nimages = {images}\n\
             [phases]\nscaling = {{ users = 2, workload = \"w\" }}\n"
        );
        let source = Source { name: "c.toml", text: &text };
        resolve(Some(source), &Overlay::default()).map_err(|problems| problems.to_string())
    }

    fn images(endpoint: &str, images: &str) -> Images {
        let campaign = read(endpoint, images).unwrap();
        let again = campaign.to_toml();
        let source = Source { name: "c.toml", text: &again };
        let again = resolve(Some(source), &Overlay::default()).unwrap();
        assert_eq!(again.to_toml(), campaign.to_toml());
        let workload = |campaign: Campaign| campaign.phases[0].levels[0].workload.clone();
        let workload = (workload(campaign), workload(again));
        assert_eq!(workload.0, workload.1);
        workload.0.images.unwrap()
    }

    #[test]
    fn images_are_read_with_defaults_and_written_back() {
        let plain = images("chat", "{}");
        assert_eq!(plain.to_string(), "1 of 1024 x 1024, jpeg, inline");
        let full = "{ count = { uniform = [1, 5] }, width = 640, height = 16, format = \"png\", \
                    deliver = \"url\" }";
        assert_eq!(
            images("messages", full).to_string(),
            "1 to 5, each as likely of 640 x 16, png, by URL"
        );
        let law = images("responses", "{ count = { normal = { mean = 3, sd = 4 } } }");
        assert_eq!((law.count.least(), law.count.most()), (1, 5));
    }

    #[test]
    fn what_cannot_be_made_or_sent_is_refused_by_its_key() {
        for (endpoint, images, why) in [
            ("completions", "{}", "workloads.w.images"),
            ("chat", "{ count = 0 }", "workloads.w.images.count"),
            ("chat", "{ count = 6 }", "workloads.w.images.count"),
            ("chat", "{ count = { uniform = [1, 6] } }", "count.uniform.1 = 6: must be an integer"),
            ("chat", "{ count = { values = [9] } }", "count.values.0 = 9: must be an integer"),
            (
                "chat",
                "{ count = { normal = { mean = 2, sd = 1, min = 6 } } }",
                "normal.min = 6: must be",
            ),
            ("chat", "{ width = 15 }", "workloads.w.images.width"),
            ("chat", "{ height = 4097 }", "workloads.w.images.height"),
            ("chat", "{ format = \"webp\" }", "workloads.w.images.format"),
            ("chat", "{ deliver = \"uri\" }", "workloads.w.images.deliver"),
            ("chat", "{ size = 3 }", "images.size"),
            ("chat", "3", "workloads.w.images"),
        ] {
            let problems = read(endpoint, images).unwrap_err();
            assert!(problems.contains(why), "{images}: {problems}");
        }
    }
}
