//! Where the jail depends on its host: a kernel that refuses, a host that dies.

mod common;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::jail;
use flow_sandbox::{Error, Interpreter, Isolation, Limits, Sandbox, Test};

/// This test program, to run one of its ignored tests by itself.
fn only(test: &str) -> Vec<String> {
    let program = std::env::current_exe().unwrap().display().to_string();
    [&program, "--exact", test, "--ignored", "--nocapture"].map(str::to_owned).to_vec()
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn a_kernel_that_forbids_namespaces_is_told_and_nothing_runs() {
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "sh", "-c", forbid, "sh"])
        .args(only("in_a_namespace_without_namespaces"));
    match command.output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => eprintln!("skipped: there is no `unshare`: {error}"),
    }
}

#[test]
#[ignore = "holds only where no namespace can be made: `a_kernel_that_forbids_namespaces_is_told_and_nothing_runs` runs it there"]
fn in_a_namespace_without_namespaces() {
    let stage = env!("CARGO_BIN_EXE_flow-jail").as_ref();
    let open = |isolation| Sandbox::open_with(isolation, stage, Interpreter::find("python3").unwrap());
    let refused = open(Isolation::Jail).unwrap_err();
    assert!(matches!(&refused, Error::Unsupported { attempt, .. } if attempt == "namespaces"), "{refused}");
    assert_eq!(refused.code(), "sandbox_unsupported");
    open(Isolation::None).unwrap();
}

#[test]
fn a_host_that_is_killed_takes_its_programs_with_it() {
    let words = only("sleep_in_a_jail");
    let mut host = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::null()).spawn().unwrap();
    let programs =
        wait_for(|| Some(descendants(&host)).filter(|found| found.iter().any(|(_, line)| is_program(line))));
    assert!(programs.len() >= 2, "an outer stage and a program: {programs:?}");
    host.kill().unwrap();
    host.wait().unwrap();
    wait_for(|| programs.iter().all(|(pid, line)| command_line(*pid) != *line).then_some(()));
}

#[test]
#[ignore = "a host to be killed, no check: `a_host_that_is_killed_takes_its_programs_with_it` runs it in a process of its own"]
fn sleep_in_a_jail() {
    let limits = Limits { wall_ms: 60_000, ..Limits::default() };
    let test = Test::StdinStdout { input: "", output: "" };
    jail().run("import time\ntime.sleep(50)\n", &test, &limits).unwrap();
}

/// The programs of the first jail, which tries the interpreter, come and go; the one that sleeps is written so.
fn is_program(command_line: &str) -> bool {
    command_line.contains("/jail/run.py")
}

/// What `look` finds within ten seconds.
fn wait_for<T>(look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "nothing after ten seconds");
        sleep(Duration::from_millis(100));
    }
}

/// The processes below `host` with their command lines.
fn descendants(host: &Child) -> Vec<(u32, String)> {
    let mut found = vec![(host.id(), String::new())];
    let mut at = 0;
    while let Some((parent, _)) = found.get(at).cloned() {
        let children = fs::read_dir("/proc").unwrap().flatten();
        let children = children.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        found.extend(
            children.filter(|pid| parent_of(*pid) == Some(parent)).map(|pid| (pid, command_line(pid))),
        );
        at += 1;
    }
    found.split_off(1)
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
}

fn command_line(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}
