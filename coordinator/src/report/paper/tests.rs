use std::collections::BTreeMap;
use std::sync::LazyLock;

use common::ids::{Name, RunId};
use common::phase::Phase;
use common::target::Endpoint;
use common::workload::Workload;
use proptest::prelude::*;
use uuid::Uuid;

use super::chart::is_well_formed;
use super::*;
use crate::campaign::{Hardware, Mode, Tier};
use crate::classify::imported::{self, Work};
use crate::classify::paper::{PaperRow, classify};
use crate::classify::{Code, Effect, Headline, Verdict};
use crate::compare::{
    Ablated, Facts, LevelKey, Metric, Observed, Options, Run, Side, Sides, Standing, Values,
    compare,
};
use crate::import::{self, Source};
use crate::plan::Arm;
use crate::report::Fact;
use crate::report::model::{LevelReport, LevelState, Paper};
use crate::testdata::{self, Shape, Windowed};
use crate::{paper_cases, record::RunRecord};

/// What runs and levels are made from.
static TEMPLATE: LazyLock<ReportModel> = LazyLock::new(|| ReportModel::new(&testdata::run(), &[]));

fn real(value: f64) -> Option<Real> {
    Real::new(value)
}

/// A level that was finished and stands, with the same numbers by both methods.
fn level(
    phase: Phase,
    workload: &str,
    users: u32,
    [total, output, p99_s]: [f64; 3],
) -> LevelReport {
    let template = TEMPLATE.levels[2].clone();
    let known = |value: f64| real(value).filter(|value| value.value() > 0.0);
    let mut level = LevelReport {
        phase,
        label: users.to_string(),
        planned_label: users.to_string(),
        workload: workload.into(),
        users_asked: users,
        in_flight_mean: real(users.into()),
        paper: Paper {
            total_tok_s: known(total),
            output_tok_s: known(output),
            p99_s: known(p99_s),
            success: real(1.0),
            ..Paper::default()
        },
        status: Some("OK"),
        verdicts: Vec::new(),
        ..template
    };
    level.rates.total_tok_s = known(total);
    level.rates.output_tok_s = known(output);
    level.latency_ms.e2e.p99_certified = None;
    level.axes.headline = Some("OK");
    level
}

/// A run of these levels, each with its paper status.
fn run(model: &str, toml: &str, levels: Vec<LevelReport>) -> PaperRun {
    let mut report = TEMPLATE.clone();
    report.header.model = model.into();
    report.header.campaign_toml = toml.into();
    report.levels = levels;
    let rows: Vec<PaperRow> = report
        .levels
        .iter()
        .map(|level| PaperRow {
            phase: level.phase,
            users: level.users_asked,
            total_tok_s: value(level.paper.total_tok_s),
            output_tok_s: value(level.paper.output_tok_s),
            p99_s: value(level.paper.p99_s),
            success: 1.0,
        })
        .collect();
    for (level, verdict) in report.levels.iter_mut().zip(classify(&rows)) {
        level.paper.status = Some(verdict.status.name());
    }
    let baseline = report.levels.iter().rfind(|level| level.phase == Phase::Baseline);
    let p99_s = baseline.and_then(|level| level.paper.p99_s);
    report.baseline_p99_ms = p99_s.and_then(|s| real(s.value() * 1e3));
    PaperRun { name: format!("results/{}", model.rsplit('/').next().unwrap()), model: report }
}

const TEXT: &str = "[workloads.scaling]\ninput_tokens = 500\noutput_tokens = 200\n\
                    [workloads.saturation]\ninput_tokens = 500\noutput_tokens = 100\n";
const VISION: &str = "[workloads.scaling]\ninput_tokens = 100\noutput_tokens = 200\n\
                      images = { count = 1 }\n[workloads.saturation]\ninput_tokens = 100\n\
                      output_tokens = 200\nimages = { count = 1 }\n";
const QWEN: &str = "[server]\nrestart = [\"serve\", \"VLLM_ROCM_USE_AITER=1\"]\n\
                    [serving]\nmoe = true\nattention = \"GQA\"\n";
const KIMI: &str = "[serving]\nmoe = true\nattention = \"MLA\"\nprecision = \"INT4 QAT\"\n\
                    params_b = 1000\nbytes_per_param = 0.56\ntensor_parallel = 4\n\
                    env = { VLLM_ROCM_USE_AITER = \"0\" }\n";

