//! Publishing: the folder of every `write` step shows one whole snapshot, switched when a tick has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flow_data::{Id, Item, Round};
use flow_dataflow::Session;
use flow_operators::{Publication, StepContext, publication};
use flow_plan::{ModelRef, Plan};
use flow_store::{Error, Manifest, Part, Publisher, RunLock, Snapshot};
use serde_json::{Map, Value as Json, json};

use super::captures::Captures;
use crate::halt::{Halt, chain};
use crate::pipeline::{Pipeline, run_folder};
use crate::{Exit, codes};

/// The published folders of a pipeline. Nobody else publishes in them until they are dropped.
pub(crate) struct Outputs {
    outputs: Vec<Output>,
    /// The lock of the folder with the tables of the run.
    _lock: RunLock,
}

/// The published folder of one `write` step.
pub(crate) struct Output {
    /// Index of the step.
    pub(crate) step: usize,
    /// Its folder and columns.
    pub(crate) publication: Publication,
    publisher: Publisher,
    per_round: bool,
    lineage: Map<String, Json>,
    _lock: RunLock,
}

impl Outputs {
    /// Opens all folders before anything runs, so that one that cannot be written costs no work. The run that `command`
    /// started holds them from now on.
    ///
    /// The first `kept` rounds stay as earlier runs left them.
    pub(crate) fn open(
        pipeline: &Pipeline,
        digests: &[Id],
        kept: Round,
        command: &str,
    ) -> Result<Self, Halt> {
        let plan = &pipeline.plan;
        let run_lock = lock(&run_folder(plan), command).map_err(|error| refusal(pipeline, None, &error))?;
        let mut outputs = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            let Some(publication) = publication(&StepContext { plan, step }) else { continue };
            let refused = |error| refusal(pipeline, Some(&step.name), &error);
            let lock = lock(&publication.folder, command).map_err(refused)?;
            let publisher = Publisher::open(&publication.folder).map_err(refused)?;
            let (per_round, lineage) = (step.per_round, lineage(plan, at, digests, kept));
            outputs.push(Output { step: at, publication, publisher, per_round, lineage, _lock: lock });
        }
        Ok(Self { outputs, _lock: run_lock })
    }

    /// The folders, in the order of the plan.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Output> {
        self.outputs.iter()
    }

    /// Publishes what has settled. While more rounds are to come (`last` is false), a snapshot that lacks a round of the
    /// published one is held back: neither a repeated nor an interrupted run takes rounds away from readers.
    pub(crate) fn publish(
        &self,
        pipeline: &Pipeline,
        captures: &Captures,
        session: &Session,
        last: bool,
    ) -> Result<(), Halt> {
        let parts = captures.rows(session, "part");
        for output in &self.outputs {
            let parts =
                parts.iter().filter(|(step, _)| *step == output.step).map(|(_, item)| output.part(item));
            let name = &pipeline.plan.steps[output.step].name;
            let published = output.publish(parts.collect(), last);
            published.map_err(|error| refusal(pipeline, Some(name), &error))?;
        }
        Ok(())
    }

    /// Removes what was made for a snapshot and is in none, once all that has settled is published.
    pub(crate) fn clean(&self, pipeline: &Pipeline) -> Result<(), Halt> {
        for output in &self.outputs {
            let name = &pipeline.plan.steps[output.step].name;
            output.publisher.clean().map_err(|error| refusal(pipeline, Some(name), &error))?;
        }
        Ok(())
    }
}

impl Output {
    /// The snapshot that readers see, by the digest of its manifest; none where nothing is published.
    pub(crate) fn snapshot(&self) -> Option<String> {
        let current = std::fs::read_link(self.publication.folder.join("current")).ok()?;
        Some(current.file_name()?.to_string_lossy().into_owned())
    }

    /// The pattern that matches all published files.
    pub(crate) fn pattern(&self) -> String {
        let rounds = if self.per_round { "*/" } else { "" };
        format!("{}/current/{rounds}*.parquet", self.publication.folder.display())
    }

