//! A pipeline on a dataflow that takes edits, as the program keeps it up.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use flow_data::{Heap, Id, Row, Value};
use flow_dataflow::{Driver, Memo, MemoError, Port, Session, SessionOptions};
use flow_operators::{CATALOG, Env, Models, Remarks, assemble, signatures};
use flow_plan::Plan;
use flow_spec::Options;

use crate::world::World;

/// The rows of every port by step and port, rejected ones among them, with their multiplicities.
pub(crate) type Everything = BTreeMap<(String, String), BTreeMap<Row, isize>>;

/// Answers in the order in which they were asked for.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    by_key: BTreeMap<Id, Vec<Value>>,
    order: Vec<Id>,
}

impl Kept {
    /// The keys, the first asked first.
    pub(crate) fn keys(&self) -> Vec<Id> {
        self.0.lock().unwrap().order.clone()
    }
}

impl Memo for Kept {
    fn get(&self, key: &Id) -> Option<Vec<Value>> {
        self.0.lock().unwrap().by_key.get(key).cloned()
    }

    fn put(&self, key: Id, answer: &[Value]) -> Result<(), MemoError> {
        let mut answers = self.0.lock().unwrap();
        assert!(answers.by_key.insert(key, answer.to_vec()).is_none(), "an answer was asked for twice");
        answers.order.push(key);
        Ok(())
    }
}

/// A pipeline that is up.
pub(crate) struct Live {
    plan: Plan,
    driver: Driver,
}

impl Live {
    /// Starts the pipeline in `yaml` and feeds its sources.
    pub(crate) fn start(world: &World, yaml: &str, kept: &Kept, workers: usize) -> Self {
        Self::over(world, plan(yaml), kept, workers, Arc::default(), BTreeMap::new())
    }

    fn over(
        world: &World,
        plan: Plan,
        kept: &Kept,
        workers: usize,
        heap: Arc<Heap>,
        mut read: BTreeMap<Id, flow_dataflow::SourceRows>,
    ) -> Self {
        let models = Arc::new(Models::new(&world.path("models")));
        let folders = plan.models.values().map(|model| model.folder().expect("a checkpoint"));
        let digests = folders.map(|folder| models.declare(Path::new(folder)).unwrap());
        let digests: Vec<Id> = digests.collect();
        let network =
            assemble(&plan, CATALOG, &Env { threads: 1, models, dry: false, remarks: Remarks::default() })
                .unwrap();
        let capture = ports(&plan).map(|(step, port, _)| (step, port)).collect();
        let options = SessionOptions { workers, capture, ..SessionOptions::default() };
        let session = Session::start(Arc::new(network), heap, Arc::new(kept.clone()), options).unwrap();
        let steps = plan.steps.iter().enumerate();
        let known = steps.filter_map(|(at, step)| Some((at, read.remove(&step.digest)?))).collect();
        let mut driver = Driver::new(session, digests).reloading(known);
        driver.load().unwrap();
        Self { plan, driver }
    }

    /// Takes an edit in: of data, by reading it again; of the pipeline, by another dataflow over the kept answers.
    pub(crate) fn take(mut self, world: &World, yaml: &str, kept: &Kept, workers: usize) -> Self {
        let plan = plan(yaml);
        let sources = |plan: &Plan| -> Vec<usize> {
            let steps = plan.steps.iter().enumerate();
            steps.filter(|(_, step)| step.inputs.is_empty()).map(|(at, _)| at).collect()
        };
        self.driver.reload(&sources(&self.plan)).unwrap();
        if plan.runs_as(&self.plan) {
            return self;
        }
        let heap = self.driver.session().heap().clone();
        let digest = |at: usize| self.plan.steps[at].digest;
        let read = self.driver.into_sources().into_iter().map(|(at, rows)| (digest(at), rows)).collect();
        Self::over(world, plan, kept, workers, heap, read)
    }

    /// Settles, and returns all rows.
    pub(crate) fn settle(&mut self) -> Everything {
        self.driver.settle(&mut |_| ControlFlow::Continue(()), &mut |_, _| {}).unwrap();
        let session = self.driver.session();
        assert!(session.counts().iter().all(|step| step.unaccounted == 0), "{:?}", session.counts());
        let rows = ports(&self.plan).map(|(step, port, name)| {
            ((self.plan.steps[step].name.clone(), name.to_owned()), session.rows(step, port))
        });
        rows.collect()
    }
}

fn ports(plan: &Plan) -> impl Iterator<Item = (usize, Option<Port>, &str)> {
    plan.steps.iter().enumerate().flat_map(|(at, step)| {
        let ports = step.ports.iter().zip(0..).map(move |(port, number)| (at, Some(number), &*port.name));
        ports.chain([(at, None, "rejected")])
    })
}

fn plan(yaml: &str) -> Plan {
    let reading = flow_spec::read("p.yaml", yaml, &Options::default());
    let (plan, mistakes) = match &reading.spec {
        Some(spec) => flow_plan::plan(spec, &signatures(CATALOG)),
        None => (None, Vec::new()),
    };
    let mistakes: BTreeSet<String> =
        mistakes.iter().chain(&reading.diagnostics).map(|mistake| mistake.message.clone()).collect();
    plan.unwrap_or_else(|| panic!("{mistakes:?}\n{yaml}"))
}