/// What the paper printed of one model, as rows that floodmark judges.
fn printed(model: &str, toml: &str, files: [&str; 2], hardware: (f64, f64)) -> PaperRun {
    let mut levels = Vec::new();
    for (file, workload) in files.into_iter().zip(["scaling", "saturation"]) {
        let path = format!("{}/../deploy/imports/paper-{file}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let table = import::read(&[Source { name: path, text }]).unwrap();
        if let Some(baseline) = table.baseline {
            assert!(matches!(baseline.work, Work::Stated(_)));
            levels.push(level(Phase::Baseline, workload, 1, [0.0, 0.0, baseline.p99_s]));
        }
        let judged = imported::judge(&table.levels, table.baseline);
        for (row, judgement) in table.levels.iter().zip(judged) {
            if workload == "scaling" && row.phase == Phase::Saturation {
                // Table 17 has a row of table 23, too.
                continue;
            }
            let number = |value: Option<f64>| value.unwrap_or(0.0);
            let numbers = [number(row.total_tok_s), number(row.output_tok_s), number(row.p99_s)];
            let mut level = level(row.phase, workload, row.users, numbers);
            level.axes.headline = Some(judgement.headline.name());
            level.axes.latency = Some(judgement.latency.status.name());
            level.axes.load = Some(judgement.load.status.name());
            level.in_flight_mean = judgement.implied_inflight.and_then(Real::new);
            level.verdicts = judgement.verdicts;
            levels.push(level);
        }
    }
    let mut run = run(model, toml, levels);
    let (gpus, active) = hardware;
    run.model.header.judging.hardware =
        Hardware { gpus: Some(gpus), active_params_b: Some(active), watts: None };
    run
}

/// The four models of the paper, in an order in which each kind begins with its base.
fn the_paper() -> Vec<PaperRun> {
    vec![
        printed("Llama-3.1-405B", TEXT, ["t15-llama", "t22-llama"], (8.0, 405.0)),
        printed("DeepSeek V3.2", TEXT, ["t16-deepseek", "t22-deepseek"], (8.0, 37.0)),
        printed("Kimi-K2.5", &(VISION.to_owned() + KIMI), ["t17-kimi", "t23-kimi"], (4.0, 32.0)),
        printed(
            "Qwen3-VL-235B",
            &(VISION.to_owned() + QWEN),
            ["t14-qwen3", "t23-qwen3"],
            (8.0, 22.0),
        ),
    ]
}

fn text_of(runs: &[PaperRun]) -> String {
    paper_text(&PaperReport::of(runs), &[], &figures(runs).1)
}

fn table<'t>(report: &'t PaperReport, number: &str) -> &'t PaperTable {
    report.tables.iter().find(|table| table.number == number).unwrap()
}

/// The rows of a table by the paper's method, as they are printed.
fn paper_rows(table: &PaperTable) -> Vec<Vec<String>> {
    let cells = |row: &Vec<Cell>| row.iter().map(|cell| cell.paper.shown()).collect();
    table.rows.iter().map(cells).collect()
}

fn own_rows(table: &PaperTable) -> Vec<Vec<String>> {
    let own = |cell: &Cell| cell.own.as_ref().map_or_else(String::new, |own| own.value.shown());
    table.rows.iter().map(|row| row.iter().map(own).collect()).collect()
}

#[test]
fn the_papers_own_rows_as_text() {
    insta::assert_snapshot!(text_of(&the_paper()));
}

#[test]
fn the_papers_own_rows_as_markdown() {
    let runs = the_paper();
    let report = PaperReport::of(&runs[..2]);
    let (_, none) = figures(&runs[..2]);
    insta::assert_snapshot!(paper_markdown(&report, &["out/figure-1.svg".into()], &none));
}

#[test]
fn the_papers_own_rows_as_csv() {
    let runs = the_paper();
    let csv = paper_csv(&PaperReport::of(&runs[..2]));
    let shown = |line: &&str| line.starts_with("table,") || line.starts_with("12,");
    insta::assert_snapshot!(csv.lines().filter(shown).collect::<Vec<_>>().join("\n"));
}

