//! What serves the model, as whoever runs it states it: engine, hardware, flags, environment. It
//! is recorded with a run and checked against known constraints; it changes nothing that is sent.
//!
//! A secret has no place in it: names that look like one's are refused where it is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is stated; `None` for what is not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Serving {
    /// What is measured.
    pub sut: Option<Sut>,
    /// What stands between the agents and it, such as a proxy; `none` for nothing.
    pub between: Option<String>,
    /// The inference engine.
    pub engine: Option<String>,
    /// Its version.
    pub engine_version: Option<String>,
    /// Digest of the container image.
    pub image_digest: Option<String>,
    /// The GPU's name.
    pub gpu: Option<String>,
    /// Its architecture as compilers call it, such as `gfx942` or `sm_90`.
    pub gpu_arch: Option<String>,
    /// GPUs in use.
    pub gpu_count: Option<u64>,
    /// Driver or platform software, with its version.
    pub driver: Option<String>,
    /// Revision of the weights.
    pub weights_revision: Option<String>,
    /// Revision of the tokenizer.
    pub tokenizer_revision: Option<String>,
    /// Digest of the chat template.
    pub chat_template_digest: Option<String>,
    /// Precision of weights and activations.
    pub precision: Option<String>,
    /// How the weights are quantised, as the engine calls it.
    pub quantization: Option<String>,
    /// Type of the KV cache.
    pub kv_cache_dtype: Option<String>,
    /// Where the KV cache goes beyond the GPU, such as `native`; `none` for nowhere.
    pub kv_offload: Option<String>,
    /// Tokens in a block of the KV cache.
    pub block_size: Option<u64>,
    /// GPUs that each layer is spread over.
    pub tensor_parallel: Option<u64>,
    /// Kind of attention, such as `MLA` or `GQA`.
    pub attention: Option<String>,
    /// Attention heads of the model.
    pub heads: Option<u64>,
    /// Whether it is a mixture of experts.
    pub moe: Option<bool>,
    /// Dimensions of its matrices that quantisation may trip over.
    pub dimensions: Option<Vec<u64>>,
    /// Stored parameters in billions, those of all experts.
    pub params_b: Option<f64>,
    /// Bytes that a parameter takes, scales included.
    pub bytes_per_param: Option<f64>,
    /// Sequences that the engine works on at a time.
    pub max_num_seqs: Option<u64>,
    /// Tokens in a step of its scheduler.
    pub max_num_batched_tokens: Option<u64>,
    /// The longest sequence, prompt and answer.
    pub max_model_len: Option<u64>,
    /// Flags of the launch, each with its value.
    pub flags: Option<Vec<String>>,
    /// Environment of the launch.
    pub env: Option<BTreeMap<String, String>>,
}

/// What is measured: how much of the way of a request lies behind the target's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sut {
    /// An inference engine.
    Engine,
    /// A gateway or router with engines behind it.
    Gateway,
    /// A filter on requests or answers, such as a guardrail, with what is behind it.
    Filter,
    /// A whole application.
    Application,
}

impl Sut {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Engine, Self::Gateway, Self::Filter, Self::Application];

    /// The word in campaign files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Gateway => "gateway",
            Self::Filter => "filter",
            Self::Application => "application",
        }
    }
}

impl Serving {
    /// All keys, in the order in which they are told.
    pub(crate) const KEYS: [&str; 29] = [
        "sut",
        "between",
        "engine",
        "engine_version",
        "image_digest",
        "gpu",
        "gpu_arch",
        "gpu_count",
        "driver",
        "weights_revision",
        "tokenizer_revision",
        "chat_template_digest",
        "precision",
        "quantization",
        "kv_cache_dtype",
        "kv_offload",
        "block_size",
        "tensor_parallel",
        "attention",
        "heads",
        "moe",
        "dimensions",
        "params_b",
        "bytes_per_param",
        "max_num_seqs",
        "max_num_batched_tokens",
        "max_model_len",
        "flags",
        "env",
    ];

    /// What a report must state of the server (the method, section 3.19), by key.
    const ASKED: [&str; 17] = [
        "sut",
        "between",
        "engine",
        "engine_version",
        "image_digest",
        "gpu",
        "gpu_count",
        "driver",
        "weights_revision",
        "tokenizer_revision",
        "chat_template_digest",
        "precision",
        "kv_cache_dtype",
        "tensor_parallel",
        "max_model_len",
        "flags",
        "env",
    ];

    /// Keys that a flag states as well, by its names in vLLM.
    pub(crate) const FLAGS: [(&str, &[&str]); 8] = [
        ("block_size", &["block-size"]),
        ("tensor_parallel", &["tensor-parallel-size", "tp"]),
        ("max_num_seqs", &["max-num-seqs"]),
        ("max_num_batched_tokens", &["max-num-batched-tokens"]),
        ("max_model_len", &["max-model-len"]),
        ("kv_cache_dtype", &["kv-cache-dtype"]),
        ("kv_offload", &["kv-offloading-backend"]),
        ("quantization", &["quantization", "q"]),
    ];

