//! What a problem says, in the words of each phrasing.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::random::below;

/// In which words problems are said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phrasing {
    /// As short as can be: one wording for each fact.
    #[default]
    Plain,
    /// Whole sentences, each drawn from several wordings.
    Varied,
    /// Whole sentences in wordings that no other phrasing has: to test on.
    Unseen,
}

/// The wordings of one kind of fact. `{name}` stands for what a problem fills in.
pub(super) struct Words {
    /// Empty where a plain problem leaves the fact out.
    pub(super) plain: &'static str,
    pub(super) varied: &'static [&'static str],
    pub(super) unseen: &'static [&'static str],
}

/// One fact of a problem.
pub(super) struct Fact {
    words: &'static Words,
    /// What is filled in, by name.
    blanks: Vec<(&'static str, String)>,
}

impl Fact {
    pub(super) fn new<const N: usize>(words: &'static Words, blanks: [(&'static str, &dyn ToString); N]) -> Self {
        Self { words, blanks: blanks.map(|(name, value)| (name, value.to_string())).into() }
    }

    /// The fact in the plain wording.
    pub(super) fn plain(&self) -> String {
        self.fill(self.words.plain)
    }

    /// The fact in a wording of `phrasing`. The plain one takes nothing from the random state.
    pub(super) fn say(&self, phrasing: Phrasing, state: &mut u64) -> String {
        let wordings = match phrasing {
            Phrasing::Plain => return self.plain(),
            Phrasing::Varied => self.words.varied,
            Phrasing::Unseen => self.words.unseen,
        };
        self.fill(wordings[below(state, wordings.len())])
    }

    fn fill(&self, wording: &str) -> String {
        let mut said = String::with_capacity(wording.len() + 16);
        let mut pieces = wording.split('{');
        said.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (name, rest) = piece.split_once('}').expect("wordings close their braces: a test reads them all");
            let blank = self.blanks.iter().find(|(other, _)| *other == name);
            let (_, value) = blank.expect("every name of a wording is filled in: a test says them all");
            let _ = write!(said, "{value}{rest}");
        }
        said
    }
}
