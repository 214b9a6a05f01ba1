//! The options of one row: how it is graded, where that is not as the others are.

use flow_spec::suggest;
use flow_verify::{Compare, Grader};
use serde_json::{Map, Value as Json};

use super::row::texts;

/// Keys of other checkers' rows that are the same as one of ours: how many decimals a number is rounded to.
const PLACES: [&str; 2] = ["precision", "float_rounding"];

/// The key of the texts that letters stand for.
const CHOICES: &str = "choices";

/// The grader of a row: `grader` as the row's options change it, if it has any. Errs with what is wrong with them.
pub(super) fn own(grader: &Grader, fields: &Map<String, Json>) -> Result<Option<Grader>, String> {
    let mut grader = grader.clone();
    match fields.get("options") {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Array(choices)) => grader.options.choices = texts("options", choices)?,
        Some(Json::Object(keys)) => set(&mut grader, keys)?,
        Some(other) => return Err(format!("expected a list or a map in `options`, found {other}")),
    }
    Ok(Some(grader))
}

fn set(grader: &mut Grader, keys: &Map<String, Json>) -> Result<(), String> {
    for key in Grader::KEYS {
        let Some(value) = keys.get(*key) else { continue };
        let value =
            value.as_str().ok_or_else(|| format!("expected text in `options.{key}`, found {value}"))?;
        grader.set(key, value).map_err(|error| error.to_string())?;
    }
    for key in PLACES {
        let Some(value) = keys.get(key) else { continue };
        let places = value
            .as_u64()
            .ok_or_else(|| format!("expected a whole number in `options.{key}`, found {value}"))?;
        if grader.options.mode == Compare::Math {
            grader.set("decimals", &format!("places:{places}")).map_err(|error| error.to_string())?;
        }
    }
    match keys.get(CHOICES) {
        None | Some(Json::Null) => {}
        Some(Json::Array(choices)) => grader.options.choices = texts("options.choices", choices)?,
        Some(other) => return Err(format!("expected a list in `options.choices`, found {other}")),
    }
    Ok(())
}

/// The keys of a row's options that say nothing here, as other checkers' rows have. Errs where one is a key of ours but for a
/// letter.
pub(super) fn foreign(fields: &Map<String, Json>) -> Result<Vec<&str>, String> {
    let Some(Json::Object(keys)) = fields.get("options") else { return Ok(Vec::new()) };
    let known: Vec<&str> = Grader::KEYS.iter().copied().chain([CHOICES]).collect();
    let is_known = |key: &&str| known.contains(key) || PLACES.contains(key);
    let unknown: Vec<&str> = keys.keys().map(String::as_str).filter(|key| !is_known(key)).collect();
    for key in &unknown {
        if let Some(close) =
            suggest(key, known.iter().copied()).filter(|close| close.len().abs_diff(key.len()) <= 1)
        {
            return Err(format!("unknown key `options.{key}`, did you mean `{close}`?"));
        }
    }
    Ok(unknown)
}
