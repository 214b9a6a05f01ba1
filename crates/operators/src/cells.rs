//! Cells made of JSON, cells as JSON, and cells brought to the type of their column.

use flow_data::{Type, Value};
use serde_json::{Number, Value as Json};

/// Integers up to here are exact as 64-bit floats.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The cell that `json` says by itself. Errs, saying what was found, where no cell can hold it.
pub fn from_json(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => from_number(number)?,
        Json::String(text) => text.as_str().into(),
        Json::Array(items) if items.iter().all(Json::is_string) => {
            Value::texts(items.iter().filter_map(Json::as_str))
        }
        Json::Array(items) if items.iter().all(Json::is_number) => {
            Value::Floats(items.iter().filter_map(Json::as_f64).map(|number| number as f32).collect())
        }
        Json::Array(_) => return Err("a list of neither texts nor numbers".to_owned()),
        Json::Object(map) => {
            let keys: Vec<&str> = map.keys().map(String::as_str).collect();
            return Err(format!("an object of {}", keys.join(", ")));
        }
    })
}

/// A number, unless reading it has lost digits already.
fn from_number(number: &Number) -> Result<Value, String> {
    match (number.as_i64(), number.as_f64()) {
        (Some(int), _) => Ok(int.into()),
        (None, Some(float)) if float.abs() < EXACT => Ok(float.into()),
        _ => Err(format!("{number}, a number too long to be exact; in quotes it is text")),
    }
}

/// The cell as JSON. A float that is no number becomes null.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => (&**text).into(),
        Value::Texts(texts) => texts.iter().map(|text| &**text).collect(),
        Value::Floats(floats) => floats.iter().copied().collect(),
    }
}

/// `value` in a column of type `kind`. Errs, saying what was found, where it does not fit.
///
/// A number fits text as it is written, a list of one text that text, and a whole number either type of number. A text fits an integer when its
/// last word is one: `5`, `Level 5`.
pub fn fit(value: Value, kind: Type) -> Result<Value, String> {
    match (value, kind) {
        (Value::Int(int), Type::Text) => Ok(int.to_string().into()),
        (Value::Float(float), Type::Text) => Ok(format!("{float:?}").into()),
        (Value::Int(int), Type::Float) => Ok((int as f64).into()),
        (Value::Float(float), Type::Int) if float.fract() == 0.0 && float.abs() < EXACT => {
            Ok((float as i64).into())
        }
        (Value::Text(text), Type::Int) => {
            let last = text.split_whitespace().next_back().and_then(|word| word.parse::<i64>().ok());
            last.map(Value::Int).ok_or_else(|| "a text without a number at its end".to_owned())
        }
        (Value::Texts(texts), Type::Text) => match &*texts {
            [text] => Ok(Value::Text(text.clone())),
            texts => Err(format!("a list of {} texts", texts.len())),
        },
        (Value::Texts(texts), Type::Floats) if texts.is_empty() => Ok(Value::Floats([].into())),
        (value, kind) => match value.kind() {
            Some(found) if found != kind => Err(format!("a value of type {found}")),
            _ => Ok(value),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cell(json: Json, kind: Type) -> Result<Value, String> {
        from_json(&json).and_then(|value| fit(value, kind))
    }

    #[test]
    fn a_list_of_one_text_is_that_text() {
        assert_eq!(cell(json!(["2 moves"]), Type::Text), Ok("2 moves".into()));
        assert_eq!(cell(json!(["1", "2"]), Type::Text), Err("a list of 2 texts".to_owned()));
        assert_eq!(cell(json!([]), Type::Text), Err("a list of 0 texts".to_owned()));
    }

    #[test]
    fn numbers_are_text_as_written() {
        for (json, text) in [(json!(5), "5"), (json!(5.0), "5.0"), (json!(-0.25), "-0.25"), (json!("x"), "x")]
        {
            assert_eq!(cell(json, Type::Text), Ok(text.into()));
        }
        assert!(cell(json!(12_345_678_901_234_567_890_u64), Type::Text).is_err());
        assert!(cell(json!(1e30), Type::Float).is_err());
    }

    #[test]
    fn a_level_may_be_written_in_words() {
        for json in [json!(5), json!(5.0), json!("5"), json!("Level 5")] {
            assert_eq!(cell(json, Type::Int), Ok(5.into()));
        }
        for json in [json!("Level ?"), json!(5.5), json!(true), json!("")] {
            assert!(cell(json.clone(), Type::Int).is_err(), "{json}");
        }
    }

    #[test]
    fn lists_have_one_type_and_null_fits_all() {
        assert_eq!(cell(json!(["a", "b"]), Type::Texts), Ok(Value::texts(["a", "b"])));
        assert_eq!(cell(json!([1, 0.5]), Type::Floats), Ok(Value::Floats([1.0, 0.5].into())));
        assert_eq!(cell(json!([]), Type::Floats), Ok(Value::Floats([].into())));
        assert_eq!(cell(json!(null), Type::Bool), Ok(Value::Null));
        assert!(cell(json!([1, "a"]), Type::Texts).is_err());
        assert!(cell(json!({"a": 1}), Type::Text).is_err());
    }

    #[test]
    fn cells_return_from_json() {
        let values = [true.into(), 3.into(), 0.5.into(), "x".into(), Value::texts(["a"]), Value::Null];
        for value in values {
            assert_eq!(from_json(&to_json(&value)), Ok(value));
        }
    }
}
