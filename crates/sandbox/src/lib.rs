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
//! `StdinStdout` never enter the jail, so they cannot be read there. `Asserts` run where nothing of the program does, so that no
//! program sees what it is compared with, brings a comparison of its own, or says that it has passed: imports and assertions are
//! taken apart, and the program's jail tells their values, as plain data; in front of all other tests, such as loops, stand
//! functions that ask the program in its jail, call by call. Names of Python's own are Python's in the tests. Objects stay with
//! the program and can be called, read and iterated from the tests; one that is compared, and a function that is handed to the
//! program, end the tests by a `TypeError`. What cannot be held is what the tests themselves leave to the program (`assert
//! is_close(f(2), 4)`).

#[cfg(not(target_os = "linux"))]
compile_error!("flow-sandbox needs the namespaces, landlock and seccomp of Linux");

mod apart;
mod error;
mod interpreter;
mod judge;
mod limits;
mod linked;
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
