//! `cargo xtask bench memo`: ten million answers put, the store opened again, answers got; time and memory.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use flow_data::{Id, Value};
use flow_store::Memo;

use super::Place;

const ANSWERS: u32 = 10_000_000;
/// Answers got after opening.
const GOT: u32 = 100_000;

/// Fills a store, then opens it in a process of its own; one table.
pub(super) fn table(place: &Place) -> Result<String, String> {
    let folder = folder(place);
    // What an earlier benchmark left; there may be nothing.
    let _ = std::fs::remove_dir_all(&folder);
    let started = Instant::now();
    let memo = Memo::open(&folder).map_err(|error| error.to_string())?;
    for n in 0..ANSWERS {
        memo.put(key(n), &answer(n)).map_err(|error| error.to_string())?;
    }
    memo.flush().map_err(|error| error.to_string())?;
    let (put_s, bytes) = (started.elapsed().as_secs_f64(), memo.answers().bytes());
    drop(memo);
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let opened = Command::new(program).args(["bench", "memo --open"]).output();
    let opened = opened.map_err(|error| error.to_string())?;
    let row = String::from_utf8_lossy(&opened.stderr).trim().to_owned();
    let _ = std::fs::remove_dir_all(&folder);
    Ok(format!(
        "| answers | GB on disk | put s | open s | open without index s | get µs | peak MiB |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n| {ANSWERS} | {:.2} | {put_s:.1} | {row} |\n",
        bytes as f64 / 1e9
    ))
}

/// The cells of the table that tell of opening.
pub(super) fn opened(place: &Place) -> Result<String, String> {
    let folder = folder(place);
    let open = || {
        let started = Instant::now();
        let memo = Memo::open(&folder).map_err(|error| error.to_string())?;
        Ok::<_, String>((memo, started.elapsed().as_secs_f64()))
    };
    let (memo, with_index_s) = open()?;
    let started = Instant::now();
    for n in 0..GOT {
        let n = n.wrapping_mul(2_654_435_761) % ANSWERS;
        if memo.get(&key(n)) != Some(answer(n)) {
            return Err(format!("answer {n} is another"));
        }
    }
    let get_us = started.elapsed().as_secs_f64() * 1e6 / f64::from(GOT);
    let peak_mib = peak_mib()?;
    drop(memo);
    remove_indices(&folder)?;
    let (_, without_index_s) = open()?;
    Ok(format!("{with_index_s:.1} | {without_index_s:.1} | {get_us:.1} | {peak_mib}"))
}

fn folder(place: &Place) -> std::path::PathBuf {
    place.root.join("target/bench/memo")
}

fn key(n: u32) -> Id {
    Id::of("bench", [n.to_le_bytes().as_slice()])
}

/// As a draw of forty tokens is kept.
fn answer(n: u32) -> Vec<Value> {
    let text = format!("{n}+{n}={}\n", u64::from(n) * 2).repeat(5);
    vec![text.into(), "stop".into(), 40.into(), 40.into(), Value::Floats(vec![-0.5; 40].into())]
}

fn remove_indices(folder: &Path) -> Result<(), String> {
    for entry in std::fs::read_dir(folder).map_err(|error| error.to_string())?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "idx") {
            std::fs::remove_file(entry.path()).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Most memory this process ever held, from Linux's `/proc`.
fn peak_mib() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the system tells no peak")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().map_err(|_| "the peak is no number")?;
    Ok(kib / 1024)
}