#[test]
fn its_tables_come_out_as_they_were_printed() {
    let report = PaperReport::of(&the_paper());
    assert_eq!(
        paper_rows(table(&report, "12")),
        [
            ["Llama-3.1-405B", "15,944", "3,673", "500", "500", "100%"],
            ["DeepSeek V3.2", "15,343", "1,239", "500", "500", "100%"],
        ]
    );
    assert_eq!(
        paper_rows(table(&report, "13")),
        [
            ["Kimi-K2.5", "7,327", "867", "500", "500", "100%"],
            ["Qwen3-VL-235B", "47,873", "7,140", "500", "500", "100%"],
        ]
    );
    let last = |number: &str| -> Vec<String> {
        paper_rows(table(&report, number)).iter().map(|row| row.last().unwrap().clone()).collect()
    };
    assert_eq!(last("18"), ["1.00×", "0.96×"]);
    assert_eq!(last("19"), ["1.00×", "6.53×"]);
    assert_eq!(last("20"), ["39", "415"]);
    assert_eq!(last("21"), ["229", "2,176"]);
    // Every printed status of tables 14 to 16, and of table 17 but the rows of other phases.
    assert_eq!(last("16"), ["OK", "OK", "DEGRADED", "DEGRADED", "DEGRADED", "DEGRADED"]);
    for number in ["14", "15", "17"] {
        assert!(last(number).iter().all(|status| status == "DEGRADED"), "{number}");
    }
    let row = |number: &str, place: usize| paper_rows(table(&report, number))[place].clone();
    assert_eq!(row("14", 4), ["200", "26,674", "3,978", "8.92s", "DEGRADED"]);
    assert_eq!(row("22", 3), ["500", "15,944", "11.78s", "15,343", "9.08s"]);
    assert_eq!(row("23", 5), ["1,000", "7,309", "103.64s", "47,252", "12.50s"]);
}

#[test]
fn levels_that_never_happened_are_struck_and_the_ratio_is_per_gpu() {
    let report = PaperReport::of(&the_paper());
    let own = own_rows(table(&report, "22"));
    let rates: Vec<&str> = own.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(rates, ["", "", "", "struck", "struck", "struck"]);
    assert_eq!(own_rows(table(&report, "12"))[0][3], "300");
    let reason = &table(&report, "12").rows[0][1].own.as_ref().unwrap().reason;
    assert!(reason.contains("CONCURRENCY_NOT_REACHED: 444 of 500"), "{reason}");
    // 37,850 / 8 over 5,820 / 4, both at 300 users.
    assert_eq!(own_rows(table(&report, "19"))[1][4], "3.25×");
}

/// Five restarts of each model of table 24, at the number of users with its peak and at a lower one.
fn restarts() -> Vec<PaperRun> {
    let toml = "[workloads.long]\ninput_tokens = 2048\noutput_tokens = 512\n";
    let cases = paper_cases();
    let mut runs = Vec::new();
    for (id, model) in [("T24-Qwen", "Qwen3-VL-235B"), ("T24-DeepSeek", "DeepSeek V3.2")] {
        let mut all = cases["statistics_cases"].as_array().unwrap().iter();
        let case = all.find(|case| case["id"] == id).unwrap();
        let peak = case["printed"]["peak_concurrency"].as_u64().unwrap() as u32;
        for rate in case["runs"].as_array().unwrap() {
            let rate = rate.as_f64().unwrap();
            let levels = [(100, 0.6), (peak, 1.0)].map(|(users, share)| {
                level(Phase::Saturation, "long", users, [rate * share, rate * share / 5.0, 9.0])
            });
            runs.push(run(model, toml, levels.to_vec()));
        }
    }
    runs
}

#[test]
fn directories_of_one_model_are_restarts() {
    let mut runs = restarts();
    let report = PaperReport::of(&runs);
    assert_eq!(
        paper_rows(table(&report, "24")),
        [
            ["Qwen3-VL-235B", "5", "1,000", "11,218", "±32", "0.2%"],
            ["DeepSeek V3.2", "5", "1,000", "5,786", "±842", "11.7%"],
        ]
    );
    assert!(table(&report, "24").notes.iter().any(|note| note.contains("ten restarts")));
    let note = "levels were run more than once";
    assert!(table(&report, "22").notes.iter().any(|text| text.contains(note)));

    // A restart that does not stand counts for the paper only.
    let evidence = "the window was not steady".to_owned();
    let verdict = Verdict { code: Code::NotSteady, effect: Effect::Invalid, evidence };
    runs[4].model.levels[1].verdicts.push(verdict);
    let text = text_of(&runs);
    let from = text.find("Table 24").unwrap();
    let until = text[from..].find("\n\n").unwrap();
    insta::assert_snapshot!(&text[from..from + until]);

    // Two servers under one name are no restarts of one.
    runs[0].model.target.version = Some("1".into());
    runs[1].model.target.version = Some("2".into());
    let report = PaperReport::of(&runs);
    let own = &table(&report, "24").rows[0][3].own.as_ref().unwrap();
    assert_eq!(own.value, Value::Missing);
    assert!(own.reason.starts_with("SERVER_CHANGED: "), "{}", own.reason);
}

