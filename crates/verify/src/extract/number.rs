//! The last number of a running text, with everything that belongs to its value.

use std::ops::Range;

use crate::literal;
use crate::quantity::MAGNITUDES;

/// Commands whose argument is text like any other; the arguments of all others are mathematics.
const TRANSPARENT: &[&str] = &["boxed", "fbox", "text", "textbf", "mathrm", "mathbf", "left", "right"];

/// Longest argument of a command that is read, in bytes.
const MAX_ARGUMENT_BYTES: usize = 256;

/// The last number in `text` with its sign, sign of money, percent sign and magnitude.
///
/// Numbers joined by an operator are one expression and come as one: an operand is not an answer.
pub(super) fn last_number(text: &str) -> Option<Range<usize>> {
    let mut scanner = Scanner { text, at: 0, last: None };
    while scanner.step() {}
    scanner.last
}

struct Scanner<'a> {
    text: &'a str,
    /// Where reading goes on, in bytes.
    at: usize,
    last: Option<Range<usize>>,
}

impl Scanner<'_> {
    /// Reads one thing; false at the end of the text.
    fn step(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(c) = rest.chars().next() else { return false };
        if rest.starts_with("<<") {
            // An annotation that never closes was cut off, and so was all that follows.
            self.at = rest.find(">>").map_or(self.text.len(), |i| self.at + i + 2);
        } else if c == '\\' {
            self.command();
        } else if c.is_alphabetic() || c == '_' {
            self.at += word_len(rest);
        } else if let Some(literal) = literal::scan(rest) {
            self.number(literal.text.len());
        } else {
            self.at += c.len_utf8();
        }
        true
    }

    fn number(&mut self, len: usize) {
        let start = self.at;
        let mut end = start + len;
        if is_ordinal(&self.text[end..]) {
            self.at = end + 2;
            return;
        }
        // `#12` is a name; `#### 12` and `##12` are marks.
        let head = &self.text[..start];
        if head.ends_with('#') && !head.ends_with("##") {
            self.at = end;
            return;
        }
        end += glued_len(&self.text[end..]);
        if self.text[..start].ends_with('$') && self.text[end..].starts_with('$') {
            // The signs delimit mathematics, they are no money.
            end += 1;
        }
        end += suffix_len(&self.text[end..]);
        self.found(start, end);
        self.at = end;
    }

    /// `start` moved back over signs, and over what makes the number an exponent or a root.
    fn prefixed(&self, start: usize) -> usize {
        let mut head = &self.text[..start];
        loop {
            let unsigned = head.strip_suffix(['-', '\u{2212}']).filter(|rest| !ends_operand(rest));
            let Some(rest) = unsigned.or_else(|| head.strip_suffix(['$', '€', '£', '\\'])) else { break };
            head = rest;
        }
        if !head.ends_with(['^', '√', '_']) {
            return head.len();
        }
        let previous_end = self.last.as_ref().map_or(0, |previous| previous.end.min(head.len()));
        let base = head[previous_end..].rsplit(char::is_whitespace).next().unwrap_or_default();
        head.len() - base.len()
    }

    /// Skips a command; one that is mathematics is a number with its arguments.
    fn command(&mut self) {
        let start = self.at;
        let rest = &self.text[start + 1..];
        let name = &rest[..rest.bytes().take_while(u8::is_ascii_alphabetic).count()];
        // A command of no letters is one escaped character.
        let len = if name.is_empty() { rest.chars().next().map_or(0, char::len_utf8) } else { name.len() };
        self.at = start + 1 + len;
        if name.is_empty() || TRANSPARENT.contains(&name) {
            return;
        }
        let arguments = arguments_len(&self.text[self.at..], name.ends_with("frac"));
        if arguments > 0 {
            self.at += arguments;
            self.found(start, self.at);
        }
    }

    fn continues(&self, previous: &Range<usize>, start: usize, end: usize) -> bool {
        joins(&self.text[previous.end..start], &self.text[start..end], &self.text[end..])
    }

    /// Notes a number, joined to the one before it when both are operands of one expression.
    fn found(&mut self, start: usize, end: usize) {
        let start = match &self.last {
            Some(previous) if self.continues(previous, start, end) => previous.start,
            _ => self.prefixed(start),
        };
        self.last = Some(start..end);
    }
}

/// Bytes of up to two arguments at the start: groups in braces or, where `takes_digits`, single digits.
fn arguments_len(text: &str, takes_digits: bool) -> usize {
    let mut len = 0;
    for _ in 0..2 {
        let rest = &text[len..];
        if takes_digits && rest.starts_with(|c: char| c.is_ascii_digit()) {
            len += 1;
            continue;
        }
        let Some(inner) = rest.strip_prefix('{') else { break };
        let bounded = &inner.as_bytes()[..inner.len().min(MAX_ARGUMENT_BYTES)];
        let Some(inner_len) = super::braces::closing(bounded) else { break };
        len += inner_len + 2;
    }
    len
}

