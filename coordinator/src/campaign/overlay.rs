//! What the command line and the environment add to a campaign, merged with the file into one raw
//! tree, so that there is one parser and a problem names what it came from.

use super::problem::clip;
use super::raw::{Collector, Node, Origin, Table, Value, read_file, read_flag, read_path};

/// What the command line and the environment say. It cannot be printed: a key given by mistake may
/// be among it.
#[derive(Clone, Default)]
pub struct Overlay {
    settings: Vec<Setting>,
    /// Flags that describe levels of the one workload of a campaign without a file.
    shape: Vec<Setting>,
    /// Objectives in the form `KEY:MILLISECONDS`.
    goodput: Vec<String>,
    /// Headers in the form `NAME:VALUE`.
    headers: Vec<String>,
    set: Vec<String>,
    default_key: Option<String>,
}

/// A value on the command line or in the environment, not parsed yet.
#[derive(Clone)]
pub enum FlagValue {
    /// A string.
    Text(String),
    /// A list of one string.
    OneOf(String),
    /// A number, whole or not, or numbers separated by commas.
    Numbers(String),
    /// On or off.
    Switch(bool),
}

#[derive(Clone)]
struct Setting {
    origin: Origin,
    path: Vec<String>,
    value: FlagValue,
}

impl Overlay {
    /// What `flag` says about the key at `path`; later flags win.
    pub fn flag(&mut self, flag: &str, path: &[&str], value: FlagValue) {
        self.settings.push(Setting::new(Origin::Flag(flag.to_owned()), path, value));
    }

    /// What `flag` says about the levels of a campaign that has no file; it is refused beside one.
    pub fn shape(&mut self, flag: &str, path: &[&str], value: FlagValue) {
        self.shape.push(Setting::new(Origin::Flag(flag.to_owned()), path, value));
    }

    /// What an environment variable says; every flag wins over it.
    pub fn environment(&mut self, variable: &str, path: &[&str], value: FlagValue) {
        let origin = Origin::Environment(variable.to_owned());
        self.settings.insert(0, Setting::new(origin, path, value));
    }

    /// Objectives in the form of vLLM's `--goodput`: `KEY:MILLISECONDS`, separated by spaces.
    pub fn goodput(&mut self, text: String) {
        self.goodput.push(text);
    }

    /// A header in the form of curl's `--header`: `NAME:VALUE`.
    pub fn header(&mut self, text: String) {
        self.headers.push(text);
    }

    /// `key.path=value`, for any key; wins over the other flags.
    pub fn set(&mut self, text: String) {
        self.set.push(text);
    }

    /// The environment variable that holds the API key where the campaign names none.
    pub fn default_key(&mut self, variable: &str) {
        self.default_key = Some(variable.to_owned());
    }

    /// The merged tree; `None` if there is nothing to read on.
    pub(super) fn merge(&self, c: &mut Collector<'_>) -> Option<Node> {
        let mut root = match c.source {
            Some(source) => read_file(c, source),
            None => Some(self.without_file()),
        };
        if c.source.is_some() {
            for setting in &self.shape {
                let what = format!(
                    "with a campaign file the levels are the file's; use --set {}=…",
                    setting.path.join(".")
                );
                c.add::<()>(&setting.origin, "", None, what);
            }
        }
        for setting in &self.settings {
            put(root.as_mut(), &setting.origin, &setting.path, setting.node(), c);
        }
        for text in self.goodput.iter().flat_map(|text| text.split_whitespace()) {
            objective(root.as_mut(), text, c);
        }
        for (index, text) in self.headers.iter().enumerate() {
            header(root.as_mut(), index, text, c);
        }
        for (index, text) in self.set.iter().enumerate() {
            set(root.as_mut(), index, text, c);
        }
        let mut root = root?;
        if let Some(variable) = &self.default_key {
            use_default_key(&mut root, variable);
        }
        Some(root)
    }

    /// SCALING levels of one workload, in the paper's scaling shape unless flags say otherwise.
    fn without_file(&self) -> Node {
        let mut root = Node::implied(Value::Table(Table::new()));
        let mut put = |path: &[&str], value: Value| {
            // The tree is made of tables only, so every path has room.
            let _room = root.put(&owned(path), Node::implied(value));
        };
        put(&["workloads", "default", "input_tokens"], Value::Integer(500));
        put(&["workloads", "default", "output_tokens"], Value::Integer(200));
        if self.shape.iter().any(|s| s.path.first().is_some_and(|p| p == "phases")) {
            let name = Value::Text("default".to_owned());
            put(&["phases", "scaling", "workload"], name);
        }
        for setting in &self.shape {
            let _room = root.put(&setting.path, setting.node());
        }
        root
    }
}

