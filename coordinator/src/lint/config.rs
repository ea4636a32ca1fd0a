//! A configuration as rules see it: what is stated by keys, by flags and by variables, in one place.

use super::{Facts, Offered};
use crate::serving::Serving;

/// What rules are checked against.
pub(super) struct Config<'a> {
    pub(super) serving: &'a Serving,
    pub(super) gpus: Option<f64>,
    pub(super) offered: Offered,
    pub(super) weight_memory_gib: Option<f64>,
    pub(super) platform: Platform,
    pub(super) block_size: Option<u64>,
    pub(super) tensor_parallel: Option<u64>,
    pub(super) max_num_seqs: Option<u64>,
    pub(super) max_model_len: Option<u64>,
    pub(super) kv_cache_dtype: Option<&'a str>,
    pub(super) kv_offload: Option<&'a str>,
    pub(super) quantization: Option<&'a str>,
}

/// Whose GPUs they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    /// AMD's, with the software that they need.
    Rocm,
    /// Somebody else's.
    Other,
    /// Not stated.
    Unknown,
}

/// Whether something is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    Off,
    Unknown,
}

impl<'a> Config<'a> {
    /// The configuration in `facts`; a key wins over a flag.
    pub(super) fn of(facts: &Facts<'a>) -> Self {
        let Facts { serving, gpus, offered, weight_memory_gib } = *facts;
        let number = |key: &str, stated: Option<u64>| {
            stated.or_else(|| serving.by_flag(key)?.1.parse().ok())
        };
        let word = |key: &str, stated: &'a Option<String>| {
            stated.as_deref().or_else(|| Some(serving.by_flag(key)?.1))
        };
        Self {
            serving,
            gpus,
            offered,
            weight_memory_gib,
            platform: Platform::of(serving),
            block_size: number("block_size", serving.block_size),
            tensor_parallel: number("tensor_parallel", serving.tensor_parallel),
            max_num_seqs: number("max_num_seqs", serving.max_num_seqs),
            max_model_len: number("max_model_len", serving.max_model_len),
            kv_cache_dtype: word("kv_cache_dtype", &serving.kv_cache_dtype),
            kv_offload: word("kv_offload", &serving.kv_offload),
            quantization: word("quantization", &serving.quantization),
        }
    }

    /// Whether attention is MLA: multi-head latent attention.
    pub(super) fn is_mla(&self) -> bool {
        let attention = self.serving.attention.as_deref();
        attention.is_some_and(|attention| attention.eq_ignore_ascii_case("mla"))
    }

    /// Whether the weights are of a precision, by what is stated of it.
    pub(super) fn weights_are(&self, precision: &str) -> bool {
        let stated = [self.serving.precision.as_deref(), self.quantization];
        stated.into_iter().flatten().any(|text| text.to_ascii_lowercase().contains(precision))
    }

    /// Whether AITER's kernels for `part` are on. Without the master switch they are off; with it
    /// each part is on unless it is switched off (the paper, section 4.3).
    pub(super) fn aiter(&self, part: &str) -> Switch {
        let Some(env) = &self.serving.env else {
            return Switch::Unknown;
        };
        let is_on = |name: &str, unset: bool| match env.get(name).map(String::as_str) {
            None => unset,
            Some(value) => matches!(value.trim(), "1" | "true" | "True"),
        };
        let part = format!("VLLM_ROCM_USE_AITER_{part}");
        if is_on("VLLM_ROCM_USE_AITER", false) && is_on(&part, true) {
            Switch::On
        } else {
            Switch::Off
        }
    }
}

impl Platform {
    fn of(serving: &Serving) -> Self {
        let Serving { gpu, gpu_arch, .. } = serving;
        let arch = gpu_arch.as_deref().unwrap_or_default().to_ascii_lowercase();
        let gpu = gpu.as_deref().unwrap_or_default().to_ascii_lowercase();
        let is_amd = ["amd", "instinct", "radeon"].iter().any(|name| gpu.contains(name));
        match (arch.is_empty(), gpu.is_empty()) {
            (true, true) => Self::Unknown,
            _ if arch.starts_with("gfx") || is_amd => Self::Rocm,
            (false, _) | (_, false) => Self::Other,
        }
    }
}
