//! What a finished run has to say: rows, metrics, training, files, time and memory.

mod dead_ends;
mod text;

use std::time::Instant;

use flow_data::{Item, Value, kind};
use flow_dataflow::{Session, StepCounts};
use flow_operators::{Models, StepContext, destination};
use flow_plan::{Plan, Step};
use serde::{Serialize, Serializer};

use super::captures::Captures;
use super::outputs::{Outputs, Shown};
use super::settle::Ending;
use crate::pipeline::{Pipeline, run_folder};
pub(super) use dead_ends::DeadEnd;

/// The closing report; its JSON form is what `--format json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pipeline: String,
    outcome: Ending,
    wall_s: f64,
    /// Most memory the process ever held; absent where the system does not tell.
    peak_memory_bytes: Option<u64>,
    steps: Vec<Rows>,
    metrics: Vec<Metric>,
    trainings: Vec<Training>,
    /// How far the loop went; absent without `rounds`.
    rounds: Option<Rounds>,
    outputs: Vec<Files>,
    checkpoints: Vec<Checkpoint>,
    /// Folder of the tables about the run.
    run: String,
    /// Steps that rejected every row, sources that rejected most.
    dead_ends: Vec<DeadEnd>,
    /// What was met on the way and did no harm.
    warnings: Vec<String>,
}

/// Rows through one step.
#[derive(Debug, Serialize)]
struct Rows {
    step: String,
    op: &'static str,
    rows_in: i64,
    #[serde(serialize_with = "as_map")]
    ports: Vec<(String, i64)>,
    rejected: i64,
    calls: u64,
    reused: u64,
}

/// The metric that is no share.
const PERPLEXITY: &str = "perplexity";

/// One metric over all problems, with its 95 % interval.
#[derive(Debug, Serialize)]
struct Metric {
    step: String,
    round: u32,
    metric: String,
    value: f64,
    low: f64,
    high: f64,
}

/// How far the loop went.
#[derive(Debug, Serialize)]
struct Rounds {
    /// Rounds that made a model, the least over all models that are fed back.
    ran: u32,
    of: u32,
    /// Why it ended early.
    ended_by: Option<String>,
    /// The step that made the least.
    #[serde(skip)]
    slowest: usize,
}

/// One training.
#[derive(Debug, Serialize)]
struct Training {
    step: String,
    round: u32,
    model: String,
    n_examples: i64,
    /// Examples that taught nothing, and ones that were cut, because they are too long.
    n_skipped: i64,
    n_truncated: i64,
    n_steps: i64,
    /// Loss of the first and the last optimiser step, in nats per completion token.
    loss: Option<(f32, f32)>,
    experts: Option<Experts>,
}

/// How the routed tokens of a training spread over the experts of all layers.
#[derive(Debug, Serialize)]
struct Experts {
    per_layer: usize,
    layers: usize,
    /// Smallest and largest share of a layer's tokens that one expert got.
    share: (f32, f32),
    /// Experts that got no token.
    dead: usize,
    /// Which they are: layer and expert, counted from 0.
    dead_experts: Vec<(usize, usize)>,
}

/// What readers see of one `write` step.
#[derive(Debug, Serialize)]
struct Files {
    step: String,
    /// The pattern that matches all its Parquet files.
    files: String,
    parts: usize,
    rows: u64,
}

/// The last checkpoint of one training step.
#[derive(Debug, Serialize)]
struct Checkpoint {
    step: String,
    folder: String,
}

