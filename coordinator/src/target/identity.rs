//! What the target says it is: asked before and after what might change it, so that a comparison
//! of two different servers under one name is noticed.

use common::detail::CHARS_MAX;
use common::target::Target;
use proto::secrets::Secrets;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::{ANSWER_TIMEOUT, Asker, Method, ask};

/// Models that are kept of a list.
const MODELS_MAX: usize = 64;
/// Bytes read of a page.
const PAGE_MAX: u64 = 4 << 20;

/// What a target says it is. What it does not say is `None`, and proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The models that it serves, sorted.
    pub models: Option<Vec<ServedModel>>,
    /// Its version, as vLLM, SGLang and others tell it at `/version`.
    pub version: Option<String>,
    /// When its process started, in seconds since 1970, from `process_start_time_seconds` of its
    /// `/metrics`.
    pub process_start_s: Option<f64>,
}

/// A model as `/v1/models` lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedModel {
    /// Its name in requests.
    pub id: String,
    /// What it was loaded from.
    pub root: Option<String>,
    /// The longest sequence that it takes, in tokens.
    pub max_model_len: Option<u64>,
}

impl Identity {
    /// Asks the target. Whatever cannot be had is left out, and a target that cannot be reached is
    /// not asked again.
    pub async fn ask(target: &Target, secrets: &Secrets) -> Self {
        let (target, secrets) = (target.clone(), secrets.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let mut reached = true;
            let mut page = |path: &str| {
                if !reached {
                    return None;
                }
                let url = format!("{}{path}", target.base_url);
                let asker = Asker { target: &target, secrets: &secrets };
                let said = ask(Method::Get, &url, asker, PAGE_MAX, ANSWER_TIMEOUT);
                reached = said.is_ok();
                said.ok().filter(|said| said.status == 200).map(|said| said.body)
            };
            Self {
                models: page("/v1/models").and_then(|body| models(&body)),
                version: page("/version").and_then(|body| version(&body)),
                process_start_s: page("/metrics").and_then(|body| process_start_s(&body)),
            }
        });
        asked.await.unwrap_or_default()
    }

    /// What several servers of one target say together: what all of them say, or what each of them
    /// does where they differ, and the process that is the oldest.
    pub fn of_all(each: impl IntoIterator<Item = Self>) -> Self {
        let mut each = each.into_iter();
        let first = each.next().unwrap_or_default();
        each.fold(first, |together, other| Self {
            models: match (together.models, other.models) {
                (Some(mut mine), Some(theirs)) => {
                    mine.extend(theirs);
                    mine.sort();
                    mine.dedup();
                    Some(mine)
                }
                (told, None) | (None, told) => told,
            },
            version: match (together.version, other.version) {
                (Some(mine), Some(theirs)) if mine != theirs => Some(format!("{mine}, {theirs}")),
                (told, None) | (None | Some(_), told) => told,
            },
            process_start_s: match (together.process_start_s, other.process_start_s) {
                (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
                (told, None) | (None, told) => told,
            },
        })
    }

    /// What says that `other` is another server, or the same one with another model or version: a
    /// sentence for each difference. A restart alone is none.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if let (Some(mine), Some(theirs)) = (self.served(), other.served())
            && self.models != other.models
        {
            found.push(format!("it served {mine}, then {theirs}"));
        }
        if let (Some(mine), Some(theirs)) = (&self.version, &other.version)
            && mine != theirs
        {
            found.push(format!("its version was {mine}, then {theirs}"));
        }
        found
    }

    /// Those of these models that it does not list; none where it lists nothing, or more than is
    /// kept.
    pub fn missing<'m>(&self, named: impl IntoIterator<Item = &'m str>) -> Vec<&'m str> {
        let Some(listed) = self.models.as_ref().filter(|listed| listed.len() < MODELS_MAX) else {
            return Vec::new();
        };
        let is_missing = |name: &&str| !listed.iter().any(|model| model.id == clean(name));
        named.into_iter().filter(is_missing).collect()
    }

    /// The models that it serves, in words.
    pub fn served(&self) -> Option<String> {
        let models: Vec<String> =
            self.models.as_ref()?.iter().map(ServedModel::to_string).collect();
        Some(if models.is_empty() { "no model".to_owned() } else { models.join(", ") })
    }

    /// Whether the process is another one; `None` if the target does not say.
    pub fn restarted(&self, other: &Self) -> Option<bool> {
        // Start times are rounded differently by some exporters.
        Some((self.process_start_s? - other.process_start_s?).abs() > 0.5)
    }
}

