//! The inner stage: process 1 of the jail, which takes one right after another from itself and becomes the interpreter.

use std::convert::Infallible;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_no_new_privs, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, read, setgroups, sethostname, setresgid, setresuid, setsid};

use super::{REFUSED, Refused, attempt, filesystem, resources, root, syscalls};
use crate::Interpreter;
use crate::wire::{self, Harness, Place, Request};

/// Who the program is in the jail when the host is root.
const PROGRAM_ID: u32 = 1000;

/// Runs the stage, which ends in the interpreter, or else says why on stderr. `record` is the number of the open file to
/// which the harness writes its record, `link` that of the other jail's.
pub(super) fn run(record: &str, link: &str) -> ExitCode {
    let Err(Refused { attempt, cause }) = become_program(record, link);
    // Without stderr nobody listens.
    let _ = serde_json::to_writer(io::stderr(), &(attempt, cause));
    ExitCode::from(REFUSED)
}

fn become_program(record: &str, link: &str) -> Result<Infallible, Refused> {
    attempt("new session", setsid())?;
    let request: Request = attempt("understand the request", wire::take(&mut Unbuffered))?;
    let Request { place, harness, code, interpreter, limits } = &request;
    let mut command = match place {
        Place::Jail { drop_root } => {
            attempt("name the host", sethostname("jail"))?;
            root::build(interpreter, limits.disk_bytes)?;
            attempt("write the program", fs::write(format!("{}/main.py", root::WORK), code))?;
            attempt("resource limits", resources::limit(limits))?;
            attempt("limit on threads", resources::limit_threads(limits))?;
            drop_ids(*drop_root)?;
            confine()?;
            jailed()
        }
        Place::Bare { folder } => {
            attempt("write the harness", fs::write(folder.join("run.py"), root::RUN))?;
            attempt("write the link", fs::write(folder.join("link.py"), root::LINK))?;
            attempt("write the program", fs::write(folder.join("main.py"), code))?;
            attempt("resource limits", resources::limit(limits))?;
            attempt("die with the host", set_pdeathsig(Signal::SIGKILL))?;
            bare(interpreter, folder)
        }
    };
    command.arg(match harness {
        Harness::Script => "script",
        Harness::Values => "values",
        Harness::Answers => "answers",
        Harness::Tests => "tests",
    });
    let error = command.args([record, link]).exec();
    attempt("start the interpreter", Err(error))
}

/// Becomes nobody, in a user namespace in which no id means anything and which rules over no other namespace.
fn drop_ids(drop_root: bool) -> Result<(), Refused> {
    if drop_root {
        let (user, group) = (Uid::from_raw(PROGRAM_ID), Gid::from_raw(PROGRAM_ID));
        attempt("leave all groups", setgroups(&[]))?;
        attempt("leave the group of root", setresgid(group, group, group))?;
        attempt("stop being root", setresuid(user, user, user))?;
    }
    attempt("second user namespace", unshare(CloneFlags::CLONE_NEWUSER))
}

/// Gives up all that the program does not need. From here on only the interpreter can be started.
fn confine() -> Result<(), Refused> {
    attempt("die with the host", set_pdeathsig(Signal::SIGKILL))?;
    attempt("no new privileges", set_no_new_privs())?;
    attempt("landlock", filesystem::restrict())?;
    attempt("seccomp", syscalls::restrict())
}

fn jailed() -> Command {
    let mut command = python(Path::new(root::EXECUTABLE), root::WORK, root::HARNESS);
    command.env("PYTHONHOME", root::PYTHON).env("LD_LIBRARY_PATH", root::LIBRARIES);
    command
}

fn bare(interpreter: &Interpreter, folder: &Path) -> Command {
    python(&interpreter.executable, &folder.to_string_lossy(), "run.py")
}

/// The interpreter on the harness, with nothing of the host's environment. Sets and dictionaries of texts have the same
/// order in every run.
fn python(executable: &Path, folder: &str, harness: &str) -> Command {
    let mut command = Command::new(executable);
    command.env_clear().current_dir(folder);
    command.env("HOME", folder).env("LANG", "C.UTF-8").env("PYTHONHASHSEED", "0").env("PYTHONUTF8", "1");
    command.args(["-B", "-s", "-S", harness]);
    command
}

/// Stdin without a buffer, so that what follows the request is left to the program.
struct Unbuffered;

impl Read for Unbuffered {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(read(io::stdin(), bytes)?)
    }
}
