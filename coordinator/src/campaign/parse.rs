//! The walk over the raw tree: every key outside the phases, its default and its limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use common::ids::Name;
use common::length::Length;
use common::seed::Seed;
use common::target::{BaseUrl, Connection, Endpoint, Target, Timeouts, UrlError};
use common::workload::{CacheMode, TOKENS_MAX, Workload};

use super::ablation::read_ablation;
use super::images::read_images;
use super::judging::read_judging;
use super::lengths::{read_cache, read_length};
use super::mixes::{add_mixes, is_mix, read_models};
use super::phases::{Given, Phases, read_phases};
use super::proof::read_client_proof;
use super::raw::{Collector, Node, Origin, Value};
use super::read::{Field, Section};
use super::repeats::read_repeats;
use super::server::read_server;
use super::serving::read_serving;
use super::window::{Bounds, read_bounds};
use super::{Campaign, KeyRef, Mode, Tier};

/// Bytes of a model's name, at most.
pub(super) const MODEL_BYTES_MAX: usize = 512;
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
    let (endpoint, target) = read_target(&or_empty("target"), c);
    let workloads = read_workloads(&or_empty("workloads"), endpoint, c);
    let loaded = target.as_ref().map(|table| &table.target);
    let workloads = add_mixes(&or_empty("workloads"), workloads, loaded, c);
    let stream = target.as_ref().map(|table| table.target.stream);
    let judging = read_judging(top.get("slo"), top.get("hardware"), (endpoint, stream), c);
    let client_proof = read_client_proof(top.get("client_proof"), mode, tier, c);
    let given = Given {
        workloads: &workloads,
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
    let TargetTable { target, api_key, ca, ready_timeout } = target?;
    let Phases { phases, search } = phases?;
    Some(Campaign {
        name: name?,
        mode: mode?,
        tier: tier?,
        seed: Seed(seed?),
        target,
        ca,
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

/// The target, and what is said of it beside; `None` if there was a problem.
type ReadTarget = Option<TargetTable>;

/// What the table of the target says.
struct TargetTable {
    target: Target,
    api_key: Option<KeyRef>,
    ca: Option<PathBuf>,
    ready_timeout: Duration,
}

/// The target, and before it the endpoint, which other tables depend on: the default one if that is
/// not valid.
fn read_target(field: &Field<'_>, c: &mut Collector<'_>) -> (Endpoint, ReadTarget) {
    let valid = [
        "base_urls",
        "model",
        "endpoint",
        "stream",
        "connection",
        "api_key",
        "tls",
        "timeouts",
        "ready_timeout",
    ];
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
    let base_url = section.need("base_urls", hint, c).and_then(|field| read_base_url(&field, c));
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
    let api_key = match section.get("api_key") {
        Some(field) => read_key(&field, c).map(Some),
        None => Some(None),
    };
    let ca = match section.get("tls") {
        Some(field) => read_ca(&field, base_url.as_ref(), c).map(Some),
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
        connection: connection?,
        authorities: None,
        timeouts: timeouts?,
    };
    Some(TargetTable { target, api_key: api_key?, ca: ca?, ready_timeout: ready_timeout? })
}

fn read_ca(
    field: &Field<'_>,
    base_url: Option<&BaseUrl>,
    c: &mut Collector<'_>,
) -> Option<PathBuf> {
    let section = Section::open(field, &["ca"], c)?;
    let hint = "name the file of the authority's certificate: { ca = \"PATH\" }";
    let path = section.need("ca", hint, c)?.line(PATH_BYTES_MAX, c)?;
    if base_url.is_some_and(|url| !url.tls) {
        let what = "the target has no certificate to check: base_urls would have to be https";
        return field.refuse_unseen(c, what);
    }
    Some(path.into())
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

fn read_workloads(field: &Field<'_>, endpoint: Endpoint, c: &mut Collector<'_>) -> Workloads {
    let Some(section) = Section::open_any(field, c) else {
        return Workloads::new();
    };
    section
        .entries()
        .filter(|(_, _, field)| !is_mix(field))
        .map(|(key, origin, field)| {
            let name = match key.parse::<Name>() {
                Ok(name) => Some(name),
                Err(error) => c.add(origin, &field.key, None, error.to_string()),
            };
            let workload = read_workload(name, &field, endpoint, c);
            (key.to_owned(), workload)
        })
        .collect()
}

fn read_workload(
    name: Option<Name>,
    field: &Field<'_>,
    endpoint: Endpoint,
    c: &mut Collector<'_>,
) -> Option<Workload> {
    let valid =
        ["input_tokens", "output_tokens", "forced_length", "cache", "models", "mix", "images"];
    let section = Section::open(field, &valid, c)?;
    let mut tokens = |key: &str| {
        let hint = format!("say how many tokens, 1 to {TOKENS_MAX}");
        read_length(&section.need(key, &hint, c)?, c)
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
    let models = match section.get("models") {
        Some(field) => read_models(&field, c),
        None => Some(Vec::new()),
    };
    let images = match section.get("images") {
        Some(field) => read_images(&field, endpoint, c).map(Some),
        None => Some(None),
    };
    Some(Workload {
        forced_length: forced_length?,
        cache: cache?,
        models: models?,
        images: images?,
        ..Workload::new(name?, input_tokens?, output_tokens?)
    })
}

fn read_forced_length(
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
fn read_no_output(section: &Section<'_>, c: &mut Collector<'_>) -> (Option<Length>, Option<bool>) {
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
