//! The plan as a person reads it and as a program does. It says what is known before a run and
//! never guesses how fast the server will be.

use std::time::Duration;

use common::assignment::Load;
use common::workload::CHARS_PER_TOKEN;
use serde::Serialize;

use super::{Plan, PlannedLevel};
use crate::campaign::{Campaign, KeyRef, clip};

/// A table of the levels, totals and what is known about time, and, for more than one agent, the
/// shares. `agents` is `None` while the number of agents is not known.
pub fn text(campaign: &Campaign, plan: &Plan, agents: Option<u32>) -> String {
    let view = View::of(campaign, plan, agents);
    let mut lines = heading(campaign);
    lines.push(String::new());
    lines.extend(level_table(plan, &view));
    lines.push(String::new());
    lines.extend(totals(campaign, plan, &view));
    lines.push(String::new());
    lines.extend(share_table(&view));
    lines.join("\n") + "\n"
}

/// The same as JSON.
pub fn json(campaign: &Campaign, plan: &Plan, agents: Option<u32>) -> String {
    let view = View::of(campaign, plan, agents);
    // Strings and numbers only: writing cannot fail.
    serde_json::to_string_pretty(&view).unwrap_or_default() + "\n"
}

/// What both renderings show.
#[derive(Serialize)]
struct View<'a> {
    schema_version: u32,
    name: &'a str,
    mode: &'a str,
    tier: &'a str,
    seed: u64,
    target: String,
    model: &'a str,
    agents: Option<u32>,
    levels: Vec<LevelView<'a>>,
    totals: TotalsView,
}

#[derive(Serialize)]
struct LevelView<'a> {
    phase: &'a str,
    label: &'a str,
    users: u32,
    requests: Option<u64>,
    waves: Option<u64>,
    last_wave_fill: Option<f64>,
    in_flight_max: u64,
    capped: bool,
    workload: &'a str,
    input_tokens: u32,
    output_tokens: u32,
    forced_length: bool,
    cooldown_s: f64,
    /// One for each agent; none while the number of agents is not known.
    shares: Vec<ShareView>,
}

#[derive(Clone, Copy, Serialize)]
struct ShareView {
    users: u32,
    requests: Option<u64>,
}

#[derive(Serialize)]
struct TotalsView {
    levels: usize,
    capped_levels: usize,
    requests: u64,
    input_tokens: u128,
    output_tokens: u128,
    cooldown_s: f64,
    longest_s: f64,
}

impl<'a> View<'a> {
    fn of(campaign: &'a Campaign, plan: &'a Plan, agents: Option<u32>) -> Self {
        let tokens = |of: fn(&PlannedLevel) -> u32| {
            let asked = |level| u128::from(level_requests(level)) * u128::from(of(level));
            plan.levels.iter().map(asked).sum()
        };
        Self {
            schema_version: 1,
            name: campaign.name.as_str(),
            mode: campaign.mode.name(),
            tier: campaign.tier.name(),
            seed: campaign.seed.0,
            target: campaign.target.base_url.to_string(),
            model: &campaign.target.model,
            agents,
            levels: plan.levels.iter().map(|l| LevelView::of(l, agents)).collect(),
            totals: TotalsView {
                levels: plan.levels.len(),
                capped_levels: plan.levels.iter().filter(|l| l.capped().is_some()).count(),
                requests: plan.levels.iter().map(level_requests).sum(),
                input_tokens: tokens(|level| level.workload.input_tokens),
                output_tokens: tokens(|level| level.workload.output_tokens),
                cooldown_s: plan.cooldown_total().as_secs_f64(),
                longest_s: longest(campaign, plan).as_secs_f64(),
            },
        }
    }
}

impl<'a> LevelView<'a> {
    fn of(level: &'a PlannedLevel, agents: Option<u32>) -> Self {
        let load = level.load;
        Self {
            phase: level.phase.name(),
            label: &level.label,
            users: load.users,
            requests: load.requests(),
            waves: load.waves(),
            last_wave_fill: load.last_wave_fill(),
            in_flight_max: load.in_flight_max(),
            capped: level.capped().is_some(),
            workload: level.workload.name.as_str(),
            input_tokens: level.workload.input_tokens,
            output_tokens: level.workload.output_tokens,
            forced_length: level.workload.forced_length,
            cooldown_s: level.cooldown.as_secs_f64(),
            shares: shares(load, agents),
        }
    }
}

fn level_requests(level: &PlannedLevel) -> u64 {
    level.load.requests().unwrap_or(0)
}

fn shares(load: Load, agents: Option<u32>) -> Vec<ShareView> {
    let agents = agents.unwrap_or(0);
    (0..agents)
        .map(|index| load.share(index, agents))
        .map(|share| ShareView { users: share.count, requests: share.requests(load) })
        .collect()
}

