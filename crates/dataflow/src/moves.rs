//! What has moved at every port since the host last asked: exact, where a census of many rows would estimate.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use flow_data::Row;

use crate::pile::Pile;
use crate::render::Tick;
use crate::{Network, Port};

/// Rows that came to a port and that left it, a changed one being both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Rows that came.
    pub added: u64,
    /// Rows that left.
    pub removed: u64,
}

/// The updates of every port, once somebody has asked: loading a pipeline is not worth remembering.
pub(crate) struct Moves {
    wanted: AtomicBool,
    /// By step, its rejected rows last.
    ports: Vec<Vec<Mutex<Pile<Row>>>>,
}

impl Moves {
    pub(crate) fn new(network: &Network) -> Self {
        let ports = network.nodes.iter().map(|node| (0..=node.ports).map(|_| Mutex::default()).collect());
        Self { wanted: AtomicBool::new(false), ports: ports.collect() }
    }

    pub(crate) fn add(&self, node: usize, port: Option<Port>, updates: &[(Row, Tick, isize)]) {
        if self.wanted.load(Relaxed) {
            let ports = &self.ports[node];
            let pile = &ports[port.map_or(ports.len() - 1, usize::from)];
            let mut pile = pile.lock().unwrap_or_else(PoisonError::into_inner);
            updates.iter().for_each(|(row, _, diff)| pile.add(*row, *diff));
            if pile.is_due() {
                pile.tidy();
            }
        }
    }

    /// What has moved since the last call, by step and port, its rejected rows last. The first call begins to count.
    pub(crate) fn take(&self) -> Vec<Vec<Moved>> {
        self.wanted.store(true, Relaxed);
        let moved = |pile: &Mutex<Pile<Row>>| {
            let mut pile = std::mem::take(&mut *pile.lock().unwrap_or_else(PoisonError::into_inner));
            pile.tidy().iter().fold(Moved::default(), |moved, (_, diff)| match diff {
                0.. => Moved { added: moved.added + diff.unsigned_abs() as u64, ..moved },
                _ => Moved { removed: moved.removed + diff.unsigned_abs() as u64, ..moved },
            })
        };
        self.ports.iter().map(|ports| ports.iter().map(moved).collect()).collect()
    }
}
