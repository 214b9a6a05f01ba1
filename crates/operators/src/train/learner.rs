//! What the steps that train have in common: parts to examples, a start to a checkpoint that is kept.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_data::{Id, Item, Type, Value};
use flow_dataflow::{Failure, KeyedOp, Out, Perform, Request};
use flow_model::Checkpoint;
use flow_plan::{Edge, Input, Problem};
use flow_store::Parts;
use flow_trainer::{Example, Saved, StepReport, TrainConfig, Trained};

use super::course::ProductPrecision;
use super::examples::{self, Columns, Row};
use super::groups::Groups;
use super::{learned, loads, preferences, validation};
use crate::conversation::Manner;
use crate::write::publication;
use crate::{Env, Models, Remarks, StepContext};

/// Refuses an input that is not of parts.
pub(crate) fn needs_parts(op: &str, input: &Input<'_>) -> Result<(), Vec<Problem>> {
    if input.column("from", "part").is_ok() {
        return Ok(());
    }
    let problem = Problem::new("from", format!("expected the parts of a `write` step, `{}` has none", input.reference));
    Err(vec![problem.with_help(format!("put a `write` step before `{op}`"))])
}

/// Refuses columns, each with the key that names it and its types, that the parts which arrive at `step` do not have.
pub(crate) fn need_columns(step: &StepContext<'_>, needed: &[(&str, &str, &[Type])]) -> Vec<Problem> {
    let edges = step.step.inputs.iter().flat_map(|inlet| &inlet.edges);
    let writers = edges.map(|edge| StepContext { step: &step.plan.steps[edge.step], ..*step });
    let problems = writers.flat_map(|writer| {
        let columns = publication(&writer).map(|publication| publication.columns);
        let input = columns.as_ref().map(|columns| Input { reference: &writer.step.name, columns, is_known: true });
        let missing = |(key, name, kinds): &(&str, &str, &[Type])| input.and_then(|input| input.column_of(key, name, kinds).err());
        needed.iter().filter_map(missing).collect::<Vec<_>>()
    });
    problems.collect()
}

/// One data set a round: its parts, or those of all rounds up to it, sorted by digest.
pub(crate) struct Gather {
    part: usize,
    n_rows: usize,
    accumulates: bool,
}

impl Gather {
    /// For the rows of parts that arrive at `step`.
    pub(crate) fn new(step: &StepContext<'_>, accumulates: bool) -> Self {
        Self { part: step.column("part"), n_rows: step.column("n_rows"), accumulates }
    }
}

impl KeyedOp for Gather {
    fn key(&self, _: &Item) -> Id {
        Id::default()
    }

    fn across_rounds(&self) -> bool {
        self.accumulates
    }

    /// Items come in the order of their rounds.
    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        items.iter().for_each(|item| out.take(item));
        let mut parts: BTreeMap<&str, i64> = BTreeMap::new();
        for round in items.chunk_by(|a, b| a.row.round == b.row.round) {
            let of_round = round.iter().filter_map(|item| Some((item.text(self.part)?, item.int(self.n_rows)?)));
            parts.extend(of_round);
            let n_rows: i64 = parts.values().sum();
            let dataset = Id::of("dataset", parts.keys().map(|part| part.as_bytes()));
            let cells = vec![Value::texts(parts.keys().copied()), n_rows.into()];
            out.create(0, round[0].row.round, dataset, cells);
        }
    }
}

/// Characters of an example that are shown.
const SHOWN: usize = 400;

/// The digest of the checkpoint that an answer tells of.
pub(crate) fn digest(answer: &[Value]) -> Option<Id> {
    match answer.first() {
        Some(Value::Text(digest)) => digest.parse().ok(),
        _ => None,
    }
}

/// Answers each of `requests` by what `train` makes of it, until the run is stopped. A training that fails ends the run, for `reason`.
pub(crate) fn answer(
    reason: &'static str,
    requests: &[Request],
    perform: &Perform,
    train: impl Fn(&Request) -> Result<Option<Vec<Value>>, String>,
) {
    for (at, request) in requests.iter().enumerate() {
        match train(request) {
            Ok(Some(cells)) => perform.answer(at, Ok(cells)),
            Ok(None) => return,
            Err(detail) => perform.answer(at, Err(Failure { reason, detail, fatal: true })),
        }
    }
}

