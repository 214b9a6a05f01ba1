//! Where a model is served, and how it is asked.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::Secret;

/// A served model.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base addresses that serve the same model, such as `http://host:8000/v1`; at least one.
    pub endpoints: Vec<String>,
    /// The name that the servers know the model by.
    pub model: String,
    /// Which of the two ways of asking.
    pub api: Api,
    /// Whose spelling of parameters beyond OpenAI's own.
    pub dialect: Dialect,
    /// Sent as a bearer token.
    pub key: Option<Secret>,
    /// A message of the role `system` before each prompt; chat only.
    pub system: Option<String>,
    /// Whether the log-probability of each token is asked for.
    pub logprobs: bool,
    /// Further members of every request's body.
    pub extra_body: Map<String, Json>,
    /// How long one request may take, queueing at the server included.
    pub timeout: Duration,
    /// Most requests under way at one endpoint, at least 1.
    pub max_concurrency: usize,
    /// How often a draw is asked for before it is given up, at least 1. While no endpoint answers at all, what finds no server,
    /// no time or no room there does not count.
    pub max_attempts: u32,
    /// Delay before the second attempt; it doubles with each further one, up to 60 times as long.
    pub first_delay: Duration,
    /// How long no endpoint may answer anything before everything is given up.
    pub patience: Duration,
    /// Most draws of one prompt in one request, at least 1.
    pub draws_per_request: usize,
}

impl Settings {
    /// One endpoint that is asked for plain completions of `model`, with usual limits.
    pub fn new(endpoint: &str, model: &str) -> Self {
        Self {
            endpoints: vec![endpoint.to_owned()],
            model: model.to_owned(),
            api: Api::default(),
            dialect: Dialect::default(),
            key: None,
            system: None,
            logprobs: false,
            extra_body: Map::new(),
            timeout: Duration::from_secs(600),
            max_concurrency: 128,
            max_attempts: 5,
            first_delay: Duration::from_millis(500),
            patience: Duration::from_secs(300),
            draws_per_request: 1,
        }
    }

    /// Hides the key wherever it occurs in `text`.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| key.redact(text))
    }
}

/// The way of asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Api {
    /// `/completions`: the prompt as it is.
    #[default]
    Completions,
    /// `/chat/completions`: the prompt as a user's message, in the server's chat template.
    Chat,
}

/// Whose spelling of parameters. Servers have defaults of their own for what is not said, often those of the model's
/// `generation_config.json`; so everything a dialect can say is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `top_k` (-1 for all), `min_p`, `repetition_penalty`; SGLang's are the same.
    #[default]
    Vllm,
    /// `top_k` (0 for all), `min_p`, `repeat_penalty`.
    LlamaCpp,
    /// None of them: only what OpenAI's own interface has.
    OpenAi,
}
