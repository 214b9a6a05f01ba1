//! The two streams: data on stdout, everything said to a person on stderr.

use std::io::{self, ErrorKind, Write};

use crate::halt::Halt;
use crate::{Exit, codes};

/// Writes `text` to stdout. A reader that has gone away, as in `flow schema | head`, is no failure.
pub(crate) fn data(text: &str) -> Result<(), Halt> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Halt::new(Exit::Failed, &codes::STDOUT, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a JSON value to stdout, indented.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Halt> {
    let text = serde_json::to_string_pretty(value).expect("what is shown has text keys and finite depth");
    data(&(text + "\n"))
}

/// Writes a JSON value to stdout, in one line.
pub(crate) fn json_line(value: &impl serde::Serialize) -> Result<(), Halt> {
    let text = serde_json::to_string(value).expect("what is shown has text keys and finite depth");
    data(&(text + "\n"))
}

/// Writes `text` to stderr. When nobody can be told, there is nobody to tell that either.
pub(crate) fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
