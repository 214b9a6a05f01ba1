//! The keys of a grader: names and values as text.

use super::Grader;
use crate::extract::InvalidExtract;
use crate::name::UnknownName;
use crate::options::{Decimals, Options};

/// A key that cannot be set so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The value, or the key itself, is not one of the known names.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// The value names no rule of extraction.
    #[error(transparent)]
    Extract(#[from] InvalidExtract),
    /// The value names no rule for decimals.
    #[error(
        "unknown decimals \"{0}\", expected one of: exact, doubt, rounded, places:N, relative:N with N from 0 to 300"
    )]
    Decimals(String),
}

impl Grader {
    /// The keys, in the order in which they must be set: `compare` brings defaults for those behind it.
    pub const KEYS: &[&str] =
        &["extract", "strictness", "boxes", "compare", "percent", "decimals", "order", "units"];

    /// Sets a key. Errs where there is no such key or value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidKey> {
        match key {
            "extract" => self.extraction.rule = value.parse()?,
            "strictness" => self.extraction.strictness = value.parse()?,
            "boxes" => self.extraction.boxes = value.parse()?,
            "compare" => {
                let choices = std::mem::take(&mut self.options.choices);
                self.options = Options { choices, ..Options::new(value.parse()?) };
            }
            "percent" => self.options.percent = value.parse()?,
            "decimals" => self.options.decimals = decimals(value)?,
            "order" => self.options.order = value.parse()?,
            "units" => self.options.units = value.parse()?,
            _ => return Err(UnknownName { what: "key", given: key.to_owned(), known: Grader::KEYS }.into()),
        }
        Ok(())
    }
}

fn decimals(value: &str) -> Result<Decimals, InvalidKey> {
    let (name, number) = value.split_once(':').unwrap_or((value, ""));
    let number = number.parse::<u32>().ok().filter(|number| *number <= 300);
    match (name, number) {
        ("exact", None) => Ok(Decimals::Exact),
        ("doubt", None) => Ok(Decimals::Doubt),
        ("rounded", None) => Ok(Decimals::Rounded),
        ("places", Some(number)) => Ok(Decimals::Places(number)),
        ("relative", Some(number)) => Ok(Decimals::Relative(number)),
        _ => Err(InvalidKey::Decimals(value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_by_name() {
        let values = ["regex:x", "strict", "all", "numeric", "value", "places:3", "listed", "required"];
        let mut grader = Grader::default();
        for (key, value) in Grader::KEYS.iter().zip(values) {
            let before = grader.clone();
            assert_eq!(grader.set(key, value), Ok(()), "{key}");
            assert_ne!(grader, before, "{key}");
        }
        assert_eq!(grader.options.decimals, Decimals::Places(3));
    }

    #[test]
    fn mistakes_are_told() {
        let told = |key: &str, value: &str| Grader::default().set(key, value).expect_err(key).to_string();
        assert!(told("extrct", "auto").starts_with("unknown key \"extrct\", expected one of: extract, "));
        assert!(told("boxes", "first").starts_with("unknown boxes \"first\""));
        for value in ["near", "places", "places:x", "relative:301", "exact:1"] {
            assert!(told("decimals", value).starts_with("unknown decimals"), "{value}");
        }
    }
}
