//! `train` reads the Parquet parts of a `write` step and trains a model on them, round by round.
//!
//! The loss counts completion tokens and the end-of-text token only. With `moe`, a dense start is first upcycled by
//! copying (arXiv 2212.05055): the mixture begins with the dense model's logits; a start that has experts already is
//! trained on as it is. A data set that did not change, with the same start and settings, is not trained on again.
//!
//! Ports: `out`, one row per checkpoint (record `checkpoint`). Steps and `rounds.feed` name this step as a model.
//!
//! Rejects: none; a training that fails ends the run.
//!
//! Cost: one training per round and data set, memoised by data, start, settings, seed and the machine's vector
//! instructions, which decide the last bits.
//!
//! ```yaml
//! learner: {op: train, from: shards, start: policy, moe: {experts: 4, experts_per_token: 2}, epochs: 2, learning_rate: 0.0005}
//! ```

mod examples;
mod settings;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use flow_data::{Id, IdHasher, Item, Value, kind};
use flow_dataflow::{Body, EffectOp, Failure, KeyedOp, Out, Perform, Request, Stage};
use flow_model::Checkpoint;
use flow_plan::{Edge, Input, Problem, Shape};
use flow_store::Parts;
use flow_trainer::{StepReport, Trained};

use crate::write::publication;
use crate::{BuildError, Definition, Env, Models, StepContext};
use settings::{Config, Start};

/// The operator.
pub(crate) struct Train;

impl Definition for Train {
    const NAME: &'static str = "train";
    const SOURCE: &'static str = include_str!("train.rs");
    /// 2: the answer tells skipped and truncated examples.
    const VERSION: u32 = 2;
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        if inputs[0].column("from", "part").is_err() {
            let problem = Problem::new("from", format!("expected the parts of a `write` step, `{}` has none", inputs[0].reference));
            return Err(vec![problem.with_help("put a `write` step before `train`")]);
        }
        config.check()?;
        let shape = Shape::new(kind("checkpoint").columns().clone()).making_model().ending();
        Ok(match config.start {
            Start::Model(_) => shape.using("start"),
            Start::Init(_) => shape,
        })
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let inlet = &step.step.inputs[0];
        let producer = |edge: &Edge| StepContext { step: &step.plan.steps[edge.step], ..*step };
        let folders = inlet.edges.iter().filter_map(|edge| Some(publication(&producer(edge))?.folder));
        let trainer = Trainer {
            seed: config.seed.unwrap_or(step.plan.seed),
            version: step.step.version,
            config,
            folders: folders.collect(),
            models: env.models.clone(),
            threads: env.threads,
        };
        let gather = Gather { part: step.column("part"), n_rows: step.column("n_rows") };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(gather)), Stage::Effect(Arc::new(trainer))]))
    }
}

/// The folder that the last checkpoint of `step` is copied to; none when it is no `train` step or names no folder.
pub fn destination(step: &StepContext<'_>) -> Option<PathBuf> {
    let config: Config = flow_plan::config_of(&step.step.config).ok().filter(|_| step.step.op == Train::NAME)?;
    config.path.map(PathBuf::from)
}

/// One data set a round: the parts, sorted by digest.
struct Gather {
    part: usize,
    n_rows: usize,
}

impl KeyedOp for Gather {
    fn key(&self, _: &Item) -> Id {
        Id::default()
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        items.iter().for_each(|item| out.take(item));
        let mut parts: Vec<&str> = items.iter().filter_map(|item| item.text(self.part)).collect();
        parts.sort_unstable();
        let n_rows: i64 = items.iter().filter_map(|item| item.int(self.n_rows)).sum();
        let dataset = Id::of("dataset", parts.iter().map(|part| part.as_bytes()));
        out.create(0, items[0].row.round, dataset, vec![Value::texts(parts), n_rows.into()]);
    }
}

struct Trainer {
    config: Config,
    seed: u64,
    version: u32,
    folders: Vec<PathBuf>,
    models: Arc<Models>,
    threads: usize,
}

impl EffectOp for Trainer {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let mut key = IdHasher::new("train");
        key.part(&self.version.to_le_bytes());
        key.part(&model.unwrap_or_default().0).part(&item.row.id.0).part(&self.seed.to_le_bytes());
        key.part(self.config.identity().as_bytes()).part(flow_trainer::instruction_set().as_bytes());
        Ok(vec![Request { key: key.finish(), item: item.clone(), model, index: 0 }])
    }

    fn machine(&self) -> Option<Id> {
        Some(Id::of("machine", [flow_trainer::instruction_set().as_bytes()]))
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        for (at, request) in requests.iter().enumerate() {
            match self.train(request, perform) {
                Ok(Some(cells)) => perform.answer(at, Ok(cells)),
                Ok(None) => return,
                Err(detail) => perform.answer(at, Err(Failure { reason: "training", detail, fatal: true })),
            }
        }
    }

    /// A checkpoint that is no longer in the store is trained again, to the same bits.
    fn usable(&self, answer: &[Value]) -> bool {
        digest(answer).is_some_and(|digest| self.models.has(&digest))
    }

    fn rows(&self, item: &Item, _: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        match digest(answers[0]) {
            Some(digest) => {
                out.take(item);
                out.create(0, item.row.round, digest, answers[0].to_vec());
            }
            None => out.fail("training", "the answer names no checkpoint"),
        }
    }
}

