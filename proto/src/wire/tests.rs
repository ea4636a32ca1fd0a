use common::extra::Header;
use common::hist::LatencyHist;
use common::ids::{BootId, Epoch, LevelId, RunId, UserId};
use common::length::{Bounds, Length};
use common::outcome::{Ending, Failure, Marks, Outcome, Usage};
use common::phase::Phase;
use common::seed::Seed;
use common::slice::InSlices;
use common::snapshot::{LevelEnd, Origin, Snapshot, Vitals};
use common::tally::Tally;
use common::target::{Connection, Endpoint, Http, Target, Timeouts};
use common::time::Tick;
use common::trust::Authorities;
use common::workload::{CacheMode, SharedPrefix, Workload};
use proptest::prelude::*;
use prost::Message as _;
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::*;
use crate::message::{Order, Report};
use crate::secrets::{ClientCertificate, Secrets};
use common::arrivals::{Arrivals, Curve, Law, PerSecond, Rate, Schedule};
use common::assignment::{Assignment, End, Load, Pace, Share};
use common::slo::Slo;
use std::time::Duration;

fn outcome(latency_us: u64, ending: Ending) -> Outcome {
    let sent = Tick(5_000);
    let end = Tick(5_000 + latency_us * 1000);
    Outcome {
        user: UserId(0),
        request: 0,
        slices: InSlices::NONE,
        ending,
        status: Some(200),
        paper_success: true,
        marks: Marks {
            intended: Tick(0),
            sent: Some(sent),
            head: None,
            first_token: Some(sent),
            first_answer: None,
            last_token: Some(end),
            done: end,
        },
        usage: Some(Usage { prompt: 3, completion: 9, reasoning: 1, cached_prompt: 2 }),
        events: 9,
        gaps_us: vec![0, 20_000],
        detail: Some(format!("busy, try again in {latency_us} µs")),
        images: None,
    }
}

fn seal(latencies: &[u64]) -> Seal {
    sealed(Tally::default(), latencies)
}

fn sealed(mut tally: Tally, latencies: &[u64]) -> Seal {
    let mut at = 0;
    let mut previous = None;
    for (n, &latency) in latencies.iter().enumerate() {
        tally.start(0, InSlices::NONE);
        let ending = if n % 5 == 4 { Failure::Http503.into() } else { Ending::Succeeded };
        previous = tally.end(&outcome(latency, ending), Tick::ZERO, Slo::default(), previous);
        tally.in_flight(at, at + latency, 7);
        at += latency;
    }
    Seal {
        snapshot: Snapshot {
            origin: Origin {
                boot: BootId(Uuid::from_u128(1)),
                epoch: Epoch(3),
                level: LevelId { ordinal: 4, attempt: 1 },
            },
            sequence: 12,
            at: Tick(99),
            tally,
            vitals: Vitals {
                worker_cpu: 0.25,
                worker_cpu_max: 0.5,
                busy_share: 0.1,
                clock_step_ns: 7,
                suspended_ns: 8,
                health: None,
            },
        },
        end: LevelEnd::Faulted("why".to_owned()),
    }
}

fn assignment() -> Assignment {
    Assignment {
        run: RunId(Uuid::from_u128(7)),
        level: LevelId { ordinal: 1, attempt: 0 },
        phase: Phase::Stress,
        place: 2,
        seed: Seed(42),
        share: Share { first: UserId(1), step: 4, count: 3 },
        load: Load::counted(12, 100),
        slo: Slo { ttft: Some(Duration::from_millis(500)), ..Slo::default() },
        workload: Workload {
            forced_length: true,
            ..Workload::new("long".parse().unwrap(), 500.into(), 200.into())
        },
        target: Target {
            base_url: "https://example.com/x".parse().unwrap(),
            model: "m".to_owned(),
            endpoint: Endpoint::Completions,
            stream: true,
            connection: Connection::PerRequest,
            authorities: Some(
                Authorities::new("-----BEGIN CERTIFICATE-----\n".to_owned()).unwrap(),
            ),
            timeouts: Timeouts::DEFAULT,
            more_base_urls: vec!["http://[::1]:9/y/v1/v1".parse().unwrap()],
            http: Http::V2,
            extra_body: r#"{"top_p":0.9,"x":{"y":[null]}}"#.parse().unwrap(),
            headers: vec![Header { name: "x-team".parse().unwrap(), value: "a b".to_owned() }],
            key_header: Some("api-key".parse().unwrap()),
        },
        proof: Some(Pace { ttft: Duration::from_millis(200), itl: Duration::from_millis(20) }),
    }
}

