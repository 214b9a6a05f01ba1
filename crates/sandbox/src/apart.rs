//! Assertions on a program's values, in another jail than the program: it never holds what it is compared with.
//!
//! A first jail takes the tests apart (`split.py`), once for each text. A second one runs the program and tells the values
//! of the expressions that only it can work out, as plain data. A third one, in which nothing of the program runs, checks
//! the assertions on them (`check.py`). Tests that are more than imports and assertions cannot be taken apart.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::judge::judge;
use crate::wire::Harness;
use crate::{Error, Limits, Outcome, Reason, Sandbox, Test};

/// Most texts of tests that are remembered.
const MOST_SPLITS: usize = 64;

/// Tests that were taken apart.
#[derive(Debug, Deserialize)]
pub(crate) struct Split {
    imports: Vec<String>,
    /// Expressions that the program works out.
    asked: Vec<String>,
    /// The imports and assertions on `value(0)`, `value(1)`, ...
    checks: Vec<String>,
}

/// The tests seen last, each with what they were taken apart into; none for those that could not be.
#[derive(Debug, Default)]
pub(crate) struct Splits(Mutex<Vec<(String, Option<Arc<Split>>)>>);

impl Sandbox {
    /// The parts of `tests`; none where they must ask the program as they run.
    pub(crate) fn split(&self, tests: &str) -> Result<Option<Arc<Split>>, Error> {
        let lock = || self.splits.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, split)) = lock().iter().find(|(known, _)| known == tests) {
            return Ok(split.clone());
        }
        let report = self.report_of(Harness::Script, include_str!("split.py"), tests, &Limits::default())?;
        let split: Option<Split> = serde_json::from_str(&report.stdout).unwrap_or_default();
        let split = split.map(Arc::new);
        let mut splits = lock();
        if splits.len() == MOST_SPLITS {
            splits.remove(0);
        }
        splits.push((tests.to_owned(), split.clone()));
        Ok(split)
    }

    /// Runs a program for its values, and checks them where it is not.
    pub(crate) fn run_apart(
        &self,
        code: &str,
        split: &Split,
        mark: &str,
        limits: &Limits,
    ) -> Result<Outcome, Error> {
        let asked = json!({"imports": split.imports, "asked": split.asked});
        let report = self.report_of(Harness::Values, code, &format!("{mark}\n{asked}"), limits)?;
        let outcome = judge(&report, &Test::Asserts(""), mark, limits)?;
        if outcome.reason != Reason::Passed {
            return Ok(outcome);
        }
        let lines = report.stdout.lines().filter_map(|line| line.strip_prefix(mark));
        let values: Option<Vec<Value>> = lines.map(|line| serde_json::from_str(line).ok()).collect();
        let Some(values) = values.filter(|values| values.len() == split.asked.len()) else {
            return Ok(outcome.ended(Reason::Exited, "it did not tell the values that were asked for"));
        };
        self.check(split, &values, limits, outcome)
    }

    /// The outcome of a program that told these values.
    fn check(
        &self,
        split: &Split,
        values: &[Value],
        limits: &Limits,
        own: Outcome,
    ) -> Result<Outcome, Error> {
        let given = json!({"asked": split.asked, "checks": split.checks, "values": values}).to_string();
        let report = self.report_of(
            Harness::Script,
            concat!(include_str!("link.py"), include_str!("check.py")),
            &given,
            limits,
        )?;
        let expected = Test::StdinStdout { input: "", output: "passed" };
        let checked = judge(&report, &expected, "", limits)?;
        Ok(match checked.reason {
            Reason::Passed => own,
            Reason::WrongOutput => own.ended(Reason::WrongOutput, report.stdout.trim()),
            reason => own.ended(reason, &checked.detail),
        })
    }
}
