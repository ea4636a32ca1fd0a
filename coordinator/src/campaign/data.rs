//! Data sets in place of passages: keys of a workload.

use std::collections::BTreeMap;

use common::arrivals::{Arrivals, Law, PerSecond, Rate, Schedule};
use common::assignment::{End, Load};
use common::ids::Name;
use common::length::Length;
use common::records::{DataSet, Format};
use common::target::Endpoint;
use common::workload::{CacheMode, Workload};
use toml::Value as Toml;

use super::asked::PATH_BYTES_MAX;
use super::law::TOKENS;
use super::parse::{read_forced_length, read_no_output};
use super::raw::{Collector, Origin};
use super::read::{Field, Section};
use super::{Campaign, LevelPlan};

/// A data set that a campaign asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlan {
    /// The file.
    pub file: String,
    /// What it holds; `None`: whatever its first entry is.
    pub format: Option<Format>,
    /// Which requests its conversations are.
    pub turns: Turns,
    /// Each level takes the conversations in an order of its own.
    pub shuffled: bool,
    /// How long answers are, whatever the file says.
    pub output_tokens: Option<Length>,
}

/// Which requests of a conversation are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turns {
    /// The first one.
    First,
    /// All of them, one after the other.
    All,
}

impl Turns {
    const WORDS: [(&str, Self); 2] = [("first", Self::First), ("all", Self::All)];
}

/// How fast the requests of a trace came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracePace {
    requests: u64,
    /// On average, in millionths of a request per second.
    rate: u64,
}

impl TracePace {
    /// Of so many requests, of which the last came so long after the first.
    pub(crate) fn of(requests: u64, last_us: u64) -> Self {
        let gaps = requests.saturating_sub(1).max(1);
        // All at once is as fast as can be said.
        let rate = u128::from(gaps) * 1_000_000_000_000 / u128::from(last_us.max(1));
        Self { requests, rate: u64::try_from(rate).unwrap_or(u64::MAX) }
    }

    /// The load of a level that replays it.
    fn load(self, planned: Load, speed_milli: u32) -> Load {
        let rate = u128::from(self.rate) * u128::from(speed_milli) / 1000;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX).clamp(1, RATE_MAX);
        let rate = Rate::Flat(PerSecond(rate));
        let requests = planned.requests().unwrap_or(self.requests).min(self.requests);
        let arrivals = Arrivals::Open(Schedule { law: Law::Constant, rate });
        Load { arrivals, end: End::Requests(requests), ..planned }
    }
}

/// The data sets of a campaign, by workload.
pub(super) type Plans = BTreeMap<Name, DataPlan>;

/// Fastest rate that a level is said to have: a million requests per second.
const RATE_MAX: u64 = 1_000_000_000_000;

/// The keys that no workload with a data set has beside it.
const PASSAGE_KEYS: [&str; 5] = ["input_tokens", "cache", "tokenizer", "lengths", "images"];

/// The data set that a workload states, in the long form or in the short one.
pub(super) fn stated<'t>(section: &Section<'t>) -> Option<Field<'t>> {
    section.get("dataset").or_else(|| {
        let short = section.get("input_tokens")?;
        let node = short.node.table().and_then(|table| table.get("dataset")).map(|(_, node)| node);
        node.map(|node| Field { key: format!("{}.dataset", short.key), node })
    })
}

/// A workload whose prompts come from `field`.
pub(super) fn read_data_workload(
    name: Option<Name>,
    field: &Field<'_>,
    section: &Section<'_>,
    endpoint: Endpoint,
    c: &mut Collector<'_>,
) -> Option<(Workload, DataPlan)> {
    let plan = read_plan(field, c);
    let mut fits = true;
    for key in PASSAGE_KEYS {
        let is_short = key == "input_tokens" && section.get("dataset").is_none();
        let stray = section.get(key).filter(|field| field.node.origin != Origin::Implied);
        if let Some(stray) = stray.filter(|_| !is_short) {
            fits = false;
            let what = "prompts come from the data set and are sent as they are recorded; leave \
                        this out, or leave the data set out";
            stray.refuse::<()>(c, what);
        }
    }
    let (output, forced_length) = if endpoint.generates() {
        let output = section.get("output_tokens");
        let output = output.filter(|field| field.node.origin != Origin::Implied);
        let output = match output {
            Some(field) => TOKENS.read(&field, c).map(Some),
            None => Some(None),
        };
        (output, read_forced_length(section, endpoint, c))
    } else {
        let (output, forced_length) = read_no_output(section, c);
        (output.map(|_| None), forced_length)
    };
    let (plan, output, name) = (plan?, output?, name?);
    // The lengths are those of the file, which is read when the campaign is planned or run.
    let unknown = if endpoint.generates() { Length::Fixed(1) } else { Length::NONE };
    let output_tokens = output.clone().unwrap_or(unknown);
    let workload = Workload {
        forced_length: forced_length?,
        cache: CacheMode::Replay,
        ..Workload::new(name, Length::Fixed(1), output_tokens)
    };
    fits.then_some((workload, DataPlan { output_tokens: output, ..plan }))
}