/// Table 26 as one run: AITER off is the base, on is the new; levels of 200 users and more had a
/// hundred requests.
fn ablation() -> PaperRun {
    let cases = paper_cases();
    let rows = cases["ablation_cases_table26"].as_array().unwrap();
    let mut levels = Vec::new();
    let mut sides = Vec::new();
    for (arm, key) in [(Arm::Base, "disabled"), (Arm::New, "enabled")] {
        let mut starts: Vec<Run> = Vec::new();
        for start in 0..5u32 {
            let mut observed = Vec::new();
            for row in rows {
                let users = row["concurrency"].as_u64().unwrap() as u32;
                let rate = row[key]["runs"][start as usize].as_f64().unwrap();
                let mut report = level(Phase::Scaling, "long", users, [rate, rate / 5.0, 9.0]);
                report.arm = Some(arm);
                report.repeat = start;
                levels.push(report);
                observed.push(seen(users, rate));
            }
            starts.push(started(arm, start, observed));
        }
        sides.push(Side { name: key.into(), runs: starts });
    }
    let new = sides.pop().unwrap();
    let base = sides.pop().unwrap();
    let options = Options { deciding: vec![Metric::TotalTokS], ..Options::default() };
    let mut run = run("Llama-3.1-405B", "", levels);
    run.model.ablation = Some(Ablated {
        names: Sides { base: "aiter-off".into(), new: "aiter-on".into() },
        restarts: 5,
        aa: None,
        aa_wanted: false,
        comparison: Some(compare(&Sides { base, new }, &options)),
    });
    run
}

fn seen(users: u32, rate: f64) -> Observed {
    let workload: Name = "long".parse().unwrap();
    let capped = users > 100;
    let evidence = "CONCURRENCY_NOT_REACHED".to_owned();
    Observed {
        key: LevelKey {
            phase: Phase::Scaling,
            label: users.to_string(),
            workload: workload.clone(),
        },
        users,
        requests: Some(100),
        work: Workload { forced_length: true, ..Workload::new(workload, 2048.into(), 512.into()) },
        repeat: 0,
        attempt: 0,
        in_flight_mean: Some(f64::from(users.min(100))),
        standing: if capped { Standing::NotReached(evidence) } else { Standing::Valid },
        delivered: None,
        ended: 100,
        values: Values::from_fn(|metric| (metric == Metric::TotalTokS).then_some(rate)),
    }
}

fn started(arm: Arm, start: u32, levels: Vec<Observed>) -> Run {
    let facts = Facts {
        run: RunId(Uuid::from_u128(1)),
        arm: Some(arm),
        target: "http://10.0.0.5:8000".into(),
        model: "llama".into(),
        served: None,
        server_version: None,
        serving: BTreeMap::new(),
        endpoint: Some(Endpoint::Chat),
        manner: None,
        stream: true,
        seed: 42,
        mode: Mode::Paper,
        tier: Tier::Default,
        version: "0.1.0".into(),
        agents: 2,
    };
    Run { name: format!("start {start}"), facts, levels }
}

#[test]
fn an_ablation_as_text() {
    let text = text_of(&[ablation()]);
    let from = text.find("Table 26").unwrap();
    let until = text[from..].find("\n\n").unwrap();
    insta::assert_snapshot!(&text[from..from + until]);
    // Its levels are those of two servers, and in no other table.
    let report = PaperReport::of(&[ablation()]);
    assert_eq!(report.tables.len(), 1);
    assert!(report.notes[0].ends_with("in table 26 only"), "{:?}", report.notes);
}