    fn publish(&self, parts: Vec<Part>, last: bool) -> Result<(), Error> {
        if !last && self.goes_further_than(&parts) {
            return Ok(());
        }
        let Publication { columns, chat, .. } = &self.publication;
        self.publisher.publish(&Manifest::new(columns, *chat, parts, self.lineage.clone()))?;
        Ok(())
    }

    /// Whether readers see a round that `parts` lack. A snapshot that cannot be read shows them nothing.
    fn goes_further_than(&self, parts: &[Part]) -> bool {
        let Ok(Some(current)) = Snapshot::current(&self.publication.folder) else { return false };
        !rounds(&current.manifest.parts).is_subset(&rounds(parts))
    }

    /// The part that a row of the record `part` describes.
    pub(crate) fn part(&self, item: &Item) -> Part {
        let count = |at| u64::try_from(item.int(at).unwrap_or_default()).unwrap_or_default();
        let digest = item.row.id;
        let round = if self.per_round { format!("round-{:03}/", item.row.round) } else { String::new() };
        let path = format!("{round}part-{:02}.{digest}.parquet", count(1));
        Part { path, digest, n_rows: count(2), n_bytes: count(3) }
    }
}

/// Takes the lock of a folder that is published in.
fn lock(folder: &Path, command: &str) -> Result<RunLock, Error> {
    RunLock::acquire(&folder.join(".lock"), command)
}

/// What to tell where a folder cannot be published in, by `step` or for the tables of the run.
fn refusal(pipeline: &Pipeline, step: Option<&str>, error: &Error) -> Halt {
    match (error, step) {
        (Error::Locked { .. }, _) => {
            let help = "wait for it to end, or publish elsewhere: `out` is the run's folder, `path` a step's";
            Halt::with(Exit::Locked, codes::LOCKED.id, &format!("the output is in use: {error}"), Some(help))
        }
        (_, Some(step)) => pipeline.halt_at_step(Exit::Failed, &codes::PUBLISH, step, chain(error)),
        (_, None) => Halt::new(Exit::Failed, &codes::PUBLISH, chain(error)),
    }
}

/// The rounds that have a part, by the names of their folders.
fn rounds(parts: &[Part]) -> BTreeSet<&str> {
    parts.iter().map(|part| part.path.split_once('/').map_or("", |(round, _)| round)).collect()
}

/// What the data of a step is made from: all that can be said without clocks and places.
fn lineage(plan: &Plan, step: usize, digests: &[Id], kept: Round) -> Map<String, Json> {
    let mut names = BTreeSet::new();
    models_behind(plan, step, &mut BTreeSet::new(), &mut names);
    let declared = plan.models.keys().map(String::as_str).zip(digests);
    let models: BTreeMap<&str, String> =
        declared.filter(|(name, _)| names.contains(name)).map(|(name, id)| (name, id.to_string())).collect();
    let described = &plan.steps[step];
    let mut object = json!({
        "pipeline": plan.name,
        "step": described.name,
        "step_digest": described.digest.to_string(),
        "seed": plan.seed,
        "models": models,
    });
    if kept > 0 && described.per_round {
        object["kept_rounds"] = kept.into();
    }
    object.as_object().cloned().unwrap_or_default()
}

/// Collects the declared models that the rows of `step` depend on.
fn models_behind<'a>(plan: &'a Plan, step: usize, seen: &mut BTreeSet<usize>, names: &mut BTreeSet<&'a str>) {
    if !seen.insert(step) {
        return;
    }
    let described = &plan.steps[step];
    for edge in described.inputs.iter().flat_map(|inlet| &inlet.edges) {
        models_behind(plan, edge.step, seen, names);
    }
    for used in &described.models {
        match &used.model {
            ModelRef::Step(maker) => models_behind(plan, *maker, seen, names),
            ModelRef::Declared(name) => {
                names.insert(name);
                if let Some(maker) = flow_operators::feeds(plan, name) {
                    models_behind(plan, maker, seen, names);
                }
            }
        }
    }
}
