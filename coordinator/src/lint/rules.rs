//! The rules, each a pure function of a configuration. A new one is an entry of [`RULES`].

use super::config::{Config, Platform, Switch};
use super::memory::{RATIO_MAX, RATIO_MIN, WeightMemory};
use super::{Broken, Rule};
use crate::serving::Serving;

/// Heads on a GPU that AITER's MLA kernels take.
const MLA_HEADS: [u64; 2] = [16, 128];
/// The block of FP8 kernels.
const FP8_BLOCK: u64 = 128;

/// All rules, in the order in which findings are told.
pub(super) const RULES: [Rule; 14] = [
    Rule { id: "mla-block-size", source: "the paper, tables 3, 5 and 11", check: mla_block_size },
    Rule { id: "mla-kv-offload", source: "the paper, table 5", check: mla_kv_offload },
    Rule { id: "mla-kv-fp8", source: "the paper, tables 4 and 5", check: mla_kv_fp8 },
    Rule {
        id: "aiter-mla-heads",
        source: "the paper, table 3 and section 4.4",
        check: aiter_mla_heads,
    },
    Rule {
        id: "aiter-mla-int4",
        source: "the paper, table 3 and section 4.3",
        check: aiter_mla_int4,
    },
    Rule {
        id: "mla-without-aiter",
        source: "the paper, table 25 and section 6.5.1",
        check: mla_without_aiter,
    },
    Rule { id: "fp8-dimensions", source: "the paper, tables 4 and 5", check: fp8_dimensions },
    Rule { id: "gfx942-vskip", source: "the paper, table 11 and section 4.3", check: gfx942_vskip },
    Rule {
        id: "scheduler-steps",
        source: "the paper, table 6; vLLM pull requests 22138 and 22779",
        check: scheduler_steps,
    },
    Rule { id: "max-num-seqs", source: "the paper, table 6", check: max_num_seqs },
    Rule { id: "max-model-len", source: "the paper, table 11", check: max_model_len },
    Rule { id: "gpu-count", source: "the paper, tables 3 and 11", check: gpu_count },
    Rule { id: "stated-twice", source: "the campaign", check: stated_twice },
    Rule { id: "weight-memory", source: "the paper, table 28", check: weight_memory },
];

impl Config<'_> {
    /// MLA, on GPUs that are not known to be other than AMD's; the words for what is not known.
    fn mla_on_rocm(&self) -> Option<&'static str> {
        match self.platform {
            Platform::Rocm => self.is_mla().then_some("on ROCm"),
            Platform::Unknown => self.is_mla().then_some("on ROCm (gpu is not stated)"),
            Platform::Other => None,
        }
    }
}

fn mla_block_size(config: &Config<'_>) -> Option<Broken> {
    let on_rocm = config.mla_on_rocm()?;
    let size = config.block_size.filter(|size| *size != 1)?;
    Some(Broken {
        what: format!("MLA {on_rocm} wants a block size of 1 in the KV cache, not {size}"),
        todo: "serve with --block-size 1",
    })
}

fn mla_kv_offload(config: &Config<'_>) -> Option<Broken> {
    let on_rocm = config.mla_on_rocm()?;
    let backend = config.kv_offload.filter(|backend| *backend != "none")?;
    Some(Broken {
        what: format!(
            "the KV cache is offloaded ({backend}), which fails with MLA {on_rocm} (KeyError)"
        ),
        todo: "serve without --kv-offloading-backend",
    })
}

fn mla_kv_fp8(config: &Config<'_>) -> Option<Broken> {
    let kind = config.kv_cache_dtype.filter(|_| config.is_mla())?;
    // The engine's own format for MLA is no choice of the operator's.
    let is_fp8 = kind.to_ascii_lowercase().starts_with("fp8") && !kind.ends_with("_mla");
    is_fp8.then(|| Broken {
        what: format!("a KV cache of type {kind} is refused with MLA (ValueError)"),
        todo: "leave --kv-cache-dtype out: the engine picks its own format for MLA",
    })
}

fn aiter_mla_heads(config: &Config<'_>) -> Option<Broken> {
    let on_rocm = config.mla_on_rocm()?;
    let (heads, ranks) = (config.serving.heads?, config.tensor_parallel?);
    let (per_rank, rest) = (heads.checked_div(ranks)?, heads.checked_rem(ranks)?);
    let fits = rest == 0 && MLA_HEADS.contains(&per_rank);
    let sure = match config.aiter("MLA") {
        Switch::Off => return None,
        Switch::On => "",
        Switch::Unknown => " (env is not stated; with AITER off this does not matter)",
    };
    let whole = if rest == 0 { "" } else { " and a rest" };
    (!fits).then(|| Broken {
        what: format!(
            "{heads} heads over {ranks} GPUs are {per_rank} per rank{whole}, and AITER's MLA \
             kernels {on_rocm} take 16 or 128{sure}"
        ),
        todo: "choose another tensor parallel degree, or VLLM_ROCM_USE_AITER_MLA=0 for the slower \
               Triton kernels",
    })
}

fn aiter_mla_int4(config: &Config<'_>) -> Option<Broken> {
    let int4 = config.is_mla() && config.weights_are("int4");
    let on_gfx942 = config.serving.gpu_arch.as_deref() == Some("gfx942");
    (int4 && on_gfx942 && config.aiter("MLA") == Switch::On).then(|| Broken {
        what: "AITER's MLA kernels want MXFP4 for INT4 weights, which gfx942 does not have: the \
               engine stops while it captures graphs"
            .to_owned(),
        todo: "set VLLM_ROCM_USE_AITER=0",
    })
}

