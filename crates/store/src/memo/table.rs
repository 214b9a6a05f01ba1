//! The keys of all answers in memory, each with where its answer lies and whether it was used.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flow_data::Id;

/// Where an answer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Index of the segment, below [`Slot::MOST_SEGMENTS`].
    pub(super) segment: usize,
    /// Where its record begins, in bytes.
    pub(super) offset: u64,
}

impl Slot {
    /// Segments that a slot can tell apart.
    pub(super) const MOST_SEGMENTS: u16 = 1 << 15;

    /// The bit of an answer that was used; then 15 bits of the segment and 48 of the offset.
    const USED: u64 = 1 << 63;

    fn packed(self) -> u64 {
        (self.segment as u64) << 48 | self.offset
    }

    fn unpacked(bits: u64) -> Self {
        Self { segment: ((bits & !Self::USED) >> 48) as usize, offset: bits & ((1 << 48) - 1) }
    }
}

/// Keys with their slots. Cost: 25 bytes a place, of which at least 7 in 16 are taken: 29 to 58 bytes an answer.
#[derive(Debug, Default)]
pub(super) struct Table(HashMap<Id, AtomicU64, BuildHasherDefault<AsItIs>>);

impl Table {
    /// Makes room for `more` keys at once.
    pub(super) fn reserve(&mut self, more: usize) {
        self.0.reserve(more);
    }

    /// Adds a key, unless it has a slot. Answers that are put are used.
    pub(super) fn insert(&mut self, key: Id, slot: Slot, used: bool) {
        let bits = slot.packed() | if used { Slot::USED } else { 0 };
        self.0.entry(key).or_insert_with(|| AtomicU64::new(bits));
    }

    /// The slot of `key`.
    pub(super) fn get(&self, key: &Id) -> Option<Slot> {
        self.0.get(key).map(|bits| Slot::unpacked(bits.load(Relaxed)))
    }

    /// The slot of `key`, which is used from now on.
    pub(super) fn take(&self, key: &Id) -> Option<Slot> {
        self.0.get(key).map(|bits| Slot::unpacked(bits.fetch_or(Slot::USED, Relaxed)))
    }

    /// Removes a key that has this slot; whether it had.
    pub(super) fn remove(&mut self, key: &Id, slot: Slot) -> bool {
        self.get(key) == Some(slot) && self.0.remove(key).is_some()
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All keys, in order, with their slots and whether they were used.
    pub(super) fn sorted(&self) -> Vec<(Id, Slot, bool)> {
        let read = |(key, bits): (&Id, &AtomicU64)| {
            let bits = bits.load(Relaxed);
            (*key, Slot::unpacked(bits), bits & Slot::USED != 0)
        };
        let mut all: Vec<_> = self.0.iter().map(read).collect();
        all.sort_unstable_by_key(|(key, ..)| *key);
        all
    }
}

/// Keys are hashes: their first bytes are as good as any hash of them.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        let mut first = [0; 8];
        let n = bytes.len().min(8);
        first[..n].copy_from_slice(&bytes[..n]);
        self.0 = u64::from_le_bytes(first);
    }

    fn write_usize(&mut self, _: usize) {
        // The length, which all keys share.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_their_places_and_the_mark_of_use() {
        let key = |n: u8| Id::of("test", [[n].as_slice()]);
        let slot = Slot { segment: 32_767, offset: (1 << 48) - 1 };
        let mut table = Table::default();
        table.insert(key(1), slot, false);
        table.insert(key(1), Slot { segment: 0, offset: 0 }, true);
        table.insert(key(2), Slot { segment: 3, offset: 7 }, true);
        assert_eq!((table.get(&key(1)), table.get(&key(3)), table.len()), (Some(slot), None, 2));
        let used = |table: &Table| table.sorted().into_iter().filter(|(.., used)| *used).count();
        assert_eq!(used(&table), 1);
        assert_eq!(table.take(&key(1)), Some(slot));
        assert_eq!((used(&table), table.get(&key(1))), (2, Some(slot)));
        assert!(!table.remove(&key(1), Slot { segment: 3, offset: 7 }) && table.remove(&key(1), slot));
        assert_eq!(table.get(&key(1)), None);
    }
}
