//! What holds whatever is reported, in whatever order.

use proptest::prelude::*;

use super::*;

/// What a step of a run is.
#[derive(Clone, Debug)]
enum Step {
    /// The fleet, and whoever else was told to do something, does it; without anything left to do,
    /// time passes until the deadline.
    Honest,
    /// Something else is heard.
    Noise(Noise),
    /// Nothing happens until the deadline.
    Silence,
    Interrupt,
}

/// Something that nobody asked for.
#[derive(Clone, Debug)]
struct Noise {
    kind: u8,
    agent: AgentIx,
    /// Of another level than the one under the cursor.
    level: Option<LevelId>,
    offset: Duration,
    levels: Vec<PlannedLevel>,
}

impl Noise {
    fn event(self, current: LevelId) -> Event {
        let Self { kind, agent, level, offset, levels } = self;
        let level = level.unwrap_or(current);
        let text = || "noise".to_owned();
        match kind {
            0..4 => Event::Armed { agent, level },
            4..8 => Event::Fired { agent, level },
            8..11 => completed(agent, level),
            11..14 => Event::LoadUp { level, from: offset },
            14..17 => Event::Enough { level, until: offset },
            17..20 => Event::Drained { level },
            20..24 => Event::Prepared { level },
            24..28 => Event::Decided { levels, because: text() },
            28..30 => Event::TooLate { agent, level },
            30 => Event::Sealed { agent, level, end: LevelEnd::LeaseExpired },
            31 => Event::Sealed { agent, level, end: LevelEnd::Stopped },
            32 => Event::Lost { agent, why: text() },
            33 => Event::NotArmed { agent, level, reason: text() },
            _ => Event::PrepareFailed { level, why: text() },
        }
    }
}

fn any_level() -> impl Strategy<Value = PlannedLevel> {
    (any::<bool>(), any::<bool>(), any::<bool>(), 0u64..3).prop_map(
        |(has_window, restart_server, reset_cache, cooldown)| {
            let mut planned = if has_window { windowed(1) } else { plan(1) }.levels.remove(0);
            planned.before = Preparation { restart_server, reset_cache };
            planned.cooldown = Duration::from_secs(cooldown);
            planned
        },
    )
}

fn any_levels() -> impl Strategy<Value = Vec<PlannedLevel>> {
    prop::collection::vec(any_level(), 0..3)
}

