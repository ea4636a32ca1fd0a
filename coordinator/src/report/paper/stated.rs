//! What a stored campaign states, read without a judgement: a campaign of another version of
//! floodmark says what it says, and what it does not say is not stated.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The variable that turns AITER on or off (the paper, section 4.3).
const AITER: &str = "VLLM_ROCM_USE_AITER";

/// What requests of a workload ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Work {
    /// The workload's name.
    pub(super) name: String,
    /// Prompt and answer length in tokens, where both are stated.
    pub(super) tokens: Option<(i64, i64)>,
    /// Images of a request.
    pub(super) images: i64,
}

/// What a campaign states.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stated {
    works: BTreeMap<String, Work>,
    /// Whether AITER is on, by the environment of the launch or the command that restarts the
    /// server.
    pub(super) aiter: Option<bool>,
    /// Kind of model and of its attention, as far as they are stated.
    pub(super) architecture: Option<String>,
    /// Precision of the weights.
    pub(super) precision: Option<String>,
    /// Stored parameters in billions.
    pub(super) params_b: Option<f64>,
    /// Bytes that each takes.
    pub(super) bytes_per_param: Option<f64>,
    /// GPUs that each layer is spread over.
    pub(super) tensor_parallel: Option<f64>,
}

impl Stated {
    pub(super) fn of(campaign_toml: &str) -> Self {
        let Ok(campaign) = campaign_toml.parse::<Table>() else {
            return Self::default();
        };
        let workloads = campaign.get("workloads").and_then(Value::as_table);
        let works = workloads.into_iter().flatten().map(|(name, workload)| {
            let tokens = |key: &str| workload.get(key).and_then(Value::as_integer);
            let images = workload.get("images").and_then(|images| images.get("count"));
            let work = Work {
                name: name.clone(),
                tokens: tokens("input_tokens").zip(tokens("output_tokens")),
                images: images.and_then(Value::as_integer).unwrap_or(0).max(0),
            };
            (name.clone(), work)
        });
        let restart = campaign.get("server").and_then(|server| server.get("restart"));
        let restart = restart.and_then(Value::as_array).and_then(|words| aiter(words));
        let serving = |key: &str| campaign.get("serving").and_then(|serving| serving.get(key));
        let number = |key: &str| serving(key).and_then(number);
        let text = |key: &str| serving(key).and_then(Value::as_str).map(str::to_owned);
        let variable = serving("env").and_then(|env| env.get(AITER)).and_then(Value::as_str);
        let moe = serving("moe").and_then(Value::as_bool);
        let parts =
            [moe.map(|moe| if moe { "MoE" } else { "Dense" }.to_owned()), text("attention")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Self {
            works: works.collect(),
            aiter: variable.and_then(switch).or(restart),
            architecture: (!parts.is_empty()).then(|| parts.join(" + ")),
            precision: text("precision").or_else(|| text("quantization")),
            params_b: number("params_b"),
            bytes_per_param: number("bytes_per_param"),
            tensor_parallel: number("tensor_parallel"),
        }
    }

    /// The work of the workload with this name.
    pub(super) fn work(&self, name: &str) -> Work {
        let unknown = || Work { name: name.to_owned(), tokens: None, images: 0 };
        self.works.get(name).cloned().unwrap_or_else(unknown)
    }
}

impl Work {
    /// Whether requests carry images.
    pub(super) fn is_vision(&self) -> bool {
        self.images > 0
    }

    /// What tells it from other work of the same shape.
    pub(super) fn title(&self) -> String {
        match self.tokens {
            Some(_) => format!("{} {}", self.name, self.shape()),
            None => self.shape(),
        }
    }

    /// Lengths as the paper writes them, or the workload's name.
    pub(super) fn shape(&self) -> String {
        let images = match self.images {
            0 => String::new(),
            1 => " + 1 image".to_owned(),
            many => format!(" + {many} images"),
        };
        match self.tokens {
            Some((input, output)) => format!("{input}/{output}{images}"),
            None => format!("{}{images}", self.name),
        }
    }
}

/// What the last mention of the variable in a command says.
fn aiter(words: &[Value]) -> Option<bool> {
    let words = words.iter().filter_map(Value::as_str);
    let values = words.flat_map(|word| word.split(AITER).skip(1));
    switch(values.last()?.strip_prefix('=')?)
}

/// What a variable is set to.
fn switch(value: &str) -> Option<bool> {
    match value.trim_start_matches(['"', '\'']).chars().next()? {
        '0' => Some(false),
        '1' => Some(true),
        _ => None,
    }
}

/// A number above 0, whole or not.
fn number(value: &Value) -> Option<f64> {
    let number = value.as_float().or_else(|| Some(value.as_integer()? as f64))?;
    (number.is_finite() && number > 0.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_images_and_aiter() {
        let stated = Stated::of(
            "[workloads.vision]\ninput_tokens = 100\noutput_tokens = 200\n\
             images = { count = 1, width = 64, height = 64 }\n\
             [workloads.drawn]\ninput_tokens = { uniform = [1, 2] }\noutput_tokens = 3\n\
             [server]\nrestart = [\"ssh\", \"gpu1\", \"VLLM_ROCM_USE_AITER=1 vllm serve\"]\n",
        );
        assert_eq!(stated.work("vision").shape(), "100/200 + 1 image");
        assert!(stated.work("vision").is_vision());
        assert_eq!(stated.work("drawn").shape(), "drawn");
        assert_eq!(stated.work("absent").tokens, None);
        assert_eq!(stated.aiter, Some(true));
        let off = "[server]\nrestart = [\"VLLM_ROCM_USE_AITER='0'\"]";
        assert_eq!(Stated::of(off).aiter, Some(false));
        let serving = "[serving]\nmoe = true\nattention = \"MLA\"\nquantization = \"fp8\"\n\
                       params_b = 685\nbytes_per_param = 1.02\ntensor_parallel = 8\n\
                       env = { VLLM_ROCM_USE_AITER = \"1\", VLLM_ROCM_USE_AITER_MLA = \"0\" }";
        let stated = Stated::of(serving);
        assert_eq!(stated.architecture.as_deref(), Some("MoE + MLA"));
        assert_eq!(stated.precision.as_deref(), Some("fp8"));
        assert_eq!((stated.params_b, stated.tensor_parallel), (Some(685.0), Some(8.0)));
        assert_eq!(stated.aiter, Some(true));
        let dense = Stated::of("[serving]\nmoe = false\nparams_b = -1");
        assert_eq!(dense.architecture.as_deref(), Some("Dense"));
        assert_eq!(dense.params_b, None);
        for nothing in [
            "",
            "serving = 1",
            "server = 1",
            "workloads = []",
            "not toml",
            "[server]\nrestart = [1]",
        ] {
            assert_eq!(Stated::of(nothing), Stated::default(), "{nothing}");
        }
    }
}
