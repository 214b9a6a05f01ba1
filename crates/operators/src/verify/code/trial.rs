//! The effect that runs programs: one request a row, answered by how each of its tests ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use flow_data::{Id, IdHasher, Item, Value};
use flow_dataflow::{Answer, EffectOp, Failure, Out, Perform, Request};
use flow_sandbox::{Isolation, Limits, Outcome as Ending, Reason, Sandbox, Test};
use flow_verify::Outcome;

use super::program::program;
use crate::verify::{OnMissing, OnUnknown, port};

/// Raised when the same key would give another answer.
const VERSION: u32 = 3;

/// Runs the programs of rows.
pub(super) struct Trial {
    pub(super) sandbox: Sandbox,
    /// Digest of the interpreter.
    pub(super) interpreter: [u8; 32],
    pub(super) isolation: Isolation,
    pub(super) limits: Limits,
    /// Programs that run at once.
    pub(super) workers: usize,
    pub(super) completion: usize,
    pub(super) columns: Columns,
    /// Whether one test that passes is enough.
    pub(super) any: bool,
    /// Whether tests go on when the verdict stands.
    pub(super) every: bool,
    pub(super) on_missing: OnMissing,
    pub(super) on_unknown: OnUnknown,
}

/// Where the tests of a row are.
pub(super) enum Columns {
    /// Inputs, and the output for each.
    StdinStdout { inputs: usize, outputs: usize },
    /// Code for each test.
    Asserts(usize),
}

/// A row's program and tests.
struct Task<'a> {
    program: Option<String>,
    tests: Vec<Test<'a>>,
}

impl EffectOp for Trial {
    fn requests(&self, item: &Item, _: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let Task { program, tests } = self.task(item)?;
        let Some(program) = program else {
            return match self.on_missing {
                OnMissing::Reject => Err(("no_answer", "the completion states no program".to_owned())),
                OnMissing::Different => Ok(Vec::new()),
            };
        };
        if tests.is_empty() {
            return match self.on_unknown {
                OnUnknown::Reject => Err(("unknown", "no tests: there is nothing to run".to_owned())),
                OnUnknown::Route | OnUnknown::Accept => Ok(Vec::new()),
            };
        }
        let key = self.key(&program, &tests);
        Ok(vec![Request { key, item: item.clone(), model: None, index: 0 }])
    }

    fn machine(&self) -> Option<Id> {
        Some(Id::of("machine", [self.interpreter.as_slice()]))
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        let next = AtomicUsize::new(0);
        let work = || {
            while !perform.cancelled() {
                let at = next.fetch_add(1, Relaxed);
                let Some(request) = requests.get(at) else { break };
                perform.answer(at, self.answer(&request.item));
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.workers.clamp(1, requests.len().max(1)) {
                scope.spawn(work);
            }
        });
    }

    fn rows(&self, item: &Item, _: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        let Ok(Task { program, tests }) = self.task(item) else { return };
        let (reasons, details) = match answers {
            [[Value::Texts(reasons), Value::Texts(details)]] => (reasons.clone(), details.clone()),
            _ => (Arc::from([]), Arc::from([])),
        };
        let (outcome, method, witness) = match &program {
            None => (Outcome::Different, "no program", "the completion states no program".to_owned()),
            Some(_) if tests.is_empty() => {
                (Outcome::Unknown, "no tests", "there is nothing to run".to_owned())
            }
            Some(_) => verdict(self.any, &reasons, &details, tests.len()),
        };
        let mut cells = vec![program.into(), outcome.name().into(), method.into(), witness.into()];
        cells.extend([tests.len(), reasons.len(), n_passed(&reasons)].map(|n| Value::Int(n as i64)));
        cells.extend([Value::Texts(reasons), Value::Texts(details)]);
        out.extend(port(outcome, self.on_unknown), item, cells);
    }
}

