//! A pipeline that is up: set up once, settled whenever its input has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use flow_data::{Heap, Id};
use flow_dataflow::{Driver, Session, SessionOptions, SourceRows, StepCounts};

use super::captures::Captures;
use super::emptied;
use super::host::Host;
use super::outputs::Outputs;
use super::processes::{Meeting, Others};
use super::settle::{Ending, Run, Spent, tokens};
use super::store::Store;
use super::summary::{DeadEnd, Summary};
use super::usage::{Usage, sharers};
use super::{checkpoints, extent, proof, session_halt, source_halt};
use crate::halt::Halt;
use crate::kept;
use crate::pipeline::Pipeline;
use crate::record::{Ledger, Record};
use crate::setup::Setup;
use crate::{Exit, codes};

/// A pipeline with its dataflow. After an error, or an early end, of [`Live::settle`] it can only be closed.
pub(crate) struct Live<'a> {
    run: Run<'a>,
    driver: Driver,
    usage: Usage,
    /// How it settled last.
    ending: Option<Ending>,
    /// What had been spent then.
    spent: u64,
    /// Bytes of the heap's index when it had settled first.
    index_bytes: Option<usize>,
}

/// How many times as large as at first a heap may become, in records that an edited pipeline no longer makes.
const GROWN: usize = 4;

/// Rows of sources that need not be read again, with the heap that holds their records.
#[derive(Default)]
pub(crate) struct Read {
    heap: Option<Arc<Heap>>,
    /// By the digest of the step.
    sources: BTreeMap<Id, SourceRows>,
    /// Bytes of the heap's index when it was new.
    index_bytes: Option<usize>,
}

impl Read {
    /// The same without the sources of these digests, which are to be read.
    pub(crate) fn without(mut self, stale: &BTreeSet<Id>) -> Self {
        self.sources.retain(|digest, _| !stale.contains(digest));
        self
    }
}

impl<'a> Live<'a> {
    /// Opens what `setup` publishes in, starts its dataflow and feeds its sources; `read` has what is known of them, none
    /// where they are read once only. `others` are processes that are to take part.
    pub(crate) fn start(
        host: &'a Host<'a>,
        setup: Setup,
        started: Instant,
        read: Option<Read>,
        others: Option<&mut Others>,
    ) -> Result<Self, Halt> {
        let (args, pipeline) = (host.args, &setup.pipeline);
        let share_machine = others.as_ref().map_or(1, |others| others.share_machine());
        args.device.choose(&setup, share_machine, true)?;
        let ledger = Ledger::open(&setup)?;
        kept::expect(&setup, ledger.last.as_ref())?;
        let network =
            setup.network(host.catalog, &setup.env(args.threads(share_machine)), ledger.last.as_ref())?;
        checkpoints::expect_places(pipeline)?;
        let outputs = Outputs::open(pipeline, &setup.digests, network.rounds.kept, host.command)?;
        let captures = Captures::of(&pipeline.plan, &network);
        let calls = extent::calls(&pipeline.plan, &args.extent)?;
        let meeting = Meeting {
            catalog: host.catalog,
            setup: &setup,
            network: &network,
            args,
            interrupt: &host.interrupt,
        };
        let cluster = others.map(|others| others.gather(&meeting)).transpose()?;
        let options = SessionOptions {
            workers: usize::from(args.workers),
            calls,
            most_calls: args.most_calls(&pipeline.plan),
            capture: captures.ports().collect(),
            cluster,
        };
        let index_bytes = read.as_ref().and_then(|read| read.index_bytes);
        let heap = match read.as_ref().and_then(|read| read.heap.clone()) {
            Some(heap) => heap,
            None => Arc::new(Store::heap(&args.store)?),
        };
        let session = Session::start(Arc::new(network), heap, host.store.memo(), options);
        let session = session.map_err(|error| session_halt(pipeline, &error))?;
        let mut driver = Driver::new(session, setup.digests.clone());
        if let Some(Read { mut sources, .. }) = read {
            let steps = pipeline.plan.steps.iter().enumerate();
            driver = driver.reloading(
                steps.filter_map(|(at, step)| Some((at, sources.remove(&step.digest)?))).collect(),
            );
        }
        driver.load().map_err(|(step, error)| source_halt(pipeline, step, &error))?;
        kept::feed(&mut driver, &pipeline.plan, ledger.last.as_ref());
        for other in sharers(&args.store, &args.file, &pipeline.plan)? {
            setup.remarks.add(format!(
                "`{other}` has the same `out`: this run takes the place of what it has in `{}`; give one of them another `name`",
                pipeline.plan.out
            ));
        }
        let usage = Usage::begin(&args.store, &args.file, &pipeline.plan)?;
        let run = Run { setup, ledger, outputs, captures, host, started, before: Vec::new() };
        Ok(Self { run, driver, usage, ending: None, spent: 0, index_bytes })
    }

