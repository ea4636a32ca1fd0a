//! Levels that are measured in windows.

use super::*;

/// A machine of two agents whose first level, of one or more with windows, is rising.
fn rising(levels: u32) -> Machine {
    let mut machine = machine(windowed(levels), names(2));
    drain(&mut machine);
    let level = id(0, 0);
    for agent in [A, B] {
        feed(&mut machine, 1, Event::Armed { agent, level });
    }
    for agent in [A, B] {
        feed(&mut machine, 2, Event::Fired { agent, level });
    }
    machine
}

/// The same, with its window open, or closed, or with all cut.
fn after(events: &[Event]) -> Machine {
    let mut machine = rising(1);
    for event in events {
        feed(&mut machine, 3, event.clone());
    }
    machine
}

#[test]
fn a_window_is_opened_closed_and_drained_before_its_level_is_over() {
    let mut machine = rising(1);
    let level = id(0, 0);
    let (from, until) = (Duration::from_secs(8), Duration::from_secs(20));
    // What comes before its time is not heard.
    assert_eq!(feed(&mut machine, 3, enough(level)), []);
    assert_eq!(feed(&mut machine, 3, Event::Drained { level }), []);
    assert_eq!(feed(&mut machine, 3, load_up(id(0, 1))), []);
    assert_eq!(feed(&mut machine, 9, load_up(level)), [Command::Measure { level, from }]);
    assert_eq!(feed(&mut machine, 9, load_up(level)), []);
    // A window has a length.
    assert_eq!(feed(&mut machine, 9, Event::Enough { level, until: from }), []);
    assert_eq!(feed(&mut machine, 20, enough(level)), [Command::Release { level, until }]);
    assert_eq!(feed(&mut machine, 20, enough(level)), []);
    assert_eq!(feed(&mut machine, 24, Event::Drained { level }), [Command::EndLevel { level }]);
    assert_eq!(feed(&mut machine, 24, Event::Drained { level }), []);
    feed(&mut machine, 25, completed(A, level));
    let end = feed(&mut machine, 25, completed(B, level));
    assert_eq!(end[1], Command::LevelOver { level, fate: LevelFate::Completed });
    assert_eq!(finish(&end).0, RunOutcome::Completed);
}

#[test]
fn no_stage_of_a_window_lasts_for_ever() {
    let level = id(0, 0);
    let stages = [
        // Four requests of 100 s each; then for what is not decided.
        (vec![], 2 + 400 + 30, Some("nothing decided when the window begins")),
        (vec![load_up(level)], 2 + 8 + 60 + 30, Some("nothing decided when the window ends")),
        (vec![load_up(level), enough(level)], 2 + 20 + 300 + 30, None),
        (
            vec![load_up(level), enough(level), Event::Drained { level }],
            3 + 5,
            Some("agent 1, agent 2 did not seal a level that was ended"),
        ),
    ];
    for (events, until, why) in stages {
        let mut machine = after(&events);
        assert_eq!(machine.deadline(), Some(at(until)));
        machine.on_deadline(at(until));
        match why {
            Some(why) => {
                let grace = Duration::ZERO;
                assert_eq!(drain(&mut machine), [Command::Stop { level, grace }]);
                machine.on_deadline(at(until + 5));
                let (_, _, because) = finish(&drain(&mut machine));
                assert!(because.starts_with(why), "{because}");
            }
            None => assert_eq!(drain(&mut machine), [Command::EndLevel { level }]),
        }
    }
}

#[test]
fn an_agent_that_hears_too_late_of_its_window_makes_a_new_attempt_once_it_has_sealed() {
    let level = id(0, 0);
    let what = [
        (vec![load_up(level)], "agent 2 heard of the beginning of the window after its instant"),
        (
            vec![load_up(level), enough(level)],
            "agent 2 heard of the end of the window after its instant",
        ),
        (
            vec![load_up(level), enough(level), Event::Drained { level }],
            "agent 2 heard of the end of the window after its instant",
        ),
    ];
    for (events, why) in what {
        let mut machine = after(&events);
        let stop = feed(&mut machine, 10, Event::TooLate { agent: B, level });
        assert_eq!(stop, [Command::Stop { level, grace: Duration::ZERO }]);
        assert_eq!(feed(&mut machine, 10, Event::TooLate { agent: A, level }), []);
        // Both had begun, so both seal before anything is armed.
        let stopped = |agent| Event::Sealed { agent, level, end: LevelEnd::Stopped };
        assert_eq!(feed(&mut machine, 11, stopped(A)), [Command::AckSeal { agent: A, level }]);
        let again = feed(&mut machine, 11, stopped(B));
        let fate = LevelFate::Quarantined(why.to_owned());
        assert_eq!(
            again[1..],
            [Command::LevelOver { level, fate }, Command::Arm { level: id(0, 1) }]
        );
    }
}

#[test]
fn a_level_that_is_not_over_cannot_be_sealed_as_complete() {
    let level = id(0, 0);
    for events in [vec![], vec![load_up(level)], vec![load_up(level), enough(level)]] {
        let mut machine = after(&events);
        let stop = feed(&mut machine, 4, completed(A, level));
        assert_eq!(stop[1], Command::Stop { level, grace: Duration::ZERO });
        let end = feed(&mut machine, 4, Event::Sealed { agent: B, level, end: LevelEnd::Stopped });
        let because = "agent 1 sealed a level that was not over".to_owned();
        assert_eq!(finish(&end), (RunOutcome::Failed, 4, because));
    }
}
