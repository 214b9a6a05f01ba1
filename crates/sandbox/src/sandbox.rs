//! The host's side: starts the stages of a jail, grants the ids they ask for, and reads how the program ended.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid};

use crate::apart::Splits;
use crate::judge::judge;
use crate::wire::{self, Harness, Place, Request};
use crate::{Error, Interpreter, Limits, Outcome, Reason};

/// What a jail may take beyond the program's own time, before it counts as broken down.
const GRACE: Duration = Duration::from_secs(20);
/// Who a program is for the host when the host is root: `nobody`.
const NOBODY: u32 = 65_534;
/// Numbers the runs and names their secrets; a process may have several sandboxes.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// How far a program is kept from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In a jail, or not at all.
    Jail,
    /// With limits on resources only: it can read, write and send whatever the host can.
    None,
}

/// What a program must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test<'a> {
    /// As a script that reads `input`, print `output`. Blanks at the end of lines and lines at the end of output that hold
    /// nothing else do not count.
    StdinStdout {
        /// What it reads on stdin.
        input: &'a str,
        /// What it must print.
        output: &'a str,
    },
    /// As a module named `solution`, define what this code needs to run to its end.
    Asserts(&'a str),
}

/// Where programs run. Can be shared by threads; each run has its own jail.
#[derive(Debug)]
pub struct Sandbox {
    stage: PathBuf,
    isolation: Isolation,
    interpreter: Interpreter,
    secret: String,
    pub(crate) splits: Splits,
}

impl Sandbox {
    /// A sandbox with `python3` and the calling program's own [`crate::jail_main`]. Takes about half a second: it looks at the
    /// interpreter and tries a program, so that what is missing shows now.
    ///
    /// # Errors
    /// The jail cannot be built here, or there is no interpreter.
    pub fn open(isolation: Isolation) -> Result<Self, Error> {
        Self::open_with(isolation, Path::new("/proc/self/exe"), Interpreter::find("python3")?)
    }

    /// A sandbox with an interpreter and a program whose `main` begins with [`crate::jail_main`].
    ///
    /// # Errors
    /// The jail cannot be built here.
    pub fn open_with(isolation: Isolation, stage: &Path, interpreter: Interpreter) -> Result<Self, Error> {
        let secret = secret().map_err(Error::host("read random bytes"))?;
        let sandbox =
            Self { stage: stage.to_owned(), isolation, interpreter, secret, splits: Splits::default() };
        let test = Test::StdinStdout { input: "6 7", output: "42" };
        let program = "a, b = map(int, input().split())\nprint(a * b)\n";
        let outcome = sandbox.run(program, &test, &Limits::default())?;
        match outcome.reason {
            Reason::Passed => Ok(sandbox),
            reason => {
                Err(Error::Broken(format!("a program that multiplies ended by {reason}: {}", outcome.detail)))
            }
        }
    }

    /// The interpreter.
    pub fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Runs a program on a test. Blocks until it has ended or its time is up.
    ///
    /// # Errors
    /// The jail could not be built or broke down. What the program does wrong is in the outcome.
    pub fn run(&self, code: &str, test: &Test<'_>, limits: &Limits) -> Result<Outcome, Error> {
        if code.len() as u64 > limits.disk_bytes / 2 {
            return Ok(Outcome::unstarted(Reason::Quota, "files: the program's own text is too long"));
        }
        let secret = format!("{}{}", self.secret, RUNS.fetch_add(1, Relaxed));
        let report = match test {
            Test::StdinStdout { input, .. } => self.report_of(Harness::Script, code, input, limits)?,
            Test::Asserts(tests) => match self.split(tests)? {
                Some(split) => return self.run_apart(code, &split, &secret, limits),
                None => return self.run_linked(code, tests, &secret, limits),
            },
        };
        judge(&report, test, &secret, limits)
    }

    /// How a program ended.
    pub(crate) fn report_of(
        &self,
        harness: Harness,
        code: &str,
        stdin: &str,
        limits: &Limits,
    ) -> Result<wire::Report, Error> {
        self.report_linked(harness, code, stdin, limits, Stdio::null())
    }

