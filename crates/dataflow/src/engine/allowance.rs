//! How many requests may still be performed.

use super::EffectId;
use crate::Request;

/// What a process may perform of what the memo cannot answer.
#[derive(Debug, Default)]
pub(crate) enum Allowance {
    /// Any number of requests.
    #[default]
    Any,
    /// So many more, of the members of its run too.
    Left(u64),
    /// What the host of its run grants.
    Granted(Held),
}

/// Requests that wait for the host's word.
#[derive(Debug, Default)]
pub(crate) struct Held {
    requests: Vec<(EffectId, Request)>,
    /// How many of them the host has been asked for.
    n_asked: usize,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is performed.
    Now(Request),
    /// It waits for the host's word.
    Held,
    /// It is one too many.
    Refused,
}

impl Allowance {
    /// So many requests; any number where none is said.
    pub(crate) fn of(most_calls: Option<u64>) -> Self {
        most_calls.map_or(Self::Any, Self::Left)
    }

    /// What a member of a run may perform in which all processes together have `most_calls`.
    pub(crate) fn of_member(most_calls: Option<u64>) -> Self {
        most_calls.map_or(Self::Any, |_| Self::Granted(Held::default()))
    }

    /// Takes one request of `effect` in.
    pub(super) fn admit(&mut self, effect: EffectId, request: Request) -> Verdict {
        match self {
            Self::Any => Verdict::Now(request),
            Self::Left(0) => Verdict::Refused,
            Self::Left(left) => {
                *left -= 1;
                Verdict::Now(request)
            }
            Self::Granted(held) => {
                held.requests.push((effect, request));
                Verdict::Held
            }
        }
    }

    /// Takes up to `n` requests off, for a member; returns how many.
    pub(super) fn lend(&mut self, n: u64) -> u64 {
        let Self::Left(left) = self else { return n };
        let lent = n.min(*left);
        *left -= lent;
        lent
    }

    /// How many held requests the host has not been asked for yet; it is from now on.
    pub(super) fn ask_for(&mut self) -> usize {
        let Self::Granted(held) = self else { return 0 };
        let n_new = held.requests.len() - held.n_asked;
        held.n_asked = held.requests.len();
        n_new
    }

    /// The held requests that the host answers by granting `granted` of `asked`: those to perform, and those that are too many.
    pub(super) fn settle(&mut self, asked: usize, granted: usize) -> [Vec<(EffectId, Request)>; 2] {
        let Self::Granted(held) = self else { return Default::default() };
        held.n_asked -= asked;
        let mut granted_ones: Vec<_> = held.requests.drain(..asked).collect();
        let refused = granted_ones.split_off(granted.min(asked));
        [granted_ones, refused]
    }
}

#[cfg(test)]
mod tests {
    use flow_data::{Heap, Id, Item};

    use super::*;

    fn request(n: u8) -> Request {
        let item = Item::new(&Heap::new(), 0, Id::default(), Vec::new());
        Request { key: Id([n; 16]), item, model: None, index: 0 }
    }

    #[test]
    fn a_host_lends_what_it_has_left_and_no_more() {
        let mut allowance = Allowance::of(Some(5));
        assert!(matches!(allowance.admit((0, 0), request(0)), Verdict::Now(_)));
        assert_eq!([3, 3, 3].map(|n| allowance.lend(n)), [3, 1, 0]);
        assert!(matches!(allowance.admit((0, 0), request(1)), Verdict::Refused));
        assert_eq!(Allowance::of(None).lend(7), 7);
    }

    #[test]
    fn a_member_holds_its_requests_until_the_host_has_said_how_many() {
        let mut allowance = Allowance::of_member(Some(5));
        for n in 0..3 {
            assert!(matches!(allowance.admit((1, 0), request(n)), Verdict::Held));
        }
        assert_eq!([allowance.ask_for(), allowance.ask_for()], [3, 0]);
        assert!(matches!(allowance.admit((2, 0), request(3)), Verdict::Held));
        assert_eq!(allowance.ask_for(), 1);
        let keys = |held: Vec<(EffectId, Request)>| {
            held.iter().map(|(_, request)| request.key.0[0]).collect::<Vec<_>>()
        };
        let [now, refused] = allowance.settle(3, 2);
        assert_eq!([keys(now), keys(refused)], [vec![0, 1], vec![2]]);
        let [now, refused] = allowance.settle(1, 0);
        assert_eq!([keys(now), keys(refused)], [vec![], vec![3]]);
        assert!(matches!(Allowance::of_member(None).admit((0, 0), request(0)), Verdict::Now(_)));
    }
}
