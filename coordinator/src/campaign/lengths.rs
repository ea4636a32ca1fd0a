//! How long prompts and answers are, and what prompts share: keys of a workload.

use common::length::{Bounds, Length, VALUES_MAX};
use common::workload::{CacheMode, GROUPS_MAX, OWN_TOKENS_MIN, SharedPrefix, TOKENS_MAX};

use super::raw::{Collector, Value};
use super::read::{Field, Section};
use super::text::quoted;

/// Deviations from the middle of a law that has no stated largest value.
const DEVIATIONS: f64 = 4.0;
/// Largest deviation of a logarithm: wider laws are all bounds.
const SIGMA_MAX: f64 = 5.0;

/// How many tokens: a number, or a law to draw them by.
pub(super) fn read_length(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let Value::Table(_) = &field.node.value else {
        return field.count(TOKENS_MAX, c).map(Length::Fixed);
    };
    let section = Section::open(field, &["uniform", "normal", "lognormal", "values"], c)?;
    let laws = ["uniform", "normal", "lognormal", "values"];
    let stated: Vec<&str> = laws.into_iter().filter(|law| section.get(law).is_some()).collect();
    let [law] = stated.as_slice() else {
        let what = "must be a number, or one law: { uniform = [100, 900] }, { normal = { mean = \
                    500, sd = 100 } }, { lognormal = { median = 400, sigma = 0.6 } } or \
                    { values = [100, 500, 2000] }";
        return field.refuse(c, what);
    };
    let law_field = section.get(law)?;
    match *law {
        "uniform" => read_uniform(&law_field, c),
        "normal" => read_normal(&law_field, c),
        "lognormal" => read_lognormal(&law_field, c),
        _ => read_values(&law_field, c),
    }
}

fn read_uniform(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let items = match &field.node.value {
        Value::List(_) => field.items(),
        Value::Table(_)
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime => Vec::new(),
    };
    let [least, most] = items.as_slice() else {
        return field.refuse(c, "must be the smallest and the largest length: [100, 900]");
    };
    let (least, most) = (least.count(TOKENS_MAX, c), most.count(TOKENS_MAX, c));
    let (least, most) = (least?, most?);
    if least > most {
        return field.refuse(c, "must have the smallest length first");
    }
    Some(Length::Uniform { least, most })
}

fn read_normal(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let section = Section::open(field, &["mean", "sd", "min", "max"], c)?;
    let mean = section.need("mean", "say around which length", c);
    let mean = mean.and_then(|field| field.count(TOKENS_MAX, c));
    let sd = section.need("sd", "say how far lengths lie from the mean: sd = 100", c);
    let sd = sd.and_then(|field| field.integer(0..=TOKENS_MAX.into(), c));
    let (mean, sd) = (mean?, u32::try_from(sd?).ok()?);
    let bounds = read_bounds(&section, f64::from(mean) + DEVIATIONS * f64::from(sd), c)?;
    Some(Length::Normal { mean, sd, bounds })
}

fn read_lognormal(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let section = Section::open(field, &["median", "sigma", "min", "max"], c)?;
    let median = section.need("median", "say which length half of all are below", c);
    let median = median.and_then(|field| field.count(TOKENS_MAX, c));
    let hint = "say how far the logarithms lie from each other: sigma = 0.6";
    let sigma = section.need("sigma", hint, c);
    let sigma = sigma.and_then(|field| field.fixed_point(0.0..=SIGMA_MAX, 1000, c));
    let (median, sigma_milli) = (median?, u32::try_from(sigma?).ok()?);
    let top = f64::from(median) * (DEVIATIONS * f64::from(sigma_milli) / 1e3).exp();
    let bounds = read_bounds(&section, top, c)?;
    Some(Length::Lognormal { median, sigma_milli, bounds })
}

/// The bounds of a law, of which `top` is the largest where none is stated.
fn read_bounds(section: &Section<'_>, top: f64, c: &mut Collector<'_>) -> Option<Bounds> {
    let least = match section.get("min") {
        Some(field) => field.count(TOKENS_MAX, c),
        None => Some(1),
    };
    let most = match section.get("max") {
        Some(field) => field.count(TOKENS_MAX, c),
        // A cast of a float saturates.
        None => Some((top.ceil() as u32).min(TOKENS_MAX)),
    };
    let (least, most) = (least?, most?);
    if least > most {
        let blamed = section.get("min").or_else(|| section.get("max"))?;
        return blamed
            .refuse(c, format!("the smallest length, {least}, is above the largest, {most}"));
    }
    Some(Bounds { least, most })
}

