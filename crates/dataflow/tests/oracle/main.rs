//! Is the incremental result the result? Random networks under random edits on 1, 2 and 4 workers, against a naive
//! interpreter that recomputes everything with plain loops, and against a dataflow started from scratch; in one process
//! and in several, each with a heap of its own.
//!
//! `FLOW_ORACLE_CASES` sets the number of cases.

mod cluster;
mod naive;
mod networks;
mod ops;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use flow_data::{Heap, Id, Item, Row};
use flow_dataflow::{
    Body, Driver, InputId, MemoryMemo, ModelWire, Network, Node, Port, Session, SessionOptions, Stage,
};
use proptest::prelude::*;

use cluster::Members;
use naive::Everything;
use networks::{Recipe, network, recipe};

/// One change of the sources: toggle the presence of a prompt with this number and text.
type Edit = (u8, u8);

fn prompt(heap: &Heap, (number, text): Edit) -> Row {
    let id = Id::of("prompt", [[number].as_slice()]);
    Item::new(heap, 0, id, vec![i64::from(number % 5).into(), format!("text {text}").into()]).row
}

fn initial(slots: usize) -> Vec<Id> {
    (0..slots).map(|slot| Id::of("base", [[slot as u8].as_slice()])).collect()
}

/// Every port of every step.
fn all_ports(network: &Network) -> Vec<(usize, Option<Port>)> {
    let ports = |(node, description): (usize, &Node)| {
        (0..description.ports as Port)
            .map(Some)
            .chain([None])
            .map(move |port| (node, port))
            .collect::<Vec<_>>()
    };
    network.nodes.iter().enumerate().flat_map(ports).collect()
}

fn start(
    network: &Arc<Network>,
    heap: &Arc<Heap>,
    memo: &Arc<MemoryMemo>,
    options: SessionOptions,
) -> Driver {
    let options = SessionOptions { capture: all_ports(network), ..options };
    let session = Session::start(network.clone(), heap.clone(), memo.clone(), options).unwrap();
    Driver::new(session, initial(network.models.len()))
}

fn alone(workers: usize) -> SessionOptions {
    SessionOptions { workers, ..SessionOptions::default() }
}

fn settle(driver: &mut Driver) -> Everything {
    driver.settle(&mut |_| ControlFlow::Continue(()), &mut |_, _| {}).unwrap();
    let session = driver.session();
    assert!(
        session.counts().iter().all(|step| step.unaccounted == 0),
        "rows were lost: {:?}",
        session.counts()
    );
    let mut everything = Everything::new();
    for (node, description) in session.network().nodes.iter().enumerate() {
        for port in (0..description.ports as Port).map(Some).chain([None]) {
            everything.insert((node, port), session.rows(node, port));
        }
    }
    everything
}

/// Whether an effect rests on a step that spans rounds.
fn asks_behind_rounds(network: &Network) -> bool {
    let mut behind = vec![false; network.nodes.len()];
    for (at, node) in network.nodes.iter().enumerate() {
        let maker = match node.model {
            Some(ModelWire::Node { node, .. }) => Some(node),
            _ => None,
        };
        let mut before = node.inputs.iter().map(|wire| wire.node).chain(maker);
        behind[at] = node.spans_rounds() || before.any(|before| behind[before]);
    }
    let asks = |node: &Node| matches!(&node.body, Body::Chain(stages) if stages.iter().any(|stage| matches!(stage, Stage::Effect(_))));
    network.nodes.iter().zip(behind).any(|(node, behind)| behind && asks(node))
}

