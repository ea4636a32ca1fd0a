use common::assignment::{End, Load};
use common::phase::Phase;
use common::workload::{CacheMode, Workload};
use proptest::prelude::*;

use super::*;
use crate::campaign::WindowPlan;
use crate::plan::{PlannedLevel, Preparation};

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
        workload: Workload {
            name: "w".parse().unwrap(),
            input_tokens: 1,
            output_tokens: 1,
            forced_length: false,
            cache: CacheMode::Replay,
        },
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

fn any_event() -> impl Strategy<Value = Event> {
    let agent = (0u32..3).prop_map(AgentIx);
    let level = (0u32..3, 0u32..3).prop_map(|(ordinal, attempt)| LevelId { ordinal, attempt });
    (agent, level, 0u64..30, 0u8..15).prop_map(|(agent, level, offset, kind)| match kind {
        0 | 1 => Event::Armed { agent, level },
        2 | 3 => Event::Fired { agent, level },
        4 | 5 => completed(agent, level),
        6 => Event::Sealed { agent, level, end: LevelEnd::LeaseExpired },
        7 => Event::TooLate { agent, level },
        8 => Event::Lost { agent, why: "x".to_owned() },
        9 => Event::NotArmed { agent, level, reason: "x".to_owned() },
        10 | 11 => Event::LoadUp { level, from: Duration::from_secs(offset) },
        12 | 13 => Event::Enough { level, until: Duration::from_secs(offset) },
        _ => Event::Drained { level },
    })
}

/// What a step of a run is.
#[derive(Clone, Debug)]
enum Step {
    /// The fleet does what it was last told to.
    Honest,
    /// Something else is heard.
    Noise(Event),
    /// Nothing happens until the deadline.
    Silence,
    Interrupt,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => Just(Step::Honest),
        3 => any_event().prop_map(Step::Noise),
        1 => Just(Step::Silence),
    ]
}

/// What three honest agents, and the watch of a window, say to a command.
fn answers(command: &Command) -> Vec<Event> {
    let all = |event: fn(AgentIx, LevelId) -> Event, level| {
        (0..3).map(|agent| event(AgentIx(agent), level)).collect()
    };
    match *command {
        Command::Arm { level } => all(|agent, level| Event::Armed { agent, level }, level),
        Command::Fire { level, .. } => {
            let mut events: Vec<Event> = all(|agent, level| Event::Fired { agent, level }, level);
            if is_windowed(level) {
                events.push(load_up(level));
            } else {
                events.extend::<Vec<Event>>(all(completed, level));
            }
            events
        }
        Command::Measure { level, .. } => vec![enough(level)],
        Command::Release { level, .. } => vec![Event::Drained { level }],
        Command::EndLevel { level } => all(completed, level),
        Command::Stop { level, .. } => {
            all(|agent, level| Event::Sealed { agent, level, end: LevelEnd::Stopped }, level)
        }
        Command::Prepare { level, .. } => vec![Event::Prepared { level }],
        Command::Decide => vec![],
        Command::AckSeal { .. } | Command::LevelOver { .. } | Command::Finish { .. } => vec![],
    }
}

/// Of the levels of the property below all but the second are measured in windows.
fn is_windowed(level: LevelId) -> bool {
    level.ordinal != 1
}

/// Before the last of the levels that are known from the start something is done to the target.
fn is_prepared(level: LevelId) -> bool {
    level.ordinal == 2
}

/// What was commanded, and whether it may be.
#[derive(Default)]
struct Rules {
    armed: BTreeSet<(AgentIx, LevelId)>,
    lost: BTreeSet<AgentIx>,
    /// The level, and the orders that it got.
    level: Option<LevelId>,
    ordered: Vec<&'static str>,
    over: BTreeSet<LevelId>,
    preparing: Option<LevelId>,
    finished: bool,
}

impl Rules {
    /// The order is of the current level, which is not over, and these were the ones before it.
    fn order(&mut self, level: LevelId, name: &'static str, before: &[&str]) {
        assert_eq!(Some(level), self.level);
        assert!(!self.over.contains(&level) && !self.finished, "{name} of a level that is over");
        assert_eq!(self.ordered, before, "before {name}");
        self.ordered.push(name);
    }

