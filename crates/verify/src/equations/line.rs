//! The equations of one line, and the label they give it.

use num_rational::BigRational;

use super::evaluate::{evaluate, percent_readings, show};
use super::lexer::{Kind, Token, lex};
use super::sides::{Side, sides};
use super::{Label, annotations, without_annotations};
use crate::literal::is_rounding;

/// Longest line that is read, in bytes: its symbols take a hundred times as much memory.
const MAX_BYTES: usize = 64 * 1024;

/// Equations in an explanation are cut after this many characters.
const EXCERPT_CHARS: usize = 120;

/// What became of one equals sign.
enum Finding {
    Holds,
    Fails(String),
    Unsure,
}

/// The label of `line` and the sentence that explains it.
pub(super) fn check(line: &str) -> (Label, String) {
    if line.len() > MAX_BYTES {
        return (Label::Unchecked, "The line is too long to be read.".to_owned());
    }
    let plain = without_annotations(line);
    let mut holding = 0_usize;
    for finding in prose(&plain).into_iter().chain(annotations(line).flat_map(findings)) {
        match finding {
            Finding::Fails(explanation) => return (Label::Wrong, explanation),
            Finding::Holds => holding += 1,
            Finding::Unsure => {}
        }
    }
    match holding {
        0 => (Label::Unchecked, "No equation could be checked.".to_owned()),
        1 => (Label::Correct, "The equation holds.".to_owned()),
        n => (Label::Correct, format!("All {n} equations hold.")),
    }
}

/// The findings of a line that may be a list item: `- 5 + 3` is eight or minus two, `(5) - 2` an item or not.
fn prose(line: &str) -> Vec<Finding> {
    let fails = |findings: &[Finding]| findings.iter().any(|finding| matches!(finding, Finding::Fails(_)));
    let item = findings(without_bullet(line));
    if !fails(&item) {
        return item;
    }
    let whole = findings(line);
    if fails(&whole) { item } else { whole }
}

/// `line` without the mark or number of a list item.
fn without_bullet(line: &str) -> &str {
    if let Some(item) = ["- ", "* ", "• ", "+ "].iter().find_map(|bullet| line.strip_prefix(bullet)) {
        return item;
    }
    let number = line.trim_start_matches('(').trim_start_matches(|c: char| c.is_ascii_digit());
    let item = number.strip_prefix(". ").or_else(|| number.strip_prefix(") "));
    item.filter(|_| number.len() < line.len()).unwrap_or(line)
}

fn findings(text: &str) -> Vec<Finding> {
    let tokens = lex(text);
    let is_equality = |token: &Token<'_>| matches!(token.kind, Kind::Equals | Kind::Approximately);
    let signs: Vec<&Token<'_>> = tokens.iter().filter(|token| is_equality(token)).collect();
    let segments: Vec<_> = tokens.split(is_equality).map(sides).collect();
    let chained = signs.len() > 1;
    segments
        .windows(2)
        .zip(signs)
        .map(|(pair, sign)| match (&pair[0][1], &pair[1][0]) {
            (Some(left), Some(right)) => {
                let equation =
                    Equation { text, left, right, is_approximate: sign.kind == Kind::Approximately };
                equation.check(chained)
            }
            _ => Finding::Unsure,
        })
        .collect()
}

struct Equation<'a> {
    text: &'a str,
    left: &'a Side<'a>,
    right: &'a Side<'a>,
    is_approximate: bool,
}

impl Equation<'_> {
    fn check(&self, chained: bool) -> Finding {
        if !self.says_something(chained) || self.left.is_scaled() || self.right.is_scaled() {
            return Finding::Unsure;
        }
        let n_readings = if self.left.has_percent() || self.right.has_percent() { 2 } else { 1 };
        let readings = percent_readings();
        let values: Option<Vec<_>> =
            readings.iter().take(n_readings).map(|percent| self.values(percent)).collect();
        let Some(values) = values else { return Finding::Unsure };
        if values.iter().any(|sides| self.holds(sides)) {
            Finding::Holds
        } else if self.is_certain() {
            Finding::Fails(self.explain(&values[0]))
        } else {
            Finding::Unsure
        }
    }

    /// Whether at least one side computes, or both are numbers in a chain of which another does.
    fn says_something(&self, chained: bool) -> bool {
        let (left, right) = (self.left, self.right);
        if !left.computes() && left.follows_word() {
            return false;
        }
        left.computes() || right.computes() || chained
    }

    fn values(&self, percent: &BigRational) -> Option<[BigRational; 2]> {
        Some([evaluate(self.left.tokens, percent)?, evaluate(self.right.tokens, percent)?])
    }

    fn holds(&self, [left, right]: &[BigRational; 2]) -> bool {
        left == right || self.is_rounded(self.right, right, left) || self.is_rounded(self.left, left, right)
    }

    fn is_rounded(&self, side: &Side<'_>, written: &BigRational, exact: &BigRational) -> bool {
        let digits = side.lone_fraction_digits().filter(|digits| *digits > 0 || self.is_approximate);
        digits.is_some_and(|digits| is_rounding(written, digits, exact))
    }

    /// Whether a mismatch is a mistake: nothing to read in another way, nothing that may have been converted.
    fn is_certain(&self) -> bool {
        let (left, right) = (self.left, self.right);
        let is_ambiguous =
            left.is_ambiguous() || right.is_ambiguous() || (left.has_percent() && right.has_percent());
        !self.is_approximate && !is_ambiguous && !self.may_convert()
    }

    /// Whether the sides count different things: `3 hours = 180`, `100 cents = $1`.
    fn may_convert(&self) -> bool {
        let mut units = self.left.units().chain(self.right.units()).map(singular);
        let Some(first) = units.next() else { return false };
        let drops_unit = self.left.units().next().is_some() && self.right.units().next().is_none();
        let is_cents = first.eq_ignore_ascii_case("cent") && self.text.contains('$');
        drops_unit || is_cents || units.any(|unit| unit != first)
    }

    fn explain(&self, [left, right]: &[BigRational; 2]) -> String {
        let (Some(first), Some(last)) = (self.left.tokens.first(), self.right.tokens.last()) else {
            return String::new();
        };
        let excerpt: String = self.text[first.start..last.end()].chars().take(EXCERPT_CHARS).collect();
        format!("In `{excerpt}` the left side is {}, the right side {}.", show(left), show(right))
    }
}

fn singular(unit: &str) -> &str {
    unit.strip_suffix('s').unwrap_or(unit)
}
