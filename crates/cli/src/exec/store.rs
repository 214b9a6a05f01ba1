//! The store of a run: the lock that keeps others out, and the answers of effects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_data::{Heap, Id, Value};
use flow_dataflow::MemoError;
use flow_store::{Answers, Error, RunLock};

use crate::columns::counted;
use crate::halt::{Halt, chain};
use crate::{Exit, codes};

/// An open store. Nobody else runs from it until it is dropped.
pub(crate) struct Store {
    kept: Arc<Kept>,
    /// None at a member of a run, whose host holds it.
    lock: Option<RunLock>,
}

/// The kept answers, as the dataflow asks for them.
struct Kept(flow_store::Memo);

impl flow_dataflow::Memo for Kept {
    fn get(&self, key: &Id) -> Option<Vec<Value>> {
        self.0.get(key)
    }

    fn put(&self, key: Id, answer: &[Value]) -> Result<(), MemoError> {
        self.0.put(key, answer).map_err(|error| MemoError(chain(&error)))
    }

    fn used(&self) -> Vec<Id> {
        self.0.answers().used()
    }
}

/// The same to look at only.
struct Seen(flow_store::Answers);

impl flow_dataflow::Memo for Seen {
    fn get(&self, key: &Id) -> Option<Vec<Value>> {
        self.0.get(key)
    }

    fn put(&self, _: Id, _: &[Value]) -> Result<(), MemoError> {
        Err(MemoError("the store is open to look at only".to_owned()))
    }
}

impl Store {
    /// Opens the store in `folder` for the run that `command` started, and makes it where it is missing.
    pub(crate) fn open(folder: &Path, command: &str) -> Result<Self, Halt> {
        let lock = lock(folder, command)?;
        Ok(Self { lock: Some(lock), ..Self::shared(folder)? })
    }

    /// Opens the store in `folder` beside the host of the same run: each process adds its answers to a segment of its own.
    pub(crate) fn shared(folder: &Path) -> Result<Self, Halt> {
        let memo = flow_store::Memo::open(&memo_folder(folder)).map_err(|error| halt(&error))?;
        Ok(Self { kept: Arc::new(Kept(memo)), lock: None })
    }

    /// The answers of the store in `folder`, to look at while others may run from it.
    pub(crate) fn answers(folder: &Path) -> Result<Arc<dyn flow_dataflow::Memo>, Halt> {
        Ok(Arc::new(Seen(look(folder)?)))
    }

    /// Whether the folder is still there.
    pub(crate) fn stands(&self) -> bool {
        self.lock.as_ref().is_none_or(RunLock::stands)
    }

    /// The answers.
    pub(crate) fn memo(&self) -> Arc<dyn flow_dataflow::Memo> {
        self.kept.clone()
    }

    /// An empty heap whose older records go to a file in the store's folder, which goes with it.
    pub(crate) fn heap(folder: &Path) -> Result<Heap, Halt> {
        flow_store::scratch_file(folder).map(Heap::spilling).map_err(|error| halt(&error))
    }

    /// The answers, for reading.
    pub(crate) fn kept(&self) -> &Answers {
        self.kept.0.answers()
    }

    /// Brings the answers to the disk. Returns what is to be told of the store.
    pub(crate) fn finish(&self) -> Result<Vec<String>, Halt> {
        self.kept.0.flush().map_err(|error| halt(&error))?;
        let n = i64::try_from(self.kept().damaged()).unwrap_or(i64::MAX);
        let places = counted(n, "damaged place");
        let warning =
            format!("{places} in the store: what was kept there is asked for again when it is needed");
        Ok(if n > 0 { vec![warning] } else { Vec::new() })
    }
}

/// Keeps others out of the store in `folder`.
pub(crate) fn lock(folder: &Path, command: &str) -> Result<RunLock, Halt> {
    RunLock::acquire(&folder.join("lock"), command).map_err(|error| halt(&error))
}

/// The answers of the store in `folder`, for reading.
pub(crate) fn look(folder: &Path) -> Result<Answers, Halt> {
    Answers::open(&memo_folder(folder)).map_err(|error| halt(&error))
}

/// Where a store keeps the answers of effects.
pub(crate) fn memo_folder(folder: &Path) -> PathBuf {
    folder.join("memo")
}

/// Where a store keeps the models that were trained.
pub(crate) fn models_folder(folder: &Path) -> PathBuf {
    folder.join("models")
}

/// What to tell of a store that cannot be used.
pub(crate) fn halt(error: &Error) -> Halt {
    match error {
        Error::Locked { .. } => {
            let help = "wait for it to end, or choose another store with `--store DIR`";
            Halt::with(Exit::Locked, codes::LOCKED.id, &format!("the store is in use: {error}"), Some(help))
        }
        error => Halt::new(Exit::Failed, &codes::STORE, chain(error)),
    }
}
