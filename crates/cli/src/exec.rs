//! `flow exec`: runs a pipeline; what did not change is not computed again.

mod captures;
mod checkpoints;
mod consent;
mod extent;
mod interrupt;
mod models;
mod outputs;
mod progress;
mod proof;
mod settle;
pub(crate) mod store;
mod summary;
mod tables;
pub(crate) mod usage;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use flow_dataflow::{Calls, Driver, Network, Session, SessionError, SessionOptions, SourceError};
use flow_spec::Diagnostic;

use crate::args::{Format, Overlay};
use crate::halt::Halt;
use crate::pipeline::{self, Pipeline};
use crate::record::Ledger;
use crate::setup::Setup;
use crate::{Catalog, Exit, codes, kept, term};
pub(crate) use captures::Captures;
use consent::OnRecompute;
pub(crate) use extent::named;
pub(crate) use models::declare;
use outputs::Outputs;
use settle::{Ending, Run};
pub(crate) use store::Store;
use summary::Summary;
use usage::Usage;

/// Arguments of `exec`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The pipeline file.
    file: PathBuf,
    #[command(flatten)]
    overlay: Overlay,
    /// Dataflow workers; no influence on results.
    #[arg(short, long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Threads for sampling and training; no influence on results. By default one for each processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Folder that keeps the answers of models and the trained models between runs.
    #[arg(long, value_name = "DIR", default_value = ".flow")]
    store: PathBuf,
    /// Run STEP and what it rests on, nothing else.
    #[arg(long, value_name = "STEP")]
    until: Option<String>,
    /// Run STEP and what rests on it. Steps before it may use kept answers only: the run ends where one is missing.
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// Run so many rounds, whatever the pipeline says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// What to do where rows that the last run had would be asked for again.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    on_recompute: OnRecompute,
    /// Refuse a run that would make more than N calls.
    #[arg(long, value_name = "N")]
    max_calls: Option<u64>,
    /// When done, compute everything again from the kept answers in a fresh dataflow, and compare rows and bytes.
    #[arg(long)]
    verify_incremental: bool,
    /// No progress and no closing report.
    #[arg(short, long)]
    quiet: bool,
    /// The closing report: for people (stderr) or for programs (stdout).
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Runs the pipeline; `command` is how it was asked to.
pub(crate) fn exec(catalog: Catalog<'_>, args: &Args, command: &str) -> Result<Exit, Halt> {
    let started = Instant::now();
    let pipeline = extent::narrowed(pipeline::load(catalog, &args.file, &args.overlay)?, args)?;
    let store = Store::open(&args.store, command)?;
    let setup = Setup::of(pipeline, &args.store)?;
    consent::expect(catalog, &setup, args)?;
    let ledger = Ledger::open(&setup)?;
    let (pipeline, models) = (&setup.pipeline, &setup.models);
    let network = setup.network(catalog, &setup.env(args.threads()), ledger.last.as_ref())?;
    let kept_rounds = network.rounds.kept;
    let outputs = Outputs::open(pipeline, &setup.digests, kept_rounds, command)?;
    let captures = Captures::of(&pipeline.plan, &network);
    let calls = extent::calls(&pipeline.plan, args)?;
    let mut driver = start(network, &store, args, calls, &captures, setup.digests.clone())?;
    driver.load().map_err(|(step, error)| source_halt(pipeline, step, &error))?;
    kept::feed(&mut driver, &pipeline.plan, ledger.last.as_ref());

    let usage = Usage::begin(&args.store, &args.file, &pipeline.plan)?;
    let run = Run { setup: &setup, ledger: &ledger, outputs: &outputs, captures: &captures, args, started };
    let ending = run.settle(&mut driver);
    let models_used =
        captures.rows(driver.session(), "checkpoint").into_iter().map(|(_, item)| item.row.id).collect();
    let whole = matches!(ending, Ok(Ending::Done)) && !args.is_narrowed() && kept_rounds == 0;
    let noted = usage.end(store.kept(), models_used, whole);
    // The first failure is the one to tell.
    let ending = ending?;
    noted?;
    let warnings = store.finish()?;
    if ending == Ending::Done {
        checkpoints::copy(pipeline, driver.session(), models)?;
        if args.verify_incremental {
            proof::prove(catalog, &setup, driver.session(), &outputs, ledger.last.as_ref())?;
        }
        let summary =
            Summary::new(pipeline, &captures, &outputs, driver.session(), models, started, warnings);
        report(args, &summary)?;
    } else {
        report_stop(args, command, ending)?;
    }
    Ok(ending.exit())
}

