//! From a network to a timely dataflow: a straight walk over its nodes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use differential_dataflow::input::InputSession;
use differential_dataflow::{AsCollection, Hashable, VecCollection};
use flow_data::{Heap, Id, Item, Round, Row};
use timely::ExchangeData;
use timely::dataflow::Scope;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Map;

use crate::carry::{Team, carry};
use crate::counts::{Counts, StageCounts};
use crate::engine::Client;
use crate::moves::Moves;
use crate::out::Settled;
use crate::pile::Pile;
use crate::split::split;
use crate::{
    Body, EffectOp, Emission, InputId, ModelWire, Network, Node, Out, Port, RowOp, Stage, Wire, effect, keyed,
};

/// Logical time: one step for each batch of input changes.
pub(crate) type Tick = u64;
/// A collection inside a dataflow.
pub(crate) type Rows<'scope, D = Row> = VecCollection<'scope, Tick, D, isize>;
/// Rows with the digests of their models.
type WithModel<'scope> = Rows<'scope, (Row, Option<Id>)>;
/// The host's end of an input.
pub(crate) type Inputs = BTreeMap<InputId, InputSession<Tick, Row, isize>>;

/// Parts of the key of a cross product with a model, so that it spreads over workers.
const SPREAD: u64 = 64;

/// What all workers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) network: Arc<Network>,
    pub(crate) heap: Arc<Heap>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) captured: Arc<Captured>,
    pub(crate) moves: Arc<Moves>,
    pub(crate) client: Client,
    /// This process among several; `None` where it is alone.
    pub(crate) team: Option<Team>,
}

impl Shared {
    /// What counts the rows that leave a node.
    pub(crate) fn teller(&self, node: usize) -> impl FnMut(Option<Port>, &[(Row, Tick, isize)]) + 'static {
        let (counts, moves) = (self.counts.clone(), self.moves.clone());
        move |port, updates| {
            counts.node(node).add(port, updates.iter().map(|(row, _, diff)| (row, *diff)));
            moves.add(node, port, updates);
        }
    }
}

/// A step and one of its ports; `None` for its rejected rows.
pub(crate) type Outlet = (usize, Option<Port>);

/// Rows with their multiplicities, none of them zero.
pub(crate) type Multiset = BTreeMap<Row, isize>;

/// Rows of the ports that the host looks at.
pub(crate) struct Captured(Mutex<BTreeMap<Outlet, Pile<Row>>>);

impl Captured {
    pub(crate) fn new(ports: impl IntoIterator<Item = Outlet>) -> Self {
        Self(Mutex::new(ports.into_iter().map(|port| (port, Pile::default())).collect()))
    }

    pub(crate) fn rows(&self, port: Outlet) -> Multiset {
        let mut captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        captured.get_mut(&port).map(|pile| pile.tidy().iter().copied().collect()).unwrap_or_default()
    }

    fn watches(&self, port: Outlet) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&port)
    }

    fn add(&self, port: Outlet, updates: &[(Row, Tick, isize)]) {
        let mut captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pile = captured.entry(port).or_default();
        updates.iter().for_each(|(row, _, diff)| pile.add(*row, *diff));
        if pile.is_due() {
            pile.tidy();
        }
    }
}

/// Where in the network a stage is, with what every stage needs.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) heap: Arc<Heap>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) network: Arc<Network>,
    pub(crate) client: Client,
    pub(crate) team: Option<Team>,
    pub(crate) node: usize,
    pub(crate) stage: usize,
    pub(crate) width: usize,
}

impl Place {
    pub(crate) fn name(&self) -> &str {
        &self.network.nodes[self.node].name
    }

    pub(crate) fn stage_counts(&self) -> &StageCounts {
        &self.counts.node(self.node).stages[self.stage]
    }

    pub(crate) fn count_input(&self, diff: isize) {
        self.stage_counts().input.fetch_add(diff as i64, Relaxed);
    }

    /// Counts lost rows, and ends the run where the operator said so.
    pub(crate) fn report(&self, settled: &Settled) {
        self.stage_counts().lost.fetch_add(settled.lost as u64, Relaxed);
        if let Some(failure) = &settled.failure {
            self.client.fail(self.node, failure.clone());
        }
    }

    /// The updates of what one row became.
    pub(crate) fn emit(
        &self,
        out: Out<'_>,
        row: Row,
        time: Tick,
        diff: isize,
    ) -> Vec<(Emission, Tick, isize)> {
        let settled = out.settle(&[(row, 1)]);
        self.report(&settled);
        self.stage_counts().taken.fetch_add(i64::from(settled.taken) * diff as i64, Relaxed);
        let rows = settled.rows.into_iter().map(|(port, row)| Emission::Row(port, row));
        let rejected = settled.rejected.into_iter().map(Emission::Rejected);
        rows.chain(rejected).map(|emission| (emission, time, diff)).collect()
    }
}

