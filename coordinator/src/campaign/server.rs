//! What may be done to the server under test: the table `server`.

use std::time::Duration;

use super::facts::read_facts;
use super::raw::{Collector, Value};
use super::read::{Field, Section};
use crate::plan::Arm;
use crate::target::facts::FactCommand;
use crate::target::hook::CommandLine;

/// Words of a command, and bytes of each, at most.
const WORDS_MAX: usize = 64;
const WORD_BYTES_MAX: usize = 4096;
const PAGE_BYTES_MAX: usize = 1024;
/// Loading a large model takes a quarter of an hour.
const READY_TIMEOUT: Duration = Duration::from_secs(20 * 60);
const HOOK_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// What may be done to the server, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    /// How it is restarted.
    pub restart: RestartCommands,
    /// What empties its cache of prompts.
    pub reset_cache: Option<CacheReset>,
    /// The page whose success says that it is ready; `None` for the list of models.
    pub ready_page: Option<String>,
    /// How long it may take to be ready after a restart.
    pub ready_timeout: Duration,
    /// How long a command may take.
    pub hook_timeout: Duration,
    /// What commands tell of it.
    pub facts: Vec<FactCommand>,
}

/// How the server is restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartCommands {
    /// Not at all.
    Never,
    /// By one command.
    Same(CommandLine),
    /// By a command for each configuration of an ablation.
    Arms {
        /// What starts the base.
        base: CommandLine,
        /// What starts what is judged.
        new: CommandLine,
    },
}

/// What empties the server's cache of prompts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheReset {
    /// A command.
    Command(CommandLine),
    /// A page of the target that is posted to.
    Page(String),
}

impl RestartCommands {
    /// What restarts the server for an arm of an ablation, or at all.
    pub fn command(&self, arm: Option<Arm>) -> Option<&CommandLine> {
        match self {
            Self::Never => None,
            Self::Same(command) => Some(command),
            Self::Arms { base, new } => {
                Some(if arm.is_some_and(Arm::is_new_configuration) { new } else { base })
            }
        }
    }
}

impl Default for ServerPlan {
    fn default() -> Self {
        Self {
            restart: RestartCommands::Never,
            reset_cache: None,
            ready_page: None,
            ready_timeout: READY_TIMEOUT,
            hook_timeout: HOOK_TIMEOUT,
            facts: Vec::new(),
        }
    }
}

impl ServerPlan {
    /// The longest that it can take to make the server ready for a level.
    pub(crate) fn longest(&self) -> Duration {
        /// What is asked of the server before and after.
        const QUESTIONS: Duration = Duration::from_secs(60);
        let hooks = self.hook_timeout.saturating_mul(2);
        hooks.saturating_add(self.ready_timeout.saturating_mul(2)).saturating_add(QUESTIONS)
    }
}

/// The table `server`; `None` if there was any problem with it.
pub(super) fn read_server(field: Option<Field<'_>>, c: &mut Collector<'_>) -> Option<ServerPlan> {
    let Some(field) = field else {
        return Some(ServerPlan::default());
    };
    let valid = ["restart", "reset_cache", "ready", "hook_timeout", "facts"];
    let section = Section::open(&field, &valid, c)?;
    let restart = match section.get("restart") {
        Some(field) => read_command(&field, c).map(RestartCommands::Same),
        None => Some(RestartCommands::Never),
    };
    let reset_cache = match section.get("reset_cache") {
        Some(field) => read_reset(&field, c).map(Some),
        None => Some(None),
    };
    let ready = match section.get("ready") {
        Some(field) => read_ready(&field, c),
        None => Some((None, READY_TIMEOUT)),
    };
    let hook_timeout = match section.get("hook_timeout") {
        Some(field) => field.wait(c),
        None => Some(HOOK_TIMEOUT),
    };
    let facts = match section.get("facts") {
        Some(field) => read_facts(&field, c),
        None => Some(Vec::new()),
    };
    let (ready_page, ready_timeout) = ready?;
    Some(ServerPlan {
        restart: restart?,
        reset_cache: reset_cache?,
        ready_page,
        ready_timeout,
        hook_timeout: hook_timeout?,
        facts: facts?,
    })
}

/// A program and its arguments.
pub(super) fn read_command(field: &Field<'_>, c: &mut Collector<'_>) -> Option<CommandLine> {
    let Value::List(_) = &field.node.value else {
        let what = "must be a list of a program and its arguments, such as \
                    [\"systemctl\", \"restart\", \"vllm\"]; it is started without a shell";
        return field.refuse(c, what);
    };
    let items = field.items();
    if items.len() > WORDS_MAX {
        return field.refuse(c, format!("must have at most {WORDS_MAX} words"));
    }
    let words: Vec<Option<String>> = items.iter().map(|item| read_word(item, c)).collect();
    let words: Vec<String> = words.into_iter().collect::<Option<_>>()?;
    CommandLine::new(words).or_else(|| field.refuse(c, "must begin with a program"))
}

fn read_word(field: &Field<'_>, c: &mut Collector<'_>) -> Option<String> {
    let word = field.text(c)?;
    if word.len() > WORD_BYTES_MAX || word.chars().any(char::is_control) {
        let what = format!(
            "must have at most {WORD_BYTES_MAX} bytes and no control character; what is longer \
             than a line belongs into a script of its own"
        );
        return field.refuse(c, what);
    }
    Some(word.to_owned())
}

fn read_reset(field: &Field<'_>, c: &mut Collector<'_>) -> Option<CacheReset> {
    match &field.node.value {
        Value::List(_) => read_command(field, c).map(CacheReset::Command),
        Value::Table(_) => {
            let section = Section::open(field, &["url"], c)?;
            let hint = "say which page is posted to: { url = \"/reset_prefix_cache\" }";
            read_page(&section.need("url", hint, c)?, c).map(CacheReset::Page)
        }
        Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime => field.refuse(
            c,
            "must be a command as a list of words, or a page that is posted to: \
             { url = \"/reset_prefix_cache\" }",
        ),
    }
}

fn read_ready(field: &Field<'_>, c: &mut Collector<'_>) -> Option<(Option<String>, Duration)> {
    let section = Section::open(field, &["url", "timeout"], c)?;
    let page = match section.get("url") {
        Some(field) => read_page(&field, c).map(Some),
        None => Some(None),
    };
    let timeout = match section.get("timeout") {
        Some(field) => field.wait(c),
        None => Some(READY_TIMEOUT),
    };
    Some((page?, timeout?))
}

/// A page of the target: the key goes with the question, so it is no other host's.
fn read_page(field: &Field<'_>, c: &mut Collector<'_>) -> Option<String> {
    let page = field.line(PAGE_BYTES_MAX, c)?;
    let allowed = |c: char| c.is_ascii_graphic() && c != '#';
    if page.starts_with('/') && page.chars().all(allowed) {
        Some(page.to_owned())
    } else {
        field.refuse(c, "must be a path on the target, such as \"/health\"")
    }
}