/// Where parts and checkpoints lie.
pub(crate) struct Learner {
    folders: Vec<PathBuf>,
    pub(crate) models: Arc<Models>,
    pub(crate) threads: usize,
    pub(crate) manner: Manner,
    /// The step that trains.
    step: String,
    /// Columns that the use of experts is told by.
    report_by: Vec<String>,
    precision: ProductPrecision,
    remarks: Remarks,
}

impl Learner {
    /// For the parts that the steps before `step` publish; the use of experts is told by the columns `report_by` as well.
    pub(crate) fn new(step: &StepContext<'_>, env: &Env, report_by: &[String], precision: ProductPrecision) -> Self {
        let producer = |edge: &Edge| StepContext { step: &step.plan.steps[edge.step], ..*step };
        let edges = step.step.inputs[0].edges.iter();
        let folders = edges.filter_map(|edge| Some(publication(&producer(edge))?.folder)).collect();
        Self {
            folders,
            models: env.models.clone(),
            threads: env.threads,
            manner: Manner::of(step),
            step: step.step.name.clone(),
            report_by: report_by.to_vec(),
            precision,
            remarks: env.remarks.clone(),
        }
    }

    /// What its trainings are computed by, as their keys name it: the CPU knows one precision.
    pub(crate) fn computer(&self) -> String {
        match (self.models.learns_on_gpu(), self.precision) {
            (true, ProductPrecision::Bf16) => self.models.computer() + ", bf16",
            _ => self.models.computer(),
        }
    }

    /// Whether the checkpoint that an answer tells of is still in the store.
    pub(crate) fn has(&self, answer: &[Value]) -> bool {
        digest(answer).is_some_and(|digest| self.models.has(&digest))
    }

    /// The examples of a data set for the model that it is asked for: of all rows, or of those whose column has a value.
    pub(crate) fn rows(
        &self,
        request: &Request,
        columns: Columns<'_>,
        only: Option<(&str, &str)>,
    ) -> Result<Vec<Row>, String> {
        let parts = self.parts(request)?;
        let start = self.manner.is_chat().then(|| self.checkpoint(request.model)).transpose()?;
        let template = start.as_ref().and_then(|start| start.tokenizer.chat_template());
        let conversation = self.manner.conversation(template)?;
        let rows = examples::read(&parts, columns, only, conversation.as_ref())?;
        match (rows.is_empty(), only) {
            (false, _) => Ok(rows),
            (true, None) => Err("the data set has no rows".into()),
            (true, Some((column, value))) => {
                let there = examples::values(&parts, column)?.join("`, `");
                let domains = format!("name them in `steps.{}.domains`", self.step);
                Err(format!("the data set has no rows whose `{column}` is `{value}`; there are `{there}`: {domains}"))
            }
        }
    }

    pub(crate) fn checkpoint(&self, model: Option<Id>) -> Result<Checkpoint, String> {
        let model = self.models.checkpoint(&model.unwrap_or_default()).map_err(|e| crate::text::chain(&e))?;
        Ok(Checkpoint::clone(&model))
    }

