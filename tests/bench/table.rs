//! The results: medians, spreads and ratios, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::case::Case;
use crate::client::Client;
use crate::host::{self, Cores};
use crate::measure::{Metric, Taken};
use crate::server;

/// All runs so far.
pub(crate) struct Table {
    facts: Value,
    cases: Vec<Row>,
}

/// The runs of one case.
struct Row {
    case: Case,
    clients: Vec<Column>,
}

/// The runs of one client in it.
struct Column {
    name: String,
    is_bare: bool,
    values: BTreeMap<Metric, Vec<f64>>,
    failures: Vec<String>,
}

/// The middle of some runs, and how far they lie apart.
struct Spread {
    median: f64,
    min: f64,
    max: f64,
    runs: usize,
}

impl Table {
    pub(crate) fn new(cores: &Cores, server: &server::Kind, repeats: u32, quick: bool) -> Self {
        let mut facts = host::facts();
        facts["server"] = server.name().into();
        facts["server_core"] = cores.server.into();
        facts["client_core"] = cores.client.into();
        facts["repeats"] = repeats.into();
        facts["quick"] = quick.into();
        Self { facts, cases: Vec::new() }
    }

    pub(crate) fn add(&mut self, case: &Case, client: &Client, taken: Result<Taken, String>) {
        if self.cases.last().is_none_or(|row| row.case.name != case.name) {
            self.cases.push(Row { case: case.clone(), clients: Vec::new() });
        }
        let Some(row) = self.cases.last_mut() else { return };
        let name = client.name();
        let place = row.clients.iter().position(|column| column.name == name);
        let place = place.unwrap_or_else(|| {
            let is_bare = matches!(client, Client::Bare);
            let (values, failures) = (BTreeMap::new(), Vec::new());
            row.clients.push(Column { name, is_bare, values, failures });
            row.clients.len() - 1
        });
        let column = &mut row.clients[place];
        match taken {
            Ok(Taken(values)) => {
                for (metric, value) in values {
                    column.values.entry(metric).or_default().push(value);
                }
            }
            Err(why) => column.failures.push(why),
        }
    }

    /// Writes both forms; gives where the one for people is.
    pub(crate) fn write(&self, directory: &Path, markdown: &str) -> PathBuf {
        std::fs::create_dir_all(directory).expect("a directory for the results");
        let fact = |name: &str| self.facts[name].as_str().unwrap_or("unknown").replace(':', "");
        let name = format!("{}-{}", fact("date"), fact("commit"));
        let path = directory.join(format!("{name}.md"));
        std::fs::write(&path, markdown).expect("a file");
        let json = serde_json::to_string_pretty(&self.json()).expect("numbers");
        std::fs::write(directory.join(format!("{name}.json")), json + "\n").expect("a file");
        path
    }

    pub(crate) fn markdown(&self) -> String {
        let facts = &self.facts;
        let fact = |name: &str| facts[name].as_str().unwrap_or("unknown");
        let mut text = format!(
            "# Benchmarks of {}{}\n\n{}, {} cores, Linux {}, {}, load average {} at {}.\n\
             Server: {} on core {}; clients on core {}. Median [least, most] of {} runs.\n",
            fact("commit"),
            if facts["changed"] == true { ", changed" } else { "" },
            fact("cpu"),
            facts["cores"],
            fact("kernel"),
            fact("rustc"),
            fact("load_average"),
            fact("date"),
            fact("server"),
            facts["server_core"],
            facts["client_core"],
            facts["repeats"],
        );
        if facts["server_core"] == facts["client_core"] {
            text.push_str(
                "This machine has one core, which both share: no rate is the client's.\n",
            );
        }
        self.cases.iter().for_each(|row| row.write(&mut text));
        text
    }

    fn json(&self) -> Value {
        let cases = self.cases.iter().map(|row| {
            let reference = row.reference();
            let clients = row.clients.iter().map(|column| {
                let value = |(metric, runs): (&Metric, &Vec<f64>)| {
                    let Spread { median, min, max, .. } = Spread::of(runs);
                    let ratio = reference.and_then(|reference| column.ratio(*metric, reference));
                    let value = json!({
                        "median": median, "min": min, "max": max, "runs": runs, "ratio": ratio,
                    });
                    (metric.label().to_owned(), value)
                };
                let values: serde_json::Map<_, _> = column.values.iter().map(value).collect();
                json!({ "client": column.name, "values": values, "failures": column.failures })
            });
            let clients: Vec<Value> = clients.collect();
            json!({
                "case": row.case.name,
                "about": row.case.about,
                "ratios_to": reference.map(|reference| &reference.name),
                "clients": clients,
            })
        });
        json!({ "schema_version": 1, "facts": self.facts, "cases": cases.collect::<Vec<_>>() })
    }
}

impl Row {
    /// Whom the others are compared with: the bare reader, or else the first.
    fn reference(&self) -> Option<&Column> {
        self.clients.iter().find(|column| column.is_bare).or(self.clients.first())
    }

    fn write(&self, text: &mut String) {
        let Self { case, clients } = self;
        let Some(reference) = self.reference() else { return };
        let metrics: std::collections::BTreeSet<Metric> =
            clients.iter().flat_map(|column| column.values.keys().copied()).collect();
        writeln!(text, "\n## {}\n\n{}; {} users.\n", case.name, case.about, case.users)
            .expect("a text");
        let names = clients.iter().map(|column| column.name.clone());
        let mut line = |cells: Vec<String>| {
            writeln!(text, "| {} |", cells.join(" | ")).expect("a text");
        };
        line(std::iter::once(String::new()).chain(names).collect());
        line(vec!["---".to_owned(); clients.len() + 1]);
        for metric in metrics {
            let cell = |column: &Column| {
                let Some(values) = column.values.get(&metric) else { return "-".to_owned() };
                let ratio = column.ratio(metric, reference);
                let ratio = ratio.map_or(String::new(), |ratio| format!(" ×{ratio:.2}"));
                Spread::of(values).show() + &ratio
            };
            let cells = clients.iter().map(cell);
            line(std::iter::once(metric.label().to_owned()).chain(cells).collect());
        }
        for column in clients {
            for why in &column.failures {
                writeln!(text, "\n{}: {why}", column.name).expect("a text");
            }
        }
    }
}

impl Column {
    /// Its median by that of the reference, where that says something.
    fn ratio(&self, metric: Metric, reference: &Self) -> Option<f64> {
        let median =
            |of: &Self| Some(Spread::of(of.values.get(&metric)?).median).filter(|m| *m != 0.0);
        let says = metric.has_ratio() && self.name != reference.name;
        says.then_some(())?;
        Some(median(self)? / median(reference)?)
    }
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        Self { median, min: end(sorted.first()), max: end(sorted.last()), runs: sorted.len() }
    }

    fn show(&self) -> String {
        let number = |value: f64| match value.abs() {
            size if size >= 1000.0 => format!("{value:.0}"),
            size if size >= 100.0 => format!("{value:.1}"),
            _ => format!("{value:.3}"),
        };
        match self.runs {
            1 => number(self.median),
            _ => {
                let Self { median, min, max, .. } = *self;
                format!("{} [{}, {}]", number(median), number(min), number(max))
            }
        }
    }
}
