//! `flow exec`: runs a pipeline; what did not change is not computed again.

mod captures;
mod card;
pub(crate) mod checkpoints;
mod consent;
mod device;
mod emptied;
mod extent;
mod host;
mod interrupt;
mod live;
mod member;
mod models;
mod outputs;
pub(crate) mod processes;
mod progress;
mod proof;
mod settle;
pub(crate) mod store;
mod summary;
mod tables;
pub(crate) mod usage;

use std::ffi::OsString;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Instant;

use flow_dataflow::{SessionError, SourceError};
use flow_plan::Plan;
use flow_spec::Diagnostic;

use crate::args::{Format, Overlay};
use crate::halt::Halt;
use crate::pipeline::{self, Pipeline};
use crate::setup::Setup;
use crate::{Catalog, Exit, codes, term, typed};
pub(crate) use captures::Captures;
use consent::OnRecompute;
pub(crate) use consent::expect;
pub(crate) use device::Device;
pub(crate) use extent::{Extent, named, narrowed};
pub(crate) use host::Host;
pub(crate) use live::{Live, Read};
pub(crate) use models::declare;
use processes::{Processes, Role};
pub(crate) use settle::{Ending, Spent};
pub(crate) use store::Store;
pub(crate) use summary::Summary;

/// The most dataflow workers: each takes 10 MB, and beyond the processors none makes anything faster.
const MOST_WORKERS: i64 = 256;
/// The most threads of a machine.
const MOST_THREADS: i64 = 1024;

/// Arguments of `exec`.
#[derive(clap::Args, Debug)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) run: Args,
    #[command(flatten)]
    processes: Processes,
}

/// Arguments of every verb that runs a pipeline.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The pipeline file.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) overlay: Overlay,
    /// Dataflow workers; no influence on results.
    #[arg(short, long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_WORKERS))]
    workers: u16,
    /// Threads for sampling, training and encoding; no influence on results. By default one for each processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    threads: Option<u16>,
    /// What models draw and learn on: a GPU needs a program built with `--features cuda`. The draws are the same; weights that a GPU trains differ
    /// in their last bits.
    #[arg(long, value_enum, value_name = "DEVICE", default_value_t)]
    pub(crate) device: Device,
    /// Folder that keeps the answers of models and the trained models between runs.
    #[arg(long, value_name = "DIR", default_value = ".flow")]
    pub(crate) store: PathBuf,
    #[command(flatten)]
    pub(crate) extent: Extent,
    /// What to do where rows that the last run had would be asked for again.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    on_recompute: OnRecompute,
    /// Refuse a run that would make more than N calls, under `watch` each edit. One that comes to more than was foreseen ends before the next.
    /// All processes of a run share the N; a request that two of them make is two calls. Trainings are calls too, attempts at a server again are not.
    #[arg(long, value_name = "N")]
    max_calls: Option<u64>,
    /// When done, compute everything again from the kept answers in a fresh dataflow, and compare rows and bytes.
    #[arg(long)]
    verify_incremental: bool,
    /// No progress and no closing report.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The closing report: for people (stderr) or for programs (stdout).
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Runs the pipeline; `words` is how it was asked to.
pub(crate) fn exec(
    catalog: Catalog<'_>,
    ExecArgs { run: args, processes }: &ExecArgs,
    words: &[OsString],
) -> Result<Exit, Halt> {
    let started = Instant::now();
    let command = &typed::again(words);
    let role = processes.role(words)?;
    let pipeline = narrowed(pipeline::load(catalog, &args.file, &args.overlay)?, &args.extent)?;
    let mut others = match role {
        Role::Alone => None,
        Role::Host(others) => Some(others),
        Role::Member(place) => return member::serve(catalog, args, pipeline, &place),
    };
    args.extent.expect_sense(&pipeline.plan)?;
    let host = Host::open(catalog, args, command)?;
    let setup = Setup::of(pipeline, &args.store)?;
    expect(catalog, &setup, args)?;
    let mut live = Live::start(&host, setup, started, None, others.as_mut())?;
    let done = run(&mut live, args, command);
    let noted = live.close();
    // The first failure is the one to tell.
    let ending = done?;
    noted?;
    Ok(ending.exit())
}