    /// Trains, and keeps what comes of it: the cells of the record `checkpoint` and of [`loads`], none when the run was stopped. A training that
    /// was killed goes on where it rested last.
    pub(crate) fn learn(
        &self,
        start: &Checkpoint,
        mut rows: Vec<Row>,
        settings: TrainConfig,
        save_steps: u32,
        request: &Request,
        perform: &Perform,
    ) -> Result<Option<Vec<Value>>, String> {
        let saved = Saved { path: self.models.training(&request.key), identity: request.key.0, every: save_steps as usize };
        let settings = TrainConfig { saved: Some(saved.clone()), rendered: self.manner.is_chat(), ..settings };
        let n_validated = settings.validation.as_ref().map_or(0, |validation| validation.examples.len());
        let groups = Groups::assign(&self.report_by, &mut rows)?;
        let (ids, examples): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.id, row.example)).unzip();
        self.show(&examples, n_validated);
        let mut observe = |report: &StepReport| {
            perform.within(report.step as u64, report.steps as u64);
            match perform.cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let device = self.models.gpu_to_train(self.precision.rounding())?;
        let trained = flow_trainer::train_on(device.as_ref(), start, &examples, &settings, &mut observe)
            .map_err(|e| crate::text::chain(&e))?;
        if trained.report.stopped {
            return Ok(None);
        }
        let cells = self.keep(trained, &ids, &groups, n_validated, request)?;
        saved.discard().map_err(|error| format!("cannot remove {}: {error}", saved.path.display()))?;
        Ok(Some(cells))
    }

    /// Says something about the step.
    pub(crate) fn remark(&self, words: &str) {
        self.remarks.add(format!("{} {words}", self.step));
    }

    /// Says what is learned, by the first example: what mistakes in templates and columns look like.
    fn show(&self, examples: &[Example], n_validated: usize) {
        let Some(Example { prompt, completion, rejected, .. }) = examples.first() else { return };
        let shown = |text: &str| format!("{:?}", crate::text::head(text, SHOWN));
        let learned = match rejected {
            Some(rejected) => format!("learns to prefer {} to {}", shown(completion), shown(rejected)),
            None => format!("learns {}", shown(completion)),
        };
        let prompt = shown(prompt);
        let n = examples.len();
        let validation = if n_validated == 0 { String::new() } else { format!(" and is measured on {n_validated}") };
        self.remark(&format!("learns from {n} examples{validation}; after {prompt} it {learned}"));
    }

    /// The parts of a data set, in the order of their digests.
    pub(crate) fn parts(&self, request: &Request) -> Result<Vec<PathBuf>, String> {
        let Value::Texts(parts) = request.item.get(0) else { return Err("the data set names no parts".into()) };
        parts
            .iter()
            .map(|part| {
                let digest: Id = part.parse().map_err(|error: flow_data::ParseIdError| error.to_string())?;
                let paths = self.folders.iter().map(|folder| Parts::new(folder).path(&digest));
                for path in paths {
                    if Parts::is_whole(&path, &digest).map_err(|error| crate::text::chain(&error))? {
                        return Ok(path);
                    }
                }
                Err(format!("part {part} is missing or damaged: run again, and it is published anew"))
            })
            .collect()
    }

    fn keep(
        &self,
        trained: Trained,
        ids: &[Arc<str>],
        groups: &Groups,
        n_validated: usize,
        request: &Request,
    ) -> Result<Vec<Value>, String> {
        let Trained { checkpoint, adapter, report } = trained;
        let n_experts = checkpoint.config.moe.as_ref().map_or(0, |moe| moe.num_experts);
        let losses: Vec<f32> = report.steps.iter().map(|step| step.loss as f32).collect();
        let course = loads::cells(&report.steps).into_iter().chain(validation::cells(&report.steps, n_validated));
        let course = course.chain(groups.cells(&report.steps)).chain(preferences::cells(&report.steps));
        let packed = checkpoint.packed();
        let digest = Id(packed.digest());
        let beside = |folder: &Path| {
            learned::write(folder, &digest, &report.learned, ids)?;
            adapter.map_or(Ok(()), |adapter| adapter.save(&folder.join("adapter")))
        };
        let model = self.models.keep_with(packed, beside).map_err(|error| crate::text::chain(&error))?;
        let cells: [Value; loads::CHECKPOINT] = [
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
        ];
        Ok(cells.into_iter().chain(course).collect())
    }
}

/// The share of visits each expert had over all steps, layer by layer.
fn expert_load(steps: &[StepReport]) -> Vec<f32> {
    let layers = steps.first().map_or(0, |step| step.layers.len());
    (0..layers).flat_map(|layer| loads::shares(steps, layer)).collect()
}