impl std::fmt::Display for ServedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.id)?;
        if let Some(root) = self.root.as_ref().filter(|root| **root != self.id) {
            write!(f, " from {root}")?;
        }
        match self.max_model_len {
            Some(tokens) => write!(f, " (up to {tokens} tokens)"),
            None => Ok(()),
        }
    }
}

fn models(body: &str) -> Option<Vec<ServedModel>> {
    let body: Value = serde_json::from_str(body).ok()?;
    let listed = body.get("data")?.as_array()?;
    let served = listed.iter().take(MODELS_MAX).filter_map(|model| {
        Some(ServedModel {
            id: clean(model.get("id")?.as_str()?),
            root: model.get("root").and_then(Value::as_str).map(clean),
            max_model_len: model.get("max_model_len").and_then(Value::as_u64),
        })
    });
    let mut served: Vec<ServedModel> = served.collect();
    served.sort();
    Some(served)
}

fn version(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some(clean(body.get("version")?.as_str()?))
}

fn process_start_s(body: &str) -> Option<f64> {
    let mut lines = body.lines().filter_map(|line| line.strip_prefix("process_start_time_seconds"));
    let value = lines.next()?.split_whitespace().last()?;
    value.parse().ok().filter(|seconds: &f64| seconds.is_finite())
}

/// A stranger's words, fit to print and store.
fn clean(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_understood_and_what_is_no_answer_is_nothing() {
        let listed = r#"{"object":"list","data":[
            {"id":"b","root":"/models/b","max_model_len":4096,"object":"model"},
            {"id":"a\u001b[2J"},{"no":"id"}]}"#;
        let read = models(listed).unwrap();
        let shown: Vec<String> = read.iter().map(ServedModel::to_string).collect();
        assert_eq!(shown, ["a [2J", "b from /models/b (up to 4096 tokens)"]);
        for nonsense in ["", "[]", "{\"data\":7}", "<html>"] {
            assert_eq!(models(nonsense), None, "{nonsense}");
            assert_eq!(version(nonsense), None, "{nonsense}");
        }
        assert_eq!(version("{\"version\":\"0.14.1\"}").as_deref(), Some("0.14.1"));
        let metrics = "# HELP process_start_time_seconds x\n# TYPE y\n\
                       process_start_time_seconds 1.77e+09\nother 3\n";
        assert_eq!(process_start_s(metrics), Some(1.77e9));
        assert_eq!(process_start_s("process_start_time_seconds NaN"), None);
    }

    #[test]
    fn a_model_that_is_not_listed_is_missing_where_a_list_is_whole() {
        let model = |id: String| ServedModel { id, root: None, max_model_len: None };
        let of = |ids: &[&str]| Identity {
            models: Some(ids.iter().map(|id| model((*id).to_owned())).collect()),
            ..Identity::default()
        };
        assert_eq!(of(&["base", "lora-a"]).missing(["base", "lora-z"]), ["lora-z"]);
        assert!(Identity::default().missing(["lora-z"]).is_empty());
        let cut = (0..MODELS_MAX).map(|n| model(n.to_string())).collect();
        let cut = Identity { models: Some(cut), ..Identity::default() };
        assert!(cut.missing(["lora-z"]).is_empty());
    }

    #[test]
    fn another_model_or_version_is_a_difference_and_silence_is_none() {
        let model = |id: &str| ServedModel { id: id.to_owned(), root: None, max_model_len: None };
        let of = |id: &str, version: &str, start: f64| Identity {
            models: Some(vec![model(id)]),
            version: Some(version.to_owned()),
            process_start_s: Some(start),
        };
        let one = of("a", "1", 10.0);
        assert!(one.differences(&of("a", "1", 99.0)).is_empty());
        assert_eq!(one.restarted(&of("a", "1", 99.0)), Some(true));
        assert_eq!(one.restarted(&of("a", "1", 10.0)), Some(false));
        let found = one.differences(&of("b", "2", 10.0));
        assert_eq!(found, ["it served a, then b", "its version was 1, then 2"]);
        assert!(one.differences(&Identity::default()).is_empty());
        assert_eq!(one.restarted(&Identity::default()), None);
    }
}
