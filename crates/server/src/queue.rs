//! Who is asked what next: draws that wait, endpoints that are free, and what becomes of each answer. No clock, no thread:
//! callers say what time it is.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::backoff::delay;
use crate::endpoint::Endpoint;
use crate::{Completion, Draw, Error, Fault, Params, Settings};

/// Draws that belong together.
pub struct Batch {
    /// What to draw.
    pub draws: Vec<Draw>,
    /// How.
    pub params: Params,
    /// Takes what became of the draw at an index, once for each; called from any thread.
    pub answer: Box<dyn Fn(usize, Result<Completion, Error>) + Send + Sync>,
    /// Whether nobody wants the rest any more: what has not been sent is dropped without an answer.
    pub cancelled: Box<dyn Fn() -> bool + Send + Sync>,
    /// Takes the failure by which it is found that no server answers, once for each such time; called from any thread.
    pub unanswered: Box<dyn Fn(&Fault) + Send + Sync>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a batch of {} draws", self.draws.len())
    }
}

/// Draws of one prompt that are asked for in one request.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) batch: Arc<Batch>,
    /// Which of the batch; never empty.
    pub(crate) draws: Range<usize>,
    /// How often it failed.
    attempts: u32,
    /// The endpoint where it failed last.
    avoid: Option<usize>,
}

/// A job on its way to an endpoint.
#[derive(Debug)]
pub(crate) struct Trip {
    pub(crate) job: Job,
    pub(crate) endpoint: usize,
    pub(crate) sent: Instant,
}

/// What to do now.
#[derive(Debug)]
pub(crate) enum Next {
    Send(Trip),
    /// Nothing before this time, or before something else happens.
    Wait(Option<Instant>),
}

/// Draws that have their end: to be told outside of all locks.
pub(crate) type Ended = Vec<(Job, Result<Vec<Completion>, Error>)>;

/// All that waits, and the endpoints.
#[derive(Debug)]
pub(crate) struct Queue {
    settings: Arc<Settings>,
    ready: VecDeque<Job>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    endpoints: Vec<Endpoint>,
    /// Whether a server was found that gives fewer completions than asked for: then one is asked for at a time.
    single: bool,
    /// When the first failure came after which nothing was answered.
    silent_since: Option<Instant>,
    /// The failure of such a silence that is to be told, and to whom; told once for each.
    outage: Option<(Arc<Batch>, Fault)>,
    outage_is_told: bool,
}

