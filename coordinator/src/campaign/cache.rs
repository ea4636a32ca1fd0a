//! What prompts share, and so what a cache of prompts may see: a key of a workload.

use common::length::Length;
use common::workload::{CacheMode, GROUPS_MAX, OWN_TOKENS_MIN, SharedPrefix, TOKENS_MAX};

use super::raw::{Collector, Value};
use super::read::{Field, Section};

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