#[test]
fn windowed_levels_have_rates_and_quantiles_of_their_own() {
    let slower = |factor: u64| Shape {
        ttft_us: 200_000 * factor,
        itl_us: 20_000 * factor,
        ..Windowed::USUAL.shape
    };
    let usual = Windowed::USUAL;
    let levels = [
        Windowed { phase: Phase::Baseline, users: 1, agents: 1, window_s: (3, 100), ..usual },
        usual,
        Windowed { users: 20, ..usual },
        Windowed { phase: Phase::Saturation, users: 20, ..usual },
        Windowed { phase: Phase::Saturation, users: 40, shape: slower(3), ..usual },
    ];
    let mut record = testdata::run();
    record.levels = levels.map(Windowed::level).to_vec();
    record.levels.push(Windowed { rate: Some(20), users: 100, ..usual }.level());
    record.header.mode = Mode::Floodmark;
    let model = ReportModel::new(&record, &[]);
    insta::assert_snapshot!(text_of(&[PaperRun { name: "results/windows".into(), model }]));
}

#[test]
fn a_run_that_was_killed_leaves_what_it_has() {
    let model = ReportModel::new(&testdata::killed_run(), &[]);
    insta::assert_snapshot!(text_of(&[PaperRun { name: "results/killed".into(), model }]));
}

#[test]
fn nothing_is_in_the_tables_of_no_levels() {
    let record = RunRecord { levels: Vec::new(), end: None, ..testdata::run() };
    let run = PaperRun { name: "empty".into(), model: ReportModel::new(&record, &[]) };
    let report = PaperReport::of(std::slice::from_ref(&run));
    assert_eq!(report.tables, []);
    let mut numbers: Vec<&str> = report.left_out.iter().flat_map(|l| l.numbers.clone()).collect();
    numbers.sort_unstable();
    let all: Vec<String> = (12..=28).map(|number: u32| number.to_string()).collect();
    assert_eq!(numbers, all);
    let (drawn, none) = figures(&[run]);
    assert_eq!((drawn.len(), none.iter().map(|l| l.numbers.len()).sum::<usize>()), (0, 4));
}

#[test]
fn figures_show_both_methods() {
    let mut runs = the_paper();
    runs.extend(restarts());
    let (drawn, none) = figures(&runs);
    assert_eq!(none, []);
    let names: Vec<String> = drawn.iter().map(Figure::file_name).collect();
    assert_eq!(names, ["figure-1.svg", "figure-2.svg", "figure-3.svg", "figure-4.svg"]);
    for figure in &drawn {
        assert_eq!(is_well_formed(&figure.svg), Ok(()));
    }
}

/// The fields of CSV lines, read by the rules of RFC 4180.
fn parsed(csv: &str) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    let (mut line, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = csv.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', true) if chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', false) => line.push(std::mem::take(&mut field)),
            ('\r', false) => {}
            ('\n', false) => {
                line.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut line));
            }
            (c, _) => field.push(c),
        }
    }
    assert!(!quoted && field.is_empty() && line.is_empty());
    lines
}