impl Args {
    /// Whether less is run than the pipeline says.
    fn is_narrowed(&self) -> bool {
        self.until.is_some() || self.from.is_some() || self.rounds.is_some()
    }

    fn threads(&self) -> usize {
        let processors = || available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(processors, usize::from)
    }
}

fn start(
    network: Network,
    store: &Store,
    args: &Args,
    calls: Calls,
    captures: &Captures,
    digests: Vec<flow_data::Id>,
) -> Result<Driver, Halt> {
    let options =
        SessionOptions { workers: usize::from(args.workers), calls, capture: captures.ports().collect() };
    let heap = Arc::new(Store::heap(&args.store)?);
    let session = Session::start(Arc::new(network), heap, store.memo(), options);
    Ok(Driver::new(session.map_err(|error| session_halt(&error))?, digests))
}

/// What to tell of a source that cannot be read, at the key that it is about.
pub(crate) fn source_halt(pipeline: &Pipeline, step: usize, error: &SourceError) -> Halt {
    let step = &pipeline.plan.steps[step].name;
    let key = match error.code {
        code if code == flow_operators::codes::NO_FIELD.id => "fields",
        code if code == flow_operators::codes::DUPLICATE.id => "id",
        code if code == flow_operators::codes::EXHAUSTED.id => "n",
        _ => "path",
    };
    let message = format!("step `{step}`: {}", error.message);
    let mistake = Diagnostic {
        code: error.code,
        ..pipeline.mistake_in_step(&codes::STEP, step, &[key, "path"], message)
    };
    Halt::located(Exit::Failed, &[Diagnostic { help: error.help.clone(), ..mistake }], &pipeline.sources)
}

/// What to tell of a run that failed by itself.
pub(crate) fn session_halt(error: &SessionError) -> Halt {
    match error {
        SessionError::Failed { failure, .. } if failure.reason == "not_known" => {
            let help = "run without `--from`, or name an earlier step; `flow plan` shows what is not known";
            Halt::with(Exit::Failed, codes::BEFORE.id, &error.to_string(), Some(help))
        }
        SessionError::Failed { .. } => {
            let help = "finished answers are kept; the same command goes on once the cause is gone";
            Halt::with(Exit::Failed, codes::STEP.id, &error.to_string(), Some(help))
        }
        SessionError::Unstable => Halt::new(Exit::Failed, &codes::UNSTABLE, error.to_string()),
        SessionError::Interrupted | SessionError::WorkerLost | SessionError::Start(_) => {
            Halt::new(Exit::Failed, &codes::FAULT, error.to_string())
        }
    }
}

/// An early stop has no counts to tell: rows were still on their way.
fn report_stop(args: &Args, command: &str, ending: Ending) -> Result<(), Halt> {
    match args.format {
        Format::Json => term::json(&serde_json::json!({"outcome": ending})),
        Format::Text => {
            term::tell(&format!(
                "{}; finished answers are kept in `{}` and what was published stays\n = help: go on with `{command}`\n",
                if ending == Ending::Budget { "stopped by the budget" } else { "interrupted" },
                args.store.display(),
            ));
            Ok(())
        }
    }
}

fn report(args: &Args, summary: &Summary) -> Result<(), Halt> {
    match args.format {
        Format::Json => term::json(summary),
        Format::Text if args.quiet => Ok(()),
        Format::Text => {
            term::tell(&summary.text());
            Ok(())
        }
    }
}
