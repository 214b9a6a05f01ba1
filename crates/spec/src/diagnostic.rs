//! A mistake of the user, with its places and advice. Only the command line prints it.

use crate::{Code, Span};

/// One mistake. All of a pipeline are collected in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether a run is still possible.
    pub severity: Severity,
    /// The code to look up with `flow explain`.
    pub code: &'static str,
    /// Lowercase fact with value and expectation, no period.
    pub message: String,
    /// The place to mark.
    pub span: Span,
    /// Short words beside the mark.
    pub label: Option<String>,
    /// Other places that belong to the mistake, each with words of its own.
    pub related: Vec<(Span, String)>,
    /// One sentence that can be acted on.
    pub help: Option<String>,
}

/// Whether a run is still possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// The pipeline runs, though probably not as meant.
    Warning,
}

impl Severity {
    /// The lowercase word.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl Diagnostic {
    /// A mistake at `span`; its code tells the severity: `E....` or `W....`.
    pub fn new(code: &Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: if code.id.starts_with('W') { Severity::Warning } else { Severity::Error },
            code: code.id,
            message: message.into(),
            span,
            label: None,
            related: Vec::new(),
            help: None,
        }
    }

    /// The same with words beside the mark.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same with another place.
    #[must_use]
    pub fn related(mut self, span: Span, words: impl Into<String>) -> Self {
        self.related.push((span, words.into()));
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What makes two of them the same: place, code and words.
    pub fn identity(&self) -> (Span, &'static str, String) {
        (self.span, self.code, self.message.clone())
    }

    /// Whether it prevents a run.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Puts diagnostics into the order of the text, and drops what only follows from bad YAML at the same place.
pub fn settle(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (a.span, a.code).cmp(&(b.span, b.code)));
    diagnostics.dedup_by(|next, kept| next.span == kept.span && kept.code.starts_with("E00"));
}
