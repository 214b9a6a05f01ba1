//! Publishing: the folder of every `write` step shows one whole snapshot, switched when a tick has settled.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flow_data::{Id, Round};
use flow_dataflow::{Port, Session};
use flow_operators::{Publication, Settled, StepContext, publication};
use flow_plan::{ModelRef, Plan};
use flow_store::{Error, Manifest, Part, Publisher, RunLock, Snapshot};
use serde_json::{Map, Value as Json, json};

use crate::halt::{Halt, chain};
use crate::pipeline::{Pipeline, run_folder};
use crate::{Exit, codes};

/// The port of a `write` step that names its parts.
const PARTS: Port = 0;

/// The published folders of a pipeline. Nobody else publishes in them until they are dropped.
pub(crate) struct Outputs {
    outputs: Vec<Output>,
    /// The lock of the folder with the tables of the run.
    lock: RunLock,
}

/// The published folder of one `write` step.
pub(crate) struct Output {
    /// Index of the step.
    pub(crate) step: usize,
    /// Its folder and columns.
    pub(crate) publication: Publication,
    publisher: Publisher,
    /// Its parts when it was published last.
    settled: RefCell<Settled>,
    /// What readers see of it.
    shown: Cell<Shown>,
    lineage: Map<String, Json>,
    lock: RunLock,
}

/// How far a run has come when it publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A round has settled, and more are to come.
    Round,
    /// All has settled of a run of fewer rounds, or steps, than the pipeline says.
    Part,
    /// All has settled.
    Whole,
}

/// The size of what readers see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown {
    /// Parquet files.
    pub(crate) parts: usize,
    /// Rows in them.
    pub(crate) rows: u64,
}

impl Shown {
    fn of(parts: &[Part]) -> Self {
        Self { parts: parts.len(), rows: parts.iter().map(|part| part.n_rows).sum() }
    }
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
            outputs.push(Output {
                step: at,
                publication,
                publisher,
                settled: RefCell::default(),
                shown: Cell::default(),
                lineage: lineage(plan, at, digests, kept),
                lock,
            });
        }
        Ok(Self { outputs, lock: run_lock })
    }

    /// A folder that was opened, and that somebody has removed or put another in the place of.
    pub(crate) fn removed(&self) -> Option<&Path> {
        let locks = self.outputs.iter().map(|output| &output.lock).chain([&self.lock]);
        locks.filter(|lock| !lock.stands()).find_map(|lock| lock.path().parent())
    }

    /// The folders, in the order of the plan.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Output> {
        self.outputs.iter()
    }

    /// Publishes what has settled. A snapshot that lacks a round of the published one is held back while more rounds are to
    /// come, and at the end of a part where it says nothing new: neither a repeated nor an interrupted run takes rounds away
    /// from readers. A part that differs in what it has takes the place of all rounds: the others rest on what it replaced.
    pub(crate) fn publish(&self, pipeline: &Pipeline, session: &Session, reach: Reach) -> Result<(), Halt> {
        for output in &self.outputs {
            let name = &pipeline.plan.steps[output.step].name;
            let published = output.publish(output.parts(session), reach);
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
        let rounds = if self.publication.per_round { "*/" } else { "" };
        format!("{}/current/{rounds}*.parquet", self.publication.folder.display())
    }

    fn publish(&self, parts: Vec<Part>, reach: Reach) -> Result<(), Error> {
        if let Some(published) = self.publisher.current()
            && stays(&published, &parts, reach)
        {
            self.shown.set(Shown::of(&published));
            return Ok(());
        }
        self.shown.set(Shown::of(&parts));
        let Publication { columns, chat, .. } = &self.publication;
        self.publisher.publish(&Manifest::new(columns, *chat, parts, self.lineage.clone()))?;
        Ok(())
    }

    /// How many rows readers would lose to none at all, where nothing has settled; none where they would not.
    pub(crate) fn lost(&self, session: &Session) -> Option<u64> {
        if Shown::of(&self.parts(session)).rows > 0 {
            return None;
        }
        let published = Snapshot::current(&self.publication.folder).ok()??;
        Some(Shown::of(&published.manifest.parts).rows).filter(|rows| *rows > 0)
    }

    /// The size of what readers see, which may go further than what has settled.
    pub(crate) fn shown(&self) -> Shown {
        self.shown.get()
    }

    /// The parts that have settled in the run.
    pub(crate) fn parts(&self, session: &Session) -> Vec<Part> {
        self.read(session, &mut self.settled.borrow_mut())
    }

    /// The parts that have settled in another session of the same pipeline.
    pub(crate) fn computed(&self, session: &Session) -> Vec<Part> {
        self.read(session, &mut Settled::default())
    }

    fn read(&self, session: &Session, settled: &mut Settled) -> Vec<Part> {
        self.publication.parts(session.heap(), session.rows(self.step, Some(PARTS)).into_keys(), settled)
    }
}

/// Whether the `published` parts stay where a run that has come so far has made `parts`: they have a round that these lack.
fn stays(published: &[Part], parts: &[Part], reach: Reach) -> bool {
    let goes_further = !rounds(published).is_subset(&rounds(parts));
    let is_repeated = || parts.iter().all(|part| published.iter().any(|other| other.path == part.path));
    match reach {
        Reach::Round => goes_further,
        Reach::Part => goes_further && is_repeated(),
        Reach::Whole => false,
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
