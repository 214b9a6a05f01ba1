//! What a run would do: the pipeline over the kept answers, every missing one counted instead of asked.

mod folders;
mod memory;
mod text;
mod trainable;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use flow_data::Round;
use flow_dataflow::{Calls, Driver, Network, Node, Pending, Port, Session, SessionOptions, Turnover};
use flow_operators::Env;
use flow_plan::{ModelRef, Plan};
use serde::Serialize;

use crate::changes::changes;
use crate::columns;
use crate::exec::{Captures, Device, session_halt, source_halt};
use crate::halt::Halt;
use crate::record::{ModelRecord, Record};
use crate::setup::Setup;
use crate::turnover::{is_any, turnovers, words};
use crate::{Catalog, kept, panic};
use folders::Folder;
use work::Work;

/// What a run would do, compared with the last one.
#[derive(Debug, Serialize)]
pub(crate) struct Forecast {
    pipeline: String,
    /// Whether this store knows no earlier run: then every row is new and nothing can be estimated.
    first_run: bool,
    /// Rounds that there would be.
    rounds: Round,
    /// Of these, the first ones that stay as they are.
    kept_rounds: Round,
    steps: Vec<StepForecast>,
    /// Sums over the steps.
    total: Work,
    /// Published folders that a run would mend, or take over.
    folders: Vec<Folder>,
    /// Files of other pipelines that publish in the same `out`.
    shares_out_with: Vec<String>,
    /// What drawing from the declared models may take, where it was asked for.
    memory: Vec<memory::Memory>,
    /// What learns where adapters are trained.
    trainable: Vec<trainable::Trainable>,
}

/// What would become of one step.
#[derive(Debug, Serialize)]
struct StepForecast {
    step: String,
    op: &'static str,
    /// Rows that stay as they are, over all ports.
    reused: Option<u64>,
    /// Rows that were not there before, changed ones included.
    new: Option<u64>,
    /// Rows that will not be there any more, changed ones included.
    retracted: Option<u64>,
    /// How the three are meant.
    rows: Certainty,
    /// Whether the last run had rows of it.
    #[serde(skip)]
    had_rows: bool,
    /// Whether the numbers of rows are estimates, as for more than 262,144 rows a port.
    estimated: bool,
    /// Whether more rows follow that only the run can know, since they rest on answers that are not kept.
    more: bool,
    #[serde(flatten)]
    work: Work,
    /// Of the calls, how many ask again for rows that the last run had.
    recomputed: u64,
    /// Why anything changes.
    because: Vec<Reason>,
}

/// What is known of the rows of a step before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Certainty {
    /// All of them.
    Exact,
    /// Those that are there stay; others follow that only the run can know, and may take the place of retracted ones.
    AtLeast,
    /// None for certain: what they are made of is not all there yet. Then they are not counted.
    Unknown,
}

/// Why a step changes.
#[derive(Debug)]
struct Reason {
    words: String,
    /// The step that the reason lies in, when it is another one.
    step: Option<String>,
}

impl Reason {
    fn own(words: String) -> Self {
        Self { words, step: None }
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.words)
    }
}

impl Forecast {
    /// Runs the pipeline of `setup` over its kept answers.
    pub(crate) fn new(catalog: Catalog<'_>, setup: &Setup, last: Option<&Record>) -> Result<Self, Halt> {
        let driver = counted(catalog, setup, last)?;
        Ok(Reading { setup, last, session: driver.session(), pending: driver.pending() }
            .forecast(driver.last_round()))
    }

    /// The same with what drawing takes of the memory of `device`. Errs where it cannot be drawn on.
    pub(crate) fn drawing_on(self, device: Device, setup: &Setup) -> Result<Self, Halt> {
        Ok(Self { memory: memory::of(&setup.pipeline.plan, device)?, ..self })
    }

    /// Requests that no kept answer serves.
    pub(crate) fn calls(&self) -> u64 {
        self.total.calls
    }

    /// Of these, how many ask again for rows that the last run had.
    pub(crate) fn recomputed(&self) -> u64 {
        self.steps.iter().map(|step| step.recomputed).sum()
    }

    /// Why the step `name` would change, each reason with its depth and its step: reasons that name another step are followed
    /// by that step's own.
    pub(crate) fn reasons(&self, name: &str) -> Vec<(usize, &str, &str)> {
        let mut reasons = Vec::new();
        self.follow(name, 0, &mut BTreeSet::new(), &mut reasons);
        reasons
    }

