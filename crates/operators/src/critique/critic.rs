//! A model that judges: asks it, and reads what it says.

use flow_data::{Id, Item, Value};
use flow_dataflow::{EffectOp, Out, Perform, Request};
use flow_sampler::Params;

use super::{Config, Judged, TEMPLATE};
use crate::draws::{Draw, Draws};
use crate::random::seed_for;
use crate::template::Template;
use crate::{BuildError, Env, StepContext};

/// Most tokens of a critique, where the step does not say.
const MAX_TOKENS: usize = 512;

/// Asks a model for one critique of each row.
pub(super) struct Critic {
    draws: Draws,
    template: Template,
}

impl Critic {
    /// The critic of a step whose shape has been checked.
    pub(super) fn new(config: &Config, step: &StepContext<'_>, env: &Env) -> Result<Self, BuildError> {
        let params = Params {
            temperature: config.temperature.unwrap_or(0.0),
            top_p: config.top_p.unwrap_or_else(crate::defaults::unit),
            top_k: config.top_k.unwrap_or(0) as usize,
            max_tokens: config.max_tokens.map_or(MAX_TOKENS, |tokens| tokens as usize),
            stop: config.stop.clone().unwrap_or_default(),
            ..Params::default()
        };
        let template = Template::new(config.template.as_deref().unwrap_or(TEMPLATE), &step.columns());
        let seed = seed_for("critique", config.seed.unwrap_or(step.plan.seed));
        Ok(Self {
            draws: Draws::new(step, env, params, seed),
            template: template.map_err(|error| BuildError::step(&step.step.name, error.to_string()))?,
        })
    }
}

impl EffectOp for Critic {
    fn tokens(&self, answer: &[Value]) -> u64 {
        Draw::new(answer).tokens()
    }

    fn lasting(&self, reason: &str) -> Option<&'static str> {
        crate::draws::lasting(reason)
    }

    fn is_away(&self, model: Option<Id>) -> bool {
        self.draws.is_away(model)
    }

    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let prompt = self.template.render(item).map_err(|detail| ("not_rendered", detail))?;
        Ok(vec![self.draws.request(item, &prompt.into(), model, item.row.round, 0)])
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        let ask = |request: &Request| self.template.render(&request.item).unwrap_or_default().into();
        self.draws.perform(requests, &ask, &|item| item.row.round, perform);
    }

    fn rows(&self, item: &Item, _: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        let said = Draw::new(answers[0]).completion();
        match said.parse::<flow_verify::Critique>() {
            Ok(critique) => judged(said, &critique).emit(item, out),
            Err(error) => out.reject(item, "malformed_critique", error.to_string()),
        }
    }
}

fn judged(said: &str, critique: &flow_verify::Critique) -> Judged {
    let label = |correct: bool| if correct { "correct" } else { "wrong" };
    Judged {
        critique: said.trim().to_owned(),
        labels: critique.steps.iter().map(|step| label(step.judgement.correct)).collect(),
        first_wrong: critique.first_wrong(),
        verdict: label(critique.answer.correct),
    }
}