/// The collections of one node.
struct Built<'scope> {
    ports: Vec<Rows<'scope>>,
    rejected: Rows<'scope>,
    /// Whether the rows were counted as they came or left, and no operator is behind what rejects.
    counted: bool,
}

/// Builds the dataflow; the host feeds `Inputs` and waits on the probe.
pub(crate) fn render<'scope>(scope: Scope<'scope, Tick>, shared: &Shared) -> (Inputs, Handle<Tick>) {
    let mut builder = Builder { scope, shared, inputs: Inputs::new(), models: Vec::new(), built: Vec::new() };
    for slot in 0..shared.network.models.len() {
        let rows = builder.input(InputId::Model(slot));
        builder.models.push(rows);
    }
    for node in 0..shared.network.nodes.len() {
        let built = builder.node(node);
        builder.built.push(built);
    }
    let probe = Handle::new();
    let Builder { built, inputs, .. } = builder;
    for (node, built) in built.into_iter().enumerate() {
        observe(shared, node, built, &probe);
    }
    (inputs, probe)
}

/// Counts, captures and probes what leaves a node. Rows that were counted as they left need one probe: all ports of a stage are as far as
/// what it rejects.
fn observe(shared: &Shared, node: usize, built: Built<'_>, probe: &Handle<Tick>) {
    let ports = built.ports.into_iter().enumerate().map(|(port, rows)| (Some(port as Port), rows));
    for (port, mut rows) in ports.chain([(None, built.rejected)]) {
        if !built.counted {
            let mut tell = shared.teller(node);
            rows = rows.inspect_batch(move |_, updates| tell(port, updates));
        }
        if shared.captured.watches((node, port)) {
            let captured = shared.captured.clone();
            // The host reads them, whose workers are the first.
            carry(shared.team, &shared.heap, rows, |row| *row, |_| 0)
                .inspect_batch(move |_, updates| captured.add((node, port), updates))
                .probe_with(probe);
        } else if !built.counted || port.is_none() {
            rows.probe_with(probe);
        }
    }
}

struct Builder<'scope, 'a> {
    scope: Scope<'scope, Tick>,
    shared: &'a Shared,
    inputs: Inputs,
    models: Vec<Rows<'scope>>,
    built: Vec<Built<'scope>>,
}

