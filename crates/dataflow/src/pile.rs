//! A multiset that updates are thrown onto: adding one costs no search.

use differential_dataflow::consolidation::consolidate;
use serde::{Deserialize, Serialize};

/// Updates that a pile may hold beside those that are half as many as its elements.
const LOOSE: usize = 1 << 10;

/// A multiset as the updates that led to it, made shorter whenever it has grown by half.
///
/// Cost: an update is a push, and its share of sorting; there is room for half as many updates as elements, and 1,024.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pile<D> {
    updates: Vec<(D, isize)>,
    /// Length after it was last made shorter.
    tidy: usize,
}

impl<D> Default for Pile<D> {
    fn default() -> Self {
        Self { updates: Vec::new(), tidy: 0 }
    }
}

impl<D: Ord> Pile<D> {
    /// Changes the multiplicity of `element` by `diff`.
    pub(crate) fn add(&mut self, element: D, diff: isize) {
        self.updates.push((element, diff));
    }

    /// The updates, in no order.
    pub(crate) fn into_updates(self) -> Vec<(D, isize)> {
        self.updates
    }

    /// Whether so many updates are held that [`Pile::tidy`] is due.
    pub(crate) fn is_due(&self) -> bool {
        self.updates.len() >= room(self.tidy)
    }

    /// The elements in order, each once, with multiplicities of which none is zero.
    pub(crate) fn tidy(&mut self) -> &[(D, isize)] {
        consolidate(&mut self.updates);
        self.settle();
        &self.updates
    }

    /// Leaves the elements that `keep` holds for.
    pub(crate) fn retain(&mut self, keep: impl Fn(&D) -> bool) {
        self.updates.retain(|(element, _)| keep(element));
        self.settle();
    }

    /// Takes memory for the elements and the updates until the next tidying, no more.
    fn settle(&mut self) {
        self.tidy = self.updates.len();
        self.updates.shrink_to(room(self.tidy));
        self.updates.reserve_exact(room(self.tidy) - self.tidy);
    }
}

/// Updates that are held before so many elements are tidied.
fn room(elements: usize) -> usize {
    elements + elements / 2 + LOOSE
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pile_is_the_sum_of_its_updates(updates in proptest::collection::vec((0..40u8, -2..3isize), 0..5000)) {
            let (mut pile, mut sums) = (Pile::default(), BTreeMap::new());
            for (element, diff) in updates {
                pile.add(element, diff);
                if pile.is_due() {
                    pile.tidy();
                }
                *sums.entry(element).or_insert(0) += diff;
            }
            sums.retain(|_, count| *count != 0);
            prop_assert_eq!(pile.tidy(), sums.into_iter().collect::<Vec<_>>());
        }
    }
}
