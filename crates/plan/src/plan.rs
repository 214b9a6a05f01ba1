//! The typed graph: what a run will do, in order.

use std::collections::BTreeMap;

use flow_data::{Columns, Id};
use flow_spec::{Budget, Expect, Model, OnChange};
use serde_json::Value as Json;

use crate::Port;

/// A pipeline without mistakes, ready to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The pipeline's name.
    pub name: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Folder of everything published.
    pub out: String,
    /// The steps: producers before consumers, otherwise in the order of the YAML.
    pub steps: Vec<Step>,
    /// The declared models by name.
    pub models: BTreeMap<String, Model>,
    /// How often the loop runs and what it feeds back; `None` without `rounds`.
    pub rounds: Option<Rounds>,
    /// The pipeline's own tests.
    pub tests: Vec<Test>,
    /// Limits of a run.
    pub budget: Budget,
}

impl Plan {
    /// The index of the step `name`.
    pub fn step(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.name == name)
    }

    /// Whether a run of the one is a run of the other: they differ in their tests at most.
    pub fn runs_as(&self, other: &Plan) -> bool {
        let Plan { name, seed, out, steps, models, rounds, tests: _, budget } = self;
        (name, seed, out, steps) == (&other.name, &other.seed, &other.out, &other.steps)
            && (models, rounds, budget) == (&other.models, &other.rounds, &other.budget)
    }

    /// The columns that flow along `edge`.
    pub fn columns(&self, edge: Edge) -> &Columns {
        let step = &self.steps[edge.step];
        match edge.outlet {
            Outlet::Port(port) => &step.ports[port].columns,
            Outlet::Rejected => &step.rejected,
        }
    }

    /// The declared model that `model` is, or that it was trained or merged from: how the one is asked, the other is. `None` for
    /// one begun from random weights.
    pub fn origin<'a>(&'a self, model: &'a ModelRef) -> Option<&'a str> {
        let maker = match model {
            ModelRef::Declared(name) => return Some(name),
            ModelRef::Step(maker) => &self.steps[*maker],
        };
        // Models that are merged are rows of the steps before.
        let before = maker.inputs.iter().flat_map(|inlet| &inlet.edges).map(|edge| &self.steps[edge.step]);
        let uses = std::iter::once(maker).chain(before).flat_map(|step| &step.models);
        uses.into_iter().find_map(|used| self.origin(&used.model))
    }

    /// The edge as the user would write it: `graded`, `graded.equal`, `graded.rejected`.
    pub fn reference(&self, edge: Edge) -> String {
        let step = &self.steps[edge.step];
        match edge.outlet {
            Outlet::Port(0) => step.name.clone(),
            Outlet::Port(port) => format!("{}.{}", step.name, step.ports[port].name),
            Outlet::Rejected => format!("{}.rejected", step.name),
        }
    }
}

/// One operator with its config and its place in the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Name, unique in the plan.
    pub name: String,
    /// The operator.
    pub op: &'static str,
    /// The operator's version: another one means other results.
    pub version: u32,
    /// The operator's own keys as they were written, without what the environment put into them.
    pub written: Json,
    /// The operator's own keys, with the defaults that its schema states. May hold secrets: never print it.
    pub config: Json,
    /// The streams of rows that arrive: none, one, or one for each entry of `from`.
    pub inputs: Vec<Inlet>,
    /// The ports, the main one first.
    pub ports: Vec<Port>,
    /// The columns of the rows that go no further.
    pub rejected: Columns,
    /// The models it uses.
    pub models: Vec<ModelUse>,
    /// Whether its result is a model.
    pub makes_model: bool,
    /// Whether it is worth running for itself.
    pub is_end: bool,
    /// Whether its rows differ from round to round: it uses, directly or through its inputs, a model that is fed back.
    pub per_round: bool,
    /// Identity of what it computes: operator and version, config, models, and the digests of its producers. Names of
    /// steps, key order, comments, secrets, the seed, and the content of files and weights are not part of it.
    pub digest: Id,
}

/// One stream of rows that arrives at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inlet {
    /// Where the rows come from; more than one is a union. Never empty.
    pub edges: Vec<Edge>,
    /// The columns of each row: the producer's own when all producers agree on them, else the visible columns that all
    /// have, in the order of the first.
    pub columns: Columns,
}

/// A producer's outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// Index of the producer in [`Plan::steps`].
    pub step: usize,
    /// Which of its outlets.
    pub outlet: Outlet,
}

/// An outlet of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outlet {
    /// The port of this index in [`Step::ports`].
    Port(usize),
    /// The rows that go no further.
    Rejected,
}

/// A model that a step uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelUse {
    /// The config key that names it, dotted.
    pub key: String,
    /// Where it comes from.
    pub model: ModelRef,
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelRef {
    /// Declared under `models`; `rounds.feed` may replace it from the second round on.
    Declared(String),
    /// Made by the step of this index.
    Step(usize),
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// Number of rounds, at least 1.
    pub count: u32,
    /// The declared models that the loop replaces. A plan of one round keeps them without the steps that make the next.
    pub models: Vec<String>,
    /// Which declared model becomes which step's result in the next round, by model name.
    pub feed: Vec<Feed>,
    /// The step whose verdict ends the loop.
    pub gate: Option<Gate>,
    /// What an edit does to rounds that have finished.
    pub on_change: OnChange,
}

/// The step that ends the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Index of the step in [`Plan::steps`].
    pub step: usize,
    /// Index of its port whose rows name rounds after which none may follow.
    pub port: usize,
}

/// One model that the loop replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The declared model.
    pub model: String,
    /// Index of the step that makes the next one.
    pub step: usize,
}

/// A test of one step: rows in, rows out.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it shows, if the user said so.
    pub name: Option<String>,
    /// Index of the step.
    pub step: usize,
    /// Rows that arrive at the step, each a JSON object.
    pub given: Vec<Json>,
    /// What leaves each named outlet.
    pub expect: Vec<(Outlet, Expect)>,
}
