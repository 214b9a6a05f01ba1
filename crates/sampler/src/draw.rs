//! One completion while it is being drawn.

use flow_kernels::{Choice, Pick};

use crate::Error;
use crate::engine::Engine;
use crate::pages::Sequence;
use crate::request::{Completion, FinishReason, Request};
use crate::text::Watch;

/// A draw: the tokens so far, and the answer once it has ended.
pub(crate) struct Draw<'a> {
    /// Index of the request among those of the run.
    pub(crate) index: usize,
    /// The prompt and all tokens but the last are in the cache here; until it is started, the prompt's.
    pub(crate) sequence: Sequence,
    pub(crate) answer: Option<Result<Completion, Error>>,
    pub(crate) request: &'a Request,
    /// Positions that its sequence may come to have.
    pub(crate) positions: usize,
    prompt_tokens: usize,
    last_prompt_token: u32,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    /// Tokens the completion is to begin with.
    forced: Vec<u32>,
    /// Tokens of prompt and completion, each once; empty when nothing asks for them.
    seen: Vec<u32>,
    watch: Watch,
}

impl<'a> Draw<'a> {
    /// A draw that continues `prompt` and begins with the tokens `forced`.
    pub(crate) fn new(
        index: usize,
        request: &'a Request,
        prompt: &[u32],
        forced: Vec<u32>,
        sequence: Sequence,
    ) -> Self {
        let mut seen = Vec::new();
        if request.params.repetition_penalty != 1.0 {
            seen.extend_from_slice(prompt);
            seen.sort_unstable();
            seen.dedup();
        }
        Self {
            index,
            sequence,
            answer: None,
            request,
            positions: 0,
            prompt_tokens: prompt.len(),
            last_prompt_token: prompt.last().copied().unwrap_or_default(),
            tokens: Vec::new(),
            logprobs: Vec::new(),
            forced,
            seen,
            watch: Watch::default(),
        }
    }

    /// The token to read next and its position, for a draw that goes on.
    pub(crate) fn next(&self) -> Option<(u32, usize)> {
        self.tokens.last().map(|&token| (token, self.prompt_tokens + self.tokens.len() - 1))
    }

    /// How its next token is chosen. The random number is that of the token's place in the completion.
    pub(crate) fn pick(&self) -> Pick<'_> {
        let place = self.tokens.len();
        Pick {
            rules: self.request.params.rules(),
            seen: &self.seen,
            forced: self.forced.get(place).copied(),
            stream: self.request.stream,
            place: place as u32,
        }
    }

    /// Takes the token that was chosen; there is none where the model's scores are not finite.
    pub(crate) fn advance(&mut self, engine: &Engine, choice: Option<Choice>) {
        let Some(choice) = choice else {
            self.answer =
                Some(Err(Error::NotFinite { position: self.prompt_tokens + self.tokens.len() - 1 }));
            return;
        };
        if self.request.params.repetition_penalty != 1.0 && !self.seen.contains(&choice.token) {
            self.seen.push(choice.token);
        }
        self.tokens.push(choice.token);
        self.logprobs.push(choice.logprob);
        self.answer = self.end(engine, choice.token).transpose();
    }

    /// The completion, if its last `token` ends it.
    fn end(&mut self, engine: &Engine, token: u32) -> Result<Option<Completion>, Error> {
        let (decoder, params) = (&engine.decoder, &self.request.params);
        if engine.ends.contains(&token) {
            let before = &self.tokens[..self.tokens.len() - 1];
            let text = decoder.text(self.last_prompt_token, before)?;
            return Ok(Some(self.complete(text, FinishReason::Stop)));
        }
        if let Some(text) = self.watch.cut(decoder, &params.stop, self.last_prompt_token, &self.tokens)? {
            return Ok(Some(self.complete(text, FinishReason::Stop)));
        }
        let room = engine.context() - self.prompt_tokens;
        if self.tokens.len() < params.max_tokens.min(room) {
            return Ok(None);
        }
        let text = decoder.text(self.last_prompt_token, &self.tokens)?;
        Ok(Some(self.complete(text, FinishReason::Length)))
    }

    fn complete(&mut self, text: String, finish_reason: FinishReason) -> Completion {
        Completion {
            text,
            completion_tokens: self.tokens.len(),
            tokens: std::mem::take(&mut self.tokens),
            logprobs: std::mem::take(&mut self.logprobs),
            finish_reason,
            prompt_tokens: self.prompt_tokens,
        }
    }
}
