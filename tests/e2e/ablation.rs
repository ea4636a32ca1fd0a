//! Two configurations of a real server process, started in turn by the campaign's commands.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coordinator::compare::Answer;
use coordinator::plan::Arm;
use coordinator::record::RunOutcome;
use coordinator::report::{self, LevelReport, ReportModel};
use harness::binaries;
use harness::campaign::Campaign;
use harness::run::{self, Ran};

/// A simulator that commands start and stop; it ends with the value.
struct Server {
    dir: tempfile::TempDir,
    port: u16,
}

impl Server {
    /// One that runs already, as an operator's does before a campaign.
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let server = Self { dir: tempfile::tempdir().unwrap(), port };
        let started = Command::new("sh").arg("-c").arg(server.script("2ms")).status().unwrap();
        assert!(started.success());
        server
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.path().join("pid")
    }

    /// Ends the server that runs and starts one with this gap between tokens.
    fn script(&self, itl: &str) -> String {
        let (program, pid) = (binaries::floodmark_agent(), self.pid_file());
        let (program, pid, port) = (program.display(), pid.display(), self.port);
        format!(
            "if [ -e {pid} ]; then kill $(cat {pid}); while kill -0 $(cat {pid}) 2>/dev/null; do \
             sleep 0.02; done; fi; setsid {program} sim --listen 127.0.0.1:{port} --ttft 10ms \
             --itl {itl} </dev/null >/dev/null 2>&1 & echo $! >{pid}"
        )
    }

    fn campaign(&self, aa_restarts: u32) -> String {
        let address = ([127, 0, 0, 1], self.port).into();
        let campaign = Campaign { output_tokens: 20, ..Campaign::new(address, 4, 60) };
        let restart = |itl: &str| format!("[\"sh\", \"-c\", \"{}\"]", self.script(itl));
        format!(
            "{}[ablation]\nbase = {{ name = \"quick\", restart = {} }}\n\
             new = {{ name = \"slow\", restart = {} }}\nrestarts = 3\naa_restarts = {aa_restarts}\n",
            campaign.text(),
            restart("2ms"),
            restart("4ms"),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let kill = format!("kill $(cat {})", self.pid_file().display());
        let _ended = Command::new("sh").arg("-c").arg(kill).stderr(Stdio::null()).status();
    }
}

/// What `floodmark compare` says of a result directory, and its exit code.
fn compared(dir: &Path) -> (String, Option<i32>) {
    let said = Command::new(binaries::floodmark()).arg("compare").arg(dir).output().unwrap();
    (String::from_utf8(said.stdout).unwrap(), said.status.code())
}

/// The exit code of a comparison. A busy machine strikes levels as CLIENT_LIMITED, and what is left
/// of them decides less.
fn expected(model: &ReportModel) -> Option<i32> {
    let comparison = model.ablation.as_ref().and_then(|ablation| ablation.comparison.as_ref());
    Some(match comparison.unwrap().answer {
        Answer::Worse => 99,
        Answer::NothingComparable => 2,
        Answer::Better | Answer::Equivalent | Answer::NoDifferenceShown | Answer::NotTested => 0,
    })
}

fn arms(ran: &Ran) -> Vec<(Arm, u32)> {
    ran.record
        .levels
        .iter()
        .map(|level| (level.planned.arm.unwrap(), level.planned.repeat))
        .collect()
}

#[test]
fn a_configuration_that_is_slower_is_found_and_fails_the_gate() {
    let server = Server::start();
    let ran = run::text_to_end(&server.campaign(0), 2);
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let mut begun = arms(&ran);
    assert_eq!(begun.iter().map(|(_, pair)| *pair).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2]);
    begun.sort();
    begun.dedup();
    assert_eq!(begun.len(), 6, "three of each");
    let model = ReportModel::new(&ran.record, &[]);
    assert_eq!(model.target.restarts, 6);
    assert!(model.target.changes.is_empty(), "{:?}", model.target.changes);
    let (text, code) = compared(ran.dir.path());
    assert_eq!(code, expected(&model), "{text}");
    assert!(text.contains("none was asked for"), "{text}");
    if model.levels.iter().all(LevelReport::is_valid) {
        assert_eq!(code, Some(99), "{text}");
        assert!(text.contains("NEW is worse: total tok/s at SCALING 4 is "), "{text}");
        assert!(report::text(&model, ran.dir.path()).contains("NEW is worse: total tok/s"));
    }
}

#[test]
fn the_base_is_compared_with_itself_first() {
    let server = Server::start();
    let ran = run::text_to_end(&server.campaign(3), 1);
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let model = ReportModel::new(&ran.record, &[]);
    let ablation = model.ablation.as_ref().unwrap();
    let begun = arms(&ran);
    let of_aa = |(arm, _): &(Arm, u32)| [Arm::AaBase, Arm::AaNew].contains(arm);
    assert!(begun.len() >= 6 && begun[..6].iter().all(of_aa), "{begun:?}");
    // A machine that is busy with something else makes a base that differs from itself; then, and
    // only then, nothing follows.
    let (text, code) = compared(ran.dir.path());
    match report::trust(ablation) {
        Ok(()) => {
            assert_eq!(begun.len(), 12);
            assert!(!begun[6..].iter().any(of_aa));
            assert_eq!(code, expected(&model), "{text}");
        }
        Err(why) => {
            assert_eq!(begun.len(), 6);
            assert!(ran.end.because.contains(&why), "{}", ran.end.because);
            assert_eq!(code, Some(2), "{text}");
        }
    }
}
