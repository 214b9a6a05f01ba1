//! Whatever the text, every function answers: no panic, symmetric, bounded in time and memory.
//!
//! Comparison, extraction by every rule and strictness, graders of every preset and key, steps and critiques, on bits of
//! answers, marks, Unicode of every kind and bytes. A few seconds by default. For a long run:
//!
//! `FLOW_FUZZ_SECONDS=1800 cargo test --release -p flow-verify --test fuzz -- --nocapture`

#![allow(clippy::print_stderr, reason = "a long run must say what it did")]

mod pieces;
mod texts;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use flow_verify::{Critique, Decimals, Grader, Outcome, check_steps, compare_with};
use nix::time::{ClockId, clock_gettime};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// What any question may take on a machine with nothing else to do.
const BOUND: Duration = Duration::from_millis(10);

/// How often a question is asked that seems to take long; the shortest time counts.
const RUNS: usize = 5;

/// What is asked in one case.
#[derive(Clone, Debug)]
struct Case {
    pair: (String, String),
    completion: String,
    grader: Grader,
}

fn case() -> impl Strategy<Value = Case> {
    let keys = prop::collection::vec(texts::key(), 0..4);
    let choices = prop::collection::vec(texts::answer(), 0..3);
    let grader = (select(Grader::PRESETS), keys, prop_oneof![3 => Just(Vec::new()), 1 => choices]);
    let grader = grader.prop_map(|(preset, keys, choices)| {
        let mut grader = Grader::preset(preset).expect("a preset");
        for (key, value) in keys {
            // A wrong value is told, and leaves the grader as it was.
            let before = grader.clone();
            if grader.set(key, &value).is_err() {
                assert_eq!(grader, before, "{key}: {value}");
            }
        }
        grader.options.choices = choices;
        grader
    });
    (texts::pair(), texts::completion(), grader).prop_map(|(pair, completion, grader)| Case {
        pair,
        completion,
        grader,
    })
}

#[test]
fn any_text_gets_an_answer() {
    let seconds = std::env::var("FLOW_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let seed = std::env::var("FLOW_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(17_u8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let strategy = case();
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut seen = Seen::default();
    while Instant::now() < deadline {
        let case = strategy.new_tree(&mut runner).expect("a case").current();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| seen.check(&case)));
        if let Err(panic) = checked {
            eprintln!("on {case:?}");
            std::panic::resume_unwind(panic);
        }
    }
    let peak = peak_memory_mib();
    eprintln!("peak memory {peak:?} MiB");
    eprintln!(
        "{} cases; equal, different, unknown: {:?}; {} answers extracted; {} above {BOUND:?}; slowest {:?}",
        seen.cases, seen.outcomes, seen.extracted, seen.beyond, seen.slowest
    );
    assert!(seen.cases > 100);
    assert!(seen.extracted > 100);
    // A guard with room for a busy machine; the bound is for a quiet one.
    assert!(seen.slowest.0 < BOUND * 20);
    assert!(peak.is_none_or(|peak| peak < 256));
}

/// What happened in a run.
#[derive(Default)]
struct Seen {
    cases: u64,
    outcomes: [u64; 3],
    extracted: u64,
    slowest: (Duration, String),
    /// Questions that took longer than they may.
    beyond: u64,
}

impl Seen {
    fn check(&mut self, case: &Case) {
        self.compared(&case.pair.0, &case.pair.1, &case.grader);
        self.graded(&case.pair.0, &case.completion, &case.grader);
        self.timed("steps", case.completion.as_str(), check_steps_and_critiques);
        self.cases += 1;
    }

    fn compared(&mut self, a: &str, b: &str, grader: &Grader) {
        let options = &grader.options;
        let outcome = self.timed("pair", (a, b), |(a, b)| compare_with(a, b, options).outcome);
        // A relative tolerance is relative to the known answer.
        if !matches!(options.decimals, Decimals::Relative(_)) {
            assert_eq!(outcome, compare_with(b, a, options).outcome, "symmetric");
        }
        assert_ne!(compare_with(a, a, options).outcome, Outcome::Different, "reflexive");
        self.outcomes[outcome as usize] += 1;
    }

    fn graded(&mut self, gold: &str, completion: &str, grader: &Grader) {
        if let Ok(found) =
            self.timed(grader.extraction.rule.name(), completion, |text| grader.extraction.find(text))
        {
            assert!(!found.text.is_empty(), "an answer is never empty");
            let place = &completion[found.range];
            // Several boxes, escaped JSON and words that are numbers are written anew.
            if let Cow::Borrowed(slice) = found.text {
                assert_eq!(place, slice);
            }
            self.extracted += 1;
        }
        let question = (gold, completion);
        let graded = [
            self.timed("grade", question, |(gold, text)| grader.grade(gold, text)),
            self.timed("grade bare", question, |(gold, text)| grader.grade_bare(gold, text)),
            self.timed("grade any", question, |(gold, text)| grader.grade_any(gold, text)),
        ];
        for graded in graded {
            let is_missing = graded.extracted.is_none() && grader.options.choices.is_empty();
            assert!(!is_missing || graded.verdict.outcome == Outcome::Different, "{graded:?}");
        }
        assert_eq!(grader.grade(None, completion).verdict.outcome, Outcome::Unknown);
    }

    /// What `ask` answers; the slowest question is kept.
    fn timed<Q: Copy + std::fmt::Debug, A>(&mut self, kind: &str, question: Q, ask: impl Fn(Q) -> A) -> A {
        let mut answer = None;
        let mut run = || {
            let started = cpu_time();
            answer = Some(ask(question));
            cpu_time().saturating_sub(started)
        };
        let mut time = run();
        // Other programs on the machine make any one run longer.
        for _ in 1..RUNS {
            if time < BOUND / 2 {
                break;
            }
            time = time.min(run());
        }
        self.beyond += u64::from(time > BOUND);
        if time > self.slowest.0 {
            self.slowest = (time, format!("{kind}: {:.400}", format!("{question:?}")));
        }
        answer.expect("it ran")
    }
}

fn check_steps_and_critiques(text: &str) {
    for step in check_steps(text) {
        assert_eq!(&text[step.range.clone()], step.text);
    }
    if let Ok(critique) = text.parse::<Critique>() {
        let printed = critique.to_string();
        // The plain form can be longer than what was read, and then too long to be read.
        assert!(printed.len() > text.len() || printed.parse() == Ok(critique));
    }
}

/// What this thread has run so far, waiting aside.
fn cpu_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of this thread"))
}

/// The most memory this process ever held, in MiB; none where the system does not say.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}
