//! `flow exec`: runs a pipeline; what did not change is not computed again.

mod captures;
mod checkpoints;
mod interrupt;
mod models;
mod outputs;
mod progress;
mod settle;
mod store;
mod summary;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use flow_dataflow::{Driver, Network, Session, SessionError, SourceError};
use flow_operators::{Env, Models, assemble};

use crate::args::{Format, Overlay};
use crate::halt::Halt;
use crate::pipeline::{self, Pipeline};
use crate::{Catalog, Exit, codes, term};
use captures::Captures;
use outputs::Outputs;
use settle::{Ending, Run};
use store::Store;
use summary::Summary;

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
    let pipeline = pipeline::load(catalog, &args.file, &args.overlay)?;
    refuse_token_budget(&pipeline)?;
    let store = Store::open(&args.store, command)?;
    let models = Arc::new(Models::new(&args.store.join("models")));
    let digests = models::declare(&pipeline, &models)?;
    let env = Env { threads: args.threads(), models: models.clone() };
    let network = assemble(&pipeline.plan, catalog, &env)
        .map_err(|error| pipeline.halt_at_step(Exit::Invalid, &codes::SETUP, &error.step, error.message))?;
    let outputs = Outputs::open(&pipeline, &digests, command)?;
    let captures = Captures::of(&pipeline.plan);
    let mut driver = start(network, &store, args, &captures, digests)?;
    driver.load().map_err(|error| source_halt(&error))?;

    let run = Run { pipeline: &pipeline, outputs: &outputs, captures: &captures, args, started };
    let ending = run.settle(&mut driver)?;
    store.finish()?;
    if ending == Ending::Done {
        checkpoints::copy(&pipeline, driver.session(), &models)?;
        report(args, &Summary::new(&pipeline, &captures, &outputs, driver.session(), &models, started))?;
    } else {
        report_stop(args, command, ending)?;
    }
    Ok(ending.exit())
}

impl Args {
    fn threads(&self) -> usize {
        let processors = || available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(processors, usize::from)
    }
}

fn start(
    network: Network,
    store: &Store,
    args: &Args,
    captures: &Captures,
    digests: Vec<flow_data::Id>,
) -> Result<Driver, Halt> {
    let workers = usize::from(args.workers);
    let session = Session::start(Arc::new(network), Arc::default(), store.memo(), workers, captures.ports());
    Ok(Driver::new(session.map_err(|error| session_halt(&error))?, digests))
}

/// What to tell of a source that cannot be read.
fn source_halt(error: &SourceError) -> Halt {
    Halt::with(Exit::Failed, error.code, &error.message, error.help.as_deref())
}

/// What to tell of a run that failed by itself.
fn session_halt(error: &SessionError) -> Halt {
    match error {
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

fn refuse_token_budget(pipeline: &Pipeline) -> Result<(), Halt> {
    if pipeline.plan.budget.tokens.is_none() {
        return Ok(());
    }
    let words = "tokens are not counted yet, so this limit could not be kept";
    let mistake = pipeline.mistake(&codes::TOKEN_BUDGET, "budget.tokens", words);
    Err(Halt::located(Exit::Invalid, &[mistake.help("use `seconds`")], &pipeline.sources))
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
