//! A bound on the work of one question, counted in steps, so that a verdict never depends on a clock.

use std::cell::Cell;

/// Steps a comparison may take, of 20 nanoseconds each, 100 at the most: a few milliseconds in all.
const STEPS: u64 = 75_000;

/// What is left to spend.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    pub(crate) fn new() -> Budget {
        Budget::of(STEPS)
    }

    pub(crate) fn of(steps: u64) -> Budget {
        Budget { left: Cell::new(steps) }
    }

    /// Takes `steps`; none when that many are not left, now and from then on.
    pub(crate) fn spend(&self, steps: u64) -> Option<()> {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.unwrap_or(0));
        left.map(|_| ())
    }

    /// Whether nothing is left, so that whatever is asked for will not be known.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// Takes what `count` operations on numbers of `bits` bits cost.
    pub(crate) fn spend_operations(&self, count: u64, bits: u64) -> Option<()> {
        let words = bits / 64 + 1;
        self.spend(count.saturating_mul(5 + words * words / 20))
    }

    /// Takes what the sum of a series to `bits` bits costs.
    pub(crate) fn spend_series(&self, bits: u32) -> Option<()> {
        self.spend_operations(20 + u64::from(bits) / 16, u64::from(bits))
    }
}