/// The digest of the checkpoint that an answer tells of.
fn digest(answer: &[Value]) -> Option<Id> {
    match answer.first() {
        Some(Value::Text(digest)) => digest.parse().ok(),
        _ => None,
    }
}

impl Trainer {
    /// The cells of the record `checkpoint`; none when the run was stopped.
    fn train(&self, request: &Request, perform: &Perform) -> Result<Option<Vec<Value>>, String> {
        let dataset = &request.item;
        let Value::Texts(parts) = dataset.get(0) else { return Err("the data set names no parts".into()) };
        let examples = examples::read(&self.paths(parts)?, &self.config.prompt, &self.config.completion)?;
        if examples.is_empty() {
            return Err("the data set has no rows".into());
        }
        let start = self.start(request.model, &examples)?;
        let mut observe = |report: &StepReport| {
            perform.within(report.step as u64, report.steps as u64);
            match perform.cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let settings = self.config.training(self.seed, self.threads, &start);
        let trained = flow_trainer::train(&start, &examples, &settings, &mut observe).map_err(|e| crate::text::chain(&e))?;
        if trained.report.stopped {
            return Ok(None);
        }
        self.keep(trained, request).map(Some)
    }

    fn paths(&self, parts: &[Arc<str>]) -> Result<Vec<PathBuf>, String> {
        parts
            .iter()
            .map(|part| {
                let digest: Id = part.parse().map_err(|error: flow_data::ParseIdError| error.to_string())?;
                let paths = self.folders.iter().map(|folder| Parts::new(folder).path(&digest));
                paths.into_iter().find(|path| path.exists()).ok_or_else(|| format!("part {part} is missing"))
            })
            .collect()
    }

    fn start(&self, model: Option<Id>, examples: &[flow_trainer::Example]) -> Result<Checkpoint, String> {
        let start = match &self.config.start {
            Start::Init(init) => settings::initial(init, examples, self.seed)?,
            Start::Model(_) => {
                let model = self.models.checkpoint(&model.unwrap_or_default()).map_err(|e| crate::text::chain(&e))?;
                Checkpoint::clone(&model)
            }
        };
        match &self.config.moe {
            Some(moe) if start.config.moe.is_none() => {
                flow_trainer::upcycle(&start, &moe.upcycling(), self.seed).map_err(|e| crate::text::chain(&e))
            }
            _ => Ok(start),
        }
    }

    fn keep(&self, trained: Trained, request: &Request) -> Result<Vec<Value>, String> {
        let Trained { checkpoint, report } = trained;
        let n_experts = checkpoint.config.moe.as_ref().map_or(0, |moe| moe.num_experts);
        let losses: Vec<f32> = report.steps.iter().map(|step| step.loss as f32).collect();
        let model = self.models.keep(checkpoint).map_err(|error| crate::text::chain(&error))?;
        Ok(vec![
            model.to_string().into(),
            request.model.map(|model| model.to_string()).into(),
            request.item.row.id.to_string().into(),
            (report.examples as i64).into(),
            (report.skipped as i64).into(),
            (report.truncated as i64).into(),
            (report.steps.len() as i64).into(),
            (report.tokens as i64).into(),
            Value::Floats(losses.into()),
            (n_experts as i64).into(),
            Value::Floats(expert_load(&report.steps).into()),
        ])
    }
}

/// The share of visits each expert had over all steps, layer by layer.
fn expert_load(steps: &[StepReport]) -> Vec<f32> {
    let layers = steps.first().map_or(0, |step| step.layers.len());
    let mut shares = Vec::new();
    for layer in 0..layers {
        let mut visits: Vec<u64> = Vec::new();
        for step in steps {
            let seen = &step.layers[layer].tokens_per_expert;
            visits.resize(seen.len(), 0);
            visits.iter_mut().zip(seen).for_each(|(sum, seen)| *sum += seen);
        }
        let all = visits.iter().sum::<u64>().max(1) as f32;
        shares.extend(visits.iter().map(|visits| *visits as f32 / all));
    }
    shares
}
