//! The same network by plain loops over plain maps: no timely, no differential, no memo, no threads.

use std::collections::BTreeMap;

use flow_data::{Heap, Id, Item, Round, Row, Value};
use flow_dataflow::{Body, EffectOp, Emission, ModelWire, Network, Node, Out, Port, Stage};

use crate::ops;

type Multiset<D> = BTreeMap<D, isize>;

/// Rows of every port of every step; `None` is the rejected port.
pub(crate) type Everything = BTreeMap<(usize, Option<Port>), Multiset<Row>>;

/// All ports once every round that can run has run.
pub(crate) fn everything(
    network: &Network,
    heap: &Heap,
    source: &Multiset<Row>,
    initial: &[Id],
) -> Everything {
    let mut models: Vec<BTreeMap<Round, Id>> = network
        .models
        .iter()
        .zip(initial)
        .map(|(slot, digest)| BTreeMap::from([(u32::from(slot.fed_by.is_some()), *digest)]))
        .collect();
    loop {
        let ports = pass(network, heap, source, &models);
        let mut grown = false;
        for (slot, description) in network.models.iter().enumerate() {
            let Some(trainer) = description.fed_by else { continue };
            let last = *models[slot].keys().last().unwrap();
            let made = ports[&(trainer, Some(0))].keys().find(|row| row.round == last);
            if let Some(row) = made.filter(|_| last < network.rounds.count) {
                models[slot].insert(last + 1, row.id);
                grown = true;
            }
        }
        if !grown {
            return ports;
        }
    }
}

fn pass(
    network: &Network,
    heap: &Heap,
    source: &Multiset<Row>,
    models: &[BTreeMap<Round, Id>],
) -> Everything {
    let mut ports = Everything::new();
    for (at, node) in network.nodes.iter().enumerate() {
        let (rows, rejected) = match &node.body {
            Body::Source(_) => (source.iter().map(|(row, n)| ((0, *row), *n)).collect(), Multiset::new()),
            Body::Chain(stages) => chain(network, heap, node, stages, &ports, models),
        };
        for port in 0..node.ports as Port {
            let of_port = rows.iter().filter(|((p, _), _)| *p == port).map(|((_, row), n)| (*row, *n));
            ports.insert((at, Some(port)), of_port.collect());
        }
        ports.insert((at, None), rejected);
    }
    ports
}

fn chain(
    network: &Network,
    heap: &Heap,
    node: &Node,
    stages: &[Stage],
    ports: &Everything,
    models: &[BTreeMap<Round, Id>],
) -> (Multiset<(Port, Row)>, Multiset<Row>) {
    let mut rows = inputs(network, heap, node, ports, models);
    let (mut emitted, mut rejected) = (Multiset::new(), Multiset::new());
    if node.inputs.len() > 1 {
        for (row, count) in rows.iter_mut().filter(|(_, count)| **count > 1) {
            for time in 2..=*count {
                let detail = format!("comes for the {time}. time");
                add(&mut rejected, reject(heap, node, *row, "duplicate", &detail), 1);
            }
            *count = 1;
        }
    }
    for (at, stage) in stages.iter().enumerate() {
        if at > 0 {
            rows =
                emitted.iter().filter(|((port, _), _)| *port == 0).map(|((_, row), n)| (*row, *n)).collect();
        }
        emitted = Multiset::new();
        for (emission, count) in self::stage(network, heap, node, stage, &rows, ports, models) {
            match emission {
                Emission::Row(port, row) => add(&mut emitted, (port, row), count),
                Emission::Rejected(row) => add(&mut rejected, row, count),
                Emission::Taken(..) => {}
            }
        }
    }
    (emitted, rejected)
}

fn inputs(
    network: &Network,
    heap: &Heap,
    node: &Node,
    ports: &Everything,
    models: &[BTreeMap<Round, Id>],
) -> Multiset<Row> {
    let in_rounds = node.inputs.iter().any(|wire| network.nodes[wire.node].per_round);
    let mut rows = Multiset::new();
    for wire in &node.inputs {
        for (row, count) in &ports[&(wire.node, wire.port)] {
            let row = match &wire.project {
                None => *row,
                Some(cells) => {
                    let item = Item::load(heap, *row);
                    let cells = cells.iter().map(|at| item.get(*at).clone()).collect();
                    Item::new(heap, row.round, row.id, cells).row
                }
            };
            if in_rounds && !network.nodes[wire.node].per_round {
                let slot = network.models.iter().position(|slot| slot.fed_by.is_some()).unwrap();
                models[slot].keys().for_each(|round| add(&mut rows, Row { round: *round, ..row }, *count));
            } else {
                add(&mut rows, row, *count);
            }
        }
    }
    rows
}

