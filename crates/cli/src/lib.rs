//! The command line of Flow: verbs, progress, rendering of mistakes, exit codes.
//!
//! The only crate that prints, reads the environment and ends the process. Data goes to stdout, everything said to a
//! person to stderr. A verb is one file; it returns an [`Exit`], or a [`halt::Halt`] that says why it ended early.

mod args;
mod changes;
mod check;
pub mod codes;
mod columns;
mod doctor;
mod du;
mod exec;
mod exit;
mod explain;
mod folders;
mod forecast;
mod gc;
mod graph;
mod halt;
mod inventory;
mod kept;
mod ops;
mod panic;
mod pipeline;
mod plan;
mod record;
mod report;
mod schema;
mod setup;
mod show;
mod starts;
mod templates;
mod term;
mod test;
mod turnover;
mod typed;
mod verify;
pub(crate) mod watch;
mod why;

use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::Parser;
use flow_operators::Operator;

use crate::args::{Cli, Verb};
use crate::halt::Halt;

pub use exit::Exit;

/// The operators that pipelines may use.
type Catalog<'a> = &'a [&'a dyn Operator];

/// Runs the command line of this process with the operators of `catalog`, and returns its exit code. To be called before
/// anything else in `main`: a program that was started to be a jail becomes one here.
pub fn main_with(catalog: &[&dyn Operator]) -> ExitCode {
    flow_sandbox::jail_main().unwrap_or_else(|| run_with(catalog, std::env::args_os()).into())
}

/// Runs a command line, the program's name first. It is the process's own: it says what there is to say on stdout and
/// stderr, tells panics in its own words from now on and, for `exec` and `watch`, listens for Ctrl-C.
pub fn run_with(catalog: &[&dyn Operator], args: impl IntoIterator<Item = OsString>) -> Exit {
    panic::report_plainly();
    let words: Vec<OsString> = args.into_iter().collect();
    match Cli::try_parse_from(&words) {
        Ok(cli) => {
            let run = AssertUnwindSafe(|| run(catalog, &cli, &words));
            std::panic::catch_unwind(run).unwrap_or(Exit::Failed)
        }
        Err(error) => {
            // `--help` and `--version` come this way too; a closed pipe is no reason to complain.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Done }
        }
    }
}

fn run(catalog: Catalog<'_>, cli: &Cli, words: &[OsString]) -> Exit {
    dispatch(catalog, &cli.verb, words).unwrap_or_else(|halt| halt.tell(cli.verb.wants_json()))
}

fn dispatch(catalog: Catalog<'_>, verb: &Verb, words: &[OsString]) -> Result<Exit, Halt> {
    let command = &typed::again(words);
    match verb {
        Verb::Check(args) => check::check(catalog, args),
        Verb::Doctor(args) => doctor::doctor(catalog, args),
        Verb::Du(args) => du::du(args),
        Verb::Exec(args) => exec::exec(catalog, args, words),
        Verb::Explain(args) => explain::explain(args),
        Verb::Gc(args) => gc::gc(args, command),
        Verb::Graph(args) => graph::graph(catalog, args),
        Verb::Ops(args) => ops::ops(catalog, args),
        Verb::Plan(args) => plan::plan(catalog, args),
        Verb::Report(args) => report::report(catalog, args),
        Verb::Schema => schema::schema(catalog),
        Verb::Show(args) => show::show(catalog, args),
        Verb::Test(args) => test::test(catalog, args),
        Verb::Verify(args) => verify::verify(args),
        Verb::Watch(args) => watch::watch(catalog, args, command),
        Verb::Why(args) => why::why(catalog, args),
    }
}