impl Summary {
    /// Reads the settled session; `counts` are those of what is summed up.
    #[expect(clippy::too_many_arguments, reason = "each is a part of what is told")]
    pub(crate) fn new(
        pipeline: &Pipeline,
        captures: &Captures,
        outputs: &Outputs,
        session: &Session,
        counts: Vec<StepCounts>,
        models: &Models,
        started: Instant,
        warnings: Vec<String>,
    ) -> Self {
        let plan = &pipeline.plan;
        let name = |step: usize| plan.steps[step].name.clone();
        let placed =
            |kind: &str| captures.rows(session, kind).into_iter().map(|(step, item)| (name(step), item));
        let files = outputs.iter().map(|output| {
            let Shown { parts, rows } = output.shown();
            Files { step: name(output.step), files: output.pattern(), parts, rows }
        });
        Self {
            pipeline: plan.name.clone(),
            outcome: Ending::Done,
            peak_memory_bytes: peak_memory_bytes(),
            steps: plan.steps.iter().zip(counts).map(|(step, counts)| rows(step, counts)).collect(),
            metrics: metrics(
                placed("metric").filter_map(metric).chain(placed("perplexity").filter_map(perplexity)),
            ),
            trainings: placed("checkpoint").map(|(step, item)| training(step, &item)).collect(),
            rounds: rounds(plan, session),
            checkpoints: checkpoints(plan, captures, session, models),
            outputs: files.collect(),
            run: run_folder(plan).display().to_string(),
            dead_ends: DeadEnd::all(plan, captures, session),
            warnings,
            wall_s: started.elapsed().as_secs_f64(),
        }
    }
}

impl Rows {
    /// Whether the step asks models or other slow things.
    fn asks(&self) -> bool {
        self.calls + self.reused > 0
    }
}

fn rows(step: &Step, counts: StepCounts) -> Rows {
    let names = step.ports.iter().map(|port| port.name.clone());
    Rows {
        step: step.name.clone(),
        op: step.op,
        rows_in: counts.input,
        ports: names.zip(counts.ports).collect(),
        rejected: counts.rejected,
        calls: counts.calls,
        reused: counts.reused,
    }
}

/// Metrics over all problems, those of one step and round in the order of their names and K.
fn metrics(metrics: impl Iterator<Item = Metric>) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = metrics.collect();
    let rank = |metric: &Metric| {
        let (name, k) = metric.metric.split_once('@').unwrap_or((&metric.metric, ""));
        (name.to_owned(), k.parse::<u32>().unwrap_or_default())
    };
    for place in metrics.chunk_by_mut(|a, b| (&a.step, a.round) == (&b.step, b.round)) {
        place.sort_by_key(rank);
    }
    metrics
}

/// A row of the record `metric`; none for one that is restricted to a level.
fn metric((step, item): (String, Item)) -> Option<Metric> {
    if item.int(1).is_some() {
        return None;
    }
    Some(Metric {
        step,
        round: item.row.round,
        metric: item.text(0)?.to_owned(),
        value: item.float(2)?,
        low: item.float(3)?,
        high: item.float(4)?,
    })
}

/// A row of the record `perplexity`; none for one of a group.
fn perplexity((step, item): (String, Item)) -> Option<Metric> {
    if item.text(0).is_some() {
        return None;
    }
    let [value, low, high] = [1, 2, 3].map(|at| item.float(at));
    let metric = PERPLEXITY.to_owned();
    Some(Metric { step, round: item.row.round, metric, value: value?, low: low?, high: high? })
}

/// A row of the record `checkpoint`.
fn training(step: String, item: &Item) -> Training {
    let columns = kind("checkpoint").columns();
    let at = |name| columns.index(name).expect("the record kind has this column");
    let int = |name| item.int(at(name)).unwrap_or_default();
    let losses = floats(item.get(at("losses")));
    Training {
        step,
        round: item.row.round,
        model: item.row.id.to_string(),
        n_examples: int("n_examples"),
        n_skipped: int("n_skipped"),
        n_truncated: int("n_truncated"),
        n_steps: int("n_steps"),
        loss: losses.first().copied().zip(losses.last().copied()),
        experts: experts(int("n_experts"), floats(item.get(at("expert_load")))),
    }
}

impl Summary {
    /// The step that was to teach and why it did not, where the pipeline has a loop of which no round came to its end.
    pub(super) fn taught_nothing(&self) -> Option<(usize, &str)> {
        let rounds = self.rounds.as_ref().filter(|rounds| rounds.ran == 0 && rounds.of > 0)?;
        Some((rounds.slowest, rounds.ended_by.as_deref()?))
    }
}

