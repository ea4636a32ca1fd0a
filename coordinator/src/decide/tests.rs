//! Searches from their first level to what the report says, as a run takes them: each level is
//! decided from what was stored of those before it.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use common::ids::LevelId;
use common::phase::Phase;
use common::slo::Slo;
use tempfile::TempDir;

use super::*;
use crate::campaign::{self, Mode, Overlay, Source, Tier};
use crate::classify::{Code, Verdict};
use crate::record::{
    Asked, IdentityRecord, LevelFate, LevelRecord, RunEnd, RunHeader, RunOutcome, RunRecord, UnixMs,
};
use crate::report::{LevelReport, LevelState, Real, ReportModel, text};
use crate::stats::Objective;
use crate::store::Store;
use crate::target::identity::Identity;
use crate::testdata::{self, Shape, Windowed, stored};

/// A campaign that searches, and nothing else.
fn campaign(search: &str) -> (Campaign, String) {
    let text = format!(
        "mode = \"floodmark\"\ntier = \"quick\"\n[target]\nbase_urls = [\"http://h\"]\n\
         model = \"m\"\n[slo]\nttft = \"2s\"\nquantile = 0.9\n[workloads.w]\ninput_tokens = 50\n\
         output_tokens = 5\n[phases.saturation]\nworkload = \"w\"\nsearch = {search}\n\
         cooldown = \"0s\"\n"
    );
    let source = Source { name: "c.toml", text: &text };
    (campaign::resolve(Some(source), &Overlay::default()).unwrap(), text)
}

/// The run of such a campaign before its first level.
fn empty(text: &str) -> RunRecord {
    let run = testdata::run();
    let header = RunHeader {
        mode: Mode::Floodmark,
        tier: Tier::Quick,
        campaign_toml: text.to_owned(),
        campaign_sha256: common::digest::Digest::of(text.as_bytes()),
        levels_planned: 0,
        ..run.header
    };
    RunRecord { header, levels: Vec::new(), end: None, ..run }
}

/// A server of so many slots: more users bring no more.
const SLOTS: u32 = 6;

/// A level of `planned` users as it is when all goes well.
fn level(planned: &PlannedLevel) -> LevelRecord {
    /// What was made before, by users: a search runs most loads several times.
    static MADE: Mutex<BTreeMap<u32, LevelRecord>> = Mutex::new(BTreeMap::new());
    let users = planned.load.users;
    let made = MADE.lock().unwrap().entry(users).or_insert_with(|| made(users)).clone();
    LevelRecord { planned: planned.clone(), ..made }
}

fn made(users: u32) -> LevelRecord {
    let slower = u64::from(users.max(SLOTS)) * 1000 / u64::from(SLOTS);
    let (ttft_us, itl_us) = (200 * slower, 20 * slower);
    let shape = Shape { ttft_us, itl_us, prompt: 50, completion: 5, fail_every: 0 };
    let slo = Slo { ttft: Some(Duration::from_secs(2)), tpot: None, e2e: None };
    let phase = Phase::Saturation;
    // Long enough that the search needs few runs of a load.
    Windowed { phase, users, window_s: (2, 80), shape, slo, ..Windowed::USUAL }.level()
}

/// The same where an agent had no processor time to spare.
fn starved(planned: &PlannedLevel) -> LevelRecord {
    let mut level = level(planned);
    let seal = level.shares[0].seal.as_mut().unwrap();
    seal.snapshot.vitals.busy_share = 0.9;
    level
}

/// The same after an agent was lost.
fn lost(planned: &PlannedLevel) -> LevelRecord {
    let mut level = level(planned);
    level.fate = Some(LevelFate::Quarantined("agent gen-1 was late".to_owned()));
    level.shares[1].seal = None;
    level
}

/// A run that was played to its end, and what was said on the way.
#[derive(Clone)]
struct Played {
    record: RunRecord,
    /// Why it ended.
    because: String,
    /// What was said before each level was run, by ordinal.
    said: Vec<String>,
}

impl Played {
    fn model(&self) -> ReportModel {
        ReportModel::new(&self.record, &[])
    }
}

/// Plays a search: `run` makes the attempts of a level from its place.
fn play(search: &str, run: impl Fn(usize, &PlannedLevel) -> Vec<LevelRecord>) -> Played {
    let (campaign, text) = campaign(search);
    let mut record = empty(&text);
    assert!(Plan::of(&campaign).open && Plan::of(&campaign).levels.is_empty());
    let mut decider = Decider::of(&campaign);
    let mut so_far = ReportModel::new(&record, &[]);
    let mut said = Vec::new();
    loop {
        let (next, because) = decider.decide(&so_far);
        let [planned] = next.as_slice() else {
            let (outcome, finished_at) = (RunOutcome::Completed, UnixMs(0));
            record.end =
                Some(RunEnd { outcome, exit_code: 0, because: because.clone(), finished_at });
            return Played { record, because, said };
        };
        assert!(said.len() < 130, "a search ends");
        let ordinal = u32::try_from(said.len()).unwrap();
        let attempts = run(said.len(), planned);
        said.push(because);
        for (attempt, mut level) in (0..).zip(attempts) {
            level.id = LevelId { ordinal, attempt };
            // What is found of a level by itself is enough for a search.
            let alone = RunRecord { levels: vec![level.clone()], ..empty("") };
            so_far.levels.extend(ReportModel::new(&alone, &[]).levels);
            record.levels.push(level);
        }
    }
}

