//! Row accounting: what came into every stage, what left it, what was rejected.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use flow_data::{Round, Row};
use serde::{Deserialize, Serialize};

use crate::census::Tally;
use crate::{Census, Network};

/// Live counters of a network, shared by all workers. Each is a sum of differences, so exact once a tick has settled.
#[derive(Debug)]
pub struct Counts(Vec<NodeCounts>);

#[derive(Debug)]
pub(crate) struct NodeCounts {
    pub(crate) stages: Vec<StageCounts>,
    ports: Vec<Mutex<Tally>>,
    rejected: Mutex<Tally>,
    pub(crate) calls: AtomicU64,
    pub(crate) reused: AtomicU64,
    efforts: Mutex<BTreeMap<Round, Effort>>,
}

#[derive(Debug, Default)]
pub(crate) struct StageCounts {
    pub(crate) input: AtomicI64,
    pub(crate) taken: AtomicI64,
    pub(crate) rejected: AtomicI64,
    pub(crate) lost: AtomicU64,
}

/// The counters of one step at one moment, in rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// Rows that came in; for a source, rows and rejects it yielded.
    pub input: i64,
    /// Rows on each port.
    pub ports: Vec<i64>,
    /// Rows that went no further.
    pub rejected: i64,
    /// Effect requests performed by the engine in this session.
    pub calls: u64,
    /// Effect requests answered without the engine in this session.
    pub reused: u64,
    /// Rows of some stage that are neither used nor rejected; 0 unless an operator is at fault.
    pub unaccounted: i64,
}

/// What another process has counted since it was asked last, to be added: all counters are sums of differences.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Increment(Vec<NodeIncrement>);

#[derive(Debug, Serialize, Deserialize)]
struct NodeIncrement {
    /// Of each stage: input, taken, rejected, lost.
    stages: Vec<(i64, i64, i64, u64)>,
    outlets: Vec<Tally>,
    calls: u64,
    reused: u64,
    efforts: BTreeMap<Round, Effort>,
}

/// What the present rows of an effect step rest on, in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// Requests made.
    pub requests: i64,
    /// Requests without an answer that only a forecast leaves so, each key once.
    pub missing: i64,
    /// Requests that a forecast takes to be made again with the answers that they had, each key once.
    pub again: i64,
    /// Tokens of the answers.
    pub tokens: i64,
}

impl Counts {
    pub(crate) fn new(network: &Network) -> Self {
        Self(network.nodes.iter().map(|node| NodeCounts::new(node.stages(), node.ports)).collect())
    }

    pub(crate) fn node(&self, node: usize) -> &NodeCounts {
        &self.0[node]
    }

    /// The counters of every step, in the network's order.
    pub fn steps(&self) -> Vec<StepCounts> {
        self.0.iter().map(NodeCounts::read).collect()
    }

    /// What the rows of each step's ports are, its rejected rows last, in the network's order.
    pub(crate) fn censuses(&self) -> Vec<Vec<Census>> {
        self.0.iter().map(|node| node.outlets().map(|tally| lock(tally).census()).collect()).collect()
    }

    /// Takes all that has been counted, between two ticks, and begins at zero again.
    pub(crate) fn take(&self) -> Increment {
        Increment(self.0.iter().map(NodeCounts::take).collect())
    }

    /// Adds what the same network has counted elsewhere.
    pub(crate) fn absorb(&self, increment: Increment) {
        self.0.iter().zip(increment.0).for_each(|(node, increment)| node.absorb(increment));
    }

    /// What each step's effects took, by round.
    pub(crate) fn efforts(&self) -> Vec<BTreeMap<Round, Effort>> {
        self.0.iter().map(|node| lock(&node.efforts).clone()).collect()
    }
}

impl NodeCounts {
    fn new(stages: usize, ports: usize) -> Self {
        Self {
            stages: (0..stages).map(|_| StageCounts::default()).collect(),
            ports: (0..ports).map(|_| Mutex::default()).collect(),
            rejected: Mutex::default(),
            calls: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            efforts: Mutex::default(),
        }
    }

    /// Adds what comes out of a port, or of the rejected rows.
    pub(crate) fn add<'a>(&self, port: Option<crate::Port>, updates: impl Iterator<Item = (&'a Row, isize)>) {
        let tally = port.map_or(&self.rejected, |port| &self.ports[usize::from(port)]);
        let mut tally = lock(tally);
        updates.for_each(|(row, diff)| tally.add(row, diff));
    }

    /// Adds to what the rows of `round` rest on.
    pub(crate) fn spend(&self, round: Round, more: Effort) {
        let mut efforts = lock(&self.efforts);
        let effort = efforts.entry(round).or_default();
        effort.requests += more.requests;
        effort.missing += more.missing;
        effort.again += more.again;
        effort.tokens += more.tokens;
    }

    fn take(&self) -> NodeIncrement {
        NodeIncrement {
            stages: self.stages.iter().map(StageCounts::take).collect(),
            outlets: self.outlets().map(|tally| std::mem::take(&mut *lock(tally))).collect(),
            calls: self.calls.swap(0, Relaxed),
            reused: self.reused.swap(0, Relaxed),
            efforts: std::mem::take(&mut *lock(&self.efforts)),
        }
    }

    fn absorb(&self, increment: NodeIncrement) {
        self.stages.iter().zip(increment.stages).for_each(|(stage, more)| stage.absorb(more));
        self.outlets().zip(increment.outlets).for_each(|(tally, more)| lock(tally).absorb(more));
        self.calls.fetch_add(increment.calls, Relaxed);
        self.reused.fetch_add(increment.reused, Relaxed);
        for (round, effort) in increment.efforts {
            self.spend(round, effort);
        }
    }

    fn outlets(&self) -> impl Iterator<Item = &Mutex<Tally>> {
        self.ports.iter().chain([&self.rejected])
    }

    fn read(&self) -> StepCounts {
        let ports: Vec<i64> = self.ports.iter().map(|tally| lock(tally).rows()).collect();
        let rejected = lock(&self.rejected).rows();
        let source = || ports.iter().sum::<i64>() + rejected;
        StepCounts {
            input: self.stages.first().map_or_else(source, |stage| stage.input.load(Relaxed)),
            unaccounted: self.stages.iter().map(StageCounts::unaccounted).sum(),
            calls: self.calls.load(Relaxed),
            reused: self.reused.load(Relaxed),
            ports,
            rejected,
        }
    }
}

impl StageCounts {
    fn take(&self) -> (i64, i64, i64, u64) {
        let Self { input, taken, rejected, lost } = self;
        (input.swap(0, Relaxed), taken.swap(0, Relaxed), rejected.swap(0, Relaxed), lost.swap(0, Relaxed))
    }

    fn absorb(&self, (input, taken, rejected, lost): (i64, i64, i64, u64)) {
        self.input.fetch_add(input, Relaxed);
        self.taken.fetch_add(taken, Relaxed);
        self.rejected.fetch_add(rejected, Relaxed);
        self.lost.fetch_add(lost, Relaxed);
    }

    /// Input that is neither taken nor rejected, by two independent counts.
    fn unaccounted(&self) -> i64 {
        let missing = self.input.load(Relaxed) - self.taken.load(Relaxed) - self.rejected.load(Relaxed);
        missing.abs().max(self.lost.load(Relaxed) as i64)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
