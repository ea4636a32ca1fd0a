//! Whether the target stayed the same server over a run.

use serde::Serialize;

use crate::record::{Asked, RunRecord, Servers};
use crate::target::identity::ServedModel;

/// What the target said it is, over a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TargetIdentity {
    /// The models that it served when it was first asked.
    pub models: Option<Vec<ServedModel>>,
    /// Its version then.
    pub version: Option<String>,
    /// How often it was restarted by the campaign.
    pub restarts: u32,
    /// What changed since, in sentences.
    pub changes: Vec<String>,
}

/// What the target said it is. That the two servers of an ablation differ is no change.
pub(super) fn target(record: &RunRecord, servers: &Servers<'_>) -> TargetIdentity {
    let identities = &record.identities;
    let Some(first) = identities.first() else {
        return TargetIdentity::default();
    };
    let restarts = identities.iter().filter(|record| is_restart(record.asked)).count();
    let mut changes: Vec<String> = Vec::new();
    for pair in servers.each().into_iter().flat_map(|said| said.windows(2)) {
        let [before, after] = pair else { continue };
        changes.extend(before.identity.differences(&after.identity));
    }
    let mut kept = 0;
    for pair in identities.windows(2) {
        let [before, after] = pair else { continue };
        match (is_restart(after.asked), before.identity.restarted(&after.identity)) {
            (false, Some(true)) => {
                changes.push("its process was started anew, and not by this campaign".to_owned());
            }
            (true, Some(false)) => kept += 1,
            (true, Some(true)) | (false, Some(false)) | (_, None) => {}
        }
    }
    if kept > 0 {
        changes.push(format!(
            "its process was the same after {kept} of {restarts} restarts by this campaign"
        ));
    }
    TargetIdentity {
        models: first.identity.models.clone(),
        version: first.identity.version.clone(),
        restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
        changes,
    }
}

fn is_restart(asked: Asked) -> bool {
    match asked {
        Asked::Restarted { .. } => true,
        Asked::Began | Asked::Ended => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Code;
    use crate::plan::Arm;
    use crate::record::{IdentityRecord, RunRecord, UnixMs};
    use crate::report::{LevelReport, ReportModel};
    use crate::target::identity::{Identity, ServedModel};
    use crate::testdata::run;

    fn said(asked: Asked, model: &str, start_s: f64) -> IdentityRecord {
        let model = ServedModel { id: model.to_owned(), root: None, max_model_len: None };
        let models = Some(vec![model]);
        let identity = Identity { models, version: None, process_start_s: Some(start_s) };
        IdentityRecord { asked, at: UnixMs(0), identity }
    }

    fn struck(identities: Vec<IdentityRecord>) -> (Vec<bool>, TargetIdentity) {
        let model = ReportModel::new(&RunRecord { identities, ..run() }, &[]);
        let changed = |level: &LevelReport| {
            level.verdicts.iter().any(|verdict| verdict.code == Code::ServerChanged)
        };
        (model.levels.iter().map(changed).collect(), model.target)
    }

    #[test]
    fn another_model_strikes_what_came_after_it() {
        let restarted = Asked::Restarted { ordinal: 2 };
        let same = [said(Asked::Began, "a", 1.0), said(restarted, "a", 9.0)].to_vec();
        let (levels, target) = struck(same);
        assert!(levels.iter().all(|struck| !struck));
        assert_eq!((target.restarts, target.changes.len()), (1, 0));
        let (levels, target) =
            struck([said(Asked::Began, "a", 1.0), said(restarted, "b", 9.0)].to_vec());
        let first = levels.iter().position(|struck| *struck);
        assert_eq!(first, Some(2));
        assert!(levels[2..].iter().all(|struck| *struck));
        assert_eq!(target.changes, ["it served a, then b"]);
        // Found again at the end: the levels before the restart are as good as they were.
        let (levels, _) = struck(
            [said(Asked::Began, "a", 1.0), said(restarted, "b", 9.0), said(Asked::Ended, "b", 9.0)]
                .to_vec(),
        );
        assert_eq!(levels.iter().position(|struck| *struck), Some(2));
        // A third one at the end is another matter.
        let (levels, _) = struck(
            [said(Asked::Began, "a", 1.0), said(restarted, "b", 9.0), said(Asked::Ended, "c", 9.0)]
                .to_vec(),
        );
        assert!(levels.iter().all(|struck| *struck));
        // Found at the end: since when is not known.
        let (levels, _) =
            struck([said(Asked::Began, "a", 1.0), said(Asked::Ended, "b", 9.0)].to_vec());
        assert!(levels.iter().all(|struck| *struck));
        let (levels, target) =
            struck([said(Asked::Began, "a", 1.0), said(Asked::Ended, "a", 9.0)].to_vec());
        assert!(levels.iter().all(|struck| !struck));
        assert_eq!(target.changes, ["its process was started anew, and not by this campaign"]);
        // The command ended well, and nothing was restarted.
        let (levels, target) = struck(
            [said(Asked::Began, "a", 1.0), said(restarted, "a", 1.0), said(restarted, "a", 9.0)]
                .to_vec(),
        );
        assert!(levels.iter().all(|struck| !struck));
        let kept = "its process was the same after 1 of 2 restarts by this campaign";
        assert_eq!((target.restarts, target.changes), (2, vec![kept.to_owned()]));
        assert_eq!(struck(Vec::new()).1, TargetIdentity::default());
    }

    #[test]
    fn a_configuration_may_differ_from_the_other_but_not_from_itself() {
        let restarted = |ordinal: u32, model: &str| {
            said(Asked::Restarted { ordinal }, model, 2.0 + f64::from(ordinal))
        };
        let of = |models: [&str; 4], before: &str, after: &str| {
            let mut record = run();
            let level = record.levels[0].clone();
            record.levels = (0..4).map(|_| level.clone()).collect();
            for ((place, level), arm) in
                (0..).zip(&mut record.levels).zip([Arm::Base, Arm::New, Arm::New, Arm::Base])
            {
                (level.id.ordinal, level.planned.arm) = (place, Some(arm));
            }
            record.identities = vec![said(Asked::Began, before, 1.0)];
            record.identities.extend((0..).zip(models).map(|(at, model)| restarted(at, model)));
            record.identities.push(said(Asked::Ended, after, 5.0));
            let model = ReportModel::new(&record, &[]);
            let changed = |level: &LevelReport| {
                level.verdicts.iter().any(|verdict| verdict.code == Code::ServerChanged)
            };
            let struck: Vec<bool> = model.levels.iter().map(changed).collect();
            (struck, model.target.changes.len())
        };
        assert_eq!(of(["a", "b", "b", "a"], "x", "a"), (vec![false; 4], 0));
        assert_eq!(of(["a", "b", "c", "a"], "a", "a"), (vec![false, false, true, false], 1));
        // Found at the end: of the configuration that ran last.
        assert_eq!(of(["a", "b", "b", "a"], "a", "b"), (vec![true, false, false, true], 1));
    }
}
