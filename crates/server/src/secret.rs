//! A key that no message shows.

use std::fmt;

/// A text that is shown as `***` wherever it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`; white space around it, such as the end of a line, is not part of it.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The text itself, for the one header that needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of the secret hidden: servers repeat in messages what they were sent.
    pub fn redact(&self, text: &str) -> String {
        match self.0.is_empty() {
            true => text.to_owned(),
            false => text.replace(&self.0, "***"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_shown() {
        let key = Secret::new("sk-123\n");
        assert_eq!(format!("{key:?}"), "***");
        assert_eq!(key.redact("wrong key sk-123, not sk-12"), "wrong key ***, not sk-12");
        assert_eq!(Secret::new("").redact("as it is"), "as it is");
    }
}
