//! The walk over the raw tree: every key outside the phases, its default and its limits.

use std::collections::BTreeMap;
use std::time::Duration;

use common::ids::Name;
use common::seed::Seed;
use common::target::{BaseUrl, Endpoint, Target, Timeouts, UrlError};
use common::workload::{CacheMode, TOKENS_MAX, Workload};

use super::ablation::read_ablation;
use super::judging::read_judging;
use super::phases::{Given, Phases, read_phases};
use super::proof::read_client_proof;
use super::raw::{Collector, Node, Value};
use super::read::{Field, Section};
use super::repeats::read_repeats;
use super::server::read_server;
use super::serving::read_serving;
use super::window::{Bounds, read_bounds};
use super::{Campaign, KeyRef, Mode, Tier};

/// Bytes of a model's name, at most.
const MODEL_BYTES_MAX: usize = 512;
/// Bytes of a path, at most.
const PATH_BYTES_MAX: usize = 4096;
/// Bytes of an environment variable's name, at most.
const VARIABLE_BYTES_MAX: usize = 128;

/// The workloads by name; one that is named but not valid is `None`, so that a phase that uses it
/// is not blamed.
pub(super) type Workloads = BTreeMap<String, Option<Workload>>;

/// The campaign in `root`; `None` if there was any problem.
pub(super) fn read_campaign(root: &Node, c: &mut Collector<'_>) -> Option<Campaign> {
    let root = Field { key: String::new(), node: root };
    let valid = [
        "name",
        "mode",
        "tier",
        "seed",
        "target",
        "workloads",
        "window",
        "client_proof",
        "phases",
        "slo",
        "hardware",
        "server",
        "serving",
        "repeats",
        "ablation",
    ];
    let top = Section::open(&root, &valid, c)?;
    let name = match top.get("name") {
        Some(field) => read_name(&field, c),
        None => "default".parse().ok(),
    };
    let mode = match top.get("mode") {
        Some(field) => field.word(&Mode::ALL.map(|mode| (mode.name(), mode)), c),
        None => Some(Mode::Floodmark),
    };
    let tier = match top.get("tier") {
        Some(field) => field.word(&Tier::ALL.map(|tier| (tier.name(), tier)), c),
        None => Some(Tier::Default),
    };
    let seed = match top.get("seed") {
        Some(field) => field.integer(0..=u64::MAX, c),
        None => Some(42),
    };
    let nothing = Node::implied(Value::Table(BTreeMap::new()));
    let or_empty =
        |key: &str| top.get(key).unwrap_or(Field { key: key.to_owned(), node: &nothing });
    let target = read_target(&or_empty("target"), c);
    let workloads = read_workloads(&or_empty("workloads"), c);
    let stream = target.as_ref().map(|(target, _, _)| target.stream);
    let judging = read_judging(top.get("slo"), top.get("hardware"), stream, c);
    let client_proof = read_client_proof(top.get("client_proof"), mode, tier, c);
    let given = Given {
        workloads: &workloads,
        mode,
        tier,
        seed: seed.map(Seed),
        timeouts: target.as_ref().map(|(target, _, _)| target.timeouts),
        bounds: read_bounds(top.get("window"), tier, c),
        floor: judging.and_then(|(_, floor)| floor),
        objectives: judging.map(|(judging, _)| !judging.slo.is_empty()),
    };
    let mut server = read_server(top.get("server"), c);
    let serving = read_serving(top.get("serving"), c);
    let repeats =
        read_repeats(top.get("repeats"), server.as_ref(), top.get("ablation").is_some(), c);
    let phases = read_phases(top.get("phases"), &given, c);
    if let (Some(field), Some(phases)) = (top.get("window"), &phases) {
        refuse_unused(&field, phases, c);
    }
    if let (Some(field), Some(repeats), Some(phases)) = (top.get("repeats"), repeats, &phases)
        && phases.search.is_some()
        && repeats.count > 1
    {
        let what = "a search repeats its levels by itself, search.repeats of them at the answer; \
                    leave repeats.count out";
        field.refuse::<()>(c, what);
    }
    let ablation = match top.get("ablation") {
        Some(field) => {
            read_ablation(&field, server.as_mut(), repeats, phases.as_ref(), c).map(Some)
        }
        None => Some(None),
    };
    let (target, api_key, ready_timeout) = target?;
    let Phases { phases, search } = phases?;
    Some(Campaign {
        name: name?,
        mode: mode?,
        tier: tier?,
        seed: Seed(seed?),
        target,
        api_key,
        ready_timeout,
        server: server?,
        serving: serving?,
        repeats: repeats?,
        ablation: ablation?,
        judging: judging?.0,
        client_proof: client_proof?,
        phases,
        search,
    })
}

