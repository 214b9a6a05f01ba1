//! How probable given texts are under a model: the log-probability of each of their tokens.
//!
//! A text is read in pieces of its own, so its numbers are those it has alone, on any number of threads; and those that a
//! draw of it carries.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flow_kernels::{Rules, Selector};

use crate::Error;
use crate::engine::Engine;
use crate::forward::{Forward, Row};
use crate::request::Prompt;

/// Tokens of a text that are read at once.
pub(crate) const SCORE_ROWS: usize = 64;

/// A text to score.
#[derive(Clone, Debug)]
pub struct Given {
    /// What stands before it and is not scored; may be empty, then neither is the text's first token.
    pub prompt: Prompt,
    /// The text, encoded as what follows the prompt. As text it ends with the model's end-of-text token, where it has one; as token
    /// ids it is taken as it is.
    pub text: Prompt,
}

/// How probable a text is.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Natural logarithm of the probability of each scored token after all before it; never empty.
    pub logprobs: Vec<f32>,
    /// Tokens before the first scored one.
    pub prompt_tokens: usize,
}

/// Takes the score of the text of an index; called by worker threads.
pub type ScoreSink<'a> = dyn Fn(usize, Result<Score, Error>) + Sync + 'a;

impl Engine {
    /// Scores each of `texts` on `threads` threads (at least one), and hands each score to `sink` with the text's index.
    /// Blocks until all are scored, or soon after `cancel` becomes true; the rest is not answered. A score is a function of the
    /// model and its own text, to the bit.
    pub fn score(&self, texts: &[Given], threads: usize, cancel: &AtomicBool, sink: &ScoreSink<'_>) {
        let next = &AtomicUsize::new(0);
        let work = || {
            let mut scorer =
                Scorer { engine: self, forward: Forward::new(&self.weights), selector: Selector::default() };
            while !cancel.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(given) = texts.get(at) else { break };
                sink(at, scorer.score(given));
            }
        };
        std::thread::scope(|scope| {
            (1..threads.min(texts.len())).for_each(|_| drop(scope.spawn(work)));
            work();
        });
    }
}

/// What one thread owns.
struct Scorer<'a> {
    engine: &'a Engine,
    forward: Forward<'a>,
    selector: Selector,
}

impl Scorer<'_> {
    fn score(&mut self, given: &Given) -> Result<Score, Error> {
        let (tokens, prompt_tokens) = self.tokens(given)?;
        let sequence = self.forward.cache.pages.open();
        let (read, span) = (tokens.len() - 1, tokens.len());
        let row = |position: usize| Row {
            sequence,
            position,
            token: tokens[position],
            span,
            routing: None,
            wanted: position + 1 >= prompt_tokens,
        };
        let rows: Vec<Row> = (0..read).map(row).collect();
        let mut logprobs = Vec::with_capacity(span - prompt_tokens);
        for rows in rows.chunks(SCORE_ROWS) {
            self.read(rows, &tokens, &mut logprobs);
        }
        self.forward.cache.pages.close(sequence);
        match logprobs.len() {
            found if found == span - prompt_tokens => Ok(Score { logprobs, prompt_tokens }),
            found => Err(Error::NotFinite { position: prompt_tokens - 1 + found }),
        }
    }

    /// Adds the log-probabilities of the tokens that follow the wanted ones of `rows`, up to one that is not a number.
    fn read(&mut self, rows: &[Row], tokens: &[u32], logprobs: &mut Vec<f32>) {
        let Self { engine, forward, selector } = self;
        let wanted = rows.iter().filter(|row| row.wanted);
        let scores = forward.scores(rows).chunks_exact(engine.weights.head.outputs());
        let choose = |(row, scores): (&Row, &[f32])| {
            let next = Some(tokens[row.position + 1]);
            Some(selector.choose(&scores[..engine.weights.vocab], &Rules::default(), &[], next, 0.0)?.logprob)
        };
        logprobs.extend(wanted.zip(scores).map_while(choose));
    }

    /// All tokens, and how many of them are not scored: at least the first, which nothing predicts.
    fn tokens(&self, given: &Given) -> Result<(Vec<u32>, usize), Error> {
        let decoder = &self.engine.decoder;
        let mut tokens = decoder.encode(&given.prompt)?;
        let prompt_tokens = tokens.len().max(1);
        tokens.extend(decoder.encode_continuation(&given.text)?);
        if !matches!(given.text, Prompt::Tokens(_)) {
            tokens.extend(self.engine.ends.first());
        }
        self.engine.check(&tokens, self.engine.context())?;
        if tokens.len() == prompt_tokens { Err(Error::NothingToScore) } else { Ok((tokens, prompt_tokens)) }
    }
}
