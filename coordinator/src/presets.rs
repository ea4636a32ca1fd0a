//! Campaign files to begin with, embedded from the folder `presets`: questions that are asked of
//! any server, and questions of four models, two of text and two of images, in the way of the report
//! that floodmark reproduces and in its own.

/// A commented campaign file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What it is asked for by, and the name of its campaign.
    pub name: String,
    text: String,
}

/// A model that questions are asked of.
struct Model {
    /// What names end with.
    suffix: &'static str,
    title: &'static str,
    id: &'static str,
    /// What serves it, in TOML.
    serving: &'static str,
    /// Limits of MLPerf's server scenario for it or the model nearest to it.
    slo: Slo,
}

struct Slo {
    of: &'static str,
    ttft: &'static str,
    tpot: &'static str,
}

macro_rules! texts {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../presets/", $name, ".toml")))),+]
    };
}

/// Presets as they are.
const WHOLE: [(&str, &str); 4] = texts!["start", "mlperf-server", "inferencex", "vllm-bench"];

/// Questions of the models of text.
const QUESTIONS: [(&str, &str); 8] = texts![
    "validation",
    "stress",
    "saturation",
    "sweep",
    "paper-validation",
    "paper-stress",
    "paper-saturation",
    "paper-sweep",
];

/// The same of the models of images; a preset's name leaves the word out that the file has more.
const VISION_QUESTIONS: [(&str, &str); 8] = texts![
    "vision-validation",
    "vision-stress",
    "vision-saturation",
    "vision-sweep",
    "paper-vision-validation",
    "paper-vision-stress",
    "paper-vision-saturation",
    "paper-vision-sweep",
];

/// Questions of every model, which are asked with text (the paper, section 5.1).
const REPRODUCIBILITY: [(&str, &str); 2] = texts!["reproducibility", "paper-reproducibility"];

/// Questions of the first model alone: the other one's kernels cannot be switched off without
/// measuring something else (the paper, section 6.5.1).
const ABLATIONS: [(&str, &str); 2] = texts!["ablation", "paper-ablation"];

const LLAMA: Model = Model {
    suffix: "llama",
    title: "Llama-3.1-405B",
    id: "meta-llama/Llama-3.1-405B-Instruct",
    serving: include_str!("../presets/serving/llama-3.1-405b.toml"),
    slo: Slo { of: "Llama-3.1-405B", ttft: "6s", tpot: "175ms" },
};

const DEEPSEEK: Model = Model {
    suffix: "deepseek",
    title: "DeepSeek V3.2",
    id: "deepseek-ai/DeepSeek-V3.2",
    serving: include_str!("../presets/serving/deepseek-v3.2.toml"),
    slo: Slo { of: "DeepSeek-R1", ttft: "2s", tpot: "80ms" },
};

const QWEN: Model = Model {
    suffix: "qwen",
    title: "Qwen3-VL-235B",
    id: "Qwen/Qwen3-VL-235B-A22B-Instruct",
    serving: include_str!("../presets/serving/qwen3-vl-235b.toml"),
    slo: Slo { of: "gpt-oss-120b", ttft: "3s", tpot: "80ms" },
};

const KIMI: Model = Model {
    suffix: "kimi",
    title: "Kimi-K2.5",
    id: "moonshotai/Kimi-K2.5",
    serving: include_str!("../presets/serving/kimi-k2.5.toml"),
    slo: Slo { of: "DeepSeek-R1", ttft: "2s", tpot: "80ms" },
};

impl Preset {
    /// The one that is written where none is asked for.
    pub const DEFAULT: &'static str = "start";

    /// All of them, in the order in which they are listed.
    pub fn all() -> Vec<Self> {
        let whole = WHOLE.map(|(name, text)| Self { name: name.to_owned(), text: text.to_owned() });
        let of = |model: &'static Model| {
            QUESTIONS
                .iter()
                .chain(&REPRODUCIBILITY)
                .map(|(question, text)| model.asked(question, text))
        };
        let of_images = |model: &'static Model| {
            let questions = VISION_QUESTIONS.iter().chain(&REPRODUCIBILITY);
            questions.map(|(question, text)| model.asked(&question.replace("vision-", ""), text))
        };
        let ablations = ABLATIONS.map(|(question, text)| LLAMA.asked(question, text));
        let text = whole.into_iter().chain(of(&LLAMA)).chain(ablations).chain(of(&DEEPSEEK));
        text.chain(of_images(&QWEN)).chain(of_images(&KIMI)).collect()
    }

    /// What it is for, in one line.
    pub fn about(&self) -> &str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// Its text, as a file that is called `file`.
    pub fn text(&self, file: &str) -> String {
        self.text.replace("{file}", file)
    }
}

