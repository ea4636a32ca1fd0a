//! The report of an ablation: what A/A says of the method, and then what the comparison says of the
//! two configurations.

use serde::Serialize;

use super::json::{Json, Tool};
use super::{sentence, tell, text};
use crate::compare::{Ablated, Answer, Comparison};
use crate::report::plain::{CLIP, plain, wrap};
use crate::report::text::WIDTH;

/// Version of the keys of the JSON report.
const SCHEMA_VERSION: u32 = 1;

/// Whether A/A leaves the comparison a meaning; if not, why.
///
/// # Errors
/// In a sentence: the base differs from itself, or A/A has nothing to say.
pub fn trust(ablated: &Ablated) -> Result<(), String> {
    let base = plain(&ablated.names.base, CLIP);
    let differs = ablated.differs_from_itself();
    if let Some(first) = differs.first() {
        let more = match differs.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        return Err(format!(
            "{base} differs from itself: {}{more}; something other than the configuration changes \
             from start to start (other work on the hosts, a cache that is kept, heat), and would \
             be taken for a difference",
            tell(first)
        ));
    }
    match &ablated.aa {
        None if ablated.aa_wanted => Err("A/A was not run".to_owned()),
        Some(aa) if aa.answer == Answer::NothingComparable => {
            let reason = aa.levels.iter().find_map(|level| level.obstacle.as_ref());
            let reason = reason.map_or("", |obstacle| &obstacle.evidence);
            Err(format!("nothing of A/A can be compared: {}", plain(reason, CLIP)))
        }
        Some(aa) if aa.answer == Answer::NotTested => {
            Err("A/A was not tested: a side has one start that counts, and the others were struck"
                .to_owned())
        }
        None | Some(_) => Ok(()),
    }
}

/// The report for people: A/A in a sentence, and the comparison whole.
pub fn ablation_text(ablated: &Ablated) -> String {
    let mut out = ablated_text(ablated);
    if let Some(comparison) = &ablated.comparison {
        out.push('\n');
        out.push_str(&text::comparison_text(comparison));
    }
    out
}

/// What was compared, and what A/A says.
pub(in crate::report) fn ablated_text(ablated: &Ablated) -> String {
    let [base, new] = [&ablated.names.base, &ablated.names.new].map(|name| plain(name, CLIP));
    let starts = ablated.restarts;
    let what =
        format!("{new} (NEW) against {base} (BASE), {starts} starts of the server each, in turn");
    let mut out = wrap("ablation  ", &what, WIDTH);
    let of = |aa: &Comparison| {
        let (first, second) = (aa.runs.base.len(), aa.runs.new.len());
        format!("{base} against itself, {first} and {second} starts")
    };
    let aa = match (&ablated.aa, trust(ablated)) {
        (None, _) if ablated.aa_wanted => "not run".to_owned(),
        (None, _) => "none was asked for: nothing shows that one configuration, started twice, \
                      comes out alike"
            .to_owned(),
        (Some(aa), Ok(())) => format!("{}: {}", of(aa), quiet(aa)),
        (Some(aa), Err(why)) => format!("{}: {why}", of(aa)),
    };
    out.push_str(&wrap("A/A       ", &aa, WIDTH));
    if ablated.comparison.is_none() {
        out.push_str(&wrap("A/B       ", "the configurations were not compared", WIDTH));
    }
    out
}

/// What an A/A says that shows no more than chance does.
fn quiet(aa: &Comparison) -> String {
    match aa.answer {
        Answer::Worse | Answer::Better => {
            format!("no more than chance explains over so many numbers ({})", sentence(aa))
        }
        Answer::Equivalent
        | Answer::NoDifferenceShown
        | Answer::NotTested
        | Answer::NothingComparable => sentence(aa),
    }
}

/// The report for programs, with a newline at its end.
#[expect(
    clippy::expect_used,
    reason = "the keys are texts and the numbers are finite: there is nothing to refuse"
)]
pub fn ablation_json(ablated: &Ablated) -> String {
    let report = Whole {
        schema_version: SCHEMA_VERSION,
        kind: "ablation",
        tool: Tool::this(),
        ablation: ablated_json(ablated),
    };
    let mut text = serde_json::to_string_pretty(&report).expect("a report is JSON");
    text.push('\n');
    text
}

/// An ablation, as `summary.json` has it too.
pub(in crate::report) fn ablated_json(ablated: &Ablated) -> impl Serialize + '_ {
    Part {
        base: &ablated.names.base,
        new: &ablated.names.new,
        restarts: ablated.restarts,
        not_trusted: trust(ablated).err(),
        aa: ablated.aa.as_ref().map(Json::of),
        comparison: ablated.comparison.as_ref().map(Json::of),
    }
}

#[derive(Serialize)]
struct Whole<T> {
    schema_version: u32,
    kind: &'static str,
    tool: Tool,
    #[serde(flatten)]
    ablation: T,
}

#[derive(Serialize)]
struct Part<'a> {
    base: &'a str,
    new: &'a str,
    restarts: u32,
    not_trusted: Option<String>,
    aa: Option<Json<'a>>,
    comparison: Option<Json<'a>>,
}
