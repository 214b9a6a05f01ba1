//! The store of a run: the lock that keeps others out, and the answers of effects.

use std::path::Path;
use std::sync::Arc;

use flow_data::{Id, Value};
use flow_dataflow::MemoError;
use flow_store::{Error, RunLock};

use crate::halt::{Halt, chain};
use crate::{Exit, codes, term};

/// An open store. Nobody else runs from it until it is dropped.
pub(crate) struct Store {
    answers: Arc<Answers>,
    _lock: RunLock,
}

/// The kept answers, as the dataflow asks for them.
struct Answers(flow_store::Memo);

impl flow_dataflow::Memo for Answers {
    fn get(&self, key: &Id) -> Option<Vec<Value>> {
        self.0.get(key)
    }

    fn put(&self, key: Id, answer: &[Value]) -> Result<(), MemoError> {
        self.0.put(key, answer).map_err(|error| MemoError(chain(&error)))
    }
}

impl Store {
    /// Opens the store in `folder` for the run that `command` started, and makes it where it is missing.
    pub(crate) fn open(folder: &Path, command: &str) -> Result<Self, Halt> {
        let lock = RunLock::acquire(&folder.join("lock"), command).map_err(|error| halt(&error))?;
        let memo = flow_store::Memo::open(&folder.join("memo")).map_err(|error| halt(&error))?;
        Ok(Self { answers: Arc::new(Answers(memo)), _lock: lock })
    }

    /// The answers.
    pub(crate) fn memo(&self) -> Arc<dyn flow_dataflow::Memo> {
        self.answers.clone()
    }

    /// Brings the answers to the disk; tells if some were found damaged.
    pub(crate) fn finish(&self) -> Result<(), Halt> {
        let memo = &self.answers.0;
        if memo.damaged() > 0 {
            term::tell(&format!(
                "warning: {} damaged places in the store; their answers were asked for again\n",
                memo.damaged()
            ));
        }
        memo.flush().map_err(|error| halt(&error))
    }
}

fn halt(error: &Error) -> Halt {
    match error {
        Error::Locked { .. } => {
            let help = "wait for it to end, or choose another store with `--store DIR`";
            Halt::with(Exit::Locked, codes::LOCKED.id, &format!("the store is in use: {error}"), Some(help))
        }
        error => Halt::new(Exit::Failed, &codes::STORE, chain(error)),
    }
}
