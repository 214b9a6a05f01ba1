//! The record kinds of `schemas/`: fixed, versioned, never inferred from data.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::{Column, Columns};

/// A record kind as authored in `schemas/NAME.vN.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Name, as in the file name.
    pub name: String,
    /// Version; a change of the fields is a new version.
    pub version: u32,
    /// What one row of this kind is.
    pub doc: String,
    fields: Vec<Column>,
    #[serde(skip)]
    columns: Columns,
}

impl Kind {
    /// The kind's columns.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }
}

macro_rules! kinds {
    ($($name:literal),* $(,)?) => {
        /// Every record kind with its authored JSON.
        pub static KINDS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../schemas/", $name, ".v1.json")))),*];
    };
}

kinds! {
    "branch", "checkpoint", "comparison", "critique", "draw", "effort", "expert_load", "gate", "guidance", "likelihood", "metric", "part",
    "perplexity", "preference", "prompt", "provenance", "reject", "rejected", "run", "score", "step", "trained_on", "trial", "validation", "verdict", "vote",
}

static PARSED: LazyLock<BTreeMap<&str, Kind>> =
    LazyLock::new(|| KINDS.iter().map(|(name, json)| (*name, parse(json))).collect());

fn parse(json: &str) -> Kind {
    let mut kind: Kind = serde_json::from_str(json).expect("the files of schemas/ are checked by a test");
    kind.columns = Columns::new(std::mem::take(&mut kind.fields));
    kind
}

/// The record kind `name`. Panics on a name without a file: kinds are named in code only.
pub fn kind(name: &str) -> &'static Kind {
    PARSED.get(name).expect("every kind named in code is listed in KINDS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_parses_and_is_documented() {
        for (name, json) in KINDS {
            let kind = parse(json);
            assert_eq!((&*kind.name, kind.version), (*name, 1));
            assert!(kind.doc.ends_with('.'), "{name}: the doc is a sentence");
            assert!(!kind.columns.is_empty(), "{name} has fields");
            for (_, column) in kind.columns.visible() {
                assert!(column.doc.ends_with('.'), "{name}.{}: the doc is a sentence", column.name);
            }
            assert_eq!(kind.columns.visible().count(), kind.columns.len(), "{name}: field names are unique");
        }
    }
}