/// The report finds what the run found while it went on, and what it ran each level for.
fn assert_replayed(played: &Played) -> ReportModel {
    let model = played.model();
    assert_eq!(model.saturation.because, played.because);
    assert_eq!(model.ended_because, played.because);
    for level in &model.levels {
        let said = &played.said[level.facts.ordinal as usize];
        let purpose = level.purpose.unwrap();
        assert!(said.ends_with(&format!("({purpose})")), "{said}: {purpose}");
    }
    let dir = TempDir::new().unwrap();
    drop(stored(dir.path(), &played.record));
    let loaded = Store::open(dir.path()).unwrap().load().unwrap();
    assert_eq!(ReportModel::new(&loaded.record, &loaded.damage), model);
    model
}

/// A search in which all goes well.
static PLAIN: LazyLock<Played> = LazyLock::new(|| play(USERS, |_, planned| vec![level(planned)]));

const USERS: &str = "{ start = 2, max_users = 32, budget = \"2h\" }";

#[test]
fn a_server_of_so_many_slots_saturates_and_the_report_says_so_again() {
    let model = assert_replayed(&PLAIN);
    let saturation = &model.saturation;
    assert_eq!(saturation.answer, Some("saturated"));
    let [low, high] = saturation.ci.unwrap().map(Real::value);
    let slots = f64::from(SLOTS);
    assert!(low <= slots && slots <= high && high / low < 1.5, "{low} to {high}");
}

#[test]
fn a_client_that_is_the_limit_is_no_knee() {
    let model = assert_replayed(&play(USERS, |_, planned| {
        vec![if planned.load.users > 4 { starved(planned) } else { level(planned) }]
    }));
    let saturation = &model.saturation;
    assert_eq!((saturation.users, saturation.ci), (None, None));
    assert_eq!(saturation.answer, Some("client_limited"));
    assert_eq!(saturation.because, "not found: the client was the limit above 4 users");
    // It was tried again before it was blamed.
    let tried: Vec<_> =
        model.levels.iter().map(|level| (level.users_asked, level.purpose)).collect();
    assert_eq!(tried[tried.len() - 2..], [(8, Some("climb")), (8, Some("retry"))]);
    let limited = |level: &LevelReport| {
        level.verdicts.iter().any(|verdict| verdict.code == Code::ClientLimited)
    };
    assert!(model.levels.iter().all(|level| limited(level) == (level.users_asked == 8)));

    let model = assert_replayed(&play(USERS, |_, planned| vec![starved(planned)]));
    assert_eq!(model.levels.len(), 2);
    let because = "not found: the client was the limit at the first load already";
    assert_eq!(model.saturation.because, because);
}

#[test]
fn levels_that_had_to_be_tried_again_change_no_answer() {
    let plain = &PLAIN;
    let retried = play(USERS, |place, planned| match place % 3 {
        0 => vec![lost(planned), lost(planned), level(planned)],
        1 => vec![lost(planned), level(planned)],
        _ => vec![level(planned)],
    });
    assert!(retried.record.levels.len() > plain.record.levels.len() + 3);
    assert_eq!((&retried.because, &retried.said), (&plain.because, &plain.said));
    assert_replayed(&retried);
}

#[test]
fn a_search_that_was_stopped_stands_where_its_last_whole_level_left_it() {
    let played = &PLAIN;
    let (campaign, _) = campaign(USERS);
    for stopped in [0, 3, played.said.len() - 1] {
        for fate in [Some(LevelFate::Stopped("interrupted".to_owned())), None] {
            let mut record = played.record.clone();
            record.levels.truncate(stopped + 1);
            let planned = record.levels[stopped].planned.clone();
            record.levels[stopped].fate = fate;
            record.end = None;
            let model = ReportModel::new(&record, &[]);
            let saturation = &model.saturation;
            assert_eq!((saturation.users, saturation.answer), (None, Some("unfinished")));
            assert_ne!(model.levels[stopped].state, LevelState::Complete);
            // It would be run again, for what it was run.
            let (next, because) = Decider::of(&campaign).decide(&model);
            assert_eq!((next, &because), (vec![planned], &played.said[stopped]));
            let purpose = model.levels[stopped].purpose.unwrap();
            assert!(because.ends_with(&format!("({purpose})")), "{because}");
        }
    }
}

fn said(asked: Asked, version: &str) -> IdentityRecord {
    let identity = Identity { version: Some(version.to_owned()), ..Identity::default() };
    IdentityRecord { asked, at: UnixMs(0), identity }
}