    fn follow<'a>(
        &'a self,
        name: &str,
        depth: usize,
        seen: &mut BTreeSet<&'a str>,
        reasons: &mut Vec<(usize, &'a str, &'a str)>,
    ) {
        let Some(step) = self.steps.iter().find(|step| step.step == name) else { return };
        if !seen.insert(&step.step) {
            return;
        }
        for Reason { words, step: other } in &step.because {
            reasons.push((depth, &step.step, words));
            if let Some(other) = other {
                self.follow(other, depth + 1, seen, reasons);
            }
        }
    }

    /// Whether a run would change anything.
    pub(crate) fn is_work(&self) -> bool {
        self.first_run
            || self.calls() > 0
            || self.steps.iter().any(StepForecast::differs)
            || !self.folders.is_empty()
    }

    /// The steps, by their place in the plan, that would make calls, and how many.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (usize, u64)> {
        let calls = self.steps.iter().map(|step| step.work.calls).enumerate();
        calls.filter(|(_, calls)| *calls > 0)
    }
}

impl StepForecast {
    /// Whether its rows would not be those of the last run, or may not be.
    fn differs(&self) -> bool {
        self.more || self.new.unwrap_or_default() + self.retracted.unwrap_or_default() > 0
    }
}

/// The pipeline settled over the kept answers, every missing one counted, nothing asked and nothing written.
fn counted(catalog: Catalog<'_>, setup: &Setup, last: Option<&Record>) -> Result<Driver, Halt> {
    settled(catalog, setup, last, Calls::Count, false)
}

/// The same with all rows of all ports at hand.
pub(crate) fn traced(catalog: Catalog<'_>, setup: &Setup, last: Option<&Record>) -> Result<Driver, Halt> {
    settled(catalog, setup, last, Calls::Count, true)
}

/// The pipeline settled over the kept answers in a fresh dataflow, nothing written. One that is missing is an error.
pub(crate) fn replayed(catalog: Catalog<'_>, setup: &Setup, last: Option<&Record>) -> Result<Driver, Halt> {
    settled(catalog, setup, last, Calls::MakeFor(BTreeSet::new()), false)
}

fn settled(
    catalog: Catalog<'_>,
    setup: &Setup,
    last: Option<&Record>,
    calls: Calls,
    whole: bool,
) -> Result<Driver, Halt> {
    let pipeline = &setup.pipeline;
    let network = setup.network(catalog, &Env { dry: true, ..setup.env(1) }, last)?;
    let capture = match whole {
        true => all_ports(&network),
        false => Captures::of(&pipeline.plan, &network).ports().collect(),
    };
    let options = SessionOptions { workers: 1, calls, capture, ..SessionOptions::default() };
    let session = Session::start(Arc::new(network), Arc::default(), setup.memo()?, options);
    let mut driver =
        Driver::new(session.map_err(|error| session_halt(pipeline, &error))?, setup.digests.clone());
    driver.load().map_err(|(step, error)| source_halt(pipeline, step, &error))?;
    kept::feed(&mut driver, &pipeline.plan, last);
    let mut watch =
        |_: &[_]| if panic::happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    match driver.settle(&mut watch, &mut |_, _| {}) {
        Err(_) if panic::happened() => Err(Halt::of_panic()),
        Err(error) => Err(session_halt(pipeline, &error)),
        Ok(()) => Ok(driver),
    }
}

fn all_ports(network: &Network) -> Vec<(usize, Option<Port>)> {
    let ports = |(at, node): (usize, &Node)| {
        let ports = (0..node.ports).filter_map(|port| Port::try_from(port).ok()).map(Some);
        ports.chain([None]).map(move |port| (at, port)).collect::<Vec<_>>()
    };
    network.nodes.iter().enumerate().flat_map(ports).collect()
}

/// A settled forecast beside the record of the last run.
struct Reading<'a> {
    setup: &'a Setup,
    last: Option<&'a Record>,
    session: &'a Session,
    pending: Pending,
}

