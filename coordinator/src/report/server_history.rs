//! Whether the target stayed the same server over a run.

use super::model::TargetIdentity;
use crate::record::{Asked, IdentityRecord};

/// What the target said it is.
pub(super) fn target(identities: &[IdentityRecord]) -> TargetIdentity {
    let Some(first) = identities.first() else {
        return TargetIdentity::default();
    };
    let restarts = identities.iter().filter(|record| is_restart(record.asked)).count();
    let mut changes: Vec<String> = Vec::new();
    let mut kept = 0;
    for pair in identities.windows(2) {
        let [before, after] = pair else { continue };
        changes.extend(before.identity.differences(&after.identity));
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
    use crate::record::{RunRecord, UnixMs};
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
}
