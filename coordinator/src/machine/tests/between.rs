//! What happens between levels: what is done to the target, and the decision what follows.

use super::*;

const BOTH: Preparation = Preparation { restart_server: true, reset_cache: true };

/// A plan of levels that are all prepared.
fn prepared(levels: u32) -> Plan {
    let mut plan = plan(levels);
    plan.levels.iter_mut().for_each(|level| level.before = BOTH);
    plan
}

fn open(plan: Plan) -> Plan {
    Plan { open: true, ..plan }
}

/// Takes the level under the cursor, which has been ordered to arm, to its end at a second.
fn complete(machine: &mut Machine, second: u64) -> Vec<Command> {
    let level = machine.level();
    let mut last = Vec::new();
    for event in [
        |agent, level| Event::Armed { agent, level },
        |agent, level| Event::Fired { agent, level },
        completed,
    ] {
        for agent in [A, B] {
            last = feed(machine, second, event(agent, level));
        }
    }
    assert_eq!(last[1], Command::LevelOver { level, fate: LevelFate::Completed });
    last.split_off(2)
}

/// A machine of two agents that waits until the target is prepared for the second of two levels:
/// the first was over in second 4, its pause in second 9.
fn preparing() -> Machine {
    let mut plan = plan(2);
    plan.levels[1].before = BOTH;
    let mut machine = machine(plan, names(2));
    drain(&mut machine);
    assert_eq!(complete(&mut machine, 4), []);
    machine.on_deadline(at(9));
    assert_eq!(drain(&mut machine), [Command::Prepare { level: id(1, 0), what: BOTH }]);
    machine
}

/// A machine of two agents that waits for what follows its only level, which was over in second 4.
fn deciding() -> Machine {
    let mut machine = machine(open(plan(1)), names(2));
    drain(&mut machine);
    assert_eq!(complete(&mut machine, 4), [Command::Decide]);
    machine
}

fn decided(levels: Vec<PlannedLevel>) -> Event {
    Event::Decided { levels, because: "it is enough".to_owned() }
}

/// The run is over with nothing but this said: whoever has begun nothing is told to stop nothing.
fn assert_over(machine: &Machine, commands: &[Command], end: (RunOutcome, u8, &str)) {
    let (outcome, exit_code, because) = end;
    assert_eq!(commands, [Command::Finish { outcome, exit_code, because: because.to_owned() }]);
    assert!(machine.is_finished());
    assert_eq!(machine.deadline(), None);
}

/// Nothing that comes late, or again, moves a machine that is over; a seal is acknowledged even so.
fn assert_deaf(machine: &mut Machine) {
    let levels = machine.plan().levels.len();
    for level in [id(0, 0), id(1, 0)] {
        for event in [
            Event::Prepared { level },
            Event::PrepareFailed { level, why: "late".to_owned() },
            decided(plan(1).levels),
            Event::Interrupt,
            Event::Lost { agent: B, why: "late".to_owned() },
        ] {
            assert_eq!(feed(machine, 800, event), []);
        }
        let seal = feed(machine, 800, completed(A, level));
        assert_eq!(seal, [Command::AckSeal { agent: A, level }]);
    }
    machine.on_deadline(at(9000));
    assert_eq!(drain(machine), []);
    assert_eq!(machine.plan().levels.len(), levels);
}

#[test]
fn nothing_is_armed_before_the_target_is_prepared() {
    let mut machine = machine(prepared(1), names(2));
    let level = id(0, 0);
    assert_eq!(drain(&mut machine), [Command::Prepare { level, what: BOTH }]);
    for agent in [A, B] {
        assert_eq!(feed(&mut machine, 1, Event::Armed { agent, level }), []);
        assert_eq!(feed(&mut machine, 1, Event::Fired { agent, level }), []);
    }
    // Of another level, or another attempt of this one.
    for other in [id(1, 0), id(0, 1)] {
        assert_eq!(feed(&mut machine, 2, Event::Prepared { level: other }), []);
        let why = "of another".to_owned();
        assert_eq!(feed(&mut machine, 2, Event::PrepareFailed { level: other, why }), []);
    }
    assert_eq!(feed(&mut machine, 3, Event::Prepared { level }), [Command::Arm { level }]);
    assert_eq!(machine.deadline(), Some(at(3) + ARM_TIMEOUT));
    // Said twice, or taken back, it changes nothing.
    assert_eq!(feed(&mut machine, 4, Event::Prepared { level }), []);
    let why = "after all".to_owned();
    assert_eq!(feed(&mut machine, 4, Event::PrepareFailed { level, why }), []);
    // Who was ready too early has to be ready again.
    assert_eq!(feed(&mut machine, 5, Event::Armed { agent: A, level }), []);
    let fire = feed(&mut machine, 5, Event::Armed { agent: B, level });
    assert_eq!(fire, [Command::Fire { level, ahead: ahead(4) }]);
}

