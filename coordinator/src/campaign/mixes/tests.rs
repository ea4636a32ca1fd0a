//! Models and mixes as a campaign writes them.

use super::super::{Campaign, Overlay, Problems, Source, resolve};

/// A campaign of one level of a workload, with these tables of workloads.
fn campaign(workloads: &str, used: &str) -> Result<Campaign, Problems> {
    let text = format!(
        "mode = \"paper\"\n[target]\nbase_urls = [\"http://h\"]\nmodel = \"base\"\n{workloads}\n\
         [phases]\nscaling = {{ users = 2, requests = 9, workload = \"{used}\" }}\n"
    );
    resolve(Some(Source { name: "c.toml", text: &text }), &Overlay::default())
}

const PLAIN: &str = "[workloads.chat]\ninput_tokens = 100\noutput_tokens = 10\ncache = \"cold\"\n\
    models = { \"base\" = 3, \"lora-a\" = 1 }\n\
    [workloads.long]\ninput_tokens = { uniform = [1000, 3000] }\noutput_tokens = 20\n\
    forced_length = false\ncache = { shared_prefix = 500 }\n";

fn wrong(workloads: &str, used: &str) -> String {
    campaign(&format!("{PLAIN}{workloads}"), used).unwrap_err().to_string()
}

#[test]
fn a_mix_sums_up_its_workloads_and_is_written_back_with_them() {
    let mixed = format!("{PLAIN}[workloads.both]\nmix = {{ chat = 3, long = 1 }}\n");
    let campaign = campaign(&mixed, "both").unwrap();
    let both = campaign.workloads().next().unwrap();
    assert_eq!(both.input_tokens.mean(), 0.75 * 100.0 + 0.25 * 2000.0);
    assert_eq!((both.input_tokens.least(), both.input_tokens.most()), (100, 3000));
    assert_eq!((both.output_tokens.mean(), both.forced_length), (12.5, false));
    let named = both.models_named("base");
    assert_eq!(named, [("base", 0.75 * 0.75 + 0.25), ("lora-a", 0.75 * 0.25)]);
    let written = campaign.to_toml();
    let again = resolve(Some(Source { name: "again", text: &written }), &Overlay::default());
    assert_eq!(again.unwrap(), campaign, "{written}");
}

#[test]
fn what_is_no_mix_is_refused_with_what_would_be_one() {
    let told = wrong("[workloads.both]\nmix = { chta = 3, long = 1 }\ncache = \"cold\"\n", "both");
    for part in [
        "workloads.both.mix.chta",
        "no such workload, or a mix itself; did you mean chat? a mix is made of: chat, long",
        "workloads.both.cache",
        "leave this out",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let told = wrong("[workloads.both]\nmix = { chat = 3 }\n", "both");
    assert!(told.contains("must have 2 to 32 workloads"), "{told}");
    let nested = "[workloads.one]\nmix = { chat = 1, long = 1 }\n\
                  [workloads.two]\nmix = { chat = 1, one = 1 }\n";
    assert!(wrong(nested, "two").contains("workloads.two.mix.one"));
    assert!(wrong("[workloads.both]\nmix = { chat = 0, long = 1 }\n", "both").contains("1 to"));
}

#[test]
fn models_that_are_none_or_too_many_are_refused() {
    let of = |models: &str| {
        wrong(&format!("[workloads.w]\ninput_tokens = 9\noutput_tokens = 9\n{models}\n"), "w")
    };
    assert!(of("models = {}").contains("must name 1 to 64 models"));
    assert!(of("models = { a = 0 }").contains("workloads.w.models.a"));
    assert!(of("models = [\"a\"]").contains("must be a table"));
    let many: Vec<String> = (0..64).map(|n| format!("m{n} = 1")).collect();
    let models = format!("models = {{ {} }}", many.join(", "));
    let mix = format!(
        "[workloads.w]\ninput_tokens = 9\noutput_tokens = 9\n{models}\n\
         [workloads.both]\nmix = {{ w = 1, long = 1 }}"
    );
    // 64 models and that of the target, and two workloads.
    assert!(
        wrong(&mix, "both").contains("67 results would be told apart"),
        "{}",
        wrong(&mix, "both")
    );
}
