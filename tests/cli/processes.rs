//! Several processes are one run: the same bytes, a lost one is told, whoever does not belong is refused.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::bench::{Bench, Ran};
use super::edits::looped;
use super::runs::{begun, finished_as_from_scratch, signal, slow};

/// Addresses of this machine that are free now.
fn free(n: usize) -> Vec<String> {
    let listeners: Vec<_> = (0..n).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

/// Starts process `process` of those in the file `hosts`.
fn start(bench: &Bench, process: usize, more: &[&str]) -> Child {
    let process = process.to_string();
    let args = [&["exec", "p.yaml", "--hosts", "hosts", "--process", &process], more].concat();
    bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn any_number_of_processes_publishes_the_same() {
    let alone = looped();
    let report = alone.exec(&["--format", "json"], 0).json();
    for args in [&["--processes", "2"][..], &["--processes", "4", "-w", "2"], &["--processes", "1"]] {
        let bench = looped();
        let several = bench.exec(&[args, &["--format", "json"]].concat(), 0).json();
        assert_eq!(several["steps"], report["steps"], "every row and every call is counted");
        assert_eq!(several["trainings"], report["trainings"]);
        for folder in ["out/shards", "out/verdicts"] {
            assert!(bench.published(folder) == alone.published(folder), "{folder} with {args:?}");
        }
        for table in ["steps", "metrics", "problems", "checkpoints", "rejects"] {
            let rows = |bench: &Bench| bench.table(&format!("out/loop/run/{table}.parquet"));
            assert_eq!(rows(&bench), rows(&alone), "{table}");
        }
        // What the others were answered is noted and known: one process alone asks nothing more, and nothing is given up.
        bench.flow(&["gc"]).says(&["0 answers, 0 models that no pipeline uses"]);
        let again = bench.exec(&["--format", "json", "--verify-incremental"], 0).json();
        assert!(again["steps"].as_array().unwrap().iter().all(|step| step["calls"] == 0), "{again}");
    }
}

#[test]
fn processes_that_are_started_by_themselves_find_each_other() {
    let (alone, bench) = (looped(), looped());
    alone.exec(&["-q"], 0);
    let addresses = free(3);
    bench.put(
        "hosts",
        format!("# the host\n{}\n\n{} # another\n{}\n", addresses[0], addresses[1], addresses[2]),
    );
    let members = [start(&bench, 2, &[]), start(&bench, 1, &[])];
    let host = Ran::of(start(&bench, 0, &["--format", "json"]));
    assert_eq!((host.code, &host.json()["outcome"]), (0, &"done".into()), "{}", host.stderr);
    for member in members {
        let ran = Ran::of(member);
        assert_eq!((ran.code, &*ran.stdout), (0, ""), "{}", ran.stderr);
    }
    assert!(bench.published("out/shards") == alone.published("out/shards"));
}

#[test]
fn a_process_may_be_on_another_network() {
    let Some(network) = Network::new() else {
        eprintln!("skipped: this machine lets nobody make a network namespace with `ip`");
        return;
    };
    let (alone, bench) = (looped(), looped());
    alone.exec(&["-q"], 0);
    bench.put("hosts", format!("{}:7101\n{}:7101\n", network.here, network.there));
    let mut member = Command::new("ip");
    member.args(["netns", "exec", &network.name, env!("CARGO_BIN_EXE_flow")]);
    member.args(["exec", "p.yaml", "--hosts", "hosts", "--process", "1"]).current_dir(bench.path(""));
    let member = member.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let host = Ran::of(start(&bench, 0, &["-q"]));
    assert_eq!((host.code, Ran::of(member).code), (0, 0), "{}", host.stderr);
    assert!(bench.published("out/shards") == alone.published("out/shards"));
}

#[test]
fn a_process_that_is_lost_ends_the_run_and_the_next_run_goes_on() {
    let bench = slow();
    let addresses = free(2);
    bench.put("hosts", addresses.join("\n"));
    let (host, member) = (start(&bench, 0, &[]), start(&bench, 1, &[]));
    wait_for("both keep answers", || {
        ["00000.log", "00001.log"]
            .iter()
            .all(|log| fs::metadata(bench.path(".flow/memo").join(log)).is_ok_and(|log| log.len() > 50_000))
    });
    signal(&member, "-KILL");
    assert_eq!(Ran::of(member).code, -1);
    let host = Ran::of(host);
    assert_eq!(host.code, 1, "{}", host.stderr);
    host.says(&["error[E0619]", &format!("process 1 at `{}` was lost: it has ended", addresses[1])]);
    assert!(!bench.path("out/verdicts/current").exists(), "nothing half done is published");
    bench.flow(&["gc"]).says(&["nothing was removed: the last run of", "has not ended"]);
    finished_as_from_scratch(&bench);
}

#[test]
fn a_lost_host_leaves_no_process_behind() {
    let bench = slow();
    bench.put("hosts", free(2).join("\n"));
    let (host, member) = (start(&bench, 0, &[]), start(&bench, 1, &[]));
    wait_for("the run has begun", || bench.path(".flow/memo/00001.log").exists());
    signal(&host, "-KILL");
    assert_eq!(Ran::of(host).code, -1);
    let member = Ran::of(member);
    assert_eq!(member.code, 1, "{}", member.stderr);
    member.says(&["error[E0619]", "process 0 at "]);

    // Those that a run has started go with it too.
    let bench = slow();
    let host = begun(&bench, &["--processes", "3"]);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", host.id())).unwrap();
    assert_eq!(children.split_whitespace().count(), 2);
    signal(&host, "-KILL");
    let gone = |pid: &str| fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |line| line.is_empty());
    wait_for("the others end", || children.split_whitespace().all(gone));
    assert_eq!(Ran::of(host).code, -1);
}

#[test]
fn an_interrupted_run_ends_all_its_processes() {
    let bench = slow();
    let host = begun(&bench, &["--processes", "2"]);
    signal(&host, "-INT");
    let ran = Ran::of(host);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    ran.says(&["stopping; finished answers are kept", "interrupted"]);
    finished_as_from_scratch(&bench);
}

#[test]
fn a_process_that_was_started_otherwise_is_refused() {
    let bench = looped();
    bench.put("hosts", free(2).join("\n"));
    for (other, what) in [
        (&["-w", "2"][..], "another number of workers"),
        (&["--set", "seed=4"], "another pipeline, or the same with other inputs or options"),
        (&["--set", "rounds.on_change=keep"], "another pipeline"),
        (&["--set", "out=elsewhere"], "another pipeline"),
        (&["--store", "elsewhere"], "another pipeline"),
        (&["--from", "graded"], "another pipeline"),
        (&["--max-calls", "1000000"], "another pipeline"),
    ] {
        let (host, member) = (start(&bench, 0, &[]), start(&bench, 1, other));
        let (host, member) = (Ran::of(host), Ran::of(member));
        assert_eq!((host.code, member.code), (1, 1), "{}{}", host.stderr, member.stderr);
        host.says(&["error[E0618]: process 1 was started with", what]);
        member.says(&["error[E0618]: process 0 at `", "refused this process", what]);
    }
    bench.exec(&["--processes", "2", "--set", "models.policy.path=nowhere"], 1).says(&["error[E0604]"]);
    bench.exec(&["--processes", "2", "--from", "nowhere"], 2).says(&["error[E0614]"]);
}

#[test]
fn no_process_calls_a_run_done_that_failed() {
    let bench = looped();
    bench.put("hosts", free(2).join("\n"));
    fs::remove_file(bench.path("questions.jsonl")).unwrap();
    let (host, member) = (start(&bench, 0, &[]), start(&bench, 1, &[]));
    let (host, member) = (Ran::of(host), Ran::of(member));
    host.says(&["error[E0401]"]);
    assert_eq!((host.code, member.code), (1, 1), "{}", member.stderr);
}

#[test]
fn places_that_are_none_are_refused() {
    let bench = looped();
    let cases = [
        ("127.0.0.1:1\n", "2", "there is no process 2 among 1"),
        ("127.0.0.1:1\nnowhere\n", "0", "`hosts`, line 2: `nowhere` is no address `host:port`"),
        ("127.0.0.1:70000\n", "0", "`hosts`, line 1: `127.0.0.1:70000` is no address `host:port`"),
        ("a:1\n# b:2\na:1\n", "0", "`hosts`, line 3: `a:1` is there twice"),
        (
            "127.0.0.1:1\nno-such-host.invalid:2\n",
            "0",
            "`hosts`, line 2: the host of `no-such-host.invalid:2` cannot be found",
        ),
        ("# none\n", "0", "`hosts` has 0 addresses, and 1 are needed"),
    ];
    for (hosts, process, what) in cases {
        bench.put("hosts", hosts);
        bench.exec(&["--hosts", "hosts", "--process", process], 2).says(&["error[E0618]", what]);
    }
    bench.exec(&["--hosts", "no-such-file"], 2).says(&["cannot read `no-such-file`"]);
    bench.put("hosts", "192.0.2.1:7101\n127.0.0.1:7102\n");
    bench.exec(&["--hosts", "hosts"], 1).says(&["error[E0618]: cannot listen at `192.0.2.1:7101`"]);
}

/// A network namespace with a cable to this one; both go when this is dropped.
struct Network {
    name: String,
    cable: String,
    here: &'static str,
    there: &'static str,
}

impl Network {
    /// None where it cannot be made.
    fn new() -> Option<Self> {
        let id = std::process::id();
        let (name, cable) = (format!("flow-{id}"), format!("flow{}", id % 100_000));
        let network = Self { name, cable, here: "10.211.7.1", there: "10.211.7.2" };
        let Self { name, cable, here, there } = &network;
        let far = &format!("{cable}b");
        let inside = ["netns", "exec", name, "ip"];
        ip(&["netns", "add", name])?;
        ip(&["link", "add", cable, "type", "veth", "peer", "name", far])?;
        ip(&["link", "set", far, "netns", name])?;
        ip(&["addr", "add", &format!("{here}/30"), "dev", cable])?;
        ip(&["link", "set", cable, "up"])?;
        ip(&[&inside[..], &["addr", "add", &format!("{there}/30"), "dev", far]].concat())?;
        ip(&[&inside[..], &["link", "set", far, "up"]].concat())?;
        Some(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The far end of the cable goes with its namespace, and the cable with its far end.
        ip(&["link", "del", &self.cable]);
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> Option<()> {
    let ran = Command::new("ip").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success()).then_some(())
}
