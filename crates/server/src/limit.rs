//! How many requests an endpoint gets at once: additive increase, multiplicative decrease, as TCP does it.

use std::time::Instant;

/// Where the search begins.
const START: f64 = 8.0;

/// The number under way that an endpoint is thought to bear. Doubles with each window that is answered until the first
/// overload, then grows by one with each window; an overload halves it.
#[derive(Debug)]
pub(crate) struct Limit {
    now: f64,
    most: f64,
    /// When it was last halved.
    halved: Option<Instant>,
}

impl Limit {
    /// At most `most`, at least 1.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        Self { now: START.min(most), most, halved: None }
    }

    /// Requests that may be under way, at least 1.
    pub(crate) fn get(&self) -> usize {
        self.now as usize
    }

    /// An answer came while `in_flight` were under way. A limit that is not reached says nothing about a higher one.
    pub(crate) fn answered(&mut self, in_flight: usize) {
        if in_flight >= self.get() {
            let step = if self.halved.is_none() { 1.0 } else { 1.0 / self.now };
            self.now = (self.now + step).min(self.most);
        }
    }

    /// A request that was sent at `sent` met an overload. Those sent before the last halving met the same one.
    pub(crate) fn overloaded(&mut self, sent: Instant, now: Instant) {
        if self.halved.is_none_or(|halved| sent > halved) {
            self.now = (self.now / 2.0).max(1.0);
            self.halved = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_finds_what_an_endpoint_bears_and_stays_within_bounds() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut limit = Limit::new(64);
        (0..1000).for_each(|_| limit.answered(64));
        assert_eq!(limit.get(), 64, "it doubles at first, up to the bound");
        limit.overloaded(at(10), at(20));
        (0..30).for_each(|_| limit.overloaded(at(15), at(25)));
        assert_eq!(limit.get(), 32, "one overload halves it once, however many requests meet it");
        (0..33).for_each(|_| limit.answered(64));
        assert_eq!(limit.get(), 33, "then a window adds one");
        (0..1000).for_each(|_| limit.answered(3));
        assert_eq!(limit.get(), 33, "a limit that is not reached does not grow");
        (2..100).for_each(|n| limit.overloaded(at(n * 30), at(n * 30 + 5)));
        assert_eq!(limit.get(), 1);
        assert_eq!((Limit::new(0).get(), Limit::new(3).get()), (1, 3));
    }
}
