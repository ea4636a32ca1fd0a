use crate::campaign::{Campaign, Overlay, Problems, Source, resolve};
use crate::serving::Sut;

const HEAD: &str = r#"
[target]
base_urls = ["http://h:1"]
model = "m"
[workloads.chat]
input_tokens = 5
output_tokens = 2
[phases]
baseline = { workload = "chat" }
"#;

fn read_with(text: &str, overlay: &Overlay) -> Result<Campaign, Problems> {
    let text = format!("{HEAD}{text}");
    resolve(Some(Source { name: "c.toml", text: &text }), overlay)
}

fn refused(text: &str) -> String {
    read_with(text, &Overlay::default()).unwrap_err().to_string()
}

#[test]
fn what_is_stated_is_read_and_written_back() {
    let text = r#"
[server]
facts = [
  { name = "weight_memory_gib", command = ["ssh", "gpu1", "docker", "logs", "vllm"], pattern = 'took ([0-9.]+) GiB' },
  { name = "driver", command = ["cat", "/v"], pattern = "version \"(.+)\"" },
]
[serving]
sut = "gateway"
engine = "vLLM"
gpu_count = 8
block_size = 1
moe = true
dimensions = [4304, 128]
params_b = 405
bytes_per_param = 1.02
flags = ["--block-size 1", "--served-model-name \"a b\""]
env = { VLLM_ROCM_USE_AITER = "1", EMPTY = "", TOKENIZERS_PARALLELISM = "false" }
"#;
    let campaign = read_with(text, &Overlay::default()).unwrap();
    let serving = &campaign.serving;
    assert_eq!(serving.sut, Some(Sut::Gateway));
    assert_eq!((serving.params_b, serving.gpu_count), (Some(405.0), Some(8)));
    assert_eq!(serving.variable("EMPTY"), Some(""));
    assert_eq!(campaign.server.facts[1].pattern.as_str(), "version \"(.+)\"");
    let written = campaign.to_toml();
    let again = resolve(Some(Source { name: "c", text: &written }), &Overlay::default());
    assert_eq!(again.as_ref(), Ok(&campaign), "{written}");
    assert_eq!(again.unwrap().to_toml(), written);
}

#[test]
fn what_may_be_a_secret_is_refused_and_not_repeated() {
    let mut overlay = Overlay::default();
    overlay.set("serving.env.HF_TOKEN=hf_hidden".to_owned());
    let text = r#"
[serving]
flags = ["--api-key sk-hidden", "--max-num-batched-tokens 8192", ["hidden"]]
between = "http://me:hidden@proxy"
env = { OPENAI_API_KEY = "hidden", "A B" = "hidden", OTHER = ["hidden"], P = "http://hidden@h" }
"#;
    let told = read_with(text, &overlay).unwrap_err().to_string();
    assert!(!told.contains("hidden"), "{told}");
    insta::assert_snapshot!(told, @r#"
        c.toml:12:10: serving.flags.0: its value may be a secret, and what is stated here is stored with the result: leave this flag out
        c.toml:12:66: serving.flags.2: must be a string, such as "--block-size 1"
        c.toml:13:11: serving.between: holds a URL with a name or password in it, and what is stated here is stored with the result: leave that out
        c.toml:14:26: serving.env.OPENAI_API_KEY: a variable of this name may hold a secret, and what is stated here is stored with the result: leave it out
        c.toml:14:44: serving.env."A B": must be the name of an environment variable
        c.toml:14:62: serving.env.OTHER: must be a string, not a list
        c.toml:14:78: serving.env.P: holds a URL with a name or password in it, and what is stated here is stored with the result: leave that out
        --set serving.env.HF_TOKEN: serving.env.HF_TOKEN: a variable of this name may hold a secret, and what is stated here is stored with the result: leave it out
        8 problems
        "#);
}

#[test]
fn everything_wrong_with_facts_is_told_at_once() {
    insta::assert_snapshot!(refused(r#"
[server]
facts = [
  { name = "a b", command = "sh", pattern = "[" },
  { command = ["true"], patern = "(x)" },
  { name = "x", command = ["true"], pattern = "no group" },
]
[serving]
sut = "engin"
gpu_count = 0
params_b = "405B"
dimensions = 4304
enginee = "vLLM"
"#), @r#"
        c.toml:13:12: server.facts.0.name = "a b": a name has 1 to 64 characters of A-Z a-z 0-9 . _ - and starts with a letter or a digit
        c.toml:13:29: server.facts.0.command = "sh": must be a list of a program and its arguments, such as ["systemctl", "restart", "vllm"]; it is started without a shell
        c.toml:13:45: server.facts.0.pattern = "[": is no regular expression: unclosed character class
        c.toml:14:3: server.facts.1.name: missing; say what the fact is: name = "weight_memory_gib"
        c.toml:14:3: server.facts.1.pattern: missing; say where it stands in what is printed: pattern = 'took ([0-9.]+) GiB'
        c.toml:14:25: server.facts.1.patern: unknown key; did you mean pattern? valid keys: name, command, pattern
        c.toml:15:47: server.facts.2.pattern = "no group": has no group: put what is wanted into parentheses, such as 'took ([0-9.]+) GiB'
        c.toml:18:7: serving.sut = "engin": must be one of engine, gateway, filter, application; did you mean engine?
        c.toml:19:13: serving.gpu_count = 0: must be an integer from 1 to 1000000000
        c.toml:20:12: serving.params_b = "405B": must be a number from 0.000001 to 1000000, not a string
        c.toml:21:14: serving.dimensions: must be a list
        c.toml:22:1: serving.enginee: unknown key; did you mean engine? valid keys: sut, between, engine, engine_version, image_digest, gpu, gpu_arch, gpu_count, driver, weights_revision, tokenizer_revision, chat_template_digest, precision, quantization, kv_cache_dtype, kv_offload, block_size, tensor_parallel, attention, heads, moe, dimensions, params_b, bytes_per_param, max_num_seqs, max_num_batched_tokens, max_model_len, flags, env
        12 problems
        "#);
    let twice = r#"
[server]
facts = [
  { name = "x", command = ["true"], pattern = "(x)" },
  { name = "x", command = ["true"], pattern = "(y)" },
]
"#;
    insta::assert_snapshot!(refused(twice), @r#"c.toml:14:3: server.facts.1: a second fact is named x; name them apart"#);
}
