//! Command lines and programs; whole runs are in `tests/cli/command.rs` of the program `flow`.

use std::cell::Cell;
use std::path::Path;

use tempfile::TempDir;

use super::program::Program;
use super::words::{Places, mistakes};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn names_in_braces_become_places() {
    let [data, start, out] = ["/d", "/s", "/o"].map(Path::new);
    let places = Places { data, start, out, seed: 7 };
    let put = places.put_into(&words(&["x", "--io={data}:{out}", "{\"lr\": {seed}}", "{start}"])).unwrap();
    assert_eq!(put, ["x", "--io=/d:/o", "{\"lr\": 7}", "/s"]);
}

#[test]
fn command_lines_that_cannot_work_are_told() {
    let told = |line: &[&str]| mistakes(&words(line)).into_iter().map(|problem| problem.message).collect::<Vec<_>>();
    assert!(told(&["sft.py", "{data}", "{out}", "{\"a\": 1}", "${HOME}"]).is_empty());
    assert_eq!(told(&["sft.py", "{data}", "{output}", "{out}"]), ["unknown place `{output}`"]);
    assert_eq!(told(&["sft.py"]).len(), 2);
    assert_eq!(told(&[]).len(), 3);
}

fn program(folder: &TempDir, script: &str) -> Program {
    Program { words: words(&["sh", "-c", script]), log: folder.path().join("log.txt") }
}

#[test]
fn a_program_that_fails_is_told_with_its_last_words() {
    let folder = TempDir::new().unwrap();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; done; echo no memory >&2; exit 3";
    let error = program(&folder, script).run(|| false).unwrap_err();
    assert!(error.contains("exit status: 3") && error.ends_with("line 10\nno memory"), "{error}");
    assert!(!error.contains("line 1\n"), "{error}");
    let missing = Program { words: words(&["no-such-trainer"]), log: folder.path().join("log.txt") };
    assert!(missing.run(|| false).unwrap_err().starts_with("cannot run `no-such-trainer`"));
}

#[test]
fn a_cancelled_program_ends_with_its_children() {
    let folder = TempDir::new().unwrap();
    let pid = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
    // Once its child is there.
    let looks = Cell::new(0);
    let cancelled = || {
        looks.set(looks.get() + 1);
        std::fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n'))
    };
    assert_eq!(program(&folder, &script).run(cancelled), Ok(false));
    assert!(looks.get() > 0);
    let child = std::fs::read_to_string(&pid).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}
