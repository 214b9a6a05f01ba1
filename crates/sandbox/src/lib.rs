//! Runs programs that models write, against tests, where they can do no harm.
//!
//! ```no_run
//! use flow_sandbox::{Isolation, Limits, Reason, Sandbox, Test};
//!
//! # fn main() -> Result<(), flow_sandbox::Error> {
//! let sandbox = Sandbox::open(Isolation::Jail)?;
//! let test = Test::StdinStdout { input: "2 3\n", output: "5\n" };
//! let outcome = sandbox.run("print(sum(map(int, input().split())))", &test, &Limits::default())?;
//! assert_eq!(outcome.reason, Reason::Passed);
//! # Ok(())
//! # }
//! ```
//!
//! Each run has a jail of its own, which ends with it: user, mount, pid, net, ipc, uts and cgroup namespaces; a root of
//! the interpreter's files, read only, and one small folder in memory; no `/proc`, no host file, no environment; landlock;
//! a list of the system calls that an interpreter needs; resource limits. The interpreter is process 1 of its namespace
//! and may not start another, so killing it kills all.
//!
//! There is no `unsafe` here, so nothing forks: a host starts itself again as the *stages* of a jail. A program that opens
//! a [`Sandbox`] must therefore begin its `main` with [`jail_main`]; or it names another program that does
//! ([`Sandbox::open_with`], `flow-jail` of this crate).
//!
//! What holds a program is the kernel. What names its attempt (`forbidden: network`) is mostly an audit hook in the
//! interpreter, which a program may blind by native code: it is stopped all the same, under another name. The outputs of
//! `StdinStdout` never enter the jail, so they cannot be read there. `Asserts`
//! that are imports and assertions only are taken apart: the program's jail tells values, as plain data, and another one
//! checks them, so that no program sees what it is compared with, brings a comparison of its own, or says that it has passed.
//! Two things cannot be held: what the tests themselves hand to the program (`assert is_close(f(2), 4)`), and tests with
//! statements of other kinds. Those run in the program's own interpreter: a program that exits early is caught, one that
//! attacks the harness on purpose could feign success.

#[cfg(not(target_os = "linux"))]
compile_error!("flow-sandbox needs the namespaces, landlock and seccomp of Linux");

mod apart;
mod error;
mod interpreter;
mod judge;
mod limits;
mod outcome;
mod sandbox;
mod stage;
mod wire;

pub use error::Error;
pub use interpreter::Interpreter;
pub use limits::Limits;
pub use outcome::{Outcome, Reason};
pub use sandbox::{Isolation, Sandbox, Test};
pub use stage::jail_main;