fn rounds(plan: &Plan, session: &Session) -> Option<Rounds> {
    let rounds = plan.rounds.as_ref()?;
    let name = |step: usize| &plan.steps[step].name;
    let last = |step: usize| session.rows(step, Some(0)).keys().map(|row| row.round).max().unwrap_or(0);
    let (ran, slowest) = rounds.feed.iter().map(|feed| (last(feed.step), feed.step)).min()?;
    let gate = session.network().rounds.gate;
    let closed = gate.filter(|(gate, port)| !session.rows(*gate, Some(*port)).is_empty());
    let why = match closed {
        Some((gate, _)) => format!("gate `{}` closed", name(gate)),
        None => format!("`{}` had nothing to train on", name(slowest)),
    };
    Some(Rounds { ran, of: rounds.count, ended_by: (ran < rounds.count).then_some(why), slowest })
}

/// Where the last checkpoint of each training step lies: in the folder it names, else in the store.
fn checkpoints(plan: &Plan, captures: &Captures, session: &Session, models: &Models) -> Vec<Checkpoint> {
    let rows = captures.rows(session, "checkpoint");
    let last = rows.chunk_by(|a, b| a.0 == b.0).filter_map(<[_]>::last);
    let checkpoint = |(step, item): &(usize, Item)| {
        let step = &plan.steps[*step];
        let folder = destination(&StepContext { plan, step }).unwrap_or_else(|| models.path(&item.row.id));
        Checkpoint { step: step.name.clone(), folder: folder.display().to_string() }
    };
    last.map(checkpoint).collect()
}

fn as_map<S: Serializer>(ports: &[(String, i64)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(ports.iter().map(|(name, count)| (name, count)))
}

fn floats(value: &Value) -> &[f32] {
    match value {
        Value::Floats(floats) => floats,
        _ => &[],
    }
}

fn experts(n_experts: i64, load: &[f32]) -> Option<Experts> {
    let per_layer = usize::try_from(n_experts).ok().filter(|n| *n > 0 && !load.is_empty())?;
    // A layer without experts has no shares.
    let layers =
        load.chunks(per_layer).enumerate().filter(|(_, shares)| shares.iter().any(|share| *share > 0.0));
    let layers: Vec<(usize, &[f32])> = layers.collect();
    let shares = || {
        layers
            .iter()
            .flat_map(|(layer, shares)| shares.iter().enumerate().map(|(e, share)| ((*layer, e), *share)))
    };
    let share = |pick: fn(f32, f32) -> f32| shares().map(|(_, share)| share).reduce(pick).unwrap_or_default();
    let dead_experts: Vec<_> = shares().filter(|(_, share)| *share == 0.0).map(|(at, _)| at).collect();
    Some(Experts {
        per_layer,
        layers: layers.len(),
        share: (share(f32::min), share(f32::max)),
        dead: dead_experts.len(),
        dead_experts,
    })
}

/// The high-water mark of resident memory, from Linux's `/proc/self/status`.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use flow_data::{Heap, Id};

    use super::*;

    #[test]
    fn trainings_tell_what_was_too_long() {
        let cells = kind("checkpoint").columns().visible().map(|(_, column)| match &*column.name {
            "n_examples" => 90.into(),
            "n_skipped" => 0.into(),
            "n_truncated" => 7.into(),
            "n_steps" => 3.into(),
            "losses" => Value::Floats([2.0, 1.5, 1.0].into()),
            _ => Value::Null,
        });
        let item = Item::new(&Heap::new(), 1, Id::default(), cells.collect());
        let training = training("learner".to_owned(), &item);
        assert_eq!(text::trained(&training), "90 examples, 7 truncated, 3 steps, loss 2.000 to 1.000");
    }

    #[test]
    fn experts_are_summed_up_over_layers() {
        let experts = experts(2, &[0.25, 0.75, 0.0, 1.0]).unwrap();
        assert_eq!((experts.per_layer, experts.layers, experts.share, experts.dead), (2, 2, (0.0, 1.0), 1));
        assert!(super::experts(0, &[]).is_none());
    }

    #[test]
    fn memory_is_known_on_linux() {
        assert_eq!(peak_memory_bytes().is_some_and(|bytes| bytes > 1 << 20), cfg!(target_os = "linux"));
    }
}
