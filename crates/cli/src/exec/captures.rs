//! The rows that the host reads: every port whose rows are of a kind that tells about the run, and all rejected rows.

use std::collections::BTreeSet;

use flow_data::{Item, kind};
use flow_dataflow::{Network, Port, Session};
use flow_plan::Plan;
use flow_spec::OnChange;

use crate::kept::is_made_in_rounds;

/// The record kinds that are read.
const KINDS: [&str; 10] = [
    "part",
    "checkpoint",
    "expert_load",
    "validation",
    "metric",
    "score",
    "perplexity",
    "likelihood",
    "comparison",
    "gate",
];

/// The ports to read.
pub(crate) struct Captures {
    n_steps: usize,
    ports: Vec<(&'static str, usize, Port)>,
    /// What the driver closes the loop by: the models that are fed back and the gate's verdict.
    loops: Vec<(usize, Port)>,
    /// Where finished rounds are kept: what steps that make no rows of a round by themselves may read of them.
    spanned: Vec<(usize, Port)>,
}

impl Captures {
    /// The ports of `plan`, which runs as `network`, that hold one of the kinds.
    pub(crate) fn of(plan: &Plan, network: &Network) -> Self {
        let mut ports = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            for name in KINDS {
                let described = step.ports.iter().position(|port| port.columns == *kind(name).columns());
                let port = described.and_then(|port| Port::try_from(port).ok());
                ports.extend(port.map(|port| (name, at, port)));
            }
        }
        let rounds = plan.rounds.iter();
        let loops = rounds.flat_map(|rounds| {
            let fed = rounds.feed.iter().map(|feed| (feed.step, 0));
            let gate = rounds.gate.and_then(|gate| Some((gate.step, Port::try_from(gate.port).ok()?)));
            fed.chain(gate)
        });
        Self { n_steps: plan.steps.len(), ports, loops: loops.collect(), spanned: spanned(plan, network) }
    }

    /// The ports, as a session is told of them; `None` for rejected rows.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (usize, Option<Port>)> {
        let ports = self.ports.iter().map(|(_, step, port)| (*step, *port));
        let ports = ports.chain(self.loops.iter().copied()).chain(self.spanned.iter().copied());
        ports.map(|(step, port)| (step, Some(port))).chain((0..self.n_steps).map(|step| (step, None)))
    }

    /// The ports whose rows a later run could keep: those that the host reads or that a step over several rounds reads.
    pub(crate) fn kept(&self, network: &Network) -> BTreeSet<(usize, Port)> {
        let read = self.ports.iter().map(|(_, step, port)| (*step, *port)).chain(self.loops.iter().copied());
        read.chain(self.spanned.iter().copied())
            .filter(|(step, _)| is_made_in_rounds(network, *step))
            .collect()
    }

    /// Whether a port holds rows of the kind `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.ports.iter().any(|(kind, ..)| *kind == name)
    }

    /// All rows of the kind `name`, each with its step, in the order of steps and rounds.
    pub(crate) fn rows(&self, session: &Session, name: &str) -> Vec<(usize, Item)> {
        let ports = self.ports.iter().filter(|(kind, ..)| *kind == name);
        let rows = ports.flat_map(|(_, step, port)| {
            items(session, *step, Some(*port)).into_iter().map(|item| (*step, item))
        });
        rows.collect()
    }

    /// All rejected rows, each with its step.
    pub(crate) fn rejected(&self, session: &Session) -> Vec<(usize, Item)> {
        let steps = 0..self.n_steps;
        steps.flat_map(|step| items(session, step, None).into_iter().map(move |item| (step, item))).collect()
    }
}

/// The rows of one port, sorted by round and identity, as often as they are there.
fn items(session: &Session, step: usize, port: Option<Port>) -> Vec<Item> {
    let rows = session.rows(step, port).into_iter();
    let times = |count: isize| usize::try_from(count).unwrap_or_default();
    rows.flat_map(|(row, count)| std::iter::repeat_n(Item::load(session.heap(), row), times(count))).collect()
}

/// What steps over several rounds read of steps in rounds, where finished rounds may be kept.
fn spanned(plan: &Plan, network: &Network) -> Vec<(usize, Port)> {
    let keeps = plan.rounds.as_ref().is_some_and(|rounds| rounds.on_change == OnChange::Keep);
    let readers = network.nodes.iter().filter(|node| keeps && node.spans_rounds());
    readers.flat_map(|node| &node.inputs).filter_map(|wire| Some((wire.node, wire.port?))).collect()
}
