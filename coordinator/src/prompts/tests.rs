//! Prompts of the kinds of tokenizers that models come with, each trained here on a small text.

use std::sync::LazyLock;

use common::ids::UserId;
use common::length::{Bounds, Length};
use common::phase::Phase;
use common::prompt::Prompts;
use common::seed::{Generator, Seed};
use common::text::PASSAGE;
use common::workload::{CacheMode, SharedPrefix};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, ModelWrapper, PostProcessorWrapper};

use super::*;

/// Sentences of words that are made up, the first ones the commonest, with the passage between.
fn corpus() -> Vec<String> {
    let mut generator = Generator::new(7);
    let syllables =
        ["ka", "lo", "mi", "nur", "pel", "sta", "tor", "ven", "qui", "dra", "zo", "fle"];
    let mut draw = |below: usize| (generator.unit() * below as f64) as usize;
    let words: Vec<String> =
        (0..500).map(|_| (0..=draw(3)).map(|_| syllables[draw(12)]).collect()).collect();
    let sentence = |draw: &mut dyn FnMut(usize) -> usize| {
        let word =
            |draw: &mut dyn FnMut(usize) -> usize| words[draw(500) * draw(500) / 500].clone();
        (0..12).map(|_| word(draw)).collect::<Vec<_>>().join(" ") + "."
    };
    (0..1500).map(|at| if at % 5 == 0 { PASSAGE.to_owned() } else { sentence(&mut draw) }).collect()
}

fn byte_level() -> ByteLevel {
    ByteLevel::new(false, true, true)
}

/// As GPT-2 has it: bytes, cut by a pattern.
fn gpt() -> Tokenizer {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level()));
    let mut trainer: TrainerWrapper = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(2000)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into();
    tokenizer.train(&mut trainer, corpus().into_iter()).unwrap();
    tokenizer
}

/// As Llama 3 has it: its own pattern, and a token that begins every text.
fn llama_3() -> Tokenizer {
    let mut tokenizer = gpt();
    tokenizer.add_special_tokens([AddedToken::from("<|begin|>", true)]).unwrap();
    let id = tokenizer.token_to_id("<|begin|>").unwrap();
    let pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    edited(&tokenizer, |file| {
        file["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
              "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
              "use_regex": false },
        ]});
        file["post_processor"] = json!({ "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<|begin|>", "type_id": 0 } },
                       { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } },
                     { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<|begin|>": { "id": "<|begin|>", "ids": [id],
                                               "tokens": ["<|begin|>"] } },
        });
        file["model"]["ignore_merges"] = true.into();
    })
}

fn metaspace() -> Metaspace {
    Metaspace::new('▁', PrependScheme::Always, true)
}

