//! Where records lie, by content hash: 12 bytes a slot, 18 to 36 bytes a record.

/// A hash table from 32 bits of a content hash to places, with open addressing. A tag may have several candidates: what
/// lies at a place says whose it is.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<Slot>,
    len: usize,
}

/// A tag, [`VACANT`] where nothing was put in, and the halves of a place, so that a slot has no padding.
type Slot = [u32; 3];

const SMALLEST: usize = 16;
const VACANT: u32 = 0;

/// The tag that stands for `tag`, which may look vacant.
fn taken(tag: u32) -> u32 {
    tag.max(VACANT + 1)
}

impl Index {
    /// The places put in under `tag`.
    pub(super) fn candidates(&self, tag: u32) -> impl Iterator<Item = u64> + '_ {
        let tag = taken(tag);
        let found = self.chain(tag).map(|at| self.slots[at]).take_while(|[tag, ..]| *tag != VACANT);
        found.filter(move |slot| slot[0] == tag).map(|[_, low, high]| u64::from(high) << 32 | u64::from(low))
    }

    /// Puts a place in.
    pub(super) fn insert(&mut self, tag: u32, place: u64) {
        // At most two slots of three are taken, so that searches stay short.
        if self.len * 3 >= self.slots.len() * 2 {
            let slots = vec![[VACANT; 3]; (self.slots.len() * 2).max(SMALLEST)];
            let slots = std::mem::replace(&mut self.slots, slots);
            slots.into_iter().filter(|[tag, ..]| *tag != VACANT).for_each(|slot| self.put(slot));
        }
        self.put([taken(tag), place as u32, (place >> 32) as u32]);
        self.len += 1;
    }

    /// Memory taken.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// Number of places.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn put(&mut self, slot: Slot) {
        let vacant = self.chain(slot[0]).find(|at| self.slots[*at][0] == VACANT);
        self.slots[vacant.expect("a third of the slots is vacant")] = slot;
    }

    /// All slots, from the one where `tag` belongs.
    fn chain(&self, tag: u32) -> impl Iterator<Item = usize> + use<> {
        let n = self.slots.len();
        (0..n).map(move |step| (tag as usize + step) & (n - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_in_is_found(tags in proptest::collection::vec(0..40u32, 0..200)) {
            let mut index = Index::default();
            let place = |n: usize| n as u64 * 0x1_0000_0001;
            tags.iter().enumerate().for_each(|(n, tag)| index.insert(*tag, place(n)));
            // 0 looks vacant and shares its places with 1.
            for tag in 2..41 {
                let mut found: Vec<u64> = index.candidates(tag).collect();
                found.sort_unstable();
                let put = tags.iter().enumerate().filter(|(_, put)| **put == tag).map(|(n, _)| place(n));
                prop_assert_eq!(found, put.collect::<Vec<_>>());
            }
            prop_assert_eq!(index.len(), tags.len());
        }
    }
}
