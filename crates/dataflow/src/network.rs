//! What is wired to what: the form of a pipeline that can be run.

use std::sync::Arc;

use flow_data::{Id, Round};

use crate::{Port, Source, Stage};

/// Steps in dependency order, the models they use, and how rounds close the loop.
#[derive(Clone, Default)]
pub struct Network {
    /// Steps; a step's inputs and model come before it.
    pub nodes: Vec<Node>,
    /// Declared models.
    pub models: Vec<ModelSlot>,
    /// The rounds.
    pub rounds: Rounds,
}

impl Network {
    /// What of this machine its answers depend on, in the order of the steps: see [`crate::EffectOp::machine`].
    pub fn machine(&self) -> impl Iterator<Item = Id> {
        let stages = self.nodes.iter().flat_map(|node| match &node.body {
            Body::Source(_) => &[],
            Body::Chain(stages) => &stages[..],
        });
        stages.filter_map(|stage| match stage {
            Stage::Effect(op) => op.machine(),
            _ => None,
        })
    }

    /// Whether the rows of `node` are models that others use.
    pub(crate) fn makes_model(&self, node: usize) -> bool {
        let used =
            |other: &Node| matches!(other.model, Some(ModelWire::Node { node: maker, .. }) if maker == node);
        self.models.iter().any(|slot| slot.fed_by == Some(node)) || self.nodes.iter().any(used)
    }

    /// Whether a model of a later round, or whether there is a later round, rests on rows of `node`.
    pub(crate) fn feeds_back(&self, node: usize) -> bool {
        let mut rests = vec![false; self.nodes.len()];
        rests[node] = true;
        for (at, description) in self.nodes.iter().enumerate() {
            let maker = match description.model {
                Some(ModelWire::Node { node, .. }) => Some(node),
                _ => None,
            };
            let on = |node: usize| rests[node];
            rests[at] |= description.inputs.iter().any(|wire| on(wire.node)) || maker.is_some_and(on);
        }
        let gate = self.rounds.gate.map(|(gate, _)| gate);
        self.models.iter().filter_map(|slot| slot.fed_by).chain(gate).any(|closes| rests[closes])
    }
}

/// One step.
#[derive(Clone)]
pub struct Node {
    /// Its name in the pipeline, also its name in the dataflow.
    pub name: String,
    /// What it reads; several wires are merged.
    pub inputs: Vec<Wire>,
    /// What it does.
    pub body: Body,
    /// Number of output ports, `rejected` not counted.
    pub ports: usize,
    /// The model its effects use.
    pub model: Option<ModelWire>,
    /// Number of its input columns, which rejected rows keep.
    pub width: usize,
    /// Whether its rows belong to rounds.
    pub per_round: bool,
}

impl Node {
    /// Whether its input is a union, made by a stage of its own before the others.
    pub(crate) fn is_union(&self) -> bool {
        self.inputs.len() > 1
    }

    /// Whether one of its groups spans rounds.
    pub fn spans_rounds(&self) -> bool {
        match &self.body {
            Body::Source(_) => false,
            Body::Chain(stages) => {
                stages.iter().any(|stage| matches!(stage, Stage::Keyed(op) if op.across_rounds()))
            }
        }
    }

    /// Whether some of what it asks depends on answers to what it asked before.
    pub fn asks_in_turns(&self) -> bool {
        let Body::Chain(stages) = &self.body else { return false };
        let effects =
            || stages.iter().filter_map(|stage| if let Stage::Effect(op) = stage { Some(op) } else { None });
        effects().count() > 1 || effects().any(|op| op.asks_further())
    }

    /// Whether rows are put into groups on the way, so that one row may change what others become.
    pub fn has_groups(&self) -> bool {
        match &self.body {
            Body::Source(_) => false,
            Body::Chain(stages) => stages.iter().any(|stage| matches!(stage, Stage::Keyed(_))),
        }
    }

    /// Number of its stages.
    pub(crate) fn stages(&self) -> usize {
        match &self.body {
            Body::Source(_) => 0,
            Body::Chain(stages) => stages.len() + usize::from(self.is_union()),
        }
    }
}

/// What a step does.
#[derive(Clone)]
pub enum Body {
    /// Rows from outside; the host feeds them.
    Source(Arc<dyn Source>),
    /// Stages, one after the other.
    Chain(Vec<Stage>),
}

/// One input of a step.
#[derive(Clone, Debug)]
pub struct Wire {
    /// The producer, an index into [`Network::nodes`].
    pub node: usize,
    /// Its port; `None` for its rejected rows.
    pub port: Option<Port>,
    /// The producer's cells to keep, in order; `None` for all as they are.
    pub project: Option<Vec<usize>>,
}

/// Where a step's model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelWire {
    /// A declared model, an index into [`Network::models`].
    Slot(usize),
    /// The step that trains it; before its first round it is what `initial` holds in round 1.
    Node {
        /// The training step: the ids of its main port's rows are model digests.
        node: usize,
        /// The slot it feeds.
        initial: Option<usize>,
    },
}

/// A declared model.
#[derive(Clone, Debug)]
pub struct ModelSlot {
    /// Its name in the pipeline.
    pub name: String,
    /// Whether it differs from round to round, so that rows drawn from it belong to rounds.
    pub per_round: bool,
    /// The step that makes the next round's model; `None` for a model that stays, or where that step is left out.
    pub fed_by: Option<usize>,
}

/// How rounds close the loop.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// Number of rounds; at least 1 where a model is fed.
    pub count: Round,
    /// Number of first rounds that are not computed: their rows are fed as [`InputId::Fed`].
    pub kept: Round,
    /// The step and its port whose rows name rounds after which none may follow.
    pub gate: Option<(usize, Port)>,
}

/// An input the host feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputId {
    /// The rows of a source.
    Rows(usize),
    /// The rejected rows of a source.
    Rejected(usize),
    /// The digests of a declared model by round.
    Model(usize),
    /// Rows of a step's port beside those it makes: what finished rounds made, where [`Rounds::kept`] rounds stay as they
    /// were, and what stands for models that a forecast cannot know.
    Fed(usize, Port),
}
