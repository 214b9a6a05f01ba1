//! Row accounting: what came into every stage, what left it, what was rejected.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::Network;

/// Live counters of a network, shared by all workers. Each is a sum of differences, so exact once a tick has settled.
#[derive(Debug)]
pub struct Counts(Vec<NodeCounts>);

#[derive(Debug)]
pub(crate) struct NodeCounts {
    pub(crate) stages: Vec<StageCounts>,
    pub(crate) ports: Vec<AtomicI64>,
    pub(crate) rejected: AtomicI64,
    pub(crate) calls: AtomicU64,
    pub(crate) reused: AtomicU64,
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
}

impl NodeCounts {
    fn new(stages: usize, ports: usize) -> Self {
        Self {
            stages: (0..stages).map(|_| StageCounts::default()).collect(),
            ports: (0..ports).map(|_| AtomicI64::new(0)).collect(),
            rejected: AtomicI64::new(0),
            calls: AtomicU64::new(0),
            reused: AtomicU64::new(0),
        }
    }

    fn read(&self) -> StepCounts {
        let ports: Vec<i64> = self.ports.iter().map(|count| count.load(Relaxed)).collect();
        let rejected = self.rejected.load(Relaxed);
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
    /// Input that is neither taken nor rejected, by two independent counts.
    fn unaccounted(&self) -> i64 {
        let missing = self.input.load(Relaxed) - self.taken.load(Relaxed) - self.rejected.load(Relaxed);
        missing.abs().max(self.lost.load(Relaxed) as i64)
    }
}
