//! Any two texts get a verdict: no panic, symmetric, bounded in time and memory.
//!
//! A few seconds by default. For a long run:
//!
//! `FLOW_FUZZ_SECONDS=1800 cargo test --release -p flow-verify --test fuzz -- --nocapture`

#![allow(clippy::print_stderr, reason = "a long run must say what it did")]

use std::time::{Duration, Instant};

use flow_verify::{Decimals, Options, Outcome, compare_with};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Pieces of which answers, and things like answers, are made.
const PIECES: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "7",
    "10",
    "12",
    "99",
    "1000",
    "0.5",
    ".25",
    "3.14",
    "0.333...",
    "1,234",
    "1e9",
    "2e-300",
    "1e999999",
    "x",
    "y",
    "z",
    "n",
    "a",
    "b",
    "e",
    "i",
    "\\pi",
    "π",
    "\\infty",
    "+",
    "-",
    "*",
    "/",
    "^",
    "**",
    "!",
    "%",
    "°",
    "'",
    "_",
    "_2",
    "_{n-1}",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\\{",
    "\\}",
    "|",
    "\\left(",
    "\\right)",
    ",",
    ";",
    ":",
    "=",
    "<",
    ">",
    "\\le",
    "≥",
    "\\neq",
    "\\approx",
    "\\in",
    "\\cup",
    "\\setminus",
    "\\mathbb{R}",
    "\\pm",
    "\\mp",
    "\\frac",
    "\\frac{1}{2}",
    "\\frac12",
    "\\sqrt",
    "\\sqrt[3]{2}",
    "\\sqrt{2}",
    "\\sin",
    "\\cos^{-1}",
    "\\tan x",
    "\\log_2",
    "\\ln",
    "\\exp",
    "\\binom{5}{2}",
    "\\lfloor",
    "\\rfloor",
    "\\text{ cm}",
    "\\text{and}",
    "\\text{",
    " km/h",
    " dollars",
    "$",
    "\\$",
    "\\boxed{",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "&",
    "\\\\",
    "\\",
    "f(",
    "f^{-1}",
    "x^2",
    "(x+1)",
    "e^{i\\pi}",
    "9^9^9",
    "10^{10^{10}}",
    "2004!",
    "100000!",
    " and ",
    " or ",
    " ",
    "  ",
    "\n",
    "½",
    "√",
    "²",
    "∞",
    "∪",
    "厘米",
    "−",
    "×",
    "yes",
    "A",
    "(B)",
    "12:30",
    "\\overline{3}",
    "\\vec{v}",
    "\u{0}",
    "é",
];

/// Whole answers, to be cut and joined.
const ANSWERS: &[&str] = &[
    "\\frac{\\sqrt{\\sqrt{11}+\\sqrt{194}}}{15+2\\sqrt{33}}",
    "\\left[-1, -\\frac{1}{2}\\right) \\cup (0, \\infty)",
    "\\begin{pmatrix} 1 & 2 \\\\ x & \\sqrt{4} \\end{pmatrix}",
    "x = \\frac{-1 \\pm \\sqrt{13}}{4}, y \\ne 3",
    "-3 < 2x + 5 \\le 17",
    "\\sin^2(x) + \\cos^2(x) - \\tan(\\arctan y)",
    "\\sqrt[3]{x^2-2}^2 + (x^2-2)^{5/3}",
    "1.5 \\text{ million dollars per day}",
    "(x+1)^{60} - (1+x)^{59}(x+1)",
    "\\log_{10}(x^y) + \\binom{n}{3} + |a-b|",
    "\\cos\\frac{2\\pi}{7} + \\cos\\frac{4\\pi}{7} + \\cos\\frac{6\\pi}{7}",
    "y = 250\\sin\\left(\\frac{2\\pi}{5}x\\right)+2,500",
];

fn text() -> impl Strategy<Value = String> {
    let soup = prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat());
    let bytes = prop::collection::vec(any::<u8>(), 0..60)
        .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let spliced = (
        prop::sample::select(ANSWERS),
        prop::sample::select(ANSWERS),
        any::<usize>(),
        any::<usize>(),
        soup_piece(),
    )
        .prop_map(|(a, b, i, j, piece)| format!("{}{piece}{}", cut(a, i, false), cut(b, j, true)));
    let nested = (prop::sample::select(PIECES), 1_usize..3000).prop_map(|(piece, times)| piece.repeat(times));
    prop_oneof![6 => soup, 2 => bytes, 6 => spliced, 1 => nested, 2 => any::<String>()]
}

fn soup_piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(PIECES)
}

/// The part of `text` before or after a character.
fn cut(text: &str, at: usize, after: bool) -> String {
    let at = at % (text.chars().count() + 1);
    if after { text.chars().skip(at).collect() } else { text.chars().take(at).collect() }
}

/// Two texts: unrelated, or one a little changed.
fn pair() -> impl Strategy<Value = (String, String)> {
    let changed = (text(), soup_piece(), any::<usize>()).prop_map(|(a, piece, at)| {
        let b = format!("{}{piece}{}", cut(&a, at, false), cut(&a, at, true));
        (a, b)
    });
    let spaced = (text(), any::<usize>()).prop_map(|(a, at)| {
        let b = format!("{} {}", cut(&a, at, false), cut(&a, at, true));
        (a, b)
    });
    prop_oneof![2 => (text(), text()), 2 => changed, 1 => spaced]
}

fn options() -> impl Strategy<Value = Options> {
    let decimals = [Decimals::Exact, Decimals::Doubt, Decimals::Rounded, Decimals::Places(4)];
    prop::sample::select(decimals.to_vec()).prop_map(|decimals| Options { decimals, ..Options::default() })
}

#[test]
fn any_two_texts_get_a_verdict() {
    let seconds = std::env::var("FLOW_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let seed = std::env::var("FLOW_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(17_u8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let strategy = (pair(), options());
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let (mut cases, mut slowest, mut outcomes) = (0_u64, (Duration::ZERO, String::new()), [0_u64; 3]);
    while Instant::now() < deadline {
        let ((a, b), options) = strategy.new_tree(&mut runner).expect("a case").current();
        let started = cpu_time();
        let outcome = compare_with(&a, &b, &options).outcome;
        let time = cpu_time().saturating_sub(started);
        if time > slowest.0 {
            slowest = (time, format!("{:.200} and {:.200}", format!("{a:?}"), format!("{b:?}")));
        }
        assert_eq!(outcome, compare_with(&b, &a, &options).outcome, "symmetric on {a:?} and {b:?}");
        assert_ne!(compare_with(&a, &a, &options).outcome, Outcome::Different, "reflexive on {a:?}");
        cases += 1;
        outcomes[outcome as usize] += 1;
    }
    assert!(cases > 100, "{cases}");
    // A hang guard, not a benchmark.
    assert!(slowest.0 < Duration::from_millis(500), "{slowest:?}");
    if let Some(peak) = peak_memory_mib() {
        assert!(peak < 256, "{peak} MiB");
        eprintln!("peak memory {peak} MiB");
    }
    eprintln!("{cases} cases, equal, different, unknown: {outcomes:?}, slowest {slowest:?}");
}

/// What this thread has run so far, waiting aside; where the system does not say, nothing.
fn cpu_time() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = schedule.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// The most memory this process ever held, in MiB; none where the system does not say.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}