impl<'scope> Builder<'scope, '_> {
    fn input(&mut self, id: InputId) -> Rows<'scope> {
        let mut session = InputSession::new();
        let rows = session.to_collection(self.scope);
        self.inputs.insert(id, session);
        match id {
            // A model is its digest alone, and goes to everybody.
            InputId::Model(_) => rows,
            _ => self.carried(rows, |row| *row, |row| row.id.leading()),
        }
    }

    /// `rows` on the workers that `route` names, with the records of the `row` in each.
    fn carried<D: ExchangeData + Clone>(
        &self,
        rows: Rows<'scope, D>,
        row: impl Fn(&D) -> Row + 'static,
        route: impl Fn(&D) -> u64 + 'static,
    ) -> Rows<'scope, D> {
        carry(self.shared.team, &self.shared.heap, rows, row, route)
    }

    fn node(&mut self, node: usize) -> Built<'scope> {
        match &self.shared.network.nodes[node].body {
            // Its rows are counted as they are fed.
            Body::Source(_) => Built {
                ports: vec![self.input(InputId::Rows(node))],
                rejected: self.input(InputId::Rejected(node)),
                counted: true,
            },
            Body::Chain(stages) => {
                let built = self.chain(node, stages);
                if self.is_fed(node) { self.with_fed(node, built) } else { built }
            }
        }
    }

    /// Whether the host feeds rows of a step beside those it makes: rounds that are kept, models that a forecast lacks.
    fn is_fed(&self, node: usize) -> bool {
        self.keeps(node) || self.shared.client.only_counts() && self.shared.network.makes_model(node)
    }

    /// Whether the rows that finished rounds made of a step are fed instead of computed.
    fn keeps(&self, node: usize) -> bool {
        let network = &self.shared.network;
        network.rounds.kept > 0 && network.nodes[node].per_round && !network.nodes[node].spans_rounds()
    }

    fn with_fed(&mut self, node: usize, built: Built<'scope>) -> Built<'scope> {
        let fed =
            |(port, rows): (usize, Rows<'scope>)| rows.concat(self.input(InputId::Fed(node, port as Port)));
        Built { ports: built.ports.into_iter().enumerate().map(fed).collect(), ..built }
    }

    fn chain(&mut self, node: usize, stages: &[Stage]) -> Built<'scope> {
        let description = &self.shared.network.nodes[node];
        let mut rows = self.merged(description);
        if self.keeps(node) {
            let kept = self.shared.network.rounds.kept;
            rows = rows.filter(move |row| row.round == 0 || row.round > kept);
        }
        let union = usize::from(description.is_union());
        let last = stages.len() + union - 1;
        // Fed rows come behind, so that they are counted there with the others.
        let counted = !self.is_fed(node);
        let mut rejected = Vec::new();
        for at in 0.. {
            let place = self.place(node, at);
            let mut told = self.shared.teller(node);
            // Rows go from stage to stage by the first port.
            let (ports, leave) = if at == last { (description.ports, true) } else { (1, false) };
            let tell = move |port: Option<Port>, updates: &[_]| {
                if counted && (leave || port.is_none()) {
                    told(port, updates);
                }
            };
            let leaving = match at.checked_sub(union).map(|stage| &stages[stage]) {
                None => split(place.clone(), keyed::union(place, rows), emitted, ports, tell),
                Some(Stage::Row(op)) => {
                    let (at, op) = (place.clone(), op.clone());
                    split(place, rows, move |update| row_stage(&at, &*op, update), ports, tell)
                }
                Some(Stage::Keyed(op)) => {
                    let made = keyed::render(place.clone(), op.clone(), rows);
                    split(place, made, emitted, ports, tell)
                }
                Some(Stage::Effect(op)) => {
                    split(place.clone(), self.effect(place, op, rows), Some, ports, tell)
                }
            };
            rejected.push(leaving.rejected);
            if leave {
                let rejected = concatenated(self.scope, rejected);
                return Built { ports: leaving.ports, rejected, counted };
            }
            rows = leaving.ports.into_iter().next().expect("it has one port");
        }
        unreachable!("a chain has a last stage")
    }

    fn place(&self, node: usize, stage: usize) -> Place {
        Place {
            heap: self.shared.heap.apart().into(),
            counts: self.shared.counts.clone(),
            network: self.shared.network.clone(),
            client: self.shared.client.clone(),
            team: self.shared.team,
            node,
            stage,
            width: self.shared.network.nodes[node].width,
        }
    }

    fn effect(&self, place: Place, op: &Arc<dyn EffectOp>, rows: Rows<'scope>) -> Rows<'scope, Emission> {
        let client = self.shared.client.clone();
        let node = &self.shared.network.nodes[place.node];
        let Some(wire) = node.model else {
            return effect::render(place, op.clone(), client, rows.map(|row| (row, None)));
        };
        let (rows, without) = self.with_model(node, wire, rows);
        let rejected = reject_all(place.clone(), without, "no_model", "there is no model of this round");
        effect::render(place, op.clone(), client, rows).concat(rejected)
    }

    /// The node's input: all its wires, projected to common columns; rows of no round are repeated in every round
    /// where another wire has rounds.
    fn merged(&self, node: &Node) -> Rows<'scope> {
        let any_round = node.inputs.iter().any(|wire| self.shared.network.nodes[wire.node].per_round);
        let wires = node.inputs.iter().map(|wire| {
            let rows = self.wire(wire);
            let repeat = any_round && !self.shared.network.nodes[wire.node].per_round;
            if repeat { self.in_every_round(rows) } else { rows }
        });
        concatenated(self.scope, wires.collect())
    }

    fn wire(&self, wire: &Wire) -> Rows<'scope> {
        let built = &self.built[wire.node];
        let rows = wire.port.map_or(&built.rejected, |port| &built.ports[usize::from(port)]).clone();
        let Some(cells) = wire.project.clone() else { return rows };
        let heap = self.shared.heap.clone();
        rows.map(move |row| {
            let item = Item::load(&heap, row);
            let cells = cells.iter().map(|at| item.get(*at).clone()).collect();
            Item::new(&heap, row.round, row.id, cells).row
        })
    }

    fn in_every_round(&self, rows: Rows<'scope>) -> Rows<'scope> {
        let slot = self.shared.network.models.iter().position(|slot| slot.per_round);
        let slot = slot.expect("rows belong to rounds only where a model does");
        self.cross(rows, self.models[slot].clone(), false).0.map(|(row, _)| row)
    }

    /// The rows with their models, and the rows that have none.
    fn with_model(
        &self,
        node: &Node,
        wire: ModelWire,
        rows: Rows<'scope>,
    ) -> (WithModel<'scope>, Rows<'scope>) {
        let in_rounds = node.inputs.iter().any(|wire| self.shared.network.nodes[wire.node].per_round);
        let (models, per_round) = self.model(wire);
        let kept = self.shared.network.rounds.kept;
        if per_round && kept > 0 {
            // Rows that have a model in no later round than the kept ones have had their turn.
            let later = models.filter(move |model| model.round > kept);
            let (matched, _) = self.cross(rows, later, in_rounds);
            let nothing = matched.clone().filter(|_| false).map(|(row, _)| row);
            return (matched.map(|(row, model)| (row, Some(model))), nothing);
        }
        let (matched, unmatched) = self.cross(rows, models, in_rounds && per_round);
        (matched.map(|(row, model)| (row, Some(model))), unmatched)
    }

    /// The rows of a model (id = digest), and whether it differs by round.
    fn model(&self, wire: ModelWire) -> (Rows<'scope>, bool) {
        match wire {
            ModelWire::Slot(slot) => (self.models[slot].clone(), self.shared.network.models[slot].per_round),
            ModelWire::Node { node, initial } => {
                let trained = self.built[node].ports[0].clone();
                let per_round = self.shared.network.nodes[node].per_round;
                let Some(slot) = initial else { return (trained, per_round) };
                let first = self.models[slot].clone().filter(|model| model.round == 1);
                (first.map(|model| Row { round: 0, ..model }).concat(trained), per_round)
            }
        }
    }

    /// Every row with every model, or with the model of its round, and the rows without any. The row's round becomes the
    /// later of the two.
    fn cross(
        &self,
        rows: Rows<'scope>,
        models: Rows<'scope>,
        by_round: bool,
    ) -> (Rows<'scope, (Row, Id)>, Rows<'scope>) {
        let round = move |row: &Row| -> Round { if by_round { row.round } else { 0 } };
        let keyed = rows.map(move |row| ((round(&row), row.id.leading() % SPREAD), row));
        let keyed = self.carried(keyed, |(_, row)| *row, |(key, _)| key.hashed()).arrange_by_key();
        let models = models.flat_map(move |model| {
            let digest = (model.round, model.id);
            (0..SPREAD).map(move |part| ((round(&model), part), digest))
        });
        let known = models.clone().map(|(key, _)| key).distinct().arrange_by_self();
        let matched = keyed.clone().join_core(models.arrange_by_key(), |_, row, (round, model)| {
            Some((Row { round: row.round.max(*round), ..*row }, *model))
        });
        let present = keyed.clone().join_core(known, |_, row, ()| Some(*row));
        let unmatched = keyed.as_collection(|_, row| *row).concat(present.negate());
        // Consolidated, so that a row whose model comes later in the same tick is never seen without.
        let unmatched = self.carried(unmatched, |row| *row, Hashable::hashed).consolidate();
        (matched, unmatched)
    }
}

