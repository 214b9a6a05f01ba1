//! From texts to their log-probabilities.

use std::sync::Arc;

use flow_data::{Id, IdHasher, Item, Value};
use flow_dataflow::{Answer, EffectOp, Failure, Out, Perform, Request};
use flow_sampler::{Error, Given, Prompt, Score};

use crate::Models;

/// Scores each row's text: its cells followed by nats, tokens and model.
pub(super) struct Reader {
    pub(super) models: Arc<Models>,
    pub(super) threads: usize,
    pub(super) version: u32,
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

    fn given(&self, item: &Item) -> Given {
        let text = |text: &str| Prompt::Text(text.to_owned());
        Given { prompt: text(self.prompt(item)), text: text(self.completion(item)) }
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
        Ok(vec![Request { key: key.finish(), item: item.clone(), model, index: 0 }])
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        let mut by_model: Vec<usize> = (0..requests.len()).collect();
        by_model.sort_by_key(|at| (requests[*at].model, requests[*at].item.row));
        for batch in by_model.chunk_by(|a, b| requests[*a].model == requests[*b].model) {
            let engine = match self.models.engine(&requests[batch[0]].model.unwrap_or_default()) {
                Ok(engine) => engine,
                Err(detail) => {
                    perform.answer(batch[0], Err(Failure { reason: "model", detail, fatal: true }));
                    return;
                }
            };
            let texts: Vec<Given> = batch.iter().map(|at| self.given(&requests[*at].item)).collect();
            engine.score(&texts, self.threads, perform.cancel_flag(), &|at, score| {
                perform.answer(batch[at], answer(score));
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
