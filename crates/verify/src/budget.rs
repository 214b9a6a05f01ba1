//! A bound on the work of one comparison, counted in steps, so that a verdict never depends on a clock.

use std::cell::Cell;

/// Steps a comparison may take: about as many word operations of arithmetic as take a few milliseconds.
const STEPS: u64 = 1_500_000;

/// What is left to spend.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    pub(crate) fn new() -> Budget {
        Budget { left: Cell::new(STEPS) }
    }

    /// Takes `steps`; none when that many are not left, now and from then on.
    pub(crate) fn spend(&self, steps: u64) -> Option<()> {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.unwrap_or(0));
        left.map(|_| ())
    }

    /// Takes what a product of numbers of `bits` bits costs.
    pub(crate) fn spend_bits(&self, bits: u64) -> Option<()> {
        let words = bits / 64 + 1;
        self.spend(4 + words * words.min(64) / 8)
    }
}
