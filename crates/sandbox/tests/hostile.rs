//! Programs that mean harm: each is stopped, the reason is named, and the host is as it was.
//!
//! A program of `hostile/` says in its second line how it ends, or, where its threads meet the limit in any order, how it may end:
//! a stack that cannot grow is a fault of another name. It may read on stdin where a secret of the host lies, and the
//! host's process number; the output that would count as right is the secret.

mod common;

use std::fs;
use std::path::Path;

use common::{FEW_THREADS, jail, on_threads};
use flow_sandbox::{Limits, Test};

const SECRET: &str = "canary-5d1f0c";

fn limits() -> Limits {
    Limits {
        cpu_s: 1,
        wall_ms: 8000,
        memory_bytes: 256 << 20,
        output_bytes: 1 << 16,
        disk_bytes: 4 << 20,
        ..Limits::default()
    }
}

/// Files of the host that a program could change: names and contents.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
        .collect();
    files.sort();
    files
}

/// What is left of jails: processes of this program's stages and interpreters, mounts, traces in /tmp and /dev/shm.
fn traces() -> Vec<String> {
    let mut traces = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let parent = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let parent = parent.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        if parent == Some(std::process::id()) {
            traces.push(fs::read_to_string(process.path().join("cmdline")).unwrap_or_default());
        }
    }
    for folder in ["/tmp", "/dev/shm", "/var/tmp"] {
        let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let left = |name: &str| name.contains("flow-canary") || name.contains("flow_canary");
        traces.extend(names.filter_map(|name| name.into_string().ok()).filter(|name| left(name)));
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    traces.extend(mounts.lines().filter(|line| line.contains("/box")).map(str::to_owned));
    traces
}

#[test]
fn every_hostile_program_is_stopped_and_named_and_the_host_is_as_it_was() {
    let host = tempfile::Builder::new().prefix("host-").tempdir_in("/var/tmp").unwrap();
    let canary = host.path().join("canary.txt");
    fs::write(&canary, SECRET).unwrap();
    fs::write(host.path().join("canary.py"), format!("SECRET = {SECRET:?}\n")).unwrap();
    let (files, hostname) = (contents(host.path()), fs::read("/proc/sys/kernel/hostname").unwrap());

    let sandbox = jail();
    let input = format!("{}\n{}\n", canary.display(), std::process::id());
    let test = Test::StdinStdout { input: &input, output: SECRET };
    let mut programs: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    programs.sort();
    assert!(programs.len() >= 60, "only {} programs", programs.len());

    let faults = on_threads(FEW_THREADS, &programs, |path| {
        let code = fs::read_to_string(path).unwrap();
        let expected = code.lines().nth(1).and_then(|line| line.strip_prefix("# ends: ")).unwrap().to_owned();
        let outcome = sandbox.run(&code, &test, &limits()).unwrap();
        let found = format!("{} {}", outcome.reason, outcome.detail);
        let is_expected = expected.split(" or ").any(|end| found.starts_with(end));
        (!is_expected).then(|| format!("{}: expected {expected}, found {found}", path.display()))
    });
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), programs.len(), faults.join("\n"));

    assert_eq!(contents(host.path()), files);
    assert_eq!(fs::read("/proc/sys/kernel/hostname").unwrap(), hostname);
    assert_eq!(traces(), Vec::<String>::new());
}
