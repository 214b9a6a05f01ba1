//! A walk through JSON text that reads no more than it must.

use std::borrow::Cow;
use std::ops::Range;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 128;

/// A place in a text where a value begins.
pub(super) struct Walker<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walker<'a> {
    /// Begins at the byte `at`.
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// Moves to the value of `key` of the object here; none where there is no such object or key. Of a key that stands
    /// twice, the first counts.
    pub(super) fn enter_key(&mut self, key: &str) -> Option<()> {
        self.expect(b'{')?;
        loop {
            let name = self.value()?;
            self.expect(b':')?;
            let name = self.text[name].strip_prefix('"')?.strip_suffix('"')?;
            if unescaped(name) == key {
                return Some(());
            }
            self.value()?;
            self.expect(b',')?;
        }
    }

    /// Moves to the element `index` of the list here; none where there is no such list or element.
    pub(super) fn enter_index(&mut self, index: usize) -> Option<()> {
        self.expect(b'[')?;
        for _ in 0..index {
            self.value()?;
            self.expect(b',')?;
        }
        (self.peek()? != b']').then_some(())
    }

    /// The whole value here, and moves behind it; none where there is none.
    pub(super) fn value(&mut self) -> Option<Range<usize>> {
        let first = self.peek()?;
        let start = self.at;
        self.at += match first {
            b'"' => quoted_len(&self.text[start..])?,
            b'{' | b'[' => group_len(&self.text[start..])?,
            _ => bare_len(&self.text[start..]),
        };
        (self.at > start).then_some(start..self.at)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()?;
        self.at += 1;
        (found == byte).then_some(())
    }
}

/// Bytes of the text in quotes at the start, the quotes included.
fn quoted_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map(|len| len + 2)
}

/// Bytes of the object or list at the start.
fn group_len(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        at += match text.as_bytes().get(at)? {
            b'"' => quoted_len(&text[at..])?,
            b'{' | b'[' if depth == MAX_DEPTH => return None,
            b'{' | b'[' => {
                depth += 1;
                1
            }
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => {
                depth -= 1;
                1
            }
            _ => 1,
        };
    }
}

/// Bytes of a number, `true`, `false` or `null` at the start.
fn bare_len(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len())
}

/// A JSON text without its escapes. A backslash that begins no escape stays, and so does one that begins a command of
/// LaTeX: models write `\frac` and `\text` where JSON wants `\\frac`, and answers have no form feeds in them.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        let (c, len) = resolved(escape).unwrap_or(('\\', 0));
        plain.push(c);
        rest = &escape[len..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The character that an escape stands for, and its bytes behind the backslash.
fn resolved(escape: &str) -> Option<(char, usize)> {
    let mut chars = escape.chars();
    let first = chars.next()?;
    let is_command = chars.next().is_some_and(|c| c.is_ascii_lowercase());
    match first {
        '"' | '\\' | '/' => Some((first, 1)),
        'n' if !is_command => Some(('\n', 1)),
        't' if !is_command => Some(('\t', 1)),
        'r' if !is_command => Some(('\r', 1)),
        'u' => {
            let code = u32::from_str_radix(escape.get(1..5)?, 16).ok()?;
            char::from_u32(code).map(|c| (c, 5))
        }
        _ => None,
    }
}
