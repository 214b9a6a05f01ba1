//! The equations of one line, and the label they give it.

use std::borrow::Cow;

use num_rational::BigRational;

use super::evaluate::{evaluate, percent_readings, show};
use super::lexer::{Kind, Token, lex};
use super::sides::{Side, sides};
use super::{Label, annotations, without_annotations};
use crate::budget::Budget;
use crate::literal::is_rounding;

/// Equations in an explanation are cut after this many characters.
const EXCERPT_CHARS: usize = 120;

/// What became of one equals sign.
enum Finding {
    Holds,
    Fails(String),
    Unsure,
}

/// What a byte of a line costs, and a symbol of a side that is worked out, in steps of a budget.
const STEPS_OF_BYTE: u64 = 2;
const STEPS_OF_SYMBOL: u64 = 25;

/// The label of `line` and the sentence that explains it.
pub(super) fn check(line: &str, budget: &Budget) -> (Label, Cow<'static, str>) {
    if !may_have_equation(line) {
        return without_equation();
    }
    let Some(all) = all_findings(line, budget) else {
        return (Label::Unchecked, "There is too much to be checked.".into());
    };
    if let Some(failure) = all.failure {
        return (Label::Wrong, failure.into());
    }
    match all.holding {
        0 => without_equation(),
        1 => (Label::Correct, "The equation holds.".into()),
        n => (Label::Correct, format!("All {n} equations hold.").into()),
    }
}

/// Whether `line` has a sign of equality.
fn may_have_equation(line: &str) -> bool {
    let may_begin = |byte: u8| matches!(byte, b'=' | b'\\' | 0xe2);
    line.bytes().any(may_begin) && (line.contains(['=', '≈']) || line.contains("\\approx"))
}

fn without_equation() -> (Label, Cow<'static, str>) {
    (Label::Unchecked, "No equation could be checked.".into())
}

/// What became of the equals signs of a text, up to the first that fails.
#[derive(Default)]
struct Findings {
    holding: usize,
    failure: Option<String>,
}

impl Findings {
    fn and(self, later: Findings) -> Findings {
        Findings { holding: self.holding + later.holding, failure: self.failure.or(later.failure) }
    }
}

/// The findings of a line and of the calculator annotations in it. None when the budget does not suffice.
fn all_findings(line: &str, budget: &Budget) -> Option<Findings> {
    budget.spend(line.len() as u64)?;
    let plain = prose(&without_annotations(line), budget)?;
    annotations(line).try_fold(plain, |all, inside| Some(all.and(findings(inside, budget)?)))
}

/// The findings of a line that may be a list item: `- 5 + 3` is eight or minus two, `(5) - 2` an item or not.
/// None when the budget does not suffice.
fn prose(line: &str, budget: &Budget) -> Option<Findings> {
    let without = without_bullet(line);
    let item = findings(without, budget)?;
    if item.failure.is_none() || without.len() == line.len() {
        return Some(item);
    }
    let whole = findings(line, budget)?;
    Some(if whole.failure.is_some() { item } else { whole })
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

fn findings(text: &str, budget: &Budget) -> Option<Findings> {
    budget.spend(STEPS_OF_BYTE * text.len() as u64)?;
    let tokens = lex(text, budget)?;
    let is_equality = |token: &Token<'_>| matches!(token.kind, Kind::Equals | Kind::Approximately);
    let signs: Vec<&Token<'_>> = tokens.iter().filter(|token| is_equality(token)).collect();
    let segments: Vec<_> = tokens.split(is_equality).map(sides).collect();
    let chained = signs.len() > 1;
    let mut found = Findings::default();
    for (pair, sign) in segments.windows(2).zip(signs) {
        let (Some(left), Some(right)) = (&pair[0][1], &pair[1][0]) else { continue };
        budget.spend(STEPS_OF_SYMBOL * (left.tokens.len() + right.tokens.len()) as u64)?;
        let equation = Equation { text, left, right, is_approximate: sign.kind == Kind::Approximately };
        match equation.check(chained, budget) {
            Finding::Holds => found.holding += 1,
            Finding::Unsure if budget.is_spent() => return None,
            Finding::Unsure => {}
            Finding::Fails(explanation) => {
                found.failure = Some(explanation);
                break;
            }
        }
    }
    Some(found)
}

struct Equation<'a> {
    text: &'a str,
    left: &'a Side<'a>,
    right: &'a Side<'a>,
    is_approximate: bool,
}

impl Equation<'_> {
    fn check(&self, chained: bool, budget: &Budget) -> Finding {
        if !self.says_something(chained) || self.left.is_scaled() || self.right.is_scaled() {
            return Finding::Unsure;
        }
        let n_readings = if self.left.has_percent() || self.right.has_percent() { 2 } else { 1 };
        let readings = percent_readings();
        let values: Option<Vec<_>> =
            readings.iter().take(n_readings).map(|percent| self.values(percent, budget)).collect();
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

    fn values(&self, percent: &BigRational, budget: &Budget) -> Option<[BigRational; 2]> {
        let value = |side: &Side<'_>| evaluate(side.tokens, percent, budget);
        Some([value(self.left)?, value(self.right)?])
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