fn order_over_the_wire(change: impl FnOnce(&mut pb::Assignment)) -> Result<Order, WireError> {
    let secrets = Secrets::default();
    let order = Order::Arm { epoch: Epoch(9), assignment: Box::new(assignment()), secrets };
    let mut message = pb::Order::from(&order);
    if let Some(pb::order::Order::Arm(arm)) = &mut message.order {
        change(arm.assignment.as_mut().unwrap());
    }
    Order::try_from(pb::Order::decode(message.encode_to_vec().as_slice()).unwrap())
}

proptest! {
    #[test]
    fn seals_survive_the_wire(latencies in prop::collection::vec(0u64..4_000_000_000, 0..100)) {
        let seal = seal(&latencies);
        prop_assert_eq!(decode_seal(&encode_seal(&seal)), Ok(seal));
    }

    #[test]
    fn windowed_seals_survive_the_wire(
        latencies in prop::collection::vec(0u64..4_000_000, 0..40),
        from in prop::option::of(0u64..10_000),
        length in prop::option::of(0u64..3_000_000_000),
    ) {
        let mut tally = Tally::windowed();
        if let Some(from) = from {
            tally.measure(from);
        }
        if let Some(length) = length {
            tally.release(from.unwrap_or(0) + length);
        }
        let seal = sealed(tally, &latencies);
        prop_assert_eq!(decode_seal(&encode_seal(&seal)), Ok(seal));
    }

    #[test]
    fn loads_survive_the_wire(
        law in 0u32..3, rate in 1u64..1_000_000_000, ramp in prop::option::of((1u64..1_000_000, 0u32..4)),
        requests in prop::option::of(1u64..1000), closed: bool,
    ) {
        let law = match law {
            0 => Law::Constant,
            1 => Law::Poisson,
            shape => Law::Gamma { shape_milli: shape * 700 },
        };
        let over = Duration::from_secs(3);
        let rate = match ramp {
            None => Rate::Flat(PerSecond(rate)),
            Some((from, curve)) => Rate::Ramp {
                from: PerSecond(from),
                to: PerSecond(rate),
                over,
                curve: match curve {
                    0 => Curve::Linear,
                    1 => Curve::Exponential,
                    steps => Curve::Steps(steps),
                },
            },
        };
        let arrivals = if closed {
            Arrivals::Closed { ramp: over }
        } else {
            Arrivals::Open(Schedule { law, rate })
        };
        let load = Load { users: 12, arrivals, end: requests.map_or(End::Window, End::Requests) };
        let sent = Assignment { load, ..assignment() };
        let message = pb::Assignment::from(&sent);
        prop_assert_eq!(Assignment::try_from(message), Ok(sent));
    }

    #[test]
    fn hostile_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode_seal(&bytes);
        let _ = pb::Order::decode(bytes.as_slice()).map(Order::try_from);
        let _ = pb::Report::decode(bytes.as_slice()).map(Report::try_from);
    }

    #[test]
    fn a_flipped_bit_is_refused_or_yields_a_consistent_seal(place: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = encode_seal(&seal(&[1, 200, 30_000, 4_000_000, 55]));
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(seal) = decode_seal(&bytes) {
            prop_assert_eq!(seal.snapshot.tally.check_sealed(), Ok(()));
        }
    }
}

#[test]
fn an_assignment_means_the_same_on_both_sides() {
    let Ok(Order::Arm { epoch, assignment: got, .. }) = order_over_the_wire(|_| {}) else {
        panic!("not an arm order");
    };
    assert_eq!(epoch, Epoch(9));
    assert_eq!(*got, assignment());
    assert_eq!(got.digest(), assignment().digest());
}