    /// What is stated, by key.
    pub fn entries(&self) -> BTreeMap<String, serde_json::Value> {
        let all = match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(all)) => all,
            // Words and finite numbers by words: there is nothing to refuse.
            Ok(_) | Err(_) => serde_json::Map::new(),
        };
        all.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    /// What these entries stand for; entries that this version does not know are left out.
    pub fn of_entries(entries: BTreeMap<String, serde_json::Value>) -> Option<Self> {
        let all = serde_json::Value::Object(entries.into_iter().collect());
        serde_json::from_value(all).ok()
    }

    /// What a report must state and nobody stated, nor found out: `found` says what was.
    pub fn not_stated(&self, found: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let stated = self.entries();
        let lacks =
            |key: &&str| !stated.contains_key(*key) && self.by_flag(key).is_none() && !found(key);
        Self::ASKED.into_iter().filter(lacks).collect()
    }

    /// The flag that states the same as `key`, and its value.
    pub(crate) fn by_flag(&self, key: &str) -> Option<(&'static str, &str)> {
        let (_, names) = Self::FLAGS.into_iter().find(|(known, _)| *known == key)?;
        names.iter().find_map(|name| Some((*name, self.flag(name)?)))
    }

    /// The value of a flag: `--name value` or `--name=value`, in one word or in two.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let flags = self.flags.as_ref()?;
        let mut words = flags.iter().flat_map(|flag| flag.split_whitespace());
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (word, None),
            };
            if flag.trim_start_matches('-').replace('_', "-") == name {
                let next = || words.next().filter(|word| !word.starts_with('-'));
                return Some(value.or_else(next).unwrap_or_default());
            }
        }
        None
    }

    /// The value of a variable of its environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.as_ref()?.get(name).map(String::as_str)
    }
}

/// Whether a variable of this name may hold a secret.
pub(crate) fn is_secret_variable(name: &str) -> bool {
    // A tokenizer is no token.
    let name = name.to_ascii_uppercase().replace("TOKENIZER", "");
    ["KEY", "TOKEN", "SECRET", "PASSW", "CREDENTIAL"].iter().any(|word| name.contains(word))
}

/// Whether a text holds a URL with a name or password in it.
pub(crate) fn holds_user_info(text: &str) -> bool {
    text.split("://").skip(1).any(|after| {
        let authority = after.split(['/', '?', '#', ' ', ',', '"']).next().unwrap_or_default();
        authority.contains('@')
    })
}

/// Whether a flag's value may be a secret, whichever of its words is one.
pub(crate) fn is_secret_flag(flag: &str) -> bool {
    flag.split_whitespace().any(|word| {
        let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
        let last = name.rsplit(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        let ends = ["key", "keys", "apikey", "token", "secret", "password", "passwd", "passphrase"];
        let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let assigns = value.is_some() && !name.is_empty() && name.chars().all(is_variable);
        // `--max-num-batched-tokens` counts tokens; `--hf-token` is one.
        (name.starts_with('-') && ends.contains(&last.as_str()))
            || (assigns && is_secret_variable(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_told_from_what_counts_tokens() {
        for secret in [
            "HF_TOKEN",
            "OPENAI_API_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "pgpassword",
            "GOOGLE_CREDENTIALS",
        ] {
            assert!(is_secret_variable(secret), "{secret}");
        }
        for open in ["VLLM_ROCM_USE_AITER", "TOKENIZERS_PARALLELISM", "NCCL_MIN_NCHANNELS"] {
            assert!(!is_secret_variable(open), "{open}");
        }
        for secret in ["--api-key sk-1", "--api-key=sk-1", "--hf_token", "-e HF_TOKEN=x", "--key"] {
            assert!(is_secret_flag(secret), "{secret}");
        }
        for open in [
            "--max-num-batched-tokens 8192",
            "--long-prefill-token-threshold=4",
            "--tokenizer-mode auto",
            "--kv-cache-dtype fp8",
            "-e VLLM_ROCM_USE_AITER=1",
        ] {
            assert!(!is_secret_flag(open), "{open}");
        }
        assert!(holds_user_info("--otlp http://a:b@h:4317/x") && holds_user_info("x,https://a@h"));
        assert!(!holds_user_info("http://h/a@b") && !holds_user_info("image@sha256:1"));
    }

    #[test]
    fn flags_are_read_however_they_are_written() {
        let flags = ["--block-size 1", "--max_model_len=32768", "--quantization", "fp8", "--last"];
        let flags = Some(flags.map(str::to_owned).to_vec());
        let serving = Serving { flags, ..Serving::default() };
        assert_eq!(serving.flag("block-size"), Some("1"));
        assert_eq!(serving.flag("max-model-len"), Some("32768"));
        assert_eq!(serving.flag("quantization"), Some("fp8"));
        assert_eq!(serving.flag("last"), Some(""));
        assert_eq!(serving.flag("none"), None);
    }

    #[test]
    fn what_is_stated_comes_back_from_its_entries_and_every_asked_key_is_one() {
        let serving = Serving {
            sut: Some(Sut::Gateway),
            gpu_count: Some(8),
            params_b: Some(405.0),
            dimensions: Some(vec![4304]),
            env: Some([("A".to_owned(), "1".to_owned())].into()),
            ..Serving::default()
        };
        let mut entries = serving.entries();
        assert_eq!(entries.len(), 5);
        entries.insert("of_a_later_version".to_owned(), 7.into());
        assert_eq!(Serving::of_entries(entries), Some(serving.clone()));
        let all = serde_json::to_value(Serving::default()).unwrap();
        assert!(Serving::KEYS.iter().all(|key| all.get(key).is_some()));
        assert_eq!(all.as_object().unwrap().len(), Serving::KEYS.len());
        assert!(Serving::ASKED.iter().all(|key| Serving::KEYS.contains(key)));
        let lacking = serving.not_stated(|key| key == "engine_version");
        assert_eq!(lacking.len(), Serving::ASKED.len() - 4);
        let flags = Some(vec!["--max-model-len 32768".to_owned(), "-tp 8".to_owned()]);
        let by_flags = Serving { flags, ..serving }.not_stated(|_| false);
        assert!(["max_model_len", "tensor_parallel"].iter().all(|key| !by_flags.contains(key)));
        assert!(!lacking.contains(&"sut") && !lacking.contains(&"engine_version"));
    }
}
