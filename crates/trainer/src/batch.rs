//! From prompts with completions to flat batches of tokens.
//!
//! A batch has no rows and no padding: its documents lie one after another, attention stays inside each, and only
//! completion tokens count in the loss.

use std::ops::Range;
use std::sync::Arc;

use flow_model::Checkpoint;

use crate::loss::Scored;
use crate::ops::attention::Documents;
use crate::{Error, Loss, TrainConfig};

/// One document to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What is given; not learned.
    pub prompt: String,
    /// What is learned, followed by the end token where the model has one.
    pub completion: String,
    /// What the example counts, 0 or more; one that counts 0 is left out.
    pub weight: f64,
    /// A completion of the same prompt that is worse, for [`crate::Loss::Dpo`].
    pub rejected: Option<String>,
    /// Groups that its tokens are counted in where the use of experts is told, counted from 0, each once; most have none. No influence on
    /// what is learned.
    pub groups: Arc<[u32]>,
}

impl Example {
    /// A completion to learn, which counts 1.
    pub fn new(prompt: impl Into<String>, completion: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            completion: completion.into(),
            weight: 1.0,
            rejected: None,
            groups: Arc::default(),
        }
    }
}

/// The documents of an example, which stay together.
#[derive(Clone, Debug)]
pub(crate) struct Lesson {
    completion: Document,
    rejected: Option<Document>,
    weight: f64,
    /// By how much the start prefers the completion, nats; 0 until it is known.
    pub(crate) reference: f64,
    /// Those of the example.
    groups: Arc<[u32]>,
}

impl Lesson {
    /// Encodes an example.
    pub(crate) fn encode(start: &Checkpoint, config: &TrainConfig, example: &Example) -> Result<Self, Error> {
        let document = |text: &String| Document::encode(start, config, &example.prompt, text);
        let completion = document(&example.completion)?;
        let rejected = example.rejected.as_ref().map(document).transpose()?;
        let groups = example.groups.clone();
        Ok(Self { completion, rejected, weight: example.weight, reference: 0.0, groups })
    }

    fn documents(&self) -> impl Iterator<Item = &Document> {
        std::iter::once(&self.completion).chain(&self.rejected)
    }

    /// Whether there is something to learn: a token of each completion, and a weight.
    pub(crate) fn teaches(&self) -> bool {
        self.weight > 0.0 && self.documents().all(|document| document.n_scored() > 0)
    }

    /// Whether tokens were cut off.
    pub(crate) fn is_truncated(&self) -> bool {
        self.documents().any(|document| document.truncated)
    }

    /// Tokens that count in the loss.
    pub(crate) fn n_scored(&self) -> usize {
        self.documents().map(Document::n_scored).sum()
    }

    /// Tokens the model computes.
    pub(crate) fn n_inputs(&self) -> usize {
        self.documents().map(Document::n_inputs).sum()
    }

    /// What it counts in the sum that `loss` is divided by.
    pub(crate) fn share(&self, loss: Loss) -> f64 {
        loss.share(self.weight, self.completion.n_scored())
    }

    /// All tokens given, all but the first scored.
    #[cfg(test)]
    pub(crate) fn whole(tokens: &[u32]) -> Self {
        let completion = Document { tokens: tokens.to_vec(), scored_from: 1, truncated: false };
        Self { completion, rejected: None, weight: 1.0, reference: 0.0, groups: Arc::default() }
    }
}

/// The tokens of an example.
#[derive(Clone, Debug)]
struct Document {
    tokens: Vec<u32>,
    /// The first token that counts in the loss; at least 1, since nothing predicts the first.
    scored_from: usize,
    /// Whether tokens were cut off.
    truncated: bool,
}

impl Document {
    /// Encodes prompt and completion apart, so that the prompt has the tokens it has in sampling, then the end token.
    fn encode(
        start: &Checkpoint,
        config: &TrainConfig,
        prompt: &str,
        completion: &str,
    ) -> Result<Self, Error> {
        let max_length = config.max_length;
        let mut tokens = match config.rendered {
            true => start.tokenizer.encode_continuation(prompt)?,
            false => start.tokenizer.encode(prompt)?,
        };
        let scored_from = tokens.len().max(1);
        tokens.extend(start.tokenizer.encode_continuation(completion)?);
        tokens.extend(start.config.eos_token_ids.first());
        let truncated = tokens.len() > max_length;
        tokens.truncate(max_length);
        Ok(Self { tokens, scored_from, truncated })
    }

    /// Tokens that count in the loss.
    fn n_scored(&self) -> usize {
        self.tokens.len().saturating_sub(self.scored_from)
    }

    /// Tokens the model computes: all but the last, which is only predicted.
    fn n_inputs(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }

    fn inputs(&self) -> &[u32] {
        &self.tokens[..self.n_inputs()]
    }
}

/// Rows, and the groups that all of them are in.
pub(crate) type Grouped = Arc<[(Range<usize>, Arc<[u32]>)]>;

/// Documents laid one after another.
#[derive(Default)]
pub(crate) struct Batch {
    /// Token ids (N).
    pub(crate) inputs: Vec<u32>,
    /// Rows of each document.
    pub(crate) documents: Arc<Documents>,
    /// Rows whose next token counts in the loss (M).
    pub(crate) scored: Vec<u32>,
    /// The next tokens of those rows (M).
    pub(crate) targets: Arc<[u32]>,
    /// Which of them belong to which example.
    pub(crate) examples: Vec<Scored>,
    /// Rows of the examples that are in groups, and the groups.
    pub(crate) groups: Grouped,
}