/// All rows of several collections.
fn concatenated<'scope>(scope: Scope<'scope, Tick>, mut rows: Vec<Rows<'scope>>) -> Rows<'scope> {
    match rows.pop() {
        Some(only) if rows.is_empty() => only,
        last => differential_dataflow::collection::concatenate(scope, rows.into_iter().chain(last)),
    }
}

/// The emission of a group.
fn emitted<K>(((_, emission), time, diff): ((K, Emission), Tick, isize)) -> Option<(Emission, Tick, isize)> {
    Some((emission, time, diff))
}

/// Rejects every row, counting it as input of the stage.
fn reject_all<'scope>(
    place: Place,
    rows: Rows<'scope>,
    reason: &'static str,
    detail: &'static str,
) -> Rows<'scope, Emission> {
    rows.inner
        .flat_map(move |(row, time, diff)| {
            place.count_input(diff);
            let mut out = Out::new(&place.heap, place.width);
            out.reject(&Item::load(&place.heap, row), reason, detail);
            place.emit(out, row, time, diff)
        })
        .as_collection()
}

/// What an operator makes of one row, counting it as input of the stage.
fn row_stage(
    place: &Place,
    op: &dyn RowOp,
    (row, time, diff): (Row, Tick, isize),
) -> Vec<(Emission, Tick, isize)> {
    place.count_input(diff);
    let mut out = Out::new(&place.heap, place.width);
    op.row(&Item::load(&place.heap, row), &mut out);
    place.emit(out, row, time, diff)
}
