//! Words of a tokenizer that are one token each, wherever they stand: what prompts of an exact
//! length are made of. They are found by encoding, not by looking at the vocabulary, so whatever a
//! tokenizer does to a text before it cuts it is in the count.

use std::collections::BTreeSet;

use common::seed::Generator;
use common::text::{PASSAGE, Words};
use tokenizers::Tokenizer;

/// Letters of a word that tells prompts apart.
const LETTERS: std::ops::RangeInclusive<usize> = 2..=10;
/// Words that are encoded as one text.
const SEQUENCE: usize = 128;
/// How often all words, each time in another order, must come out as one token each.
const CLEAN_ROUNDS: usize = 4;
/// Different words of the passage, at least; below it prompts are filled with other words.
const TEXT_WORDS_MIN: usize = 16;
/// Other words that they are then filled with.
const TEXT_WORDS: usize = 120;

/// A tokenizer has too few words of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooFew {
    /// Those that it has.
    pub(super) found: usize,
}

/// The words of a tokenizer.
pub(super) fn calibrate(tokenizer: &Tokenizer) -> Result<Words, TooFew> {
    let reader = Reader { tokenizer };
    let candidates = candidates(tokenizer);
    let passage: Vec<&str> = PASSAGE
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| (1..=Words::BYTES_MAX).contains(&word.len()))
        .collect();
    let mut first = passage.iter().copied().chain(candidates.iter().map(String::as_str));
    let (opening, opening_id) = first
        .find_map(|word| reader.opening(word).map(|id| (word, id)))
        .ok_or(TooFew { found: 0 })?;
    let reader = Opened { reader, opening, opening_id };
    let of_passage: BTreeSet<&str> = passage.iter().copied().collect();
    let of_passage = of_passage.into_iter().filter_map(|word| reader.piece(word, 0));
    let of_pool = (1..).zip(&candidates).filter_map(|(place, word)| reader.piece(word, place));
    let mut pieces: Vec<Piece<'_>> = of_passage.collect();
    pieces.extend(of_pool.take(Words::POOL_MAX));
    reader.settle(&mut pieces);
    pieces.sort_unstable_by_key(|piece| piece.place);
    let pool: Vec<&str> = pieces.iter().filter(|p| p.place > 0).map(|p| p.word).collect();
    let known: BTreeSet<&str> = pieces.iter().map(|piece| piece.word).collect();
    let text: Vec<&str> = passage.into_iter().filter(|word| known.contains(word)).collect();
    let varied = text.iter().collect::<BTreeSet<_>>().len() >= TEXT_WORDS_MIN;
    let text = if varied { &text } else { pool.get(..TEXT_WORDS).unwrap_or_default() };
    Words::new(opening, &pool.join(" "), &text.join(" "), 0)
        .map_err(|_| TooFew { found: pool.len() })
}

/// What a tokenizer adds to every text that is encoded as it stands, in tokens.
pub(super) fn added(tokenizer: &Tokenizer) -> u32 {
    let count = |special| tokenizer.encode_fast("A", special).map_or(0, |encoded| encoded.len());
    u32::try_from(count(true).saturating_sub(count(false))).unwrap_or(0)
}

/// Words of the vocabulary, those of the lowest numbers first: of most tokenizers the commonest.
fn candidates(tokenizer: &Tokenizer) -> Vec<String> {
    let mut vocabulary: Vec<(u32, String)> =
        tokenizer.get_vocab(false).into_iter().map(|(token, id)| (id, token)).collect();
    vocabulary.sort_unstable();
    let mut seen = BTreeSet::new();
    let words = vocabulary.iter().map(|(_, token)| bare(token));
    let words = words.filter(|word| {
        LETTERS.contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase())
    });
    words.filter(|word| seen.insert(*word)).map(str::to_owned).collect()
}

/// A token without what stands for the space before it.
fn bare(token: &str) -> &str {
    token.trim_start_matches(['Ġ', '▁', ' '])
}

/// A word that is one token.
struct Piece<'a> {
    word: &'a str,
    id: u32,
    /// Among the candidates from 1; 0 for one that only fills.
    place: usize,
}

struct Reader<'a> {
    tokenizer: &'a Tokenizer,
}

impl Reader<'_> {
    fn ids(&self, text: &str) -> Vec<u32> {
        let encoded = self.tokenizer.encode_fast(text, false);
        encoded.map_or_else(|_| Vec::new(), |encoded| encoded.get_ids().to_vec())
    }

    /// Whether a token is that word: one that stands for whatever is unknown is not.
    fn is(&self, id: u32, word: &str) -> bool {
        let token = self.tokenizer.id_to_token(id);
        token.is_some_and(|token| bare(&token).eq_ignore_ascii_case(word))
    }

    /// A word that is one token where nothing stands before it.
    fn opening(&self, word: &str) -> Option<u32> {
        match self.ids(word).as_slice() {
            [id] if self.is(*id, word) => Some(*id),
            _ => None,
        }
    }
}

struct Opened<'a> {
    reader: Reader<'a>,
    opening: &'a str,
    opening_id: u32,
}

impl Opened<'_> {
    fn piece<'w>(&self, word: &'w str, place: usize) -> Option<Piece<'w>> {
        let text = format!("{} {word} {word}", self.opening);
        match self.reader.ids(&text).as_slice() {
            [opening, id, again] if *opening == self.opening_id && id == again => {
                self.reader.is(*id, word).then_some(Piece { word, id: *id, place })
            }
            _ => None,
        }
    }

    /// Drops pieces that are not one token in the company of others, until all are.
    fn settle(&self, pieces: &mut Vec<Piece<'_>>) {
        let mut generator = Generator::new(0);
        let mut clean = 0;
        while clean < CLEAN_ROUNDS && !pieces.is_empty() {
            pieces.sort_by_cached_key(|_| generator.next_u64());
            let bad: BTreeSet<&str> =
                pieces.chunks(SEQUENCE).filter_map(|sequence| self.first_bad(sequence)).collect();
            let bad: BTreeSet<String> = bad.into_iter().map(str::to_owned).collect();
            clean = if bad.is_empty() { clean + 1 } else { 0 };
            pieces.retain(|piece| !bad.contains(piece.word));
        }
    }

    /// The first piece of a sequence that is not the token that it is by itself.
    fn first_bad<'w>(&self, sequence: &[Piece<'w>]) -> Option<&'w str> {
        let mut text = self.opening.to_owned();
        sequence.iter().for_each(|piece| text.extend([" ", piece.word]));
        let ids = self.reader.ids(&text);
        let mut found = ids.iter();
        if found.next() != Some(&self.opening_id) {
            return sequence.first().map(|piece| piece.word);
        }
        let bad = sequence.iter().find(|piece| found.next() != Some(&piece.id));
        bad.or_else(|| sequence.last().filter(|_| found.next().is_some())).map(|piece| piece.word)
    }
}