#[test]
fn a_target_that_cannot_be_prepared_ends_the_run_and_keeps_what_was_measured() {
    let mut machine = preparing();
    let why = "the restart failed: exit status 5".to_owned();
    let end = feed(&mut machine, 30, Event::PrepareFailed { level: id(1, 0), why: why.clone() });
    // The first level has its fate; the second, which was never begun, gets none.
    assert_over(&machine, &end, (RunOutcome::Failed, 3, &why));
    assert_deaf(&mut machine);
}

#[test]
fn neither_a_preparation_nor_a_decision_lasts_for_ever() {
    let mut machine = preparing();
    assert_eq!(machine.deadline(), Some(at(9 + 600)));
    machine.on_deadline(at(608));
    assert_eq!(drain(&mut machine), []);
    machine.on_deadline(at(609));
    let end = drain(&mut machine);
    let because = "the target was not made ready for SCALING 1 within 600 s";
    assert_over(&machine, &end, (RunOutcome::Failed, 3, because));
    assert_deaf(&mut machine);

    let mut machine = deciding();
    assert_eq!(machine.deadline(), Some(at(4) + PLAN_TIMEOUT));
    machine.on_deadline(at(63));
    assert_eq!(drain(&mut machine), []);
    machine.on_deadline(at(64));
    let end = drain(&mut machine);
    let because = "nothing decided what follows within 60 s";
    assert_over(&machine, &end, (RunOutcome::Failed, 1, because));
    assert_deaf(&mut machine);
}

#[test]
fn an_agent_that_is_lost_between_levels_ends_the_run() {
    for mut machine in [preparing(), deciding()] {
        let end = feed(&mut machine, 20, Event::Lost { agent: A, why: "reset".to_owned() });
        assert_over(&machine, &end, (RunOutcome::Failed, 4, "agent 1 was lost: reset"));
        assert_deaf(&mut machine);
    }
}

#[test]
fn an_interrupt_between_levels_ends_the_run_at_once_and_a_second_adds_nothing() {
    for mut machine in [preparing(), deciding()] {
        let end = feed(&mut machine, 20, Event::Interrupt);
        assert_over(&machine, &end, (RunOutcome::Stopped, 130, "interrupted by the operator"));
        assert_eq!(feed(&mut machine, 20, Event::Interrupt), []);
        assert_deaf(&mut machine);
    }
}

#[test]
fn words_of_agents_between_levels_are_borne() {
    for mut machine in [preparing(), deciding()] {
        let deadline = machine.deadline();
        let level = machine.level();
        for event in [
            Event::Armed { agent: A, level },
            Event::NotArmed { agent: A, level, reason: "no fds".to_owned() },
            Event::Fired { agent: A, level },
            Event::TooLate { agent: A, level },
            load_up(level),
            enough(level),
            Event::Drained { level },
        ] {
            assert_eq!(feed(&mut machine, 20, event), []);
        }
        let seal = feed(&mut machine, 20, completed(A, level));
        assert_eq!(seal, [Command::AckSeal { agent: A, level }]);
        assert_eq!(machine.deadline(), deadline);
    }
}

#[test]
fn an_open_plan_without_levels_begins_with_a_decision() {
    let mut empty = machine(plan(0), names(2));
    let end = drain(&mut empty);
    assert_over(&empty, &end, (RunOutcome::Completed, 0, "there was nothing to do"));

    let mut none = machine(open(plan(0)), names(2));
    assert_eq!(drain(&mut none), [Command::Decide]);
    let end = feed(&mut none, 1, decided(vec![]));
    assert_over(&none, &end, (RunOutcome::Completed, 0, "it is enough"));

    // Nothing was before the first level that it would have to wait for.
    let mut some = machine(open(plan(0)), names(2));
    drain(&mut some);
    let arm = feed(&mut some, 1, decided(plan(2).levels));
    assert_eq!(arm, [Command::Arm { level: id(0, 0) }]);
    let mut some = machine(open(plan(0)), names(2));
    drain(&mut some);
    let prepare = feed(&mut some, 1, decided(prepared(2).levels));
    assert_eq!(prepare, [Command::Prepare { level: id(0, 0), what: BOTH }]);
    assert_eq!(some.deadline(), Some(at(601)));
}

