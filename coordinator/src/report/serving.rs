//! What serves the model: what was stated, what commands told of it, what is known to be wrong
//! with it, and what nobody stated.

use serde::Serialize;

use super::model::Real;
use super::plain::{CLIP, plain, wrap};
use super::text::{EVIDENCE_CLIP, WIDTH};
use crate::campaign::Campaign;
use crate::lint::{self, Facts, Finding, Offered, WeightMemory};
use crate::record::{Asked, FactRecord, RunRecord};
use crate::serving::Serving;
use crate::target::facts::Told;

/// The fact that is compared with the memory that is expected.
pub(super) const WEIGHT_MEMORY: &str = "weight_memory_gib";

/// The fact that says how long a server took to load the weights, in seconds.
pub(super) const LOAD_TIME: &str = "load_time_s";

/// What serves the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServingReport {
    /// What is stated; `None` for what is not.
    pub stated: Serving,
    /// What a report must state and nobody did.
    pub not_stated: Vec<&'static str>,
    /// What commands told.
    pub facts: Vec<Fact>,
    /// Memory of the weights on one GPU, if enough is stated to expect any.
    pub weight_memory: Option<Memory>,
    /// What is known to be wrong.
    pub lint: Vec<Finding>,
    /// Facts that are not known or changed.
    pub warnings: Vec<String>,
}

/// A fact that a command told, when the run began, after restarts, and when it had ended. Neither a
/// value nor a reason: it was not asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its value when the run began.
    pub value: Option<String>,
    /// Why it was not known then.
    pub unknown: Option<String>,
    /// What was told after each restart of the server, in order.
    pub after_restarts: Vec<AfterRestart>,
    /// Its value at the end.
    pub value_at_end: Option<String>,
    /// Why it was not known at the end.
    pub unknown_at_end: Option<String>,
}

/// What a command told of a fact after a restart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AfterRestart {
    /// The place in the plan of the level that the server was restarted for.
    pub ordinal: u32,
    /// The value.
    pub value: Option<String>,
    /// Why it was not known.
    pub unknown: Option<String>,
}

/// Memory of the weights on one GPU, in GiB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Stored parameters times bytes over the tensor parallel degree.
    pub expected_gib: Option<Real>,
    /// As the server told it.
    pub measured_gib: Option<Real>,
    /// The second over the first.
    pub measured_over_expected: Option<Real>,
}

impl ServingReport {
    /// What is known of a run; `campaign` is what it stored, if it can be read.
    pub(super) fn of(record: &RunRecord, campaign: Option<&Campaign>) -> Self {
        let header = &record.header;
        let facts = facts(&record.facts);
        let measured = facts.iter().find(|fact| fact.name == WEIGHT_MEMORY);
        let known = Facts {
            serving: &header.serving,
            gpus: header.judging.hardware.gpus,
            offered: campaign.map(Offered::of).unwrap_or_default(),
            weight_memory_gib: measured.and_then(Fact::number),
        };
        let memory = |memory: WeightMemory| Memory {
            expected_gib: Real::new(memory.expected_gib),
            measured_gib: memory.measured_gib.and_then(Real::new),
            measured_over_expected: memory.measured_over_expected.and_then(Real::new),
        };
        // The server itself may say its version.
        let says_version = record.identities.iter().any(|said| said.identity.version.is_some());
        let found = |key: &str| {
            let told = |fact: &Fact| fact.name == key && fact.any_value().is_some();
            (key == "engine_version" && says_version) || facts.iter().any(told)
        };
        Self {
            not_stated: header.serving.not_stated(found),
            weight_memory: WeightMemory::of(&known).map(memory),
            lint: lint::lint(&known),
            warnings: facts.iter().filter_map(Fact::warning).collect(),
            stated: header.serving.clone(),
            facts,
        }
    }
}

impl ServingReport {
    /// A fact that is a number above 0, if one of this name was told.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.facts.iter().find(|fact| fact.name == name)?.number()
    }
}

/// What was told of each fact, in the order in which they were asked.
fn facts(records: &[FactRecord]) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    for FactRecord { name, asked, told, .. } in records {
        let place = facts.iter().position(|fact| fact.name == name.as_str());
        let place = place.unwrap_or_else(|| {
            facts.push(Fact { name: name.to_string(), ..Fact::default() });
            facts.len() - 1
        });
        let Some(fact) = facts.get_mut(place) else { continue };
        let (value, unknown) = match told {
            Told::Value(value) => (Some(value.clone()), None),
            Told::NotKnown(why) => (None, Some(why.clone())),
        };
        match *asked {
            Asked::Began => (fact.value, fact.unknown) = (value, unknown),
            Asked::Restarted { ordinal } => {
                fact.after_restarts.push(AfterRestart { ordinal, value, unknown });
            }
            Asked::Ended => (fact.value_at_end, fact.unknown_at_end) = (value, unknown),
        }
    }
    facts
}

