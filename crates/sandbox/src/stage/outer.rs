//! The outer stage: makes the namespaces, starts the inner stage as their process 1, and watches it.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, ExitCode, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{close, dup, dup2_stderr, pipe2};

use super::watch::{Streams, watch};
use super::{REFUSED, Refused, attempt};
use crate::wire::{self, INNER, READY, Report, Request};

/// Runs the stage: request on stdin, report on stdout. Without namespaces when `bare`.
pub(super) fn run(bare: bool) -> ExitCode {
    let report = stage(bare).unwrap_or_else(|Refused { attempt, cause }| Report {
        refused: Some((attempt, cause)),
        ..Report::default()
    });
    let sent = serde_json::to_vec(&report).map(|report| io::stdout().write_all(&report));
    if matches!(sent, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn stage(bare: bool) -> Result<Report, Refused> {
    attempt("die with the host", set_pdeathsig(Signal::SIGKILL))?;
    attempt("close what the host left open", close_strays())?;
    if !bare {
        attempt("namespaces", unshare(namespaces()))?;
    }
    attempt("speak to the host", io::stdout().write_all(&[READY]).and_then(|()| io::stdout().flush()))?;

    let mut frame = Vec::new();
    attempt("hear the host", io::Read::read_to_end(&mut io::stdin(), &mut frame))?;
    let request: Request = attempt("understand the host", wire::take(&mut frame.as_slice()))?;

    let (record, record_end) = attempt("make a pipe", pipe2(OFlag::O_NONBLOCK))?;
    attempt("keep a pipe", fcntl(&record, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)))?;
    // What came as stderr is the link to another jail, or nothing.
    let link = attempt("keep the link", dup(io::stderr()))?;
    let inner = Command::new("/proc/self/exe")
        .arg(INNER)
        .arg(record_end.as_raw_fd().to_string())
        .arg(link.as_raw_fd().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut inner = attempt("start the inner stage", inner)?;
    // The other jail must see the end of this one.
    drop((record_end, link));
    attempt("let go of the link", hush())?;
    let streams = attempt("watch the inner stage", Streams::of(&mut inner, frame, record))?;
    let report = attempt("watch the program", watch(inner, streams, &request.limits))?;
    refusal(&report).map_or(Ok(report), Err)
}

/// Closes stderr, in the place of which nothing else may come.
fn hush() -> io::Result<()> {
    Ok(dup2_stderr(fs::File::open("/dev/null")?)?)
}

/// What the inner stage said when it did not become the program. No program can feign it: its record has begun.
fn refusal(report: &Report) -> Option<Refused> {
    let refused = report.record.is_empty() && report.exit == Some(REFUSED.into());
    let (attempt, cause) = serde_json::from_str(&report.stderr).ok().filter(|_| refused)?;
    Some(Refused { attempt, cause })
}

fn namespaces() -> CloneFlags {
    CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP
}

/// Closes every file but the standard ones: a host may have been started with others that it does not know of.
fn close_strays() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > io::stderr().as_fd().as_raw_fd())
        .collect();
    for number in open {
        // The folder itself was one of them and is closed already.
        let _ = close(number);
    }
    Ok(())
}
