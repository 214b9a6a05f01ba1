//! The stages of a jail: what a program does when it was started to be one.

mod filesystem;
mod inner;
mod outer;
mod resources;
mod root;
mod syscalls;
mod watch;

use std::fmt::Display;
use std::process::ExitCode;

use crate::wire::{BARE, INNER, OUTER};

/// Exit status of an inner stage that could not become the program, and has said why on stderr.
const REFUSED: u8 = 125;

/// Runs a stage of a jail when the program was started as one, and returns its exit code; `None` when it was not. To be
/// called before anything else in `main`, on the only thread.
pub fn jail_main() -> Option<ExitCode> {
    let mut arguments =
        std::env::args_os().skip(1).map(|argument| argument.into_string().unwrap_or_default());
    let stage = arguments.next()?;
    let mut next = || arguments.next().unwrap_or_default();
    let (about, link) = (next(), next());
    match stage.as_str() {
        OUTER => Some(outer::run(about == BARE)),
        INNER => Some(inner::run(&about, &link)),
        _ => None,
    }
}

/// A part of the jail that could not be built.
#[derive(Debug)]
struct Refused {
    attempt: String,
    cause: String,
}

/// Says what was attempted when `result` is an error.
fn attempt<T, E: Display>(what: impl Display, result: Result<T, E>) -> Result<T, Refused> {
    result.map_err(|error| Refused { attempt: what.to_string(), cause: error.to_string() })
}
