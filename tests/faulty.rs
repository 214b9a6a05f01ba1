//! Operators that break their promises: the run ends with a plain message, and nothing is published.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::Arc;

use flow::Exit;
use flow_data::Item;
use flow_dataflow::{Body, Out, RowOp, Stage};
use flow_operators::{BuildError, CATALOG, Definition, Env, Op, Operator, StepContext};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::cli::bench::{Bench, Ran};

/// Keys of `faulty`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What goes wrong: `lost`, `panic` or `disk`.
    fault: String,
}

/// An operator that passes rows on until it meets the prompt `2+3=`.
struct Faulty(String);

impl Definition for Faulty {
    const NAME: &'static str = "faulty";
    const SOURCE: &'static str = "//! `faulty` breaks its promises.";
    type Config = Config;

    fn shape(_: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        Ok(Shape::new(inputs[0].columns.clone()))
    }

    fn body(config: Config, _: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        Ok(Body::Chain(vec![Stage::Row(Arc::new(Self(config.fault)))]))
    }
}

impl RowOp for Faulty {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        match (item.text(1), self.0.as_str()) {
            (Some("2+3="), "lost") => {}
            (Some("2+3="), "panic") => panic!("an operator's own fault"),
            (Some("2+3="), "disk") => out.fail("disk_full", "no room"),
            _ => out.pass(0, item),
        }
    }
}

/// The variable that carries the command line to [`program`].
const ARGS: &str = "FAULTY_ARGS";

#[test]
#[ignore = "a program, no check: it ends its process, so each test of this file runs it by name in one of its own"]
fn program() {
    let catalog: Vec<&dyn Operator> =
        CATALOG.iter().copied().chain([&Op::<Faulty>::NEW as &dyn Operator]).collect();
    let args = std::env::var(ARGS).unwrap();
    let exit: Exit = flow::run_with(&catalog, args.split(' ').map(OsString::from));
    std::process::exit(exit as i32);
}

/// Runs a pipeline with the faulty operator, in a process of its own.
fn run(fault: &str) -> (Bench, Ran) {
    let bench = Bench::with(&format!(
        "version: 1
name: faulty
steps:
  questions: {{op: read, path: questions.jsonl}}
  middle: {{op: faulty, from: questions, fault: {fault}}}
  shards: {{op: write, from: middle, path: out/shards}}
"
    ));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["faulty::program", "--exact", "--ignored", "--nocapture"]);
    command.env(ARGS, "flow exec p.yaml -w 2").current_dir(bench.path("."));
    let ran = Ran::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(!bench.path("out/shards/current").exists(), "nothing is published");
    (bench, ran)
}

#[test]
fn a_step_that_loses_rows_ends_the_run() {
    let (bench, ran) = run("lost");
    ran.says(&[
        "error[E0609]: step `middle` (operator `faulty`) left 1 of 3 rows unaccounted for",
        "p.yaml:5:3",
    ]);
    assert!(!bench.path("out/faulty/run/runs.parquet").exists(), "no table speaks of such a run");
}

#[test]
fn a_panic_is_told_plainly() {
    let (_, ran) = run("panic");
    ran.says(&["error[E0699]", "an operator's own fault", "please report it"]);
    assert!(!ran.stderr.contains("backtrace"), "{}", ran.stderr);
}

#[test]
fn a_fatal_failure_ends_the_run_with_its_words() {
    let (_, ran) = run("disk");
    ran.says(&["error[E0608]: step `middle` failed: disk_full: no room"]);
}
