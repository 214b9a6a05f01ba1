//! What a jail costs: the same program by a bare subprocess, without a jail and in one; Markdown for BENCHMARKS.md.
//!
//! `cargo run --release -p flow-sandbox --example overhead`

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use flow_sandbox::{Error, Interpreter, Isolation, Limits, Reason, Sandbox, Test};

/// Programs run for each line of the table.
const RUNS: usize = 200;
const PROGRAM: &str = "print(sum(map(int, input().split())))";
const INPUT: &str = "20 22\n";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]
fn main() -> ExitCode {
    if let Some(code) = flow_sandbox::jail_main() {
        return code;
    }
    match table() {
        Ok(table) => println!("{table}"),
        Err(error) => eprintln!("{error}; {}", error.help()),
    }
    ExitCode::SUCCESS
}

fn table() -> Result<String, Error> {
    let interpreter = Interpreter::find("python3")?;
    let stage = Path::new("/proc/self/exe");
    let none = Sandbox::open_with(Isolation::None, stage, interpreter.clone())?;
    let jail = Sandbox::open_with(Isolation::Jail, stage, interpreter.clone())?;
    let mut lines = vec![
        format!("{RUNS} programs, Python {}", interpreter.version().split(' ').next().unwrap_or_default()),
        "| how | at once | median, ms | 95 of 100 below, ms | programs a second | processor, ms a program |"
            .to_owned(),
        "| --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    for threads in [1, 2] {
        lines.push(line("subprocess, `python3 -c`", threads, &|| bare(&interpreter, &[])));
        lines.push(line("subprocess, as the jail starts it", threads, &|| {
            bare(&interpreter, &["-B", "-s", "-S"])
        }));
        lines.push(line("`sandbox: none`", threads, &|| kept(&none)));
        lines.push(line("jail", threads, &|| kept(&jail)));
    }
    Ok(lines.join("\n"))
}

/// Runs the program by `run` and tells how long that took.
fn line(name: &str, threads: usize, run: &(dyn Fn() + Sync)) -> String {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut took_ms = Vec::new();
        while next.fetch_add(1, Relaxed) < RUNS {
            let started = Instant::now();
            run();
            took_ms.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        took_ms
    };
    let (started, processor) = (Instant::now(), processor_ms());
    let mut took_ms: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the work does not panic")).collect()
    });
    let per_second = RUNS as f64 / started.elapsed().as_secs_f64();
    let processor = (processor_ms() - processor) / RUNS as f64;
    took_ms.sort_by(f64::total_cmp);
    let [median, most] = [RUNS / 2, RUNS * 95 / 100].map(|at| took_ms[at]);
    format!("| {name} | {threads} | {median:.1} | {most:.1} | {per_second:.0} | {processor:.1} |")
}

/// Processor time of all processes that were started here and have ended, in milliseconds.
fn processor_ms() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel counts");
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1000.0
}

/// The interpreter with pipes, and nothing else.
fn bare(interpreter: &Interpreter, flags: &[&str]) {
    let child = Command::new(interpreter.executable())
        .args(flags)
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("the interpreter starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    std::io::Write::write_all(&mut stdin, INPUT.as_bytes()).expect("the program reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.stdout, b"42\n");
}

fn kept(sandbox: &Sandbox) {
    let test = Test::StdinStdout { input: INPUT, output: "42\n" };
    let outcome = sandbox.run(PROGRAM, &test, &Limits::default()).expect("the jail stands");
    assert_eq!(outcome.reason, Reason::Passed);
}
