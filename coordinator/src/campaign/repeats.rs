//! How often the levels are run: the table `repeats`.

use super::raw::Collector;
use super::read::{Field, Section};
use super::{RestartCommands, ServerPlan};

/// Repeats, at most.
const COUNT_MAX: u32 = 100;
/// Fewer repeats give an interval too wide to stop by.
const LEAST: u32 = 3;
/// Half of an interval that can be asked for, in percent of the mean.
const HALF_WIDTHS: std::ops::RangeInclusive<f64> = 0.1..=50.0;

/// How often the levels are run, and what is done in between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeats {
    /// How often every level is run; with `until` at most.
    pub count: u32,
    /// The server is restarted before every repeat, the first one too.
    pub restart_server: bool,
    /// When its cache of prompts is emptied.
    pub reset_cache: ResetCache,
    /// The order of the levels of a phase.
    pub order: Order,
    /// When to stop before `count`.
    pub until: Option<Until>,
}

/// When the server's cache of prompts is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCache {
    /// Never.
    Never,
    /// Before every repeat.
    Repeat,
    /// Before every level.
    Level,
}

/// The order of the levels of SCALING, STRESS and SATURATION, each within its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the campaign has them, in every repeat.
    AsWritten,
    /// Backwards in every second repeat.
    Mirrored,
    /// Drawn anew for every repeat.
    Random,
}

/// When repeats have said enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Until {
    /// Half of the 95 % interval of the mean, in percent of the mean.
    pub half_width_percent: f64,
    /// Repeats at least.
    pub least: u32,
}

impl Default for Repeats {
    fn default() -> Self {
        Self {
            count: 1,
            restart_server: false,
            reset_cache: ResetCache::Never,
            order: Order::AsWritten,
            until: None,
        }
    }
}

impl ResetCache {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Never, Self::Repeat, Self::Level];

    /// The name in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Repeat => "repeat",
            Self::Level => "level",
        }
    }
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AsWritten, Self::Mirrored, Self::Random];

    /// The name in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsWritten => "as-written",
            Self::Mirrored => "mirrored",
            Self::Random => "random",
        }
    }
}

/// The table `repeats`; `None` if there was any problem with it, alone or with `server`. In an
/// ablation every start of the server is a repeat.
pub(super) fn read_repeats(
    field: Option<Field<'_>>,
    server: Option<&ServerPlan>,
    is_ablation: bool,
    c: &mut Collector<'_>,
) -> Option<Repeats> {
    let default = Repeats::default();
    let Some(field) = field else {
        return Some(default);
    };
    let valid = ["count", "restart_server", "reset_cache", "order", "until"];
    let section = Section::open(&field, &valid, c)?;
    let count = match section.get("count") {
        Some(field) => field.count(COUNT_MAX, c),
        None => Some(default.count),
    };
    let restart_server = match section.get("restart_server") {
        Some(field) => read_restart(&field, server.filter(|_| !is_ablation), c),
        None => Some(default.restart_server),
    };
    let reset_cache = match section.get("reset_cache") {
        Some(field) => read_reset(&field, server, c),
        None => Some(default.reset_cache),
    };
    let order = match section.get("order") {
        Some(field) => read_order(&field, count.filter(|_| !is_ablation), c),
        None => Some(default.order),
    };
    let until = match section.get("until") {
        Some(field) => read_until(&field, count, c).map(Some),
        None => Some(None),
    };
    Some(Repeats {
        count: count?,
        restart_server: restart_server?,
        reset_cache: reset_cache?,
        order: order?,
        until: until?,
    })
}

fn read_restart(
    field: &Field<'_>,
    server: Option<&ServerPlan>,
    c: &mut Collector<'_>,
) -> Option<bool> {
    let wanted = field.boolean(c)?;
    if wanted && server.is_some_and(|server| server.restart == RestartCommands::Never) {
        let what = "needs server.restart, the command that restarts the server, such as \
                    restart = [\"ssh\", \"gpu1\", \"systemctl\", \"restart\", \"vllm\"]";
        return field.refuse(c, what);
    }
    Some(wanted)
}

fn read_reset(
    field: &Field<'_>,
    server: Option<&ServerPlan>,
    c: &mut Collector<'_>,
) -> Option<ResetCache> {
    let wanted = field.word(&ResetCache::ALL.map(|reset| (reset.name(), reset)), c)?;
    if wanted != ResetCache::Never && server.is_some_and(|server| server.reset_cache.is_none()) {
        let what = "needs server.reset_cache, a command or a page that is posted to, such as \
                    reset_cache = { url = \"/reset_prefix_cache\" }";
        return field.refuse(c, what);
    }
    Some(wanted)
}

fn read_order(field: &Field<'_>, count: Option<u32>, c: &mut Collector<'_>) -> Option<Order> {
    let order = field.word(&Order::ALL.map(|order| (order.name(), order)), c)?;
    if order == Order::Mirrored && count == Some(1) {
        let what = "every second repeat is mirrored, and there is one; set repeats.count = 2 or \
                    more, or leave the order out";
        return field.refuse(c, what);
    }
    Some(order)
}

fn read_until(field: &Field<'_>, count: Option<u32>, c: &mut Collector<'_>) -> Option<Until> {
    let section = Section::open(field, &["half_width", "least"], c)?;
    let hint = "say how narrow the interval of the mean must be: half_width = \"2%\"";
    let half_width = section.need("half_width", hint, c).and_then(|field| read_percent(&field, c));
    let least = match section.get("least") {
        Some(field) => field.integer(LEAST.into()..=COUNT_MAX.into(), c),
        None => Some(LEAST.into()),
    };
    let least = u32::try_from(least?).ok()?;
    if let Some(count) = count
        && count < least
    {
        let blamed = section.get("least");
        let what = format!(
            "at least {least} repeats are made before the interval is looked at, and there are \
             {count}; set repeats.count = {least} or more"
        );
        return blamed.as_ref().unwrap_or(field).refuse(c, what);
    }
    Some(Until { half_width_percent: half_width?, least })
}

fn read_percent(field: &Field<'_>, c: &mut Collector<'_>) -> Option<f64> {
    let right = format!(
        "must be a percentage from {} to {} in quotes, such as \"2%\"",
        HALF_WIDTHS.start(),
        HALF_WIDTHS.end()
    );
    let number = field.text(c)?.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    number.filter(|percent| HALF_WIDTHS.contains(percent)).or_else(|| field.refuse(c, right))
}
