//! What is asked of the engine, and what it answers.

use flow_kernels::{Routing, Rules, Stream};

use crate::Error;

/// One completion to draw.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the completion continues.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub params: Params,
    /// Names the random numbers: equal requests with equal streams give equal completions, always.
    pub stream: Stream,
}

/// The text a completion continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Encoded by the checkpoint's tokenizer as the beginning of a sequence.
    Text(String),
    /// Encoded as it stands: it has its own special tokens, as what a chat template writes.
    Rendered(String),
    /// Used as it is.
    Tokens(Vec<u32>),
}

/// How tokens are chosen. The steps are those of vLLM and `transformers`, in this order: scores are changed by
/// `repetition_penalty`, divided by `temperature`, then `top_k`, then `top_p` over what is left (renormalised), then
/// `min_p`, then a draw from what is left in proportion.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// 0 chooses the most probable token (the lowest id of equals); default 1.
    pub temperature: f64,
    /// Keeps the fewest most probable tokens whose probabilities reach this sum; above 0 to 1, default 1 (all).
    pub top_p: f64,
    /// Keeps this many most probable tokens, and all that equal the last of them; default 0 (all).
    pub top_k: usize,
    /// Keeps tokens at least this fraction as probable as the most probable one; 0 to 1, default 0 (all).
    pub min_p: f64,
    /// Most tokens drawn; at least 1, default 256. The model's context may end a completion earlier.
    pub max_tokens: usize,
    /// Texts that end a completion and are cut from it with all that follows; empty ones are ignored.
    pub stop: Vec<String>,
    /// Scores of tokens that the prompt or the completion already has are divided by this where they are positive and
    /// multiplied where negative; more than 0, default 1 (arXiv 1909.05858).
    pub repetition_penalty: f64,
    /// What the completion is to begin with, in place of draws: its tokens count as the completion's own, with their
    /// log-probabilities. A completion that is begun with its own first tokens goes on as it did. Default nothing.
    pub prefix: Option<Prompt>,
    /// Which experts tokens visit, in place of the model's own choice; a model without experts does not look at it.
    /// Default `None`.
    pub routing: Option<Routing>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            max_tokens: 256,
            stop: Vec::new(),
            repetition_penalty: 1.0,
            prefix: None,
            routing: None,
        }
    }
}

impl Params {
    /// The rules by which one token is chosen.
    pub(crate) fn rules(&self) -> Rules {
        let Self { temperature, top_p, top_k, min_p, repetition_penalty, .. } = *self;
        Rules { temperature, top_k, top_p, min_p, repetition_penalty }
    }

    /// Checks the ranges stated at the fields.
    ///
    /// # Errors
    /// [`Error::Params`] names the first parameter that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |holds: bool, name, value, expected| match holds {
            true => Ok(()),
            false => Err(Error::Params { name, value, expected }),
        };
        let temperature = self.temperature;
        check(temperature.is_finite() && temperature >= 0.0, "temperature", temperature, "0 or more")?;
        check(self.top_p > 0.0 && self.top_p <= 1.0, "top_p", self.top_p, "above 0, at most 1")?;
        check((0.0..=1.0).contains(&self.min_p), "min_p", self.min_p, "0 to 1")?;
        check(self.max_tokens > 0, "max_tokens", self.max_tokens as f64, "at least 1")?;
        let penalty = self.repetition_penalty;
        check(penalty.is_finite() && penalty > 0.0, "repetition_penalty", penalty, "more than 0")?;
        match self.routing {
            Some(Routing::TopK(n) | Routing::Rank(n)) => check(n > 0, "routing", n as f64, "at least 1"),
            Some(Routing::TopP(p)) => check(p > 0.0 && p <= 1.0, "routing", p, "above 0, at most 1"),
            None => Ok(()),
        }
    }
}

/// Why a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The end-of-text token was drawn, or a stop text completed.
    Stop,
    /// `max_tokens` were drawn, or the model's context is full.
    Length,
}

/// What was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The text after the prompt, without special tokens, cut before the stop text.
    pub text: String,
    /// Every token drawn, in order, the end-of-text token and the tokens of a stop text included.
    pub tokens: Vec<u32>,
    /// Natural logarithm of the probability of each of `tokens` under the model's own distribution: temperature 1,
    /// nothing filtered.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens drawn: the length of `tokens`.
    pub completion_tokens: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_out_of_range_are_named() {
        let cases = [
            ("temperature", Params { temperature: -0.1, ..Params::default() }),
            ("temperature", Params { temperature: f64::NAN, ..Params::default() }),
            ("top_p", Params { top_p: 0.0, ..Params::default() }),
            ("top_p", Params { top_p: 1.1, ..Params::default() }),
            ("min_p", Params { min_p: f64::NAN, ..Params::default() }),
            ("max_tokens", Params { max_tokens: 0, ..Params::default() }),
            ("repetition_penalty", Params { repetition_penalty: 0.0, ..Params::default() }),
            ("routing", Params { routing: Some(Routing::Rank(0)), ..Params::default() }),
            ("routing", Params { routing: Some(Routing::TopP(1.5)), ..Params::default() }),
        ];
        for (expected, params) in cases {
            match params.validate() {
                Err(Error::Params { name, .. }) => assert_eq!(name, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
        assert!(Params::default().validate().is_ok());
    }
}
