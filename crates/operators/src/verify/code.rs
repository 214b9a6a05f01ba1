//! `verify: {code: ..}`: whether the program that a completion states passes the tests of its row.

mod program;
mod trial;

use std::sync::Arc;

use flow_data::{Columns, Type, kind};
use flow_dataflow::{Body, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_sandbox::{Isolation, Limits, Sandbox};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{OnMissing, OnUnknown, PORTS};
use crate::{BuildError, Env, StepContext};
use trial::{Columns as TestColumns, Trial};

/// Options of `verify`'s key `code`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    /// The programs' language.
    #[serde(default)]
    #[expect(dead_code, reason = "there is one so far; naming it keeps pipelines right when there are more")]
    language: Language,
    /// What a test is.
    tests: Tests,
    /// With `stdin_stdout`: column that holds what each test's program reads.
    #[serde(default = "inputs")]
    inputs: String,
    /// With `stdin_stdout`: column that holds what each test's program must print. Blanks at the ends of lines do not count.
    #[serde(default = "outputs")]
    outputs: String,
    /// With `asserts`: column that holds each test's code.
    #[serde(default = "asserts")]
    asserts: String,
    /// Whether a program must pass all tests of its row or any.
    #[serde(default)]
    prune: Prune,
    /// Runs all tests of a row, where the verdict could stand earlier: for pass rates by test.
    #[serde(default)]
    every: bool,
    /// Processor time of a test in seconds, at least 1.
    #[serde(default = "seconds")]
    #[schemars(range(min = 1, max = 3600))]
    seconds: u32,
    /// Memory of a test in MiB, at least 64.
    #[serde(default = "memory_mib")]
    #[schemars(range(min = 64, max = 1_048_576))]
    memory_mib: u32,
    /// Output of a test in KiB, at least 1.
    #[serde(default = "output_kib")]
    #[schemars(range(min = 1, max = 65_536))]
    output_kib: u32,
    /// Files of a test in MiB, at least 1.
    #[serde(default = "disk_mib")]
    #[schemars(range(min = 1, max = 65_536))]
    disk_mib: u32,
    /// Threads of a test, at least 1.
    #[serde(default = "threads")]
    #[schemars(range(min = 1, max = 1024))]
    threads: u32,
    /// What keeps programs from harm.
    #[serde(default)]
    sandbox: Keeper,
}

/// A language.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Language {
    /// The `python3` of this machine, without packages.
    #[default]
    Python,
}

/// What a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Tests {
    /// An input and the output that a script must print.
    StdinStdout,
    /// Code that must run to its end after the program, in the same module.
    Asserts,
}

/// Which programs stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Prune {
    /// Those that pass all tests.
    #[default]
    Hard,
    /// Those that pass any test.
    Soft,
}

/// What keeps programs from harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Keeper {
    /// A jail; where the kernel cannot build one, nothing runs.
    #[default]
    Jail,
    /// Nothing: programs can do all that you can do.
    None,
}

fn inputs() -> String {
    "inputs".into()
}

fn outputs() -> String {
    "outputs".into()
}

fn asserts() -> String {
    "asserts".into()
}

fn seconds() -> u32 {
    Limits::default().cpu_s
}

fn memory_mib() -> u32 {
    (Limits::default().memory_bytes >> 20) as u32
}

fn output_kib() -> u32 {
    (Limits::default().output_bytes >> 10) as u32
}

fn disk_mib() -> u32 {
    (Limits::default().disk_bytes >> 20) as u32
}

fn threads() -> u32 {
    Limits::default().threads
}