impl Fact {
    fn any_value(&self) -> Option<&String> {
        let restarted = self.after_restarts.iter().find_map(|told| told.value.as_ref());
        self.value.as_ref().or(restarted).or(self.value_at_end.as_ref())
    }

    /// The value, and those after restarts where they are others.
    fn shown(&self) -> String {
        let value = self.any_value().map_or("not known", String::as_str);
        let told = || self.after_restarts.iter().map(|told| told.value.as_deref());
        if told().all(|other| other == Some(value)) {
            return value.to_owned();
        }
        let told: Vec<&str> = told().map(|other| other.unwrap_or("not known")).collect();
        format!("{value}; after restarts {}", told.join(", "))
    }

    fn number(&self) -> Option<f64> {
        let number: f64 = self.any_value()?.parse().ok()?;
        (number.is_finite() && number > 0.0).then_some(number)
    }

    /// What a reader must know of it.
    fn warning(&self) -> Option<String> {
        let Self { name, value, unknown, after_restarts, value_at_end, unknown_at_end } = self;
        let (before, since) = match after_restarts.last() {
            None => (value, "the run began"),
            // A restarted server may be another one; from then on it is the same.
            Some(last) => (&last.value, "the server was restarted last"),
        };
        match (before, value_at_end, unknown.as_ref().or(unknown_at_end.as_ref())) {
            (Some(before), Some(after), _) if before != after => {
                Some(format!("{name} was {before} when {since}, and {after} when the run ended"))
            }
            (_, _, Some(why)) => {
                let when = match (value, value_at_end) {
                    (Some(_), _) => " at the end",
                    (None, Some(_)) => " at the beginning",
                    (None, None) => "",
                };
                Some(format!("{name} is not known{when}: {why}"))
            }
            (_, _, None) => None,
        }
    }
}

/// The section of the report.
pub(super) fn serving_text(serving: &ServingReport, any_level: bool) -> String {
    let mut out = String::new();
    let mut line = |title: &str, text: &str, clip: usize| {
        out.push_str(&wrap(&format!("{title:<12}"), &plain(text, clip), WIDTH));
    };
    let mut stated = serving.stated.entries();
    let flags = serving.stated.flags.as_ref().filter(|_| stated.remove("flags").is_some());
    let env = serving.stated.env.as_ref().filter(|_| stated.remove("env").is_some());
    let value = |key: &&str| Some(format!("{key} {}", shown(stated.get(*key)?)));
    let shown: Vec<String> = Serving::KEYS.iter().filter_map(value).collect();
    if !shown.is_empty() {
        line("serving", &shown.join(", "), STATED_CLIP);
    }
    if let Some(flags) = flags {
        line("flags", &flags.join(" "), STATED_CLIP);
    }
    if let Some(env) = env {
        let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        line("environment", &env.join(" "), STATED_CLIP);
    }
    for fact in &serving.facts {
        line("fact", &format!("{}: {}", fact.name, fact.shown()), CLIP);
    }
    if let Some(text) = serving.weight_memory.and_then(memory_text) {
        line("weights", &text, CLIP);
    }
    for warning in &serving.warnings {
        line("WARN", warning, EVIDENCE_CLIP);
    }
    for finding in &serving.lint {
        line("WARN", &finding.text(), EVIDENCE_CLIP);
    }
    if any_level && !serving.not_stated.is_empty() {
        line("not stated", &serving.not_stated.join(", "), STATED_CLIP);
    }
    out
}

/// A stated value without the quotes and decimals that it does not need.
fn shown(value: &serde_json::Value) -> String {
    match (value.as_str(), value.as_f64()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(number)) => number.to_string(),
        (None, None) => value.to_string(),
    }
}

/// Longest line of what is stated: the campaign's own text, which has bounds of its own.
const STATED_CLIP: usize = 2000;

