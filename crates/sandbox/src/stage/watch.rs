//! Watches the program: feeds it, reads what it says up to the limits, ends it when its time is up.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::Limits;
use crate::wire::{Report, Stopped};

/// How much of the end of stderr is reported.
const STDERR_BYTES: usize = 4096;
/// Most bytes of the record: the harness and the hook stay far below.
const RECORD_BYTES: u64 = 1 << 16;
/// How often a program is looked at that has closed all its outputs.
const PATIENCE: Duration = Duration::from_millis(2);

/// The pipes of a program.
pub(super) struct Streams {
    stdin: Option<File>,
    /// The request and what the program reads, and how much of it is sent.
    input: Vec<u8>,
    n_sent: usize,
    stdout: Output,
    stderr: Output,
    record: Output,
}

/// One pipe that the program writes to.
struct Output {
    pipe: Option<File>,
    bytes: Vec<u8>,
}

impl Streams {
    /// The pipes of `child` and of its record.
    pub(super) fn of(child: &mut Child, input: Vec<u8>, record: OwnedFd) -> io::Result<Self> {
        let missing = || io::Error::other("a pipe is missing");
        let stdin = OwnedFd::from(child.stdin.take().ok_or_else(missing)?);
        Ok(Self {
            stdin: Some(unblocked(stdin)?),
            input,
            n_sent: 0,
            stdout: Output::of(child.stdout.take().ok_or_else(missing)?.into())?,
            stderr: Output::of(child.stderr.take().ok_or_else(missing)?.into())?,
            record: Output::of(record)?,
        })
    }

    fn outputs(&self) -> [&Output; 3] {
        [&self.stdout, &self.stderr, &self.record]
    }

    fn all_ended(&self) -> bool {
        self.outputs().iter().all(|output| output.pipe.is_none())
    }

    /// Waits until something can be read or written, at most for `left`.
    fn wait(&self, left: Duration) -> io::Result<()> {
        let mut polled = Vec::with_capacity(4);
        polled.extend(self.stdin.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)));
        for pipe in self.outputs().into_iter().flat_map(|output| &output.pipe) {
            polled.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
        // Rounded up, so that the last millisecond is not spent in a busy loop.
        let left = left + Duration::from_millis(1);
        poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))?;
        Ok(())
    }

    /// Moves what can be moved now. Returns whether an output is over its limit.
    fn advance(&mut self, limits: &Limits) -> io::Result<bool> {
        self.feed()?;
        Ok(self.stdout.drain(limits.output_bytes)?
            | self.stderr.drain(limits.output_bytes)?
            | self.record.drain(RECORD_BYTES)?)
    }

    fn feed(&mut self) -> io::Result<()> {
        while let Some(stdin) = &mut self.stdin {
            match stdin.write(&self.input[self.n_sent..]) {
                Ok(n) => self.n_sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // A program need not read its input.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.stdin = None,
                Err(error) => return Err(error),
            }
            if self.n_sent == self.input.len() {
                self.stdin = None;
            }
        }
        Ok(())
    }
}

impl Output {
    fn of(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self { pipe: Some(unblocked(pipe)?), bytes: Vec::new() })
    }

    /// Reads what is there. Returns whether it is more than `most_bytes`.
    fn drain(&mut self, most_bytes: u64) -> io::Result<bool> {
        let mut chunk = [0; 1 << 14];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(n) => self.bytes.extend(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.bytes.len() as u64 > most_bytes {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Watches `child` to its end and reports it.
pub(super) fn watch(mut child: Child, mut streams: Streams, limits: &Limits) -> io::Result<Report> {
    let started = Instant::now();
    let deadline = started + Duration::from_millis(limits.wall_ms.into());
    let mut stopped = None;
    while stopped.is_none() && !streams.all_ended() {
        streams.wait(deadline.saturating_duration_since(Instant::now()))?;
        if streams.advance(limits)? {
            stopped = Some(Stopped::Output);
        } else if Instant::now() >= deadline {
            stopped = Some(Stopped::Wall);
        }
    }
    let status = match stopped {
        Some(_) => None,
        None => end_before(&mut child, deadline)?,
    };
    if status.is_none() {
        stopped = stopped.or(Some(Stopped::Wall));
        // Process 1 takes its namespace with it.
        child.kill()?;
    }
    let status = status.map_or_else(|| child.wait(), Ok)?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let stderr_from = streams.stderr.bytes.len().saturating_sub(STDERR_BYTES);
    Ok(Report {
        refused: None,
        stopped,
        exit: status.code(),
        signal: status.signal(),
        stdout: streams.stdout.text(),
        stderr: String::from_utf8_lossy(&streams.stderr.bytes[stderr_from..]).into_owned(),
        record: streams.record.text(),
        cpu_ms: (usage.user_time().num_milliseconds() + usage.system_time().num_milliseconds()) as u64,
        wall_ms: started.elapsed().as_millis() as u64,
        peak_bytes: usage.max_rss() as u64 * 1024,
    })
}

/// The end of a program that has closed its outputs, or `None` when it goes on until the deadline.
fn end_before(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(PATIENCE);
    }
}

fn unblocked(pipe: OwnedFd) -> io::Result<File> {
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(File::from(pipe))
}
