//! `cargo xtask bench verify`: the answer checker beside Math-Verify, and two million pairs through a pipeline.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use super::sample::example;
use super::{Place, exec};

/// The peer, at the version that was measured.
const PEER: &str = "math-verify==0.9.0";

const PAIRS: usize = 2_000_000;

/// Both tables; the suites stand beside the repository, in `../shared/data`.
pub(super) fn tables(place: &Place) -> Result<String, String> {
    Ok(format!("{}\n{}", suites(place)?, pipeline(place)?))
}

/// Every suite, judged by both on one core.
fn suites(place: &Place) -> Result<String, String> {
    let suites = place.root.join("../shared/data/answer_equivalence");
    if !suites.exists() {
        return Ok(format!("skipped: there is no {}\n", suites.display()));
    }
    let python = environment(&place.root.join("target/bench/math-verify"), PEER)?;
    let script = place.root.join("crates/xtask/src/bench/verify.py");
    let out = place.root.join("target/bench/verify-suites");
    let readings = place.root.join("crates/verify/tests/readings.tsv");
    let tables =
        output(Command::new(python).arg(script).arg(suites).arg(&place.program).arg(&out).arg(readings))?;
    let comparisons = example(place, "flow-verify", "comparisons")?;
    Ok(tables + &output(Command::new(comparisons).arg(out.join("rows.jsonl")))?)
}

/// The Python of a virtual environment at `folder` that has the package `peer`.
pub(super) fn environment(folder: &Path, peer: &str) -> Result<std::path::PathBuf, String> {
    let python = folder.join("bin/python");
    if !python.exists() {
        output(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    }
    output(Command::new(&python).args(["-m", "pip", "install", "--quiet", peer]))?;
    Ok(python)
}

/// What a command prints.
pub(super) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Two million pairs through `replay`, `verify` and `write`, with one and two workers.
fn pipeline(place: &Place) -> Result<String, String> {
    let folder = place.root.join("target/bench");
    let (rows, pipeline) = (folder.join("pairs.jsonl"), folder.join("pairs.yaml"));
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| write_pairs(&rows))
        .and_then(|()| std::fs::write(&pipeline, yaml(&rows)));
    written.map_err(|error| format!("cannot write below {}: {error}", folder.display()))?;
    let mut text = String::from("| pairs | workers | wall s | peak |\n| --- | --- | --- | --- |\n");
    for workers in ["1", "2"] {
        let run = exec(place, &pipeline.display().to_string(), "pairs", &[], &["-w", workers])?;
        writeln!(text, "| {PAIRS} | {workers} | {} | {} |", run.wall_s, run.peak)
            .expect("a String takes all that is written");
    }
    Ok(text)
}

fn yaml(rows: &Path) -> String {
    format!(
        "version: 1\nname: pairs\nsteps:\n  attempts: {{op: replay, path: {}}}\n  \
         graded: {{op: verify, from: attempts, preset: gsm8k}}\n  wrong: {{op: write, from: graded.different}}\n",
        rows.display()
    )
}

/// Solutions as models write them for GSM8K, in the spellings of its answers; three in ten are wrong.
fn write_pairs(path: &Path) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for pair in 0..PAIRS {
        let (a, b) = (pair % 97 + 3, pair / 97 % 89 + 2);
        let stated = if pair % 10 < 7 { a * b } else { a * b + 1 };
        let ending = match pair % 5 {
            0 => format!("#### {stated}"),
            1 => format!("#### ${stated}.00"),
            2 => format!("The answer is {stated} figs."),
            3 => format!("So she has \\\\boxed{{{stated}}} in all."),
            _ => format!("In total there are {stated} figs."),
        };
        writeln!(
            file,
            "{{\"prompt_id\": \"q{pair}\", \"prompt\": \"{a} bags of {b} figs?\", \"answer\": \"{}\", \
             \"completion\": \"Each of the {a} bags has {b} figs, so {a}*{b}=<<{a}*{b}={stated}>>{stated}.\\n{ending}\"}}",
            a * b
        )?;
    }
    file.flush()
}