#[test]
fn a_bad_field_is_named() {
    let field = |change: fn(&mut pb::Assignment)| order_over_the_wire(change).unwrap_err().field;
    assert_eq!(field(|a| a.phase = 0), "phase");
    assert_eq!(field(|a| a.phase = 77), "phase");
    assert_eq!(field(|a| a.run = vec![1]), "run");
    assert_eq!(field(|a| a.level = None), "level");
    assert_eq!(field(|a| a.load_users = 0), "load");
    assert_eq!(field(|a| a.share_step = 0), "share_step");
    assert_eq!(field(|a| a.share_count = 4), "share_count");
    assert_eq!(field(|a| a.arrivals = 9), "arrivals");
    assert_eq!(field(|a| a.arrivals = 2), "schedule");
    let scheduled = |change: fn(&mut pb::Schedule)| {
        let mut message = pb::Assignment::from(&assignment());
        message.arrivals = pb::Arrivals::Open.into();
        let rate = Rate::Ramp {
            from: PerSecond(1),
            to: PerSecond(2),
            over: Duration::from_secs(1),
            curve: Curve::Steps(2),
        };
        let mut schedule = Schedule { law: Law::Gamma { shape_milli: 1 }, rate }.into();
        change(&mut schedule);
        message.schedule = Some(schedule);
        Assignment::try_from(message).map_err(|error| error.field)
    };
    assert!(scheduled(|_| {}).is_ok());
    assert_eq!(scheduled(|s| s.law = None), Err("schedule.law"));
    assert_eq!(scheduled(|s| s.rate = 0), Err("schedule.rate"));
    assert_eq!(scheduled(|s| s.rate = u64::MAX), Err("schedule.rate"));
    assert_eq!(
        scheduled(|s| s.ramp = Some(pb::Ramp { steps: 1, ..s.ramp.unwrap() })),
        Err("schedule.ramp.curve")
    );
    assert_eq!(
        scheduled(|s| s.ramp = Some(pb::Ramp { over_ns: 0, ..s.ramp.unwrap() })),
        Err("schedule.ramp.over_ns")
    );
    assert_eq!(field(|a| a.workload.as_mut().unwrap().name = "../x".to_owned()), "workload.name");
    // A prompt is built in memory: its length is no stranger's choice.
    fn workload(assignment: &mut pb::Assignment) -> &mut pb::Workload {
        assignment.workload.as_mut().unwrap()
    }
    let long = |a: &mut pb::Assignment| {
        let law = Some(pb::length::Law::Fixed(u32::MAX));
        workload(a).input_tokens = Some(pb::Length { law });
    };
    assert_eq!(field(long), "workload.input_tokens");
    let lawless =
        |a: &mut pb::Assignment| workload(a).output_tokens = Some(pb::Length { law: None });
    assert_eq!(field(lawless), "workload.output_tokens");
    assert_eq!(field(|a| workload(a).cache = None), "workload.cache");
    let whole = |a: &mut pb::Assignment| {
        let prefix = pb::SharedPrefix { tokens: 491, groups: 1, share_permille: 1000 };
        workload(a).cache = Some(pb::workload::Cache::SharedPrefix(prefix));
    };
    assert_eq!(field(whole), "workload.cache.shared_prefix");
    assert_eq!(
        field(|a| a.target.as_mut().unwrap().base_url = "file:///".to_owned()),
        "target.base_url"
    );
    assert_eq!(
        field(|a| a.target.as_mut().unwrap().model = "a\u{1b}[2J".to_owned()),
        "target.model"
    );
    assert_eq!(field(|a| a.target.as_mut().unwrap().idle_timeout_ns = 0), "target.idle_timeout_ns");
    assert_eq!(field(|a| a.target.as_mut().unwrap().connection = 3), "target.connection");
    let pem = |a: &mut pb::Assignment| a.target.as_mut().unwrap().authorities_pem += "PRIVATE KEY";
    assert_eq!(field(pem), "target.authorities_pem");
    fn target(assignment: &mut pb::Assignment) -> &mut pb::Target {
        assignment.target.as_mut().unwrap()
    }
    let twice = |a: &mut pb::Assignment| {
        target(a).more_base_urls = vec!["http://x".to_owned(), "http://x:80/".to_owned()];
    };
    assert_eq!(field(twice), "target.more_base_urls");
    assert_eq!(
        field(|a| target(a).more_base_urls = vec!["https://example.com/x".to_owned()]),
        "target.more_base_urls"
    );
    assert_eq!(
        field(|a| target(a).more_base_urls = (0..64).map(|n| format!("http://h{n}")).collect()),
        "target.more_base_urls"
    );
    assert_eq!(field(|a| target(a).extra_body = "[]".to_owned()), "target.extra_body");
    assert_eq!(field(|a| target(a).headers[0].value = "a\nb".to_owned()), "target.headers");
    assert_eq!(field(|a| target(a).headers[0].name = "Host".to_owned()), "target.headers");
    assert_eq!(field(|a| target(a).headers[0].name = "authorization".to_owned()), "target.headers");
    assert_eq!(field(|a| target(a).http = 3), "target.http");
    assert_eq!(field(|a| target(a).key_header = "a b".to_owned()), "target.key_header");
}