fn mla_without_aiter(config: &Config<'_>) -> Option<Broken> {
    let on_rocm = config.platform == Platform::Rocm && config.is_mla();
    // INT4 weights leave no choice.
    let off = config.aiter("MLA") == Switch::Off && !config.weights_are("int4");
    (on_rocm && off).then(|| Broken {
        what: "MLA without AITER falls back to Triton kernels, which are substantially slower: \
               that is what would be measured"
            .to_owned(),
        todo: "set VLLM_ROCM_USE_AITER=1, unless the fallback is the question",
    })
}

fn fp8_dimensions(config: &Config<'_>) -> Option<Broken> {
    let cache = config.kv_cache_dtype.unwrap_or_default().to_ascii_lowercase();
    let what = match (config.weights_are("fp8"), cache.starts_with("fp8")) {
        (true, _) => "FP8 weights",
        (false, true) => "an FP8 KV cache",
        (false, false) => return None,
    };
    let dimensions = config.serving.dimensions.as_deref().unwrap_or_default();
    let odd = dimensions.iter().find(|dimension| *dimension % FP8_BLOCK != 0)?;
    Some(Broken {
        what: format!(
            "{what} need dimensions that divide by {FP8_BLOCK}, and {odd} mod {FP8_BLOCK} = {}",
            odd % FP8_BLOCK
        ),
        todo: "serve in BF16",
    })
}

fn gfx942_vskip(config: &Config<'_>) -> Option<Broken> {
    let serving = config.serving;
    let fused = serving.moe == Some(true) && config.aiter("MOE") == Switch::On;
    let on_gfx942 = serving.gpu_arch.as_deref() == Some("gfx942");
    let vskip = serving.variable("AITER_ENABLE_VSKIP");
    (fused && on_gfx942 && vskip != Some("0")).then(|| Broken {
        what: format!(
            "AITER's fused MoE kernels on gfx942 fail with a memory aperture violation unless \
             AITER_ENABLE_VSKIP is 0, and it is {}",
            vskip.unwrap_or("not set, which means on")
        ),
        todo: "set AITER_ENABLE_VSKIP=0",
    })
}

fn scheduler_steps(config: &Config<'_>) -> Option<Broken> {
    let serving = config.serving;
    let steps = serving.flag("num-scheduler-steps")?;
    let is_vllm = |engine: &str| engine.to_ascii_lowercase().contains("vllm");
    let other = serving.engine.as_deref().is_some_and(|engine| !is_vllm(engine));
    let had_it = serving.engine_version.as_deref().is_some_and(|version| before(version, (0, 10)));
    (!other && !had_it).then(|| Broken {
        what: format!(
            "--num-scheduler-steps {steps} left vLLM in August 2025 with multi-step scheduling: a \
             later version refuses it"
        ),
        todo: "leave it out",
    })
}

/// Whether a version's first two numbers come before these.
fn before(version: &str, than: (u64, u64)) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < than,
        (None, _) | (_, None) => false,
    }
}

fn max_num_seqs(config: &Config<'_>) -> Option<Broken> {
    let most = config.max_num_seqs?;
    let users = u64::from(config.offered.users?);
    (users > most).then(|| Broken {
        what: format!(
            "up to {users} users are asked for, and an engine with max_num_seqs {most} works on \
             {most} requests at a time: what saturates above is this setting"
        ),
        todo: "raise --max-num-seqs, or read a plateau above it as the setting's",
    })
}

fn max_model_len(config: &Config<'_>) -> Option<Broken> {
    let most = config.max_model_len?;
    let tokens = config.offered.tokens?;
    (tokens > most).then(|| Broken {
        what: format!(
            "the longest request asks for {tokens} tokens in and out, and max_model_len is \
             {most}: the server refuses it"
        ),
        todo: "shorten the workload, or raise --max-model-len",
    })
}

fn gpu_count(config: &Config<'_>) -> Option<Broken> {
    let count = config.serving.gpu_count?;
    if let Some(ranks) = config.tensor_parallel.filter(|ranks| *ranks > count) {
        return Some(Broken {
            what: format!("each layer is spread over {ranks} GPUs, and {count} are in use"),
            todo: "state the GPUs that serve the model",
        });
    }
    let gpus = config.gpus.filter(|gpus| *gpus != count as f64)?;
    Some(Broken {
        what: format!("rates per GPU are over hardware.gpus = {gpus}, and {count} are in use"),
        todo: "give hardware.gpus the GPUs that serve the model: one that serves on 4 of 8 is not \
               half as good per GPU",
    })
}

fn stated_twice(config: &Config<'_>) -> Option<Broken> {
    let stated = config.serving.entries();
    let differ = Serving::FLAGS.iter().find_map(|(key, _)| {
        let stated = stated.get(*key)?;
        let stated = stated.as_str().map_or_else(|| stated.to_string(), str::to_owned);
        let (flag, value) = config.serving.by_flag(key)?;
        (value != stated).then(|| format!("{key} is stated as {stated}, and --{flag} says {value}"))
    });
    Some(Broken { what: differ?, todo: "state what the server runs with" })
}

fn weight_memory(config: &Config<'_>) -> Option<Broken> {
    let WeightMemory { expected_gib, measured_gib, measured_over_expected } =
        WeightMemory::of_config(config)?;
    let (measured, ratio) = (measured_gib?, measured_over_expected?);
    (!(RATIO_MIN..=RATIO_MAX).contains(&ratio)).then(|| Broken {
        what: format!(
            "the weights take {measured:.1} GiB per GPU, and params_b × bytes_per_param / \
             tensor_parallel is {expected_gib:.1} GiB: {ratio:.2} times as much"
        ),
        todo: "check what is stated, and that the server loaded the precision it was meant to",
    })
}
