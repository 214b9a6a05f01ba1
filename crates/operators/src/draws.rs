//! Drawing from a model, as all effects that sample do it: requests, their keys, their answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_data::{Id, IdHasher, Item, Round, Value};
use flow_dataflow::{Failure, Perform, Request};
use flow_sampler::{Completion, FinishReason, Params, Prompt};

use crate::conversation::{Conversation, Manner};
use crate::{Env, Models, Server, StepContext, served};

/// A way of drawing: settings, seed and surroundings.
pub(crate) struct Draws {
    models: Arc<Models>,
    threads: usize,
    params: Params,
    seed: u64,
    manner: Manner,
    /// The operator's: a change of drawing itself raises that of every operator that draws.
    version: u32,
}

/// What a model is asked to continue.
#[derive(Default)]
pub(crate) struct Ask {
    pub(crate) prompt: String,
    /// What the completion is to begin with.
    pub(crate) prefix: Option<String>,
}

impl From<String> for Ask {
    fn from(prompt: String) -> Self {
        Self { prompt, prefix: None }
    }
}

/// What one draw answers: the cells kept in the memo.
pub(crate) struct Draw<'a> {
    /// completion, finish_reason, n_prompt_tokens, n_tokens, logprobs.
    cells: &'a [Value],
}

impl Draws {
    /// Draws of `step` with `params`; `seed` names the family of random streams.
    pub(crate) fn new(step: &StepContext<'_>, env: &Env, params: Params, seed: u64) -> Self {
        let (models, threads) = (env.models.clone(), env.threads);
        Self { models, threads, params, seed, manner: Manner::of(step), version: step.step.version }
    }

    /// The family of random streams.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The `index`-th draw for `item`, which continues what is asked. Streams are told apart by row, round and index. The key is
    /// also the identity of the draw.
    pub(crate) fn request(
        &self,
        item: &Item,
        ask: &Ask,
        model: Option<Id>,
        round: Round,
        index: u32,
    ) -> Request {
        let stream = self.stream(&item.row.id, round, index);
        let mut key = IdHasher::new("draw");
        key.part(&self.version.to_le_bytes());
        key.part(&model.unwrap_or_default().0).part(ask.prompt.as_bytes()).part(&stream.0);
        self.settings(&mut key);
        if let Some(prefix) = &ask.prefix {
            // No stop text, which are parts of the key too, has a byte that is not UTF-8.
            key.part(b"\xffprefix").part(prefix.as_bytes());
        }
        if !self.is_away(model) {
            // How a server is asked is part of its model.
            self.manner.part(&mut key);
            self.manner.part_of_weights(&mut key);
        }
        Request { key: key.finish(), item: item.clone(), model, index }
    }

    /// Adds all settings that decide what is drawn, one by one: a new one must be added here on purpose.
    fn settings(&self, key: &mut IdHasher) {
        let Params {
            temperature,
            top_p,
            top_k,
            min_p,
            max_tokens,
            stop,
            repetition_penalty,
            prefix,
            routing,
        } = &self.params;
        [temperature, top_p, min_p].iter().for_each(|number| {
            key.part(&number.to_bits().to_le_bytes());
        });
        [top_k, max_tokens].iter().for_each(|number| {
            key.part(&(**number as u64).to_le_bytes());
        });
        stop.iter().for_each(|text| {
            key.part(text.as_bytes());
        });
        // Settings that came later are left out where they change nothing: answers that were kept before stay.
        if *repetition_penalty != 1.0 {
            key.part(b"repetition_penalty").part(&repetition_penalty.to_bits().to_le_bytes());
        }
        if prefix.is_some() || routing.is_some() {
            key.part(format!("{prefix:?} {routing:?}").as_bytes());
        }
    }

    fn stream(&self, row: &Id, round: Round, index: u32) -> Id {
        let parts = [&row.0[..], &self.seed.to_le_bytes(), &round.to_le_bytes(), &index.to_le_bytes()];
        Id::of("stream", parts)
    }

    /// Answers `requests`; `ask` and `round` say what they were made with.
    pub(crate) fn perform(
        &self,
        requests: &[Request],
        ask: &dyn Fn(&Request) -> Ask,
        round: &dyn Fn(&Item) -> Round,
        perform: &Perform,
    ) {
        let mut by_model: Vec<usize> = (0..requests.len()).collect();
        by_model.sort_by_key(|at| (requests[*at].model, requests[*at].item.row, requests[*at].index));
        for batch in by_model.chunk_by(|a, b| requests[*a].model == requests[*b].model) {
            let model = requests[batch[0]].model.unwrap_or_default();
            match self.models.server(&model) {
                Some(server) => self.hand_over(&server, requests, batch, ask, round, perform),
                None => self.draw(model, requests, batch, ask, round, perform),
            }
        }
    }

    /// Draws what the requests at `batch` ask of `model`, each answered as soon as it is known. Leaves some unanswered when it is
    /// cancelled.
    fn draw(
        &self,
        model: Id,
        requests: &[Request],
        batch: &[usize],
        ask: &dyn Fn(&Request) -> Ask,
        round: &dyn Fn(&Item) -> Round,
        perform: &Perform,
    ) {
        let ready = self.models.engine(&model, self.manner.weights()).and_then(|engine| {
            let tokenizer = engine.tokenizer().map_err(|error| crate::text::chain(&error))?;
            Ok((self.manner.conversation(tokenizer.chat_template())?, engine))
        });
        let (conversation, engine) = match ready {
            Ok(ready) => ready,
            Err(detail) => {
                let failure = || Failure { reason: "model", detail: detail.clone(), fatal: true };
                return batch.iter().for_each(|at| perform.answer(*at, Err(failure())));
            }
        };
        let (mut drawn, mut places) = (Vec::new(), Vec::new());
        for &at in batch {
            match self.drawn(&requests[at], ask(&requests[at]), conversation.as_ref(), round) {
                Ok(request) => {
                    drawn.push(request);
                    places.push(at);
                }
                Err(detail) => perform.answer(at, Err(Failure { reason: NOT_DRAWN, detail, fatal: false })),
            }
        }
        engine.generate(&drawn, self.threads, perform.cancel_flag(), &|at, completion| {
            perform.answer(places[at], completion.map(cells).map_err(|error| failure(&error)));
        });
    }

