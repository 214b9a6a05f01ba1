//! Stores and folders that cannot be used, and what stays published then.

use std::fs;
use std::path::Path;
use std::process::Command;

use flow_store::RunLock;

use super::bench::{Bench, COPY};
use super::runs::{finished_as_from_scratch, slow};

#[test]
fn a_second_run_on_one_store_is_told_to_wait() {
    let bench = Bench::with(COPY);
    let lock = RunLock::acquire(&bench.path(".flow/lock"), "flow exec other.yaml").unwrap();
    let ran = bench.exec(&[], 75);
    ran.says(&[
        "error[E0605]",
        &format!("process {}: flow exec other.yaml", std::process::id()),
        "--store DIR",
    ]);
    assert!(!bench.path("out").exists());
    bench.exec(&["--store", "elsewhere"], 0);
    drop(lock);
    bench.exec(&[], 0);
}

#[test]
fn a_second_run_into_one_folder_is_told_to_wait() {
    for (folder, elsewhere) in [("out/shards", "steps.shards.path=new/shards"), ("out/copy/run", "out=new")] {
        let bench = Bench::with(COPY);
        let lock = RunLock::acquire(&bench.path(folder).join(".lock"), "flow exec other.yaml").unwrap();
        bench.put("out/shards/.parts/staged", "by the other");
        let ran = bench.exec(&["--store", "own"], 75);
        ran.says(&["error[E0605]", "in use", folder, "flow exec other.yaml", "publish elsewhere"]);
        assert!(bench.path("out/shards/.parts/staged").exists(), "what the other has staged stays");
        bench.exec(&["--set", elsewhere], 0);
        drop(lock);
        bench.exec(&["--store", "own"], 0);
    }
}

#[test]
fn a_file_in_the_way_is_left_alone() {
    let bench = Bench::with(COPY);
    bench.put("out/shards", "mine");
    bench.exec(&[], 1).says(&["error[E0607]", "p.yaml:5:3", "out/shards"]);
    assert_eq!(fs::read(bench.path("out/shards")).unwrap(), b"mine");

    let bench = Bench::with(COPY);
    bench.put(".flow", "mine");
    bench.exec(&[], 1).says(&["error[E0606]", ".flow"]);

    let bench = Bench::with(COPY);
    bench.put("out/copy/run", "mine");
    bench.exec(&[], 1).says(&["error[E0607]", "out/copy/run"]);
}

#[test]
fn a_folder_that_may_not_be_written_is_found_before_anything_runs() {
    let bench = Bench::with(COPY);
    let ran = bench.exec(&["--set", "steps.shards.path=/proc/flow"], 1);
    ran.says(&["error[E0607]", "/proc/flow"]);
}

#[test]
fn the_tables_of_a_run_stand_where_nothing_else_is_published() {
    let bench = Bench::with(&COPY.replace("path: out/shards", "path: out/copy/run"));
    bench.exec(&[], 78).says(&["error[E0603]", "the tables of the run"]);
}

/// A file system of a few hundred KiB, while it lives.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Mounts it; `None` where that is not permitted.
    fn mount(path: &'a Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }

    /// Makes room.
    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(self.0).status().unwrap();
        assert!(grown.success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_ends_the_run_and_room_lets_it_go_on() {
    let bench = Bench::with(COPY);
    let small = bench.path("small");
    let Some(_disk) = SmallDisk::mount(&small) else {
        eprintln!("skipped: no file system may be mounted here");
        return;
    };
    let on_disk = &["--set", "steps.shards.path=small/shards"];
    bench.exec(on_disk, 0);
    let before = bench.published("small/shards");

    // Digests of numbers: a megabyte that does not shrink.
    let noise = |n: u32| flow_data::Id::of("noise", [n.to_le_bytes().as_slice()]).to_string();
    let line =
        |n: u32| format!("{{\"prompt\": \"{}\"}}\n", (0..8).map(|k| noise(8 * n + k)).collect::<String>());
    bench.put("questions.jsonl", (0..8000).map(line).collect::<String>());
    let ran = bench.exec(on_disk, 1);
    ran.says(&["error[E0608]", "No space left on device"]);
    assert_eq!(bench.published("small/shards"), before, "readers keep the snapshot they have");

    bench.put("questions.jsonl", (0..100).map(line).collect::<String>());
    bench.exec(on_disk, 0);
    assert_eq!(bench.rows("small/shards").len(), 100, "what the failure left behind is no hindrance");
}

#[test]
fn a_full_disk_under_the_store_costs_no_answer_that_was_kept() {
    let bench = slow();
    let store = bench.path(".flow");
    let Some(disk) = SmallDisk::mount(&store) else {
        eprintln!("skipped: no file system may be mounted here");
        return;
    };
    bench.exec(&[], 1).says(&["error[E0608]", "could not keep an answer", "No space left on device"]);
    disk.grow();
    finished_as_from_scratch(&bench);
}