    /// How a program ended that has a link to another jail.
    pub(crate) fn report_linked(
        &self,
        harness: Harness,
        code: &str,
        stdin: &str,
        limits: &Limits,
        link: Stdio,
    ) -> Result<wire::Report, Error> {
        let folder = match self.isolation {
            Isolation::Jail => None,
            Isolation::None => Some(Folder::create().map_err(Error::host("make a folder for the program"))?),
        };
        let request = Request {
            place: match &folder {
                None => Place::Jail { drop_root: Uid::effective().is_root() },
                Some(folder) => Place::Bare { folder: folder.0.clone() },
            },
            harness,
            code: code.to_owned(),
            interpreter: self.interpreter.clone(),
            limits: limits.clone(),
        };
        let report = self.report(&request, stdin, link)?;
        match report.refused {
            Some((attempt, cause)) => Err(Error::Unsupported { attempt, cause }),
            None => Ok(report),
        }
    }

    fn report(&self, request: &Request, stdin: &str, link: Stdio) -> Result<wire::Report, Error> {
        let deadline = Instant::now() + Duration::from_millis(request.limits.wall_ms.into()) + GRACE;
        let mut stage = Stage::start(&self.stage, self.isolation, link)?;
        let first = stage.first_byte(deadline)?;
        if first != Some(wire::READY) {
            let rest = stage.rest(deadline)?;
            let said: Vec<u8> = first.into_iter().chain(rest).collect();
            return serde_json::from_slice(&said).map_err(|_| {
                Error::Broken("the stage program does not begin with `flow_sandbox::jail_main`".to_owned())
            });
        }
        if let Place::Jail { drop_root } = request.place {
            grant_ids(stage.child.id(), drop_root).map_err(|error| Error::Unsupported {
                attempt: "user namespace: map ids".to_owned(),
                cause: error.to_string(),
            })?;
        }
        stage.send(&wire::frame(request, stdin)).map_err(Error::host("speak to the jail"))?;
        let rest = stage.rest(deadline)?;
        serde_json::from_slice(&rest)
            .map_err(|_| Error::Broken("its outer stage ended without a report".to_owned()))
    }
}

/// The outer stage of one jail. Dropping it ends the jail.
struct Stage {
    child: Child,
}

impl Stage {
    /// `link` is what it finds as its stderr.
    fn start(program: &Path, isolation: Isolation, link: Stdio) -> Result<Self, Error> {
        let child = Command::new(program)
            .arg(wire::OUTER)
            .args((isolation == Isolation::None).then_some(wire::BARE))
            .env_clear()
            // A key pressed to interrupt the host is the host's affair.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(link)
            .spawn()
            .map_err(Error::host("start the jail"))?;
        Ok(Self { child })
    }

    fn first_byte(&mut self, deadline: Instant) -> Result<Option<u8>, Error> {
        let mut byte = [0];
        Ok((self.read(&mut byte, deadline)? == 1).then_some(byte[0]))
    }

    fn rest(&mut self, deadline: Instant) -> Result<Vec<u8>, Error> {
        let mut said = Vec::new();
        let mut chunk = [0; 1 << 16];
        loop {
            match self.read(&mut chunk, deadline)? {
                0 => return Ok(said),
                n => said.extend(&chunk[..n]),
            }
        }
    }

    fn read(&mut self, bytes: &mut [u8], deadline: Instant) -> Result<usize, Error> {
        let stdout = self.child.stdout.as_mut().expect("stdout is piped and stays");
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let ready = poll(&mut [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)], timeout);
        if ready.map_err(|error| Error::host("wait for the jail")(error.into()))? == 0 {
            return Err(Error::Broken("its outer stage does not answer".to_owned()));
        }
        stdout.read(bytes).map_err(Error::host("hear the jail"))
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let mut stdin = self.child.stdin.take().expect("stdin is piped and sent once");
        stdin.write_all(frame)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It has ended by itself, or must now; in both cases only waiting is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Maps the ids of the new user namespace of process `pid`: root there is who we are, and, where we are root, 1000 there is
/// nobody here, as whom the program runs.
fn grant_ids(pid: u32, drop_root: bool) -> io::Result<()> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let lines = |own: u32| match drop_root {
        true => format!("0 {own} 1\n1000 {NOBODY} 1\n"),
        false => format!("0 {own} 1\n"),
    };
    if !drop_root {
        fs::write(process.join("setgroups"), "deny")?;
    }
    fs::write(process.join("uid_map"), lines(Uid::effective().as_raw()))?;
    fs::write(process.join("gid_map"), lines(Gid::effective().as_raw()))
}

/// Random hexadecimal digits.
fn secret() -> io::Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A folder of the host that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn create() -> io::Result<Self> {
        let name = format!("flow-sandbox-{}-{}", std::process::id(), RUNS.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
