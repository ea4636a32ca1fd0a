//! Tables 27 and 28: the memory that the weights take on one GPU, and that they should take.

use super::cell::{Cell, Value};
use super::stated::Stated;
use super::study::{Study, Subject};
use super::table::{PaperTable, numbers, words};
use crate::report::plain::{CLIP, plain};
use crate::report::serving::{LOAD_TIME, WEIGHT_MEMORY};
use crate::stats::ratio;

/// Parameters in a thousand million, and bytes in a GiB.
const BILLION: f64 = 1e9;
const GIB: f64 = 1_073_741_824.0;

/// Bytes of a parameter in BF16 or FP16.
const BF16_BYTES: f64 = 2.0;

/// Table 27, of the models whose servers told what their weights take or how long they load.
pub(super) fn measured(study: &Study<'_>) -> Result<PaperTable, String> {
    let rows: Vec<Vec<Cell>> = study.subjects.iter().flat_map(measured_rows).collect();
    if rows.is_empty() {
        return Err(format!("the facts {WEIGHT_MEMORY} and {LOAD_TIME} in server.facts"));
    }
    Ok(PaperTable {
        number: "27",
        title: "measured memory of the weights on one GPU, and load time".to_owned(),
        columns: vec![
            words("Model"),
            words("Precision"),
            numbers("Per-GPU Memory"),
            numbers("Load Time"),
            words("Notes"),
        ],
        rows,
        notes: vec!["(est.): not measured, but times the bytes of a parameter".to_owned()],
    })
}

/// What was measured, and below it what the same weights would take in BF16 where they take less.
fn measured_rows(subject: &Subject<'_>) -> Vec<Vec<Cell>> {
    let (memory, load) = (told(subject, WEIGHT_MEMORY), told(subject, LOAD_TIME));
    let Some(run) = subject.runs.first().filter(|_| memory.is_some() || load.is_some()) else {
        return Vec::new();
    };
    let stated = Stated::of(&run.model.header.campaign_toml);
    let of_runs = match subject.runs.len() {
        1 => String::new(),
        _ => "mean of the runs that tell".to_owned(),
    };
    let mut rows = vec![vec![
        Cell::word(&subject.name),
        Cell::plain(precision(&stated)),
        Cell::plain(Value::of(memory, Value::Gib)),
        Cell::plain(Value::of(load, Value::Seconds)),
        Cell::plain(Value::Word(of_runs)),
    ]];
    if let (Some(memory), Some(bytes)) = (memory, stated.bytes_per_param)
        && bytes < BF16_BYTES
        && let Some(times) = ratio(BF16_BYTES, bytes)
    {
        rows.push(vec![
            Cell::word(&subject.name),
            Cell::word("BF16"),
            Cell::plain(Value::Gib(memory * times)),
            Cell::plain(Value::Missing),
            Cell::plain(Value::Word(format!("{} (est.)", Value::Factor(times).shown()))),
        ]);
    }
    rows
}

/// The mean of a fact over the runs that tell it.
fn told(subject: &Subject<'_>, name: &str) -> Option<f64> {
    let told: Vec<f64> =
        subject.runs.iter().filter_map(|run| run.model.serving.number(name)).collect();
    ratio(told.iter().sum(), told.len() as f64)
}

fn precision(stated: &Stated) -> Value {
    let precision = stated.precision.as_ref();
    precision.map_or(Value::NotStated, |precision| Value::Word(plain(precision, CLIP)))
}

/// Table 28, of the models of which enough is stated.
pub(super) fn expected(study: &Study<'_>) -> Result<PaperTable, String> {
    let rows: Vec<Vec<Cell>> = study.subjects.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Err(
            "serving.params_b, bytes_per_param and tensor_parallel in the campaign".to_owned()
        );
    }
    Ok(PaperTable {
        number: "28",
        title: "memory of the weights on one GPU".to_owned(),
        columns: vec![
            words("Model"),
            numbers("Params (B)"),
            words("Precision"),
            numbers("Bytes/Param"),
            numbers("TP"),
            numbers("Expected"),
            numbers("Measured"),
        ],
        rows,
        notes: vec!["expected: parameters times bytes over the tensor parallel degree".to_owned()],
    })
}

fn row(subject: &Subject<'_>) -> Option<Vec<Cell>> {
    let run = subject.runs.first()?;
    let stated = Stated::of(&run.model.header.campaign_toml);
    let (params_b, bytes) = (stated.params_b?, stated.bytes_per_param?);
    let gpus = stated.tensor_parallel?;
    Some(vec![
        Cell::word(&subject.name),
        Cell::plain(Value::Number(params_b)),
        Cell::plain(precision(&stated)),
        Cell::plain(Value::Number(bytes)),
        Cell::plain(Value::Number(gpus)),
        Cell::plain(Value::of(expected_gib(params_b, bytes, gpus), Value::Gib)),
        Cell::plain(told(subject, WEIGHT_MEMORY).map_or(Value::NotStated, Value::Gib)),
    ])
}

/// What the weights should take on each of so many GPUs.
fn expected_gib(params_b: f64, bytes_per_param: f64, gpus: f64) -> Option<f64> {
    ratio(params_b * BILLION * bytes_per_param / GIB, gpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper_cases;

    #[test]
    fn the_papers_formula() {
        let cases = paper_cases();
        let cases = cases["memory_cases_table28_formula"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let number = |key: &str| case[key].as_f64().unwrap();
            let expected =
                expected_gib(number("params_billion"), number("bytes_per_param"), number("tp"));
            let shown = Value::of(expected, Value::Gib).shown();
            assert_eq!(shown, format!("{:.1} GiB", number("expected_gib")));
        }
    }
}
