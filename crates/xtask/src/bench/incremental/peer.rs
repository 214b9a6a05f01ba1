//! The peer: Polars, from PyPI in an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const POLARS: &str = "polars==2.1.0";
const SCRIPT: &str = include_str!("peer.py");

/// A Python with Polars.
pub(super) struct Peer {
    python: PathBuf,
    script: PathBuf,
}

/// Wall seconds of recomputing everything.
pub(super) struct Recomputed {
    pub(super) version: String,
    /// From frames in memory to the chosen rows.
    pub(super) collections_s: f64,
    /// From frames in memory to a zstd Parquet file of them.
    pub(super) written_s: f64,
    /// From the file of draws to a zstd Parquet file of the chosen rows.
    pub(super) cold_s: f64,
}

impl Peer {
    /// Makes the environment below `folder` where it is missing, with this Polars and no other.
    pub(super) fn install(folder: &Path) -> Result<Self, String> {
        let venv = folder.join("venv");
        let python = venv.join("bin/python");
        if !python.exists() {
            told(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        }
        told(Command::new(&python).args(["-m", "pip", "install", "--quiet", POLARS]))?;
        let script = folder.join("peer.py");
        fs::write(&script, SCRIPT).map_err(|error| format!("cannot write {}: {error}", script.display()))?;
        Ok(Self { python, script })
    }

    /// Converts JSON lines to Parquet.
    pub(super) fn convert(&self, lines: &Path, parquet: &Path) -> Result<(), String> {
        told(Command::new(&self.python).arg(&self.script).arg("convert").arg(lines).arg(parquet)).map(drop)
    }

    /// Recomputes all that the pipeline over `draws.parquet` in `folder` keeps up to date; the median of five runs.
    pub(super) fn recompute(&self, folder: &Path) -> Result<Recomputed, String> {
        let (parquet, out) = (folder.join("draws.parquet"), folder.join("polars.parquet"));
        let said = told(Command::new(&self.python).arg(&self.script).arg("recompute").arg(parquet).arg(out))?;
        let words: Vec<&str> = said.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
        match (words.first(), number(1), number(2), number(3)) {
            (Some(version), Some(collections_s), Some(written_s), Some(cold_s)) => {
                Ok(Recomputed { version: (*version).to_owned(), collections_s, written_s, cold_s })
            }
            _ => Err(format!("the peer said `{said}`")),
        }
    }
}

/// Runs a command; returns what it printed.
pub(super) fn told(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
