//! `cargo xtask bench train`: training beside PyTorch, dense and with experts, and what more experts cost.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::Place;
use super::sample::example;
use super::verify::{environment, output};

/// The peer, at the version that was measured.
const PEER: &str = "torch==2.15.0";

/// What is trained: parameters of the dense model, width, layers, vocabulary, experts, steps.
const RUNS: [(&str, [&str; 5]); 4] = [
    ("3.5 M", ["256", "4", "1000", "0", "20"]),
    ("15 M", ["512", "4", "4096", "0", "8"]),
    ("61 M", ["768", "8", "4096", "0", "3"]),
    ("3.5 M, 8 experts", ["256", "4", "1000", "8", "12"]),
];

/// Experts of the smallest model, of which each token visits two.
const EXPERTS: [&str; 4] = ["8", "16", "32", "64"];

/// Times each side runs, in turn; the fastest counts.
const TURNS: usize = 3;

/// All tables.
pub(super) fn tables(place: &Place) -> Result<String, String> {
    let python = environment(&place.root.join("target/bench/torch"), PEER)?;
    let bench = Bench {
        trainer: example(place, "flow-trainer", "train_speed")?,
        python,
        script: place.root.join("crates/xtask/src/bench/train.py"),
    };
    let mut text = String::from(
        "| model | Flow tok/s | PyTorch tok/s | times | Flow MiB | PyTorch MiB |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, shape) in RUNS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.push(bench.ours(&shape)?);
            theirs.push(bench.theirs(&shape)?);
        }
        let (ours, theirs) = (fastest(&ours), fastest(&theirs));
        let times = ours.tokens_per_s / theirs.tokens_per_s;
        let (rate, peer) = (ours.tokens_per_s, theirs.tokens_per_s);
        writeln!(
            text,
            "| {name} | {rate:.0} | {peer:.0} | {times:.2} | {:.0} | {:.0} |",
            ours.mib, theirs.mib
        )
        .expect("a String takes all that is written");
    }
    Ok(format!("{text}\n{}", bench.growth()?))
}

/// The programs.
struct Bench {
    trainer: PathBuf,
    python: PathBuf,
    script: PathBuf,
}

/// What a run tells.
#[derive(Clone, Copy)]
struct Told {
    tokens_per_s: f64,
    /// Held at most; for PyTorch, beyond what the interpreter and its libraries hold.
    mib: f64,
}

impl Bench {
    fn ours(&self, shape: &[&str; 5]) -> Result<Told, String> {
        told(Command::new(&self.trainer).args(shape))
    }

    fn theirs(&self, shape: &[&str; 5]) -> Result<Told, String> {
        told(Command::new(&self.python).arg(&self.script).args(shape))
    }

    /// Tokens per second as experts are added and each token goes on visiting two.
    fn growth(&self) -> Result<String, String> {
        let mut text =
            String::from("| experts, two a token | Flow tok/s | PyTorch tok/s |\n| --- | --- | --- |\n");
        for experts in EXPERTS {
            let shape = ["256", "4", "1000", experts, "6"];
            let ours = (0..TURNS).map(|_| self.ours(&shape)).collect::<Result<Vec<_>, _>>()?;
            let (ours, theirs) = (fastest(&ours).tokens_per_s, self.theirs(&shape)?.tokens_per_s);
            writeln!(text, "| {experts} | {ours:.0} | {theirs:.0} |")
                .expect("a String takes all that is written");
        }
        Ok(text)
    }
}

fn told(command: &mut Command) -> Result<Told, String> {
    let text = output(command)?;
    match text.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>().as_deref() {
        Ok(&[tokens_per_s, mib, _]) => Ok(Told { tokens_per_s, mib }),
        _ => Err(format!("expected three numbers, found {text}")),
    }
}

fn fastest(runs: &[Told]) -> Told {
    let faster = |a: Told, b: Told| if b.tokens_per_s > a.tokens_per_s { b } else { a };
    runs.iter().copied().reduce(faster).expect("there is at least one turn")
}