impl Code {
    /// The ports; `others` are keys beside `code` that only concern answers to compare with.
    pub(super) fn shape(
        &self,
        input: &Input<'_>,
        completion: &str,
        others: &[&str],
    ) -> Result<Shape, Vec<Problem>> {
        let surplus = |key: &&str| {
            Problem::new(key, format!("`{key}` says how answers compare; with `code` there is none"))
                .with_help("remove the key, or verify answers in a step of its own".to_owned())
        };
        let mut problems: Vec<Problem> = others.iter().map(surplus).collect();
        problems.extend(input.column_of("completion", completion, &[Type::Text]).err());
        for (key, name) in self.test_columns() {
            problems.extend(input.column_of(&format!("code.{key}"), name, &[Type::Texts, Type::Text]).err());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let columns = input.columns.extended(&records());
        Ok(Shape::with_ports(PORTS.map(|outcome| (outcome.name(), columns.clone()))))
    }

    /// What runs. Opens the sandbox, so that a machine that cannot build it says so before anything runs.
    pub(super) fn body(
        &self,
        step: &StepContext<'_>,
        env: &Env,
        completion: &str,
        (on_missing, on_unknown): (OnMissing, OnUnknown),
    ) -> Result<Body, BuildError> {
        let refused = |error: flow_sandbox::Error| {
            let words = format!("{error} ({}); {}", error.code(), error.help());
            BuildError::step(&step.step.name, words)
        };
        let isolation = match self.sandbox {
            Keeper::Jail => Isolation::Jail,
            Keeper::None => Isolation::None,
        };
        let sandbox = Sandbox::open(isolation).map_err(refused)?;
        let trial = Trial {
            interpreter: sandbox.interpreter().digest().map_err(refused)?,
            sandbox,
            isolation,
            limits: self.limits(),
            workers: env.threads,
            completion: step.column(completion),
            columns: match self.tests {
                Tests::StdinStdout => TestColumns::StdinStdout {
                    inputs: step.column(&self.inputs),
                    outputs: step.column(&self.outputs),
                },
                Tests::Asserts => TestColumns::Asserts(step.column(&self.asserts)),
            },
            any: self.prune == Prune::Soft,
            every: self.every,
            on_missing,
            on_unknown,
        };
        Ok(Body::Chain(vec![Stage::Effect(Arc::new(trial))]))
    }

    /// The keys that name columns of tests, with the columns.
    fn test_columns(&self) -> Vec<(&str, &str)> {
        match self.tests {
            Tests::StdinStdout => vec![("inputs", &self.inputs), ("outputs", &self.outputs)],
            Tests::Asserts => vec![("asserts", &self.asserts)],
        }
    }

    /// By the clock a test may take twice its processor time and 5 s more: a machine at work on other things is no fault of
    /// the program's.
    fn limits(&self) -> Limits {
        Limits {
            cpu_s: self.seconds,
            wall_ms: self.seconds * 2000 + 5000,
            memory_bytes: u64::from(self.memory_mib) << 20,
            output_bytes: u64::from(self.output_kib) << 10,
            disk_bytes: u64::from(self.disk_mib) << 20,
            threads: self.threads,
            ..Limits::default()
        }
    }
}

/// What follows a row's cells: the records `verdict` and `trial`.
fn records() -> Columns {
    kind("verdict").columns().extended(kind("trial").columns())
}

#[cfg(test)]
mod tests {
    use crate::testing::{columns, mistakes};

    #[test]
    fn mistakes_are_told_together() {
        let columns = columns("prompt draw inputs:list<text> outputs:int");
        for (options, expected) in [
            ("code: {tests: stdin_stdout}", vec!["expected column `outputs`"]),
            ("code: {tests: asserts}", vec!["has no column `asserts`"]),
            ("code: {tests: asserts, asserts: inputs}", vec![]),
            (
                "preset: math, compare: exact, code: {tests: stdin_stdout, outputs: inputs}, completion: no",
                vec!["`preset` says how answers compare", "`compare` says", "has no column `no`"],
            ),
            ("code: {tests: stdin}", vec!["`stdin`"]),
            ("code: {tests: asserts, seconds: 0}", vec!["seconds"]),
        ] {
            let found = mistakes(Some(&columns), &format!("op: verify, {options}"));
            assert_eq!(found.len(), expected.len(), "{options}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{options}: {found}");
            }
        }
    }
}
