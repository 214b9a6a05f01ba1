//! From a file name to a checked pipeline.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use flow_plan::Plan;
use flow_spec::{Code, Diagnostic, Sources, Spec, render, settle};

use crate::args::Overlay;
use crate::halt::Halt;
use crate::{Catalog, Exit, codes, folders, templates, term};

/// A pipeline file with everything that was found in it.
pub(crate) struct Checked {
    /// The texts that diagnostics point into.
    pub(crate) sources: Sources,
    /// All mistakes and warnings, in the order of the text.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The pipeline, if there is no mistake.
    pub(crate) planned: Option<(Spec, Plan)>,
    /// The profiles that the file declares.
    profiles: Vec<String>,
}

/// A pipeline without mistakes.
pub(crate) struct Pipeline {
    /// The texts that diagnostics point into.
    pub(crate) sources: Sources,
    /// What the user wrote.
    pub(crate) spec: Spec,
    /// What it means.
    pub(crate) plan: Plan,
}

/// Checks the pipeline at `path`. Reads that file, and the chat templates of models that are asked by them.
pub(crate) fn check(catalog: Catalog<'_>, path: &Path, overlay: &Overlay) -> Result<Checked, Halt> {
    Ok(check_text(catalog, path, &text(path)?, overlay))
}

/// The same with every profile that the file declares, unless one is chosen or a value is set, which may fit one profile only: a
/// mistake that only a profile makes is told with its name.
pub(crate) fn check_profiles(catalog: Catalog<'_>, path: &Path, overlay: &Overlay) -> Result<Checked, Halt> {
    let text = text(path)?;
    let mut checked = check_text(catalog, path, &text, overlay);
    let names = if overlay.is_empty() { std::mem::take(&mut checked.profiles) } else { Vec::new() };
    let mut told: BTreeSet<_> = checked.diagnostics.iter().map(Diagnostic::identity).collect();
    for name in names {
        let found = check_text(catalog, path, &text, &overlay.with_profile(&name)).diagnostics;
        for mut diagnostic in found.into_iter().filter(|found| told.insert(found.identity())) {
            diagnostic.message.push_str(&format!(" (with `--profile {name}`)"));
            checked.diagnostics.push(diagnostic);
        }
    }
    settle(&mut checked.diagnostics);
    Ok(checked)
}

fn check_text(catalog: Catalog<'_>, path: &Path, text: &str, overlay: &Overlay) -> Checked {
    let reading = flow_spec::read(&path.display().to_string(), text, &overlay.options());
    let (sources, mut diagnostics) = (reading.sources, reading.diagnostics);
    let (mut planned, mut profiles) = (None, Vec::new());
    if let Some(spec) = reading.spec {
        profiles = spec.profiles();
        let (plan, found) = flow_plan::plan(&spec, &flow_operators::signatures(catalog));
        diagnostics.extend(found);
        if let Some(plan) = plan {
            diagnostics.extend(misfits(&spec, &plan, catalog));
            diagnostics.extend(folders::mistakes(&spec, &plan));
            diagnostics.extend(templates::mistakes(&spec, &plan));
            planned = Some((spec, plan));
        }
    }
    settle(&mut diagnostics);
    planned = planned.filter(|_| !diagnostics.iter().any(Diagnostic::is_error));
    Checked { sources, diagnostics, planned, profiles }
}

/// The pipeline at `path`, ready to be used; tells its warnings.
pub(crate) fn load(catalog: Catalog<'_>, path: &Path, overlay: &Overlay) -> Result<Pipeline, Halt> {
    let Checked { sources, diagnostics, planned, .. } = check(catalog, path, overlay)?;
    let Some((spec, plan)) = planned else {
        return Err(Halt::located(Exit::Invalid, &diagnostics, &sources));
    };
    let warnings: Vec<String> = diagnostics.iter().map(|warning| render(warning, &sources)).collect();
    term::tell(&warnings.join("\n"));
    Ok(Pipeline { sources, spec, plan })
}

impl Pipeline {
    /// A mistake at the value of a dotted path of the pipeline's text.
    pub(crate) fn mistake(&self, code: &Code, path: &str, message: impl Into<String>) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(code, self.spec.span(path), message);
        self.spec.redact(&mut diagnostic);
        diagnostic
    }

    /// A mistake at the first of `keys` that the step has, else at its name.
    pub(crate) fn mistake_in_step(
        &self,
        code: &Code,
        step: &str,
        keys: &[&str],
        message: impl Into<String>,
    ) -> Diagnostic {
        let places = keys.iter().map(|key| format!("steps.{step}.{key}"));
        let span = places.into_iter().find(|place| self.spec.has(place)).map(|place| self.spec.span(&place));
        let span = span.unwrap_or_else(|| self.spec.key_span(&format!("steps.{step}")));
        let mut diagnostic = Diagnostic::new(code, span, message);
        self.spec.redact(&mut diagnostic);
        diagnostic
    }

    /// Ends with one mistake at the name of a step, and the help that goes with its code.
    pub(crate) fn halt_at_step(
        &self,
        exit: Exit,
        code: &Code,
        step: &str,
        message: impl Into<String>,
    ) -> Halt {
        let mut diagnostic = Diagnostic::new(code, self.spec.key_span(&format!("steps.{step}")), message);
        diagnostic.help = codes::help(code).map(str::to_owned);
        self.spec.redact(&mut diagnostic);
        Halt::located(exit, &[diagnostic], &self.sources)
    }
}

/// What operators say to the whole plan, at the keys that they name.
fn misfits(spec: &Spec, plan: &Plan, catalog: Catalog<'_>) -> Vec<Diagnostic> {
    let misfits = flow_operators::misfits(plan, catalog).into_iter();
    let diagnostics = misfits.map(|(step, problem)| {
        let place = format!("steps.{}", plan.steps[step].name);
        let key = format!("{place}.{}", problem.path);
        let is_written = !problem.path.is_empty() && spec.has(&key);
        let span = if is_written { spec.span(&key) } else { spec.key_span(&place) };
        let mut diagnostic = Diagnostic::new(problem.code, span, problem.message);
        diagnostic.help = problem.help;
        spec.redact(&mut diagnostic);
        diagnostic
    });
    diagnostics.collect()
}

/// The folder of the tables that tell about the run.
pub(crate) fn run_folder(plan: &Plan) -> PathBuf {
    Path::new(&plan.out).join("run")
}

fn text(path: &Path) -> Result<String, Halt> {
    let bytes = fs::read(path).map_err(|error| {
        let message = format!("cannot read the pipeline `{}`: {error}", path.display());
        Halt::with(Exit::Usage, codes::FILE.id, &message, Some("give the path of a YAML file"))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("the pipeline `{}` is not UTF-8 text from byte {at} on", path.display());
        Halt::new(Exit::Invalid, &codes::FILE, message)
    })
}