    /// Whether draws from the model are a server's.
    pub(crate) fn is_away(&self, model: Option<Id>) -> bool {
        model.is_some_and(|model| self.models.server(&model).is_some())
    }

    /// Asks the server of a model for the draws of the requests at `batch`, and returns. Draws that begin alike go together, and
    /// those of one prompt share its text.
    fn hand_over(
        &self,
        server: &Arc<Server>,
        requests: &[Request],
        batch: &[usize],
        ask: &dyn Fn(&Request) -> Ask,
        round: &dyn Fn(&Item) -> Round,
        perform: &Perform,
    ) {
        let mut by_prefix: BTreeMap<Option<String>, (Vec<flow_server::Draw>, Vec<usize>)> = BTreeMap::new();
        for &at in batch {
            let Request { item, index, .. } = &requests[at];
            let Ask { prompt, prefix } = ask(&requests[at]);
            let (draws, places) = by_prefix.entry(prefix).or_default();
            let prompt: Arc<str> = match draws.last() {
                Some(last) if *last.prompt == *prompt => last.prompt.clone(),
                _ => prompt.into(),
            };
            let stream = self.stream(&item.row.id, round(item), 0);
            draws.push(flow_server::Draw { prompt, seed: served::seed(&stream, *index) });
            places.push(at);
        }
        for (prefix, (draws, places)) in by_prefix {
            let params = Params { prefix: prefix.map(Prompt::Text), ..self.params.clone() };
            let (told, asking) = (perform.clone(), perform.clone());
            let answer = move |at: usize, answer| told.answer(places[at], answer);
            server.submit(draws, &params, answer, move || asking.cancelled());
        }
    }

    /// What the sampler is asked for a request. Errs with the reason why the chat template does not take the prompt.
    fn drawn(
        &self,
        request: &Request,
        ask: Ask,
        conversation: Option<&Conversation>,
        round: &dyn Fn(&Item) -> Round,
    ) -> Result<flow_sampler::Request, String> {
        let Request { item, index, .. } = request;
        let prompt = match conversation {
            Some(conversation) => Prompt::Rendered(conversation.question(&ask.prompt)?),
            None => Prompt::Text(ask.prompt),
        };
        let params = Params { prefix: ask.prefix.map(Prompt::Text), ..self.params.clone() };
        Ok(flow_sampler::Request { prompt, params, stream: self.stream(&item.row.id, round(item), *index).0 })
    }
}

/// The reason of a prompt that cannot be drawn for.
const NOT_DRAWN: &str = "not_drawn";

/// What of the failures of drawing follows from model and prompt alone, and would come again.
pub(crate) fn lasting(reason: &str) -> Option<&'static str> {
    (reason == NOT_DRAWN).then_some(NOT_DRAWN)
}

/// Damaged weights and a device that fails end the run; everything else concerns the one prompt.
fn failure(error: &flow_sampler::Error) -> Failure {
    let (reason, fatal) = match error {
        flow_sampler::Error::NotFinite { .. } => ("model", true),
        flow_sampler::Error::Device(_) => ("device", true),
        _ => (NOT_DRAWN, false),
    };
    Failure { reason, detail: crate::text::chain(error), fatal }
}

fn cells(completion: Completion) -> Vec<Value> {
    let finish_reason = match completion.finish_reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    };
    vec![
        completion.text.into(),
        finish_reason.into(),
        (completion.prompt_tokens as i64).into(),
        (completion.completion_tokens as i64).into(),
        Value::Floats(completion.logprobs.into()),
    ]
}

impl<'a> Draw<'a> {
    /// Reads an answer.
    pub(crate) fn new(cells: &'a [Value]) -> Self {
        Self { cells }
    }

    /// The drawn text.
    pub(crate) fn completion(&self) -> &'a str {
        match self.cells.first() {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// How many tokens were drawn.
    pub(crate) fn tokens(&self) -> u64 {
        match self.cells.get(3) {
            Some(Value::Int(tokens)) => u64::try_from(*tokens).unwrap_or_default(),
            _ => 0,
        }
    }

    /// The cells of the record kind `draw`: `parent_ids` to `sample_index`.
    pub(crate) fn record(&self, parent: &Id, model: Option<Id>, seed: u64, index: usize) -> Vec<Value> {
        let mut record = vec![Value::texts([parent.to_string().as_str()])];
        record.extend(self.cells.iter().cloned());
        record.push(model.map(|model| model.to_string()).into());
        record.push((seed as i64).into());
        record.push((index as i64).into());
        record
    }
}

#[cfg(test)]
mod tests {
    use flow_sampler::Error;

    use super::*;

    #[test]
    fn a_damaged_model_ends_the_run_and_a_long_prompt_does_not() {
        let told = |error| {
            let failure = failure(&error);
            (failure.reason, failure.fatal)
        };
        assert_eq!(told(Error::NotFinite { position: 3 }), ("model", true));
        assert_eq!(told(Error::PromptTooLong { tokens: 9, context: 8 }), ("not_drawn", false));
    }
}
