//! From how a run ended to what it means.

use nix::sys::signal::Signal;

use crate::wire::{Report, Stopped};
use crate::{Error, Limits, Outcome, Reason, Test};

/// Longest detail in characters.
pub(crate) const DETAIL_CHARS: usize = 300;

/// The outcome of a program that was started. `secret` is what proves that assertions have run to their end.
///
/// # Errors
/// The interpreter did not come as far as the program.
pub(crate) fn judge(
    report: &Report,
    test: &Test<'_>,
    secret: &str,
    limits: &Limits,
) -> Result<Outcome, Error> {
    let Some(record) = report.record.strip_prefix("ready\n") else {
        let ended = match (report.stopped, report.signal) {
            (Some(stopped), _) => format!("{stopped:?} limit"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => format!("exit status {}", report.exit.unwrap_or_default()),
        };
        return Err(Error::Broken(format!(
            "the interpreter did not start: {ended}: {}",
            report.stderr.trim()
        )));
    };
    let (reason, detail) = verdict(report, record, test, secret, limits);
    Ok(Outcome {
        reason,
        detail: detail.chars().take(DETAIL_CHARS).collect(),
        cpu_ms: report.cpu_ms,
        wall_ms: report.wall_ms,
        peak_bytes: report.peak_bytes,
    })
}

/// A program that passes has passed, whatever it attempted in vain. One that does not is named after what it attempted
/// first, then after the limit that it met, then after what it said.
fn verdict(
    report: &Report,
    record: &str,
    test: &Test<'_>,
    secret: &str,
    limits: &Limits,
) -> (Reason, String) {
    let ended_well = report.stopped.is_none() && report.exit == Some(0);
    let difference = match test {
        Test::StdinStdout { output, .. } => {
            difference(output, &report.stdout).map(|words| (Reason::WrongOutput, words))
        }
        Test::Asserts(_) if record.lines().any(|line| line.strip_prefix("passed ") == Some(secret)) => None,
        Test::Asserts(_) => Some((Reason::Exited, "it ended before the assertions did".to_owned())),
    };
    if ended_well && difference.is_none() {
        return (Reason::Passed, String::new());
    }
    let attempt = record.lines().find_map(|line| line.strip_prefix("forbidden "));
    attempt
        .map(|attempt| (Reason::Forbidden, attempt.to_owned()))
        .or_else(|| stopped(report, limits))
        .or_else(|| signalled(report, limits))
        .or_else(|| (report.exit != Some(0)).then(|| exception(report, test)))
        .or(difference)
        .unwrap_or((Reason::Passed, String::new()))
}

fn stopped(report: &Report, limits: &Limits) -> Option<(Reason, String)> {
    Some(match report.stopped? {
        Stopped::Wall => (Reason::Time, format!("it ran for more than {} ms", limits.wall_ms)),
        Stopped::Output => (Reason::Output, format!("it wrote more than {} bytes", limits.output_bytes)),
    })
}

fn signalled(report: &Report, limits: &Limits) -> Option<(Reason, String)> {
    let signal = Signal::try_from(report.signal?).ok()?;
    // The kernel kills it by ticks, which on a busy machine run far ahead of the time that is reported; no other kill comes so late.
    let out_of_time = report.cpu_ms * 2 >= u64::from(limits.cpu_s) * 1000;
    Some(match signal {
        Signal::SIGSYS => (Reason::Forbidden, "system call: one that programs may not make".to_owned()),
        Signal::SIGXCPU | Signal::SIGKILL if out_of_time => {
            (Reason::Time, format!("it used more than {} s of the processor", limits.cpu_s))
        }
        Signal::SIGXFSZ => (Reason::Quota, "files: one grew too large".to_owned()),
        signal => (Reason::Killed, format!("{signal}")),
    })
}

/// How a program's last line begins when there was no memory left; the last one when a thread ended that could not even load
/// what unwinds it.
const NO_MEMORY: [&str; 3] =
    ["MemoryError", "OSError: [Errno 12]", "libgcc_s.so.1 must be installed for pthread_exit to work"];

/// What the last line of a traceback means.
fn exception(report: &Report, test: &Test<'_>) -> (Reason, String) {
    let status = || format!("exit status {}", report.exit.unwrap_or_default());
    let line = report.stderr.lines().rev().find(|line| !line.trim().is_empty());
    let line = line.map_or_else(status, |line| line.trim().to_owned());
    let reason = if NO_MEMORY.iter().any(|words| line.starts_with(words)) {
        Reason::Memory
    } else if QUOTAS.iter().any(|words| line.starts_with(words)) {
        Reason::Quota
    } else if matches!(test, Test::Asserts(_)) && line.starts_with("AssertionError") {
        Reason::WrongOutput
    } else {
        Reason::Exception
    };
    (reason, line)
}

/// How exceptions begin that tell of a quota: too many open files, a file too large, no space left, no more threads.
const QUOTAS: [&str; 4] = [
    "OSError: [Errno 24]",
    "OSError: [Errno 27]",
    "OSError: [Errno 28]",
    "RuntimeError: can't start new thread",
];

/// The first line in which `found` differs from `expected`, in words.
fn difference(expected: &str, found: &str) -> Option<String> {
    let mut expected = expected.trim_end().lines().map(str::trim_end);
    let mut found = found.trim_end().lines().map(str::trim_end);
    for number in 1.. {
        let words = match (expected.next(), found.next()) {
            (None, None) => break,
            (expected, found) if expected == found => continue,
            (Some(expected), Some(found)) => {
                format!("expected `{}`, found `{}`", short(expected), short(found))
            }
            (Some(expected), None) => format!("expected `{}`, found the end", short(expected)),
            (None, found) => format!("expected the end, found `{}`", short(found.unwrap_or_default())),
        };
        return Some(format!("line {number}: {words}"));
    }
    None
}

fn short(line: &str) -> String {
    let mut short: String = line.chars().take(80).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_at_the_ends_do_not_count_and_all_else_does() {
        for (expected, found) in
            [("5", "5\n"), ("1 2\n3\n", "1 2  \n3\n\n"), ("", "\n"), ("a\n\nb", "a\n\nb\n")]
        {
            assert_eq!(difference(expected, found), None);
        }
        let told = |expected, found| difference(expected, found).unwrap();
        assert_eq!(told("5", "6\n"), "line 1: expected `5`, found `6`");
        assert_eq!(told("1\n2", "1\n"), "line 2: expected `2`, found the end");
        assert_eq!(told("1", "1\n2\n"), "line 2: expected the end, found `2`");
        assert_eq!(told("1 2", "1  2"), "line 1: expected `1 2`, found `1  2`");
    }
}