fn read_plan(field: &Field<'_>, c: &mut Collector<'_>) -> Option<DataPlan> {
    let plain = |file: &str| DataPlan {
        file: file.to_owned(),
        format: None,
        turns: Turns::All,
        shuffled: false,
        output_tokens: None,
    };
    if field.node.table().is_none() {
        return field.line(PATH_BYTES_MAX, c).map(plain);
    }
    let section = Section::open(field, &["file", "format", "turns", "order"], c)?;
    let hint = "name the file: { file = \"conversations.jsonl\" }";
    let file = section.need("file", hint, c).and_then(|field| field.line(PATH_BYTES_MAX, c));
    let format = match section.get("format") {
        Some(field) => {
            let known = Format::ALL.map(|format| (format.name(), Some(format)));
            let words: Vec<_> = [("auto", None)].into_iter().chain(known).collect();
            field.word(&words, c)
        }
        None => Some(None),
    };
    let turns = match section.get("turns") {
        Some(field) => field.word(&Turns::WORDS, c),
        None => Some(Turns::All),
    };
    let shuffled = match section.get("order") {
        Some(field) => field.word(&[("file", false), ("shuffled", true)], c),
        None => Some(false),
    };
    Some(DataPlan { format: format?, turns: turns?, shuffled: shuffled?, ..plain(file?) })
}

/// The lines of a workload with a data set, below its header.
pub(super) fn data_lines(plan: &DataPlan, workload: &Workload, endpoint: Endpoint) -> Vec<String> {
    let DataPlan { file, format, turns, shuffled, output_tokens } = plan;
    let quoted = |text: &str| Toml::String(text.to_owned()).to_string();
    let turns = Turns::WORDS.iter().find(|(_, word)| word == turns).map_or("all", |(word, _)| word);
    let mut lines = vec![format!(
        "dataset = {{ file = {}, format = \"{}\", turns = \"{turns}\", order = \"{}\" }}",
        quoted(file),
        format.map_or("auto", Format::name),
        if *shuffled { "shuffled" } else { "file" },
    )];
    if endpoint.generates() {
        let output = output_tokens.as_ref();
        lines.extend(output.map(|output| format!("output_tokens = {}", TOKENS.text(output))));
        lines.push(format!("forced_length = {}", workload.forced_length));
    }
    lines
}

impl Campaign {
    /// Whether every level of a workload replays a trace if its data set is one, and none does if it
    /// is not.
    pub(crate) fn replays_all(&self, workload: &Name, is_trace: bool) -> bool {
        let levels = self.phases.iter().flat_map(|phase| &phase.levels);
        let searched = self.search.as_ref().map(|search| &search.level);
        let mut of_it = levels.chain(searched).filter(|level| level.workload.name == *workload);
        of_it.all(|level| level.workload.replay_milli.is_some() == is_trace)
    }

    /// Fills in what a data set has: every level of the workload carries it from now on.
    pub(crate) fn carry(
        &mut self,
        workload: &Name,
        data: &DataSet,
        (input, output): (&Length, Option<&Length>),
        pace: Option<TracePace>,
    ) {
        let stated = self.phases.iter_mut().flat_map(|phase| &mut phase.levels);
        let searched = self.search.as_mut().map(|search| &mut search.level);
        let of_it = |level: &&mut LevelPlan| level.workload.name == *workload;
        for level in stated.chain(searched).filter(of_it) {
            level.workload.data = Some(data.clone());
            if let (Some(pace), Some(speed_milli)) = (pace, level.workload.replay_milli) {
                level.load = pace.load(level.load, speed_milli);
            }
            level.workload.input_tokens = input.clone();
            if let Some(output) = output {
                level.workload.output_tokens = output.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests;