fn any_level() -> impl Strategy<Value = LevelReport> {
    let number = || {
        prop_oneof![
            Just(None),
            (-10.0..1e9f64).prop_map(Real::new),
            any::<f64>().prop_map(Real::new)
        ]
    };
    let state = prop_oneof![
        4 => Just(LevelState::Complete),
        1 => Just(LevelState::Stopped("enough".into())),
        1 => Just(LevelState::Unfinished),
        1 => Just(LevelState::Void),
    ];
    let phase = prop::sample::select(Phase::ALL.to_vec());
    let numbers = prop::collection::vec(number(), 6);
    let name = "(scaling|saturation|\\PC{0,8})";
    let verdicts = prop::collection::vec(prop::sample::select(Code::ALL.to_vec()), 0..2);
    let rest = (0u32..3, prop::option::of(1u32..5), any::<bool>());
    (phase, 0u32..2_000, numbers, state, name, verdicts, rest).prop_map(
        |(phase, users, numbers, state, workload, codes, (repeat, rate, in_window))| {
            let mut level = level(phase, &workload, users, [1.0; 3]);
            level.paper.total_tok_s = numbers[0];
            level.paper.output_tok_s = numbers[1];
            level.paper.p99_s = numbers[2];
            level.rates.total_tok_s = numbers[3];
            level.latency_ms.e2e.p99_certified = numbers[4];
            level.in_flight_mean = numbers[5];
            level.rate_asked_per_s = rate.and_then(|rate| real(rate.into()));
            level.repeat = repeat;
            level.in_window = in_window;
            level.state = state;
            let verdict = |code| Verdict { code, effect: Effect::Invalid, evidence: "<&\"".into() };
            level.verdicts = codes.into_iter().map(verdict).collect();
            level.axes.headline = (!level.verdicts.is_empty()).then(|| Headline::Invalid.name());
            level
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_runs_have_tables_and_figures(
        models in prop::collection::vec(
            ("(a|b|[<>&\"',=|*\u{0}-\u{20}]{0,6}|.{0,12})", prop::collection::vec(any_level(), 0..8),
             prop::option::of(0.1..1e4f64), any::<bool>()),
            0..4,
        ),
    ) {
        let runs: Vec<PaperRun> = models
            .into_iter()
            .map(|(name, levels, active, vision)| {
                let mut run = run("m", if vision { VISION } else { TEXT }, levels);
                run.model.header.model = name.clone();
                run.model.header.judging.hardware.active_params_b = active;
                run.model.header.judging.hardware.gpus = active;
                run.name = name;
                run
            })
            .collect();
        let report = PaperReport::of(&runs);
        let (drawn, none) = figures(&runs);
        for figure in &drawn {
            prop_assert_eq!(is_well_formed(&figure.svg), Ok(()));
        }
        let text = paper_text(&report, &[], &none);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        let markdown = paper_markdown(&report, &[], &none);
        prop_assert!(markdown.chars().all(|c| c == '\n' || !c.is_control()));
        let cells: usize = report.tables.iter().flat_map(|table| &table.rows).map(Vec::len).sum();
        for table in &report.tables {
            let columns = table.columns.len();
            prop_assert!(table.rows.iter().all(|row| row.len() == columns));
            let pipes = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
            let heading = format!("## Table {}: ", table.number);
            let body = markdown.split(&heading).nth(1).unwrap();
            let lines = body.lines().skip(2).take_while(|line| line.starts_with('|'));
            for line in lines {
                prop_assert!(pipes(line) >= 3, "{}", line);
            }
        }
        let lines = parsed(&paper_csv(&report));
        prop_assert_eq!(lines.len(), cells + 1);
        prop_assert!(lines.iter().all(|line| line.len() == 8));
        prop_assert!(lines.iter().flatten().all(|field| !field.starts_with(['=', '@', '+'])));
    }
}

#[test]
fn a_name_cannot_break_a_table() {
    let hostile = "a|b\n=1+1,\"c\"<script>\u{1b}[2J&*_`";
    let levels = vec![level(Phase::Saturation, "saturation", 10, [1.0, 0.5, 0.1])];
    let runs = [run(hostile, TEXT, levels)];
    let report = PaperReport::of(&runs);
    let markdown = paper_markdown(&report, &[], &[]);
    assert!(markdown.contains(r"a\|b\\u{a}=1+1,"), "{markdown}");
    assert!(!markdown.contains("<script>") || markdown.contains(r"\<script\>"));
    let lines = parsed(&paper_csv(&report));
    let name = &lines.iter().find(|line| line[3] == "Model").unwrap()[5];
    assert!(name.starts_with("a|b\\u{a}=1+1,\"c\"<script>"), "{name}");
    let (drawn, _) = figures(&runs);
    assert!(drawn.iter().all(|figure| !figure.svg.contains("<script>")));
}

#[test]
fn what_servers_told_of_their_memory_stands_beside_what_is_expected() {
    let kimi = |gib: &str, load: Option<&str>| {
        let vision = VISION.to_owned() + KIMI;
        let mut run = printed("Kimi-K2.5", &vision, ["t17-kimi", "t23-kimi"], (4.0, 32.0));
        let fact = |name: &str, value: Option<&str>| Fact {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            ..Fact::default()
        };
        run.model.serving.facts =
            vec![fact("weight_memory_gib", Some(gib)), fact("load_time_s", load)];
        run
    };
    let report = PaperReport::of(&[kimi("144", Some("146")), kimi("146", None)]);
    assert_eq!(
        paper_rows(table(&report, "27")),
        [
            ["Kimi-K2.5", "INT4 QAT", "145.0 GiB", "146.00s", "mean of the runs that tell"],
            ["Kimi-K2.5", "BF16", "517.9 GiB", "-", "3.57× (est.)"],
        ]
    );
    assert_eq!(
        paper_rows(table(&report, "28")),
        [["Kimi-K2.5", "1,000", "INT4 QAT", "0.56", "4", "130.4 GiB", "145.0 GiB"]]
    );
    // A server that told nothing has no row.
    assert!(PaperReport::of(&the_paper()).tables.iter().all(|table| table.number != "27"));
}
