//! Benchmarks that run `flow` and print Markdown for BENCHMARKS.md.

mod incremental;
mod memo;
mod replay;
mod sample;
mod train;
mod verify;

use std::path::PathBuf;
use std::process::Command;

/// The benchmarks by name.
pub(crate) const NAMES: [&str; 8] =
    ["replay", "sample", "sample --short", "train", "verify", "incremental", "incremental --full", "memo"];

/// Where a benchmark runs, and what.
pub(crate) struct Place {
    /// The repository.
    pub(crate) root: PathBuf,
    /// The program `flow`.
    pub(crate) program: PathBuf,
}

/// Runs a benchmark; none by this name is an error.
pub(crate) fn run(place: &Place, name: &str) -> Result<String, String> {
    match name {
        "replay" => replay::table(place),
        "sample" => sample::tables(place, false),
        "sample --short" => sample::tables(place, true),
        "train" => train::tables(place),
        "verify" => verify::tables(place),
        "incremental" => incremental::tables(place, false),
        "incremental --full" => incremental::tables(place, true),
        "memo" => memo::table(place),
        "memo --open" => memo::opened(place),
        _ => Err(format!("there is no benchmark `{name}`; there are {}", NAMES.join(", "))),
    }
}

/// A finished run of `flow exec`.
struct Run {
    /// Wall time in seconds, as reported.
    wall_s: String,
    /// Peak resident memory, as reported.
    peak: String,
}

/// Runs a pipeline from an empty store and an empty output folder, `target/bench/NAME`.
fn exec(
    place: &Place,
    pipeline: &str,
    name: &str,
    changes: &[String],
    arguments: &[&str],
) -> Result<Run, String> {
    let folder = place.root.join("target/bench").join(name);
    // What an earlier benchmark left; there may be nothing.
    let _ = std::fs::remove_dir_all(&folder);
    let mut command = Command::new(&place.program);
    command
        .arg("exec")
        .arg(pipeline)
        .arg("--store")
        .arg(folder.join("store"))
        .current_dir(&place.root)
        .args(arguments);
    command.args(["--set", &format!("out={}", folder.join("out").display())]);
    changes.iter().for_each(|change| {
        command.args(["--set", change]);
    });
    let output =
        command.output().map_err(|error| format!("cannot run {}: {error}", place.program.display()))?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(report);
    }
    let last = report.lines().last().unwrap_or_default();
    let field = |after: &str, until: &str| {
        let rest = last.split_once(after).map_or("", |(_, rest)| rest);
        rest.split(until).next().unwrap_or_default().trim().to_owned()
    };
    Ok(Run { wall_s: field("is done: ", " s"), peak: field("peak memory ", "\n") })
}
