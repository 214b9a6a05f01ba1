//! Keys that stand twice in one object, of which a parser keeps the last without a word.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The first key of `json` that stands twice in an object, at any depth; none where `json` is no JSON.
pub(super) fn repeated_key(json: &[u8]) -> Option<String> {
    let message = serde_json::from_slice::<Once>(json).err()?.to_string();
    Some(message.strip_prefix(MARK)?.split_once('\0')?.0.to_owned())
}

/// What tells our error from the parser's: no message of its own has this character.
const MARK: char = '\0';

/// A value each key of which stands once.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once, D::Error> {
        deserializer.deserialize_any(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
        let mut seen: Vec<String> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(A::Error::custom(format_args!("{MARK}{key}{MARK}")));
            }
            seen.push(key);
            map.next_value::<Once>()?;
        }
        Ok(Once)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
        while items.next_element::<Once>()?.is_some() {}
        Ok(Once)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_str<E>(self, _: &str) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_found_at_any_depth() {
        let cases = [
            (r#"{"a": 1, "b": [2.5, null, true, "x", -1]}"#, None),
            (r#"{"a": 1, "b": 2, "a": 3}"#, Some("a")),
            (r#"{"o": [{"k": 1, "k": 1}]}"#, Some("k")),
            (r#"{"a": {"x": 1}, "b": {"x": 1}}"#, None),
            ("{", None),
        ];
        for (json, expected) in cases {
            assert_eq!(repeated_key(json.as_bytes()).as_deref(), expected, "{json}");
        }
    }
}
