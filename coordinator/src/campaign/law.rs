//! Numbers that are drawn for each request: one number, or the law that it is drawn by, as a key of
//! a workload. What they are numbers of is a [`Unit`].

use std::time::Duration;

use common::duration::format_duration;
use common::images::IMAGES_MAX;
use common::length::{Bounds, Length, VALUES_MAX};
use common::workload::{THINK_MS_MAX, TOKENS_MAX};

use super::raw::{Collector, Value};
use super::read::{Field, Section};
use super::text::quoted;

/// Deviations from the middle of a law that has no stated largest value.
const DEVIATIONS: f64 = 4.0;
/// Largest deviation of a logarithm: wider laws are all bounds.
const SIGMA_MAX: f64 = 5.0;
const LAWS: [&str; 4] = ["uniform", "normal", "lognormal", "values"];

/// What a law draws: how it is written, and what it is called when it is wrong.
pub(super) struct Unit {
    /// One number, at least as large as the one given.
    number: fn(&Field<'_>, u32, &mut Collector<'_>) -> Option<u32>,
    written: fn(u32) -> String,
    most: u32,
    /// What a single number is.
    single: &'static str,
    one: &'static str,
    many: &'static str,
    smallest: &'static str,
    largest: &'static str,
    example: Example,
}

/// Laws as they may be written.
struct Example {
    uniform: &'static str,
    mean: &'static str,
    sd: &'static str,
    median: &'static str,
    values: &'static str,
}

/// How many tokens a text has.
pub(super) const TOKENS: Unit = Unit {
    number: |field, least, c| {
        u32::try_from(field.integer(least.into()..=TOKENS_MAX.into(), c)?).ok()
    },
    written: |tokens| tokens.to_string(),
    most: TOKENS_MAX,
    single: "a number",
    one: "length",
    many: "lengths",
    smallest: "smallest",
    largest: "largest",
    example: Example {
        uniform: "[100, 900]",
        mean: "500",
        sd: "100",
        median: "400",
        values: "[100, 500, 2000]",
    },
};

/// How many images a request has.
pub(super) const IMAGES: Unit = Unit {
    number: |field, least, c| {
        u32::try_from(field.integer(least.into()..=IMAGES_MAX.into(), c)?).ok()
    },
    written: |images| images.to_string(),
    most: IMAGES_MAX,
    single: "a number",
    one: "number",
    many: "numbers",
    smallest: "smallest",
    largest: "largest",
    example: Example { uniform: "[1, 5]", mean: "2", sd: "1", median: "2", values: "[1, 2, 5]" },
};

/// How long something takes, in milliseconds.
pub(super) const TIME: Unit = Unit {
    number: |field, least, c| {
        let duration = field.duration(c)?;
        let ms = u32::try_from(duration.as_millis()).ok();
        let ms = ms.filter(|ms| (least..=THINK_MS_MAX).contains(ms));
        let whole = ms.filter(|ms| Duration::from_millis((*ms).into()) == duration);
        let right = || format!("must be {least}ms to 1h, in whole milliseconds");
        whole.or_else(|| field.refuse(c, right()))
    },
    written: |ms| quoted(&format_duration(Duration::from_millis(ms.into()))),
    most: THINK_MS_MAX,
    single: "a duration",
    one: "time",
    many: "times",
    smallest: "shortest",
    largest: "longest",
    example: Example {
        uniform: "[\"1s\", \"5s\"]",
        mean: "\"3s\"",
        sd: "\"1s\"",
        median: "\"2s\"",
        values: "[\"1s\", \"4s\"]",
    },
};