impl Trial {
    fn task<'a>(&self, item: &'a Item) -> Result<Task<'a>, (&'static str, String)> {
        let tests = match self.columns {
            Columns::Asserts(at) => texts(item, at).into_iter().map(Test::Asserts).collect(),
            Columns::StdinStdout { inputs, outputs } => {
                let (inputs, outputs) = (texts(item, inputs), texts(item, outputs));
                if inputs.len() != outputs.len() {
                    let detail = format!("{} inputs and {} outputs", inputs.len(), outputs.len());
                    return Err(("uneven_tests", detail));
                }
                let pairs = inputs.into_iter().zip(outputs);
                pairs.map(|(input, output)| Test::StdinStdout { input, output }).collect()
            }
        };
        Ok(Task { program: program(item.text(self.completion).unwrap_or_default()), tests })
    }

    /// Covers all that the answer depends on.
    fn key(&self, program: &str, tests: &[Test<'_>]) -> Id {
        let Limits { cpu_s, wall_ms, memory_bytes, output_bytes, disk_bytes, threads, open_files } =
            self.limits;
        let mut key = IdHasher::new("trial");
        key.part(&VERSION.to_le_bytes()).part(&self.interpreter);
        key.part(&[self.isolation == Isolation::Jail, self.any, self.every].map(u8::from));
        for number in [cpu_s, wall_ms, threads, open_files] {
            key.part(&number.to_le_bytes());
        }
        for number in [memory_bytes, output_bytes, disk_bytes] {
            key.part(&number.to_le_bytes());
        }
        key.part(program.as_bytes());
        for test in tests {
            match test {
                Test::StdinStdout { input, output } => {
                    key.part(b"stdin_stdout").part(input.as_bytes()).part(output.as_bytes())
                }
                Test::Asserts(code) => key.part(b"asserts").part(code.as_bytes()),
            };
        }
        key.finish()
    }

    /// Runs the tests of a row until the verdict stands: the reasons, then the details.
    fn answer(&self, item: &Item) -> Answer {
        let failure = |detail: String| Failure { reason: "sandbox", detail, fatal: true };
        let Task { program, tests } = self.task(item).map_err(|(_, detail)| failure(detail))?;
        let mut endings: Vec<Ending> = Vec::new();
        for test in &tests {
            let ending = self.sandbox.run(program.as_deref().unwrap_or_default(), test, &self.limits);
            let ending = ending.map_err(|error| failure(format!("{error}; {}", error.help())))?;
            let stands = (ending.reason == Reason::Passed) == self.any;
            endings.push(ending);
            if stands && !self.every {
                break;
            }
        }
        let reasons = Value::texts(endings.iter().map(|ending| ending.reason.name()));
        Ok(vec![reasons, Value::texts(endings.iter().map(|ending| ending.detail.as_str()))])
    }
}

/// The outcome, the reason of the first test that failed, and what it said.
fn verdict(
    any: bool,
    reasons: &[Arc<str>],
    details: &[Arc<str>],
    n_tests: usize,
) -> (Outcome, &'static str, String) {
    let n_passed = n_passed(reasons);
    if n_passed > 0 && (any || n_passed == n_tests) {
        return (Outcome::Equal, "tests", format!("{n_passed} of {n_tests} tests passed"));
    }
    let failed = reasons.iter().map(|word| word.parse().unwrap_or(Reason::Exception));
    let mut failed = failed.zip(details).enumerate().filter(|(_, (reason, _))| *reason != Reason::Passed);
    let (at, (reason, detail)) =
        failed.next().expect("a verdict stands by a test that passed or by one that failed");
    (Outcome::Different, reason.name(), format!("test {} of {n_tests}: {detail}", at + 1))
}

fn n_passed(reasons: &[Arc<str>]) -> usize {
    reasons.iter().filter(|reason| &***reason == Reason::Passed.name()).count()
}

/// The texts of a cell that holds one or several; none when it is null.
fn texts(item: &Item, at: usize) -> Vec<&str> {
    match item.get(at) {
        Value::Texts(texts) => texts.iter().map(|text| &**text).collect(),
        Value::Text(text) => vec![text],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_asks_for_all_tests_and_soft_for_any() {
        let (passed, wrong, time) = ("passed", "wrong_output", "time");
        for (any, reasons, n_tests, expected) in [
            (false, vec![passed, passed], 2, ("equal", "tests", "2 of 2 tests passed")),
            (false, vec![passed, time], 3, ("different", "time", "test 2 of 3: detail")),
            (false, vec![wrong, time, passed], 3, ("different", "wrong_output", "test 1 of 3: detail")),
            (true, vec![wrong, passed], 3, ("equal", "tests", "1 of 3 tests passed")),
            (true, vec![wrong, time], 2, ("different", "wrong_output", "test 1 of 2: detail")),
        ] {
            let details: Vec<Arc<str>> = reasons.iter().map(|_| "detail".into()).collect();
            let reasons: Vec<Arc<str>> = reasons.into_iter().map(Arc::from).collect();
            let (outcome, method, witness) = verdict(any, &reasons, &details, n_tests);
            assert_eq!((outcome.name(), method, &*witness), expected);
        }
    }
}
