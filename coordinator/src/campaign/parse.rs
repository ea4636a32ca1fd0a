//! The walk over the raw tree: every key outside the phases, its default and its limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use common::extra::HeaderName;
use common::ids::Name;
use common::length::Length;
use common::seed::Seed;
use common::target::{Connection, Endpoint, Target, Timeouts};
use common::workload::{CacheMode, TOKENS_MAX, Workload};

use super::ablation::read_ablation;
use super::asked::{self, Asked, ClientFiles};
use super::cache::read_cache;
use super::data::{self, Plans, read_data_workload};
use super::images::read_images;
use super::judging::read_judging;
use super::law::{TIME, TOKENS};
use super::mixes::{add_mixes, is_mix, read_models};
use super::phases::{Given, Phases, read_phases};
use super::prompts::{of_used, read_prompts};
use super::proof::read_client_proof;
use super::raw::{Collector, Node, Origin, Value};
use super::read::{Field, Section};
use super::repeats::read_repeats;
use super::server::read_server;
use super::serving::read_serving;
use super::window::{Bounds, read_bounds};
use super::{Campaign, DataPlan, KeyRef, Mode, Tier};

/// Bytes of a model's name, at most.
pub(super) const MODEL_BYTES_MAX: usize = 512;

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
    let (endpoint, target) = read_target(&or_empty("target"), c);
    let (workloads, data) = read_workloads(&or_empty("workloads"), endpoint, c);
    let loaded = target.as_ref().map(|table| &table.target);
    let workloads = add_mixes(&or_empty("workloads"), (workloads, &data), loaded, c);
    let prompts = read_prompts(&or_empty("workloads"), mode, c);
    let stream = target.as_ref().map(|table| table.target.stream);
    let judging = read_judging(top.get("slo"), top.get("hardware"), (endpoint, stream), c);
    let client_proof = read_client_proof(top.get("client_proof"), mode, tier, c);
    let given = Given {
        workloads: &workloads,
        data: &data,
        mode,
        tier,
        seed: seed.map(Seed),
        timeouts: target.as_ref().map(|table| table.target.timeouts),
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
    let TargetTable { target, api_key, secret_headers, ca, client, ready_timeout } = target?;
    let Phases { phases, search } = phases?;
    Some(Campaign {
        name: name?,
        mode: mode?,
        tier: tier?,
        seed: Seed(seed?),
        target,
        ca,
        client,
        api_key,
        secret_headers,
        ready_timeout,
        server: server?,
        serving: serving?,
        repeats: repeats?,
        ablation: ablation?,
        judging: judging?.0,
        client_proof: client_proof?,
        prompts: of_used(prompts, &phases, search.as_ref()),
        data,
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

/// The target, and what is said of it beside; `None` if there was a problem.
type ReadTarget = Option<TargetTable>;

/// What the table of the target says.
struct TargetTable {
    target: Target,
    api_key: Option<KeyRef>,
    secret_headers: Vec<(HeaderName, KeyRef)>,
    ca: Option<PathBuf>,
    client: Option<ClientFiles>,
    ready_timeout: Duration,
}

/// The target, and before it the endpoint, which other tables depend on: the default one if that is
/// not valid.
fn read_target(field: &Field<'_>, c: &mut Collector<'_>) -> (Endpoint, ReadTarget) {
    let own =
        ["base_urls", "model", "endpoint", "stream", "connection", "timeouts", "ready_timeout"];
    let valid = [own.as_slice(), &asked::KEYS].concat();
    let Some(section) = Section::open(field, &valid, c) else {
        return (Endpoint::Chat, None);
    };
    let endpoint = match section.get("endpoint") {
        Some(field) => field.word(&Endpoint::ALL.map(|e| (e.name(), e)), c),
        None => Some(Endpoint::Chat),
    };
    (endpoint.unwrap_or(Endpoint::Chat), read_target_at(&section, endpoint, c))
}

fn read_target_at(
    section: &Section<'_>,
    endpoint: Option<Endpoint>,
    c: &mut Collector<'_>,
) -> ReadTarget {
    let hint = "say which server to load: base_urls = [\"http://HOST:PORT\"], or --target URL";
    let urls =
        section.need("base_urls", hint, c).and_then(|field| asked::read_base_urls(&field, c));
    let hint = "say which model to ask for: model = \"NAME\", or --model NAME";
    let model = section.need("model", hint, c).and_then(|field| field.line(MODEL_BYTES_MAX, c));
    let streams = endpoint.is_none_or(Endpoint::generates);
    let stream = match section.get("stream") {
        Some(field) => match field.boolean(c) {
            Some(true) if !streams => {
                let what = "an embedding comes in one piece and has no tokens to stream; leave \
                            stream out, or set it to false";
                field.refuse(c, what)
            }
            given => given,
        },
        None => Some(streams),
    };
    let connection = match section.get("connection") {
        Some(field) => field.word(&Connection::ALL.map(|kind| (kind.name(), kind)), c),
        None => Some(Connection::KeepAlive),
    };
    let endpoint_or_default = endpoint.unwrap_or(Endpoint::Chat);
    let asked = asked::read_asked(section, urls.as_deref(), endpoint_or_default, c);
    let timeouts = match section.get("timeouts") {
        Some(field) => read_timeouts(&field, c),
        None => Some(Timeouts::DEFAULT),
    };
    let ready_timeout = match section.get("ready_timeout") {
        Some(field) => field.duration(c),
        None => Some(Duration::from_secs(60)),
    };
    let mut urls = urls?.into_iter();
    let Asked { http, extra_body, headers, secret_headers, api_key, key_header, ca, client } =
        asked?;
    let target = Target {
        endpoint: endpoint?,
        stream: stream?,
        connection: connection?,
        http,
        extra_body,
        headers,
        key_header,
        timeouts: timeouts?,
        ..Target::new(urls.next()?, model?.to_owned())
    };
    let target = Target { more_base_urls: urls.collect(), ..target };
    let ready_timeout = ready_timeout?;
    Some(TargetTable { target, api_key, secret_headers, ca, client, ready_timeout })
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

fn read_workloads(
    field: &Field<'_>,
    endpoint: Endpoint,
    c: &mut Collector<'_>,
) -> (Workloads, Plans) {
    let (mut workloads, mut data) = (Workloads::new(), Plans::new());
    let Some(section) = Section::open_any(field, c) else {
        return (workloads, data);
    };
    for (key, origin, field) in section.entries().filter(|(_, _, field)| !is_mix(field)) {
        let name = match key.parse::<Name>() {
            Ok(name) => Some(name),
            Err(error) => c.add(origin, &field.key, None, error.to_string()),
        };
        let read = read_workload(name.clone(), &field, endpoint, c);
        let (workload, plan) = read.map_or((None, None), |(workload, plan)| (Some(workload), plan));
        workloads.insert(key.to_owned(), workload);
        data.extend(name.zip(plan));
    }
    (workloads, data)
}

fn read_workload(
    name: Option<Name>,
    field: &Field<'_>,
    endpoint: Endpoint,
    c: &mut Collector<'_>,
) -> Option<(Workload, Option<DataPlan>)> {
    let valid = [
        "input_tokens",
        "output_tokens",
        "forced_length",
        "cache",
        "models",
        "mix",
        "tokenizer",
        "lengths",
        "dataset",
        "think_time",
        "images",
    ];
    let section = Section::open(field, &valid, c)?;
    let think_ms = match section.get("think_time") {
        Some(field) => TIME.read(&field, c).map(Some),
        None => Some(None),
    };
    let models = match section.get("models") {
        Some(field) => read_models(&field, c),
        None => Some(Vec::new()),
    };
    if let Some(stated) = data::stated(&section) {
        let read = read_data_workload(name, &stated, &section, endpoint, c);
        let (workload, plan) = read?;
        let (models, think_ms) = (models?, think_ms?);
        return Some((Workload { models, think_ms, ..workload }, Some(plan)));
    }
    let mut tokens = |key: &str| {
        let hint = format!("say how many tokens, 1 to {TOKENS_MAX}");
        TOKENS.read(&section.need(key, &hint, c)?, c)
    };
    let input_tokens = tokens("input_tokens");
    let (output_tokens, forced_length) = if endpoint.generates() {
        (tokens("output_tokens"), read_forced_length(&section, endpoint, c))
    } else {
        read_no_output(&section, c)
    };
    let cache = match section.get("cache") {
        Some(field) => read_cache(&field, input_tokens.as_ref(), c),
        // The paper's prompt was one fixed text.
        None => Some(CacheMode::Replay),
    };
    let images = match section.get("images") {
        Some(field) => read_images(&field, endpoint, c).map(Some),
        None => Some(None),
    };
    let plain = Workload::new(name?, input_tokens?, output_tokens?);
    let (forced_length, cache) = (forced_length?, cache?);
    let (models, think_ms, images) = (models?, think_ms?, images?);
    Some((Workload { forced_length, cache, models, think_ms, images, ..plain }, None))
}

pub(super) fn read_forced_length(
    section: &Section<'_>,
    endpoint: Endpoint,
    c: &mut Collector<'_>,
) -> Option<bool> {
    let can = endpoint.can_force_length();
    match section.get("forced_length") {
        Some(field) => match field.boolean(c) {
            Some(true) if !can => {
                let what = "the Messages API has no field that makes an answer as long as asked \
                            for, and no server is known to take one there; leave forced_length \
                            out, or load the server with target.endpoint = \"chat\"";
                field.refuse(c, what)
            }
            given => given,
        },
        None => Some(can),
    }
}

/// The output of what generates none: no tokens, always.
pub(super) fn read_no_output(
    section: &Section<'_>,
    c: &mut Collector<'_>,
) -> (Option<Length>, Option<bool>) {
    let mut free = |key: &str| match section.get(key) {
        // A campaign made from flags alone has a length, stated or not.
        Some(field) if field.node.origin != Origin::Implied => {
            field.refuse(c, "an embedding has no output tokens; leave this out")
        }
        Some(_) | None => Some(()),
    };
    let (output_tokens, forced_length) = (free("output_tokens"), free("forced_length"));
    (output_tokens.map(|()| Length::NONE), forced_length.map(|()| true))
}
