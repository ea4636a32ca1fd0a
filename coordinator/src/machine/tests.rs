use common::assignment::{End, Load};
use common::phase::Phase;
use common::workload::Workload;

use super::*;
use crate::campaign::WindowPlan;
use crate::plan::{PlannedLevel, Preparation};

mod between;
mod rules;
mod windows;

fn plan(levels: u32) -> Plan {
    let level = |n: u32| PlannedLevel {
        phase: Phase::Scaling,
        place: n,
        repeat: 0,
        arm: None,
        label: n.to_string(),
        load: Load::counted(4, 8),
        window: None,
        allow_capped: false,
        workload: Workload::new("w".parse().unwrap(), 1.into(), 1.into()),
        before: Preparation::default(),
        cooldown: Duration::from_secs(5),
        proof: None,
    };
    Plan { levels: (0..levels).map(level).collect(), search: None, open: false }
}

fn names(agents: u32) -> Vec<String> {
    (1..=agents).map(|n| format!("agent {n}")).collect()
}

/// A machine whose requests take no more than 100 s, and preparations no more than 600 s.
fn machine(plan: Plan, names: Vec<String>) -> Machine {
    let limits =
        Limits { request: Duration::from_secs(100), preparation: Duration::from_secs(600) };
    Machine::new(plan, names, limits, at(0))
}

fn at(seconds: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(seconds)
}

fn drain(machine: &mut Machine) -> Vec<Command> {
    std::iter::from_fn(|| machine.next_command()).collect()
}

/// Feeds one event and gives what it led to.
fn feed(machine: &mut Machine, second: u64, event: Event) -> Vec<Command> {
    machine.handle(at(second), event);
    drain(machine)
}

const A: AgentIx = AgentIx(0);
const B: AgentIx = AgentIx(1);

fn id(ordinal: u32, attempt: u32) -> LevelId {
    LevelId { ordinal, attempt }
}

fn completed(agent: AgentIx, level: LevelId) -> Event {
    Event::Sealed { agent, level, end: LevelEnd::Completed }
}

/// A machine of two agents whose first level is running.
fn running(levels: u32) -> Machine {
    let mut machine = machine(plan(levels), names(2));
    let level = id(0, 0);
    assert_eq!(drain(&mut machine), [Command::Arm { level }]);
    assert_eq!(feed(&mut machine, 1, Event::Armed { agent: A, level }), []);
    let fire = feed(&mut machine, 1, Event::Armed { agent: B, level });
    assert_eq!(fire, [Command::Fire { level, ahead: ahead(4) }]);
    assert_eq!(feed(&mut machine, 2, Event::Fired { agent: A, level }), []);
    assert_eq!(feed(&mut machine, 2, Event::Fired { agent: B, level }), []);
    machine
}

fn finish(commands: &[Command]) -> (RunOutcome, u8, String) {
    match commands.last() {
        Some(Command::Finish { outcome, exit_code, because }) => {
            (*outcome, *exit_code, because.clone())
        }
        other => panic!("not finished: {other:?}"),
    }
}

#[test]
fn two_levels_run_one_after_the_other_with_a_pause_between() {
    let mut machine = running(2);
    let (first, second) = (id(0, 0), id(1, 0));
    let ack = feed(&mut machine, 3, completed(A, first));
    assert_eq!(ack, [Command::AckSeal { agent: A, level: first }]);
    let over = feed(&mut machine, 4, completed(B, first));
    let fate = LevelFate::Completed;
    assert_eq!(
        over,
        [Command::AckSeal { agent: B, level: first }, Command::LevelOver { level: first, fate }]
    );
    assert_eq!(machine.deadline(), Some(at(9)));
    machine.on_deadline(at(8));
    assert_eq!(drain(&mut machine), []);
    machine.on_deadline(at(9));
    assert_eq!(drain(&mut machine), [Command::Arm { level: second }]);
    for agent in [A, B] {
        feed(&mut machine, 10, Event::Armed { agent, level: second });
    }
    for agent in [A, B] {
        feed(&mut machine, 11, Event::Fired { agent, level: second });
    }
    feed(&mut machine, 12, completed(B, second));
    let end = feed(&mut machine, 13, completed(A, second));
    assert_eq!(finish(&end), (RunOutcome::Completed, 0, "every level was run".to_owned()));
}

