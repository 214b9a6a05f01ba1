//! Python bindings of `flow-verify`: `verify`, `extract`, `Verdict`. `flow_verify.pyi` documents them for Python.

use flow_verify::{Graded, Grader, Outcome};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What is known of an answer.
#[pyclass(frozen, eq, get_all, module = "flow_verify")]
#[derive(Clone, Debug, PartialEq)]
struct Verdict {
    /// `equal`, `different` or `unknown`.
    outcome: &'static str,
    /// The rule that decided.
    method: &'static str,
    /// What decided, for a person.
    witness: String,
    /// The answer that was compared; `None` when none was found.
    extracted: Option<String>,
}

#[pymethods]
impl Verdict {
    fn __bool__(&self) -> bool {
        self.outcome == Outcome::Equal.name()
    }

    fn __repr__(&self) -> String {
        format!("Verdict({}, method={:?}, witness={:?})", self.outcome, self.method, self.witness)
    }
}

impl From<Graded<'_>> for Verdict {
    fn from(graded: Graded<'_>) -> Self {
        Self {
            outcome: graded.verdict.outcome.name(),
            method: graded.verdict.method,
            witness: graded.verdict.witness,
            extracted: graded.extracted.map(|text| text.into_owned()),
        }
    }
}

/// One known answer, or several of which each is right.
#[derive(FromPyObject)]
enum Gold {
    One(String),
    Several(Vec<String>),
}

/// Whether `answer` is the known one.
#[pyfunction]
#[pyo3(signature = (gold, answer, *, preset=None, choices=None, **keys))]
fn verify(
    py: Python<'_>,
    gold: Gold,
    answer: &str,
    preset: Option<&str>,
    choices: Option<Vec<String>>,
    keys: Option<&Bound<'_, PyDict>>,
) -> PyResult<Verdict> {
    let mut grader = grader(preset, keys)?;
    grader.options.choices = choices.unwrap_or_default();
    let is_completion = preset.is_some() || keys.is_some_and(|keys| keys.contains("extract").unwrap_or(false));
    let grade = |gold: &str| match is_completion {
        true => grader.grade(gold, answer),
        false => grader.grade_any(gold, answer),
    };
    let golds = match gold {
        Gold::One(gold) => vec![gold],
        Gold::Several(golds) => golds,
    };
    py.detach(|| golds.iter().map(|gold| grade(gold)).min_by_key(|graded| rank(graded)).map(Verdict::from))
        .ok_or_else(|| PyValueError::new_err("expected at least one known answer, found an empty list"))
}

/// The answer that `text` states; `None` when it states none.
#[pyfunction]
#[pyo3(signature = (text, *, preset=None, **keys))]
fn extract(text: &str, preset: Option<&str>, keys: Option<&Bound<'_, PyDict>>) -> PyResult<Option<String>> {
    let grader = grader(preset, keys)?;
    Ok(grader.extraction.find(text).ok().map(|found| found.text.into_owned()))
}

/// The grader of a preset with single keys changed.
fn grader(preset: Option<&str>, keys: Option<&Bound<'_, PyDict>>) -> PyResult<Grader> {
    let invalid = |error: &dyn std::error::Error| PyValueError::new_err(error.to_string());
    let mut grader = preset.map_or(Ok(Grader::default()), Grader::preset).map_err(|error| invalid(&error))?;
    let Some(keys) = keys else { return Ok(grader) };
    let mut pairs = Vec::new();
    for (key, value) in keys {
        let key: String = key.extract()?;
        let order = Grader::KEYS.iter().position(|known| *known == key);
        pairs.push((order, key, value.extract::<String>()?));
    }
    // `compare` brings defaults for the keys behind it.
    pairs.sort();
    for (_, key, value) in pairs {
        grader.set(&key, &value).map_err(|error| invalid(&error))?;
    }
    Ok(grader)
}

/// Of several known answers, the verdict on the best counts.
fn rank(graded: &Graded<'_>) -> u8 {
    match graded.verdict.outcome {
        Outcome::Equal => 0,
        Outcome::Unknown => 1,
        Outcome::Different => 2,
    }
}

/// Is an answer the known one? Exact, explained, three-valued.
#[pymodule(name = "flow_verify")]
fn bindings(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Verdict>()?;
    module.add_function(wrap_pyfunction!(verify, module)?)?;
    module.add_function(wrap_pyfunction!(extract, module)?)?;
    module.add("PRESETS", Grader::PRESETS.to_vec())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
