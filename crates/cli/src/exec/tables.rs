//! What a run says of itself, as Parquet in `OUT/run`: one table for each record kind.

use std::fs;
use std::path::Path;

use flow_data::{Cell, Column, Columns, Id, IdHasher, Item, Type, Value, kind};
use flow_dataflow::{Session, StepCounts};
use flow_plan::{Plan, Step};
use flow_store::{Cells, write_table};

use super::settle::{Ending, Run};
use crate::halt::{Halt, chain};
use crate::pipeline::run_folder;
use crate::{Exit, codes};

/// Record kinds with a table of their own, and its name.
const TABLES: [(&str, &str); 9] = [
    ("checkpoint", "checkpoints"),
    ("expert_load", "experts"),
    ("validation", "validations"),
    ("metric", "metrics"),
    ("score", "problems"),
    ("perplexity", "perplexities"),
    ("likelihood", "likelihoods"),
    ("comparison", "comparisons"),
    ("gate", "gates"),
];

/// Writes all tables; one whose rows no step makes any more is removed.
pub(crate) fn write(run: &Run<'_>, session: &Session, ending: Ending) -> Result<(), Halt> {
    let plan = &run.pipeline().plan;
    let folder = run_folder(plan);
    fs::create_dir_all(&folder).map_err(|error| unwritable("create", &folder, &error))?;
    put(&folder, "runs", kind("run").columns(), &[run_row(run, session, ending)])?;
    put(&folder, "steps", kind("step").columns(), &step_rows(plan, run.counts(session)))?;
    put(&folder, "efforts", &placed("effort"), &effort_rows(plan, session))?;
    let rejected = run.captures.rejected(session);
    let rejected: Vec<_> =
        rejected.iter().map(|(step, item)| Rejected::new(&plan.steps[*step], item)).collect();
    put(&folder, "rejects", kind("rejected").columns(), &rejected)?;
    for (record, name) in TABLES {
        if run.captures.has(record) {
            let rows = run.captures.rows(session, record);
            let rows = rows.iter().map(|(step, item)| placed_row(plan, *step, item, record));
            put(&folder, name, &placed(record), &rows.collect::<Vec<_>>())?;
        } else {
            remove(&folder.join(name).with_extension("parquet"))?;
        }
    }
    Ok(())
}

fn put<R: Cells + Sync>(folder: &Path, name: &str, columns: &Columns, rows: &[R]) -> Result<(), Halt> {
    let path = folder.join(name).with_extension("parquet");
    write_table(&path, columns, rows).map_err(|error| Halt::new(Exit::Failed, &codes::PUBLISH, chain(&error)))
}

/// Identity of all that the plan computes.
pub(super) fn plan_digest(plan: &Plan) -> Id {
    let mut hasher = IdHasher::new("plan");
    hasher.part(plan.name.as_bytes()).part(&plan.seed.to_le_bytes());
    for step in &plan.steps {
        hasher.part(step.name.as_bytes()).part(&step.digest.0);
    }
    hasher.finish()
}

fn run_row(run: &Run<'_>, session: &Session, ending: Ending) -> Vec<Value> {
    let plan = &run.pipeline().plan;
    let calls: u64 = run.counts(session).iter().map(|counts| counts.calls).sum();
    vec![
        plan.name.as_str().into(),
        plan_digest(plan).to_string().into(),
        env!("CARGO_PKG_VERSION").into(),
        // Arrow has no unsigned twin of this column; the bits are the seed's.
        Value::Int(plan.seed as i64),
        Value::Int(run.workers().into()),
        ending.word().into(),
        run.started.elapsed().as_secs_f64().into(),
        count(calls),
    ]
}

fn step_rows(plan: &Plan, counts: Vec<StepCounts>) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for (step, counts) in plan.steps.iter().zip(counts) {
        let ports = step.ports.iter().map(|port| port.name.as_str()).zip(counts.ports.iter().copied());
        for (port, n_rows) in ports.chain([("rejected", counts.rejected)]) {
            rows.push(vec![
                step.name.as_str().into(),
                step.op.into(),
                port.into(),
                counts.input.into(),
                n_rows.into(),
                count(counts.calls),
                count(counts.reused),
            ]);
        }
    }
    rows
}

fn effort_rows(plan: &Plan, session: &Session) -> Vec<Vec<Value>> {
    let steps = plan.steps.iter().zip(session.efforts());
    let rows = steps.flat_map(|(step, efforts)| {
        efforts.into_iter().map(|(round, effort)| {
            let (requests, tokens) = (effort.requests.into(), effort.tokens.into());
            vec![step.name.as_str().into(), Value::Int(round.into()), requests, tokens]
        })
    });
    rows.collect()
}

/// A rejected row as the table `rejects` tells of it. There may be many: no cell is copied.
struct Rejected<'a> {
    step: &'a Step,
    item: &'a Item,
    row_id: String,
}

impl<'a> Rejected<'a> {
    fn new(step: &'a Step, item: &'a Item) -> Self {
        Self { step, item, row_id: item.row.id.to_string() }
    }

    fn own(&self, name: &str) -> Cell<'_> {
        self.step.rejected.index(name).map_or(Cell::Null, |at| self.item.cell(at))
    }
}

impl Cells for Rejected<'_> {
    fn cell(&self, at: usize) -> Cell<'_> {
        match at {
            0 => Cell::Text(&self.step.name),
            1 => Cell::Text(&self.row_id),
            2 => Cell::Int(self.item.row.round.into()),
            3 => self.own("reason"),
            4 => self.own("detail"),
            _ => Cell::Null,
        }
    }
}

/// The columns of a record kind after those that say which step made the row, in which round.
fn placed(record: &str) -> Columns {
    let place = Columns::new([
        Column::new("step", Type::Text, false, "The step that made it."),
        Column::new("round", Type::Int, false, "The round that made it; 0 when no round did."),
    ]);
    place.extended(kind(record).columns())
}

fn placed_row(plan: &Plan, step: usize, item: &Item, record: &str) -> Vec<Value> {
    let place = [plan.steps[step].name.as_str().into(), Value::Int(item.row.round.into())];
    let cells = (0..kind(record).columns().len()).map(|at| item.get(at).clone());
    place.into_iter().chain(cells).collect()
}

/// A count as a cell; no run gets near the end of the range.
fn count(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn remove(path: &Path) -> Result<(), Halt> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unwritable("remove", path, &error)),
        _ => Ok(()),
    }
}

fn unwritable(attempt: &str, path: &Path, error: &std::io::Error) -> Halt {
    Halt::new(Exit::Failed, &codes::PUBLISH, format!("cannot {attempt} `{}`: {error}", path.display()))
}
