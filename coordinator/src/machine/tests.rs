use common::assignment::Load;
use common::phase::Phase;
use common::workload::{CacheMode, Workload};
use proptest::prelude::*;

use super::*;
use crate::plan::PlannedLevel;

fn plan(levels: u32) -> Plan {
    let level = |n: u32| PlannedLevel {
        phase: Phase::Scaling,
        place: n,
        repeat: 0,
        label: n.to_string(),
        load: Load::counted(4, 8),
        window: None,
        allow_capped: false,
        workload: Workload {
            name: "w".parse().unwrap(),
            input_tokens: 1,
            output_tokens: 1,
            forced_length: false,
            cache: CacheMode::Replay,
        },
        cooldown: Duration::from_secs(5),
    };
    Plan { levels: (0..levels).map(level).collect() }
}

fn names(agents: u32) -> Vec<String> {
    (1..=agents).map(|n| format!("agent {n}")).collect()
}

/// A machine whose requests take no more than 100 s.
fn machine(plan: Plan, names: Vec<String>) -> Machine {
    Machine::new(plan, names, Duration::from_secs(100), at(0))
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

fn any_event() -> impl Strategy<Value = Event> {
    let agent = (0u32..3).prop_map(AgentIx);
    let level = (0u32..3, 0u32..3).prop_map(|(ordinal, attempt)| LevelId { ordinal, attempt });
    (agent, level, 0u8..10).prop_map(|(agent, level, kind)| match kind {
        0 | 1 => Event::Armed { agent, level },
        2 | 3 => Event::Fired { agent, level },
        4 | 5 => completed(agent, level),
        6 => Event::Sealed { agent, level, end: LevelEnd::LeaseExpired },
        7 => Event::TooLate { agent, level },
        8 => Event::Lost { agent, why: "x".to_owned() },
        _ => Event::NotArmed { agent, level, reason: "x".to_owned() },
    })
}

proptest! {
    /// Whatever is reported in whatever order: a level fires only when every agent left has armed
    /// it, each level gets one fate per attempt, levels come in order, every seal is acknowledged,
    /// and time alone brings the run to its end once it was interrupted.
    #[test]
    fn any_order_of_events_keeps_the_rules(events in prop::collection::vec(any_event(), 0..200)) {
        let mut machine = machine(plan(3), names(3));
        let mut armed = BTreeSet::new();
        let mut lost = BTreeSet::new();
        let mut fates = BTreeSet::new();
        let mut last = id(0, 0);
        let mut finished = 0;
        let mut second = 0;
        let mut queue: Vec<Option<Event>> = events.into_iter().map(Some).collect();
        queue.push(Some(Event::Interrupt));
        queue.extend(std::iter::repeat_n(None, 4));
        for event in queue {
            second += 1;
            let mut expect_ack = None;
            match event {
                Some(event) => {
                    match &event {
                        Event::Armed { agent, level } if *level == machine.level() => {
                            armed.insert((*agent, *level));
                        }
                        Event::Lost { agent, .. } => { lost.insert(*agent); }
                        Event::Sealed { agent, level, .. } => expect_ack = Some((*agent, *level)),
                        Event::Armed { .. }
                        | Event::NotArmed { .. }
                        | Event::Fired { .. }
                        | Event::TooLate { .. }
                        | Event::Interrupt => {}
                    }
                    machine.handle(at(second), event);
                }
                None => {
                    second += 100;
                    machine.on_deadline(at(second));
                }
            }
            for command in drain(&mut machine) {
                let late = !matches!(command, Command::AckSeal { .. });
                prop_assert!(finished == 0 || !late);
                match command {
                    Command::Arm { level } => {
                        prop_assert!(level >= last);
                        last = level;
                    }
                    Command::Fire { level, .. } => {
                        for agent in (0..3).map(AgentIx).filter(|a| !lost.contains(a)) {
                            prop_assert!(armed.contains(&(agent, level)));
                        }
                    }
                    Command::LevelOver { level, .. } => prop_assert!(fates.insert(level)),
                    Command::AckSeal { agent, level } => {
                        prop_assert_eq!(expect_ack.take(), Some((agent, level)));
                    }
                    Command::Finish { .. } => finished += 1,
                    Command::Stop { .. } => {}
                }
            }
            prop_assert_eq!(expect_ack, None);
        }
        prop_assert_eq!(finished, 1);
        prop_assert!(machine.is_finished());
        prop_assert_eq!(machine.deadline(), None);
    }
}