    /// Settles what was fed and publishes it. Where the pipeline's budget ends it, what was spent is told too.
    pub(crate) fn settle(&mut self) -> Result<(Ending, Option<Spent>), Halt> {
        self.ending = None;
        let (ending, spent) = self.run.settle(&mut self.driver, self.spent)?;
        self.spent = tokens(&self.driver.session().progress());
        self.ending = Some(ending);
        self.index_bytes.get_or_insert(self.driver.session().heap().memory().index_bytes);
        Ok((ending, spent))
    }

    /// Reads the sources of these digests again. Returns whether anything is to be settled; after an error nothing is.
    pub(crate) fn reload(&mut self, stale: &BTreeSet<Id>, started: Instant) -> Result<bool, Halt> {
        self.run.started = started;
        self.run.before = self.driver.session().counts();
        self.driver.session().allow(self.run.host.args.most_calls(&self.run.pipeline().plan));
        let steps = self.run.pipeline().plan.steps.iter().enumerate();
        let nodes: Vec<usize> =
            steps.filter(|(_, step)| stale.contains(&step.digest)).map(|(at, _)| at).collect();
        self.driver.reload(&nodes).map_err(|(step, error)| source_halt(self.run.pipeline(), step, &error))
    }

    /// The pipeline and its models.
    pub(crate) fn setup(&self) -> &Setup {
        &self.run.setup
    }

    /// Takes another text of the same pipeline, for the places of mistakes.
    pub(crate) fn reword(&mut self, pipeline: Pipeline) {
        self.run.setup.pipeline = pipeline;
    }

    /// Where it publishes.
    pub(crate) fn outputs(&self) -> &Outputs {
        &self.run.outputs
    }

    /// The counters of every step, with the calls since something was fed last.
    pub(crate) fn counts(&self) -> Vec<StepCounts> {
        self.run.counts(self.session())
    }

    /// The dataflow.
    pub(crate) fn session(&self) -> &Session {
        self.driver.session()
    }

    /// What the last run had, as long as nothing has been written down since.
    pub(crate) fn last(&self) -> Option<&Record> {
        self.run.ledger.last.as_ref()
    }

    /// Writes down what has settled.
    pub(crate) fn write_down(&mut self) -> Result<(), Halt> {
        if self.ending == Some(Ending::Done) {
            let record =
                self.run.write_down(self.driver.session(), self.driver.last_round(), Ending::Done)?;
            self.run.ledger.settled(record);
            if !self.run.host.args.extent.is_partial() {
                self.run.outputs.clean(self.run.pipeline())?;
            }
        }
        Ok(())
    }

    /// Brings all that is settled where it belongs, proves it where that was asked for, and sums it up.
    pub(crate) fn conclude(&self) -> Result<Summary, Halt> {
        let Run { setup, ledger, outputs, captures, host, started, .. } = &self.run;
        let session = self.driver.session();
        let warnings = host.store.finish()?;
        checkpoints::copy(&setup.pipeline, captures, session, &setup.models)?;
        if host.args.verify_incremental {
            proof::prove(host.catalog, setup, session, outputs, ledger.last.as_ref())?;
        }
        let counts = self.run.counts(session);
        Ok(Summary::new(
            &setup.pipeline,
            captures,
            outputs,
            session,
            counts,
            &setup.models,
            *started,
            warnings,
        ))
    }

    /// Errs where the pipeline has a loop of which no round came to its end, and says where the rows end.
    pub(super) fn expect_a_round(&self, summary: &Summary) -> Result<(), Halt> {
        let Some((step, why)) = summary.taught_nothing() else { return Ok(()) };
        let Run { setup, captures, .. } = &self.run;
        let session = self.driver.session();
        let dead_ends = DeadEnd::all(&setup.pipeline.plan, captures, session);
        let (_, help) = emptied::cause(&setup.pipeline.plan, step, &session.counts(), &dead_ends);
        let message = format!("no round of the loop came to its end: {why}");
        Err(Halt::with(Exit::Failed, codes::NO_ROUND.id, &message, Some(&help)))
    }

    /// Takes the pipeline down and notes what it used of the store. Returns the rows of its sources, unless most of the heap is
    /// records that only earlier texts of the pipeline made.
    pub(crate) fn close(self) -> Result<Read, Halt> {
        let Self { run, mut driver, usage, ending, index_bytes, .. } = self;
        let used = driver.end(ending == Some(Ending::Done));
        let session = driver.session();
        let models = run.captures.rows(session, "checkpoint").into_iter().map(|(_, item)| item.row.id);
        let is_whole = ending == Some(Ending::Done)
            && !run.host.args.extent.is_narrowed()
            && session.network().rounds.kept == 0;
        // What a process that was lost has used is not known: the note stays as that of a run that has not ended.
        if let Some(mut used) = used {
            used.extend(run.host.store.kept().used());
            usage.end(used, models.collect(), is_whole)?;
        }
        run.host.store.finish()?;
        let heap = session.heap().clone();
        if index_bytes.is_none_or(|first| heap.memory().index_bytes > GROWN * first) {
            return Ok(Read::default());
        }
        let steps = &run.setup.pipeline.plan.steps;
        let sources = driver.into_sources().into_iter().map(|(at, rows)| (steps[at].digest, rows)).collect();
        Ok(Read { heap: Some(heap), sources, index_bytes })
    }
}
