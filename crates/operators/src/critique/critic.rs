//! A model that judges: asks it, and reads what it says.

use flow_data::{Id, Item, Value};
use flow_dataflow::Out;
use flow_sampler::Params;

use super::{Config, Judged, TEMPLATE};
use crate::drawing::{Drawing, Refused};
use crate::draws::{Ask, Draw, Draws};
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

impl Drawing for Critic {
    fn draws(&self) -> &Draws {
        &self.draws
    }

    fn ask(&self, item: &Item, _: u32) -> Result<Ask, Refused> {
        self.template.render(item).map(Ask::from).map_err(|detail| ("not_rendered", detail))
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
