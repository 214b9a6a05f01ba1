//! What the compiler does not check: who may know whom, how files begin, how long they get.

use std::path::{Path, PathBuf};

/// The crates of the workspace that each crate may name in its manifest. Arrows never point back.
const MAY_KNOW: [(&str, &[&str]); 15] = [
    ("chart", &[]),
    ("data", &[]),
    ("spec", &[]),
    ("verify", &[]),
    ("sandbox", &[]),
    ("kernels", &[]),
    ("model", &[]),
    ("server", &[]),
    ("plan", &["data", "spec"]),
    ("dataflow", &["data"]),
    ("store", &["data"]),
    ("sampler", &["kernels", "model"]),
    ("trainer", &["kernels", "model"]),
    (
        "operators",
        &[
            "data", "spec", "plan", "dataflow", "store", "verify", "sandbox", "model", "sampler", "server",
            "trainer",
        ],
    ),
    ("xtask", &["chart", "data", "store"]),
];

/// Outside crates that belong to one crate of ours.
const OWNED: [(&str, &str); 9] = [
    ("timely", "dataflow"),
    ("differential-dataflow", "dataflow"),
    ("arrow-array", "store"),
    ("parquet", "store"),
    ("candle-core", "trainer"),
    ("cudarc", "kernels"),
    ("saphyr-parser", "spec"),
    ("tokenizers", "model"),
    ("ureq", "server"),
];

/// Longest source file that is still read to its end.
const MOST_LINES: usize = 600;

/// Every fault found under `root`, one line each.
pub(crate) fn faults(root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, known) in MAY_KNOW {
        faults.extend(manifest(root, name, known));
    }
    for file in sources(&root.join("crates")).into_iter().chain(sources(&root.join("tests"))) {
        faults.extend(source(root, &file));
    }
    faults
}

fn manifest(root: &Path, name: &str, known: &[&str]) -> Vec<String> {
    let path = root.join("crates").join(name).join("Cargo.toml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return vec![format!("crates/{name} has no manifest")];
    };
    let normal = text.split("[dev-dependencies]").next().unwrap_or_default();
    let dependencies =
        normal.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|word| !word.is_empty());
    let mut faults = Vec::new();
    for dependency in dependencies {
        if let Some(other) = dependency.strip_prefix("flow-")
            && !known.contains(&other)
        {
            faults.push(format!("crates/{name} must not know crates/{other}"));
        }
        if let Some((_, owner)) = OWNED.iter().find(|(owned, owner)| *owned == dependency && *owner != name) {
            faults
                .push(format!("crates/{name} must not use `{dependency}`, which belongs to crates/{owner}"));
        }
    }
    faults
}

fn source(root: &Path, path: &Path) -> Vec<String> {
    let place = path.strip_prefix(root).unwrap_or(path).display();
    let Ok(text) = std::fs::read_to_string(path) else {
        return vec![format!("{place} cannot be read as UTF-8")];
    };
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(format!("{place} does not open with a sentence that says what it is for (`//!`)"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        faults.push(format!("{place} has {lines} lines; nobody reads more than {MOST_LINES} to the end"));
    }
    faults
}

/// All Rust files below `folder`, sorted.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