#[test]
fn levels_that_are_decided_take_the_next_places_until_there_are_none() {
    let mut machine = deciding();
    let mut more = windowed(1).levels;
    more.extend(prepared(1).levels);
    // The pause of 5 s runs from the end of the level, not from the decision.
    assert_eq!(feed(&mut machine, 8, decided(more.clone())), []);
    assert_eq!(machine.deadline(), Some(at(9)));
    // Said again it is not run again.
    assert_eq!(feed(&mut machine, 8, decided(more.clone())), []);
    assert_eq!(machine.plan().levels[1..], more);
    machine.on_deadline(at(9));
    let level = id(1, 0);
    assert_eq!(drain(&mut machine), [Command::Arm { level }]);
    assert_eq!(machine.planned_of(level), Some(&more[0]));
    for agent in [A, B] {
        feed(&mut machine, 10, Event::Armed { agent, level });
        feed(&mut machine, 10, decided(more.clone()));
    }
    for agent in [A, B] {
        feed(&mut machine, 10, Event::Fired { agent, level });
    }
    for event in [load_up(level), enough(level), Event::Drained { level }, completed(A, level)] {
        feed(&mut machine, 30, event);
    }
    feed(&mut machine, 30, completed(B, level));
    machine.on_deadline(at(35));
    let level = id(2, 0);
    assert_eq!(drain(&mut machine), [Command::Prepare { level, what: BOTH }]);
    assert_eq!(machine.planned_of(level), Some(&more[1]));
    assert_eq!(feed(&mut machine, 36, Event::Prepared { level }), [Command::Arm { level }]);
    assert_eq!(complete(&mut machine, 40), [Command::Decide]);
    let end = feed(&mut machine, 41, decided(vec![]));
    assert_over(&machine, &end, (RunOutcome::Completed, 0, "it is enough"));
    assert_deaf(&mut machine);
}

#[test]
fn a_decision_that_takes_longer_than_the_pause_is_followed_at_once() {
    let mut machine = deciding();
    let arm = feed(&mut machine, 12, decided(plan(1).levels));
    assert_eq!(arm, [Command::Arm { level: id(1, 0) }]);
}

#[test]
fn a_new_attempt_empties_the_cache_again_and_restarts_nothing() {
    let mut machine = preparing();
    let level = id(1, 0);
    feed(&mut machine, 20, Event::Prepared { level });
    for agent in [A, B] {
        feed(&mut machine, 21, Event::Armed { agent, level });
    }
    feed(&mut machine, 22, Event::TooLate { agent: A, level });
    let again = feed(&mut machine, 22, Event::TooLate { agent: B, level });
    let (level, what) = (id(1, 1), Preparation { restart_server: false, reset_cache: true });
    assert_eq!(again.last(), Some(&Command::Prepare { level, what }));
    // What the first attempt was told is old.
    assert_eq!(feed(&mut machine, 23, Event::Prepared { level: id(1, 0) }), []);
    assert_eq!(feed(&mut machine, 24, Event::Prepared { level }), [Command::Arm { level }]);
}

#[test]
fn an_interrupt_while_a_level_is_stopped_for_another_attempt_ends_the_run() {
    let mut machine = machine(plan(2), names(2));
    drain(&mut machine);
    let level = id(0, 0);
    for agent in [A, B] {
        feed(&mut machine, 1, Event::Armed { agent, level });
    }
    // One agent has begun, the other was too late for it.
    feed(&mut machine, 2, Event::Fired { agent: A, level });
    feed(&mut machine, 2, Event::TooLate { agent: B, level });
    assert_eq!(feed(&mut machine, 2, Event::Interrupt), []);
    let end = feed(&mut machine, 3, Event::Sealed { agent: A, level, end: LevelEnd::Stopped });
    let fate = LevelFate::Stopped("interrupted by the operator".to_owned());
    assert_eq!(end[1], Command::LevelOver { level, fate });
    let because = "interrupted by the operator".to_owned();
    assert_eq!(finish(&end), (RunOutcome::Stopped, 130, because));
}
