//! How verdicts agree with labels.

use flow_verify::Outcome;
use serde::Serialize;

use super::row::Verdict;
use crate::columns::columns;

/// Counts of verdicts; its JSON form is the figures of `--format json`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Tally {
    /// Rows without a label, by verdict.
    unlabelled: Counts,
    /// Rows whose label says that the answers are the same.
    expected_equal: Counts,
    /// Rows whose label says that they are not.
    expected_different: Counts,
    /// Rows that could not be judged.
    #[serde(skip)]
    unread: u64,
}

/// Counts by verdict.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Counts {
    equal: u64,
    different: u64,
    unknown: u64,
}

impl Counts {
    fn sum(self) -> u64 {
        self.equal + self.different + self.unknown
    }

    fn cells(self) -> [String; 3] {
        [self.equal, self.different, self.unknown].map(|count| count.to_string())
    }
}

impl Tally {
    /// Counts a verdict.
    pub(super) fn count(&mut self, verdict: &Verdict) {
        let counts = match verdict.expected {
            None => &mut self.unlabelled,
            Some(true) => &mut self.expected_equal,
            Some(false) => &mut self.expected_different,
        };
        let count = match verdict.verdict {
            Outcome::Equal => &mut counts.equal,
            Outcome::Different => &mut counts.different,
            Outcome::Unknown => &mut counts.unknown,
        };
        *count += 1;
    }

    /// Counts a row that could not be judged. Returns how many were counted before.
    pub(super) fn count_unread(&mut self) -> u64 {
        self.unread += 1;
        self.unread - 1
    }

    /// Rows that could not be judged.
    pub(super) fn unread(&self) -> u64 {
        self.unread
    }

    /// All rows that were judged.
    pub(super) fn rows(&self) -> u64 {
        self.unlabelled.sum() + self.labelled()
    }

    fn labelled(&self) -> u64 {
        self.expected_equal.sum() + self.expected_different.sum()
    }

    /// Rows whose verdict is what the label says. One that is not decided says neither.
    fn agreeing(&self) -> u64 {
        self.expected_equal.equal + self.expected_different.different
    }

    /// The figures as one JSON object.
    pub(super) fn json(&self) -> serde_json::Value {
        let mut figures = serde_json::json!({
            "rows": self.rows(),
            "unread": self.unread,
            "labelled": self.labelled(),
            "agreeing": self.agreeing(),
            "false_accepts": self.expected_different.equal,
            "false_rejects": self.expected_equal.different,
            "unknown": self.expected_equal.unknown + self.expected_different.unknown + self.unlabelled.unknown,
        });
        figures["verdicts"] = serde_json::to_value(self).expect("counts are numbers under text keys");
        figures
    }

    /// The closing table.
    pub(super) fn text(&self) -> String {
        let row = |name: &str, counts: Counts| {
            let mut cells = vec![name.to_owned()];
            cells.extend(counts.cells());
            cells
        };
        let mut rows = vec![["verdict", "equal", "different", "unknown"].map(str::to_owned).to_vec()];
        if self.labelled() > 0 {
            rows.push(row("expected equal", self.expected_equal));
            rows.push(row("expected different", self.expected_different));
        }
        if self.unlabelled.sum() > 0 || self.labelled() == 0 {
            rows.push(row("no label", self.unlabelled));
        }
        let mut text = columns(&rows);
        if self.labelled() > 0 {
            let (agreeing, labelled) = (self.agreeing(), self.labelled());
            let unknown = self.expected_equal.unknown + self.expected_different.unknown;
            text.push_str(&format!(
                "agreement {:.2} % ({agreeing} of {labelled}), {} false accepts, {} false rejects, {unknown} unknown, which agree with nothing\n",
                100.0 * agreeing as f64 / labelled as f64,
                self.expected_different.equal,
                self.expected_equal.different,
            ));
        }
        text
    }
}
