//! What a pipeline rests on: its own file, the files that its steps read, the folders of its models.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use flow_data::Id;
use flow_operators::{StepContext, destination, publication};
use flow_plan::{Plan, Step};

use crate::Catalog;

/// What must be done when a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// Read the sources with this digest again.
    Source(Id),
    /// Load the models again.
    Model,
    /// Set the steps up again: one of them read the file then.
    Setup,
}

/// Files and folders with what rests on them.
#[derive(Default)]
pub(crate) struct Inputs(BTreeMap<PathBuf, BTreeSet<Role>>);

/// What some changed files ask for.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// Digests of the sources that are to be read again.
    pub(super) sources: BTreeSet<Id>,
    /// Whether models are to be loaded again.
    pub(super) models: bool,
    /// Whether more than sources is to be read again.
    pub(super) setup: bool,
}

impl Inputs {
    /// What `plan` rests on beside its own file. What it publishes itself does not count: it would never come to rest.
    pub(crate) fn of(catalog: Catalog<'_>, plan: &Plan) -> Self {
        let mut roles: BTreeMap<PathBuf, BTreeSet<Role>> = BTreeMap::new();
        let own = published(plan);
        let mut add = |path: PathBuf, role| {
            if !own.iter().any(|folder| path.starts_with(folder)) {
                roles.entry(path).or_default().insert(role);
            }
        };
        for step in &plan.steps {
            let role = if step.inputs.is_empty() { Role::Source(step.digest) } else { Role::Setup };
            files(catalog, plan, step).into_iter().for_each(|path| add(path, role));
        }
        let folders = plan.models.values().filter_map(|model| model.folder());
        folders.for_each(|folder| add(PathBuf::from(folder), Role::Model));
        Self(roles)
    }

    /// Adds what another text of the pipeline rests on.
    pub(super) fn join(&mut self, other: &Inputs) {
        for (path, roles) in &other.0 {
            self.0.entry(path.clone()).or_default().extend(roles);
        }
    }

    /// The paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.0.keys().cloned()
    }

    /// Adds what the `changed` files ask for; one that is not known here is the pipeline's own.
    pub(super) fn mark(&self, changed: &[PathBuf], stale: &mut Stale) {
        for path in changed {
            match self.0.get(path) {
                Some(roles) => roles.iter().for_each(|role| match role {
                    Role::Source(step) => drop(stale.sources.insert(*step)),
                    Role::Model => (stale.models, stale.setup) = (true, true),
                    Role::Setup => stale.setup = true,
                }),
                None => stale.setup = true,
            }
        }
    }

    /// Identity of the files that steps read when they are set up.
    pub(crate) fn contents(&self) -> Id {
        let read = self.0.iter().filter(|(_, roles)| roles.contains(&Role::Setup));
        let contents: Vec<Vec<u8>> = read.map(|(path, _)| std::fs::read(path).unwrap_or_default()).collect();
        Id::of("files", contents.iter().map(Vec::as_slice))
    }
}

fn files(catalog: Catalog<'_>, plan: &Plan, step: &Step) -> Vec<PathBuf> {
    let operator = catalog.iter().find(|operator| operator.name() == step.op);
    operator.map(|operator| operator.files(&StepContext { plan, step })).unwrap_or_default()
}

/// The folders that `plan` publishes in.
fn published(plan: &Plan) -> Vec<PathBuf> {
    let folder = |step: &Step| {
        let step = StepContext { plan, step };
        publication(&step).map(|publication| publication.folder).or_else(|| destination(&step))
    };
    let run = Path::new(&plan.out).join("run");
    plan.steps.iter().filter_map(folder).chain([run]).collect()
}
