//! What a simulated server shows about itself: health, models, counts and metrics.

use std::fmt::Write as _;

use super::api;
use super::desk::Desk;

/// A page: its content type and its text.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

pub(super) const JSON: &str = "application/json";

impl Page {
    pub(super) fn health() -> Self {
        Self { content_type: "text/plain; charset=utf-8", body: String::new() }
    }

    pub(super) fn models(desk: &Desk) -> Self {
        Self { content_type: JSON, body: api::models(desk.names.all()) }
    }

    /// The ledger's totals.
    pub(super) fn counts(desk: &Desk) -> Self {
        Self {
            content_type: JSON,
            // Totals are plain numbers under plain names: there is nothing to fail on.
            body: serde_json::to_string(&desk.ledger.totals()).unwrap_or_default(),
        }
    }

    /// Prometheus text under the names that vLLM uses.
    pub(super) fn metrics(desk: &Desk) -> Self {
        let gauges = desk.gauges();
        let model = label(desk.names.model());
        let mut body = String::new();
        for (name, kind, help, more, value) in [
            (
                "num_requests_running",
                "gauge",
                "Requests that hold a slot.",
                "",
                u64::from(gauges.running),
            ),
            (
                "num_requests_waiting",
                "gauge",
                "Requests that wait for a slot.",
                "",
                gauges.waiting as u64,
            ),
            (
                "prompt_tokens_total",
                "counter",
                "Prompt tokens of the requests that got a slot.",
                "",
                gauges.prompt_tokens,
            ),
            (
                "generation_tokens_total",
                "counter",
                "Tokens generated.",
                "",
                gauges.generated_tokens,
            ),
            (
                "request_success_total",
                "counter",
                "Requests answered whole.",
                r#",finished_reason="length""#,
                gauges.finished,
            ),
        ] {
            // Writing to memory cannot fail.
            let written = write!(
                body,
                "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}\n\
                 vllm:{name}{{engine=\"0\",model_name=\"{model}\"{more}}} {value}\n",
            );
            debug_assert!(written.is_ok());
        }
        Self { content_type: "text/plain; version=0.0.4; charset=utf-8", body }
    }
}

/// A label's value, escaped as Prometheus wants it.
fn label(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