/// Whether `number`, which comes after `between` and is followed by `after`, belongs to the number before it.
fn joins(between: &str, number: &str, after: &str) -> bool {
    if between == " " {
        // The fraction of a mixed number, `1 1/2`, or thousands, `1 000`.
        let is_group = number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit());
        return is_group || (after.starts_with('/') && after[1..].starts_with(|c: char| c.is_ascii_digit()));
    }
    let operator = between.trim().trim_end_matches(['$', '(', '\\']).trim_end();
    let operator = operator.trim_start_matches([')', '%']).trim_start();
    // A comma without a space is a decimal comma or a list: `2,74`, `[0,1)`.
    matches!(
        operator,
        "+" | "-" | "\u{2212}" | "*" | "/" | "×" | "÷" | "^" | "x" | ":" | "\\times" | "\\cdot"
    ) || matches!(between, "" | ",")
}

/// Whether a minus after `text` would be a subtraction or a hyphen.
fn ends_operand(text: &str) -> bool {
    let glued = text.ends_with(|c: char| c.is_alphanumeric());
    glued || text.trim_end().ends_with(|c: char| c.is_ascii_digit() || matches!(c, ')' | '%'))
}

/// Bytes of what is written into the number: letters, powers, operators with an operand.
fn glued_len(text: &str) -> usize {
    let mut len = 0;
    for (i, c) in text.char_indices() {
        let next = text[i + c.len_utf8()..].chars().next();
        let joins_operand = matches!(c, '^' | '_' | '+' | '*' | '-' | '!' | '\'')
            && next.is_some_and(|next| next.is_alphanumeric() || matches!(next, '{' | '('));
        if !(c.is_alphanumeric() || joins_operand || (len > 0 && matches!(c, '{' | '}'))) {
            break;
        }
        len = i + c.len_utf8();
    }
    len
}

/// Bytes of ` million`, `%` or `\%` at the start.
fn suffix_len(text: &str) -> usize {
    let magnitude = MAGNITUDES.iter().find_map(|(word, _)| {
        let rest = text.strip_prefix(' ')?.strip_prefix(word)?;
        (!rest.starts_with(char::is_alphabetic)).then_some(1 + word.len())
    });
    let percent =
        ["%", "\\%", " %", " percent"].iter().find(|sign| text.starts_with(**sign)).map(|sign| sign.len());
    magnitude.or(percent).unwrap_or(0)
}

fn is_ordinal(text: &str) -> bool {
    let is_suffix = ["st", "nd", "rd", "th"].iter().any(|suffix| text.starts_with(suffix));
    is_suffix && !text[2..].starts_with(char::is_alphanumeric)
}

/// Bytes of the identifier at the start, digits in it included: the 3 of `mp3` is not a number.
fn word_len(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_whole() {
        let cases = [
            ("She makes $18 a day.", "$18"),
            ("It is -5.", "-5"),
            ("It is -$5", "-$5"),
            ("It is $-5", "$-5"),
            ("from 16-3", "16-3"),
            ("that is 1,234,567.50 in all", "1,234,567.50"),
            ("so 7/14", "7/14"),
            ("so 1 1/2 cups", "1 1/2"),
            ("about 60% of them", "60%"),
            ("sales of 2 million.", "2 million"),
            ("needs 5 * 1", "5 * 1"),
            ("A: 10+John's age", "10+John's"),
            ("x^2", "x^2"),
            ("so\u{a0}x^2", "x^2"),
            ("2x", "2x"),
            ("\\frac{1}{2}", "\\frac{1}{2}"),
            ("about \\sqrt{2}", "\\sqrt{2}"),
            ("\\boxed{18}", "18"),
            ("24 eggs on the 3rd day of AZYUK2A with mp3", "24"),
            ("it is <<48/2=24>>24 eggs", "24"),
            ("12 <<48/2=", "12"),
            ("costs \\$7", "\\$7"),
            ("in $-[0,1)$", "0,1"),
            ("Soucis : 2,74 $ a..", "2,74"),
            ("it is 1 000", "1 000"),
            ("so $\\frac13$", "$\\frac13"),
            ("$28$ %", "$28$ %"),
            ("16 people think of horse #12.", "16"),
        ];
        for (text, expected) in cases {
            assert_eq!(last_number(text).map(|range| &text[range]), Some(expected), "{text}");
        }
        for text in ["", "none", "<<48/2=24>>", "mp3", "the 3rd"] {
            assert_eq!(last_number(text), None, "{text}");
        }
    }
}
