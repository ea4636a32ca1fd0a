//! A campaign as TOML: canonical, every default written out, the API key by reference only.

use std::collections::BTreeMap;
use std::time::Duration;

use common::arrivals::{Arrivals, Curve, Law, Rate, Schedule};
use common::duration::format_duration;
use common::phase::Phase;
use common::target::Endpoint;
use common::workload::Workload;
use toml::Value;

use super::cache::cache_text;
use super::data::data_lines;
use super::images::images_text;
use super::law::{TIME, TOKENS};
use super::mixes::{mix_line, models_line};
use super::offered::{curve_word, law_word, rate_text, shape_text};
use super::prompts::prompt_lines;
use super::replay::{WHOLE, speed_text};
use super::window::Bounds;
use super::{
    Ablation, CacheReset, Campaign, ClientProof, DataPlan, Judging, LevelPlan, Mode, PhasePlan,
    Repeats, RestartCommands, SearchPlan, ServerPlan, Tier, Until, asked, phases,
};
use crate::serving::Serving;
use crate::target::facts::FactCommand;
use crate::target::hook::CommandLine;

impl Campaign {
    /// The campaign as a file that [`resolve`](super::resolve) reads back to the same campaign.
    pub fn to_toml(&self) -> String {
        let target = &self.target;
        let timeouts = target.timeouts;
        let mut lines = vec![
            format!("name = {}", quoted(self.name.as_str())),
            format!("mode = {}", quoted(self.mode.name())),
            format!("tier = {}", quoted(self.tier.name())),
            format!("seed = {}", self.seed.0),
            String::new(),
            "[target]".to_owned(),
            asked::base_urls_line(target),
            format!("model = {}", quoted(&target.model)),
            format!("endpoint = {}", quoted(target.endpoint.name())),
            format!("stream = {}", target.stream),
            format!("connection = {}", quoted(target.connection.name())),
        ];
        lines.extend(asked::lines(self));
        lines.push(format!(
            "timeouts = {{ connect = {}, first_byte = {}, idle = {}, total = {} }}",
            lasting(timeouts.connect),
            lasting(timeouts.first_byte),
            lasting(timeouts.idle),
            lasting(timeouts.total),
        ));
        lines.push(format!("ready_timeout = {}", lasting(self.ready_timeout)));
        lines.extend(server_lines(&self.server));
        lines.extend(serving_lines(&self.serving));
        lines.extend(repeats_lines(&self.repeats));
        if let (Some(ablation), RestartCommands::Arms { base, new }) =
            (&self.ablation, &self.server.restart)
        {
            lines.extend(ablation_lines(ablation, base, new));
        }
        let workloads: BTreeMap<&str, &Workload> = self
            .workloads()
            .flat_map(|used| used.mix.iter().map(|one| &one.item).chain([used]))
            .map(|workload| (workload.name.as_str(), workload))
            .collect();
        for workload in workloads.into_values() {
            lines.extend(workload_lines(workload, self.data.get(&workload.name), target.endpoint));
            lines.extend(self.prompts.get(&workload.name).into_iter().flat_map(prompt_lines));
        }
        lines.extend(judging_lines(&self.judging));
        if let Some(Bounds { least, most }) = Bounds::of(&self.phases, self.search.as_ref()) {
            let (least, most) = (lasting(least), lasting(most));
            lines.extend([String::new(), "[window]".to_owned()]);
            lines.extend([format!("least = {least}"), format!("most = {most}")]);
        }
        let ClientProof { before, after, headroom } = self.client_proof;
        lines.extend([String::new(), "[client_proof]".to_owned()]);
        lines.extend([format!("before = {before}"), format!("after = {after}")]);
        lines.push(format!("headroom = {}", float(headroom)));
        let of_phase = |phase| phase_lines(phase, self.mode, self.tier);
        lines.extend(self.phases.iter().flat_map(of_phase));
        lines.extend(self.search.iter().flat_map(|search| search_lines(search, self.mode)));
        lines.join("\n") + "\n"
    }
}

fn server_lines(server: &ServerPlan) -> Vec<String> {
    if *server == ServerPlan::default() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), "[server]".to_owned()];
    match &server.restart {
        RestartCommands::Same(restart) => lines.push(format!("restart = {}", command(restart))),
        // Those of an ablation stand in its own table.
        RestartCommands::Never | RestartCommands::Arms { .. } => {}
    }
    lines.extend(server.reset_cache.as_ref().map(|reset| match reset {
        CacheReset::Command(reset) => format!("reset_cache = {}", command(reset)),
        CacheReset::Page(page) => format!("reset_cache = {{ url = {} }}", quoted(page)),
    }));
    let page = server.ready_page.as_ref().map(|page| format!("url = {}, ", quoted(page)));
    let timeout = lasting(server.ready_timeout);
    lines.push(format!("ready = {{ {}timeout = {timeout} }}", page.unwrap_or_default()));
    lines.push(format!("hook_timeout = {}", lasting(server.hook_timeout)));
    if !server.facts.is_empty() {
        let facts = server.facts.iter().map(|FactCommand { name, command: asked, pattern }| {
            let (name, pattern) = (quoted(name.as_str()), quoted(pattern.as_str()));
            format!("  {{ name = {name}, command = {}, pattern = {pattern} }},", command(asked))
        });
        lines.push("facts = [".to_owned());
        lines.extend(facts);
        lines.push("]".to_owned());
    }
    lines
}

