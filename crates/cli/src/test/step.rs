//! One step alone: a source of the given rows, the step, and what leaves it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use flow_data::{Heap, Id, Item, Value, kind};
use flow_dataflow::{
    Body, Driver, EffectProgress, MemoryMemo, Network, Node, Out, Port, Session, SessionOptions, Source,
    SourceError, Wire,
};
use flow_operators::{Env, Models, Remarks, StepContext};
use flow_plan::{Outlet, Plan, Step};

use crate::{Catalog, panic};

/// The rows that left the step, by outlet.
pub(super) struct Leaving(Vec<(Outlet, Vec<Item>)>);

impl Leaving {
    /// The rows of `outlet`.
    pub(super) fn rows(&self, outlet: Outlet) -> &[Item] {
        self.0.iter().find(|(at, _)| *at == outlet).map_or(&[], |(_, rows)| rows)
    }
}

/// Why a step cannot be tested by itself; nothing if it can.
pub(super) fn refusal(step: &Step) -> Option<String> {
    let because =
        |why: &str| Some(format!("step `{}` (operator `{}`) cannot be tested: {why}", step.name, step.op));
    if step.inputs.is_empty() {
        return because("no rows arrive at it");
    }
    if !step.models.is_empty() || step.makes_model {
        return because("it needs a model");
    }
    if step.ports[0].columns == *kind("part").columns() {
        return because("it writes files");
    }
    None
}

/// Sends the given rows through `step`, which [`refusal`] has let pass; errs when it cannot be set up or fails.
pub(super) fn run(
    catalog: Catalog<'_>,
    plan: &Plan,
    step: &Step,
    given: Vec<Vec<Value>>,
) -> Result<Leaving, String> {
    let network = network(catalog, plan, step, given)?;
    let outlets: Vec<Outlet> = (0..step.ports.len()).map(Outlet::Port).chain([Outlet::Rejected]).collect();
    let capture = outlets.iter().map(|outlet| (1, port(*outlet))).collect();
    let options = SessionOptions { capture, ..SessionOptions::default() };
    let memo = Arc::new(MemoryMemo::default());
    let session = Session::start(Arc::new(network), Arc::default(), memo, options);
    let mut driver = Driver::new(session.map_err(|error| error.to_string())?, Vec::new());
    driver.load().map_err(|(_, error)| error.to_string())?;
    let mut watch = |_: &[EffectProgress]| match panic::happened() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let settled = driver.settle(&mut watch, &mut |_, _| {});
    settled.map_err(|error| format!("step `{}` failed: {error}", step.name))?;
    let session = driver.session();
    match session.counts()[1].unaccounted {
        0 => Ok(Leaving(outlets.into_iter().map(|outlet| (outlet, items(session, outlet))).collect())),
        n => Err(format!("step `{}` left {n} rows unaccounted for", step.name)),
    }
}

fn network(
    catalog: Catalog<'_>,
    plan: &Plan,
    step: &Step,
    given: Vec<Vec<Value>>,
) -> Result<Network, String> {
    let env = Env {
        threads: 1,
        models: Arc::new(Models::new(Path::new(""))),
        dry: false,
        remarks: Remarks::default(),
    };
    let operator = catalog.iter().find(|operator| operator.name() == step.op);
    let operator = operator.expect("the plan was made with this catalog");
    let body = operator.body(&StepContext { plan, step }, &env).map_err(|error| error.to_string())?;
    let width = step.inputs[0].columns.len();
    let given = Node {
        name: "given".to_owned(),
        inputs: Vec::new(),
        body: Body::Source(Arc::new(Given(given))),
        ports: 1,
        model: None,
        width,
        per_round: false,
    };
    let tested = Node {
        name: step.name.clone(),
        inputs: vec![Wire { node: 0, port: Some(0), project: None }],
        body,
        ports: step.ports.len(),
        ..given.clone()
    };
    Ok(Network { nodes: vec![given, tested], ..Network::default() })
}

/// The given rows; each is a row of its own, even where two say the same.
struct Given(Vec<Vec<Value>>);

impl Source for Given {
    fn load(&self, _: &Heap, out: &mut Out<'_>) -> Result<(), SourceError> {
        for (at, cells) in self.0.iter().enumerate() {
            out.create(0, 0, Id::of("given", [at.to_le_bytes().as_slice()]), cells.clone());
        }
        Ok(())
    }
}

fn port(outlet: Outlet) -> Option<Port> {
    match outlet {
        Outlet::Port(port) => Some(Port::try_from(port).expect("operators have a handful of ports")),
        Outlet::Rejected => None,
    }
}

fn items(session: &Session, outlet: Outlet) -> Vec<Item> {
    let rows = session.rows(1, port(outlet)).into_iter();
    let times = |count: isize| usize::try_from(count).unwrap_or_default();
    rows.flat_map(|(row, count)| std::iter::repeat_n(Item::load(session.heap(), row), times(count))).collect()
}