#[test]
fn nobody_fires_unless_all_are_armed() {
    let mut machine = machine(plan(1), names(2));
    drain(&mut machine);
    let level = id(0, 0);
    feed(&mut machine, 1, Event::Armed { agent: A, level });
    // The same agent twice, and one that speaks of another level, are not two agents.
    assert_eq!(feed(&mut machine, 1, Event::Armed { agent: A, level }), []);
    assert_eq!(feed(&mut machine, 1, Event::Armed { agent: B, level: id(7, 0) }), []);
    let reason = "no fds".to_owned();
    let end = feed(&mut machine, 2, Event::NotArmed { agent: B, level, reason });
    assert!(!end.iter().any(|c| matches!(c, Command::Fire { .. })));
    let because = "not ready: agent 2: no fds".to_owned();
    assert_eq!(finish(&end), (RunOutcome::Failed, 4, because));
}

#[test]
fn a_silent_agent_ends_the_run_at_the_deadline() {
    let mut machine = machine(plan(1), names(2));
    drain(&mut machine);
    feed(&mut machine, 1, Event::Armed { agent: A, level: id(0, 0) });
    machine.on_deadline(at(15));
    let (outcome, code, because) = finish(&drain(&mut machine));
    assert_eq!((outcome, code), (RunOutcome::Failed, 4));
    assert_eq!(because, "not ready: agent 2 did not say that it is ready within 15 s");
}

#[test]
fn an_agent_that_hears_too_late_makes_a_new_attempt_of_the_level() {
    let mut machine = machine(plan(1), names(2));
    for attempt in 0..ATTEMPTS_MAX {
        let level = id(0, attempt);
        assert_eq!(drain(&mut machine), [Command::Arm { level }]);
        feed(&mut machine, 1, Event::Armed { agent: A, level });
        feed(&mut machine, 1, Event::Armed { agent: B, level });
        feed(&mut machine, 2, Event::Fired { agent: A, level });
        let stop = feed(&mut machine, 2, Event::TooLate { agent: B, level });
        assert_eq!(stop, [Command::Stop { level, grace: Duration::ZERO }]);
        machine.handle(at(3), Event::Sealed { agent: A, level, end: LevelEnd::Stopped });
        let ack = machine.next_command();
        assert_eq!(ack, Some(Command::AckSeal { agent: A, level }));
        let fate = machine.next_command();
        assert!(matches!(fate, Some(Command::LevelOver { fate: LevelFate::Quarantined(_), .. })));
    }
    assert_eq!(finish(&drain(&mut machine)).1, 4);
}

#[test]
fn an_interrupt_keeps_what_is_sealed_and_leaves_with_130() {
    let mut machine = running(3);
    let level = id(0, 0);
    let stop = feed(&mut machine, 5, Event::Interrupt);
    assert_eq!(stop, [Command::Stop { level, grace: STOP_GRACE }]);
    assert_eq!(feed(&mut machine, 5, Event::Interrupt), []);
    feed(&mut machine, 6, Event::Sealed { agent: A, level, end: LevelEnd::Stopped });
    let end = feed(&mut machine, 6, Event::Sealed { agent: B, level, end: LevelEnd::Stopped });
    assert!(matches!(&end[1], Command::LevelOver { fate: LevelFate::Stopped(_), .. }));
    assert_eq!(finish(&end).1, 130);
}

#[test]
fn an_interrupt_waits_for_seals_only_so_long() {
    let mut machine = running(1);
    feed(&mut machine, 5, Event::Interrupt);
    machine.on_deadline(machine.deadline().unwrap());
    let (_, code, because) = finish(&drain(&mut machine));
    assert_eq!(code, 130);
    assert_eq!(because, "interrupted by the operator; agent 1, agent 2 did not seal within 5 s");
}

#[test]
fn a_lost_agent_quarantines_the_level() {
    let mut machine = running(2);
    let level = id(0, 0);
    let stop = feed(&mut machine, 3, Event::Lost { agent: A, why: "reset".to_owned() });
    assert_eq!(stop, [Command::Stop { level, grace: Duration::ZERO }]);
    let end = feed(&mut machine, 4, Event::Sealed { agent: B, level, end: LevelEnd::Stopped });
    let fate = LevelFate::Quarantined("agent 1 was lost: reset".to_owned());
    assert_eq!(end[1], Command::LevelOver { level, fate });
    assert_eq!(finish(&end).1, 4);
}