#[test]
fn every_endpoint_crosses_the_wire_with_work_that_it_can_do() {
    let over = |endpoint: Endpoint, stream, output_tokens: u32, forced_length| {
        let output_tokens = Length::Fixed(output_tokens);
        let mut sent = assignment();
        sent.target = Target { endpoint, stream, ..sent.target };
        sent.workload = Workload { output_tokens, forced_length, ..sent.workload };
        Assignment::try_from(pb::Assignment::from(&sent)).map(|got| got == sent)
    };
    for endpoint in Endpoint::ALL {
        let (stream, tokens) = (endpoint.generates(), if endpoint.generates() { 5 } else { 0 });
        let forced = endpoint != Endpoint::Messages;
        assert_eq!(over(endpoint, stream, tokens, forced), Ok(true), "{endpoint:?}");
    }
    let refused = |endpoint, stream, tokens, forced| {
        over(endpoint, stream, tokens, forced).unwrap_err().field
    };
    assert_eq!(refused(Endpoint::Chat, true, 0, false), "workload");
    assert_eq!(refused(Endpoint::Embeddings, false, 1, true), "workload");
    assert_eq!(refused(Endpoint::Embeddings, true, 0, true), "target.stream");
    assert_eq!(refused(Endpoint::Messages, true, 5, true), "workload.forced_length");
}

#[test]
fn histograms_that_would_bomb_or_lie_are_refused() {
    let refused = |message: pb::Histogram| LatencyHist::try_from(message).unwrap_err().reason;
    let histogram = |gaps_us, counts| pb::Histogram { gaps_us, counts, ..Default::default() };
    assert!(refused(histogram(vec![1; 30_000], vec![1; 30_000])).contains("more than"));
    assert!(refused(histogram(vec![1], vec![])).contains("differ in number"));
    assert!(refused(histogram(vec![u64::MAX, 2], vec![1, 1])).contains("overflow"));
    assert!(refused(histogram(vec![5], vec![0])).contains("empty bucket"));
    let mut lie = pb::Histogram::from(seal(&[10, 20]).snapshot.tally.latencies.e2e);
    lie.sum_us_high = 1;
    assert!(refused(lie).contains("contradict"));
}

#[test]
fn words_of_a_target_are_bounded_and_belong_to_a_failure() {
    let refused = |class: &str, words: &str| {
        let mut message = pb::Tally::from(&seal(&[10, 20, 30, 40, 50]).snapshot.tally);
        assert_eq!(message.details.len(), 1);
        message.details[0] = pb::ClassDetail { class: class.into(), words: words.into() };
        Tally::try_from(message).err().map(|error| error.to_string())
    };
    assert_eq!(refused("http_503", &"é".repeat(300)), None);
    for (class, words, why) in [
        ("http_503", "é".repeat(301), "300 characters"),
        ("http_503", String::new(), "300 characters"),
        ("http_503", "\u{1b}[2J".to_owned(), "control"),
        ("http_5xx", "busy".to_owned(), "did not occur"),
        ("cancelled_plan", "busy".to_owned(), "unknown class"),
    ] {
        let error = refused(class, &words).unwrap();
        assert!(error.contains("tally.details") && error.contains(why), "{error}");
    }
}

