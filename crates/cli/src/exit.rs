//! Exit codes: the contract with scripts. Nothing else in the program ends the process.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done.
    Done = 0,
    /// It ran and failed: a file, a model, a step or a test; nothing half done was published.
    Failed = 1,
    /// The command line is wrong, or names a pipeline file that cannot be read.
    Usage = 2,
    /// `plan --detailed-exitcode`: a run would change something.
    Work = 3,
    /// Stopped by the pipeline's own `budget`; the same command goes on from there.
    Budget = 4,
    /// Another run uses the store (`EX_TEMPFAIL` of sysexits): try later.
    Locked = 75,
    /// The pipeline has mistakes (`EX_CONFIG` of sysexits).
    Invalid = 78,
    /// Interrupted after a clean stop (128 + SIGINT); the same command goes on from there.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