impl Queue {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        let endpoint = |address: &String| Endpoint::new(address, settings.max_concurrency);
        let endpoints = settings.endpoints.iter().map(endpoint).collect();
        Self {
            settings,
            ready: VecDeque::new(),
            delayed: BinaryHeap::new(),
            endpoints,
            single: false,
            silent_since: None,
            outage: None,
            outage_is_told: false,
        }
    }

    /// Adds all draws of `batch`, those of one prompt in as few requests as may be.
    pub(crate) fn push(&mut self, batch: Batch) {
        if !self.waits() {
            // Silence while nobody asked says nothing.
            self.end_silence();
        }
        let batch = Arc::new(batch);
        let mut start = 0;
        for same in batch.draws.chunk_by(|one, other| one.prompt == other.prompt) {
            let end = start + same.len();
            while start < end {
                let draws = start..end.min(start + self.settings.draws_per_request.max(1));
                start = draws.end;
                self.ready.push_back(Job { batch: batch.clone(), draws, attempts: 0, avoid: None });
            }
        }
    }

    /// Whether anything waits.
    pub(crate) fn waits(&self) -> bool {
        !self.ready.is_empty() || !self.delayed.is_empty()
    }

    /// The address of an endpoint.
    pub(crate) fn address(&self, endpoint: usize) -> String {
        self.endpoints[endpoint].address.clone()
    }

    /// What to do at `now`.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        while let Some(Reverse(due)) = self.delayed.pop() {
            if due.at > now {
                self.delayed.push(Reverse(due));
                break;
            }
            self.ready.push_front(due.job);
        }
        while let Some(mut job) = self.ready.pop_front() {
            if (job.batch.cancelled)() {
                continue;
            }
            let Some(endpoint) = self.free(now, job.avoid) else {
                self.ready.push_front(job);
                break;
            };
            if self.single && job.draws.len() > 1 {
                let rest = job.draws.start + 1..job.draws.end;
                job.draws.end = rest.start;
                self.ready.push_front(Job { batch: job.batch.clone(), draws: rest, ..job });
            }
            self.endpoints[endpoint].sent(now);
            return Next::Send(Trip { job, endpoint, sent: now });
        }
        let due = self.delayed.peek().map(|Reverse(due)| due.at);
        let rested = self.endpoints.iter().filter_map(|endpoint| endpoint.rests_until(now)).min();
        let rested = rested.filter(|_| !self.ready.is_empty());
        Next::Wait(due.into_iter().chain(rested).min())
    }

    /// The free endpoint that has the least to do, another than `avoid` if one is free.
    fn free(&self, now: Instant, avoid: Option<usize>) -> Option<usize> {
        let free = (0..self.endpoints.len()).filter(|at| self.endpoints[*at].is_free(now));
        free.min_by(|one, other| {
            let avoided = (avoid == Some(*one)).cmp(&(avoid == Some(*other)));
            avoided.then_with(|| self.endpoints[*one].cmp_load(&self.endpoints[*other]))
        })
    }

    /// Notes what became of a trip; returns the draws that have their end by it.
    pub(crate) fn settle(
        &mut self,
        trip: Trip,
        outcome: Result<Vec<Completion>, Fault>,
        now: Instant,
    ) -> Ended {
        let Trip { job, endpoint, sent } = trip;
        match outcome {
            Ok(completions) => {
                self.answered(endpoint);
                vec![(self.without_rest(job, completions.len()), Ok(completions))]
            }
            Err(fault) if fault.class.is_passing() => {
                self.endpoints[endpoint].failed(&fault, job.attempts > 0, sent, now);
                self.again(Job { avoid: Some(endpoint), ..job }, fault, now)
            }
            Err(fault) => {
                self.answered(endpoint);
                vec![(job, Err(Error::Refused(fault)))]
            }
        }
    }

    fn answered(&mut self, endpoint: usize) {
        self.endpoints[endpoint].answered();
        self.end_silence();
    }

    fn end_silence(&mut self) {
        (self.silent_since, self.outage_is_told) = (None, false);
    }

    /// What was found since the last call: that no server answers, by which failure, and whose draws wait.
    pub(crate) fn outage(&mut self) -> Option<(Arc<Batch>, Fault)> {
        self.outage.take()
    }

    /// The first `n` draws of `job`; what the server left out is asked for by itself.
    fn without_rest(&mut self, mut job: Job, n: usize) -> Job {
        let end = job.draws.end.min(job.draws.start + n);
        if end < job.draws.end {
            self.single = true;
            let rest = end..job.draws.end;
            self.ready.push_front(Job {
                batch: job.batch.clone(),
                draws: rest,
                attempts: job.attempts,
                avoid: None,
            });
            job.draws.end = end;
        }
        job
    }

    /// Delays a job that failed by `fault`, or gives it up, or everything.
    fn again(&mut self, mut job: Job, fault: Fault, now: Instant) -> Ended {
        let silent_since = *self.silent_since.get_or_insert(now);
        let silent = now.duration_since(silent_since);
        let all_ill = self.endpoints.iter().all(Endpoint::is_ill);
        if all_ill && silent > self.settings.patience {
            let error = Error::Outage { silent_s: silent.as_secs(), fault };
            let rest = self.delayed.drain().map(|Reverse(delayed)| delayed.job).chain(self.ready.drain(..));
            return [job].into_iter().chain(rest).map(|job| (job, Err(error.clone()))).collect();
        }
        match all_ill && fault.class.is_outage() {
            true if self.outage_is_told => {}
            true => {
                self.outage = Some((job.batch.clone(), fault.clone()));
                self.outage_is_told = true;
            }
            false => job.attempts += 1,
        }
        if job.attempts >= self.settings.max_attempts {
            let attempts = job.attempts;
            return vec![(job, Err(Error::GaveUp { attempts, fault }))];
        }
        let at = now + delay(self.settings.first_delay, job.attempts);
        self.delayed.push(Reverse(Delayed { at, job }));
        Vec::new()
    }
}

/// A job that waits for its next attempt; ordered by time.
#[derive(Debug)]
struct Delayed {
    at: Instant,
    job: Job,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}
