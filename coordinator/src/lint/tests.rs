use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::campaign::{Overlay, Source, resolve};
use crate::paper_cases;

fn facts(serving: &Serving) -> Facts<'_> {
    Facts { serving, gpus: None, offered: Offered::default(), weight_memory_gib: None }
}

fn env(text: &str) -> Option<BTreeMap<String, String>> {
    let pair = |word: &str| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    Some(text.split_whitespace().map(|word| pair(word).unwrap()).collect())
}

fn told(serving: &Serving) -> Vec<&'static str> {
    lint(&facts(serving)).iter().map(|finding| finding.rule).collect()
}

/// A model of the paper as a campaign would state it, from tables 3, 4, 5 and 11.
fn paper_model(name: &str) -> Serving {
    let cases = paper_cases();
    let models = cases["serving_flags"]["models"].as_array().unwrap();
    let model = models.iter().find(|model| model["model"] == name).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let words = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    // The fixture notes beside a variable where the paper states it.
    let first = |text: String| text.split(' ').next().unwrap().to_owned();
    let variables: Vec<String> = words(&model["env"]).into_iter().map(first).collect();
    Serving {
        gpu_arch: Some("gfx942".to_owned()),
        attention: text(&model["attention"]),
        precision: text(&model["precision"]),
        tensor_parallel: model["tp"].as_u64(),
        block_size: model["block_size"].as_u64(),
        moe: model["aiter"]["moe"].as_u64().map(|moe| moe == 1),
        flags: Some(words(&model["flags"])),
        env: env(&variables.join(" ")),
        ..Serving::default()
    }
}

#[test]
fn every_case_of_the_paper_is_decided_as_it_is_there() {
    let cases = paper_cases();
    let cases = cases["serving_flags"]["lint_cases"].as_array().unwrap();
    for case in cases {
        let (id, input) = (case["id"].as_str().unwrap(), &case["input"]);
        let attention = input["attention"].as_str().map(str::to_owned);
        let (rule, serving) = match id {
            "F1" => {
                let block_size = input["block_size"].as_u64();
                ("mla-block-size", Serving { attention, block_size, ..Serving::default() })
            }
            "F2" => {
                let offload = input["kv_offload"].as_bool().unwrap();
                let kv_offload = offload.then(|| "native".to_owned());
                ("mla-kv-offload", Serving { attention, kv_offload, ..Serving::default() })
            }
            "F3" | "F4" => {
                let heads = input["heads"].as_u64();
                let tensor_parallel = input["tp"].as_u64();
                let attention = Some("MLA".to_owned());
                let stated = Serving { attention, heads, tensor_parallel, ..Serving::default() };
                ("aiter-mla-heads", stated)
            }
            "F5" => {
                let dimensions = Some(vec![input["dimension"].as_u64().unwrap()]);
                let precision = Some("FP8 W8A8".to_owned());
                ("fp8-dimensions", Serving { precision, dimensions, ..Serving::default() })
            }
            "F6" => {
                let mut stated = paper_model(input["model"].as_str().unwrap());
                stated.gpu_arch = input["arch"].as_str().map(str::to_owned);
                let env = stated.env.as_mut().unwrap();
                assert_eq!(env.remove("AITER_ENABLE_VSKIP").as_deref(), Some("0"));
                assert_eq!(input["vskip"], Value::Null);
                ("gfx942-vskip", stated)
            }
            other => panic!("case {other} has no rule"),
        };
        let expected = case["expected"].as_str().unwrap();
        let findings = lint(&facts(&serving));
        if expected.starts_with("accept") {
            assert_eq!(findings, [], "{id}");
            continue;
        }
        assert!(expected.starts_with("reject"), "{id}");
        let [finding] = findings.as_slice() else { panic!("{id}: {findings:?}") };
        assert_eq!(finding.rule, rule, "{id}");
        if let Some((_, detail)) = expected.split_once('(') {
            assert!(finding.what.contains(detail.trim_end_matches(')')), "{id}: {finding:?}");
        }
    }
    assert_eq!(cases.len(), 6);
}

#[test]
fn of_the_papers_own_configurations_one_breaks_a_rule_that_the_paper_states() {
    assert_eq!(told(&paper_model("DeepSeek V3.2")), [""; 0]);
    assert_eq!(told(&paper_model("Llama-3.1-405B")), [""; 0]);
    // Fused MoE kernels on gfx942, and no AITER_ENABLE_VSKIP=0 in table 11.
    assert_eq!(told(&paper_model("Qwen3-VL-235B")), ["gfx942-vskip"]);
    let mut kimi = paper_model("Kimi-K2.5");
    assert_eq!(told(&kimi), [""; 0]);
    kimi.env = env("VLLM_ROCM_USE_AITER=1");
    assert_eq!(told(&kimi), ["aiter-mla-int4"]);
    // Every profile of table 6 but the first names a flag that the engine no longer had.
    let cases = paper_cases();
    for profile in cases["serving_flags"]["scheduling_profiles_table6"].as_array().unwrap() {
        let steps = format!("--num-scheduler-steps {}", profile["scheduler_steps"]);
        let mut stated = Serving {
            engine: Some("vLLM".to_owned()),
            engine_version: Some("0.14.1".to_owned()),
            flags: Some(vec![steps]),
            max_num_seqs: profile["max_num_seqs"].as_u64(),
            ..Serving::default()
        };
        assert_eq!(told(&stated), ["scheduler-steps"], "{profile}");
        stated.engine_version = Some("0.9.2".to_owned());
        assert_eq!(told(&stated), [""; 0]);
    }
}