/// Applies edits tick by tick, comparing with the oracle after each and with a fresh dataflow at the end.
fn check(recipe: &Recipe, ticks: &[Vec<Edit>], workers: usize, processes: usize) {
    let asked = ops::Asked::default();
    let network = Arc::new(network(recipe, &asked));
    let (heap, memo) = (Arc::new(Heap::new()), Arc::new(MemoryMemo::default()));
    let mut members = Members::start(&network, &memo, workers, processes);
    let mut driver = start(&network, &heap, &memo, members.host(workers));
    let mut present: BTreeSet<Edit> = BTreeSet::new();
    for edits in ticks {
        let mut changes: BTreeMap<Row, isize> = BTreeMap::new();
        for edit in edits {
            let diff = if present.remove(edit) { -1 } else { isize::from(present.insert(*edit)) };
            *changes.entry(prompt(&heap, *edit)).or_default() += diff;
        }
        changes.iter().filter(|(_, diff)| **diff != 0).for_each(|(row, diff)| {
            driver.update(InputId::Rows(0), *row, *diff);
        });
        let sources = present.iter().map(|edit| (prompt(&heap, *edit), 1)).collect();
        let oracle = naive::everything(&network, &heap, &sources, &initial(network.models.len()));
        assert_eq!(settle(&mut driver), oracle, "incremental differs from the oracle");
    }
    assert!(asked.counts().values().all(|times| *times == 1), "a request was performed twice");

    let mut fresh = start(&network, &heap, &memo, alone(1));
    present.iter().for_each(|edit| fresh.update(InputId::Rows(0), prompt(&heap, *edit), 1));
    let before = asked.counts().len();
    assert_eq!(settle(&mut fresh), settle(&mut driver), "incremental differs from scratch");
    // What spans rounds grows with each of them, and on another way to the same end: what rests on it may ask of every state.
    if !asks_behind_rounds(&network) {
        assert_eq!(asked.counts().len(), before, "a rerun over the memo asked the engine");
    }
    drop(driver);
    members.join();
}

fn cases(by_default: u32) -> u32 {
    std::env::var("FLOW_ORACLE_CASES").map_or(by_default, |cases| cases.parse().expect("a number of cases"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(160), ..ProptestConfig::default() })]

    #[test]
    fn incremental_is_the_oracle_is_from_scratch(
        recipe in recipe(),
        ticks in proptest::collection::vec(proptest::collection::vec((0u8..12, 0u8..3), 0..8), 1..5),
        workers in prop_oneof![Just(1usize), Just(2), Just(4)],
    ) {
        check(&recipe, &ticks, workers, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(40), ..ProptestConfig::default() })]

    #[test]
    fn several_processes_are_one(
        recipe in recipe(),
        ticks in proptest::collection::vec(proptest::collection::vec((0u8..12, 0u8..3), 0..8), 1..4),
        workers in 1usize..3,
        processes in 2usize..4,
    ) {
        check(&recipe, &ticks, workers, processes);
    }
}

#[test]
fn a_gate_ends_the_rounds() {
    let asked = ops::Asked::default();
    let recipe = Recipe { steps: vec![(4, 0), (0, 1), (1, 2), (5, 3), (8, 19)], rounds: 3 };
    let mut network = network(&recipe, &asked);
    network.rounds.gate = Some((5, 1));
    let (heap, memo) = (Arc::new(Heap::new()), Arc::new(MemoryMemo::default()));
    let mut driver = start(&Arc::new(network), &heap, &memo, alone(2));
    (0..10).for_each(|number| driver.update(InputId::Rows(0), prompt(&heap, (number, 0)), 1));
    let everything = settle(&mut driver);
    let rounds: Vec<_> = everything[&(4, Some(0))].keys().map(|row| row.round).collect();
    assert_eq!(rounds, [1, 2], "the gate closes after round 2");
}

#[test]
fn rounds_feed_the_next_round() {
    let asked = ops::Asked::default();
    let recipe = Recipe { steps: vec![(4, 0), (0, 1), (1, 2), (5, 3)], rounds: 3 };
    let network = Arc::new(network(&recipe, &asked));
    let (heap, memo) = (Arc::new(Heap::new()), Arc::new(MemoryMemo::default()));
    let mut driver = start(&network, &heap, &memo, alone(2));
    (0..10).for_each(|number| driver.update(InputId::Rows(0), prompt(&heap, (number, 0)), 1));
    let everything = settle(&mut driver);
    let trained: Vec<_> = everything[&(4, Some(0))].keys().collect();
    assert_eq!(trained.iter().map(|row| row.round).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(
        trained.iter().map(|row| row.id).collect::<BTreeSet<_>>().len(),
        3,
        "every round makes its own model"
    );
}