#[test]
fn an_agent_that_leaves_is_heard_out() {
    let mut machine = running(2);
    let level = id(0, 0);
    let stop = feed(&mut machine, 3, Event::Sealed { agent: A, level, end: LevelEnd::Stopped });
    assert_eq!(stop[1], Command::Stop { level, grace: Duration::ZERO });
    feed(&mut machine, 3, Event::Sealed { agent: B, level, end: LevelEnd::Stopped });
    let why = "the agent is shutting down".to_owned();
    let end = feed(&mut machine, 3, Event::Lost { agent: A, why });
    let because = "agent 1 stopped on its own: the agent is shutting down".to_owned();
    assert_eq!(finish(&end), (RunOutcome::Failed, 4, because));
    // Without a word it is not waited for longer than for a seal.
    let mut machine = running(2);
    for agent in [A, B] {
        feed(&mut machine, 3, Event::Sealed { agent, level, end: LevelEnd::Stopped });
    }
    machine.on_deadline(at(8));
    let because = "agent 1 stopped on its own".to_owned();
    assert_eq!(finish(&drain(&mut machine)), (RunOutcome::Failed, 4, because));
}

#[test]
fn a_living_agent_that_never_seals_does_not_hold_the_run_for_ever() {
    let mut machine = running(2);
    let level = id(0, 0);
    feed(&mut machine, 3, completed(A, level));
    // Eight requests of four users: two turns and the connect before, then the time to seal.
    assert_eq!(machine.deadline(), Some(at(2 + 3 * 100 + 5)));
    machine.on_deadline(at(307));
    assert_eq!(drain(&mut machine), [Command::Stop { level, grace: Duration::ZERO }]);
    machine.on_deadline(at(312));
    let (outcome, code, because) = finish(&drain(&mut machine));
    assert_eq!((outcome, code), (RunOutcome::Failed, 4));
    assert_eq!(
        because,
        "agent 2 did not seal though every request must have timed out by now; agent 2 did not \
         seal within 5 s"
    );
}

#[test]
fn a_fault_of_the_generator_is_an_internal_error() {
    let mut machine = running(2);
    let level = id(0, 0);
    let end = LevelEnd::Faulted("a user's task panicked".to_owned());
    feed(&mut machine, 3, Event::Sealed { agent: A, level, end });
    let end = feed(&mut machine, 3, Event::Sealed { agent: B, level, end: LevelEnd::Stopped });
    assert!(matches!(&end[1], Command::LevelOver { fate: LevelFate::Failed(_), .. }));
    let because = "agent 1: a user's task panicked".to_owned();
    assert_eq!(finish(&end), (RunOutcome::Failed, 1, because));
}

fn load_up(level: LevelId) -> Event {
    Event::LoadUp { level, from: Duration::from_secs(8) }
}

fn enough(level: LevelId) -> Event {
    Event::Enough { level, until: Duration::from_secs(20) }
}

/// A plan of levels that are measured in windows of up to a minute.
fn windowed(levels: u32) -> Plan {
    let mut plan = plan(levels);
    for level in &mut plan.levels {
        level.load.end = End::Window;
        level.window = Some(WindowPlan {
            least: Duration::from_secs(12),
            most: Duration::from_secs(60),
            turns: 3,
            requests: 12,
            precise: false,
        });
    }
    plan
}

#[test]
fn what_was_decided_is_stored_with_its_value() {
    let level = id(2, 1);
    let (kind, body) = Event::LoadUp { level, from: Duration::from_millis(8_100) }.to_stored();
    let at = |ns: u64| format!("{{\"level\":2,\"attempt\":1,\"offset_ns\":{ns}}}");
    assert_eq!((kind, body), ("load_up", at(8_100_000_000)));
    let (kind, body) = Event::Enough { level, until: Duration::from_secs(70) }.to_stored();
    assert_eq!((kind, body), ("enough", at(70_000_000_000)));
    let (kind, body) = Event::Drained { level }.to_stored();
    assert_eq!((kind, body.as_str()), ("drained", "{\"level\":2,\"attempt\":1}"));
}