    fn check(&mut self, command: &Command) {
        match *command {
            Command::Arm { level } => {
                assert!(!self.finished);
                assert!(!is_prepared(level) || self.preparing == Some(level));
                assert!(self.level.is_none_or(|last| last < level && self.over.contains(&last)));
                (self.level, self.ordered) = (Some(level), vec![]);
            }
            Command::Fire { level, .. } => {
                self.order(level, "fire", &[]);
                for agent in (0..3).map(AgentIx).filter(|agent| !self.lost.contains(agent)) {
                    assert!(self.armed.contains(&(agent, level)));
                }
            }
            Command::Measure { level, .. } => {
                assert!(is_windowed(level));
                self.order(level, "measure", &["fire"]);
            }
            Command::Release { level, .. } => {
                self.order(level, "release", &["fire", "measure"]);
            }
            Command::EndLevel { level } => {
                self.order(level, "end", &["fire", "measure", "release"]);
            }
            Command::Stop { level, .. } => {
                assert_eq!(Some(level), self.level);
                assert!(!self.ordered.contains(&"stop") && !self.over.contains(&level));
                self.ordered.push("stop");
            }
            Command::LevelOver { level, ref fate } => {
                assert_eq!(Some(level), self.level);
                assert!(self.over.insert(level));
                let last = if is_windowed(level) { "end" } else { "fire" };
                let last = if *fate == LevelFate::Completed { last } else { "stop" };
                assert_eq!(self.ordered.last(), Some(&last));
            }
            Command::Finish { .. } => {
                assert!(!self.finished);
                self.finished = true;
            }
            Command::Prepare { level, .. } => {
                assert!(!self.finished && !self.over.contains(&level));
                assert!(self.level.is_none_or(|last| last < level && self.over.contains(&last)));
                self.preparing = Some(level);
            }
            Command::Decide => {
                assert!(!self.finished && self.level.is_none_or(|last| self.over.contains(&last)));
            }
            Command::AckSeal { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Whatever is reported in whatever order, with an operator who may interrupt at any point: a
    /// level fires only when every agent left has armed it; a window is opened, closed and its level
    /// ended once each and in this order, and nothing is ordered of a level that was stopped; each
    /// level gets one fate per attempt; levels come in order; every seal is acknowledged; and time
    /// alone brings the run to its end.
    #[test]
    fn any_order_of_events_keeps_the_rules(
        mut steps in prop::collection::vec(any_step(), 0..200),
        interrupt in prop::option::of(0usize..100)
    ) {
        if let Some(place) = interrupt {
            steps.insert(place.min(steps.len()), Step::Interrupt);
        }
        let silence = std::iter::repeat_n(Step::Silence, 5 * 9 * ATTEMPTS_MAX as usize);
        let mut mixed = windowed(3);
        mixed.levels[1] = plan(3).levels.remove(1);
        mixed.levels[2].before.reset_cache = true;
        mixed.open = true;
        let mut spare = windowed(2).levels;
        let mut machine = machine(mixed, names(3));
        let mut rules = Rules::default();
        let mut honest = VecDeque::new();
        let mut now = at(0);
        for step in std::iter::once(Step::Silence).chain(steps).chain(silence) {
            now = now + Duration::from_millis(100);
            let event = match step {
                Step::Honest => honest.pop_front(),
                Step::Noise(event) => Some(event),
                Step::Interrupt => Some(Event::Interrupt),
                Step::Silence => {
                    now = machine.deadline().unwrap_or(now).max(now);
                    None
                }
            };
            let mut to_acknowledge = None;
            match &event {
                Some(Event::Armed { agent, level }) if *level == machine.level() => {
                    rules.armed.insert((*agent, *level));
                }
                Some(Event::Lost { agent, .. }) => drop(rules.lost.insert(*agent)),
                Some(Event::Sealed { agent, level, .. }) => to_acknowledge = Some((*agent, *level)),
                _ => {}
            }
            match event {
                // The first step only takes what a new machine wants.
                Some(event) => machine.handle(now, event),
                None => machine.on_deadline(now),
            }
            for command in drain(&mut machine) {
                rules.check(&command);
                honest.extend(answers(&command));
                if command == Command::Decide {
                    let levels = spare.pop().into_iter().collect();
                    honest.push_back(Event::Decided { levels, because: "enough".to_owned() });
                }
                if let Command::AckSeal { agent, level } = command {
                    prop_assert_eq!(to_acknowledge.take(), Some((agent, level)));
                }
            }
            prop_assert_eq!(to_acknowledge, None);
            prop_assert!(machine.is_finished() || machine.deadline().is_some_and(|d| d > now));
        }
        prop_assert!(rules.finished && machine.is_finished());
        prop_assert_eq!(machine.deadline(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_interrupt_at_any_point_of_a_window_stops_it(place in 0usize..12) {
        let mut machine = machine(windowed(1), names(3));
        let mut honest = VecDeque::new();
        let mut commands = drain(&mut machine);
        let mut taken = 0;
        let finish = loop {
            honest.extend(commands.iter().flat_map(answers));
            if let Some(Command::Finish { exit_code, .. }) = commands.last() {
                break *exit_code;
            }
            let event = if taken == place { Some(Event::Interrupt) } else { honest.pop_front() };
            taken += 1;
            match event {
                Some(event) => machine.handle(at(1), event),
                None => machine.on_deadline(machine.deadline().unwrap()),
            }
            commands = drain(&mut machine);
        };
        prop_assert_eq!(finish, 130);
    }
}
