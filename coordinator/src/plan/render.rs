//! The plan as a person reads it and as a program does. It says what is known before a run and
//! never guesses how fast the server will be.

use std::time::Duration;

use common::duration::format_duration;
use common::text::CHARS_PER_TOKEN;

use super::data::{DataView, ThinkView};
use super::mixes::mixed_lines;
use super::prompts::{self, are_characters};
use super::table::{Side, Table};
use super::view::{
    LevelView, SearchView, Searched, TokensView, View, WindowView, longest, windows_total,
};
use super::{Plan, PlannedSearch, images};
use crate::campaign::{
    Ablation, Campaign, KeyRef, Order, ResetCache, clip, quantile_name, unusual,
};
use crate::report::wrap;
use crate::search::Goal;
use crate::stats::samples_min;

/// A table of the levels, totals and what is known about time, and, for more than one agent, the
/// shares. `agents` is `None` while the number of agents is not known.
pub fn text(campaign: &Campaign, plan: &Plan, agents: Option<u32>) -> String {
    let searched = Searched::of(plan);
    let view = View::of(campaign, plan, searched.as_ref(), agents);
    let mut lines = heading(campaign);
    if !view.facts.is_empty() {
        lines.push(format!("facts     {}; asked before and after", view.facts.join(", ")));
    }
    lines.extend(images::lines(plan));
    lines.extend(view.lint.iter().map(|finding| {
        let wrapped = wrap("warning   ", &finding.text(), 100);
        wrapped.trim_end().to_owned()
    }));
    lines.extend(view.data.iter().flat_map(DataView::lines));
    lines.extend(view.think.iter().map(ThinkView::line));
    lines.push(String::new());
    if !plan.levels.is_empty() {
        lines.extend(level_table(plan, &view));
        lines.push(String::new());
        lines.extend(totals(campaign, plan, &view));
        lines.push(String::new());
    }
    if let (Some(search), Some(shown)) = (&plan.search, &view.search) {
        lines.extend(search_lines(search, shown));
        lines.push(String::new());
    }
    if !plan.levels.is_empty() {
        lines.extend(share_table(&view));
    }
    lines.join("\n") + "\n"
}

/// The same as JSON.
pub fn json(campaign: &Campaign, plan: &Plan, agents: Option<u32>) -> String {
    let searched = Searched::of(plan);
    let view = View::of(campaign, plan, searched.as_ref(), agents);
    // Strings and numbers only: writing cannot fail.
    serde_json::to_string_pretty(&view).unwrap_or_default() + "\n"
}

