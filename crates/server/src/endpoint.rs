//! One address: how much it gets, and whether it is left alone.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use crate::limit::Limit;
use crate::{Class, Fault};

/// Failures in a row after which an endpoint is left alone.
const ILL: u32 = 5;

/// How long, at first; doubled with each trial that fails.
const REST: Duration = Duration::from_secs(1);

/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// An endpoint and what is known of it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    limit: Limit,
    in_flight: usize,
    /// When something was last sent, first never.
    last: Option<Instant>,
    /// Failures since the last answer.
    failures: u32,
    /// Nothing is sent before.
    resting: Option<Instant>,
    /// When it was last found ill.
    found_ill: Option<Instant>,
}

impl Endpoint {
    pub(crate) fn new(address: &str, max_concurrency: usize) -> Self {
        Self {
            address: address.trim_end_matches('/').to_owned(),
            limit: Limit::new(max_concurrency),
            in_flight: 0,
            last: None,
            failures: 0,
            resting: None,
            found_ill: None,
        }
    }

    /// Whether it has failed so often in a row that it is left alone, or tried with one request.
    pub(crate) fn is_ill(&self) -> bool {
        self.failures >= ILL
    }

    /// Whether one more request may be sent.
    pub(crate) fn is_free(&self, now: Instant) -> bool {
        let most = if self.is_ill() { 1 } else { self.limit.get() };
        self.resting.is_none_or(|until| now >= until) && self.in_flight < most
    }

    /// When its rest ends, while it rests.
    pub(crate) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.resting.filter(|until| *until > now)
    }

    /// Orders endpoints by how much of what they bear is under way; of equals the one that has waited longest comes first.
    pub(crate) fn cmp_load(&self, other: &Self) -> Ordering {
        let load = |endpoint: &Self| endpoint.in_flight as f64 / endpoint.limit.get() as f64;
        load(self).total_cmp(&load(other)).then(self.last.cmp(&other.last))
    }

    pub(crate) fn sent(&mut self, now: Instant) {
        self.in_flight += 1;
        self.last = Some(now);
    }

    /// A request was answered, or refused for its own fault: the endpoint is well.
    pub(crate) fn answered(&mut self) {
        self.limit.answered(self.in_flight);
        self.in_flight -= 1;
        self.failures = 0;
    }

    /// A request that was sent at `sent` failed by `fault`; `again` tells whether it had failed before.
    pub(crate) fn failed(&mut self, fault: &Fault, again: bool, sent: Instant, now: Instant) {
        self.in_flight -= 1;
        if fault.class.is_overload() {
            self.limit.overloaded(sent, now);
        }
        if fault.class == Class::Busy {
            self.rest(fault.retry_after.map(|pause| now + pause));
        }
        let is_news = self.found_ill.is_none_or(|found| sent > found);
        // What fails again may have itself to blame, as a prompt that no server bears.
        if is_news && (self.is_ill() || !again || fault.class.is_between()) {
            self.ailed(now);
        }
    }

    /// Counts a failure that says something new: it was sent after the endpoint was last found ill.
    fn ailed(&mut self, now: Instant) {
        self.failures += 1;
        if let Some(trials) = self.failures.checked_sub(ILL) {
            self.found_ill = Some(now);
            self.rest(Some(now + (REST * 2_u32.pow(trials.min(6))).min(LONGEST_REST)));
        }
    }

    fn rest(&mut self, until: Option<Instant>) {
        self.resting = self.resting.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(class: Class, retry_after: Option<u64>) -> Fault {
        let retry_after = retry_after.map(Duration::from_secs);
        Fault { class, endpoint: String::new(), detail: String::new(), retry_after }
    }

    #[test]
    fn one_that_fails_in_a_row_rests_longer_each_time_and_is_tried_alone() {
        let mut endpoint = Endpoint::new("http://host/v1/", 64);
        assert_eq!(endpoint.address, "http://host/v1");
        let mut now = Instant::now();
        let broken = fault(Class::Broken, None);
        for _ in 0..ILL {
            assert!(endpoint.is_free(now));
            endpoint.sent(now);
            endpoint.failed(&broken, false, now, now);
        }
        endpoint.sent(now);
        endpoint.failed(&broken, false, now, now);
        for rest in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(endpoint.rests_until(now), Some(now + Duration::from_secs(rest)));
            assert!(!endpoint.is_free(now));
            now += Duration::from_secs(rest);
            assert!(endpoint.is_free(now));
            endpoint.sent(now);
            assert!(!endpoint.is_free(now), "one request tries it");
            endpoint.failed(&broken, false, now, now);
        }
        now += LONGEST_REST;
        endpoint.sent(now);
        endpoint.answered();
        (0..START_LIMIT).for_each(|_| endpoint.sent(now));
        assert!(!endpoint.is_free(now), "it is well again, and gets as much as it bore");
    }

    const START_LIMIT: usize = 8;

    #[test]
    fn a_request_that_fails_again_and_again_is_no_illness() {
        let mut endpoint = Endpoint::new("http://host/v1", 64);
        let now = Instant::now();
        let mut fails = |class| {
            endpoint.sent(now);
            endpoint.failed(&fault(class, None), true, now, now);
            endpoint.is_ill()
        };
        assert!(!(0..20).any(|_| fails(Class::Broken)));
        assert!((0..5).any(|_| fails(Class::Unreachable)), "this is not the request's doing");
    }

    #[test]
    fn a_pause_that_it_asks_for_is_kept_and_is_no_illness() {
        let mut endpoint = Endpoint::new("http://host/v1", 64);
        let now = Instant::now();
        (0..8).for_each(|_| endpoint.sent(now));
        (4..8).for_each(|n| endpoint.failed(&fault(Class::Busy, Some(n)), false, now, now));
        (0..4).for_each(|_| endpoint.answered());
        assert_eq!(endpoint.rests_until(now), Some(now + Duration::from_secs(7)));
        let later = now + Duration::from_secs(7);
        (0..4).for_each(|_| {
            assert!(endpoint.is_free(later));
            endpoint.sent(now);
        });
        assert!(!endpoint.is_free(later), "half as much as before");
    }
}