fn memory_text(memory: Memory) -> Option<String> {
    let expected = memory.expected_gib?.value();
    let formula = "params_b × bytes_per_param / tensor_parallel";
    Some(match (memory.measured_gib, memory.measured_over_expected) {
        (Some(measured), Some(ratio)) => format!(
            "{:.1} GiB per GPU, {expected:.1} expected ({formula}): {:.2} times",
            measured.value(),
            ratio.value()
        ),
        (_, None) | (None, _) => {
            format!("{expected:.1} GiB per GPU expected ({formula}); {WEIGHT_MEMORY} is not known")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::UnixMs;
    use crate::report::ReportModel;
    use crate::testdata::run;

    fn fact(name: &str, asked: Asked, told: Told) -> FactRecord {
        FactRecord { name: name.parse().unwrap(), asked, at: UnixMs(1), told }
    }

    fn known() -> RunRecord {
        let mut record = run();
        let value = |text: &str| Told::Value(text.to_owned());
        let unknown = || Told::NotKnown("ssh gpu1: exit status: 255".to_owned());
        record.header.serving = Serving {
            sut: Some(crate::serving::Sut::Engine),
            engine: Some("vLLM".to_owned()),
            gpu: Some("AMD Instinct MI325X".to_owned()),
            gpu_count: Some(8),
            tensor_parallel: Some(8),
            params_b: Some(405.0),
            bytes_per_param: Some(1.02),
            flags: Some(vec!["--quantization fp8".to_owned(), "--num-scheduler-steps 15".into()]),
            env: Some([("VLLM_ROCM_USE_AITER".to_owned(), "1".to_owned())].into()),
            ..Serving::default()
        };
        record.facts = vec![
            fact(WEIGHT_MEMORY, Asked::Began, value("112")),
            fact("driver", Asked::Began, unknown()),
            fact("image_digest", Asked::Began, value("sha256:1")),
            fact(WEIGHT_MEMORY, Asked::Ended, value("112")),
            fact("driver", Asked::Ended, unknown()),
            fact("image_digest", Asked::Ended, value("sha256:2")),
            fact("kernel", Asked::Ended, value("\u{1b}[2J6.8")),
        ];
        record
    }

    #[test]
    fn what_is_stated_told_and_missing_is_shown_and_what_does_not_fit_is_a_warning() {
        let model = ReportModel::new(&known(), &[]);
        insta::assert_snapshot!(serving_text(&model.serving, true), @r#"
        serving     sut engine, engine vLLM, gpu AMD Instinct MI325X, gpu_count 8, tensor_parallel 8,
                    params_b 405, bytes_per_param 1.02
        flags       --quantization fp8 --num-scheduler-steps 15
        environment VLLM_ROCM_USE_AITER=1
        fact        weight_memory_gib: 112
        fact        driver: not known
        fact        image_digest: sha256:1
        fact        kernel: \u{1b}[2J6.8
        weights     112.0 GiB per GPU, 48.1 expected (params_b × bytes_per_param / tensor_parallel): 2.33
                    times
        WARN        driver is not known: ssh gpu1: exit status: 255
        WARN        image_digest was sha256:1 when the run began, and sha256:2 when the run ended
        WARN        scheduler-steps: --num-scheduler-steps 15 left vLLM in August 2025 with multi-step
                    scheduling: a later version refuses it; leave it out (the paper, table 6; vLLM pull
                    requests 22138 and 22779)
        WARN        weight-memory: the weights take 112.0 GiB per GPU, and params_b × bytes_per_param /
                    tensor_parallel is 48.1 GiB: 2.33 times as much; check what is stated, and that the
                    server loaded the precision it was meant to (the paper, table 28)
        not stated  between, engine_version, driver, weights_revision, tokenizer_revision,
                    chat_template_digest, precision, kv_cache_dtype, max_model_len
        "#);
        assert!(serving_text(&model.serving, false).lines().all(|l| !l.starts_with("not stated")));
        let json = serde_json::to_value(&model.serving).unwrap();
        assert_eq!(json["stated"]["gpu_count"], 8);
        assert_eq!(json["stated"]["heads"], serde_json::Value::Null);
        insta::assert_snapshot!(json["facts"][1], @r#"{"after_restarts":[],"name":"driver","unknown":"ssh gpu1: exit status: 255","unknown_at_end":"ssh gpu1: exit status: 255","value":null,"value_at_end":null}"#);
        insta::assert_snapshot!(json["weight_memory"], @r#"{"expected_gib":48.0912,"measured_gib":112.0,"measured_over_expected":2.32891}"#);
    }

    #[test]
    fn a_fact_that_is_known_once_is_known() {
        let value = Some("1".to_owned());
        let why = Some("gone".to_owned());
        let late = Fact { name: "f".into(), value_at_end: value.clone(), ..Fact::default() };
        assert_eq!(late.warning(), None);
        let early =
            Fact { name: "f".into(), value, unknown_at_end: why.clone(), ..Fact::default() };
        assert_eq!(early.warning().unwrap(), "f is not known at the end: gone");
        let found = Fact { unknown: why, ..late };
        assert_eq!(found.warning().unwrap(), "f is not known at the beginning: gone");
        assert_eq!(found.number(), Some(1.0));
    }

    #[test]
    fn what_was_told_after_restarts_is_shown_where_it_is_another() {
        let told = |asked, value: &str| fact("gib", asked, Told::Value(value.to_owned()));
        let restarted = |ordinal| Asked::Restarted { ordinal };
        let of = |records: &[FactRecord]| facts(records).pop().unwrap();
        let same = of(&[told(Asked::Began, "112"), told(restarted(3), "112")]);
        assert_eq!(same.shown(), "112");
        let mut records = vec![
            told(Asked::Began, "112"),
            told(restarted(3), "224"),
            fact("gib", restarted(7), Told::NotKnown("no match".to_owned())),
            told(restarted(9), "224"),
        ];
        assert_eq!(of(&records).shown(), "112; after restarts 224, not known, 224");
        records.push(told(Asked::Ended, "224"));
        // The last start is the one that ended.
        assert_eq!(of(&records).warning(), None);
        records.push(told(Asked::Ended, "225"));
        let changed = "gib was 224 when the server was restarted last, and 225 when the run ended";
        assert_eq!(of(&records).warning().unwrap(), changed);
    }
}
