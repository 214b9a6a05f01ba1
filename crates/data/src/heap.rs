//! Where records rest while the dataflow carries their hashes.
//!
//! Records are encoded bytes in logs, found through an index of content hashes. What is in the heap stays until it is
//! dropped, also when no row points at it any more: an edit adds what it says, and a session ends.

mod index;
mod log;
mod recent;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::sync::{Arc, PoisonError, RwLock};

use crate::record::{Base, Layout, Place, Record, put};
use crate::{Id, Value};
use index::Index;
use log::{Log, Spill};

const SHARDS: usize = 64;
/// Bytes of finished blocks in memory where there is a file for older ones.
const KEPT: usize = 512 << 20;

/// Records by content hash, shared by all workers; a clone is another handle on the same heap. Equal records are kept
/// once. Safe to use from many threads.
///
/// Cost: 18 to 36 bytes a record in memory, and the encoded cells that it adds to the record it extends, with 28 to 44
/// bytes beside them, in memory or, where there is a file, only the last 512 MiB of them.
#[derive(Clone, Debug, Default)]
pub struct Heap(Arc<Handle>);

/// What clones of a heap share. Several handles, so that threads which clone at a high rate do not share a counter.
#[derive(Clone, Debug, Default)]
struct Handle(Arc<Inner>);

/// What a heap takes of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapMemory {
    /// The index of content hashes.
    pub index_bytes: usize,
    /// Records that are not in a file.
    pub record_bytes: usize,
}

#[derive(Debug)]
struct Inner {
    shards: Vec<RwLock<Shard>>,
    spill: Option<Spill>,
}

#[derive(Debug, Default)]
struct Shard {
    index: Index,
    log: Log,
}

impl Default for Inner {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), spill: None }
    }
}

impl Heap {
    /// An empty heap that keeps everything in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty heap that keeps about 512 MiB of records in memory and writes older ones to `file`, which should have no
    /// name in any folder: nobody else may write to it, and it is worth nothing once the heap is gone.
    ///
    /// A record that cannot be written stays in memory; reading one back that the disk has lost is a panic.
    pub fn spilling(file: File) -> Self {
        let spill = Spill::new(file, Spill::blocks(KEPT, SHARDS));
        Self::of(Inner { spill: Some(spill), ..Inner::default() })
    }

    fn of(inner: Inner) -> Self {
        Self(Arc::new(Handle(Arc::new(inner))))
    }

    /// The same heap for another thread: clones of the two do not slow each other down.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self(Arc::new(Handle::clone(&self.0)))
    }

    /// Keeps the record of `cells` after those of `base`; returns its content hash.
    pub(crate) fn intern(&self, base: Option<Base>, cells: &[Value]) -> Id {
        thread_local! {
            static ENTRY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        ENTRY.with_borrow_mut(|entry| {
            entry.clear();
            entry.extend([0; size_of::<Id>()]);
            put(base, cells, entry);
            let body = Id::of("record", [&entry[size_of::<Id>()..]]);
            entry[..size_of::<Id>()].copy_from_slice(&body.0);
            self.keep(&body, entry);
            body
        })
    }

    /// Keeps an entry, a body and its record, once.
    fn keep(&self, body: &Id, entry: &[u8]) {
        let mut shard = self.shard(body).write().unwrap_or_else(PoisonError::into_inner);
        if shard.find(body, size_of::<Id>(), self.inner().spill.as_ref()).is_none() {
            let place = shard.log.append(entry, self.inner().spill.as_ref());
            shard.index.insert(tag(body), place);
        }
    }

    /// The record with this content hash. Panics when it was never interned here: a row cannot exist without.
    pub(crate) fn record(&self, body: &Id) -> Record {
        let shard = self.shard(body).read().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.entry(body, self.inner().spill.as_ref());
        Record::new(entry[size_of::<Id>()..].into())
    }

    /// The same for a record that is likely to be asked for again soon, by this thread.
    pub(crate) fn base(&self, body: &Id) -> Arc<Record> {
        recent::find(body).unwrap_or_else(|| {
            let record = Arc::new(self.record(body));
            recent::keep(*body, &record);
            record
        })
    }

    /// The cell at `at` of the record with this content hash; null past the end. Copies nothing else.
    pub(crate) fn cell(&self, mut body: Id, at: usize) -> Value {
        loop {
            if let Some(record) = recent::find(&body) {
                return record.cell(self, at).to_value();
            }
            let shard = self.shard(&body).read().unwrap_or_else(PoisonError::into_inner);
            match Layout::of(&shard.entry(&body, self.inner().spill.as_ref())[size_of::<Id>()..]).place(at) {
                Place::Own(cell) => return cell.to_value(),
                Place::Base(base) => body = base,
            }
        }
    }

    /// The record with this content hash and those it extends, as bytes for [`Heap::unpack`] of another heap.
    ///
    /// What it extends comes along each time: the receiver may have it or not. Panics as reading the record would.
    pub fn pack(&self, body: &Id) -> Vec<u8> {
        let mut chain = Vec::new();
        let mut next = Some(*body);
        while let Some(body) = next {
            let shard = self.shard(&body).read().unwrap_or_else(PoisonError::into_inner);
            let entry = shard.entry(&body, self.inner().spill.as_ref()).into_owned();
            next = Layout::of(&entry[size_of::<Id>()..]).extends();
            chain.push(entry);
        }
        let mut bytes = Vec::with_capacity(chain.iter().map(|entry| entry.len() + size_of::<u32>()).sum());
        for entry in chain.iter().rev() {
            let len = u32::try_from(entry.len()).expect("a row holds less than 4 GiB: readers bound it");
            bytes.extend(len.to_le_bytes());
            bytes.extend(entry);
        }
        bytes
    }

    /// Keeps the records that [`Heap::pack`] made bytes of. Panics where the bytes are something else.
    pub fn unpack(&self, mut bytes: &[u8]) {
        while let Some((len, rest)) = bytes.split_first_chunk() {
            let (entry, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
            let body = entry.first_chunk().expect("an entry begins with its content hash");
            self.keep(&Id(*body), entry);
            bytes = rest;
        }
    }

    /// What the heap takes of memory now.
    pub fn memory(&self) -> HeapMemory {
        let mut memory = HeapMemory::default();
        for shard in &self.inner().shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            memory.index_bytes += shard.index.bytes();
            memory.record_bytes += shard.log.bytes();
        }
        memory
    }

    fn inner(&self) -> &Inner {
        &self.0.0
    }

    fn shard(&self, body: &Id) -> &RwLock<Shard> {
        &self.inner().shards[body.0[15] as usize % SHARDS]
    }
}