impl Model {
    /// A question of this model.
    fn asked(&self, question: &str, text: &str) -> Preset {
        let name = format!("{question}-{}", self.suffix);
        let filled = [
            ("{name}", name.as_str()),
            ("{title}", self.title),
            ("{model}", self.id),
            ("{slo_of}", self.slo.of),
            ("{ttft}", self.slo.ttft),
            ("{tpot}", self.slo.tpot),
        ]
        .iter()
        .fold(text.to_owned(), |text, (place, value)| text.replace(place, value));
        Preset { name, text: filled + self.serving }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use common::phase::Phase;

    use super::*;
    use crate::campaign::{Campaign, Mode, Overlay, Source, resolve};
    use crate::lint;
    use crate::plan::{Plan, render};

    fn read(text: &str) -> Campaign {
        let campaign = resolve(Some(Source { name: "c.toml", text }), &Overlay::default());
        campaign.unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    fn preset(name: &str) -> Preset {
        Preset::all().into_iter().find(|preset| preset.name == name).unwrap()
    }

    #[test]
    fn every_preset_is_a_campaign_of_its_name_that_can_be_planned() {
        let mut names = BTreeSet::new();
        for preset in Preset::all() {
            let text = preset.text("x.toml");
            let campaign = read(&text);
            assert_eq!(campaign.name.as_str(), preset.name);
            assert_eq!(campaign.mode == Mode::Paper, preset.name.starts_with("paper-"));
            assert_eq!(lint::before(&campaign), [], "{}", preset.name);
            let plan = Plan::of(&campaign);
            assert!(render::text(&campaign, &plan, Some(2)).contains(&preset.name));
            assert!(text.contains("floodmark run  x.toml"), "{}", preset.name);
            for place in ["{name}", "{model}", "{title}", "{file}", "{ttft}"] {
                assert!(!text.contains(place), "{}: {place}", preset.name);
            }
            let about = preset.about();
            assert!(about.len() <= 100 && !about.ends_with('.'), "{about}");
            // What an unchanged file states is true of the model wherever it runs.
            assert_eq!(campaign.serving.gpu, None, "{}", preset.name);
            assert!(names.insert(preset.name.clone()), "{}", preset.name);
        }
        assert!(names.contains(Preset::DEFAULT));
    }

    #[test]
    fn every_file_of_the_folder_is_a_preset() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.strip_suffix(".toml").map(str::to_owned)
            })
            .collect();
        let asked = QUESTIONS.iter().chain(&VISION_QUESTIONS).chain(&REPRODUCIBILITY);
        let known = WHOLE.iter().chain(asked).chain(&ABLATIONS);
        assert_eq!(files, known.map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn the_reports_deployments_are_there_to_be_uncommented_and_break_no_rule() {
        let no_length = &["tokenizer_revision", "chat_template_digest", "max_model_len"];
        for (name, gpus, not_stated) in [
            ("stress-llama", 8.0, &no_length[..2]),
            ("stress-deepseek", 8.0, no_length),
            ("stress-qwen", 8.0, no_length),
            ("stress-kimi", 4.0, no_length),
        ] {
            let text = preset(name).text("x.toml");
            let (before, serving) = text.split_once("[serving]").unwrap();
            let is_key = |c: char| c.is_ascii_lowercase() || c == '_';
            let uncommented = |line: &str| {
                let stated = line.strip_prefix("# ").filter(|rest| {
                    let after = rest.trim_start_matches(is_key).trim_start_matches(' ');
                    after.starts_with("= ")
                });
                stated.unwrap_or(line).to_owned()
            };
            let serving: Vec<String> = serving.lines().map(uncommented).collect();
            let campaign = read(&format!("{before}[serving]{}", serving.join("\n")));
            assert_eq!(campaign.serving.not_stated(|_| false), not_stated);
            assert_eq!(lint::before(&campaign), []);
            assert_eq!(campaign.judging.hardware.gpus, Some(gpus));
        }
    }

    #[test]
    fn the_papers_levels_that_never_held_their_users_are_marked() {
        let levels = |name: &str, phase: Phase| {
            let campaign = read(&preset(name).text("x.toml"));
            let phases = campaign.phases.into_iter().filter(|p| p.phase == phase);
            let levels = phases.flat_map(|phase| phase.levels);
            levels.map(|l| (l.load.users, l.load.requests().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(
            levels("paper-saturation-llama", Phase::Saturation),
            [(150, 600), (200, 600), (300, 600), (500, 450), (750, 450), (1000, 450)]
        );
        assert_eq!(
            levels("paper-saturation-kimi", Phase::Saturation),
            levels("paper-saturation-llama", Phase::Saturation)
        );
        assert_eq!(levels("paper-stress-qwen", Phase::Stress), [(25, 450), (100, 450), (50, 450)]);
        let sweep = levels("paper-sweep-deepseek", Phase::Saturation);
        assert_eq!(sweep.len(), 11);
        assert!(sweep.iter().all(|(users, requests)| *users >= 500 && *requests == 200));
        let stress = levels("paper-stress-deepseek", Phase::Scaling);
        assert_eq!(stress.first().zip(stress.last()), Some((&(5, 450), &(200, 450))));
        let ablation = levels("paper-ablation-llama", Phase::Scaling);
        assert!(ablation.iter().all(|(_, requests)| *requests == 100));
        assert_eq!(read(&preset("ablation-llama").text("x")).ablation.unwrap().aa_restarts, 5);
        assert_eq!(read(&preset("reproducibility-deepseek").text("x")).repeats.count, 5);
    }
}