fn heading(campaign: &Campaign) -> Vec<String> {
    let target = &campaign.target;
    let key = match &campaign.api_key {
        None => "no API key".to_owned(),
        Some(KeyRef::Env(variable)) => format!("API key from the variable {variable}"),
        Some(KeyRef::File(path)) => {
            format!("API key from the file {}", clip(&path.to_string_lossy()))
        }
    };
    let answers = if target.stream { "streamed" } else { "not streamed" };
    let more: String = unusual(campaign).iter().map(|words| format!(", {}", clip(words))).collect();
    let mut lines = vec![
        format!(
            "campaign  {} (mode {}, tier {}, seed {})",
            campaign.name,
            campaign.mode.name(),
            campaign.tier.name(),
            campaign.seed.0
        ),
        format!("target    {} ({}, {answers}, {key}{more})", target.urls(), target.endpoint.name()),
        format!("model     {}", target.model),
    ];
    lines.extend(mixed_lines(campaign));
    let judging = campaign.judging;
    if !judging.slo.is_empty() {
        let slo = judging.slo;
        let objectives = [("ttft", slo.ttft), ("tpot", slo.tpot), ("e2e", slo.e2e)];
        let shown = objectives.iter().filter_map(|(name, objective)| {
            Some(format!("{name} {}", format_duration((*objective)?)))
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        lines.push(format!("slo       {shown}; at {}", quantile_name(judging.quantile)));
    }
    let hardware = judging.hardware;
    let facts = [
        hardware.gpus.map(|gpus| format!("{gpus} GPUs")),
        hardware.active_params_b.map(|params| format!("{params} B parameters active")),
        hardware.watts.map(|watts| format!("{watts} W")),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    if !facts.is_empty() {
        lines.push(format!("hardware  {}", facts.join(", ")));
    }
    lines.extend(prompts::lines(campaign));
    lines.extend(repeats_line(campaign));
    lines.extend(ablation_lines(campaign));
    lines
}

/// Which configurations are compared, and in which order they are started.
fn ablation_lines(campaign: &Campaign) -> Vec<String> {
    let Some(Ablation { base, new, restarts, aa_restarts }) = &campaign.ablation else {
        return Vec::new();
    };
    let what = format!("ablation  {new} (NEW) against {base} (BASE)");
    let starts = format!("{restarts} starts of each, in turn");
    match Plan::after_aa(campaign) {
        None => vec![what, format!("starts    {starts}; no A/A")],
        Some(follow) => vec![
            what,
            format!(
                "starts    {aa_restarts} and {aa_restarts} of {base} as A/A, below; if those show \
                 no difference,"
            ),
            format!("          {starts}: {} levels more", follow.len()),
        ],
    }
}

/// How often the levels are run; nothing where that is once.
fn repeats_line(campaign: &Campaign) -> Option<String> {
    let repeats = campaign.repeats;
    let mut parts = vec![match repeats.until {
        None => repeats.count.to_string(),
        Some(until) => format!(
            "{} to {}, until the 95 % interval of total tok/s is within {} % of its mean",
            until.least, repeats.count, until.half_width_percent
        ),
    }];
    match repeats.order {
        Order::AsWritten => {}
        Order::Mirrored => parts.push("every second one backwards".to_owned()),
        Order::Random => parts.push("each in an order of its own".to_owned()),
    }
    if repeats.restart_server {
        parts.push("the server restarted before each".to_owned());
    }
    match repeats.reset_cache {
        ResetCache::Never => {}
        ResetCache::Repeat => parts.push("its cache emptied before each".to_owned()),
        ResetCache::Level => parts.push("its cache emptied before each level".to_owned()),
    }
    let once = repeats.count == 1 && parts.len() == 1;
    (!once).then(|| format!("repeats   {}", parts.join("; ")))
}

fn level_name(level: &LevelView<'_>) -> String {
    let label = short(level.label);
    match (level.arm, level.repeat) {
        (Some(arm), repeat) => format!("{label} {} {}", arm.title(), repeat + 1),
        (None, 0) => label,
        (None, repeat) => format!("{label} #{}", repeat + 1),
    }
}

fn level_table(plan: &Plan, view: &View<'_>) -> Vec<String> {
    let waves = view.levels.iter().any(|level| level.waves.is_some());
    let windows = view.levels.iter().any(|level| level.window.is_some());
    // Columns that no level has anything for are left out.
    let columns = [
        ("phase", Side::Left, true),
        ("level", Side::Left, true),
        ("users", Side::Right, true),
        ("requests", Side::Right, true),
        ("waves", Side::Right, waves),
        ("last wave", Side::Right, waves),
        ("window", Side::Right, windows),
        ("wants", Side::Right, windows),
        ("in", Side::Right, true),
        ("out", Side::Right, true),
        ("in flight", Side::Right, true),
        ("pause", Side::Right, true),
    ];
    let shown = columns.iter().filter(|(_, _, shown)| *shown);
    let titles: Vec<(&str, Side)> = shown.map(|(title, side, _)| (*title, *side)).collect();
    let mut table = Table::new(&titles);
    for (level, shown) in plan.measured().zip(&view.levels) {
        let cells = [
            shown.phase.to_owned(),
            level_name(shown),
            or_dash(shown.users),
            requests(shown),
            or_dash(shown.waves),
            or_dash(shown.last_wave_fill.map(|fill| format!("{:.0}%", fill * 100.0))),
            or_dash(shown.window.map(window)),
            or_dash(shown.window.and_then(|window| window.requests)),
            shown.input_tokens.to_string(),
            format!("{}{}", if shown.forced_length { "" } else { "<=" }, shown.output_tokens),
            in_flight(shown),
            duration(level.cooldown),
        ];
        let cells = cells.into_iter().zip(&columns).filter(|(_, (_, _, shown))| *shown);
        table.row(cells.map(|(cell, _)| cell).collect());
        if let Some(why) = level.capped() {
            table.note(why);
        }
        if let Some(why) = starved(shown) {
            table.note(why);
        }
    }
    table.lines()
}

fn requests(level: &LevelView<'_>) -> String {
    match (level.requests, level.requests_expected) {
        (Some(requests), _) => requests.to_string(),
        (None, Some(expected)) => {
            format!("~{}", range([expected.least, expected.most].into_iter()))
        }
        (None, None) => "-".to_owned(),
    }
}

fn in_flight(level: &LevelView<'_>) -> String {
    match level.users {
        Some(_) => level.in_flight_max.to_string(),
        None => format!("<={}", level.in_flight_max),
    }
}

fn window(window: WindowView) -> String {
    let length = Duration::from_secs_f64;
    window_range(length(window.least_s), length(window.most_s))
}

fn window_range(least: Duration, most: Duration) -> String {
    let (least, most) = (duration(least), duration(most));
    if least == most { most } else { format!("{least} to {most}") }
}

/// Why a window ends before it has the requests that it waits for.
fn starved(level: &LevelView<'_>) -> Option<String> {
    let (wanted, expected) = (level.window?.requests?, level.requests_expected?);
    (expected.most < wanted)
        .then(|| format!("about {} of {wanted} wanted requests arrive", expected.most))
}

fn totals(campaign: &Campaign, plan: &Plan, view: &View<'_>) -> Vec<String> {
    let totals = &view.totals;
    let timeouts = campaign.target.timeouts;
    let levels = counted(totals.levels as u64, "level");
    let mut lines = Vec::new();
    match (totals.requests, totals.input_tokens, totals.output_tokens) {
        (Some(requests), Some(input), Some(output)) => {
            let forced = view.levels.iter().all(|level| level.forced_length);
            let at_most = if forced { "" } else { "at most " };
            lines.push(format!("{levels}, {}", counted(requests, "request")));
            let is_drawn = |level: &LevelView<'_>| {
                matches!(level.input_tokens, TokensView::Drawn { .. })
                    || matches!(level.output_tokens, TokensView::Drawn { .. })
            };
            let about = if view.levels.iter().any(is_drawn) { "about " } else { "" };
            let each = format!(" (at {CHARS_PER_TOKEN} characters each)");
            let each = if are_characters(campaign) { each } else { String::new() };
            lines.push(format!(
                "{about}{input} input tokens{each} and \
                 {at_most}{output} output tokens asked for"
            ));
        }
        _ if totals.windows == totals.levels => lines.push(format!(
            "{levels}, all measured by a window: requests and tokens are known only by running"
        )),
        _ => lines.push(format!(
            "{levels}, {} measured by a window; {} counted, the others and all tokens are known \
             only by running",
            totals.windows,
            counted(totals.counted_requests, "request"),
        )),
    }
    if totals.capped_levels > 0 {
        lines.push(format!(
            "{} with fewer requests than users: the users can never all be in flight",
            counted(totals.capped_levels as u64, "level")
        ));
    }
    if totals.uncertified_levels > 0 {
        lines.push(format!(
            "{} with fewer than the {} requests that tell whether the objectives are met at {}",
            counted(totals.uncertified_levels as u64, "level"),
            samples_min(campaign.judging.quantile).unwrap_or(u64::MAX),
            quantile_name(campaign.judging.quantile),
        ));
    }
    if totals.windows > 0 {
        let (least, most) = windows_total(plan);
        let lasting = window_range(least, most);
        lines.push(format!("windows: {lasting}, and before each the rise, after it the drain"));
    }
    lines.push(format!(
        "pauses between levels: {}; time of the requests: known only by running",
        duration(plan.cooldown_total())
    ));
    for proof in &view.client_proof {
        lines.push(format!(
            "{}: {} users of the agents' own simulators, {} tokens an answer, measured for {} s",
            proof.label, proof.users, proof.output_tokens, proof.window_s
        ));
    }
    if let Some(longest) = longest(campaign, plan) {
        lines.push(format!(
            "bound: {}, were every request to use up its timeouts (connect {} + total {})",
            duration(longest),
            duration(timeouts.connect),
            duration(timeouts.total)
        ));
    }
    lines
}

/// What is known of a search: which levels it runs is found by running.
fn search_lines(search: &PlannedSearch, shown: &SearchView<'_>) -> Vec<String> {
    let spec = search.spec();
    let wanted = match spec.goal {
        Goal::Saturation => "the fewest users that bring 95 % of the highest rate".to_owned(),
        Goal::Objective if search.is_open() => {
            "the highest rate that meets the objectives".to_owned()
        }
        Goal::Objective => "the most users that meet the objectives".to_owned(),
    };
    let level = &shown.first;
    let out = if level.forced_length { "" } else { "<=" };
    let mut each = format!(
        "each with {} tokens in, {out}{} out, pause {}",
        level.input_tokens,
        level.output_tokens,
        duration(search.first().cooldown),
    );
    if let (Some(first), Some(last)) = (level.window, shown.last_window) {
        let length = Duration::from_secs_f64;
        let least = length(first.least_s.min(last.least_s));
        let most = length(first.most_s.max(last.most_s));
        each.push_str(&format!(", window {}", window_range(least, most)));
        if let (Some(first), Some(last)) = (first.requests, last.requests) {
            each.push_str(&format!(" for {} requests", range([first, last].into_iter())));
        }
    }
    let bounds = format!(
        "{} to {}, at most {} levels within {}, {} at the answer",
        search.value(spec.start),
        search.words(spec.max_load),
        shown.levels_max,
        duration(spec.budget),
        counted(shown.repeats.into(), "run"),
    );
    [("search    ", format!("in {}: {wanted}", level.phase)), ("", bounds), ("", each)]
        .map(|(title, text)| format!("{title:10}{text}"))
        .into()
}

fn share_table(view: &View<'_>) -> Vec<String> {
    match view.agents {
        None => return vec!["shares: known when the agents are found".to_owned()],
        Some(0 | 1) => return vec!["shares: one agent does all".to_owned()],
        Some(_) => {}
    }
    let mut table = Table::new(&[
        ("phase", Side::Left),
        ("level", Side::Left),
        ("users per agent", Side::Right),
        ("requests per agent", Side::Right),
    ]);
    for level in &view.levels {
        let users = range(level.shares.iter().map(|share| share.users.into()));
        let counted = level.requests.is_some();
        let requests = || range(level.shares.iter().filter_map(|share| share.requests));
        table.row(vec![
            level.phase.to_owned(),
            short(level.label),
            if level.users.is_some() { users } else { format!("room for {users}") },
            or_dash(counted.then(requests)),
        ]);
    }
    let mut lines = vec![format!("shares over {} agents", view.agents.unwrap_or(0))];
    lines.extend(table.lines());
    lines
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// So many of a thing whose name takes an s.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// A number of bytes, in the unit that suits it.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// The least and the most, once if they are the same.
fn range(values: impl Iterator<Item = u64> + Clone) -> String {
    let least = values.clone().min().unwrap_or(0);
    let most = values.max().unwrap_or(0);
    if least == most { most.to_string() } else { format!("{least} to {most}") }
}

/// A label that leaves room for the numbers; nothing but a long workload name is ever cut.
fn short(label: &str) -> String {
    const CHARS_MAX: usize = 24;
    if label.chars().count() <= CHARS_MAX {
        return label.to_owned();
    }
    label.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}

/// A duration in every unit that it has: a plan is read by people.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (duration.subsec_millis().into(), "ms"),
    ];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if shown.is_empty() { "-".to_owned() } else { shown.join(" ") }
}