#[test]
fn the_papers_memory_is_expected_as_in_its_table_and_one_measurement_does_not_fit() {
    let cases = paper_cases();
    for case in cases["memory_cases_table28_formula"].as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let serving = Serving {
            params_b: Some(number("params_billion")),
            bytes_per_param: Some(number("bytes_per_param")),
            tensor_parallel: case["tp"].as_u64(),
            ..Serving::default()
        };
        let measured = Some(number("measured_gib"));
        let known = Facts { weight_memory_gib: measured, ..facts(&serving) };
        let memory = WeightMemory::of(&known).unwrap();
        assert!((memory.expected_gib - number("expected_gib")).abs() < 0.05, "{case}");
        let ratio = memory.measured_over_expected.unwrap();
        assert!((ratio - number("measured_over_expected")).abs() < 0.005, "{case}");
        let odd = case["inconsistent"].as_bool().unwrap_or(false);
        let rules: Vec<&str> = lint(&known).iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, if odd { vec!["weight-memory"] } else { vec![] }, "{case}");
        assert_eq!(WeightMemory::of(&facts(&serving)).unwrap().measured_over_expected, None);
    }
}

#[test]
fn rules_of_one_platform_say_nothing_of_another_and_of_nothing_nothing_is_said() {
    assert_eq!(told(&Serving::default()), [""; 0]);
    let mla = |gpu: &str| Serving {
        gpu: Some(gpu.to_owned()),
        attention: Some("mla".to_owned()),
        block_size: Some(64),
        kv_offload: Some("native".to_owned()),
        kv_cache_dtype: Some("fp8".to_owned()),
        heads: Some(64),
        tensor_parallel: Some(8),
        ..Serving::default()
    };
    assert_eq!(told(&mla("NVIDIA H200")), ["mla-kv-fp8"]);
    let all = ["mla-block-size", "mla-kv-offload", "mla-kv-fp8", "aiter-mla-heads"];
    assert_eq!(told(&mla("AMD Instinct MI325X")), all);
    let fine = Serving {
        block_size: Some(1),
        kv_offload: Some("none".to_owned()),
        kv_cache_dtype: Some("fp8_ds_mla".to_owned()),
        env: env("VLLM_ROCM_USE_AITER=1 VLLM_ROCM_USE_AITER_MLA=0"),
        ..mla("AMD Instinct MI325X")
    };
    assert_eq!(told(&fine), ["mla-without-aiter"]);
}

#[test]
fn a_campaign_is_held_against_what_serves_it() {
    let text = r#"
        [target]
        base_urls = ["http://127.0.0.1:1"]
        model = "m"
        [serving]
        gpu_count = 4
        tensor_parallel = 4
        flags = ["--max-num-seqs 256", "--max-model-len=1024", "--tensor-parallel-size 8"]
        [hardware]
        gpus = 8
        [workloads.w]
        input_tokens = 1000
        output_tokens = 25
        [[phases.saturation]]
        search = { max_users = 300, budget = "1h" }
        workload = "w"
    "#;
    let resolved =
        |text: &str| resolve(Some(Source { name: "c.toml", text }), &Overlay::default()).unwrap();
    let lines: Vec<String> = before(&resolved(text)).iter().map(Finding::text).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
        max-num-seqs: up to 300 users are asked for, and an engine with max_num_seqs 256 works on 256 requests at a time: what saturates above is this setting; raise --max-num-seqs, or read a plateau above it as the setting's (the paper, table 6)
        max-model-len: the longest request asks for 1025 tokens in and out, and max_model_len is 1024: the server refuses it; shorten the workload, or raise --max-model-len (the paper, table 11)
        gpu-count: rates per GPU are over hardware.gpus = 8, and 4 are in use; give hardware.gpus the GPUs that serve the model: one that serves on 4 of 8 is not half as good per GPU (the paper, tables 3 and 11)
        stated-twice: tensor_parallel is stated as 4, and --tensor-parallel-size says 8; state what the server runs with (the campaign)
        "#);
    let fits = text
        .replace("output_tokens = 25", "output_tokens = 24")
        .replace("max_users = 300", "max_users = 256")
        .replace("gpus = 8", "gpus = 4")
        .replace("-size 8", "-size 4");
    assert_eq!(before(&resolved(&fits)), []);
}

#[test]
fn rules_have_ids_of_their_own_and_are_documented() {
    let page = include_str!("../../../docs/serving.md");
    let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert!(ids.iter().all(|id| page.contains(&format!("| `{id}` |"))), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), RULES.len());
}