fn read_values(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Length> {
    let Value::List(_) = &field.node.value else {
        return field.refuse(c, "must be a list of lengths, each as likely: [100, 500, 2000]");
    };
    let items = field.items();
    if items.is_empty() || items.len() > VALUES_MAX {
        return field.refuse(c, format!("must have 1 to {VALUES_MAX} lengths"));
    }
    let values: Vec<Option<u32>> = items.iter().map(|item| item.count(TOKENS_MAX, c)).collect();
    values.into_iter().collect::<Option<_>>().map(Length::Values)
}

/// What a cache of prompts may see. `input` is how long prompts are.
pub(super) fn read_cache(
    field: &Field<'_>,
    input: Option<&Length>,
    c: &mut Collector<'_>,
) -> Option<CacheMode> {
    const PREFIX: &str = "{ shared_prefix = 400, groups = 4, share = \"100%\" }";
    let Value::Table(_) = &field.node.value else {
        let words = [("cold", Some(CacheMode::Cold)), ("replay", Some(CacheMode::Replay))];
        let shared = [("shared-prefix", None)];
        let words: Vec<_> = words.into_iter().chain(shared).collect();
        let mode = field.word(&words, c)?;
        return mode.or_else(|| field.refuse(c, format!("say how long it is: {PREFIX}")));
    };
    let section = Section::open(field, &["shared_prefix", "groups", "share"], c)?;
    let hint = format!("say how many tokens prompts share: {PREFIX}");
    let prefix = section.need("shared_prefix", &hint, c);
    let tokens = prefix.as_ref().and_then(|field| field.count(TOKENS_MAX, c));
    let groups = match section.get("groups") {
        Some(field) => field.count(GROUPS_MAX, c),
        None => Some(1),
    };
    let share_permille = match section.get("share") {
        Some(field) => read_share(&field, c),
        None => Some(1000),
    };
    let (prefix, tokens, input) = (prefix?, tokens?, input?);
    let least = tokens.saturating_add(OWN_TOKENS_MIN);
    if least > input.least() {
        let what = format!(
            "the shortest prompt has {} tokens, and {OWN_TOKENS_MIN} of each are its own; share at \
             most {}, or make every prompt {least} tokens or longer",
            input.least(),
            input.least().saturating_sub(OWN_TOKENS_MIN)
        );
        return prefix.refuse(c, what);
    }
    let (groups, share_permille) = (groups?, share_permille?);
    Some(CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille }))
}

fn read_share(field: &Field<'_>, c: &mut Collector<'_>) -> Option<u32> {
    let number = field.text(c)?.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    let permille = number.map(|percent: f64| percent * 10.0);
    let permille = permille.filter(|permille| (1.0..=1000.0).contains(permille));
    match permille.filter(|permille| permille.fract() == 0.0) {
        Some(permille) => Some(permille as u32),
        None => field.refuse(c, "must be a percentage from 0.1 to 100 in quotes, such as \"75%\""),
    }
}

/// A length as its key is written.
pub(super) fn length_text(length: &Length) -> String {
    let bounded = |Bounds { least, most }: Bounds| format!("min = {least}, max = {most}");
    match length {
        Length::Fixed(tokens) => tokens.to_string(),
        Length::Uniform { least, most } => format!("{{ uniform = [{least}, {most}] }}"),
        Length::Normal { mean, sd, bounds } => {
            format!("{{ normal = {{ mean = {mean}, sd = {sd}, {} }} }}", bounded(*bounds))
        }
        Length::Lognormal { median, sigma_milli, bounds } => {
            let sigma = f64::from(*sigma_milli) / 1e3;
            let law = format!("median = {median}, sigma = {sigma:?}, {}", bounded(*bounds));
            format!("{{ lognormal = {{ {law} }} }}")
        }
        Length::Values(values) => {
            let values: Vec<String> = values.iter().map(u32::to_string).collect();
            format!("{{ values = [{}] }}", values.join(", "))
        }
        // Of a mix, which is written by the names of its workloads.
        Length::Mixed(_) => quoted(&length.to_string()),
    }
}

/// A cache mode as its key is written.
pub(super) fn cache_text(cache: CacheMode) -> String {
    match cache {
        CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille }) => {
            let share = f64::from(share_permille) / 10.0;
            format!("{{ shared_prefix = {tokens}, groups = {groups}, share = \"{share}%\" }}")
        }
        CacheMode::Cold | CacheMode::Replay => format!("\"{}\"", cache.name()),
    }
}
