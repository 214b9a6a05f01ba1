//! Records that are asked for again and again, such as the prompt of ten draws in a row, or an edited row at each step: each thread has the last few
//! at hand.

use std::cell::RefCell;
use std::sync::Arc;

use crate::Id;
use crate::record::Record;

/// Records at hand, each in the place that the first byte of its hash says.
const PLACES: usize = 1 << u8::BITS;
/// The most bytes that one may hold, with the records that it extends and that came along: what threads keep stays small.
const LARGEST: usize = 1 << 13;
/// So many uses after one it is looked at whether a record holds too much: what it extends comes along behind it. More than records extend each other.
const LATER: usize = 16;

/// A record under its hash.
type Held = Option<(Id, Arc<Record>)>;

struct Recent {
    held: [Held; PLACES],
    /// The places that were used last, in a ring, and where its oldest is.
    used: [u8; LATER],
    oldest: usize,
}

thread_local! {
    /// A record is what its hash says, whichever heap it came from.
    static RECENT: RefCell<Recent> =
        const { RefCell::new(Recent { held: [const { None }; PLACES], used: [0; LATER], oldest: 0 }) };
}

/// The record with this content hash, where it is at hand.
pub(super) fn find(body: &Id) -> Option<Arc<Record>> {
    RECENT.with_borrow_mut(|recent| {
        let found = recent.held[recent.turn_to(body)].as_ref().filter(|(known, _)| known == body);
        found.map(|(_, record)| record.clone())
    })
}

/// Keeps a record at hand.
pub(super) fn keep(body: Id, record: &Arc<Record>) {
    RECENT.with_borrow_mut(|recent| {
        let place = recent.turn_to(&body);
        recent.held[place] = Some((body, record.clone()));
    });
}

impl Recent {
    /// The place of a record. Lets go of what was used a while ago, where it holds too much by now.
    fn turn_to(&mut self, body: &Id) -> usize {
        let place = body.0[0];
        let before = std::mem::replace(&mut self.used[self.oldest], place);
        self.oldest = (self.oldest + 1) % LATER;
        let before = &mut self.held[usize::from(before)];
        if before.as_ref().is_some_and(|(_, record)| record.n_held() > LARGEST) {
            *before = None;
        }
        usize::from(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Heap, Item};

    #[test]
    fn what_extends_a_large_record_is_not_kept_with_it() {
        let heap = Heap::new();
        let large = Item::new(&heap, 0, Id::default(), vec!["x".repeat(LARGEST).into(), 7.into()]);
        let row = large.extended(&heap, &[1.into()]);
        let small = |n: usize| Item::new(&heap, 0, Id::default(), vec![(n as i64).into()]);
        assert_eq!(Item::load(&heap, row).int(2), Some(1));
        assert!(find(&row.body).is_some(), "what it extends was not asked for");
        assert_eq!(Item::load(&heap, row).int(1), Some(7));
        let others = (0..LATER)
            .map(small)
            .filter(|other| ![row, large.row].map(|row| row.body.0[0]).contains(&other.row.body.0[0]));
        others.for_each(|other| assert!(Item::load(&heap, other.row).int(0).is_some()));
        (0..LATER).for_each(|_| drop(find(&small(0).row.body)));
        assert!(find(&row.body).is_none() && find(&large.row.body).is_none());
        assert!(find(&small(0).row.body).is_some());
    }
}
