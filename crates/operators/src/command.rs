//! `command` hands training over to a program of yours: it reads Parquet shards and leaves a checkpoint.
//!
//! `run` is the program and its arguments. In them `{data}` is a folder with the shards, `{start}` the folder of the model
//! `start`, `{seed}` a whole number, and `{out}` the folder in which the program leaves a Hugging Face checkpoint
//! (`config.json`, `tokenizer.json`, `*.safetensors`). It runs with your rights, in the folder in which `flow` runs: torchrun,
//! axolotl, TRL, a script of your own. What ends with another status than 0, or leaves no checkpoint that can be drawn from, ends the
//! run; what it said stands in a file that the error names. Of a run that was stopped `{out}` stays, so that a program that
//! knows how goes on where it was.
//!
//! The program is not run again while the data set, the start, the words of `run`, `seed` and the contents of `files` are the same.
//!
//! Ports: `out`, one row per checkpoint (record `checkpoint`). Steps and `rounds.feed` name this step as a model.
//!
//! Rejects: none; a program that fails ends the run.
//!
//! Cost: the program's, once per round and data set.
//!
//! ```yaml
//! learner:
//!   op: command
//!   from: shards
//!   start: policy
//!   run: [torchrun, --nproc-per-node, "8", sft.py, --data, "{data}", --model, "{start}", --output, "{out}"]
//!   files: [sft.py]
//! ```

mod program;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_data::{Id, IdHasher, Item, Value, kind};
use flow_dataflow::{Body, EffectOp, Out, Perform, Request, SourceError, Stage};
use flow_model::Checkpoint;
use flow_plan::{Input, Problem, Shape};
use flow_spec::PATH;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::branch::untrained;
use crate::train::course::ProductPrecision;
use crate::train::learner::{self, Gather, Learner, digest};
use crate::{BuildError, Definition, Env, StepContext, codes};
use program::Program;
use words::Places;

/// Options of `command`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The model that the program begins with: a declared one, or a step that makes one.
    #[expect(dead_code, reason = "planning resolves it by its key")]
    start: String,
    /// The program and its arguments, with `{data}`, `{start}`, `{out}` and `{seed}` in them.
    #[schemars(length(min = 1))]
    run: Vec<String>,
    /// Files whose contents count: scripts and settings. When one changes, the program runs again.
    #[serde(default)]
    #[schemars(inner(regex(pattern = PATH)))]
    files: Vec<String>,
    /// The number that `{seed}` stands for; by default the pipeline's.
    seed: Option<u64>,
    /// Folder that the last checkpoint is copied to when the run is done.
    #[schemars(regex(pattern = PATH))]
    pub(crate) path: Option<String>,
}

/// The operator.
pub(crate) struct Command;

impl Definition for Command {
    const NAME: &'static str = "command";
    const SOURCE: &'static str = include_str!("command.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        learner::needs_parts("command", &inputs[0])?;
        let problems = words::mistakes(&config.run);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Shape::new(kind("checkpoint").columns().clone()).making_model().ending().using("start"))
    }

    fn files(config: &Config) -> Vec<PathBuf> {
        config.files.iter().map(PathBuf::from).collect()
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let contents = config.files.iter().map(|path| contents(Path::new(path)));
        let contents = contents.collect::<Result<Vec<Id>, SourceError>>();
        let trainer = Trainer {
            contents: contents.map_err(|error| BuildError::file(&step.step.name, "`files`", error))?,
            seed: config.seed.unwrap_or(step.plan.seed),
            version: step.step.version,
            run: config.run,
            learner: Learner::new(step, env, &[], ProductPrecision::default()),
        };
        let gather = Gather::new(step, false);
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(gather)), Stage::Effect(Arc::new(trainer))]))
    }
}

/// Identity of what is in a file.
fn contents(path: &Path) -> Result<Id, SourceError> {
    let bytes = fs::read(path).map_err(|error| SourceError {
        code: codes::UNREADABLE.id,
        message: format!("cannot read {}: {error}", path.display()),
        help: None,
    })?;
    Ok(Id::of("file", [bytes.as_slice()]))
}

struct Trainer {
    run: Vec<String>,
    /// Of the files that count.
    contents: Vec<Id>,
    seed: u64,
    version: u32,
    learner: Learner,
}

impl EffectOp for Trainer {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let mut key = IdHasher::new("command");
        key.part(&self.version.to_le_bytes()).part(&model.unwrap_or_default().0).part(&item.row.id.0);
        key.part(&self.seed.to_le_bytes()).part(&self.run.len().to_le_bytes());
        for word in &self.run {
            key.part(word.as_bytes());
        }
        for id in &self.contents {
            key.part(&id.0);
        }
        Ok(vec![Request { key: key.finish(), item: item.clone(), model, index: 0 }])
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        learner::answer("command", requests, perform, |request| self.train(request, perform));
    }

    /// A checkpoint that is no longer in the store is made again.
    fn usable(&self, answer: &[Value]) -> bool {
        self.learner.has(answer)
    }

    fn rows(&self, item: &Item, _: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        match digest(answers[0]) {
            Some(digest) => {
                out.take(item);
                out.create(0, item.row.round, digest, answers[0].to_vec());
            }
            None => out.fail("command", "the answer names no checkpoint"),
        }
    }
}

impl Trainer {
    /// The cells of the record `checkpoint`; none when the run was stopped.
    fn train(&self, request: &Request, perform: &Perform) -> Result<Option<Vec<Value>>, String> {
        let models = &self.learner.models;
        let work = models.training(&request.key);
        let [data, out] = ["data", "out"].map(|name| work.join(name));
        let failed = |error: std::io::Error| format!("cannot prepare `{}`: {error}", work.display());
        self.lay_out(request, &data)?;
        fs::create_dir_all(&out).map_err(failed)?;
        let start = request.model.unwrap_or_default();
        let start = models.declared_folder(&start).unwrap_or_else(|| models.path(&start));
        let places = Places { data: &data, start: &start, out: &out, seed: self.seed };
        let program = Program { words: places.put_into(&self.run).map_err(failed)?, log: work.join("log.txt") };
        if !program.run(|| perform.cancelled())? {
            return Ok(None);
        }
        let checkpoint = Checkpoint::load(&out).map_err(|error| {
            let why = crate::text::chain(&error);
            format!("`{}` left no checkpoint that can be drawn from in `{}`: {why}", self.run[0], out.display())
        })?;
        let n_experts = checkpoint.config.moe.as_ref().map_or(0, |moe| moe.num_experts);
        let model = models.keep(checkpoint).map_err(|error| crate::text::chain(&error))?;
        fs::remove_dir_all(&work).map_err(|error| format!("cannot remove `{}`: {error}", work.display()))?;
        Ok(Some(untrained(model, request.model, request.item.row.id, n_experts)))
    }

    /// Puts the shards of the data set into `data`, in the order of their digests.
    fn lay_out(&self, request: &Request, data: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot lay out `{}`: {error}", data.display());
        if data.exists() {
            fs::remove_dir_all(data).map_err(failed)?;
        }
        fs::create_dir_all(data).map_err(failed)?;
        for (at, part) in self.learner.parts(request)?.into_iter().enumerate() {
            let to = data.join(format!("part-{at:05}.parquet"));
            // Another file system has no second name for a file.
            fs::hard_link(&part, &to).or_else(|_| fs::copy(&part, &to).map(drop)).map_err(failed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