impl Shard {
    /// The entry of `body`, which must be there.
    fn entry(&self, body: &Id, spill: Option<&Spill>) -> Cow<'_, [u8]> {
        let entry = self.find(body, usize::MAX, spill);
        entry.expect("every row's record was interned when the row was made")
    }

    /// At least the first `least` bytes of the entry of `body`.
    fn find(&self, body: &Id, least: usize, spill: Option<&Spill>) -> Option<Cow<'_, [u8]>> {
        let read = |place| {
            self.log.read(place, least, spill).expect("what was spilled to the disk can be read from it")
        };
        self.index.candidates(tag(body)).map(read).find(|entry| entry.starts_with(&body.0))
    }
}

/// Bits of the hash that do not choose the shard.
fn tag(body: &Id) -> u32 {
    u32::from_le_bytes(body.0[8..12].try_into().expect("four of 16 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Item, Row};

    fn heaps() -> [Heap; 2] {
        let spilling = Spill::new(tempfile::tempfile().expect("a temporary file"), 0);
        [Heap::new(), Heap::of(Inner { spill: Some(spilling), ..Inner::default() })]
    }

    /// Records of 0 to 3 KB, some of more than a block.
    fn text(n: usize) -> String {
        format!("{n} ").repeat(if n.is_multiple_of(1000) { 200_000 } else { n % 700 })
    }

    #[test]
    fn what_was_kept_is_found_again_in_memory_and_on_disk() {
        for heap in heaps() {
            let items: Vec<Item> = (0..30_000)
                .map(|n| Item::new(&heap, 0, Id::default(), vec![(n as i64).into(), text(n).into()]))
                .collect();
            let longer: Vec<Row> = items.iter().map(|item| item.extended(&heap, &[true.into()])).collect();
            for (n, row) in longer.into_iter().enumerate() {
                let item = Item::load(&heap, row);
                assert_eq!((item.int(0), item.text(1)), (Some(n as i64), Some(&*text(n))));
                assert_eq!((item.get(2), item.get(3)), (&true.into(), &Value::Null));
            }
        }
    }

    #[test]
    fn equal_records_are_kept_once() {
        for heap in heaps() {
            let body = |n: i64| heap.intern(None, &[n.into(), "x".into()]);
            let first: Vec<Id> = (0..100).map(body).collect();
            let again: Vec<Id> = (0..100).map(body).collect();
            assert_eq!(first, again);
            let kept = |shard: &RwLock<Shard>| shard.read().expect("no writer has panicked").index.len();
            assert_eq!(heap.inner().shards.iter().map(kept).sum::<usize>(), 100);
        }
    }

    #[test]
    fn records_move_to_another_heap_with_what_they_extend() {
        for heap in heaps() {
            let item = Item::new(&heap, 0, Id::default(), vec![1.into(), text(30).into()]);
            let longer = Item::load(&heap, item.extended(&heap, &[2.into()]));
            let longest = longer.continued(&heap, 1, &["x".into()]);
            for other in heaps() {
                other.unpack(&heap.pack(&longest.body));
                other.unpack(&heap.pack(&longer.row.body));
                let moved = Item::load(&other, longest);
                assert_eq!((moved.int(0), moved.text(1), moved.get(2)), (Some(1), Some("x"), &Value::Null));
                let moved = Item::load(&other, longer.row);
                assert_eq!((moved.text(1), moved.int(2)), (Some(&*text(30)), Some(2)));
            }
        }
    }

    #[test]
    fn workers_share_a_heap() {
        let [_, heap] = heaps();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for n in 0..20_000 {
                        let item =
                            Item::new(&heap, 0, Id::default(), vec![n.into(), "text ".repeat(20).into()]);
                        assert_eq!(Item::load(&heap, item.row).int(0), Some(n));
                    }
                });
            }
        });
    }
}
