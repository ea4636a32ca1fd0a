//! Table 28: the memory that the weights should take on one GPU.

use super::cell::{Cell, Value};
use super::stated::Stated;
use super::study::{Study, Subject};
use super::table::{PaperTable, numbers, words};
use crate::report::plain::{CLIP, plain};
use crate::stats::ratio;

/// Parameters in a thousand million, and bytes in a GiB.
const BILLION: f64 = 1e9;
const GIB: f64 = 1_073_741_824.0;

/// Table 28, of the models of which enough is stated.
pub(super) fn table(study: &Study<'_>) -> Result<PaperTable, String> {
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
    let precision = stated.precision.map(|precision| Value::Word(plain(&precision, CLIP)));
    Some(vec![
        Cell::word(&subject.name),
        Cell::plain(Value::Number(params_b)),
        Cell::plain(precision.unwrap_or(Value::NotStated)),
        Cell::plain(Value::Number(bytes)),
        Cell::plain(Value::Number(gpus)),
        Cell::plain(Value::of(expected_gib(params_b, bytes, gpus), Value::Gib)),
        Cell::plain(Value::NotStated),
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
