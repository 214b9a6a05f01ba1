//! `cargo xtask bench sample`: drawing beside a PyTorch loop over the same weights, and draws that share their prompt.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Place;
use super::verify::{environment, output};

/// The peer, at the version that was measured.
const PEER: &str = "torch==2.15.0";

/// Tokens drawn for each prompt.
const TOKENS: &str = "64";

/// Times each side runs, in turn, so that both see the same machine.
const TURNS: usize = 3;

/// Both tables.
pub(super) fn tables(place: &Place) -> Result<String, String> {
    let engine = build(place)?;
    let python = environment(&place.root.join("target/bench/torch"), PEER)?;
    let script = place.root.join("crates/xtask/src/bench/sample.py");
    let mut text = String::from(
        "| width | sequences | Flow tok/s | PyTorch tok/s | times |\n| --- | --- | --- | --- | --- |\n",
    );
    for width in ["256", "512"] {
        let model = place.root.join("target/bench/sample").join(width);
        output(Command::new(&engine).arg("make").arg(&model).arg(width))?;
        for sequences in ["64", "256"] {
            let ours = || rate(Command::new(&engine).arg("run").arg(&model).args([sequences, TOKENS, "1"]));
            let theirs = || rate(Command::new(&python).arg(&script).arg(&model).args([sequences, TOKENS]));
            let turns = (0..TURNS).map(|_| Ok((ours()?, theirs()?))).collect::<Result<Vec<_>, String>>()?;
            let (ours, theirs) = turns.into_iter().unzip();
            let (ours, theirs): (f64, f64) = (median(ours), median(theirs));
            writeln!(text, "| {width} | {sequences} | {ours:.0} | {theirs:.0} | {:.1} |", ours / theirs)
                .expect("a String takes all that is written");
        }
    }
    Ok(text + "\n" + &shared(&engine, &place.root.join("target/bench/sample/256"))?)
}

/// Sixteen draws of each prompt of 200 tokens, that share it or read it for themselves.
fn shared(engine: &Path, model: &Path) -> Result<String, String> {
    let run = |sequences: &str, alone: bool| {
        let mut command = Command::new(engine);
        command.arg("run").arg(model).args([sequences, TOKENS, "16"]);
        if alone {
            command.arg("alone");
        }
        rate(&mut command)
    };
    let turns: Result<Vec<_>, String> =
        (0..TURNS).map(|_| Ok((run("256", false)?, run("256", true)?))).collect();
    let (together, alone) = turns?.into_iter().unzip();
    let (together, alone): (f64, f64) = (median(together), median(alone));
    Ok(format!(
        "| 16 draws of each 200-token prompt | tok/s |\n| --- | --- |\n| the prompt read once | {together:.0} |\n\
         | read for each draw | {alone:.0} |\n| times | {:.1} |\n",
        together / alone
    ))
}

/// The example that draws.
fn build(place: &Place) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "-p", "flow-sampler", "--example", "paired"]);
    output(cargo.current_dir(&place.root))?;
    Ok(place.root.join("target/release/examples/paired"))
}

fn rate(command: &mut Command) -> Result<f64, String> {
    let text = output(command)?;
    text.trim().parse().map_err(|_| format!("expected tokens per second, found {text}"))
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