fn any_noise() -> impl Strategy<Value = Noise> {
    let level = (0u32..4, 0u32..3).prop_map(|(ordinal, attempt)| LevelId { ordinal, attempt });
    let level = prop::option::weighted(0.3, level);
    (0u8..35, 0u32..3, level, 0u64..30, any_levels()).prop_map(
        |(kind, agent, level, offset, levels)| {
            let offset = Duration::from_secs(offset);
            Noise { kind, agent: AgentIx(agent), level, offset, levels }
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => Just(Step::Honest),
        6 => any_noise().prop_map(Step::Noise),
        1 => Just(Step::Silence),
    ]
}

/// What is planned, and what is decided when that is run.
#[derive(Clone, Debug)]
struct Scene {
    levels: Vec<PlannedLevel>,
    open: bool,
    spare: Vec<Vec<PlannedLevel>>,
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let spare = prop::collection::vec(any_levels(), 0..3);
    (any_levels(), prop::bool::weighted(0.8), spare).prop_map(|(levels, open, spare)| Scene {
        levels,
        open,
        spare,
    })
}

/// What was heard and commanded, and whether it may be.
struct Rules {
    /// The levels as they must be known.
    known: Vec<PlannedLevel>,
    armed: BTreeSet<(AgentIx, LevelId)>,
    lost: BTreeSet<AgentIx>,
    /// The level that was armed last, and the orders that it got.
    level: Option<LevelId>,
    ordered: Vec<&'static str>,
    over: BTreeSet<LevelId>,
    /// Ordinals of completed levels, in order.
    completed: Vec<u32>,
    /// The level that the target is prepared for, and whether that was heard to be done.
    preparing: Option<(LevelId, bool)>,
    deciding: bool,
    /// An operator wanted the end, and whether the level was being stopped already.
    interrupted: Option<bool>,
    finished: Option<(RunOutcome, u8)>,
}

impl Rules {
    fn of(known: Vec<PlannedLevel>) -> Self {
        Self {
            known,
            armed: BTreeSet::new(),
            lost: BTreeSet::new(),
            level: None,
            ordered: Vec::new(),
            over: BTreeSet::new(),
            completed: Vec::new(),
            preparing: None,
            deciding: false,
            interrupted: None,
            finished: None,
        }
    }

    fn planned(&self, level: LevelId) -> &PlannedLevel {
        &self.known[level.ordinal as usize]
    }

    fn is_windowed(&self, level: LevelId) -> bool {
        self.planned(level).window.is_some()
    }

    /// What has to be done before an attempt of a level.
    fn before(&self, level: LevelId) -> Preparation {
        let before = self.planned(level).before;
        Preparation { restart_server: before.restart_server && level.attempt == 0, ..before }
    }

    fn is_stopping(&self) -> bool {
        self.ordered.contains(&"stop")
            && self.level.is_some_and(|level| !self.over.contains(&level))
    }

    fn hear(&mut self, event: &Event) {
        if let Event::Armed { agent, level } = event
            && self.level == Some(*level)
        {
            self.armed.insert((*agent, *level));
        }
        if let Event::Lost { agent, .. } = event {
            self.lost.insert(*agent);
        }
        if let Event::Prepared { level } = event
            && let Some((wanted, done)) = &mut self.preparing
            && wanted == level
        {
            *done = true;
        }
        if let Event::Decided { levels, .. } = event
            && self.deciding
        {
            self.known.extend(levels.iter().cloned());
            self.deciding = false;
        }
        if *event == Event::Interrupt {
            self.interrupted = self.interrupted.or(Some(self.is_stopping()));
        }
    }

    /// The next level, or the next attempt of one: nothing is left out.
    fn assert_next(&self, level: LevelId) {
        match self.level {
            None => assert_eq!(level, id(0, 0)),
            Some(last) => {
                assert!(self.over.contains(&last));
                let again = id(last.ordinal, last.attempt + 1);
                let next = id(last.ordinal + 1, 0);
                let done = self.completed.last() == Some(&last.ordinal);
                assert_eq!(level, if done { next } else { again });
            }
        }
        assert!(level.attempt < ATTEMPTS_MAX);
    }

    /// The order is of the current level, which is not over, and these were the ones before it.
    fn order(&mut self, level: LevelId, name: &'static str, before: &[&str]) {
        assert_eq!(Some(level), self.level);
        assert!(!self.over.contains(&level), "{name} of a level that is over");
        assert_eq!(self.ordered, before, "before {name}");
        self.ordered.push(name);
    }

    fn check(&mut self, command: &Command) {
        let ends = match command {
            Command::AckSeal { .. } => return,
            Command::Stop { .. } | Command::LevelOver { .. } | Command::Finish { .. } => true,
            Command::Decide
            | Command::Prepare { .. }
            | Command::Arm { .. }
            | Command::Fire { .. }
            | Command::Measure { .. }
            | Command::Release { .. }
            | Command::EndLevel { .. } => false,
        };
        assert_eq!(self.finished, None, "{command:?}");
        assert!(ends || self.interrupted.is_none(), "{command:?} after an interrupt");
        match *command {
            Command::Prepare { level, what } => {
                self.assert_next(level);
                assert!(!what.is_nothing());
                assert_eq!(what, self.before(level));
                self.preparing = Some((level, false));
            }
            Command::Arm { level } => {
                self.assert_next(level);
                let wanted = !self.before(level).is_nothing();
                assert_eq!(self.preparing.take(), wanted.then_some((level, true)));
                (self.level, self.ordered) = (Some(level), vec![]);
            }
            Command::Fire { level, .. } => {
                self.order(level, "fire", &[]);
                for agent in (0..3).map(AgentIx).filter(|agent| !self.lost.contains(agent)) {
                    assert!(self.armed.contains(&(agent, level)));
                }
            }
            Command::Measure { level, .. } => {
                assert!(self.is_windowed(level));
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
                assert!(!self.is_stopping() && !self.over.contains(&level));
                self.ordered.push("stop");
            }
            Command::LevelOver { level, ref fate } => {
                assert_eq!(Some(level), self.level);
                assert!(self.over.insert(level));
                let last = if self.is_windowed(level) { "end" } else { "fire" };
                let is_complete = *fate == LevelFate::Completed;
                let last = if is_complete { last } else { "stop" };
                assert_eq!(self.ordered.last(), Some(&last));
                self.completed.extend(is_complete.then_some(level.ordinal));
            }
            Command::Decide => {
                assert!(!self.deciding);
                assert!(self.completed.iter().copied().eq(0..self.known.len() as u32));
                self.deciding = true;
            }
            Command::Finish { outcome, exit_code, .. } => self.finish(outcome, exit_code),
            Command::AckSeal { .. } => {}
        }
    }

    fn finish(&mut self, outcome: RunOutcome, exit_code: u8) {
        assert!(!self.is_stopping() && self.level.is_none_or(|level| self.over.contains(&level)));
        match outcome {
            RunOutcome::Completed => {
                assert!(self.completed.iter().copied().eq(0..self.known.len() as u32));
                assert_eq!(exit_code, 0);
            }
            RunOutcome::Stopped => assert_eq!(exit_code, 130),
            RunOutcome::Failed => assert!([1, 3, 4].contains(&exit_code)),
        }
        // Whoever is interrupted says so, unless the run was ending for a graver reason.
        match self.interrupted {
            Some(false) => assert_eq!(outcome, RunOutcome::Stopped),
            Some(true) => assert_ne!(outcome, RunOutcome::Completed),
            None => assert_ne!(outcome, RunOutcome::Stopped),
        }
        self.deciding = false;
        self.finished = Some((outcome, exit_code));
    }
}

/// What three honest agents, the watch of a window, and whoever prepares the target say to a
/// command.
fn answers(command: &Command, is_windowed: impl Fn(LevelId) -> bool) -> Vec<Event> {
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

/// A run under way, watched by the rules.
struct Play {
    machine: Machine,
    rules: Rules,
    honest: VecDeque<Event>,
    spare: std::vec::IntoIter<Vec<PlannedLevel>>,
    now: Tick,
}

impl Play {
    fn begin(Scene { levels, open, spare }: Scene) -> Self {
        let rules = Rules::of(levels.clone());
        let machine = machine(Plan { levels, search: None, open }, names(3));
        let (honest, spare) = (VecDeque::new(), spare.into_iter());
        let mut play = Self { machine, rules, honest, spare, now: at(0) };
        play.obey(None);
        play
    }

    fn step(&mut self, step: Step) {
        self.now = self.now + Duration::from_millis(100);
        let event = match step {
            Step::Honest => self.honest.pop_front(),
            Step::Noise(noise) => Some(noise.event(self.machine.level())),
            Step::Interrupt => Some(Event::Interrupt),
            Step::Silence => None,
        };
        let sealed = match &event {
            Some(Event::Sealed { agent, level, .. }) => Some((*agent, *level)),
            _ => None,
        };
        match event {
            Some(event) => {
                self.rules.hear(&event);
                self.machine.handle(self.now, event);
            }
            None => {
                self.now = self.machine.deadline().unwrap_or(self.now).max(self.now);
                self.machine.on_deadline(self.now);
            }
        }
        self.obey(sealed);
    }

    /// Does what is commanded. `sealed` is to be acknowledged.
    fn obey(&mut self, mut sealed: Option<(AgentIx, LevelId)>) {
        for command in drain(&mut self.machine) {
            self.rules.check(&command);
            self.honest.extend(answers(&command, |level| self.rules.is_windowed(level)));
            if command == Command::Decide {
                let levels = self.spare.next().unwrap_or_default();
                self.honest.push_back(Event::Decided { levels, because: "so".to_owned() });
            }
            if let Command::AckSeal { agent, level } = command {
                assert_eq!(sealed.take(), Some((agent, level)));
            }
        }
        assert_eq!(sealed, None, "every seal is acknowledged");
        assert_eq!(self.machine.plan().levels, self.rules.known);
        assert_eq!(self.machine.is_finished(), self.rules.finished.is_some());
        let deadline = self.machine.deadline();
        let later = deadline.is_some_and(|deadline| deadline > self.now);
        assert!(self.machine.is_finished() != later, "{deadline:?} at {:?}", self.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    /// Whatever is reported in whatever order, with an operator who may interrupt at any point: a
    /// level is armed only when the target was heard to be prepared for it, and fires only when
    /// every agent left has armed it; a window is opened, closed and its level ended once each and
    /// in this order, and nothing is ordered of a level that was stopped; each level gets one fate
    /// per attempt; levels come in order, those that are decided after those that are planned, and
    /// only what was asked for is taken for a decision; every seal is acknowledged; nothing is begun
    /// after an interrupt; and time alone brings the run to its end.
    #[test]
    fn any_order_of_events_keeps_the_rules(
        scene in any_scene(),
        mut steps in prop::collection::vec(any_step(), 0..200),
        interrupt in prop::option::of(0usize..100)
    ) {
        if let Some(place) = interrupt {
            steps.insert(place.min(steps.len()), Step::Interrupt);
        }
        let mut play = Play::begin(scene);
        for step in steps.into_iter().chain(std::iter::repeat_n(Step::Silence, 12)) {
            play.step(step);
        }
        prop_assert!(play.rules.finished.is_some());
        prop_assert_eq!(play.machine.deadline(), None);
    }

    /// Left alone, a run comes to its end, and everything that was planned or decided is run.
    #[test]
    fn an_honest_fleet_runs_every_level(scene in any_scene()) {
        let decided = scene.spare.iter().take_while(|levels| !levels.is_empty()).flatten().count();
        let wanted = scene.levels.len() + if scene.open { decided } else { 0 };
        let mut play = Play::begin(scene);
        for _ in 0..wanted * 20 + 20 {
            play.step(Step::Honest);
        }
        prop_assert_eq!(play.rules.finished, Some((RunOutcome::Completed, 0)));
        prop_assert_eq!(play.rules.completed.len(), wanted);
    }

    /// Wherever an operator interrupts an honest run that is not over, it ends as interrupted.
    #[test]
    fn an_interrupt_at_any_point_ends_the_run(scene in any_scene(), place in 0usize..40) {
        let mut play = Play::begin(scene);
        for _ in 0..place {
            play.step(Step::Honest);
        }
        let over = play.rules.finished;
        play.step(Step::Interrupt);
        // What was said before anyone heard of the stop comes first.
        for _ in 0..20 {
            play.step(Step::Honest);
        }
        prop_assert_eq!(play.rules.finished, over.or(Some((RunOutcome::Stopped, 130))));
    }
}
