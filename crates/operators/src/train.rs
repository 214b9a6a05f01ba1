//! `train` reads the Parquet parts of a `write` step and trains a model on them, round by round.
//!
//! The loss counts completion tokens and the end-of-text token only, each as much as its row's `weight`. With `loss: {dpo: ..}` the model
//! learns to prefer one completion to another by direct preference optimisation (arXiv 2305.18290), against its start. With `moe`, a dense start is first upcycled: by copying
//! (arXiv 2212.05055) or in fine-grained slices (arXiv 2401.06066), so that the mixture begins with the dense model's logits (but where `top_p`, `null_experts` or a `gate` without `norm_topk_prob` weigh copies otherwise),
//! or to ternary experts beside the frozen dense block (MoTE, arXiv 2506.14435), which rest as two bits a weight. Mixtures of
//! several models (BTX, BAM) come from a step `merge` as the start. A start that has experts already is trained on as it is.
//! With `lora` only low-rank adapters learn (arXiv 2106.09685); they are merged into the checkpoint and stand beside it as well.
//! A data set that did not change, with the same start and settings, is not trained on again.
//!
//! Ports: `out`, one row per checkpoint (record `checkpoint`); `experts`, rows that tell for each stretch of steps and each layer how
//! tokens spread over the experts (record `expert_load`), with `report_by` also by the values of columns, none for a dense model; `validation`, the losses on examples held out by
//! `validation_ratio` (record `validation`), of which the least decides which model is kept; `preferences`, with `dpo` the reward margin and
//! accuracy by stretch of steps (record `preference`). Steps and `rounds.feed` name this step
//! as a model. Which rows trained which step stands beside the checkpoint, in `trained_on.parquet` (record `trained_on`): once an epoch, up to
//! the step that is kept. Two trainings that end in the same weights share the checkpoint, and the table of the first.
//!
//! Rejects: none; a training that fails ends the run.
//!
//! Cost: one training per round and data set, memoised by data, start, settings, seed and the machine's vector
//! instructions or GPU, which decide the last bits.
//!
//! ```yaml
//! learner: {op: train, from: shards, start: policy, moe: {experts: 4, experts_per_token: 2}, epochs: 2, learning_rate: 0.0005}
//! ```

mod adapters;
pub(crate) mod course;
pub(crate) mod examples;
mod groups;
mod learned;
pub(crate) mod learner;
pub(crate) mod loads;
pub(crate) mod mixture;
mod preferences;
mod settings;
mod start;
#[cfg(test)]
mod tests;
pub(crate) mod validation;

use std::path::PathBuf;
use std::sync::Arc;

use flow_data::{Id, IdHasher, Item, Value, kind};
use flow_dataflow::{Body, EffectOp, Out, Perform, Request, Stage};
use flow_model::Checkpoint;
use flow_plan::{Input, ModelRef, Problem, Shape};
use flow_spec::OnChange;
use serde_json::Value as Json;

use crate::branch::Branch;
use crate::command::Command;
use crate::merge::Merge;
use crate::{BuildError, Definition, Env, StepContext};
use learner::{Gather, Learner, digest, need_columns};
use course::Pace;
use settings::{Config, Retention};
use start::Start;

/// The operator.
pub(crate) struct Train;

impl Definition for Train {
    const NAME: &'static str = "train";
    const SOURCE: &'static str = include_str!("train.rs");
    /// 2: the answer tells skipped and truncated examples. 3: and how tokens spread over experts in time. 4: an expert's products are
    /// summed over all tokens of a step at once. 5: over those of half the step where these are many.
    const VERSION: u32 = 5;
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        learner::needs_parts("train", &inputs[0])?;
        config.check()?;
        let columns = |name: &str| kind(name).columns().clone();
        let ports = ["out", "experts", "validation", "preferences"].into_iter();
        let ports = ports.zip(["checkpoint", "expert_load", "validation", "preference"]);
        let shape = Shape::with_ports(ports.map(|(port, name)| (port, columns(name)))).making_model().ending();
        Ok(match config.start {
            Start::Model(_) => shape.using("start"),
            Start::Init(_) => shape,
        })
    }

    fn fits(config: &Config, step: &StepContext<'_>) -> Vec<Problem> {
        let mut problems = need_columns(step, &config.columns().named());
        let keeps = step.plan.rounds.as_ref().is_some_and(|rounds| rounds.on_change == OnChange::Keep);
        if config.retention == Retention::Accumulate && keeps {
            let message = "`accumulate` does not go with `rounds.on_change: keep`: kept rounds are not trained on again";
            problems.push(Problem::new("retention", message));
        }
        problems.extend(config.start_mistake(step));
        problems
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let gather = Gather::new(step, config.retention == Retention::Accumulate);
        let trainer = Trainer {
            seed: config.seed.unwrap_or(step.plan.seed),
            version: step.step.version,
            learner: Learner::new(step, env, &config.report_by, config.precision),
            config,
        };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(gather)), Stage::Effect(Arc::new(trainer))]))
    }
}

/// What is wrong with a `freeze` of `step`, where a step that its start comes from has given a shared expert four bits a weight.
pub(crate) fn int4_start(step: &StepContext<'_>, freeze: Option<&[flow_trainer::Part]>) -> Option<Problem> {
    let ModelRef::Step(maker) = step.step.models.first()?.model else { return None };
    let maker = StepContext { step: &step.plan.steps[maker], ..*step };
    let config: Option<Config> = flow_plan::config_of(&maker.step.config).ok().filter(|_| maker.step.op == Train::NAME);
    match config.is_some_and(|config| config.makes_int4()) {
        true => mixture::int4_mistake(freeze),
        false => int4_start(&maker, freeze),
    }
}

