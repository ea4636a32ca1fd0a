//! Embeddings: one vector, in one piece.

use serde_json::json;

use super::Facts;

/// The reply to one request.
#[derive(Debug)]
pub(in crate::sim) struct Embeddings {
    number: u64,
    model: String,
    prompt_tokens: u64,
}

/// Numbers in a vector: few, since nobody looks at them.
const DIMENSIONS: u64 = 16;

impl Embeddings {
    pub(super) fn new(facts: Facts<'_>) -> Self {
        let Facts { sequence, model, created_s: _, prompt_tokens } = facts;
        Self { number: sequence.0, model: model.to_owned(), prompt_tokens }
    }

    /// As many vectors as were made: one, or none.
    pub(super) fn whole(&self, vectors: u32, usage: bool) -> Vec<u8> {
        let number = |place: u64| (self.number.wrapping_add(place) % 256) as f64 / 256.0;
        let vector: Vec<f64> = (0..DIMENSIONS).map(number).collect();
        let data: Vec<_> = (0..vectors)
            .map(|index| json!({"object": "embedding", "index": index, "embedding": vector}))
            .collect();
        let mut body = json!({"object": "list", "data": data, "model": self.model});
        if usage && let Some(fields) = body.as_object_mut() {
            let prompt = self.prompt_tokens;
            let usage = json!({"prompt_tokens": prompt, "total_tokens": prompt});
            fields.insert("usage".to_owned(), usage);
        }
        body.to_string().into_bytes()
    }
}