fn read_name(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Name> {
    match field.text(c)?.parse() {
        Ok(name) => Some(name),
        Err(error) => field.refuse(c, format!("{error}")),
    }
}

/// Bounds of windows that no level has.
fn refuse_unused(field: &Field<'_>, phases: &Phases, c: &mut Collector<'_>) {
    if Bounds::of(&phases.phases, phases.search.as_ref()).is_none() {
        let what = "no level of the campaign has a window that this could bound: those of mode \
                    floodmark have one, the warm-up aside, if they state neither requests nor \
                    duration";
        field.refuse::<()>(c, what);
    }
}

fn read_target(
    field: &Field<'_>,
    c: &mut Collector<'_>,
) -> Option<(Target, Option<KeyRef>, Duration)> {
    let valid =
        ["base_urls", "model", "endpoint", "stream", "api_key", "timeouts", "ready_timeout"];
    let section = Section::open(field, &valid, c)?;
    let hint = "say which server to load: base_urls = [\"http://HOST:PORT\"], or --target URL";
    let base_url = section.need("base_urls", hint, c).and_then(|field| read_base_url(&field, c));
    let hint = "say which model to ask for: model = \"NAME\", or --model NAME";
    let model = section.need("model", hint, c).and_then(|field| field.line(MODEL_BYTES_MAX, c));
    let endpoint = match section.get("endpoint") {
        Some(field) => field.word(&Endpoint::ALL.map(|e| (e.name(), e)), c),
        None => Some(Endpoint::Chat),
    };
    let stream = match section.get("stream") {
        Some(field) => field.boolean(c),
        None => Some(true),
    };
    let api_key = match section.get("api_key") {
        Some(field) => read_key(&field, c).map(Some),
        None => Some(None),
    };
    let timeouts = match section.get("timeouts") {
        Some(field) => read_timeouts(&field, c),
        None => Some(Timeouts::DEFAULT),
    };
    let ready_timeout = match section.get("ready_timeout") {
        Some(field) => field.duration(c),
        None => Some(Duration::from_secs(60)),
    };
    let target = Target {
        base_url: base_url?,
        model: model?.to_owned(),
        endpoint: endpoint?,
        stream: stream?,
        timeouts: timeouts?,
    };
    Some((target, api_key?, ready_timeout?))
}

fn read_base_url(field: &Field<'_>, c: &mut Collector<'_>) -> Option<BaseUrl> {
    let Value::List(_) = &field.node.value else {
        // A URL may hold a password.
        let what = "must be a list of one URL: [\"http://HOST:PORT\"]";
        return field.refuse_unseen(c, what);
    };
    let items = field.items();
    let [item] = items.as_slice() else {
        let what = format!("has {} URLs; this version loads exactly one server", items.len());
        return field.refuse(c, what);
    };
    let text = item.text(c)?;
    match text.parse::<BaseUrl>() {
        Ok(url) => Some(url),
        Err(error) if text.contains('@') => {
            let error = match error {
                UrlError::Host(_) | UrlError::Port(_) => UrlError::UserInfo,
                UrlError::Scheme | UrlError::UserInfo | UrlError::Character => error,
            };
            item.refuse_unseen(c, &error.to_string())
        }
        Err(error) => item.refuse(c, error.to_string()),
    }
}

fn read_key(field: &Field<'_>, c: &mut Collector<'_>) -> Option<KeyRef> {
    if let Value::Text(_) | Value::Integer(_) = field.node.value {
        let what = "a literal key is refused; name where it is found: \
                    { env = \"OPENAI_API_KEY\" } or { file = \"PATH\" }";
        return field.refuse(c, what);
    }
    let section = Section::open(field, &["env", "file"], c)?;
    match (section.get("env"), section.get("file")) {
        (Some(field), None) => {
            let name = field.line(VARIABLE_BYTES_MAX, c)?;
            let starts_well = !name.starts_with(|c: char| c.is_ascii_digit());
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if starts_well && name.chars().all(allowed) {
                Some(KeyRef::Env(name.to_owned()))
            } else {
                let what = "must be the name of an environment variable: \
                            letters, digits and _, the first no digit";
                field.refuse(c, what)
            }
        }
        (None, Some(field)) => Some(KeyRef::File(field.line(PATH_BYTES_MAX, c)?.into())),
        (None, None) | (Some(_), Some(_)) => {
            field.refuse(c, "must have exactly one of env and file")
        }
    }
}

fn read_timeouts(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Timeouts> {
    let section = Section::open(field, &["connect", "first_byte", "idle", "total"], c)?;
    let mut wait = |key: &str, default: Duration| match section.get(key) {
        Some(field) => field.wait(c),
        None => Some(default),
    };
    let connect = wait("connect", Timeouts::DEFAULT.connect);
    let first_byte = wait("first_byte", Timeouts::DEFAULT.first_byte);
    let idle = wait("idle", Timeouts::DEFAULT.idle);
    let total = wait("total", Timeouts::DEFAULT.total);
    Some(Timeouts { connect: connect?, first_byte: first_byte?, idle: idle?, total: total? })
}

fn read_workloads(field: &Field<'_>, c: &mut Collector<'_>) -> Workloads {
    let Some(section) = Section::open_any(field, c) else {
        return Workloads::new();
    };
    section
        .entries()
        .map(|(key, origin, field)| {
            let name = match key.parse::<Name>() {
                Ok(name) => Some(name),
                Err(error) => c.add(origin, &field.key, None, error.to_string()),
            };
            let workload = read_workload(name, &field, c);
            (key.to_owned(), workload)
        })
        .collect()
}

fn read_workload(name: Option<Name>, field: &Field<'_>, c: &mut Collector<'_>) -> Option<Workload> {
    let valid = ["input_tokens", "output_tokens", "forced_length", "cache"];
    let section = Section::open(field, &valid, c)?;
    let mut tokens = |key: &str| {
        let hint = format!("say how many tokens, 1 to {TOKENS_MAX}");
        section.need(key, &hint, c)?.count(TOKENS_MAX, c)
    };
    let input_tokens = tokens("input_tokens");
    let output_tokens = tokens("output_tokens");
    let forced_length = match section.get("forced_length") {
        Some(field) => field.boolean(c),
        None => Some(true),
    };
    let cache = match section.get("cache") {
        Some(field) => field.word(&CacheMode::ALL.map(|mode| (mode.name(), mode)), c),
        // The paper's prompt was one fixed text.
        None => Some(CacheMode::Replay),
    };
    Some(Workload {
        name: name?,
        input_tokens: input_tokens?,
        output_tokens: output_tokens?,
        forced_length: forced_length?,
        cache: cache?,
    })
}
