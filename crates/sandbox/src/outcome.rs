//! How a program did on a test, and why.

use std::fmt;
use std::str::FromStr;

use crate::judge::DETAIL_CHARS;

/// How a program did on one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub reason: Reason,
    /// The particulars, for people: the exception, the attempt, the first difference. Empty when passed.
    pub detail: String,
    /// Processor time in milliseconds, the interpreter's start included.
    pub cpu_ms: u64,
    /// Time by the clock in milliseconds, from the interpreter's start to its end.
    pub wall_ms: u64,
    /// Most memory resident at once, in bytes.
    pub peak_bytes: u64,
}

impl Outcome {
    /// The same run, called otherwise.
    pub(crate) fn ended(self, reason: Reason, detail: &str) -> Self {
        Self { reason, detail: detail.chars().take(DETAIL_CHARS).collect(), ..self }
    }

    /// The outcome of a program that was not started.
    pub(crate) fn unstarted(reason: Reason, detail: &str) -> Self {
        Self { reason, detail: detail.to_owned(), cpu_ms: 0, wall_ms: 0, peak_bytes: 0 }
    }
}

/// Why a program did not pass a test, or that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It did what the test asks.
    Passed,
    /// It ended well, with another output; or an assertion of the test does not hold.
    WrongOutput,
    /// It ended with an exception, or with an exit status other than 0.
    Exception,
    /// It ended by itself before the assertions.
    Exited,
    /// It used up its time, by the processor or by the clock.
    Time,
    /// It used up its memory.
    Memory,
    /// It wrote more than it may.
    Output,
    /// It used up its files, open files or threads.
    Quota,
    /// It attempted what programs may not; the detail begins with what: `network`, `file`, `process`, `native code`,
    /// `limits` or `system call`.
    Forbidden,
    /// A signal ended it; the detail names it.
    Killed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Passed,
        Self::WrongOutput,
        Self::Exception,
        Self::Exited,
        Self::Time,
        Self::Memory,
        Self::Output,
        Self::Quota,
        Self::Forbidden,
        Self::Killed,
    ];

    /// The stable word for it, snake_case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::WrongOutput => "wrong_output",
            Self::Exception => "exception",
            Self::Exited => "exited",
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Quota => "quota",
            Self::Forbidden => "forbidden",
            Self::Killed => "killed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no reason's word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no reason")]
pub struct UnknownReason(String);

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.name() == text)
            .ok_or_else(|| UnknownReason(text.to_owned()))
    }
}
