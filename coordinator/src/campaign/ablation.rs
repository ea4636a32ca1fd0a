//! Two configurations of the server against each other: the table `ablation`.

use common::ids::Name;
use common::phase::Phase;

use super::phases::Phases;
use super::raw::{Collector, Value};
use super::read::{Field, Section};
use super::server::read_command;
use super::{PhasePlan, Repeats, RestartCommands, ServerPlan};
use crate::target::hook::CommandLine;

/// Starts of each configuration, at least: fewer leave no room to estimate how they scatter.
const RESTARTS_MIN: u32 = 3;
/// And at most.
const RESTARTS_MAX: u32 = 50;
/// Starts of each configuration: they show a difference of twice the coefficient of variation (the
/// method, section 3.14).
const RESTARTS: u32 = 5;

/// Two configurations of the server, started in turn. How each is started stands in
/// [`ServerPlan::restart`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ablation {
    /// The name of what is compared with.
    pub base: Name,
    /// The name of what is judged.
    pub new: Name,
    /// Starts of each.
    pub restarts: u32,
    /// Starts of each half of the comparison of the base with itself, which comes first; 0 for none.
    pub aa_restarts: u32,
}

/// The table `ablation`, which puts its commands into `server`; `None` if there was any problem
/// with it, alone or with the rest of the campaign.
pub(super) fn read_ablation(
    field: &Field<'_>,
    server: Option<&mut ServerPlan>,
    repeats: Option<Repeats>,
    phases: Option<&Phases>,
    c: &mut Collector<'_>,
) -> Option<Ablation> {
    let valid = ["base", "new", "restarts", "aa_restarts"];
    let section = Section::open(field, &valid, c)?;
    let base = read_configuration(&section, "base", c);
    let new = read_configuration(&section, "new", c);
    let restarts = match section.get("restarts") {
        Some(field) => read_restarts(&field, RESTARTS_MIN.into(), c),
        None => Some(RESTARTS),
    };
    let aa_restarts = match section.get("aa_restarts") {
        Some(field) if matches!(field.node.value, Value::Integer(0)) => Some(0),
        Some(field) => read_restarts(&field, RESTARTS_MIN.into(), c),
        None => restarts,
    };
    let fits = fits(field, server.as_deref(), repeats, phases, c);
    let ((base, base_restart), (new, new_restart)) = (base?, new?);
    if base == new {
        return field.refuse(c, format!("both configurations are named {base}; name them apart"));
    }
    if base_restart == new_restart {
        let what = "both configurations are started by the same command, so they are one; \
                    aa_restarts compares a configuration with itself";
        return field.refuse(c, what);
    }
    let ablation = Ablation { base, new, restarts: restarts?, aa_restarts: aa_restarts? };
    let server = server.filter(|_| fits)?;
    server.restart = RestartCommands::Arms { base: base_restart, new: new_restart };
    Some(ablation)
}

fn read_restarts(field: &Field<'_>, least: u64, c: &mut Collector<'_>) -> Option<u32> {
    u32::try_from(field.integer(least..=RESTARTS_MAX.into(), c)?).ok()
}

fn read_configuration(
    section: &Section<'_>,
    key: &str,
    c: &mut Collector<'_>,
) -> Option<(Name, CommandLine)> {
    let hint = "say what it is called and how the server is started so: \
                { name = \"aiter-off\", restart = [\"ssh\", \"gpu1\", \"serve\", \"--aiter=0\"] }";
    let field = section.need(key, hint, c)?;
    let section = Section::open(&field, &["name", "restart"], c)?;
    let name = section.need("name", "give it a name that reports call it by", c);
    let name = name.and_then(|field| match field.text(c)?.parse::<Name>() {
        Ok(name) => Some(name),
        Err(error) => field.refuse(c, error.to_string()),
    });
    let restart = section.need("restart", "give the command that starts the server so", c);
    let restart = restart.and_then(|field| read_command(&field, c));
    Some((name?, restart?))
}

/// Whether the rest of the campaign leaves room for an ablation; what does not is refused.
fn fits(
    field: &Field<'_>,
    server: Option<&ServerPlan>,
    repeats: Option<Repeats>,
    phases: Option<&Phases>,
    c: &mut Collector<'_>,
) -> bool {
    let mut fits = true;
    let mut refuse = |holds: bool, what: &str| {
        if holds {
            fits = false;
            field.refuse::<()>(c, what);
        }
    };
    let restart = server.map(|server| &server.restart);
    refuse(
        restart.is_some_and(|restart| *restart != RestartCommands::Never),
        "each configuration has a command of its own; leave server.restart out",
    );
    refuse(
        repeats.is_some_and(|repeats| {
            repeats.count > 1 || repeats.restart_server || repeats.until.is_some()
        }),
        "every start of the server is a repeat, and ablation.restarts says how many there are; of \
         repeats only order and reset_cache remain",
    );
    let searches = phases.is_some_and(|phases| phases.search.is_some());
    refuse(searches, "a search finds other levels on each configuration; state the levels");
    let warms = |phase: &PhasePlan| phase.phase == Phase::Warmup;
    let nothing = phases.is_some_and(|phases| phases.phases.iter().all(warms));
    refuse(
        nothing && !searches,
        "a warm-up is compared with nothing; add a level to another phase",
    );
    fits
}
