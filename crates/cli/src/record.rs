//! What the last run of a pipeline did, kept in the store: what a plan, and `why`, compare with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_data::{Id, Round, kind};
use flow_dataflow::{Sample, Session, StepCounts};
use flow_operators::Models;
use flow_plan::Plan;
use flow_spec::Folder;
use flow_store::Records;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::changes::{self, changes};
use crate::exec::Captures;
use crate::halt::{Halt, chain};
use crate::kept::{self, KeptRow};
use crate::setup::Setup;
use crate::turnover::{by_outlet, is_any};
use crate::{Exit, codes};

/// Raised when the form changes; a record of another form is as none.
const FORM: u32 = 1;

/// A run, or as much of one as had settled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    form: u32,
    /// Seed of every random choice.
    pub(crate) seed: u64,
    /// Rounds that had settled.
    pub(crate) rounds: Round,
    /// The declared models by name.
    pub(crate) models: BTreeMap<String, ModelRecord>,
    /// What trainings were computed by; none in old records.
    #[serde(default)]
    pub(crate) computer: Option<String>,
    /// The steps by name.
    pub(crate) steps: BTreeMap<String, StepRecord>,
    /// The rows that a later run could keep as they are; in a part of their own.
    #[serde(skip)]
    pub(crate) kept: Vec<KeptRow>,
    /// Which rows each port held; in a part of its own for each.
    #[serde(skip)]
    samples: Vec<Sample>,
}

/// The identity of a model, part by part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModelRecord {
    /// Digest of shape and settings.
    pub(crate) config: Id,
    /// Digest of the weights.
    pub(crate) weights: Id,
    /// Digest of the tokenizer and the chat template.
    pub(crate) tokenizer: Id,
    /// How a checkpoint is asked, beside what its files say.
    #[serde(default)]
    pub(crate) manner: String,
}

/// One step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    /// The operator.
    pub(crate) op: String,
    /// Its version.
    pub(crate) version: u32,
    /// Its keys, secrets as they are written.
    pub(crate) config: Json,
    /// Where its rows come from.
    pub(crate) from: Vec<String>,
    /// Its ports, `rejected` last, each with the position of its sample.
    pub(crate) ports: BTreeMap<String, usize>,
    /// What its effects took, by round.
    pub(crate) efforts: BTreeMap<Round, Effort>,
    /// Requests that the run asked.
    pub(crate) calls: u64,
    /// Requests that were answered from the store.
    pub(crate) reused: u64,
    /// What was different from the run before.
    pub(crate) because: Vec<String>,
}

/// What the effects of a step took in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effort {
    /// Requests.
    pub(crate) requests: u64,
    /// Tokens that models wrote.
    pub(crate) tokens: u64,
    /// Optimiser steps.
    pub(crate) training_steps: u64,
}

impl Record {
    /// What `session` holds now. `ledger` says what was different from the run before, `counts` what this one asked.
    pub(crate) fn new(
        plan: &Plan,
        ledger: &Ledger,
        captures: &Captures,
        session: &Session,
        counts: &[StepCounts],
        rounds: Round,
    ) -> Self {
        let (censuses, efforts) = (session.censuses(), session.efforts());
        let mut because = ledger.reasons(plan, session, counts);
        let mut samples = Vec::new();
        let mut steps = BTreeMap::new();
        for (at, step) in plan.steps.iter().enumerate() {
            let names = step.ports.iter().map(|port| port.name.as_str()).chain(["rejected"]);
            let mut ports = BTreeMap::new();
            for (name, census) in names.zip(&censuses[at]) {
                ports.insert(name.to_owned(), samples.len());
                samples.push(census.sample().clone());
            }
            let record = StepRecord {
                op: step.op.to_owned(),
                version: step.version,
                config: step.written.clone(),
                from: references(plan, at),
                ports,
                efforts: ledger
                    .efforts_before(&step.name, session.network().rounds.kept)
                    .chain(efforts_of(plan, session, at, &efforts[at]))
                    .collect(),
                calls: counts[at].calls,
                reused: counts[at].reused,
                because: std::mem::take(&mut because[at]),
            };
            steps.insert(step.name.clone(), record);
        }
        let kept = kept::rows(plan, captures, session);
        let (models, computer) = (ledger.models.clone(), Some(ledger.computer.clone()));
        Self { form: FORM, seed: plan.seed, rounds, models, computer, steps, kept, samples }
    }