impl Unit {
    /// One number, or the law that numbers are drawn by.
    pub(super) fn read(&self, field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
        let Value::Table(_) = &field.node.value else {
            return (self.number)(field, 1, c).map(Length::Fixed);
        };
        let section = Section::open(field, &LAWS, c)?;
        let stated: Vec<(&str, Field<'_>)> =
            LAWS.into_iter().filter_map(|law| Some((law, section.get(law)?))).collect();
        match stated.as_slice() {
            [("uniform", law)] => self.read_uniform(law, c),
            [("normal", law)] => self.read_normal(law, c),
            [("lognormal", law)] => self.read_lognormal(law, c),
            [("values", law)] => self.read_values(law, c),
            [..] => {
                let Example { uniform, mean, sd, median, values } = self.example;
                let what = format!(
                    "must be {}, or one law: {{ uniform = {uniform} }}, {{ normal = {{ mean = \
                     {mean}, sd = {sd} }} }}, {{ lognormal = {{ median = {median}, sigma = 0.6 }} \
                     }} or {{ values = {values} }}",
                    self.single
                );
                field.refuse(c, what)
            }
        }
    }

    /// A number or a law as its key is written.
    pub(super) fn text(&self, length: &Length) -> String {
        let written = self.written;
        let bounded = |Bounds { least, most }: Bounds| {
            format!("min = {}, max = {}", written(least), written(most))
        };
        match length {
            Length::Fixed(number) => written(*number),
            Length::Uniform { least, most } => {
                format!("{{ uniform = [{}, {}] }}", written(*least), written(*most))
            }
            Length::Normal { mean, sd, bounds } => {
                let law = format!("mean = {}, sd = {}", written(*mean), written(*sd));
                format!("{{ normal = {{ {law}, {} }} }}", bounded(*bounds))
            }
            Length::Lognormal { median, sigma_milli, bounds } => {
                let sigma = f64::from(*sigma_milli) / 1e3;
                let law = format!("median = {}, sigma = {sigma:?}", written(*median));
                format!("{{ lognormal = {{ {law}, {} }} }}", bounded(*bounds))
            }
            Length::Values(values) => {
                let values: Vec<String> = values.iter().map(|value| written(*value)).collect();
                format!("{{ values = [{}] }}", values.join(", "))
            }
            // Of a mix, which is written by the names of its workloads.
            Length::Mixed(_) => quoted(&length.to_string()),
        }
    }

    fn read_uniform(&self, field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
        let items = listed(field);
        let [least, most] = items.as_slice() else {
            let what = format!(
                "must be the {} and the {} {}: {}",
                self.smallest, self.largest, self.one, self.example.uniform
            );
            return field.refuse(c, what);
        };
        let (least, most) = ((self.number)(least, 1, c), (self.number)(most, 1, c));
        let (least, most) = (least?, most?);
        if least > most {
            return field.refuse(c, format!("must have the {} {} first", self.smallest, self.one));
        }
        Some(Length::Uniform { least, most })
    }

    fn read_normal(&self, field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
        let section = Section::open(field, &["mean", "sd", "min", "max"], c)?;
        let around = format!("say around which {}: mean = {}", self.one, self.example.mean);
        let mean = section.need("mean", &around, c);
        let mean = mean.and_then(|field| (self.number)(&field, 1, c));
        let far = format!("say how far {} lie from the mean: sd = {}", self.many, self.example.sd);
        let sd = section.need("sd", &far, c);
        let sd = sd.and_then(|field| (self.number)(&field, 0, c));
        let (mean, sd) = (mean?, sd?);
        let bounds = self.bounds(&section, f64::from(mean) + DEVIATIONS * f64::from(sd), c)?;
        Some(Length::Normal { mean, sd, bounds })
    }

    fn read_lognormal(&self, field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
        let section = Section::open(field, &["median", "sigma", "min", "max"], c)?;
        let half = format!(
            "say which {} half of all are below: median = {}",
            self.one, self.example.median
        );
        let median = section.need("median", &half, c);
        let median = median.and_then(|field| (self.number)(&field, 1, c));
        let far = "say how far the logarithms lie from each other: sigma = 0.6";
        let sigma = section.need("sigma", far, c);
        let sigma = sigma.and_then(|field| field.fixed_point(0.0..=SIGMA_MAX, 1000, c));
        let (median, sigma_milli) = (median?, u32::try_from(sigma?).ok()?);
        let top = f64::from(median) * (DEVIATIONS * f64::from(sigma_milli) / 1e3).exp();
        let bounds = self.bounds(&section, top, c)?;
        Some(Length::Lognormal { median, sigma_milli, bounds })
    }

    /// The bounds of a law, of which `top` is the largest where none is stated.
    fn bounds(&self, section: &Section<'_>, top: f64, c: &mut Collector<'_>) -> Option<Bounds> {
        let least = match section.get("min") {
            Some(field) => (self.number)(&field, 1, c),
            None => Some(1),
        };
        let most = match section.get("max") {
            Some(field) => (self.number)(&field, 1, c),
            // A cast of a float saturates.
            None => Some((top.ceil() as u32).min(self.most)),
        };
        let (least, most) = (least?, most?);
        if least > most {
            let blamed = section.get("min").or_else(|| section.get("max"))?;
            let what = format!(
                "the {} {}, {}, is above the {}, {}",
                self.smallest,
                self.one,
                (self.written)(least),
                self.largest,
                (self.written)(most)
            );
            return blamed.refuse(c, what);
        }
        Some(Bounds { least, most })
    }

    fn read_values(&self, field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
        let Value::List(_) = &field.node.value else {
            let what =
                format!("must be a list of {}, each as likely: {}", self.many, self.example.values);
            return field.refuse(c, what);
        };
        let items = field.items();
        if items.is_empty() || items.len() > VALUES_MAX {
            return field.refuse(c, format!("must have 1 to {VALUES_MAX} {}", self.many));
        }
        let values: Vec<Option<u32>> = items.iter().map(|item| (self.number)(item, 1, c)).collect();
        values.into_iter().collect::<Option<_>>().map(Length::Values)
    }
}

/// The items of a list, and none of what is no list.
fn listed<'t>(field: &Field<'t>) -> Vec<Field<'t>> {
    match &field.node.value {
        Value::List(_) => field.items(),
        Value::Table(_)
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime => Vec::new(),
    }
}
