//! The seam through which effect answers are kept between runs.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use flow_data::{Id, Value};

/// Answers by request key. Implementations are shared by all workers and the engine.
pub trait Memo: Send + Sync {
    /// The answer kept under `key`.
    fn get(&self, key: &Id) -> Option<Vec<Value>>;

    /// Keeps an answer. An error ends the run: an answer that cannot be kept would be paid for again.
    fn put(&self, key: Id, answer: &[Value]) -> Result<(), MemoError>;

    /// The keys of the answers that were got or put here, in order; none where nobody will want to know.
    fn used(&self) -> Vec<Id> {
        Vec::new()
    }
}

/// An answer could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("could not keep an answer: {0}")]
pub struct MemoError(pub String);

/// Answers in memory, for tests and for runs without a store.
#[derive(Debug, Default)]
pub struct MemoryMemo(RwLock<HashMap<Id, Vec<Value>>>);

impl Memo for MemoryMemo {
    fn get(&self, key: &Id) -> Option<Vec<Value>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: Id, answer: &[Value]) -> Result<(), MemoError> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, answer.to_vec());
        Ok(())
    }
}