/// What is stated of the server, in the order of its keys.
fn serving_lines(serving: &Serving) -> Vec<String> {
    let stated = match Value::try_from(serving) {
        Ok(Value::Table(stated)) if !stated.is_empty() => stated,
        Ok(_) | Err(_) => return Vec::new(),
    };
    let line = |(key, value): (&String, &Value)| format!("{key} = {value}");
    let mut lines = vec![String::new(), "[serving]".to_owned()];
    lines.extend(stated.iter().map(line));
    lines
}

fn command(command: &CommandLine) -> String {
    let words: Vec<String> = command.words().map(quoted).collect();
    format!("[{}]", words.join(", "))
}

fn ablation_lines(ablation: &Ablation, base: &CommandLine, new: &CommandLine) -> Vec<String> {
    let Ablation { base: base_name, new: new_name, restarts, aa_restarts } = ablation;
    let configuration = |key: &str, name: &str, restart: &CommandLine| {
        format!("{key} = {{ name = {}, restart = {} }}", quoted(name), command(restart))
    };
    vec![
        String::new(),
        "[ablation]".to_owned(),
        configuration("base", base_name.as_str(), base),
        configuration("new", new_name.as_str(), new),
        format!("restarts = {restarts}"),
        format!("aa_restarts = {aa_restarts}"),
    ]
}

fn repeats_lines(repeats: &Repeats) -> Vec<String> {
    if *repeats == Repeats::default() {
        return Vec::new();
    }
    let Repeats { count, restart_server, reset_cache, order, until } = repeats;
    let mut lines = vec![
        String::new(),
        "[repeats]".to_owned(),
        format!("count = {count}"),
        format!("restart_server = {restart_server}"),
        format!("reset_cache = {}", quoted(reset_cache.name())),
        format!("order = {}", quoted(order.name())),
    ];
    lines.extend(until.map(|Until { half_width_percent, least }| {
        format!("until = {{ half_width = \"{half_width_percent}%\", least = {least} }}")
    }));
    lines
}

fn workload_lines(workload: &Workload, data: Option<&DataPlan>, endpoint: Endpoint) -> Vec<String> {
    let name = workload.name.as_str();
    let header = if name.contains('.') { quoted(name) } else { name.to_owned() };
    let mut lines = vec![String::new(), format!("[workloads.{header}]")];
    if let Some(mix) = mix_line(workload) {
        lines.push(mix);
        return lines;
    }
    let think = workload.think_ms.as_ref();
    let think = think.map(|think_ms| format!("think_time = {}", TIME.text(think_ms)));
    if let Some(data) = data {
        lines.extend(data_lines(data, workload, endpoint));
        lines.extend(models_line(workload));
        lines.extend(think);
        return lines;
    }
    lines.push(format!("input_tokens = {}", TOKENS.text(&workload.input_tokens)));
    if endpoint.generates() {
        lines.push(format!("output_tokens = {}", TOKENS.text(&workload.output_tokens)));
        lines.push(format!("forced_length = {}", workload.forced_length));
    }
    lines.push(format!("cache = {}", cache_text(workload.cache)));
    lines.extend(models_line(workload));
    let images = workload.images.as_ref().map(images_text);
    lines.extend(images.map(|images| format!("images = {images}")));
    lines.extend(think);
    lines
}

fn judging_lines(judging: &Judging) -> Vec<String> {
    let Judging { slo, quantile, hardware } = judging;
    let mut lines = Vec::new();
    let objectives = [("ttft", slo.ttft), ("tpot", slo.tpot), ("e2e", slo.e2e)];
    if !slo.is_empty() {
        lines.extend([String::new(), "[slo]".to_owned()]);
        for (key, objective) in objectives {
            lines.extend(objective.map(|objective| format!("{key} = {}", lasting(objective))));
        }
        // A quantile that is stated must be reached by every level; the default need not be.
        if *quantile != Judging::default().quantile {
            lines.push(format!("quantile = {}", float(*quantile)));
        }
    }
    let hardware = [
        ("gpus", hardware.gpus),
        ("active_params_b", hardware.active_params_b),
        ("watts", hardware.watts),
    ];
    if hardware.iter().any(|(_, number)| number.is_some()) {
        lines.extend([String::new(), "[hardware]".to_owned()]);
        for (key, number) in hardware {
            lines.extend(number.map(|number| format!("{key} = {}", float(number))));
        }
    }
    lines
}