#[test]
fn a_server_that_was_another_one_in_the_end_has_no_saturation_point() {
    let mut played = PLAIN.clone();
    assert!(played.because.starts_with("saturates at "), "{}", played.because);
    let purposes = |model: &ReportModel| -> Vec<Option<&str>> {
        model.levels.iter().map(|level| level.purpose).collect()
    };
    let before = purposes(&played.model());
    played.record.identities = vec![said(Asked::Began, "1"), said(Asked::Ended, "1")];
    assert_replayed(&played);

    played.record.identities[1] = said(Asked::Ended, "2");
    let model = played.model();
    let saturation = &model.saturation;
    assert_eq!(
        saturation.because,
        "not found: SERVER_CHANGED strikes every level of the search: at the end its version was \
         1, then 2"
    );
    assert_eq!((saturation.method, saturation.goal), ("search", Some("saturation")));
    assert_eq!(saturation.answer, Some("struck"));
    assert_eq!((saturation.users, saturation.ci, saturation.rate_max), (None, None, None));
    assert_eq!((saturation.measured_up_to, saturation.n_power), (None, None));
    assert_eq!((saturation.capacity, saturation.usl, &model.peak), (None, None, &None));
    // The levels were run for what they were run for.
    assert_eq!(purposes(&model), before);
    let shown = text(&model, std::path::Path::new("DIR"));
    assert!(!shown.contains("saturates at"), "{shown}");
    assert!(shown.contains("what it found does not hold: SERVER_CHANGED"), "{shown}");

    // Whoever stopped a run did so for a reason of its own.
    let end = played.record.end.as_mut().unwrap();
    end.outcome = RunOutcome::Stopped;
    end.because = "interrupted by the operator".to_owned();
    assert_eq!(played.model().ended_because, "interrupted by the operator");
}

/// A level of a rate at which the objectives are met, and what else is found of it.
fn at_rate(ordinal: u32, planned: &PlannedLevel, codes: &[Code], is_full: bool) -> LevelReport {
    let made = Windowed { phase: Phase::Saturation, rate: Some(8), users: 40, ..Windowed::USUAL };
    let record = RunRecord { levels: vec![made.level()], ..testdata::run() };
    let mut report = ReportModel::new(&record, &[]).levels.remove(0);
    let rate = planned.load.arrivals;
    let common::arrivals::Arrivals::Open(schedule) = rate else { panic!("{rate:?}") };
    report.rate_asked_per_s = Real::new(schedule.rate.settled().value());
    report.users_asked = planned.load.users;
    report.in_flight_peak = Some(if is_full { planned.load.users } else { 1 });
    report.facts.ordinal = ordinal;
    report.facts.objective = Some(Objective::Met);
    report.verdicts = codes.iter().map(|code| Verdict::invalid(*code, "x".to_owned())).collect();
    report
}

/// Searches for a rate; above 40 requests/s the rate is not reached.
fn rate_not_reached(is_full: bool) -> (Vec<LevelReport>, String) {
    let (campaign, _) = campaign("{ start = 10, max_rate = 1000, budget = \"24h\" }");
    let mut decider = Decider::of(&campaign);
    let mut so_far = ReportModel::new(&empty(""), &[]);
    loop {
        let (next, because) = decider.decide(&so_far);
        let [planned] = next.as_slice() else { return (so_far.levels, because) };
        assert!(so_far.levels.len() < 130, "a search ends");
        let ordinal = u32::try_from(so_far.levels.len()).unwrap();
        let usual = at_rate(ordinal, planned, &[], false);
        let above = usual.rate_asked_per_s.unwrap().value() > 40.0;
        let late = || at_rate(ordinal, planned, &[Code::RateNotReached], is_full);
        so_far.levels.push(if above { late() } else { usual });
    }
}

#[test]
fn a_rate_that_is_not_reached_is_the_clients_limit_unless_requests_pile_up() {
    let (levels, because) = rate_not_reached(false);
    assert_eq!(because, "not found: the client was the limit above 40 requests/s");
    let rates: Vec<f64> = levels.iter().map(|l| l.rate_asked_per_s.unwrap().value()).collect();
    assert_eq!(rates, [10.0, 20.0, 40.0, 80.0, 80.0]);

    // As many as may be are in flight: it is the server that answers too slowly.
    let (levels, because) = rate_not_reached(true);
    assert!(because.starts_with("the objectives are met up to "), "{because}");
    assert!(because.contains("and no longer for certain at "), "{because}");
    let (campaign, _) = campaign("{ start = 10, max_rate = 1000, budget = \"24h\" }");
    let Decider::Search(search) = Decider::of(&campaign) else { panic!("no search") };
    let searched = Searched::of(&search, &levels);
    assert_eq!((searched.next(), searched.words()), (Next::Over, because.clone()));
    let words: Vec<&str> = because.split_whitespace().collect();
    let met: f64 = words.iter().find_map(|word| word.parse().ok()).unwrap();
    assert!((38.0..=40.0).contains(&met), "{because}");
}