    /// The rows that a port of a step held.
    pub(crate) fn sample(&self, step: &str, port: &str) -> Option<&Sample> {
        self.samples.get(*self.steps.get(step)?.ports.get(port)?)
    }

    /// The record of the last run of `plan` from the store in `folder`.
    pub(crate) fn load(folder: &Path, plan: &Plan) -> Result<Option<Self>, Halt> {
        let parts = records(folder).load(&pipeline_id(plan));
        let parts = parts.map_err(|error| Halt::new(Exit::Failed, &codes::STORE, chain(&error)))?;
        Ok(parts.and_then(|parts| Self::from_parts(&parts)))
    }

    /// Whether there is a record of `plan` in the store in `folder`, which may be damaged.
    pub(crate) fn is_there(folder: &Path, plan: &Plan) -> bool {
        records(folder).has(&pipeline_id(plan))
    }

    /// Takes the place of the record of the last run.
    pub(crate) fn save(&self, folder: &Path, plan: &Plan) -> Result<(), Halt> {
        let head = serde_json::to_vec(self).expect("a record has text keys and finite depth");
        let parts: Vec<Vec<u8>> = [head, KeptRow::to_bytes(&self.kept)]
            .into_iter()
            .chain(self.samples.iter().map(Sample::to_bytes))
            .collect();
        let saved = records(folder).save(&pipeline_id(plan), &parts);
        saved.map_err(|error| Halt::new(Exit::Failed, &codes::STORE, chain(&error)))
    }

    fn from_parts(parts: &[Vec<u8>]) -> Option<Self> {
        let ([head, kept], samples) = parts.split_first_chunk()?;
        let record: Self = serde_json::from_slice(head).ok()?;
        let samples = samples.iter().map(|bytes| Sample::from_bytes(bytes)).collect::<Option<_>>()?;
        (record.form == FORM).then_some(Self { kept: KeptRow::from_bytes(kept)?, samples, ..record })
    }
}

/// Writes down what a run does.
pub(crate) struct Ledger {
    folder: PathBuf,
    models: BTreeMap<String, ModelRecord>,
    computer: String,
    because: BTreeMap<String, Vec<String>>,
    /// What the last run wrote down.
    pub(crate) last: Option<Record>,
    /// What this one has written down last, of a change that has settled.
    written: Option<Record>,
}

impl Ledger {
    /// Compares `setup` with the last run.
    pub(crate) fn open(setup: &Setup) -> Result<Self, Halt> {
        let plan = &setup.pipeline.plan;
        let models = ModelRecord::all(plan, &setup.models, &setup.digests);
        let last = Record::load(&setup.folder, plan)?;
        let computer = setup.models.computer();
        let because = last.as_ref().map(|last| changes(plan, &models, &computer, last)).unwrap_or_default();
        Ok(Self { folder: setup.folder.clone(), models, computer, because, last, written: None })
    }

    /// What follows is compared with `record`, and is different from it in its rows only.
    pub(crate) fn settled(&mut self, record: Record) {
        self.because.clear();
        self.written = Some(record);
    }

