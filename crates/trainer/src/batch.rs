//! From prompts with completions to flat batches of tokens.
//!
//! A batch has no rows and no padding: its documents lie one after another, attention stays inside each, and only
//! completion tokens count in the loss.

use std::ops::Range;
use std::sync::Arc;

use flow_model::Checkpoint;

use crate::{Error, TrainConfig};

/// One document to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What is given; not learned.
    pub prompt: String,
    /// What is learned, followed by the end token where the model has one.
    pub completion: String,
}

/// The tokens of an example.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    tokens: Vec<u32>,
    /// The first token that counts in the loss; at least 1, since nothing predicts the first.
    scored_from: usize,
    /// Whether tokens were cut off.
    pub(crate) truncated: bool,
}

impl Document {
    /// Encodes prompt and completion apart, so that the prompt has the tokens it has in sampling, then the end token.
    pub(crate) fn encode(start: &Checkpoint, config: &TrainConfig, example: &Example) -> Result<Self, Error> {
        let max_length = config.max_length;
        let mut tokens = match config.rendered {
            true => start.tokenizer.encode_continuation(&example.prompt)?,
            false => start.tokenizer.encode(&example.prompt)?,
        };
        let scored_from = tokens.len().max(1);
        tokens.extend(start.tokenizer.encode_continuation(&example.completion)?);
        tokens.extend(start.config.eos_token_ids.first());
        let truncated = tokens.len() > max_length;
        tokens.truncate(max_length);
        Ok(Self { tokens, scored_from, truncated })
    }

    /// All tokens given, all but the first scored.
    #[cfg(test)]
    pub(crate) fn whole(tokens: &[u32]) -> Self {
        Self { tokens: tokens.to_vec(), scored_from: 1, truncated: false }
    }

    /// Tokens that count in the loss.
    pub(crate) fn n_scored(&self) -> usize {
        self.tokens.len().saturating_sub(self.scored_from)
    }

    /// Tokens the model computes: all but the last, which is only predicted.
    pub(crate) fn n_inputs(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }

    fn inputs(&self) -> &[u32] {
        &self.tokens[..self.n_inputs()]
    }
}

/// Documents laid one after another.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Token ids (N).
    pub(crate) inputs: Vec<u32>,
    /// Rows of each document.
    pub(crate) documents: Arc<[Range<usize>]>,
    /// Rows whose next token counts in the loss (M).
    pub(crate) scored: Vec<u32>,
    /// The next tokens of those rows (M).
    pub(crate) targets: Arc<[u32]>,
}

impl Batch {
    /// Lays `documents` out in order.
    pub(crate) fn new<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Self {
        let (mut inputs, mut ranges, mut scored, mut targets) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for document in documents {
            let start = inputs.len();
            inputs.extend(document.inputs());
            ranges.push(start..inputs.len());
            for (position, target) in document.tokens.iter().enumerate().skip(document.scored_from) {
                scored.push((start + position - 1) as u32);
                targets.push(*target);
            }
        }
        Self { inputs, documents: ranges.into(), scored, targets: targets.into() }
    }
}

/// Deals documents into `slices` of similar numbers of tokens: longest first, each to the slice with the fewest tokens.
/// Empty slices are left out.
pub(crate) fn slices(documents: &[&Document], slices: usize) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(documents[*i].n_inputs()));
    let mut dealt = vec![(0, Vec::new()); slices];
    for i in order {
        let fewest = dealt.iter_mut().min_by_key(|(tokens, _)| *tokens).expect("there is at least one slice");
        fewest.0 += documents[i].n_inputs();
        fewest.1.push(documents[i]);
    }
    let filled = dealt.into_iter().filter(|(_, documents)| !documents.is_empty());
    filled.map(|(_, documents)| Batch::new(documents)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(tokens: &[u32], scored_from: usize) -> Document {
        Document { tokens: tokens.to_vec(), scored_from, truncated: false }
    }

    #[test]
    fn only_completion_tokens_are_targets() {
        let batch = Batch::new(&[document(&[1, 2, 3, 4], 2), document(&[5, 6], 1)]);
        assert_eq!(batch.inputs, [1, 2, 3, 5]);
        assert_eq!(batch.documents[..], [0..3, 3..4]);
        assert_eq!(batch.scored, [1, 2, 3]);
        assert_eq!(batch.targets[..], [3, 4, 6]);
    }

    #[test]
    fn slices_hold_every_document_once_and_are_even() {
        let documents: Vec<_> = [9, 2, 2, 5, 4, 3, 3, 2].map(|n| document(&vec![7; n], 1)).into();
        let dealt = slices(&documents.iter().collect::<Vec<_>>(), 3);
        let tokens: Vec<usize> = dealt.iter().map(|batch| batch.inputs.len()).collect();
        assert_eq!(tokens.iter().sum::<usize>(), 22);
        assert_eq!(dealt.iter().map(|batch| batch.documents.len()).sum::<usize>(), 8);
        assert!(tokens.iter().all(|n| (6..=8).contains(n)), "{tokens:?}");
        assert_eq!(slices(&[&documents[0]], 3).len(), 1);
    }
}
