//! Where records rest while the dataflow carries their hashes.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Id, Record};

const SHARDS: usize = 64;

/// Records by content hash, shared by all workers. Equal records are kept once. Safe to use from many threads.
///
/// Cost: the cells a record adds to the one it extends, about 24 bytes each beside the text, until the heap is dropped.
#[derive(Debug)]
pub struct Heap {
    shards: Vec<RwLock<HashMap<Id, Arc<Record>>>>,
}

impl Heap {
    /// An empty heap.
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    /// The kept record equal to `record`; `record` itself when it is the first of its kind.
    pub fn intern(&self, record: Record) -> Arc<Record> {
        let body = record.body();
        let mut shard = self.shard(&body).write().unwrap_or_else(PoisonError::into_inner);
        shard.entry(body).or_insert_with(|| Arc::new(record)).clone()
    }

    /// The record with this content hash. Panics when it was never interned here: a row cannot exist without.
    pub fn get(&self, body: &Id) -> Arc<Record> {
        let shard = self.shard(body).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(body).expect("every row's record was interned when the row was made").clone()
    }

    fn shard(&self, body: &Id) -> &RwLock<HashMap<Id, Arc<Record>>> {
        &self.shards[body.0[15] as usize % SHARDS]
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}
