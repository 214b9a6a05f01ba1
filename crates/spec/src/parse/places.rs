//! From the parser's places, which count characters of a part, to bytes of the whole text.

use saphyr_parser::Marker;

use crate::{SourceId, Span};

/// Byte places of the parser's character places.
pub(super) struct Places {
    pub(super) source: SourceId,
    pub(super) base: usize,
    len: usize,
    /// Byte offset of each character; empty when every character is one byte.
    bytes: Vec<usize>,
}

impl Places {
    pub(super) fn new(source: SourceId, base: usize, text: &str) -> Self {
        let bytes =
            if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Self { source, base, len: text.len(), bytes }
    }

    pub(super) fn at(&self, marker: Marker) -> usize {
        let index = marker.index();
        let byte =
            if self.bytes.is_empty() { index } else { self.bytes.get(index).copied().unwrap_or(self.len) };
        self.base + byte.min(self.len)
    }

    pub(super) fn span(&self, span: saphyr_parser::Span) -> Span {
        Span { source: self.source, start: self.at(span.start), end: self.at(span.end) }
    }
}