    /// What was different for each step: by itself, in the rows it reads, in the model it draws from.
    fn reasons(&self, plan: &Plan, session: &Session, counts: &[StepCounts]) -> Vec<Vec<String>> {
        let Some(last) = self.written.as_ref().or(self.last.as_ref()) else {
            return vec![vec!["it was the first run from this store".to_owned()]; plan.steps.len()];
        };
        let turnovers = by_outlet(plan, session, Some(last));
        let reasons = |at: usize| {
            let mut words = self.because.get(&plan.steps[at].name).cloned().unwrap_or_default();
            if turnovers[at].iter().any(is_any) || counts[at].calls > 0 {
                words.extend(changes::of_rows(plan, at, &turnovers));
            }
            words
        };
        (0..plan.steps.len()).map(reasons).collect()
    }

    /// What a step took in the rounds that stay as they were, the first `kept`.
    fn efforts_before(&self, step: &str, kept: Round) -> impl Iterator<Item = (Round, Effort)> {
        let before = self.last.as_ref().and_then(|last| last.steps.get(step));
        let efforts = before.into_iter().flat_map(|step| &step.efforts);
        efforts.filter(move |(round, _)| **round <= kept && kept > 0).map(|(round, effort)| (*round, *effort))
    }

    /// Writes down what `session` holds now and `counts` say, with `rounds` of the loop settled.
    pub(crate) fn write(
        &self,
        plan: &Plan,
        captures: &Captures,
        session: &Session,
        counts: &[StepCounts],
        rounds: Round,
    ) -> Result<Record, Halt> {
        let record = Record::new(plan, self, captures, session, counts, rounds);
        record.save(&self.folder, plan)?;
        Ok(record)
    }
}

impl ModelRecord {
    /// The parts of the declared models of `plan`, which `models` has loaded under `digests`.
    pub(crate) fn all(plan: &Plan, models: &Models, digests: &[Id]) -> BTreeMap<String, Self> {
        let named = plan.models.iter().zip(digests);
        let parts = named.filter_map(|((name, model), digest)| {
            let [config, weights, tokenizer] = models.part_digests(digest)?;
            let manner = model.checkpoint().map(Folder::manner).unwrap_or_default();
            Some((name.clone(), Self { config, weights, tokenizer, manner }))
        });
        parts.collect()
    }
}

/// Where the rows of a step come from, as the user would write it.
pub(crate) fn references(plan: &Plan, step: usize) -> Vec<String> {
    let edges = plan.steps[step].inputs.iter().flat_map(|inlet| &inlet.edges);
    edges.map(|edge| plan.reference(*edge)).collect()
}

/// A pipeline is known by its name and by where it publishes, wherever its file lies.
fn pipeline_id(plan: &Plan) -> Id {
    let out = std::path::absolute(&plan.out).unwrap_or_else(|_| plan.out.clone().into());
    Id::of("pipeline", [plan.name.as_bytes(), out.as_os_str().as_encoded_bytes()])
}

fn records(folder: &Path) -> Records {
    Records::new(&folder.join("records"))
}

fn efforts_of(
    plan: &Plan,
    session: &Session,
    step: usize,
    efforts: &BTreeMap<Round, flow_dataflow::Effort>,
) -> BTreeMap<Round, Effort> {
    let whole = |n: i64| u64::try_from(n).unwrap_or_default();
    let effort = |(round, effort): (&Round, &flow_dataflow::Effort)| {
        let training_steps = training_steps(plan, session, step, *round);
        (*round, Effort { requests: whole(effort.requests), tokens: whole(effort.tokens), training_steps })
    };
    efforts.iter().map(effort).collect()
}

/// Optimiser steps of the training that `step` did in `round`.
fn training_steps(plan: &Plan, session: &Session, step: usize, round: Round) -> u64 {
    let checkpoint = kind("checkpoint").columns();
    if plan.steps[step].ports[0].columns != *checkpoint {
        return 0;
    }
    let at = checkpoint.index("n_steps").expect("the record kind has this column");
    let rows = session.rows(step, Some(0));
    let items =
        rows.keys().filter(|row| row.round == round).map(|row| flow_data::Item::load(session.heap(), *row));
    items.filter_map(|item| u64::try_from(item.int(at)?).ok()).sum()
}
