//! What one edited answer costs in a pipeline that is kept up: `live make FOLDER ROWS` makes recorded draws,
//! `live measure FOLDER ROWS` loads them, edits answers one by one and prints figures as JSON.

mod draws;

use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use draws::Draws;
use flow_data::{Heap, Row};
use flow_dataflow::{Body, Driver, InputId, MemoryMemo, Network, Out, Session, SessionOptions};
use flow_operators::{
    CATALOG, Env, Models, Remarks, Settled, StepContext, assemble, publication, signatures,
};
use flow_plan::Plan;
use flow_store::{Manifest, Publisher};
use serde_json::{Map, json};

/// As in the program.
#[global_allocator]
static ALLOCATOR: flow_memory::Allocator = flow_memory::Allocator;

const EDITS: usize = 1000;
const PUBLISHED_EDITS: usize = 200;

type Failed = Box<dyn Error>;

#[expect(clippy::print_stdout, reason = "a measurement prints its figures")]
fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [verb, folder, rows] = words.as_slice() else { return Err("live make|measure FOLDER ROWS".into()) };
    let (folder, rows) = (Path::new(folder), rows.parse()?);
    let draws = Draws::at(folder, rows);
    match verb.as_str() {
        "make" => draws.make()?,
        _ => println!("{}", measure(&draws, folder)?),
    }
    Ok(())
}

/// Loads the draws and edits answers: once without a `write` step, for the collections, and once with.
fn measure(draws: &Draws, folder: &Path) -> Result<serde_json::Value, Failed> {
    let before = resident_bytes();
    let started = Instant::now();
    let mut live = Live::load(draws, folder, false)?;
    let load_s = started.elapsed().as_secs_f64();
    // As `flow watch` does.
    flow_memory::give_back();
    let loaded = resident_bytes();
    let heap = live.driver.session().heap().memory();
    let collections = live.edits(draws, EDITS, |_| Ok(()))?;
    let edits_bytes = resident_bytes() - loaded;
    drop(live);
    let mut live = Live::load(draws, folder, true)?;
    live.publish()?;
    let published = live.edits(draws, PUBLISHED_EDITS, Live::publish)?;
    Ok(json!({
        "load_s": load_s,
        "edit_ms": share(&collections, 0.5),
        "edit_p99_ms": share(&collections, 0.99),
        "published_ms": share(&published, 0.5),
        "published_p99_ms": share(&published, 0.99),
        "resident_bytes": loaded - before,
        "index_bytes": heap.index_bytes,
        "record_bytes": heap.record_bytes,
        "edits_bytes": edits_bytes,
    }))
}

struct Live {
    plan: Plan,
    driver: Driver,
    publisher: Option<Publisher>,
    /// The parts that were published last.
    settled: Settled,
}

impl Live {
    fn load(draws: &Draws, folder: &Path, publishes: bool) -> Result<Self, Failed> {
        let plan = plan(&draws.yaml(publishes))?;
        let last = plan.steps.len() - 1;
        let publication = publication(&StepContext { plan: &plan, step: &plan.steps[last] });
        let publisher = publication.map(|publication| Publisher::open(&publication.folder)).transpose()?;
        let capture = publisher.iter().map(|_| (last, Some(0))).collect();
        let options = SessionOptions { workers: 1, capture, ..SessionOptions::default() };
        let heap = Arc::new(Heap::spilling(flow_store::scratch_file(folder)?));
        let memo = Arc::new(MemoryMemo::default());
        let session = Session::start(Arc::new(network(&plan)?), heap, memo, options)?;
        let mut driver = Driver::new(session, Vec::new());
        driver.load().map_err(|(_, error)| error)?;
        let mut live = Self { plan, driver, publisher, settled: Settled::default() };
        live.settle()?;
        Ok(live)
    }

    /// Edits `n` answers one by one; the milliseconds of each, with those of `after`.
    fn edits(
        &mut self,
        draws: &Draws,
        n: usize,
        after: fn(&mut Self) -> Result<(), Failed>,
    ) -> Result<Vec<f64>, Failed> {
        let mut times = Vec::new();
        for edit in 0..n {
            // A prime number, so that each edit is of another answer.
            let question = (edit * 7919) % draws.questions();
            let (gone, new) = (self.rows(draws, question, 0)?, self.rows(draws, question, 1)?);
            let started = Instant::now();
            gone.iter().for_each(|row| self.driver.update(InputId::Rows(0), *row, -1));
            new.iter().for_each(|row| self.driver.update(InputId::Rows(0), *row, 1));
            self.settle()?;
            after(self)?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    }

    /// The source rows of a question whose known answer is raised by `error`.
    fn rows(&self, draws: &Draws, question: usize, error: usize) -> Result<Vec<Row>, Failed> {
        let network = network(&plan(&draws.yaml_of_question(question, error)?)?)?;
        let Body::Source(source) = &network.nodes[0].body else { return Err("the first step reads".into()) };
        let heap = self.driver.session().heap();
        let mut out = Out::new(heap, 0);
        source.load(heap, &mut out)?;
        Ok(out.rows().iter().map(|(_, row)| *row).collect())
    }

    fn settle(&mut self) -> Result<(), Failed> {
        Ok(self.driver.settle(&mut |_| ControlFlow::Continue(()), &mut |_, _| ())?)
    }

    /// Publishes the parts, as `flow exec` does.
    fn publish(&mut self) -> Result<(), Failed> {
        let last = self.plan.steps.len() - 1;
        let step = StepContext { plan: &self.plan, step: &self.plan.steps[last] };
        let (Some(publisher), Some(publication)) = (&self.publisher, publication(&step)) else {
            return Ok(());
        };
        let session = self.driver.session();
        let parts =
            publication.parts(session.heap(), session.rows(last, Some(0)).into_keys(), &mut self.settled);
        let manifest = Manifest::new(&publication.columns, publication.chat, parts, Map::new());
        publisher.publish(&manifest)?;
        Ok(())
    }
}

fn plan(yaml: &str) -> Result<Plan, Failed> {
    let reading = flow_spec::read("bench.yaml", yaml, &flow_spec::Options::default());
    let spec = reading.spec.ok_or("the pipeline is not YAML as it should be")?;
    let (plan, diagnostics) = flow_plan::plan(&spec, &signatures(CATALOG));
    plan.ok_or_else(|| format!("{diagnostics:?}").into())
}

fn network(plan: &Plan) -> Result<Network, Failed> {
    let threads = available_parallelism().map_or(1, usize::from);
    let env = Env {
        threads,
        dry: false,
        models: Arc::new(Models::new(Path::new("no models"))),
        remarks: Remarks::default(),
    };
    assemble(plan, CATALOG, &env).map_err(|error| error.message.into())
}

/// The value below which this share of them lies.
fn share(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// Resident memory of this process, from Linux's `/proc/self/status`; 0 elsewhere.
fn resident_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or_default() * 1024.0
}
