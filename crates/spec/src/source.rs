//! Texts that were read, and places in them.

/// A text with a name: the pipeline file, or one `--set` argument.
#[derive(Clone, Debug)]
pub struct Source {
    /// What is shown before the line number: a path as the user gave it, or `--set`.
    pub name: String,
    /// The whole text.
    pub text: String,
    lines: Vec<usize>,
}

impl Source {
    fn new(name: &str, text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            lines: std::iter::once(0).chain(starts).collect(),
        }
    }

    /// The line of the byte `at`, from 0. A place past the end is in the last line.
    pub fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at) - 1
    }

    /// Byte range of the line `line` (from 0), without its line break.
    pub fn line_range(&self, line: usize) -> std::ops::Range<usize> {
        let start = self.lines[line];
        let end = self.lines.get(line + 1).map_or(self.text.len(), |next| next - 1);
        start..start + self.text[start..end].trim_end_matches('\r').len()
    }

    /// Line and column of the byte `at`, both from 1; columns count characters.
    pub fn place(&self, at: usize) -> (usize, usize) {
        let at = self.text.floor_char_boundary(at);
        let line = self.line_of(at);
        (line + 1, self.text[self.lines[line]..at].chars().count() + 1)
    }
}

/// The texts that a reading is made of; a [`Span`] points into one of them.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text and returns its id. Texts are read whole, so they are below 4 GiB.
    pub fn add(&mut self, name: &str, text: &str) -> SourceId {
        self.0.push(Source::new(name, text));
        SourceId(u32::try_from(self.0.len() - 1).expect("a reading has one file and a few `--set` arguments"))
    }

    /// The text of `id`, which [`Sources::add`] returned.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.0[id.0 as usize]
    }

    /// The characters that `span` covers.
    pub fn text(&self, span: Span) -> &str {
        &self.get(span.source).text[span.start..span.end]
    }
}

/// Which text of [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A byte range of one text, on character boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// From the start of `self` to the end of `last`, both in one text.
    #[must_use]
    pub fn to(self, last: Span) -> Span {
        Span { end: last.end.max(self.end), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_lines_end_before_their_break() {
        let source = Source::new("x", "a\r\né\tb\n");
        assert_eq!(source.place(0), (1, 1));
        assert_eq!(source.place(source.text.find('b').unwrap()), (2, 3));
        assert_eq!(source.place(source.text.len()), (3, 1));
        assert_eq!(&source.text[source.line_range(0)], "a");
        assert_eq!(&source.text[source.line_range(1)], "é\tb");
        assert_eq!(&source.text[source.line_range(2)], "");
    }
}
