//! A program that is run to its end, or until nobody waits for it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(50);
/// What it has from being told to end until it is made to.
const GRACE: Duration = Duration::from_secs(10);
/// Lines of what it said that an error repeats.
const LAST_LINES: usize = 10;

/// A program with its arguments, and the file that gets what it says.
pub(super) struct Program {
    pub(super) words: Vec<String>,
    pub(super) log: PathBuf,
}

impl Program {
    /// Whether it ended by itself, well; false when it was `cancelled`. Errs when it cannot be started, or fails.
    pub(super) fn run(&self, cancelled: impl Fn() -> bool) -> Result<bool, String> {
        let mut child = self.start()?;
        let status = loop {
            match child.try_wait().map_err(|error| self.failed("wait for", &error))? {
                Some(status) => break status,
                None if cancelled() => return self.end(&mut child).map(|()| false),
                None => sleep(PAUSE),
            }
        };
        if status.success() { Ok(true) } else { Err(self.complaint(status)) }
    }

    /// Starts it in a process group of its own: a Ctrl-C is for `flow`, which tells it.
    fn start(&self) -> Result<Child, String> {
        let log = File::create(&self.log).and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = log.map_err(|error| format!("cannot write {}: {error}", self.log.display()))?;
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        command.spawn().map_err(|error| self.failed("run", &error))
    }

    /// Tells it and its children to end; those that do not are made to.
    fn end(&self, child: &mut Child) -> Result<(), String> {
        let group = Pid::from_raw(child.id().cast_signed());
        let told = Instant::now();
        // A group that is gone needs no signal.
        let _ = killpg(group, Signal::SIGTERM);
        while told.elapsed() < GRACE {
            if child.try_wait().map_err(|error| self.failed("wait for", &error))?.is_some() {
                break;
            }
            sleep(PAUSE);
        }
        let _ = killpg(group, Signal::SIGKILL);
        child.wait().map(drop).map_err(|error| self.failed("wait for", &error))
    }

    fn failed(&self, attempt: &str, error: &std::io::Error) -> String {
        format!("cannot {attempt} `{}`: {error}", self.words[0])
    }

    fn complaint(&self, status: ExitStatus) -> String {
        let said = fs::read(&self.log).map(|said| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        let log = self.log.display();
        format!("`{}` ended with {status}; all that it said stands in `{log}`, at last:\n{last}", self.words[0])
    }
}
