//! What the host and the stages of a jail say to each other.
//!
//! A host sends a frame: the length of the request's JSON as 8 bytes, the JSON, then what the program reads on stdin. The
//! outer stage hands the same bytes on to the inner one, which takes the request off and leaves the rest to the program.

use std::io::{self, Read};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Interpreter, Limits};

/// First argument of the outer stage.
pub(crate) const OUTER: &str = "flow-jail-outer";
/// Its second argument when there is to be no jail.
pub(crate) const BARE: &str = "bare";
/// First argument of the inner stage.
pub(crate) const INNER: &str = "flow-jail-inner";
/// What the outer stage says first, when it has its namespaces or needs none.
pub(crate) const READY: u8 = b'+';
/// The longest request that a stage reads, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// One run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) place: Place,
    pub(crate) harness: Harness,
    /// The program's text.
    pub(crate) code: String,
    pub(crate) interpreter: Interpreter,
    pub(crate) limits: Limits,
}

/// Where the program runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    /// In a jail; `drop_root` when the host is root, whose programs must become somebody else.
    Jail { drop_root: bool },
    /// In this folder of the host, with resource limits only.
    Bare { folder: PathBuf },
}

/// How the program meets its test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Harness {
    /// It runs as a script on stdin.
    Script,
    /// It runs as a module; then stdin's first line is a mark and the rest asks for values, which it tells behind that mark.
    Values,
    /// It runs as a module, and then answers what is asked over the link, till that closes; stdin's one line is a secret.
    Answers,
    /// Stdin's first line is a secret, and the rest is code that must run to its end, asking over the link.
    Tests,
}

/// How a run ended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Why the program was not started, as (attempt, cause).
    pub(crate) refused: Option<(String, String)>,
    /// What ended it from outside.
    pub(crate) stopped: Option<Stopped>,
    /// Its exit status.
    pub(crate) exit: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    /// The end of what it wrote to stderr.
    pub(crate) stderr: String,
    /// What the harness and the audit hook said, in lines.
    pub(crate) record: String,
    pub(crate) cpu_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) peak_bytes: u64,
}

/// A limit that the outer stage watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stopped {
    /// Time by the clock.
    Wall,
    /// Output.
    Output,
}

/// The frame of a request and the program's stdin.
pub(crate) fn frame(request: &Request, stdin: &str) -> Vec<u8> {
    let json = serde_json::to_vec(request).expect("a request is made of texts and numbers");
    let mut frame = (json.len() as u64).to_le_bytes().to_vec();
    frame.extend(json);
    frame.extend(stdin.as_bytes());
    frame
}

/// Takes the request off `stream` and leaves what follows; `stream` must not read ahead.
pub(crate) fn take<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MOST_BYTES {
        return Err(io::Error::other("the request is too long"));
    }
    let mut json = vec![0; length as usize];
    stream.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}