impl Batch {
    /// One document of which nothing is scored.
    pub(crate) fn document(tokens: &[u32]) -> Self {
        let whole = std::iter::once(0..tokens.len());
        Self {
            inputs: tokens.to_vec(),
            documents: Arc::new(whole.collect::<Vec<_>>().into()),
            ..Self::default()
        }
    }

    /// Lays the documents of `lessons` out in order.
    pub(crate) fn new<'a>(lessons: impl IntoIterator<Item = &'a Lesson>) -> Self {
        let mut layout = Layout::default();
        let (mut examples, mut groups) = (Vec::new(), Vec::new());
        for lesson in lessons {
            let first = layout.inputs.len();
            let completion = layout.add(&lesson.completion);
            let rejected = lesson.rejected.as_ref().map_or(0..0, |document| layout.add(document));
            examples.push(Scored {
                completion,
                rejected,
                weight: lesson.weight,
                reference: lesson.reference,
            });
            if !lesson.groups.is_empty() {
                groups.push((first..layout.inputs.len(), lesson.groups.clone()));
            }
        }
        let Layout { inputs, documents, scored, targets } = layout;
        let (documents, targets) = (Arc::new(documents.into()), targets.into());
        Self { inputs, documents, scored, targets, examples, groups: groups.into() }
    }
}

/// A batch under way.
#[derive(Default)]
struct Layout {
    inputs: Vec<u32>,
    documents: Vec<Range<usize>>,
    scored: Vec<u32>,
    targets: Vec<u32>,
}

impl Layout {
    /// Adds a document; its scored rows among all that are scored.
    fn add(&mut self, document: &Document) -> Range<usize> {
        let (start, first) = (self.inputs.len(), self.scored.len());
        self.inputs.extend(document.inputs());
        self.documents.push(start..self.inputs.len());
        for (position, target) in document.tokens.iter().enumerate().skip(document.scored_from) {
            self.scored.push((start + position - 1) as u32);
            self.targets.push(*target);
        }
        first..self.scored.len()
    }
}

/// Deals lessons into `slices` of similar numbers of tokens: longest first, each to the slice with the fewest tokens.
/// Empty slices are left out.
pub(crate) fn slices(lessons: &[&Lesson], slices: usize) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..lessons.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(lessons[*i].n_inputs()));
    let mut dealt = vec![(0, Vec::new()); slices];
    for i in order {
        let fewest = dealt.iter_mut().min_by_key(|(tokens, _)| *tokens).expect("there is at least one slice");
        fewest.0 += lessons[i].n_inputs();
        fewest.1.push(lessons[i]);
    }
    let filled = dealt.into_iter().filter(|(_, lessons)| !lessons.is_empty());
    filled.map(|(_, lessons)| Batch::new(lessons)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(tokens: &[u32], scored_from: usize) -> Lesson {
        let completion = Document { tokens: tokens.to_vec(), scored_from, truncated: false };
        Lesson { completion, ..Lesson::whole(&[]) }
    }

    #[test]
    fn a_pair_lies_together() {
        let rejected = document(&[1, 2, 9], 2).completion;
        let pair = Lesson { rejected: Some(rejected), weight: 0.5, ..document(&[1, 2, 3, 4], 2) };
        let batch = Batch::new([&document(&[5, 6], 1), &pair]);
        assert_eq!((&batch.scored[..], &batch.targets[..]), (&[0, 2, 3, 5][..], &[6, 3, 4, 9][..]));
        assert_eq!(batch.examples[0].rejected, 0..0);
        let expected = Scored { completion: 1..3, rejected: 3..4, weight: 0.5, reference: 0.0 };
        assert_eq!(batch.examples[1], expected);
        assert_eq!((pair.n_inputs(), pair.n_scored(), pair.share(Loss::CrossEntropy)), (5, 3, 1.0));
        assert!(pair.teaches() && !Lesson { weight: 0.0, ..pair }.teaches());
    }

    #[test]
    fn only_completion_tokens_are_targets() {
        let batch = Batch::new(&[document(&[1, 2, 3, 4], 2), document(&[5, 6], 1)]);
        assert_eq!(batch.inputs, [1, 2, 3, 5]);
        assert_eq!(*batch.documents.ranges(), [0..3, 3..4]);
        assert_eq!(batch.scored, [1, 2, 3]);
        assert_eq!(batch.targets[..], [3, 4, 6]);
    }

    #[test]
    fn slices_hold_every_document_once_and_are_even() {
        let documents: Vec<_> = [9, 2, 2, 5, 4, 3, 3, 2].map(|n| document(&vec![7; n], 1)).into();
        let dealt = slices(&documents.iter().collect::<Vec<_>>(), 3);
        let tokens: Vec<usize> = dealt.iter().map(|batch| batch.inputs.len()).collect();
        assert_eq!(tokens.iter().sum::<usize>(), 22);
        assert_eq!(dealt.iter().map(|batch| batch.documents.ranges().len()).sum::<usize>(), 8);
        assert!(tokens.iter().all(|n| (6..=8).contains(n)), "{tokens:?}");
        assert_eq!(slices(&[&documents[0]], 3).len(), 1);
    }
}