fn stage(
    network: &Network,
    heap: &Heap,
    node: &Node,
    stage: &Stage,
    rows: &Multiset<Row>,
    ports: &Everything,
    models: &[BTreeMap<Round, Id>],
) -> Vec<(Emission, isize)> {
    let mut emissions = Vec::new();
    match stage {
        Stage::Row(op) => {
            for (row, count) in rows {
                let mut out = Out::new(heap, node.width);
                op.row(&Item::load(heap, *row), &mut out);
                emissions.extend(emissions_of(&out, *count));
            }
        }
        Stage::Keyed(op) => {
            let mut groups: BTreeMap<(Round, Id), Vec<Item>> = BTreeMap::new();
            for row in rows.keys() {
                let item = Item::load(heap, *row);
                let round = if op.across_rounds() { 0 } else { row.round };
                groups.entry((round, op.key(&item))).or_default().push(item);
            }
            for items in groups.values() {
                let mut out = Out::new(heap, node.width);
                op.group(items, &mut out);
                emissions.extend(emissions_of(&out, 1));
            }
        }
        Stage::Effect(op) => {
            for (row, model, count) in with_models(network, node, rows, ports, models) {
                let Some(model) = model else {
                    let rejected = reject(heap, node, row, "no_model", "there is no model of this round");
                    emissions.push((Emission::Rejected(rejected), count));
                    continue;
                };
                let item = Item::load(heap, row);
                let mut out = Out::new(heap, node.width);
                match answers(&**op, &item, model) {
                    Err((reason, detail)) => out.reject(&item, reason, detail),
                    Ok(answers) => {
                        let answers: Vec<&[Value]> = answers.iter().map(Vec::as_slice).collect();
                        op.rows(&item, model, &answers, &mut out);
                    }
                }
                emissions.extend(emissions_of(&out, count));
            }
        }
    }
    emissions
}

/// The answers to all that an effect asks for an item, or why it is rejected.
fn answers(
    op: &dyn EffectOp,
    item: &Item,
    model: Option<Id>,
) -> Result<Vec<Vec<Value>>, (&'static str, String)> {
    let mut requests = op.requests(item, model)?;
    let mut answers: Vec<Vec<Value>> = Vec::new();
    while !requests.is_empty() {
        for request in requests {
            answers.push(ops::answer(&request.key).map_err(|failure| (failure.reason, failure.detail))?);
        }
        requests = op.further(item, model, &answers.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    Ok(answers)
}

fn emissions_of(out: &Out<'_>, count: isize) -> Vec<(Emission, isize)> {
    let rows = out.rows().iter().map(|(port, row)| (Emission::Row(*port, *row), count));
    rows.chain(out.rejected().map(|row| (Emission::Rejected(row), count))).collect()
}

fn reject(heap: &Heap, node: &Node, row: Row, reason: &str, detail: &str) -> Row {
    let mut out = Out::new(heap, node.width);
    out.reject(&Item::load(heap, row), reason, detail);
    out.rejected().next().unwrap()
}

/// Every row with its models: `Some(None)` where the step needs none, `None` where there is none of its round.
fn with_models(
    network: &Network,
    node: &Node,
    rows: &Multiset<Row>,
    ports: &Everything,
    models: &[BTreeMap<Round, Id>],
) -> Vec<(Row, Option<Option<Id>>, isize)> {
    let Some(wire) = node.model else {
        return rows.iter().map(|(row, count)| (*row, Some(None), *count)).collect();
    };
    let (available, per_round): (Vec<(Round, Id)>, bool) = match wire {
        ModelWire::Slot(slot) => {
            (models[slot].iter().map(|(r, d)| (*r, *d)).collect(), network.models[slot].fed_by.is_some())
        }
        ModelWire::Node { node, initial } => {
            let trained = ports[&(node, Some(0))].keys().map(|row| (row.round, row.id));
            let first = initial.and_then(|slot| models[slot].get(&1)).map(|digest| (0, *digest));
            (trained.chain(first).collect(), network.nodes[node].per_round)
        }
    };
    let by_round = per_round && node.inputs.iter().any(|wire| network.nodes[wire.node].per_round);
    let mut joined = Vec::new();
    for (row, count) in rows {
        let mut fitting = available.iter().filter(|(round, _)| !by_round || *round == row.round).peekable();
        if fitting.peek().is_none() {
            joined.push((*row, None, *count));
        }
        joined.extend(fitting.map(|(round, digest)| {
            (Row { round: row.round.max(*round), ..*row }, Some(Some(*digest)), *count)
        }));
    }
    joined
}

fn add<D: Ord>(rows: &mut Multiset<D>, row: D, count: isize) {
    let total = rows.entry(row).or_default();
    *total += count;
}