impl Setting {
    fn new(origin: Origin, path: &[&str], value: FlagValue) -> Self {
        Self { origin, path: owned(path), value }
    }

    fn node(&self) -> Node {
        let scalar = |text: &str, value: Value| Node {
            origin: self.origin.clone(),
            written: text.to_owned(),
            value,
        };
        match &self.value {
            FlagValue::Text(text) => scalar(text, Value::Text(text.clone())),
            FlagValue::OneOf(text) => {
                let item = scalar(text, Value::Text(text.clone()));
                scalar(text, Value::List(vec![item]))
            }
            FlagValue::Numbers(text) => {
                let number = |part: &str| {
                    let trimmed = part.trim();
                    let value = trimmed.parse().map(Value::Integer).ok();
                    let value = value.or_else(|| trimmed.parse().map(Value::Float).ok());
                    scalar(part, value.unwrap_or_else(|| Value::Text(part.to_owned())))
                };
                if text.contains(',') {
                    scalar(text, Value::List(text.split(',').map(number).collect()))
                } else {
                    number(text)
                }
            }
            FlagValue::Switch(on) => scalar(if *on { "on" } else { "off" }, Value::Boolean(*on)),
        }
    }
}

/// `--set key.path=value`. Text that is not of this form is never repeated: it may hold a secret.
fn set(root: Option<&mut Node>, index: usize, text: &str, c: &mut Collector<'_>) {
    let split = text.split_once('=');
    let Some((key, value, path)) = split.and_then(|(k, v)| Some((k, v, read_path(k)?))) else {
        let origin = Origin::Flag(format!("--set number {}", index + 1));
        c.add::<()>(&origin, "", None, "is not of the form key.path=value");
        return;
    };
    let origin = Origin::Flag(format!("--set {}", key.trim()));
    let node = read_flag(&origin, value.trim());
    put(root, &origin, &path, node, c);
}

/// `--header NAME:VALUE`. Text that is not of this form is never repeated: it may hold a secret.
fn header(root: Option<&mut Node>, index: usize, text: &str, c: &mut Collector<'_>) {
    let origin = Origin::Flag(format!("--header number {}", index + 1));
    let Some((name, value)) = text.split_once(':') else {
        c.add::<()>(&origin, "", None, "is not of the form NAME:VALUE");
        return;
    };
    let name = name.trim().to_ascii_lowercase();
    let value = Value::Text(value.trim().to_owned());
    let node = Node { origin: origin.clone(), written: String::new(), value };
    put(root, &origin, &owned(&["target", "headers", &name]), node, c);
}

/// One objective of `--goodput`.
fn objective(root: Option<&mut Node>, text: &str, c: &mut Collector<'_>) {
    let origin = Origin::Flag("--goodput".to_owned());
    let key = match text.split_once(':') {
        Some(("ttft", _)) => Some("ttft"),
        Some(("tpot", _)) => Some("tpot"),
        Some(("e2el", _)) => Some("e2e"),
        Some(_) | None => None,
    };
    let number = |c: char| c.is_ascii_digit() || c == '.';
    match (key, text.split_once(':')) {
        (Some(key), Some((_, ms))) if !ms.is_empty() && ms.chars().all(number) => {
            let value = Value::Text(format!("{ms}ms"));
            let node = Node { origin: origin.clone(), written: text.to_owned(), value };
            put(root, &origin, &owned(&["slo", key]), node, c);
        }
        _ => {
            let what = "must be KEY:MILLISECONDS with a key of ttft, tpot, e2el, such as \
                        ttft:2000; a campaign file stands before --goodput";
            c.add::<()>(&origin, "", Some(text), what);
        }
    }
}

fn put(
    root: Option<&mut Node>,
    origin: &Origin,
    path: &[String],
    node: Node,
    c: &mut Collector<'_>,
) {
    if let Some(root) = root
        && let Err(step) = root.put(path, node)
    {
        let what = format!(
            "{} has no place there: what comes before it is no table, and no list with such an item",
            clip(&step)
        );
        c.add::<()>(origin, "", None, what);
    }
}

fn use_default_key(root: &mut Node, variable: &str) {
    let target = root.table().and_then(|top| top.get("target"));
    let names_one = target
        .and_then(|(_, target)| target.table())
        .is_some_and(|target| target.contains_key("api_key"));
    if !names_one {
        let node = Node::implied(Value::Text(variable.to_owned()));
        // A target that is no table is a problem already.
        let _room = root.put(&owned(&["target", "api_key", "env"]), node);
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|&step| step.to_owned()).collect()
}
