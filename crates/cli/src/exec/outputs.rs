//! Publishing: the folder of every `write` step shows one whole snapshot, switched when a tick has settled.

use std::collections::{BTreeMap, BTreeSet};

use flow_data::{Id, Item};
use flow_dataflow::Session;
use flow_operators::{Publication, StepContext, publication};
use flow_plan::{ModelRef, Plan};
use flow_store::{Manifest, Part, Publisher, Snapshot};
use serde_json::{Map, Value as Json, json};

use super::captures::Captures;
use crate::halt::{Halt, chain};
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

/// The published folders of a pipeline.
pub(crate) struct Outputs(Vec<Output>);

/// The published folder of one `write` step.
pub(crate) struct Output {
    /// Index of the step.
    pub(crate) step: usize,
    /// Its folder and columns.
    pub(crate) publication: Publication,
    publisher: Publisher,
    per_round: bool,
    lineage: Map<String, Json>,
}

impl Outputs {
    /// Opens all folders before anything runs, so that one that cannot be written costs no work.
    pub(crate) fn open(pipeline: &Pipeline, digests: &[Id]) -> Result<Self, Halt> {
        let plan = &pipeline.plan;
        let mut outputs = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            let Some(publication) = publication(&StepContext { plan, step }) else { continue };
            let publisher = Publisher::open(&publication.folder).map_err(|error| {
                pipeline.halt_at_step(Exit::Failed, &codes::PUBLISH, &step.name, chain(&error))
            })?;
            let lineage = lineage(plan, at, digests);
            outputs.push(Output { step: at, publication, publisher, per_round: step.per_round, lineage });
        }
        Ok(Self(outputs))
    }

    /// The folders, in the order of the plan.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Output> {
        self.0.iter()
    }

    /// Publishes what has settled. While more rounds are to come (`last` is false), a snapshot that holds less than the
    /// published one is held back: a repeated run never takes away what it is about to find again.
    pub(crate) fn publish(
        &self,
        pipeline: &Pipeline,
        captures: &Captures,
        session: &Session,
        last: bool,
    ) -> Result<(), Halt> {
        let parts = captures.rows(session, "part");
        for output in &self.0 {
            let parts =
                parts.iter().filter(|(step, _)| *step == output.step).map(|(_, item)| output.part(item));
            output.publish(parts.collect(), last).map_err(|error| {
                let name = &pipeline.plan.steps[output.step].name;
                pipeline.halt_at_step(Exit::Failed, &codes::PUBLISH, name, chain(&error))
            })?;
        }
        Ok(())
    }
}

impl Output {
    /// The pattern that matches all published files.
    pub(crate) fn pattern(&self) -> String {
        let rounds = if self.per_round { "*/" } else { "" };
        format!("{}/current/{rounds}*.parquet", self.publication.folder.display())
    }

    fn publish(&self, parts: Vec<Part>, last: bool) -> Result<(), flow_store::Error> {
        if !last && self.holds(&parts) {
            return Ok(());
        }
        let Publication { columns, chat, .. } = &self.publication;
        self.publisher.publish(&Manifest::new(columns, *chat, parts, self.lineage.clone()))?;
        Ok(())
    }

    /// Whether readers see all of `parts` already. A snapshot that cannot be read shows them nothing.
    fn holds(&self, parts: &[Part]) -> bool {
        let Ok(Some(current)) = Snapshot::current(&self.publication.folder) else { return false };
        let held: BTreeSet<&Part> = current.manifest.parts.iter().collect();
        parts.iter().all(|part| held.contains(part))
    }

    /// The part that a row of the record `part` describes.
    fn part(&self, item: &Item) -> Part {
        let count = |at| u64::try_from(item.int(at).unwrap_or_default()).unwrap_or_default();
        let digest = item.row.id;
        let round = if self.per_round { format!("round={:03}/", item.row.round) } else { String::new() };
        let path = format!("{round}part-{:02}.{digest}.parquet", count(1));
        Part { path, digest, n_rows: count(2), n_bytes: count(3) }
    }
}

/// What the data of a step is made from: all that can be said without clocks and places.
fn lineage(plan: &Plan, step: usize, digests: &[Id]) -> Map<String, Json> {
    let mut names = BTreeSet::new();
    models_behind(plan, step, &mut BTreeSet::new(), &mut names);
    let declared = plan.models.keys().map(String::as_str).zip(digests);
    let models: BTreeMap<&str, String> =
        declared.filter(|(name, _)| names.contains(name)).map(|(name, id)| (name, id.to_string())).collect();
    let described = &plan.steps[step];
    let object = json!({
        "pipeline": plan.name,
        "step": described.name,
        "step_digest": described.digest.to_string(),
        "seed": plan.seed,
        "models": models,
    });
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