/// Secrets of every kind, each with a word by which it is found.
fn secrets() -> Secrets {
    Secrets {
        api_key: Some("sk-canary".into()),
        headers: vec![("x-secret".parse().unwrap(), "canary-2".into())],
        client: Some(ClientCertificate {
            chain: "-----BEGIN CERTIFICATE-----".into(),
            key: "canary-3".into(),
        }),
    }
}

#[test]
fn secrets_cross_the_wire() {
    let assignment = Box::new(assignment());
    let order = Order::Arm { epoch: Epoch(9), assignment, secrets: secrets() };
    let message = pb::Order::from(&order).encode_to_vec();
    let back = Order::try_from(pb::Order::decode(message.as_slice()).unwrap()).unwrap();
    let Order::Arm { secrets, .. } = back else { panic!("another order") };
    assert_eq!(secrets.api_key.unwrap().expose_secret(), "sk-canary");
    let headers: Vec<_> =
        secrets.headers.iter().map(|(n, v)| (n.as_str(), v.expose_secret())).collect();
    assert_eq!(headers, [("x-secret", "canary-2")]);
    assert_eq!(secrets.client.unwrap().key.expose_secret(), "canary-3");
}

#[test]
fn keys_never_show_in_errors_or_debug_output() {
    let order =
        Order::Arm { epoch: Epoch(1), assignment: Box::new(assignment()), secrets: secrets() };
    assert!(!format!("{order:?}").contains("canary"));
    let header = |name: &str, value: &str| pb::Header { name: name.into(), value: value.into() };
    type Bend = fn(&mut pb::Arm);
    let bends: [(Bend, &str); 6] = [
        (|arm| arm.api_key = Some("sk-canary\n".into()), "arm.api_key"),
        (|arm| arm.secret_headers[0].value = "canary\r\nx: y".into(), "arm.secret_headers"),
        (|arm| arm.secret_headers[0].name = "canary canary".into(), "arm.secret_headers"),
        (|arm| arm.client_cert_pem.clear(), "arm.client_cert_pem"),
        (|arm| arm.client_key_pem.clear(), "arm.client_key_pem"),
        (|arm| arm.client_key_pem = "canary".repeat(20_000), "arm.client_key_pem"),
    ];
    for (bend, field) in bends {
        let mut arm = pb::Arm {
            assignment: Some((&assignment()).into()),
            api_key: Some("sk-canary".into()),
            secret_headers: vec![header("x-secret", "canary")],
            client_cert_pem: "-----BEGIN CERTIFICATE-----".into(),
            client_key_pem: "canary".into(),
        };
        let order = |arm: &pb::Arm| {
            let order = pb::order::Order::Arm(arm.clone());
            Order::try_from(pb::Order { epoch: 1, order: Some(order) })
        };
        assert!(order(&arm).is_ok());
        bend(&mut arm);
        let error = order(&arm).unwrap_err();
        assert_eq!(error.field, field);
        assert!(!format!("{error:?}").contains("canary"), "{error}");
    }
}

impl From<LatencyHist> for pb::Histogram {
    fn from(hist: LatencyHist) -> Self {
        (&hist).into()
    }
}

#[test]
fn every_workload_survives_the_way() {
    let bounds = Bounds { least: 20, most: 900 };
    let lengths = [
        Length::Fixed(500),
        Length::Uniform { least: 20, most: 900 },
        Length::Normal { mean: 300, sd: 0, bounds },
        Length::Lognormal { median: 300, sigma_milli: 600, bounds },
        Length::Values(vec![20, 20, 900]),
    ];
    let prefix = SharedPrefix { tokens: 10, groups: 3, share_permille: 250 };
    let caches = [CacheMode::Cold, CacheMode::SharedPrefix(prefix), CacheMode::Replay];
    for input_tokens in &lengths {
        for output_tokens in &lengths {
            for cache in caches {
                let (input_tokens, output_tokens) = (input_tokens.clone(), output_tokens.clone());
                let workload =
                    Workload { input_tokens, output_tokens, cache, ..assignment().workload };
                let back = Workload::try_from(pb::Workload::from(&workload));
                assert_eq!(back, Ok(workload));
            }
        }
    }
}