/// Settles, writes down and reports.
fn run(live: &mut Live<'_>, args: &Args, command: &str) -> Result<Ending, Halt> {
    let (ending, spent) = live.settle()?;
    live.write_down()?;
    if ending == Ending::Done {
        let summary = live.conclude()?;
        let taught = live.expect_a_round(&summary);
        if taught.is_ok() || args.format == Format::Text {
            report(args, &summary)?;
        }
        taught?;
    } else {
        report_stop(args, command, ending, spent)?;
    }
    Ok(ending)
}

impl Args {
    /// Most calls of a run, by `--max-calls` or by the budget of `plan`.
    fn most_calls(&self, plan: &Plan) -> Option<u64> {
        [self.max_calls, plan.budget.calls].into_iter().flatten().min()
    }

    /// Whether it is the budget of `plan` that says so.
    fn is_bound_by(&self, plan: &Plan) -> bool {
        plan.budget.calls.is_some_and(|calls| self.max_calls.is_none_or(|most| calls <= most))
    }

    /// Threads for sampling and training where `processes` share this machine.
    fn threads(&self, processes: usize) -> usize {
        let processors = || available_parallelism().map_or(1, |all| (usize::from(all) / processes).max(1));
        self.threads.map_or_else(processors, usize::from)
    }
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

/// What to tell of a run of `pipeline` that failed by itself.
pub(crate) fn session_halt(pipeline: &Pipeline, error: &SessionError) -> Halt {
    match error {
        SessionError::Failed { failure, .. } if failure.reason == "not_known" => {
            let help = "run without `--from`, or name an earlier step; `flow plan` shows what is not known";
            Halt::with(Exit::Failed, codes::BEFORE.id, &error.to_string(), Some(help))
        }
        SessionError::Failed { step, failure } if failure.reason == "not_allowed" => {
            let help = "what was answered is kept; `flow plan` tells how many calls are left";
            let message = format!("step `{step}` failed: {} by `--max-calls`", failure.detail);
            Halt::with(Exit::Failed, codes::REFUSED.id, &message, Some(help))
        }
        SessionError::Failed { failure, .. } if failure.reason.starts_with("server") => {
            let help = "finished draws are kept; `flow doctor PIPELINE` asks the servers, and the same command goes on";
            Halt::with(Exit::Failed, codes::SERVER.id, &error.to_string(), Some(help))
        }
        SessionError::Failed { step, .. } => {
            let help = "finished answers are kept; the same command goes on once the cause is gone";
            let mistake = pipeline.mistake_in_step(&codes::STEP, step, &[], error.to_string()).help(help);
            Halt::located(Exit::Failed, &[mistake], &pipeline.sources)
        }
        SessionError::Lost { .. } => {
            let help = "see what it said; finished answers are kept, and the same command goes on";
            Halt::with(Exit::Failed, codes::LOST.id, &error.to_string(), Some(help))
        }
        SessionError::Unstable => Halt::new(Exit::Failed, &codes::UNSTABLE, error.to_string()),
        SessionError::Interrupted | SessionError::WorkerLost | SessionError::Start(_) => {
            Halt::new(Exit::Failed, &codes::FAULT, error.to_string())
        }
    }
}

/// An early stop has no counts to tell: rows were still on their way.
fn report_stop(args: &Args, command: &str, ending: Ending, spent: Option<Spent>) -> Result<(), Halt> {
    match args.format {
        Format::Json => term::json(&serde_json::json!({"outcome": ending})),
        Format::Text => {
            term::tell(&format!("{} = help: go on with `{command}`\n", ending.text(args, spent)));
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
