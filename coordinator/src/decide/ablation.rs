//! What follows A/A: the comparison of the two configurations, unless the base differs from itself.
//! Whatever makes it do so would be taken for a difference between the two.

use super::EVERY_LEVEL;
use crate::compare::Ablated;
use crate::plan::PlannedLevel;
use crate::report::trust;

/// The levels that follow A/A.
#[derive(Debug)]
pub struct AfterAa {
    levels: Option<Vec<PlannedLevel>>,
}

impl AfterAa {
    /// These follow.
    pub fn new(levels: Vec<PlannedLevel>) -> Self {
        Self { levels: Some(levels) }
    }

    /// The levels that follow, once, or none, and why.
    pub(super) fn decide(&mut self, ablated: Option<&Ablated>) -> (Vec<PlannedLevel>, String) {
        let Some(levels) = self.levels.take() else {
            return (Vec::new(), EVERY_LEVEL.to_owned());
        };
        match ablated.map(trust) {
            None => (Vec::new(), "A/A left nothing to compare".to_owned()),
            Some(Err(why)) => (Vec::new(), format!("the configurations were not compared: {why}")),
            Some(Ok(())) => (levels, "A/A showed no difference".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use common::digest::Digest;
    use common::phase::Phase;

    use super::*;
    use crate::campaign::{self, Campaign, Overlay, Source};
    use crate::decide::Decider;
    use crate::plan::{Arm, Plan};
    use crate::record::{LevelFate, RunRecord};
    use crate::report::{self, ReportModel};
    use crate::testdata::{self, Shape};

    const CAMPAIGN: &str = "mode = \"paper\"\n[target]\nbase_urls = [\"http://h\"]\nmodel = \"m\"\n\
         [workloads.w]\ninput_tokens = 9\noutput_tokens = 20\n[phases]\n\
         scaling = { users = 10, requests = 1400, workload = \"w\" }\n[ablation]\nrestarts = 4\n\
         base = { name = \"off\", restart = [\"a\"] }\nnew = { name = \"on\", restart = [\"b\"] }\n";

    fn campaign() -> Campaign {
        let source = Source { name: "c.toml", text: CAMPAIGN };
        campaign::resolve(Some(source), &Overlay::default()).unwrap()
    }

    /// A run with these times to the first token, in ms, start by start.
    fn run(arms: &[(Arm, [u64; 4])]) -> RunRecord {
        let mut run = testdata::run();
        run.header.campaign_toml = campaign().to_toml();
        run.header.campaign_sha256 = Digest::of(run.header.campaign_toml.as_bytes());
        run.levels.clear();
        for (arm, starts) in arms {
            for (repeat, ttft_ms) in (0..).zip(starts) {
                let shape = Shape { ttft_us: ttft_ms * 1000, fail_every: 0, ..Shape::QUICK };
                let mut level = testdata::level(Phase::Scaling, 10, 1400, 1, shape);
                level.id.ordinal = u32::try_from(run.levels.len()).unwrap();
                (level.planned.repeat, level.planned.arm) = (repeat, Some(*arm));
                run.levels.push(level);
            }
        }
        run
    }

    const ALIKE: [(Arm, [u64; 4]); 2] =
        [(Arm::AaBase, [20, 21, 22, 20]), (Arm::AaNew, [21, 20, 22, 21])];
    const APART: [(Arm, [u64; 4]); 2] =
        [(Arm::AaBase, [20, 21, 22, 20]), (Arm::AaNew, [31, 30, 32, 31])];

    #[test]
    fn what_follows_a_a_follows_once_and_only_if_the_base_is_like_itself() {
        let mut decider = Decider::of(&campaign());
        let alike = ReportModel::new(&run(&ALIKE), &[]);
        let (levels, because) = decider.decide(&alike);
        assert_eq!(
            (levels, &*because),
            (Plan::after_aa(&campaign()).unwrap(), "A/A showed no difference")
        );
        assert_eq!(decider.decide(&alike), (Vec::new(), EVERY_LEVEL.to_owned()));

        let apart = ReportModel::new(&run(&APART), &[]);
        let (levels, because) = Decider::of(&campaign()).decide(&apart);
        assert!(levels.is_empty());
        let begins = "the configurations were not compared: off differs from itself: total tok/s";
        assert!(because.starts_with(begins), "{because}");
        let text = report::ablation_text(apart.ablation.as_ref().unwrap());
        assert!(text.contains("A/B       the configurations were not compared"), "{text}");
    }

    #[test]
    fn an_a_a_without_results_is_no_a_a() {
        let mut struck = run(&ALIKE);
        for level in &mut struck.levels {
            level.fate = Some(LevelFate::Stopped("by hand".into()));
        }
        let (levels, because) = Decider::of(&campaign()).decide(&ReportModel::new(&struck, &[]));
        assert!(
            levels.is_empty() && because.contains("nothing of A/A can be compared"),
            "{because}"
        );
        let mut one = run(&ALIKE);
        for level in one.levels.iter_mut().skip(5) {
            level.fate = Some(LevelFate::Stopped("by hand".into()));
        }
        let (levels, because) = Decider::of(&campaign()).decide(&ReportModel::new(&one, &[]));
        assert!(levels.is_empty() && because.contains("A/A was not tested"), "{because}");
        let none = ReportModel::new(&run(&[]), &[]);
        let (levels, because) = Decider::of(&campaign()).decide(&none);
        assert!(levels.is_empty() && because.ends_with("A/A was not run"), "{because}");
    }

    #[test]
    fn a_report_tells_the_two_configurations_apart() {
        let arms = [(Arm::Base, [20, 21, 22, 20]), (Arm::New, [31, 30, 32, 31])];
        let record = run(&[&ALIKE[..], &arms[..]].concat());
        let dir = tempfile::tempdir().unwrap();
        testdata::stored(dir.path(), &record);
        let loaded = crate::store::Store::open(dir.path()).unwrap().load().unwrap();
        assert_eq!(loaded.record, record);
        let model = ReportModel::new(&record, &[]);
        assert_eq!(model.saturation.users, None);
        let arms: Vec<Option<Arm>> = model.repeats.iter().map(|level| level.arm).collect();
        assert_eq!(arms, Arm::ALL.map(Some));
        let text = report::text(&model, std::path::Path::new("r"));
        for line in [
            "ablation  on (NEW) against off (BASE), 4 starts of the server each, in turn\n",
            "A/A       off against itself, 4 and 4 starts: ",
            "NEW is worse: total tok/s at SCALING 10 is ",
            "BASE      off (4 runs: start 1, start 2, start 3, start 4)\n",
            "             A/A NEW, start 2\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("compared with itself"), "{text}");
        let summary: serde_json::Value =
            serde_json::from_str(&report::summary_json(&model)).unwrap();
        let ablation = &summary["ablation"];
        assert_eq!(ablation["not_trusted"], serde_json::Value::Null);
        assert_eq!(ablation["comparison"]["answer"], "worse");
        assert_eq!(ablation["aa"]["base"]["name"], "off");
        assert_eq!(summary["levels"][4]["arm"], "aa_new");
    }
}
