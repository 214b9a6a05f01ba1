//! A line as the symbols of arithmetic and the words between them.

use num_rational::BigRational;

use crate::budget::Budget;
use crate::literal;

/// What a symbol is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A number with a value.
    Number {
        /// Its exact value.
        value: BigRational,
        /// Digits after the decimal point.
        fraction_digits: usize,
        /// Whether it is digits only.
        is_plain: bool,
    },
    Plus,
    Minus,
    Times,
    Over,
    Power,
    Percent,
    Open,
    Close,
    /// `\frac`, before its two groups.
    Fraction,
    Equals,
    Approximately,
    /// Letters: a unit, a variable, or prose.
    Word,
    /// Anything else; no arithmetic goes across it.
    Mark,
}

/// A symbol and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// First byte in the line.
    pub start: usize,
    /// Whether the symbol before it ends where this one begins.
    pub glued: bool,
}

impl Token<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether an operand may end here.
    pub(super) fn ends_operand(&self) -> bool {
        matches!(self.kind, Kind::Number { .. } | Kind::Close | Kind::Percent)
    }

    /// Whether it joins two operands.
    pub(super) fn is_operator(&self) -> bool {
        matches!(self.kind, Kind::Plus | Kind::Minus | Kind::Times | Kind::Over | Kind::Power)
    }

    /// Whether an operand may begin here.
    pub(super) fn begins_operand(&self) -> bool {
        matches!(self.kind, Kind::Number { .. } | Kind::Open | Kind::Fraction)
    }
}

/// Symbols spelled with fixed text, longest first; none: spacing, delimiters and signs of money.
const FIXED: &[(&str, Option<Kind>)] = &[
    ("\\approx", Some(Kind::Approximately)),
    ("\\times", Some(Kind::Times)),
    ("\\cdot", Some(Kind::Times)),
    ("\\dfrac", Some(Kind::Fraction)),
    ("\\tfrac", Some(Kind::Fraction)),
    ("\\right", None),
    ("\\frac", Some(Kind::Fraction)),
    ("\\left", None),
    ("\\text", None),
    ("\\div", Some(Kind::Over)),
    ("<=", Some(Kind::Mark)),
    (">=", Some(Kind::Mark)),
    ("!=", Some(Kind::Mark)),
    ("~=", Some(Kind::Approximately)),
    ("==", Some(Kind::Mark)),
    ("=>", Some(Kind::Mark)),
    ("**", None),
    ("\\$", None),
    ("\\%", Some(Kind::Percent)),
    ("\\,", None),
    ("\\;", None),
    ("\\!", None),
    ("\\(", None),
    ("\\)", None),
    ("\\[", None),
    ("\\]", None),
    ("\\{", Some(Kind::Mark)),
    ("\\}", Some(Kind::Mark)),
    ("$", None),
    ("€", None),
    ("£", None),
    ("+", Some(Kind::Plus)),
    ("-", Some(Kind::Minus)),
    ("−", Some(Kind::Minus)),
    ("–", Some(Kind::Minus)),
    ("*", Some(Kind::Times)),
    ("×", Some(Kind::Times)),
    ("·", Some(Kind::Times)),
    ("/", Some(Kind::Over)),
    ("÷", Some(Kind::Over)),
    ("^", Some(Kind::Power)),
    ("%", Some(Kind::Percent)),
    ("(", Some(Kind::Open)),
    ("[", Some(Kind::Open)),
    ("{", Some(Kind::Open)),
    (")", Some(Kind::Close)),
    ("]", Some(Kind::Close)),
    ("}", Some(Kind::Close)),
    ("=", Some(Kind::Equals)),
    ("≈", Some(Kind::Approximately)),
];

/// What a word of 64 bits of a number costs to be read, in steps of a budget.
const STEPS_OF_WORD: u64 = 4;

/// The symbols of one line; none when the budget does not suffice.
pub(super) fn lex<'a>(line: &'a str, budget: &Budget) -> Option<Vec<Token<'a>>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let rest = &line[at..];
        let (kind, len) = symbol(rest, c);
        if let Some(kind) = kind {
            if let Kind::Number { value, .. } = &kind {
                budget.spend(STEPS_OF_WORD * (bits(value) / 64))?;
            }
            let glued = tokens.last().is_some_and(|previous| previous.end() == at);
            let kind = if is_times(&rest[..len], &rest[len..], tokens.last()) { Kind::Times } else { kind };
            tokens.push(Token { kind, text: &rest[..len], start: at, glued });
        }
        at += len;
    }
    mark_rates(&mut tokens);
    Some(tokens)
}

/// Size of the larger of numerator and denominator.
pub(super) fn bits(value: &BigRational) -> u64 {
    value.numer().bits().max(value.denom().bits())
}

/// Turns the slash of `14 pieces/house` and `$5/hour` into a word, for it is part of the unit.
fn mark_rates(tokens: &mut [Token<'_>]) {
    for i in 1..tokens.len().saturating_sub(1) {
        let follows = matches!(tokens[i - 1].kind, Kind::Word | Kind::Number { .. });
        let unit = &tokens[i + 1];
        let is_unit =
            unit.kind == Kind::Word && unit.glued && unit.text.len() > 1 && !unit.text.starts_with('\\');
        if tokens[i].kind == Kind::Over && tokens[i].glued && follows && is_unit {
            tokens[i].kind = Kind::Word;
        }
    }
}

/// The symbol at the start of `rest`, if it is one, and the bytes it takes.
fn symbol(rest: &str, c: char) -> (Option<Kind>, usize) {
    if c.is_whitespace() {
        return (None, c.len_utf8());
    }
    if let Some(literal) = Some(rest).filter(|_| c.is_ascii_digit() || c == '.').and_then(literal::scan) {
        // A leading zero is no arithmetic: a time of day, a code.
        let is_code = literal.is_plain_integer() && literal.text.len() > 1 && literal.text.starts_with('0');
        let kind = literal.value().filter(|_| !is_code).map_or(Kind::Mark, |value| Kind::Number {
            value,
            fraction_digits: literal.fraction_digits,
            is_plain: literal.is_plain_integer(),
        });
        return (Some(kind), literal.text.len());
    }
    if c.is_alphabetic() {
        return (Some(Kind::Word), word_len(rest));
    }
    // The first byte tells most of them apart, without a call.
    let first = rest.as_bytes().first();
    let is_here = |text: &str| text.as_bytes().first() == first && rest.starts_with(text);
    if let Some((text, kind)) = FIXED.iter().find(|(text, _)| is_here(text)) {
        return (kind.clone(), text.len());
    }
    match c {
        '\\' => (Some(Kind::Word), 1 + word_len(&rest[1..])),
        _ => (Some(Kind::Mark), c.len_utf8()),
    }
}

fn word_len(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphabetic() || matches!(c, '\'' | '’'))).unwrap_or(text.len())
}

/// Whether the word `x` or `times` stands between two operands; the first may carry a unit.
fn is_times(word: &str, after: &str, previous: Option<&Token<'_>>) -> bool {
    let follows_operand = previous.is_some_and(|token| token.ends_operand() || token.kind == Kind::Word);
    let begins_operand = |c: char| c.is_ascii_digit() || matches!(c, '(' | '.');
    matches!(word, "x" | "X" | "times")
        && follows_operand
        && after.trim_start().trim_start_matches(['$', '\\']).starts_with(begins_operand)
}