/// As Llama 2 has it: spaces are letters, and nothing is cut before pairs are merged.
fn llama_2() -> Tokenizer {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(metaspace()));
    let mut trainer: TrainerWrapper =
        BpeTrainer::builder().show_progress(false).vocab_size(1500).build().into();
    tokenizer.train(&mut trainer, corpus().into_iter()).unwrap();
    edited(&tokenizer, |file| {
        file["pre_tokenizer"] = Value::Null;
        file["normalizer"] = json!({ "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ]});
    })
}

/// As BERT has it: lower case, and two tokens beside every text.
fn bert() -> Tokenizer {
    let mut tokenizer = Tokenizer::new(WordPiece::default());
    tokenizer.with_normalizer(Some(BertNormalizer::default())).unwrap();
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    let special = ["[UNK]", "[CLS]", "[SEP]"].map(|token| AddedToken::from(token, true));
    let trainer = WordPieceTrainer::builder().show_progress(false).vocab_size(1200);
    let mut trainer: TrainerWrapper = trainer.special_tokens(special.to_vec()).build().into();
    tokenizer.train(&mut trainer, corpus().into_iter()).unwrap();
    let id = |token: &str| (token.to_owned(), tokenizer.token_to_id(token).unwrap());
    let post = BertProcessing::new(id("[SEP]"), id("[CLS]"));
    tokenizer.with_post_processor(Some(post));
    edited(&tokenizer, |file| file["model"]["unk_token"] = "[UNK]".into())
}

/// As T5 has it: the likeliest pieces of each word.
fn unigram() -> Tokenizer {
    let mut tokenizer = Tokenizer::new(Unigram::default());
    tokenizer.with_pre_tokenizer(Some(metaspace()));
    let mut trainer = UnigramTrainer::builder();
    let trainer = trainer.show_progress(false).vocab_size(1200).unk_token(Some("<unk>".to_owned()));
    let special = vec![AddedToken::from("<unk>", true)];
    let mut trainer: TrainerWrapper = trainer.special_tokens(special).build().unwrap().into();
    tokenizer.train(&mut trainer, corpus().into_iter()).unwrap();
    tokenizer
}

/// The same with its file edited.
fn edited(tokenizer: &Tokenizer, edit: impl FnOnce(&mut Value)) -> Tokenizer {
    let mut file: Value = serde_json::from_str(&tokenizer.to_string(false).unwrap()).unwrap();
    edit(&mut file);
    super::tokenizer(file.to_string().as_bytes()).unwrap()
}

struct Trained {
    name: &'static str,
    tokenizer: Tokenizer,
    words: Words,
}

static TRAINED: LazyLock<Vec<Trained>> = LazyLock::new(|| {
    let all = [
        ("gpt", gpt()),
        ("llama 3", llama_3()),
        ("llama 2", llama_2()),
        ("bert", bert()),
        ("unigram", unigram()),
    ];
    let trained = all.map(|(name, tokenizer)| {
        let words = pieces::calibrate(&tokenizer).unwrap_or_else(|few| panic!("{name}: {few:?}"));
        Trained { name, words: words.with_overhead(pieces::added(&tokenizer)), tokenizer }
    });
    trained.into()
});

fn arb_length() -> impl Strategy<Value = Length> {
    prop_oneof![
        (20u32..4_000).prop_map(Length::Fixed),
        (20u32..500, 0u32..3_000)
            .prop_map(|(least, more)| { Length::Uniform { least, most: least + more } }),
        (20u32..500).prop_map(|median| Length::Lognormal {
            median,
            sigma_milli: 800,
            bounds: Bounds { least: 20, most: 4_000 },
        }),
    ]
}

fn arb_cache() -> impl Strategy<Value = CacheMode> {
    prop_oneof![
        Just(CacheMode::Cold),
        Just(CacheMode::Replay),
        (1u32..10, 1u32..5, 1u32..=1000).prop_map(|(tokens, groups, share_permille)| {
            CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn prompts_have_the_tokens_asked_for(
        length in arb_length(),
        cache in arb_cache(),
        seed: u64,
        user in 0u32..1_000_000,
    ) {
        for Trained { name, tokenizer, words } in TRAINED.iter() {
            let name_of_workload = "w".parse().unwrap();
            let text = PromptText::Words(words.clone());
            let workload =
                Workload { cache, text, ..Workload::new(name_of_workload, length.clone(), 5.into()) };
            let prompts = Prompts::new(&workload, Seed(seed));
            for number in 0..3 {
                let of = || Seed(seed).request(Phase::Scaling, 3, UserId(user), number);
                let drawn = prompts.draw(&mut of());
                let prompt = String::from_utf8(prompts.slices(&drawn).concat()).unwrap();
                // What tells prompts apart is drawn before their lengths.
                let mut generator = of();
                (0..Words::DISTINCT_MAX).for_each(|_| {
                    generator.next_u64();
                });
                let asked = length.draw(&mut generator);
                let encoded = tokenizer.encode(prompt.as_str(), true).unwrap().len();
                prop_assert_eq!(encoded, asked as usize, "{}: {}", name, prompt);
            }
        }
    }
}

#[test]
fn a_tokenizer_adds_what_its_file_says() {
    let added: Vec<(&str, u32)> =
        TRAINED.iter().map(|trained| (trained.name, trained.words.overhead())).collect();
    let expected = [("gpt", 0), ("llama 3", 1), ("llama 2", 0), ("bert", 2), ("unigram", 0)];
    assert_eq!(added, expected);
}

#[test]
fn a_word_that_is_not_known_is_no_word() {
    let vocabulary = ["[UNK]".to_owned(), "network".to_owned(), "A".to_owned()];
    let vocabulary = vocabulary.into_iter().zip(0..).collect();
    let model = WordLevel::builder().vocab(vocabulary).unk_token("[UNK]".to_owned()).build();
    let mut tokenizer = Tokenizer::new(ModelWrapper::WordLevel(model.unwrap()));
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(None::<PostProcessorWrapper>);
    assert_eq!(pieces::calibrate(&tokenizer), Err(pieces::TooFew { found: 1 }));
}

#[test]
fn files_that_are_no_use_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, content: Option<&str>| {
        let path = folder.path().join(name);
        content.into_iter().for_each(|content| std::fs::write(&path, content).unwrap());
        words(&path).unwrap_err().to_string()
    };
    insta::assert_snapshot!(refused("none.json", None), @"cannot be read: No such file or directory (os error 2)");
    insta::assert_snapshot!(refused("page.json", Some("<html>")), @"not a tokenizer.json of Hugging Face: expected value at line 1 column 1");
    insta::assert_snapshot!(refused("other.json", Some("{}")), @"not a tokenizer.json of Hugging Face: Model missing. at line 1 column 2");
    let few = r#"{ "version": "1.0", "added_tokens": [], "model": { "type": "WordLevel",
        "vocab": { "A": 0, "network": 1 }, "unk_token": "A" },
        "pre_tokenizer": { "type": "Whitespace" } }"#;
    insta::assert_snapshot!(refused("few.json", Some(few)), @r#"1 of its words are one token each wherever they stand, and 128 are needed to tell prompts apart; leave tokenizer out, so that the target itself is asked for the lengths of prompts (lengths = "measured")"#);
}
