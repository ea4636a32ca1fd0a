//! How prompts get the length that is asked for: keys of a workload.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::asked::PATH_BYTES_MAX;
use super::mixes::is_mix;
use super::raw::Collector;
use super::read::{Field, Section};
use super::text::quoted;
use super::{Mode, PhasePlan, SearchPlan};
use common::ids::Name;

/// How the prompts of a workload get the length that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptPlan {
    /// The file of the tokenizer, in the format of Hugging Face, whose words they are made of.
    pub tokenizer: Option<PathBuf>,
    /// What is taken for a token.
    pub lengths: Lengths,
}

/// What is taken for a token of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// Four characters, as in the paper.
    Characters,
    /// What the target says in its usage, asked once before the first level.
    Measured,
}

impl Lengths {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Characters, Self::Measured];

    /// The name in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Characters => "characters",
            Self::Measured => "measured",
        }
    }
}

/// Those of all workloads; one that is not valid has none, and a mix has those of its workloads.
pub(super) fn read_prompts(
    workloads: &Field<'_>,
    mode: Option<Mode>,
    c: &mut Collector<'_>,
) -> BTreeMap<Name, PromptPlan> {
    let mut plans = BTreeMap::new();
    for (key, (_, node)) in workloads.node.table().into_iter().flatten() {
        let field = Field { key: format!("{}.{key}", workloads.key), node };
        // What is no table, or has no name, is told of where the workload itself is read.
        let (Some(_), false, Ok(name)) = (node.table(), is_mix(&field), key.parse()) else {
            continue;
        };
        let section = Section::open_any(&field, c);
        if let Some(plan) = section.and_then(|section| read_plan(&section, mode, c)) {
            plans.insert(name, plan);
        }
    }
    plans
}

fn read_plan(
    section: &Section<'_>,
    mode: Option<Mode>,
    c: &mut Collector<'_>,
) -> Option<PromptPlan> {
    let tokenizer = match section.get("tokenizer") {
        Some(field) => field.line(PATH_BYTES_MAX, c).map(|path| Some(PathBuf::from(path))),
        None => Some(None),
    };
    let has_tokenizer = section.get("tokenizer").is_some();
    let lengths = match section.get("lengths") {
        Some(field) => match field.word(&Lengths::ALL.map(|l| (l.name(), l)), c) {
            Some(Lengths::Characters) if has_tokenizer => {
                let what = "a tokenizer counts tokens and no characters; leave one of the two out";
                field.refuse(c, what)
            }
            stated => stated,
        },
        None if has_tokenizer => Some(Lengths::Measured),
        None => mode.map(|mode| match mode {
            Mode::Paper => Lengths::Characters,
            Mode::Floodmark => Lengths::Measured,
        }),
    };
    Some(PromptPlan { tokenizer: tokenizer?, lengths: lengths? })
}

/// Those of the workloads that levels have.
pub(super) fn of_used(
    mut plans: BTreeMap<Name, PromptPlan>,
    phases: &[PhasePlan],
    search: Option<&SearchPlan>,
) -> BTreeMap<Name, PromptPlan> {
    let levels = phases.iter().flat_map(|phase| &phase.levels);
    let levels = levels.chain(search.map(|search| &search.level));
    let used: BTreeSet<&Name> = levels
        .flat_map(|level| level.workload.components())
        .map(|(workload, _)| &workload.name)
        .collect();
    plans.retain(|name, _| used.contains(name));
    plans
}

/// The keys as they are written.
pub(super) fn prompt_lines(plan: &PromptPlan) -> Vec<String> {
    let tokenizer = plan.tokenizer.as_ref();
    let tokenizer = tokenizer.map(|path| quoted(&path.to_string_lossy()));
    let tokenizer = tokenizer.map(|path| format!("tokenizer = {path}"));
    let lengths = format!("lengths = {}", quoted(plan.lengths.name()));
    tokenizer.into_iter().chain([lengths]).collect()
}

#[cfg(test)]
mod tests {
    use crate::campaign::{Lengths, Overlay, PromptPlan, Source, resolve};

    fn plan(mode: &str, keys: &str) -> Result<PromptPlan, String> {
        let text = format!(
            "mode = \"{mode}\"\n[target]\nbase_urls = [\"http://h\"]\nmodel = \"m\"\n\
             [workloads.w]\ninput_tokens = 9\noutput_tokens = 9\n{keys}\n[workloads.unused]\n\
             input_tokens = 9\noutput_tokens = 9\n[phases]\n\
             scaling = {{ users = 1, workload = \"w\" }}\n"
        );
        let source = Source { name: "c.toml", text: &text };
        let campaign = resolve(Some(source), &Overlay::default()).map_err(|e| e.to_string())?;
        let again = campaign.to_toml();
        let source = Source { name: "again.toml", text: &again };
        assert_eq!(resolve(Some(source), &Overlay::default()).as_ref(), Ok(&campaign), "{again}");
        assert_eq!(campaign.prompts.len(), 1);
        Ok(campaign.prompts.into_values().next().unwrap())
    }

    #[test]
    fn the_server_is_asked_unless_the_paper_or_the_campaign_says_otherwise() {
        let lengths = |mode, keys| plan(mode, keys).unwrap().lengths;
        assert_eq!(lengths("floodmark", ""), Lengths::Measured);
        assert_eq!(lengths("paper", ""), Lengths::Characters);
        assert_eq!(lengths("paper", "lengths = \"measured\""), Lengths::Measured);
        assert_eq!(lengths("floodmark", "lengths = \"characters\""), Lengths::Characters);
        let with = plan("paper", "tokenizer = \"a \\\"b\\\"/tokenizer.json\"").unwrap();
        assert_eq!(with.lengths, Lengths::Measured);
        assert_eq!(with.tokenizer.unwrap().to_str(), Some("a \"b\"/tokenizer.json"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |keys| plan("floodmark", keys).unwrap_err();
        insta::assert_snapshot!(refused("tokenizer = \"t.json\"\nlengths = \"characters\""), @r#"c.toml:9:11: workloads.w.lengths = "characters": a tokenizer counts tokens and no characters; leave one of the two out"#);
        insta::assert_snapshot!(refused("lengths = \"tokens\"\ntokenizer = 7"), @r#"
        c.toml:8:11: workloads.w.lengths = "tokens": must be one of characters, measured
        c.toml:9:13: workloads.w.tokenizer = 7: must be a string, not an integer
        2 problems
        "#);
    }
}
