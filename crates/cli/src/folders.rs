//! Which folder belongs to what: a run publishes nothing over what another step publishes or a model is read from.

use std::path::{Component, Path, PathBuf};

use flow_operators::{StepContext, destination, publication};
use flow_plan::Plan;
use flow_spec::{Diagnostic, Span, Spec};

use crate::codes;
use crate::pipeline::run_folder;

/// Who a folder belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Owner<'a> {
    /// The tables of the run.
    Tables,
    /// A declared model, which is read from it.
    Model(&'a str),
    /// A step, which publishes in it.
    Step(&'a str),
}

/// A folder, as it is written and as it is compared.
struct Owned<'a> {
    owner: Owner<'a>,
    written: PathBuf,
    place: PathBuf,
}

impl<'a> Owned<'a> {
    fn new(owner: Owner<'a>, written: &Path) -> Self {
        let plain: PathBuf = written.components().filter(|part| *part != Component::CurDir).collect();
        let written = if plain.as_os_str().is_empty() { PathBuf::from(".") } else { plain };
        Self { owner, place: resolved(&written), written }
    }

    /// Whether what this one publishes would change what is in `other`, or be changed by it.
    fn meets(&self, other: &Self) -> bool {
        let is_around = other.place.starts_with(&self.place) && other.owner != Owner::Tables;
        self.place.starts_with(&other.place) || is_around
    }
}

/// Mistakes where a step would publish in the folder of another step, of a declared model or of the tables of the run.
pub(crate) fn mistakes(spec: &Spec, plan: &Plan) -> Vec<Diagnostic> {
    let models = plan.models.iter();
    let models =
        models.filter_map(|(name, model)| Some(Owned::new(Owner::Model(name), model.folder()?.as_ref())));
    let mut all: Vec<Owned<'_>> = models.chain([Owned::new(Owner::Tables, &run_folder(plan))]).collect();
    let mut mistakes = Vec::new();
    for step in &plan.steps {
        let context = StepContext { plan, step };
        let folder =
            publication(&context).map(|publication| publication.folder).or_else(|| destination(&context));
        let Some(folder) = folder else { continue };
        let owned = Owned::new(Owner::Step(&step.name), &folder);
        match all.iter().find(|other| owned.meets(other)) {
            Some(other) => mistakes.push(mistake(spec, &step.name, &owned, other)),
            None => all.push(owned),
        }
    }
    mistakes
}

/// The mistake of `step`, whose folder is, lies in or holds that of `other`.
fn mistake(spec: &Spec, step: &str, owned: &Owned<'_>, other: &Owned<'_>) -> Diagnostic {
    let place = |step: &str| spec.key_span(&format!("steps.{step}"));
    let (folder, other_folder) = (owned.written.display(), other.written.display());
    let is_same = owned.place == other.place;
    let message = match (other.owner, is_same) {
        (Owner::Model(model), true) => {
            format!("step `{step}` would publish over `{folder}`, which model `{model}` is read from")
        }
        (Owner::Model(model), false) => {
            format!(
                "step `{step}` is published in `{folder}`, model `{model}` is read from `{other_folder}`: one within the other"
            )
        }
        (owner, true) => format!("step `{step}` and {} are published in `{folder}`", told(owner)),
        (owner, false) => {
            let owner = told(owner);
            format!(
                "step `{step}` is published in `{folder}`, {owner} in `{other_folder}`: one within the other"
            )
        }
    };
    let related: Option<(Span, &str)> = match other.owner {
        Owner::Tables => None,
        Owner::Model(model) => Some((spec.key_span(&format!("models.{model}")), "the model")),
        Owner::Step(step) => Some((place(step), "the other step")),
    };
    let mut mistake = Diagnostic::new(&codes::SHARED_FOLDER, place(step), message);
    mistake = mistake.help("give the step a `path` of its own");
    if let Some((span, label)) = related {
        mistake = mistake.related(span, label);
    }
    spec.redact(&mut mistake);
    mistake
}

fn told(owner: Owner<'_>) -> String {
    match owner {
        Owner::Tables => "the tables of the run".to_owned(),
        Owner::Model(name) => format!("model `{name}`"),
        Owner::Step(name) => format!("step `{name}`"),
    }
}

/// The path from the root on, without links and `..` as far as it exists, so that two spellings of a place compare equal.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let whole = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    });
    let mut plain = PathBuf::new();
    for part in whole.unwrap_or(path).components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
