//! Facts of the server that commands tell: the key `server.facts`.

use super::raw::{Collector, Value};
use super::read::{Field, Section};
use super::server::read_command;
use crate::target::facts::{FactCommand, FactPattern};

/// Facts of a campaign, at most.
const FACTS_MAX: usize = 32;
/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 1024;

/// The list; `None` if there was any problem with it.
pub(super) fn read_facts(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Vec<FactCommand>> {
    let Value::List(_) = &field.node.value else {
        let what = "must be a list of { name = …, command = […], pattern = … }";
        return field.refuse(c, what);
    };
    let items = field.items();
    if items.len() > FACTS_MAX {
        return field.refuse(c, format!("must have at most {FACTS_MAX} facts"));
    }
    let read: Vec<Option<FactCommand>> = items.iter().map(|item| read_fact(item, c)).collect();
    let facts: Vec<FactCommand> = read.into_iter().collect::<Option<_>>()?;
    for (place, item) in items.iter().enumerate() {
        let (before, rest) = facts.split_at(place);
        let twice = rest.first().filter(|fact| before.iter().any(|b| b.name == fact.name));
        if let Some(FactCommand { name, .. }) = twice {
            return item.refuse(c, format!("a second fact is named {name}; name them apart"));
        }
    }
    Some(facts)
}

fn read_fact(field: &Field<'_>, c: &mut Collector<'_>) -> Option<FactCommand> {
    let section = Section::open(field, &["name", "command", "pattern"], c)?;
    let name = section.need("name", "say what the fact is: name = \"weight_memory_gib\"", c);
    let name = name.and_then(|field| match field.text(c)?.parse() {
        Ok(name) => Some(name),
        Err(error) => field.refuse(c, format!("{error}")),
    });
    let hint = "give the command that prints it, as a list of words";
    let command = section.need("command", hint, c).and_then(|field| read_command(&field, c));
    let hint = "say where it stands in what is printed: pattern = 'took ([0-9.]+) GiB'";
    let pattern = section.need("pattern", hint, c).and_then(|field| {
        match FactPattern::new(field.line(PATTERN_BYTES_MAX, c)?) {
            Ok(pattern) => Some(pattern),
            Err(error) => field.refuse(c, error.to_string()),
        }
    });
    Some(FactCommand { name: name?, command: command?, pattern: pattern? })
}
