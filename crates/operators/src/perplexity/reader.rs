//! From texts to their log-probabilities.

use std::sync::Arc;

use flow_data::{Id, IdHasher, Item, Value};
use flow_dataflow::{Answer, EffectOp, Failure, Out, Perform, Request};
use flow_sampler::{Engine, Error, Given, Prompt, Score};

use crate::Models;
use crate::conversation::{Conversation, Manner};

/// Scores each row's text: its cells followed by nats, tokens and model.
pub(super) struct Reader {
    pub(super) models: Arc<Models>,
    pub(super) threads: usize,
    pub(super) version: u32,
    pub(super) manner: Manner,
    pub(super) prompt_id: usize,
    pub(super) prompt: Option<usize>,
    pub(super) completion: usize,
}

impl Reader {
    fn prompt<'a>(&self, item: &'a Item) -> &'a str {
        self.prompt.and_then(|at| item.text(at)).unwrap_or_default()
    }

    fn completion<'a>(&self, item: &'a Item) -> &'a str {
        item.text(self.completion).unwrap_or_default()
    }

    /// What is read: in a conversation the text is the answer to its prompt. Errs with the reason why it cannot be.
    fn given(&self, item: &Item, conversation: Option<&Conversation>) -> Result<Given, String> {
        let prompt = match conversation {
            Some(conversation) => Prompt::Rendered(conversation.question(self.prompt(item))?),
            None => Prompt::Text(self.prompt(item).to_owned()),
        };
        Ok(Given { prompt, text: Prompt::Text(self.completion(item).to_owned()) })
    }

    /// The model, and how conversations with it are written. What stands behind no prompt is in none.
    fn ready(&self, model: Option<Id>) -> Result<(Arc<Engine>, Option<Conversation>), String> {
        let engine = self.models.engine(&model.unwrap_or_default(), self.manner.weights())?;
        let tokenizer = engine.tokenizer().map_err(|error| crate::text::chain(&error))?;
        let conversation = self.prompt.map(|_| self.manner.conversation(tokenizer.chat_template())).transpose()?.flatten();
        Ok((engine, conversation))
    }
}

impl EffectOp for Reader {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        item.text(self.prompt_id).ok_or_else(|| ("no_prompt_id", "the text's problem has no name".to_owned()))?;
        if self.completion(item).is_empty() {
            return Err(("no_text", "the text is empty".to_owned()));
        }
        let mut key = IdHasher::new("likelihood");
        key.part(&self.version.to_le_bytes()).part(&model.unwrap_or_default().0);
        key.part(self.prompt(item).as_bytes()).part(self.completion(item).as_bytes());
        if self.prompt.is_some() {
            self.manner.part(&mut key);
        }
        self.manner.part_of_weights(&mut key);
        Ok(vec![Request { key: key.finish(), item: item.clone(), model, index: 0 }])
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        let mut by_model: Vec<usize> = (0..requests.len()).collect();
        by_model.sort_by_key(|at| (requests[*at].model, requests[*at].item.row));
        for batch in by_model.chunk_by(|a, b| requests[*a].model == requests[*b].model) {
            let (engine, conversation) = match self.ready(requests[batch[0]].model) {
                Ok(ready) => ready,
                Err(detail) => {
                    perform.answer(batch[0], Err(Failure { reason: "model", detail, fatal: true }));
                    return;
                }
            };
            let (mut texts, mut places) = (Vec::new(), Vec::new());
            for &at in batch {
                match self.given(&requests[at].item, conversation.as_ref()) {
                    Ok(given) => {
                        texts.push(given);
                        places.push(at);
                    }
                    Err(detail) => perform.answer(at, Err(Failure { reason: "not_scored", detail, fatal: false })),
                }
            }
            engine.score(&texts, self.threads, perform.cancel_flag(), &|at, score| {
                perform.answer(places[at], answer(score));
            });
        }
    }

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        let cells = answers[0].iter().cloned().chain([model.map(|model| model.to_string()).into()]);
        out.extend(0, item, cells.collect());
    }
}

/// Nats and tokens. Damaged weights end the run; everything else concerns the one text.
fn answer(score: Result<Score, Error>) -> Answer {
    let score = score.map_err(|error| {
        let fatal = matches!(error, Error::NotFinite { .. });
        let reason = if fatal { "model" } else { "not_scored" };
        Failure { reason, detail: crate::text::chain(&error), fatal }
    })?;
    let nats: f64 = score.logprobs.iter().map(|logprob| -f64::from(*logprob)).sum();
    Ok(vec![nats.into(), (score.logprobs.len() as i64).into()])
}
