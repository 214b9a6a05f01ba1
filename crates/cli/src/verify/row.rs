//! One row: what it holds, and the verdict on it.

use flow_spec::suggest;
use flow_verify::{Graded, Grader, Outcome};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::options;

/// The verdict on a row, as it is written.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdict {
    /// The row's `id`, else its place.
    pub(super) id: String,
    /// The answer that was compared; null when none was found.
    pub(super) extracted: Option<String>,
    /// `equal`, `different` or `unknown`.
    #[serde(serialize_with = "name")]
    pub(super) verdict: Outcome,
    /// The rule that decided.
    pub(super) method: &'static str,
    /// What decided, for a person.
    pub(super) witness: String,
    /// The label, where the row has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<bool>,
}

fn name<S: serde::Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.name())
}

impl Verdict {
    /// Whether the verdict is what the label says; true without a label.
    pub(super) fn agrees(&self) -> bool {
        let said = |expected| if expected { Outcome::Equal } else { Outcome::Different };
        self.expected.is_none_or(|expected| self.verdict == said(expected))
    }
}

/// Judges rows by a grader.
pub(super) struct Judge {
    grader: Grader,
    /// Whether `pred` may be the answer alone, without any text around it.
    may_be_bare: bool,
}

impl Judge {
    pub(super) fn new(grader: Grader, may_be_bare: bool) -> Self {
        Self { grader, may_be_bare }
    }

    /// The verdict on the row at `place`. Errs with what is wrong with its fields.
    pub(super) fn judge(&self, place: &str, fields: &Map<String, Json>) -> Result<Verdict, String> {
        if let Some((found, meant)) = misspelt(fields) {
            return Err(format!("unknown field `{found}`, did you mean `{meant}`?"));
        }
        let pred = text(fields, "pred")?;
        let golds = golds(fields)?;
        let expected = label(fields)?;
        let is_bare = text(fields, "kind")?.as_deref() == Some("equiv");
        let own = options::own(&self.grader, fields)?;
        let grader = own.as_ref().unwrap_or(&self.grader);
        // A row that says where its answer stands has text around it.
        let names_rule = fields.get("options").is_some_and(|options| options.get("extract").is_some());
        let grade = |gold: Option<&str>| {
            let pred = pred.as_deref().unwrap_or_default();
            if is_bare {
                grader.grade_bare(gold, pred)
            } else if self.may_be_bare && !names_rule {
                grader.grade_any(gold, pred)
            } else {
                grader.grade(gold, pred)
            }
        };
        let graded = golds.iter().map(|gold| grade(Some(gold))).min_by_key(|graded| rank(graded));
        let Graded { extracted, verdict } = graded.unwrap_or_else(|| grade(None));
        Ok(Verdict {
            id: text(fields, "id")?.unwrap_or_else(|| place.to_owned()),
            extracted: extracted.map(|text| text.into_owned()),
            verdict: verdict.outcome,
            method: verdict.method,
            witness: verdict.witness,
            expected,
        })
    }
}

/// A field that is probably meant to be a label or options, and the name that it should have. Other fields are the user's own.
fn misspelt(fields: &Map<String, Json>) -> Option<(&str, &'static str)> {
    let meant = ["expected", "options"].into_iter().filter(|meant| !fields.contains_key(*meant));
    meant.into_iter().find_map(|meant| {
        let is_close =
            |field: &&String| field.len().abs_diff(meant.len()) <= 1 && suggest(field, [meant]).is_some();
        fields.keys().find(is_close).map(|field| (field.as_str(), meant))
    })
}

/// Of several accepted answers, the verdict on the best counts.
fn rank(graded: &Graded<'_>) -> u8 {
    match graded.verdict.outcome {
        Outcome::Equal => 0,
        Outcome::Unknown => 1,
        Outcome::Different => 2,
    }
}

/// A field that is a text; a number or truth value is one as it is written, a list of one text that text.
fn text(fields: &Map<String, Json>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None if matches!(name, "pred") => Err(format!("there is no field `{name}`")),
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(value @ (Json::Number(_) | Json::Bool(_))) => Ok(Some(value.to_string())),
        Some(Json::Array(list)) if let [Json::String(text)] = &list[..] => Ok(Some(text.clone())),
        Some(other) => Err(format!("expected text in `{name}`, found {other}")),
    }
}

/// The accepted answers; none where nothing is known.
fn golds(fields: &Map<String, Json>) -> Result<Vec<String>, String> {
    match fields.get("gold") {
        None => Err("there is no field `gold`".to_owned()),
        Some(Json::Array(golds)) => texts("gold", golds),
        Some(_) => Ok(text(fields, "gold")?.into_iter().collect()),
    }
}

pub(super) fn texts(name: &str, values: &[Json]) -> Result<Vec<String>, String> {
    let text = |value: &Json| match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        other => Err(format!("expected a list of texts in `{name}`, found {other} in it")),
    };
    values.iter().map(text).collect()
}

/// The label of a row.
fn label(fields: &Map<String, Json>) -> Result<Option<bool>, String> {
    match fields.get("expected") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Bool(label)) => Ok(Some(*label)),
        Some(Json::String(text)) if ["true", "equal"].contains(&text.as_str()) => Ok(Some(true)),
        Some(Json::String(text)) if ["false", "different"].contains(&text.as_str()) => Ok(Some(false)),
        Some(other) => Err(format!("expected true or false in `expected`, found {other}")),
    }
}
