//! `cargo xtask bench incremental`: what one edited answer costs beside recomputing everything with Polars.

mod peer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::{Place, exec};
use peer::{Peer, Recomputed, told};

/// Draws of the growth table, the last of which is compared with the peer; one more with `--full`.
const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];
const FULL: usize = 10_000_000;

/// Where `flow exec` keeps and writes, a folder for each run.
const EXEC: &str = "exec";

/// What `live measure` says of one size. Memory in bytes.
#[derive(Debug, Deserialize)]
struct Measured {
    load_s: f64,
    edit_ms: f64,
    edit_p99_ms: f64,
    published_ms: f64,
    published_p99_ms: f64,
    /// What loading added to resident memory.
    resident_bytes: f64,
    /// Of that, the heap's index.
    index_bytes: f64,
    /// Of that, records which are not in the heap's file.
    record_bytes: f64,
    /// What all edits together added; below zero where memory that loading took has been given back.
    edits_bytes: f64,
}

/// Wall seconds of `flow exec` from an empty store.
struct Cold {
    one_worker_s: f64,
    two_workers_s: f64,
    changed_cap_s: f64,
    peak: String,
}

/// Measures every size in a process of its own and returns the tables.
pub(super) fn tables(place: &Place, full: bool) -> Result<String, String> {
    let folder = place.root.join("target/bench/incremental");
    let peer = Peer::install(&folder)?;
    // Before, and not between: ext4 looks at every file that was removed in the last minutes to make a new one.
    remove(&folder.join(EXEC));
    let mut growth = String::from(GROWTH);
    let mut ratios = String::new();
    for rows in SIZES.into_iter().chain(full.then_some(FULL)) {
        let folder = make(&folder, rows, &peer)?;
        let measured = measure(&folder, rows)?;
        growth.push_str(&growth_line(rows, &measured));
        if rows >= SIZES[2] {
            let recomputed = peer.recompute(&folder)?;
            let cold = cold(place, &folder)?;
            ratios.push_str(&ratio_table(rows, &measured, &recomputed, &cold));
        }
    }
    remove(&folder.join(EXEC));
    Ok(ratios + &growth)
}

/// Removes what runs left; there may be nothing.
fn remove(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}

/// The folder with `rows` recorded draws, made where they are missing.
fn make(folder: &Path, rows: usize, peer: &Peer) -> Result<PathBuf, String> {
    let folder = folder.join(rows.to_string());
    if !folder.join("draws.parquet").exists() {
        live("make", &folder, rows)?;
        let lines = folder.join("draws.jsonl");
        peer.convert(&lines, &folder.join("draws.parquet"))?;
        fs::remove_file(&lines).map_err(|error| format!("cannot remove {}: {error}", lines.display()))?;
    }
    Ok(folder)
}

fn measure(folder: &Path, rows: usize) -> Result<Measured, String> {
    let said = live("measure", folder, rows)?;
    serde_json::from_str(&said).map_err(|error| format!("`{said}`: {error}"))
}

/// Runs the program that keeps a pipeline up.
fn live(verb: &str, folder: &Path, rows: usize) -> Result<String, String> {
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--quiet", "-p", "flow-operators", "--example", "live", "--", verb]);
    told(command.arg(folder).arg(rows.to_string()))
}

fn cold(place: &Place, folder: &Path) -> Result<Cold, String> {
    let pipeline = folder.join("pipeline.yaml").display().to_string();
    let run = |workers: &str, changes: &[String]| {
        let name = format!(
            "incremental/{EXEC}/{}-{workers}-{}",
            folder.file_name().unwrap_or_default().display(),
            changes.len()
        );
        let run = exec(place, &pipeline, &name, changes, &["-w", workers])?;
        let wall_s = run.wall_s.parse::<f64>().map_err(|_| format!("no wall time: `{}`", run.wall_s))?;
        Ok::<_, String>((wall_s, run.peak))
    };
    let (one_worker_s, peak) = run("1", &[])?;
    let (two_workers_s, _) = run("2", &[])?;
    let (changed_cap_s, _) = run("2", &["steps.chosen.at_most=3".to_owned()])?;
    Ok(Cold { one_worker_s, two_workers_s, changed_cap_s, peak })
}

const GROWTH: &str = "| draws | cold load, us/draw | edit to collections, ms | edit to published, ms | dataflow, B/draw | after 1,000 edits | index, B/draw | records in memory, B/draw |\n\
    | --- | --- | --- | --- | --- | --- | --- | --- |\n";

fn growth_line(rows: usize, measured: &Measured) -> String {
    let Measured { load_s, edit_ms, edit_p99_ms, published_ms, published_p99_ms, .. } = measured;
    let dataflow_bytes = measured.resident_bytes - measured.index_bytes - measured.record_bytes;
    let edited_bytes = dataflow_bytes + measured.edits_bytes;
    let [dataflow, edited, index, records] =
        [dataflow_bytes, edited_bytes, measured.index_bytes, measured.record_bytes]
            .map(|bytes| bytes / rows as f64);
    format!(
        "| {rows} | {:.2} | {edit_ms:.2} (p99 {edit_p99_ms:.2}) | {published_ms:.1} (p99 {published_p99_ms:.1}) | \
         {dataflow:.0} | {edited:.0} | {index:.0} | {records:.0} |\n",
        load_s * 1e6 / rows as f64,
    )
}

fn ratio_table(rows: usize, flow: &Measured, polars: &Recomputed, cold: &Cold) -> String {
    let lines = [
        ("one edited answer, collections", flow.edit_ms / 1e3, polars.collections_s),
        ("one edited answer, published", flow.published_ms / 1e3, polars.written_s),
        ("cold `flow exec -w 1`", cold.one_worker_s, polars.cold_s),
        ("cold `flow exec -w 2`", cold.two_workers_s, polars.cold_s),
        ("the same with a cap of 3", cold.changed_cap_s, polars.cold_s),
    ];
    let lines = lines.map(|(what, flow_s, polars_s)| {
        format!("| {what} | {flow_s:.5} | {polars_s:.3} | {:.2} |\n", polars_s / flow_s)
    });
    format!(
        "{rows} draws, 10 for each prompt; Polars {}; peak memory of `flow exec -w 1` {}.\n\n\
         | what | Flow, s | Polars, s | times faster |\n| --- | --- | --- | --- |\n{}\n",
        polars.version,
        cold.peak,
        lines.concat(),
    )
}
