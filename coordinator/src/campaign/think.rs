//! How long users think about an answer: a key of a workload, a duration or a law of durations.

use std::time::Duration;

use common::duration::format_duration;
use common::length::{Bounds, Length, VALUES_MAX};
use common::workload::{THINK_MS_MAX, Workload};

use super::raw::{Collector, Value};
use super::read::{Field, Section};

/// Deviations from the middle of a law that has no stated longest value.
const DEVIATIONS: f64 = 4.0;
/// Largest deviation of a logarithm.
const SIGMA_MAX: f64 = 5.0;
const LAWS: [&str; 4] = ["uniform", "normal", "lognormal", "values"];

/// How long users think, in milliseconds.
pub(super) fn read_think(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let Value::Table(_) = &field.node.value else {
        return read_ms(field, c).map(Length::Fixed);
    };
    let section = Section::open(field, &LAWS, c)?;
    let stated: Vec<(&str, Field<'_>)> =
        LAWS.into_iter().filter_map(|law| Some((law, section.get(law)?))).collect();
    match stated.as_slice() {
        [("uniform", law)] => read_uniform(law, c),
        [("normal", law)] => read_normal(law, c),
        [("lognormal", law)] => read_lognormal(law, c),
        [("values", law)] => read_values(law, c),
        [..] => {
            let what = "must be a duration, or one law: { uniform = [\"1s\", \"5s\"] }, { normal = \
                        { mean = \"3s\", sd = \"1s\" } }, { lognormal = { median = \"2s\", sigma = \
                        0.6 } } or { values = [\"1s\", \"4s\"] }";
            field.refuse(c, what)
        }
    }
}

fn read_ms(field: &Field<'_>, c: &mut Collector<'_>) -> Option<u32> {
    let duration = field.wait(c)?;
    let ms = u32::try_from(duration.as_millis()).ok().filter(|ms| (1..=THINK_MS_MAX).contains(ms));
    let whole = ms.filter(|ms| Duration::from_millis((*ms).into()) == duration);
    whole.or_else(|| field.refuse(c, "must be 1ms to 1h, in whole milliseconds"))
}

fn read_uniform(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let items = field.items();
    let [least, most] = items.as_slice() else {
        return field.refuse(c, "must be the shortest and the longest: [\"1s\", \"5s\"]");
    };
    let (least, most) = (read_ms(least, c), read_ms(most, c));
    let (least, most) = (least?, most?);
    if least > most {
        return field.refuse(c, "must have the shortest first");
    }
    Some(Length::Uniform { least, most })
}

fn read_normal(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let section = Section::open(field, &["mean", "sd", "min", "max"], c)?;
    let mean = section.need("mean", "say around which duration", c);
    let mean = mean.and_then(|field| read_ms(&field, c));
    let sd = section.need("sd", "say how far durations lie from the mean", c);
    let sd = sd.and_then(|field| read_ms(&field, c));
    let (mean, sd) = (mean?, sd?);
    let bounds = read_bounds(&section, f64::from(mean) + DEVIATIONS * f64::from(sd), c)?;
    Some(Length::Normal { mean, sd, bounds })
}

fn read_lognormal(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let section = Section::open(field, &["median", "sigma", "min", "max"], c)?;
    let median = section.need("median", "say which duration half of all are below", c);
    let median = median.and_then(|field| read_ms(&field, c));
    let hint = "say how far the logarithms lie from each other: sigma = 0.6";
    let sigma = section.need("sigma", hint, c);
    let sigma = sigma.and_then(|field| field.fixed_point(0.0..=SIGMA_MAX, 1000, c));
    let (median, sigma_milli) = (median?, u32::try_from(sigma?).ok()?);
    let top = f64::from(median) * (DEVIATIONS * f64::from(sigma_milli) / 1e3).exp();
    let bounds = read_bounds(&section, top, c)?;
    Some(Length::Lognormal { median, sigma_milli, bounds })
}

/// The bounds of a law, of which `top` is the longest where none is stated.
fn read_bounds(section: &Section<'_>, top: f64, c: &mut Collector<'_>) -> Option<Bounds> {
    let least = match section.get("min") {
        Some(field) => read_ms(&field, c),
        None => Some(1),
    };
    let most = match section.get("max") {
        Some(field) => read_ms(&field, c),
        // A cast of a float saturates.
        None => Some((top.ceil() as u32).min(THINK_MS_MAX)),
    };
    let (least, most) = (least?, most?);
    if least > most {
        let blamed = section.get("min").or_else(|| section.get("max"))?;
        return blamed.refuse(c, "the shortest is above the longest");
    }
    Some(Bounds { least, most })
}

fn read_values(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let items = field.items();
    if items.is_empty() || items.len() > VALUES_MAX {
        return field.refuse(c, format!("must have 1 to {VALUES_MAX} durations"));
    }
    let values: Vec<Option<u32>> = items.iter().map(|item| read_ms(item, c)).collect();
    values.into_iter().collect::<Option<_>>().map(Length::Values)
}

/// Refuses a rate of requests of users who think: there are none.
pub(super) fn refuse_thinking(
    rate: &Field<'_>,
    workload: Option<&Workload>,
    c: &mut Collector<'_>,
) -> Option<()> {
    match workload.filter(|workload| workload.think_ms.is_some()) {
        None => Some(()),
        Some(Workload { name, .. }) => rate.refuse(
            c,
            format!(
                "requests at a rate have no users, and those of workload {name} think between \
                 requests; leave think_time out, or say how many users there are"
            ),
        ),
    }
}

/// The key as it is written.
pub(super) fn think_text(think_ms: &Length) -> String {
    let ms = |ms: &u32| format!("\"{}\"", format_duration(Duration::from_millis((*ms).into())));
    let bounded =
        |Bounds { least, most }: &Bounds| format!("min = {}, max = {}", ms(least), ms(most));
    match think_ms {
        Length::Fixed(fixed) => ms(fixed),
        Length::Uniform { least, most } => format!("{{ uniform = [{}, {}] }}", ms(least), ms(most)),
        Length::Normal { mean, sd, bounds } => {
            format!(
                "{{ normal = {{ mean = {}, sd = {}, {} }} }}",
                ms(mean),
                ms(sd),
                bounded(bounds)
            )
        }
        Length::Lognormal { median, sigma_milli, bounds } => {
            let sigma = f64::from(*sigma_milli) / 1e3;
            let law = format!("median = {}, sigma = {sigma:?}, {}", ms(median), bounded(bounds));
            format!("{{ lognormal = {{ {law} }} }}")
        }
        // Of a mix, and users of a mix do not think.
        Length::Mixed(_) => format!("\"{think_ms}\""),
        Length::Values(values) => {
            let values: Vec<String> = values.iter().map(ms).collect();
            format!("{{ values = [{}] }}", values.join(", "))
        }
    }
}