impl Reading<'_> {
    fn plan(&self) -> &Plan {
        &self.setup.pipeline.plan
    }

    fn forecast(&self, rounds: Round) -> Forecast {
        let models = ModelRecord::all(self.plan(), &self.setup.models, &self.setup.digests);
        let own = self
            .last
            .map(|last| changes(self.plan(), &models, &self.setup.models.computer(), last))
            .unwrap_or_default();
        let mut steps: Vec<StepForecast> = Vec::new();
        for (at, turnover) in turnovers(self.plan(), self.session, self.last).into_iter().enumerate() {
            let step = self.step(at, turnover, &own, &steps);
            steps.push(step);
        }
        Forecast {
            pipeline: self.plan().name.clone(),
            first_run: self.last.is_none(),
            rounds,
            kept_rounds: self.session.network().rounds.kept,
            total: steps.iter().map(|step| step.work).fold(Work::default(), Work::and),
            folders: self.folders(&steps),
            shares_out_with: Vec::new(),
            memory: Vec::new(),
            trainable: trainable::of(self.plan()),
            steps,
        }
    }

    fn step(
        &self,
        at: usize,
        turnover: Turnover,
        own: &BTreeMap<String, Vec<String>>,
        before: &[StepForecast],
    ) -> StepForecast {
        let step = &self.plan().steps[at];
        let (work, recomputed) = self.work(at);
        let more = self.pending.rounds(at).next().is_some();
        let mut because: Vec<Reason> =
            own.get(&step.name).into_iter().flatten().cloned().map(Reason::own).collect();
        if step.inputs.is_empty() {
            let words = self.last.and_then(|_| words(&turnover));
            because.extend(words.map(|words| Reason::own(format!("rows: {words}"))));
        }
        if is_any(&turnover) || more {
            because.extend(self.upstream(at, before));
        }
        if work.calls > 0 {
            because.extend(self.refused_before(at));
            because.extend(self.lost(at));
        }
        let rows = self.certainty(at, before);
        let known = |n: u64| (rows != Certainty::Unknown).then_some(n);
        StepForecast {
            step: step.name.clone(),
            op: step.op,
            reused: known(turnover.kept),
            new: known(turnover.new),
            retracted: known(turnover.gone),
            rows,
            had_rows: turnover.kept + turnover.gone > 0,
            estimated: turnover.estimated,
            more,
            recomputed,
            work,
            because,
        }
    }

    /// What is known of the rows of a step. `before` are the forecasts of the steps before it.
    fn certainty(&self, at: usize, before: &[StepForecast]) -> Certainty {
        if self.pending.rounds(at).next().is_none() {
            return Certainty::Exact;
        }
        let inputs = self.plan().steps[at].inputs.iter().flat_map(|inlet| &inlet.edges);
        let inputs = inputs.filter_map(|edge| before.get(edge.step)).map(|step| step.rows);
        let has_groups = self.session.network().nodes[at].has_groups();
        // One row more may change what a group becomes.
        let is_sure = |input: Certainty| match input {
            Certainty::Exact => true,
            Certainty::AtLeast => !has_groups,
            Certainty::Unknown => false,
        };
        if inputs.into_iter().all(is_sure) { Certainty::AtLeast } else { Certainty::Unknown }
    }

    /// That models which the step made are gone, where it makes the same again.
    fn lost(&self, at: usize) -> Option<Reason> {
        let lost: i64 = self.session.efforts()[at].values().map(|effort| effort.again).sum();
        match lost {
            ..=0 => None,
            1 => Some(Reason::own("a model that it made is gone: it is made again, the same".into())),
            _ => Some(Reason::own(format!(
                "{lost} models that it made are gone: they are made again, the same"
            ))),
        }
    }

    /// That the last run's requests were refused, where they are asked again.
    fn refused_before(&self, at: usize) -> Option<Reason> {
        let earlier = self.last?.sample(&self.plan().steps[at].name, "rejected")?;
        let gone = self.session.censuses()[at].last()?.sample().since(earlier).gone;
        let rows = columns::counted(i64::try_from(gone).unwrap_or(i64::MAX), "row");
        (gone > 0).then(|| Reason::own(format!("{rows} rejected by the last run may be asked for again")))
    }

    /// The steps before this one, and the model it draws from, that make a difference to it.
    fn upstream(&self, at: usize, before: &[StepForecast]) -> Vec<Reason> {
        let step = &self.plan().steps[at];
        let differs = |at: &usize| before.get(*at).is_some_and(StepForecast::differs);
        let producers: BTreeSet<usize> = step
            .inputs
            .iter()
            .flat_map(|inlet| inlet.edges.iter().map(|edge| edge.step))
            .filter(differs)
            .collect();
        let rows = producers.into_iter().map(|at| {
            let name = &self.plan().steps[at].name;
            Reason { words: format!("rows of `{name}` change"), step: Some(name.clone()) }
        });
        rows.chain(self.new_models(at)).collect()
    }

    fn new_models(&self, at: usize) -> impl Iterator<Item = Reason> {
        self.plan().steps[at].models.iter().filter_map(move |used| {
            let maker = match &used.model {
                ModelRef::Step(maker) => *maker,
                ModelRef::Declared(name) => flow_operators::feeds(self.plan(), name)?,
            };
            let first = self.pending.rounds(maker).next().filter(|_| maker != at)?;
            let name = &self.plan().steps[maker].name;
            let words = format!("`{name}` trains another model in round {first}");
            Some(Reason { words, step: Some(name.clone()) })
        })
    }
}