/// How long requests and pauses could last at the most: a user makes one request after another,
/// and each ends within its timeouts.
fn longest(campaign: &Campaign, plan: &Plan) -> Duration {
    let timeouts = campaign.target.timeouts;
    let request = timeouts.connect.saturating_add(timeouts.total);
    let level = |level: &PlannedLevel| {
        let waves = level.load.waves().unwrap_or(1);
        let waves = u32::try_from(waves).unwrap_or(u32::MAX);
        request.saturating_mul(waves)
    };
    plan.levels.iter().map(level).fold(plan.cooldown_total(), Duration::saturating_add)
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
    vec![
        format!(
            "campaign  {} (mode {}, tier {}, seed {})",
            campaign.name,
            campaign.mode.name(),
            campaign.tier.name(),
            campaign.seed.0
        ),
        format!("target    {} ({}, {answers}, {key})", target.base_url, target.endpoint.name()),
        format!("model     {}", target.model),
    ]
}

fn level_table(plan: &Plan, view: &View<'_>) -> Vec<String> {
    let mut table = Table::new(&[
        ("phase", Side::Left),
        ("level", Side::Left),
        ("users", Side::Right),
        ("requests", Side::Right),
        ("waves", Side::Right),
        ("last wave", Side::Right),
        ("in", Side::Right),
        ("out", Side::Right),
        ("in flight", Side::Right),
        ("pause", Side::Right),
    ]);
    for (level, shown) in plan.levels.iter().zip(&view.levels) {
        table.row(vec![
            shown.phase.to_owned(),
            short(shown.label),
            shown.users.to_string(),
            or_dash(shown.requests),
            or_dash(shown.waves),
            or_dash(shown.last_wave_fill.map(|fill| format!("{:.0}%", fill * 100.0))),
            shown.input_tokens.to_string(),
            format!("{}{}", if shown.forced_length { "" } else { "<=" }, shown.output_tokens),
            shown.in_flight_max.to_string(),
            duration(level.cooldown),
        ]);
        if let Some(why) = level.capped() {
            table.note(why);
        }
    }
    table.lines()
}

fn totals(campaign: &Campaign, plan: &Plan, view: &View<'_>) -> Vec<String> {
    let totals = &view.totals;
    let timeouts = campaign.target.timeouts;
    let mut lines = vec![
        format!(
            "{}, {}",
            counted(totals.levels as u64, "level"),
            counted(totals.requests, "request")
        ),
        format!(
            "{} input tokens (at {CHARS_PER_TOKEN} characters each) and {}{} output tokens asked for",
            totals.input_tokens,
            if view.levels.iter().all(|level| level.forced_length) { "" } else { "at most " },
            totals.output_tokens
        ),
    ];
    if totals.capped_levels > 0 {
        lines.push(format!(
            "{} with fewer requests than users: the users can never all be in flight",
            counted(totals.capped_levels as u64, "level")
        ));
    }
    lines.push(format!(
        "pauses between levels: {}; time of the requests: known only by running",
        duration(plan.cooldown_total())
    ));
    lines.push(format!(
        "bound: {}, were every request to use up its timeouts (connect {} + total {})",
        duration(longest(campaign, plan)),
        duration(timeouts.connect),
        duration(timeouts.total)
    ));
    lines
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
        table.row(vec![
            level.phase.to_owned(),
            short(level.label),
            range(level.shares.iter().map(|share| share.users.into())),
            range(level.shares.iter().filter_map(|share| share.requests)),
        ]);
    }
    let mut lines = vec![format!("shares over {} agents", view.agents.unwrap_or(0))];
    lines.extend(table.lines());
    lines
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
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

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// Columns as wide as their widest cell.
struct Table {
    columns: Vec<(usize, Side)>,
    rows: Vec<Row>,
}

enum Row {
    Cells(Vec<String>),
    Note(String),
}

impl Table {
    fn new(columns: &[(&str, Side)]) -> Self {
        let mut table = Self {
            columns: columns.iter().map(|(_, side)| (0, *side)).collect(),
            rows: Vec::new(),
        };
        table.row(columns.iter().map(|(title, _)| (*title).to_owned()).collect());
        table
    }

    fn row(&mut self, cells: Vec<String>) {
        for ((width, _), cell) in self.columns.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(Row::Cells(cells));
    }

    /// A line about the row before it, in line with its second column.
    fn note(&mut self, text: String) {
        self.rows.push(Row::Note(text));
    }

    fn lines(&self) -> Vec<String> {
        let indent = self.columns.first().map_or(0, |(width, _)| *width);
        let line = |row: &Row| match row {
            Row::Note(text) => format!("{:indent$}  {text}", ""),
            Row::Cells(cells) => {
                let padded =
                    cells.iter().zip(&self.columns).map(|(cell, &(width, side))| match side {
                        Side::Left => format!("{cell:<width$}"),
                        Side::Right => format!("{cell:>width$}"),
                    });
                padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
            }
        };
        self.rows.iter().map(line).collect()
    }
}
