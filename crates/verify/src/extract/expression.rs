//! The last formula or number of a running text.

use std::ops::Range;

use super::number::last_number;

/// The last formula between delimiters, with them, or the last number if it stands behind it.
pub(super) fn last(text: &str) -> Option<Range<usize>> {
    match (last_formula(text), last_number(text)) {
        (Some(formula), Some(number)) if number.start >= formula.end => Some(number),
        // A percent sign or unit behind the formula belongs to its number.
        (Some(formula), Some(number)) => Some(formula.start.min(number.start)..formula.end.max(number.end))
            .filter(|_| number.end > formula.end)
            .or(Some(formula)),
        (formula, number) => formula.or(number),
    }
}

/// Where the delimiters stand that have opened and not closed.
#[derive(Default)]
struct Open {
    dollar: Option<usize>,
    dollars: Option<usize>,
    bracket: Option<usize>,
    parenthesis: Option<usize>,
}

/// The last formula that says more than a name.
fn last_formula(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut open = Open::default();
    let mut last = None;
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| matches!(byte, b'$' | b'\\')) {
        let start = at + found;
        let delimiter = bytes.get(start + 1).copied().unwrap_or_default();
        let is_double = bytes[start] == b'\\' || delimiter == b'$';
        at = (start + 1 + usize::from(is_double)).min(bytes.len());
        let opened = match (bytes[start], delimiter) {
            (b'$', b'$') => toggle(&mut open.dollars, start, |_| true),
            (b'$', _) => toggle(&mut open.dollar, start, |from| is_formula(text, from + 1..start)),
            (_, b'[') => open.bracket.replace(start).and(None),
            (_, b'(') => open.parenthesis.replace(start).and(None),
            (_, b']') => open.bracket.take(),
            (_, b')') => open.parenthesis.take(),
            _ => None,
        };
        last = opened.map(|from| from..at).filter(|range| says_something(&bytes[range.clone()])).or(last);
    }
    last
}

/// The place where the delimiter at `at` closes what opened; else it opens.
fn toggle(open: &mut Option<usize>, at: usize, closes: impl Fn(usize) -> bool) -> Option<usize> {
    match open.take() {
        Some(from) if closes(from) => Some(from),
        _ => {
            *open = Some(at);
            None
        }
    }
}

/// Whether what stands between two `$` is a formula, and the signs are not of money.
fn is_formula(text: &str, inside: Range<usize>) -> bool {
    let after = text[inside.end + 1..].chars().next();
    let inside = &text[inside];
    let is_tight = !inside.starts_with(char::is_whitespace) && !inside.ends_with(char::is_whitespace);
    let has_command =
        inside.as_bytes().windows(2).any(|pair| pair[0] == b'\\' && pair[1].is_ascii_alphabetic());
    !inside.is_empty() && (is_tight || has_command) && !after.is_some_and(|c| c.is_ascii_digit())
}

/// Whether a formula has a digit, a command or an operator.
fn says_something(formula: &[u8]) -> bool {
    let is_command = |pair: &[u8]| pair[0] == b'\\' && pair[1].is_ascii_alphabetic();
    formula.iter().any(|byte| byte.is_ascii_digit() || b"+=^/<>".contains(byte))
        || formula.windows(2).any(is_command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_formula_or_number_is_taken() {
        let cases = [
            ("so $x = 5$.", "$x = 5$"),
            ("The matrix is $ \\begin{pmatrix}1\\end{pmatrix} $", "$ \\begin{pmatrix}1\\end{pmatrix} $"),
            ("so \\(x^2\\) holds", "\\(x^2\\)"),
            ("thus\n\\[ y=2 \\]\nfor all $x$", "\\[ y=2 \\]"),
            ("$$a+b$$", "$$a+b$$"),
            ("$x=1$ and then 7 eggs", "7"),
            ("$28$ %", "$28$ %"),
            ("$5 per day for $x$ days", "$5"),
            ("from $5 to $6", "$6"),
            ("from $15/$3", "$15/$3"),
            ("\\[ \\text{$x$} = 1 \\]", "\\[ \\text{$x$} = 1 \\]"),
            ("\\[ 5", "5"),
        ];
        for (text, expected) in cases {
            assert_eq!(last(text).map(|range| &text[range]), Some(expected), "{text}");
        }
        for text in ["", "none", "$x$", "$", "\\", "\\[\\]"] {
            assert_eq!(last(text), None, "{text}");
        }
    }
}
