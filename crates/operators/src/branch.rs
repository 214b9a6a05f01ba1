//! `branch` trains one model for each domain, all from the same start: the experts that `merge` joins.
//!
//! Reads the Parquet parts of a `write` step and trains, for each of `domains`, on the rows whose column `by` names it
//! (Branch-Train-Mix, arXiv 2403.07816). Every domain gets the same settings and seed; the keys are those of `train`. With
//! `with_start: true` the start itself is one more expert, of the domain `start`. Which rows trained which step stands in each checkpoint's
//! folder, as with `train`.
//!
//! Ports: `out`, one row per domain (record `checkpoint` with `domain`); `checkpoints`, those that were trained here, without;
//! `validation`, their losses on held-out examples, as those of `train`.
//!
//! Rejects: none; a domain without rows ends the run.
//!
//! Cost: one training per domain, round and data set, memoised as those of `train`.
//!
//! ```yaml
//! experts: {op: branch, from: shards, by: domain, domains: [code, law, math], start: seed_model, with_start: true, epochs: 1}
//! ```

use std::sync::Arc;

use flow_data::{Id, IdHasher, Item, Type, Value, kind};
use flow_dataflow::{Body, EffectOp, Out, Perform, Request, Stage};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::train::learner::{self, Gather, Learner, digest, need_columns, needs_parts};
use crate::train::loads::CHECKPOINT;
use crate::train::course::with_course;
use crate::train::validation;
use crate::{BuildError, Definition, Env, StepContext};

/// The domain of the start itself.
const START: &str = "start";

with_course! {
    /// Options of `branch`.
    pub(crate) struct Config {
        /// What each training starts from: a declared model, or a step that makes one.
        #[serde(skip_serializing)]
        #[expect(dead_code, reason = "planning resolves it")]
        start: String,
        /// Column of the parts that names a row's domain.
        by: String,
        /// The domains, each once; rows of others are left aside.
        #[serde(skip_serializing)]
        #[schemars(length(min = 1))]
        domains: Vec<String>,
        /// Whether the start is one more expert, as it is.
        #[serde(default, skip_serializing)]
        with_start: bool,
    }
}

/// The operator.
pub(crate) struct Branch;

impl Definition for Branch {
    const NAME: &'static str = "branch";
    const SOURCE: &'static str = include_str!("branch.rs");
    /// 2: with version 4 of `train`. 3: with version 5.
    const VERSION: u32 = 3;
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        needs_parts("branch", &inputs[0])?;
        let mut problems = config.course_mistakes();
        for (at, domain) in config.domains.iter().enumerate() {
            if config.domains[..at].contains(domain) || (config.with_start && domain == START) {
                problems.push(Problem::new(&format!("domains.{at}"), format!("there is a domain `{domain}` before it")));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let columns = kind("checkpoint").columns().extended(kind("branch").columns());
        let ports = [
            ("out", columns),
            ("checkpoints", kind("checkpoint").columns().clone()),
            ("validation", kind("validation").columns().clone()),
        ];
        Ok(Shape::with_ports(ports).using("start").with_weights().ending())
    }

    fn fits(config: &Config, step: &StepContext<'_>) -> Vec<Problem> {
        let mut named = config.text().named();
        named.push(("by", &config.by, &[Type::Text, Type::Int]));
        let mut problems = need_columns(step, &named);
        problems.extend(config.start_mistake(step));
        problems
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let brancher = Brancher {
            seed: config.seed.unwrap_or(step.plan.seed),
            version: step.step.version,
            learner: Learner::new(step, env, &[], config.precision),
            config,
        };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(Gather::new(step, false))), Stage::Effect(Arc::new(brancher))]))
    }
}

impl Branch {
    /// The domains of the rows that a step of these keys makes.
    pub(crate) fn domains(config: &Json) -> Option<Vec<String>> {
        let Config { mut domains, with_start, .. } = flow_plan::config_of(config).ok()?;
        domains.extend(with_start.then(|| START.to_owned()));
        Some(domains)
    }
}

struct Brancher {
    config: Config,
    seed: u64,
    version: u32,
    learner: Learner,
}

impl EffectOp for Brancher {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let request = |(index, domain): (usize, &String)| {
            let mut key = IdHasher::new("branch");
            key.part(&self.version.to_le_bytes());
            key.part(&model.unwrap_or_default().0).part(&item.row.id.0).part(&self.seed.to_le_bytes());
            key.part(self.config.identity().as_bytes()).part(self.learner.computer().as_bytes());
            key.part(domain.as_bytes());
            self.learner.manner.part(&mut key);
            Request { key: key.finish(), item: item.clone(), model, index: index as u32 }
        };
        Ok(self.config.domains.iter().enumerate().map(request).collect())
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

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        out.take(item);
        let start = model.filter(|_| self.config.with_start).map(|start| untrained(start, None, Id::default(), 0));
        let trained = self.config.domains.iter().map(String::as_str).zip(answers.iter().map(|answer| answer[..CHECKPOINT].to_vec()));
        for (domain, cells) in trained.chain(start.map(|cells| (START, cells))) {
            let id = Id::of("branch", [item.row.id.0.as_slice(), domain.as_bytes()]);
            out.create(0, item.row.round, id, cells.into_iter().chain([domain.into()]).collect());
        }
        for answer in answers {
            if let Some(digest) = digest(answer) {
                out.create(1, item.row.round, digest, answer[..CHECKPOINT].to_vec());
                for (at, row) in validation::rows(answer).into_iter().enumerate() {
                    let id = Id::of("validation", [digest.0.as_slice(), &(at as u64).to_le_bytes()]);
                    out.create(2, item.row.round, id, row);
                }
            }
        }
    }
}

impl Brancher {
    /// The cells of the record `checkpoint`; none when the run was stopped.
    fn train(&self, request: &Request, perform: &Perform) -> Result<Option<Vec<Value>>, String> {
        let Config { by, domains, validation_ratio, .. } = &self.config;
        let only = Some((by.as_str(), domains[request.index as usize].as_str()));
        let rows = self.learner.rows(request, self.config.text().into(), only)?;
        let (rows, held_out) = validation::split(rows, *validation_ratio)?;
        let start = self.learner.checkpoint(request.model)?;
        let settings = self.config.training(self.seed, self.learner.threads, &start, held_out);
        self.learner.learn(&start, rows, settings, self.config.save_steps, request, perform)
    }
}

/// The cells of the record `checkpoint` for a model that no training made.
pub(crate) fn untrained(model: Id, start: Option<Id>, dataset: Id, n_experts: usize) -> Vec<Value> {
    let nothing = || Value::from(0i64);
    vec![
        model.to_string().into(),
        start.map(|start| start.to_string()).into(),
        dataset.to_string().into(),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        Value::Floats(Vec::new().into()),
        (n_experts as i64).into(),
        Value::Floats(Vec::new().into()),
    ]
}
