//! Random networks over the operators of `ops`.

use std::sync::Arc;

use flow_dataflow::{Body, ModelSlot, ModelWire, Network, Node, Rounds, Stage, Wire};
use proptest::prelude::*;

use crate::ops::{Asked, Cap, Close, Draw, Fed, Gather, Route, Train};

/// (kind of operator, which earlier step it reads) for every step after the source; 8 is a gate, and is none of the random ones.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) steps: Vec<(u8, u8)>,
    pub(crate) rounds: u32,
}

pub(crate) fn recipe() -> impl Strategy<Value = Recipe> {
    let kind = prop_oneof![8 => 0u8..8, 1 => Just(9)];
    let steps = proptest::collection::vec((kind, any::<u8>()), 1..7);
    (steps, 1u32..4).prop_map(|(steps, rounds)| Recipe { steps, rounds })
}

/// A network with a source of two columns, the recipe's steps, and, where step kind 5 occurs, a loop through the
/// first such step.
pub(crate) fn network(recipe: &Recipe, asked: &Asked) -> Network {
    let trainer = recipe.steps.iter().position(|(kind, _)| *kind == 5).map(|at| at + 1);
    let mut nodes = vec![node("source", vec![], Body::Source(Arc::new(Fed)), 1, None, false)];
    for (at, (kind, from)) in recipe.steps.iter().enumerate() {
        let producer = usize::from(*from) % (at + 1);
        let mut inputs = vec![wire(&nodes, producer, *from)];
        if *kind == 6 {
            inputs.push(wire(&nodes, usize::from(from / 16) % (at + 1), from / 2));
            inputs.iter_mut().for_each(|wire| wire.project = Some(vec![0, 1]));
        }
        let learned = trainer.filter(|trainer| *trainer <= at);
        let model = match kind {
            4 | 5 | 9 => Some(ModelWire::Slot(0)),
            7 => Some(learned.map_or(ModelWire::Slot(1), |node| ModelWire::Node { node, initial: Some(0) })),
            _ => None,
        };
        let fed = trainer.is_some() && matches!(model, Some(ModelWire::Slot(0) | ModelWire::Node { .. }));
        let per_round = fed || inputs.iter().any(|wire| nodes[wire.node].per_round);
        // What is learned from must not span rounds.
        let may_span = trainer.is_none_or(|trainer| trainer <= at);
        let (body, ports) = body(*kind, may_span, asked);
        nodes.push(node(&format!("step{at}"), inputs, body, ports, model, per_round));
    }
    let models = vec![
        ModelSlot { name: "policy".into(), per_round: trainer.is_some(), fed_by: trainer },
        ModelSlot { name: "critic".into(), per_round: false, fed_by: None },
    ];
    Network { nodes, models, rounds: Rounds { count: recipe.rounds, kept: 0, gate: None } }
}

fn body(kind: u8, may_span: bool, asked: &Asked) -> (Body, usize) {
    let asked = asked.clone();
    let draw = |n, most| Stage::Effect(Arc::new(Draw { n, most, asked: asked.clone() }));
    match kind {
        0 | 6 => (Body::Chain(vec![Stage::Row(Arc::new(Route))]), 2),
        1 => (Body::Chain(vec![Stage::Keyed(Arc::new(Cap))]), 1),
        2 => (Body::Chain(vec![Stage::Keyed(Arc::new(Gather { across: may_span }))]), 1),
        8 => (Body::Chain(vec![Stage::Row(Arc::new(Close))]), 2),
        3 => (Body::Chain(vec![Stage::Row(Arc::new(Route)), Stage::Keyed(Arc::new(Cap))]), 1),
        5 => {
            let gather = Stage::Keyed(Arc::new(Gather { across: false }));
            (Body::Chain(vec![gather, Stage::Effect(Arc::new(Train { asked: asked.clone() }))]), 1)
        }
        7 => (Body::Chain(vec![draw(2, 2), Stage::Keyed(Arc::new(Cap))]), 1),
        9 => (Body::Chain(vec![draw(2, 5)]), 1),
        _ => (Body::Chain(vec![draw(3, 3)]), 1),
    }
}

fn wire(nodes: &[Node], node: usize, choice: u8) -> Wire {
    let ports = nodes[node].ports as u8;
    let port = Some(choice / 3 % (ports + 1)).filter(|port| *port < ports);
    Wire { node, port, project: None }
}

fn node(
    name: &str,
    inputs: Vec<Wire>,
    body: Body,
    ports: usize,
    model: Option<ModelWire>,
    per_round: bool,
) -> Node {
    Node { name: name.into(), inputs, body, ports, model, width: 2, per_round }
}