/// The folder that the last checkpoint of `step` is copied to; none when it makes none or names no folder.
pub fn destination(step: &StepContext<'_>) -> Option<PathBuf> {
    let config = &step.step.config;
    let path = match step.step.op {
        Train::NAME => flow_plan::config_of::<Config>(config).ok()?.path,
        Command::NAME => flow_plan::config_of::<crate::command::Config>(config).ok()?.path,
        _ => None,
    };
    path.map(PathBuf::from)
}

/// The adapters that `step` trains; none when it is no `train` step with `lora`.
pub fn adapters(step: &StepContext<'_>) -> Option<flow_trainer::Lora> {
    let config: Config = flow_plan::config_of(&step.step.config).ok().filter(|_| step.step.op == Train::NAME)?;
    config.lora.as_ref().map(adapters::Lora::lora)
}

/// How many optimiser steps a training of the operator `op` with these keys takes; none where it does not train here.
pub fn pace(op: &str, config: &Json) -> Option<Pace> {
    match op {
        Train::NAME => Some(flow_plan::config_of::<Config>(config).ok()?.pace()),
        Branch::NAME => Some(flow_plan::config_of::<crate::branch::Config>(config).ok()?.pace()),
        _ => None,
    }
}

/// About how many parameters the dense model of random weights has that the operator `op` with these keys begins with; none where it begins with
/// another.
pub fn begun(op: &str, config: &Json) -> Option<f64> {
    let config: Config = flow_plan::config_of(config).ok().filter(|_| op == Train::NAME)?;
    if let Start::Init(init) = &config.start { Some(init.parameters()) } else { None }
}

/// The mixture that the operator `op` with these keys makes of dense models; none where it makes none.
pub fn upcycling(op: &str, config: &Json) -> Option<flow_trainer::MoeUpcycle> {
    match op {
        Train::NAME => flow_plan::config_of::<Config>(config).ok()?.moe.map(|moe| moe.upcycling()),
        Merge::NAME => Merge::mixture(config),
        _ => None,
    }
}

struct Trainer {
    config: Config,
    seed: u64,
    version: u32,
    learner: Learner,
}

impl EffectOp for Trainer {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let mut key = IdHasher::new("train");
        key.part(&self.version.to_le_bytes());
        key.part(&model.unwrap_or_default().0).part(&item.row.id.0).part(&self.seed.to_le_bytes());
        key.part(self.config.identity().as_bytes()).part(self.learner.computer().as_bytes());
        self.learner.manner.part(&mut key);
        Ok(vec![Request { key: key.finish(), item: item.clone(), model, index: 0 }])
    }

    fn machine(&self) -> Option<Id> {
        Some(Id::of("machine", [self.learner.models.computer().as_bytes()]))
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        learner::answer("training", requests, perform, |request| self.train(request, perform));
    }

    /// A checkpoint that is no longer in the store is trained again, to the same bits.
    fn usable(&self, answer: &[Value]) -> bool {
        self.learner.has(answer)
    }

    /// The same training gives the same bits.
    fn gives_again(&self) -> bool {
        true
    }

    fn rows(&self, item: &Item, _: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        match digest(answers[0]) {
            Some(digest) => {
                out.take(item);
                out.create(0, item.row.round, digest, answers[0][..loads::CHECKPOINT].to_vec());
                for (at, row) in loads::rows(answers[0]).into_iter().enumerate() {
                    let id = Id::of("expert_load", [digest.0.as_slice(), &(at as u64).to_le_bytes()]);
                    out.create(1, item.row.round, id, row);
                }
                for (at, row) in validation::rows(answers[0]).into_iter().enumerate() {
                    let id = Id::of("validation", [digest.0.as_slice(), &(at as u64).to_le_bytes()]);
                    out.create(2, item.row.round, id, row);
                }
                for (at, row) in preferences::rows(answers[0]).into_iter().enumerate() {
                    let id = Id::of("preference", [digest.0.as_slice(), &(at as u64).to_le_bytes()]);
                    out.create(3, item.row.round, id, row);
                }
            }
            None => out.fail("training", "the answer names no checkpoint"),
        }
    }
}

impl Trainer {
    /// The cells of the record `checkpoint`; none when the run was stopped.
    fn train(&self, request: &Request, perform: &Perform) -> Result<Option<Vec<Value>>, String> {
        let rows = self.learner.rows(request, self.config.columns(), None)?;
        let (rows, held_out) = validation::split(rows, self.config.validation_ratio)?;
        let start = self.start(request, &rows)?;
        let mut settings = self.config.training(self.seed, self.learner.threads, &start, held_out);
        settings.loss = self.config.loss.loss();
        settings.token_rounding = self.config.token_rounding.map(|tile| tile as usize);
        settings.lora = self.config.lora.as_ref().map(adapters::Lora::lora);
        self.learner.learn(&start, rows, settings, self.config.save_steps, request, perform)
    }

    fn start(&self, request: &Request, rows: &[examples::Row]) -> Result<Checkpoint, String> {
        let start = match &self.config.start {
            Start::Init(init) => start::initial(init, rows, self.seed)?,
            Start::Model(_) => self.learner.checkpoint(request.model)?,
        };
        match &self.config.moe {
            Some(moe) if start.config.moe.is_none() => {
                flow_trainer::upcycle(&[&start], &moe.upcycling(), self.seed).map_err(|e| crate::text::chain(&e))
            }
            Some(moe) => {
                // In later rounds than the first it is a mixture that these keys have made.
                if request.item.row.round < 2 {
                    moe.left_aside(&start.config).into_iter().for_each(|words| self.learner.remark(&words));
                }
                Ok(moe.going_on(start))
            }
            None => Ok(start),
        }
    }
}
