//! What a forecast cannot know: rows that rest on answers which only a run would ask for.

use std::collections::{BTreeMap, BTreeSet};

use flow_data::{Id, Round};

use crate::{Effort, ModelWire, Network};

/// The steps and rounds whose rows are not all known, because requests before them, or their own, were only counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending(BTreeSet<(usize, Round)>);

impl Pending {
    /// Follows `efforts` with missing answers through the network, in the rounds up to `last`.
    pub(crate) fn of(network: &Network, efforts: &[BTreeMap<Round, Effort>], last: Round) -> Self {
        let mut pending = Self::default();
        for round in 0..=last {
            for (node, efforts) in efforts.iter().enumerate() {
                let missing = efforts.get(&round).is_some_and(|effort| effort.missing > 0);
                if missing || pending.reaches(network, node, round) {
                    pending.0.insert((node, round));
                }
            }
        }
        pending
    }

    /// Whether rows of `node` in `round` are not all known.
    pub fn contains(&self, node: usize, round: Round) -> bool {
        self.0.contains(&(node, round))
    }

    /// The rounds in which rows of `node` are not all known.
    pub fn rounds(&self, node: usize) -> impl Iterator<Item = Round> + '_ {
        self.0.iter().filter(move |(at, _)| *at == node).map(|(_, round)| *round)
    }

    /// Whether what `node` reads or draws from in `round` is not all known.
    fn reaches(&self, network: &Network, node: usize, round: Round) -> bool {
        let node = &network.nodes[node];
        let unknown = |maker: usize| {
            let any = node.spans_rounds() && self.rounds(maker).next().is_some();
            any || self.contains(maker, round) || self.contains(maker, 0) && !network.nodes[maker].per_round
        };
        let model = match node.model {
            Some(ModelWire::Slot(slot)) => round > 0 && self.made_before(network, slot, round),
            Some(ModelWire::Node { node: maker, .. }) => unknown(maker),
            None => false,
        };
        model || node.inputs.iter().any(|wire| unknown(wire.node))
    }

    /// Whether the model that the round before made for `slot` is not known.
    fn made_before(&self, network: &Network, slot: usize, round: Round) -> bool {
        network.models[slot].fed_by.is_some_and(|maker| self.contains(maker, round - 1))
    }
}

/// Stands for the model that `maker` has not trained yet: no answer is kept under it.
pub(crate) fn unknown_model(maker: usize, round: Round) -> Id {
    Id::of("unknown model", [&(maker as u64).to_le_bytes()[..], &round.to_le_bytes()])
}
