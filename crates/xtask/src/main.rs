//! Development tasks: `cargo xtask codegen | tidy | bench NAME | reproduce [METHOD] | kill | gpu`.

mod bench;
mod gpu;
mod kill;
mod reproduce;
mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask codegen [PROGRAM] | tidy | bench NAME [PROGRAM] | reproduce [METHOD] | kill [--times N | --training N] | gpu

PROGRAM is flow as it was built, target/release/flow by default.

codegen   writes the generated files with PROGRAM: schemas/pipeline.schema.json, docs/operators.md
tidy      checks what the compiler does not: dependency directions, file headers, file lengths
bench     runs PROGRAM (target/release/flow) and prints tables for BENCHMARKS.md: replay (200,000 recorded rows), sample (drawing
          beside PyTorch and `transformers`; the smallest model only with --short), train (training beside PyTorch), verify (the
          answer checker beside Math-Verify, and 2,000,000 pairs), incremental (edits beside a recomputation with Polars, on
          1,000,000 recorded rows; 10,000,000 with --full), memo (10,000,000 answers put, opened, got)
reproduce runs the arms of a method, or of all, over 3 seeds and writes docs/methods/METHOD.md; what is there already is reused
kill      kills the short main job at N random moments (100 by default) and checks that it ends as if nothing had happened;
          with --training a job that is nearly all training, which goes on from its saved state
gpu       builds with the feature `cuda`, checks every kernel and whole models against the CPU on the GPU of this machine, bit by bit, and
          measures drawing; fails where there is none";

/// A generated file and the arguments with which `flow` prints it.
const GENERATED: [(&str, &[&str]); 2] =
    [("schemas/pipeline.schema.json", &["schema"]), ("docs/operators.md", &["ops", "--all"])];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let faults = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["codegen"] => codegen(&program()),
        ["codegen", program] => codegen(Path::new(program)),
        ["tidy"] => tidy::faults(&root()),
        ["bench", name, extent @ ("--full" | "--short")] => bench(&format!("{name} {extent}"), &program()),
        ["bench", name] => bench(name, &program()),
        ["bench", name, program] => bench(name, Path::new(program)),
        ["reproduce"] => reproduce(None),
        ["reproduce", method] => reproduce(Some(method)),
        ["gpu"] => told(gpu::gpu(&root())),
        ["kill"] => kill(kill::MAIN, "100"),
        ["kill", "--times", times] => kill(kill::MAIN, times),
        ["kill", "--training", times] => kill(kill::TRAINING, times),
        _ => vec![USAGE.to_owned()],
    };
    faults.iter().for_each(|fault| say(fault));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bench(name: &str, program: &Path) -> Vec<String> {
    told(bench::run(&bench::Place { root: root(), program: program.to_owned() }, name))
}

fn reproduce(method: Option<&str>) -> Vec<String> {
    told(reproduce::reproduce(&bench::Place { root: root(), program: program() }, method))
}

fn kill(arguments: &'static [&'static str], times: &str) -> Vec<String> {
    let killed = times.parse().map_err(|_| format!("expected a number of kills, found {times}"));
    told(killed.and_then(|times| kill::kill(&root(), &program(), arguments, times)))
}

/// Says what came of a task; what went wrong is returned.
fn told(result: Result<String, String>) -> Vec<String> {
    match result {
        Ok(text) => {
            say(&text);
            Vec::new()
        }
        Err(error) => vec![error],
    }
}

fn codegen(program: &Path) -> Vec<String> {
    GENERATED
        .iter()
        .filter_map(|(path, arguments)| generate(program, &root().join(path), arguments).err())
        .collect()
}

fn generate(program: &Path, path: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let folder = path.parent().expect("generated files lie in folders of the repository");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, output.stdout))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The program `flow` as `cargo build --release` leaves it.
fn program() -> std::path::PathBuf {
    root().join("target/release/flow")
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[expect(clippy::print_stderr, reason = "a task speaks to the developer who runs it")]
fn say(text: &str) {
    eprintln!("{text}");
}
