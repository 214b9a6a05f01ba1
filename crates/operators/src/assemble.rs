//! From a plan to a network that can be run.

use std::collections::BTreeMap;

use flow_dataflow::{ModelSlot, ModelWire, Network, Node, Port, Rounds, Wire};
use flow_plan::{Edge, Inlet, ModelRef, Outlet, Plan, Step};

use crate::{BuildError, Env, Operator, StepContext};

/// The network of `plan`, which was made with the signatures of `catalog`. Reads nothing yet: sources are read when
/// the host loads them.
pub fn assemble(plan: &Plan, catalog: &[&dyn Operator], env: &Env) -> Result<Network, BuildError> {
    let slots: BTreeMap<&str, usize> =
        plan.models.keys().zip(0..).map(|(name, slot)| (name.as_str(), slot)).collect();
    let nodes =
        plan.steps.iter().map(|step| node(plan, step, &slots, catalog, env)).collect::<Result<_, _>>()?;
    let models = slots.keys().map(|name| slot(plan, name)).collect();
    let rounds = plan.rounds.as_ref();
    let gate = rounds.and_then(|rounds| rounds.gate).map(|gate| (gate.step, port(gate.port)));
    let rounds = Rounds { count: rounds.map_or(1, |rounds| rounds.count), kept: 0, gate };
    Ok(Network { nodes, models, rounds })
}

fn slot(plan: &Plan, name: &str) -> ModelSlot {
    let in_rounds = |rounds: &flow_plan::Rounds| rounds.models.iter().any(|model| model == name);
    let per_round = plan.rounds.as_ref().is_some_and(in_rounds);
    ModelSlot { name: name.to_owned(), per_round, fed_by: feeds(plan, name) }
}

/// The step whose result the declared model `name` becomes in the next round.
pub fn feeds(plan: &Plan, name: &str) -> Option<usize> {
    plan.rounds.as_ref()?.feed.iter().find(|feed| feed.model == name).map(|feed| feed.step)
}

fn node(
    plan: &Plan,
    step: &Step,
    slots: &BTreeMap<&str, usize>,
    catalog: &[&dyn Operator],
    env: &Env,
) -> Result<Node, BuildError> {
    let operator = catalog.iter().find(|operator| operator.name() == step.op);
    let operator =
        operator.ok_or_else(|| BuildError::step(&step.name, format!("no operator `{}`", step.op)))?;
    let inlet = step.inputs.first();
    Ok(Node {
        name: step.name.clone(),
        inputs: inlet.map(|inlet| wires(plan, inlet)).unwrap_or_default(),
        body: operator.body(&StepContext { plan, step }, env)?,
        ports: step.ports.len(),
        model: step.models.first().map(|used| wire_of_model(plan, &used.model, slots)),
        width: inlet.map_or(0, |inlet| inlet.columns.len()),
        per_round: step.per_round,
    })
}

fn wires(plan: &Plan, inlet: &Inlet) -> Vec<Wire> {
    inlet.edges.iter().map(|edge| wire(plan, *edge, inlet)).collect()
}

fn wire(plan: &Plan, edge: Edge, inlet: &Inlet) -> Wire {
    let columns = plan.columns(edge);
    let cell = |name: &str| columns.index(name).expect("a union has columns that all producers have");
    let project = (*columns != inlet.columns).then(|| inlet.columns.names().map(cell).collect());
    let port = match edge.outlet {
        Outlet::Port(at) => Some(port(at)),
        Outlet::Rejected => None,
    };
    Wire { node: edge.step, port, project }
}

fn port(at: usize) -> Port {
    Port::try_from(at).expect("operators have a handful of ports")
}

fn wire_of_model(plan: &Plan, model: &ModelRef, slots: &BTreeMap<&str, usize>) -> ModelWire {
    match model {
        ModelRef::Declared(name) => ModelWire::Slot(slots[name.as_str()]),
        ModelRef::Step(node) => {
            let feeds = |name: &&&str| feeds(plan, name) == Some(*node);
            ModelWire::Node { node: *node, initial: slots.keys().find(feeds).map(|name| slots[*name]) }
        }
    }
}