/// One table for each run of levels that differ in users or rate and in requests only.
fn phase_lines(phase: &PhasePlan, mode: Mode, tier: Tier) -> Vec<String> {
    // The warm-up is never multiplied.
    let tier = match phase.phase {
        Phase::Warmup => Tier::Default,
        Phase::Baseline | Phase::Scaling | Phase::Stress | Phase::Saturation => tier,
    };
    phase
        .levels
        .chunk_by(|a, b| Shared::of(a, mode) == Shared::of(b, mode))
        .filter_map(|levels| Some((levels.first()?, levels)))
        .flat_map(|(first, levels)| {
            let offered = levels.iter().map(|level| offered(level).1).collect::<Vec<_>>();
            let requests = levels
                .iter()
                .filter_map(|level| level.load.requests())
                .filter(|requests| *requests < WHOLE)
                .map(|requests| tier.least_stated(requests).to_string())
                .collect::<Vec<_>>();
            let shared = Shared::of(first, mode);
            let mut lines = vec![
                String::new(),
                format!("[[phases.{}]]", phases::key(phase.phase)),
                match shared.key {
                    "replay" => format!("replay = {{ speed = [{}] }}", offered.join(", ")),
                    key => format!("{key} = [{}]", offered.join(", ")),
                },
                format!("workload = {}", quoted(shared.workload)),
            ];
            if shared.counted && !requests.is_empty() {
                lines.push(format!("requests = [{}]", requests.join(", ")));
            }
            lines.extend(shared.lines);
            lines
        })
        .collect()
}

/// The table of a search, the last of its phase.
fn search_lines(search: &SearchPlan, mode: Mode) -> Vec<String> {
    let shared = Shared::of(&search.level, mode);
    let mut lines = vec![
        String::new(),
        format!("[[phases.{}]]", phases::key(Phase::Saturation)),
        format!("search = {}", search.table()),
        format!("workload = {}", quoted(shared.workload)),
    ];
    lines.extend(shared.lines);
    lines
}

/// What the levels of one table have in common: its workload and further lines.
#[derive(PartialEq, Eq)]
struct Shared<'a> {
    key: &'static str,
    counted: bool,
    workload: &'a str,
    lines: Vec<String>,
}

impl<'a> Shared<'a> {
    fn of(level: &'a LevelPlan, mode: Mode) -> Self {
        let (key, _) = offered(level);
        let mut lines = Vec::new();
        if let Some(window) = level.window.filter(|window| window.is_fixed()) {
            lines.push(format!("duration = {}", lasting(window.least)));
        }
        lines.push(format!("cooldown = {}", lasting(level.cooldown)));
        match (level.load.arrivals, mode) {
            (Arrivals::Closed { .. }, Mode::Paper) => {}
            (Arrivals::Closed { ramp }, Mode::Floodmark) => {
                lines.push(format!("ramp = {}", lasting(ramp)));
            }
            (Arrivals::Open(schedule), Mode::Paper | Mode::Floodmark) => {
                // A trace has instants of its own.
                if level.workload.replay_milli.is_none() {
                    lines.extend(schedule_lines(schedule));
                }
                lines.push(format!("max_in_flight = {}", level.load.users));
            }
        }
        let can_be_capped = key == "users" && level.window.is_none();
        lines.extend(can_be_capped.then(|| format!("allow_capped = {}", level.allow_capped)));
        let counted = level.load.requests().is_some();
        Self { key, counted, workload: level.workload.name.as_str(), lines }
    }
}

/// The key of what a level offers, and its value.
fn offered(level: &LevelPlan) -> (&'static str, String) {
    if let Some(milli) = level.workload.replay_milli {
        return ("replay", speed_text(milli));
    }
    match level.load.arrivals {
        Arrivals::Closed { .. } => ("users", level.load.users.to_string()),
        Arrivals::Open(schedule) => ("rate", rate_text(schedule.rate.settled())),
    }
}

fn schedule_lines(schedule: Schedule) -> Vec<String> {
    let Schedule { law, rate } = schedule;
    let mut lines = vec![format!("arrivals = {}", quoted(law_word(law)))];
    match law {
        Law::Gamma { shape_milli } => {
            lines.push(format!("burstiness = {}", shape_text(shape_milli)));
        }
        Law::Constant | Law::Poisson => {}
    }
    match rate {
        Rate::Flat(_) => {}
        Rate::Ramp { from, to: _, over, curve } => {
            let steps = match curve {
                Curve::Steps(steps) => format!(", steps = {steps}"),
                Curve::Linear | Curve::Exponential => String::new(),
            };
            lines.push(format!(
                "rate_ramp = {{ from = {}, over = {}, curve = {}{steps} }}",
                rate_text(from),
                lasting(over),
                quoted(curve_word(curve)),
            ));
        }
    }
    lines
}

fn lasting(duration: Duration) -> String {
    quoted(&format_duration(duration))
}

fn float(number: f64) -> String {
    Value::Float(number).to_string()
}

pub(super) fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
