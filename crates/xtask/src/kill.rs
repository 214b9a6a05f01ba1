//! `cargo xtask kill`: the main job killed at random moments ends, run again, as if nothing had happened.
//!
//! From an empty store the short form of the job is started and killed with SIGKILL, again and again, until a run gets
//! through to its end. Then its published bytes, its models and its metrics must be those of a run that nobody disturbed,
//! and every answer that was kept before a run must not be asked for again: kept answers and calls add up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flow_data::Id;
use flow_store::Answers;
use serde_json::Value as Json;

/// The main job in short.
pub(crate) const MAIN: &[&str] = &["pipelines/think-prune-train.yaml", "--profile", "short"];
/// A job that is nearly all training, whose state is saved every other step.
pub(crate) const TRAINING: &[&str] = &[
    "pipelines/base-arith.yaml",
    "--until",
    "base",
    "--set",
    "steps.base.max_steps=40",
    "--set",
    "steps.base.save_steps=2",
    "--set",
    "steps.base.path=target/kill/base",
];
/// The task ends after so long, with fewer kills than asked for.
const MOST_S: u64 = 40 * 60;

/// Kills the job of these arguments `times` times; returns what was seen, or what went wrong.
pub(crate) fn kill(
    root: &Path,
    program: &Path,
    arguments: &'static [&'static str],
    times: u64,
) -> Result<String, String> {
    let started = Instant::now();
    let job = |name: &str| Job {
        root: root.to_owned(),
        program: program.to_owned(),
        arguments,
        folder: root.join("target/kill").join(name),
    };
    let undisturbed = job("undisturbed");
    undisturbed.clear();
    let began = Instant::now();
    let whole = undisturbed.outcome(undisturbed.start()?)?;
    let whole_ms = began.elapsed().as_millis() as u64;
    let (mut kills, mut jobs, mut starts) = (0, 0, 0);
    while kills < times && started.elapsed().as_secs() < MOST_S {
        let killed = job("killed");
        killed.clear();
        kills += killed.through(times - kills, &mut starts, whole_ms, &whole)?;
        jobs += 1;
    }
    let bytes: usize = whole.published.values().map(Vec::len).sum();
    let told = format!(
        "{kills} of {times} kills, in {jobs} jobs of {:.1} s: each ended with the same {} files of {bytes} bytes, the same models \
         and metrics, and {} calls in all, none of them made twice",
        whole_ms as f64 / 1e3,
        whole.published.len(),
        whole.calls
    );
    if kills < times { Err(format!("out of time: {told}")) } else { Ok(told) }
}

/// The job with a store and an output folder of its own.
struct Job {
    root: PathBuf,
    program: PathBuf,
    arguments: &'static [&'static str],
    folder: PathBuf,
}

/// What a run that came to its end made.
struct Outcome {
    /// Calls that it made.
    calls: u64,
    /// Published files by path.
    published: BTreeMap<PathBuf, Vec<u8>>,
    /// What it says of trainings and metrics.
    results: [Json; 2],
}

impl Job {
    fn clear(&self) {
        // There may be nothing.
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn start(&self) -> Result<Child, String> {
        let mut command = Command::new(&self.program);
        command.arg("exec").args(self.arguments).args(["--format", "json", "-q", "--store"]);
        command
            .arg(self.folder.join("store"))
            .arg("--set")
            .arg(format!("out={}", self.folder.join("out").display()));
        let child = command.current_dir(&self.root).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        child.map_err(|error| format!("cannot run {}: {error}", self.program.display()))
    }

    /// Runs and kills, at most `times` times, until a run gets through; returns how often it was killed. Every start has a
    /// moment of its own, within half the time of the whole job, so that most are killed.
    fn through(&self, times: u64, starts: &mut u64, whole_ms: u64, whole: &Outcome) -> Result<u64, String> {
        let mut kills = 0;
        loop {
            let kept = self.kept()?;
            let mut child = self.start()?;
            *starts += 1;
            if kills < times {
                let moment =
                    Id::of("moment", [starts.to_le_bytes().as_slice()]).leading() % (whole_ms / 2).max(1);
                std::thread::sleep(Duration::from_millis(moment));
                // A run that has ended meanwhile is not killed.
                if child.try_wait().map_err(|error| error.to_string())?.is_none() {
                    child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
                    kills += 1;
                    continue;
                }
            }
            let outcome = self.outcome(child)?;
            return match outcome.fault(kept, whole) {
                Some(fault) => Err(format!("after {kills} kills: {fault}; see {}", self.folder.display())),
                None => Ok(kills),
            };
        }
    }

    /// Answers that the store holds.
    fn kept(&self) -> Result<u64, String> {
        let answers = Answers::open(&self.folder.join("store/memo")).map_err(|error| error.to_string())?;
        if answers.damaged() > 0 {
            Err("a kill damaged an answer".to_owned())
        } else {
            Ok(answers.len() as u64)
        }
    }

    fn outcome(&self, child: Child) -> Result<Outcome, String> {
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned());
        }
        let report: Json = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let steps = report["steps"].as_array().map_or(&[][..], Vec::as_slice);
        let mut published = BTreeMap::new();
        let out = self.folder.join("out");
        snapshots(&out, &out, &mut published).map_err(|error| error.to_string())?;
        Ok(Outcome {
            calls: steps.iter().filter_map(|step| step["calls"].as_u64()).sum(),
            published,
            results: [report["trainings"].clone(), report["metrics"].clone()],
        })
    }
}

impl Outcome {
    /// How this departs from the undisturbed run, where `kept` answers were there before.
    fn fault(&self, kept: u64, whole: &Self) -> Option<String> {
        if self.published != whole.published {
            Some("other bytes were published".to_owned())
        } else if self.results != whole.results {
            Some("other models were trained, or other metrics measured".to_owned())
        } else if kept + self.calls != whole.calls {
            Some(format!(
                "{kept} answers were kept and {} calls made, not {} together",
                self.calls, whole.calls
            ))
        } else {
            None
        }
    }
}

/// Reads what the links `current` below `folder` show.
fn snapshots(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let shown = path.components().any(|part| part.as_os_str() == "current");
        if path.is_dir() && (shown || path.is_symlink() || !path.ends_with("snapshots")) {
            snapshots(root, &path, files)?;
        } else if shown {
            files.insert(path.strip_prefix(root).unwrap_or(&path).to_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}
