//! LaTeX and plain text to one tree, by recursive descent without tokens.
//!
//! The parser reads what a person would write in an answer, in either notation or a mixture: `\frac12`,
//! `1/2`, `2\sqrt 3`, `sqrt(3)`, `x^2`, `x**2`, `4\frac12` (a mixed number), `2x` (a product), `a/bc`
//! ((a/b)c, left to right), `\sin 2x`, `(1, 2]`, `\{1, 2\}`, `x \le 3`, `1 \text{ or } 2`, `5\text{ cm}`.
//! It reads the whole text or nothing. Nesting is at most [`MAX_DEPTH`], items at most [`MAX_ITEMS`].

mod command;
mod group;
mod measured;
mod modulus;
mod notation;
mod number;
mod primary;
mod product;
mod series;
mod words;

pub(crate) use primary::is_function_name;

use crate::expr::{Expr, Joint, Sign};
use crate::judge::CONGRUENCE;

/// Deepest nesting that is read.
const MAX_DEPTH: u32 = 40;

/// Most numbers, symbols and other primaries that are read.
const MAX_ITEMS: u32 = 1500;

/// The tree of `text`, which is normalised; none when any of it cannot be read.
///
/// `letters_are_units` reads the `m` of `5 m` as a metre.
pub(crate) fn parse(text: &str, letters_are_units: bool) -> Option<Expr> {
    let mut parser = Parser {
        rest: text,
        depth: 0,
        items: 0,
        bars: 0,
        brackets: 0,
        letters_are_units,
        has_thousands: false,
        has_vectors: false,
        has_crosses: false,
        is_congruence: false,
    };
    let expr = parser.list()?;
    parser.skip_spaces();
    let is_vector_product = parser.has_vectors && parser.has_crosses;
    (parser.rest.is_empty() && !is_vector_product).then_some(expr)
}

/// What is still to be read, and where in the nesting it stands.
struct Parser<'a> {
    rest: &'a str,
    depth: u32,
    items: u32,
    /// Absolute values that are open.
    bars: u32,
    /// Round, square and set brackets that are open: inside them a comma separates.
    brackets: u32,
    letters_are_units: bool,
    /// Whether a comma may be of thousands inside brackets too.
    has_thousands: bool,
    /// Whether a letter was marked as a vector.
    has_vectors: bool,
    /// Whether `×` stood before something else than a number: between vectors it is another product than `·`.
    has_crosses: bool,
    /// Whether a modulus is still to come.
    is_congruence: bool,
}

/// Signs of relations, longer spellings before their beginnings.
const SIGNS: &[(&str, Sign)] = &[
    ("<=", Sign::LessEqual),
    (">=", Sign::GreaterEqual),
    ("!=", Sign::NotEqual),
    ("==", Sign::Equal),
    ("=<", Sign::LessEqual),
    ("=", Sign::Equal),
    ("<", Sign::Less),
    (">", Sign::Greater),
    ("≤", Sign::LessEqual),
    ("⩽", Sign::LessEqual),
    ("≥", Sign::GreaterEqual),
    ("⩾", Sign::GreaterEqual),
    ("≠", Sign::NotEqual),
    ("≈", Sign::Approximate),
    ("∈", Sign::In),
];

const SIGN_COMMANDS: &[(&str, Sign)] = &[
    ("le", Sign::LessEqual),
    ("leq", Sign::LessEqual),
    ("leqslant", Sign::LessEqual),
    ("ge", Sign::GreaterEqual),
    ("geq", Sign::GreaterEqual),
    ("geqslant", Sign::GreaterEqual),
    ("lt", Sign::Less),
    ("gt", Sign::Greater),
    ("ne", Sign::NotEqual),
    ("neq", Sign::NotEqual),
    ("approx", Sign::Approximate),
    ("simeq", Sign::Approximate),
    ("in", Sign::In),
];

impl<'a> Parser<'a> {
    /// Items with commas, semicolons, `and`, `or` between them; one item is itself.
    fn list(&mut self) -> Option<Expr> {
        let mut items = vec![self.item()?];
        let mut joint = Joint::Comma;
        let mut is_logical = false;
        while let Some((separator, is_sign)) = self.separator() {
            if separator != Joint::Comma {
                joint = separator;
            }
            is_logical |= is_sign;
            items.push(self.item()?);
        }
        // `p \land q` is one statement, not two answers.
        if is_logical && !items.iter().all(|item| matches!(item, Expr::Relation(..))) {
            return None;
        }
        if items.len() == 1 { items.pop() } else { Some(Expr::List(items, joint)) }
    }

    /// The items of a bracket; joints do not matter there.
    fn items(&mut self) -> Option<Vec<Expr>> {
        Some(match self.list()? {
            Expr::List(items, _) => items,
            item => vec![item],
        })
    }

    /// What joins two items, and whether it is a sign of logic.
    fn separator(&mut self) -> Option<(Joint, bool)> {
        self.skip_spaces();
        let mut found = None;
        if self.take(",") || self.take(";") || self.take("，") || self.take("、") {
            found = Some((Joint::Comma, false));
        }
        self.skip_spaces();
        for (word, joint) in [("and", Joint::And), ("or", Joint::Or)] {
            if self.take_word(word) || self.take_marked(word) {
                return Some((joint, false));
            }
        }
        for (sign, names, joint) in [("∧", ["land", "wedge"], Joint::And), ("∨", ["lor", "vee"], Joint::Or)]
        {
            if self.take(sign) || names.iter().any(|name| self.take_command(name)) {
                return Some((joint, true));
            }
        }
        found
    }

    /// A relation, a union, or an expression.
    fn item(&mut self) -> Option<Expr> {
        self.descend(|parser| {
            let mut sides = vec![parser.union()?];
            let mut signs = Vec::new();
            parser.skip_spaces();
            if parser.take("≡") || parser.take_command("equiv") {
                parser.is_congruence = true;
                sides.push(parser.union()?);
                sides.push(parser.modulus()?);
                parser.is_congruence = false;
                return Some(Expr::Apply(CONGRUENCE.to_owned(), sides));
            }
            while let Some(sign) = parser.sign() {
                signs.push(sign);
                sides.push(parser.union()?);
            }
            if signs.is_empty() { sides.pop() } else { Some(Expr::Relation(sides, signs)) }
        })
    }

    fn sign(&mut self) -> Option<Sign> {
        self.skip_spaces();
        if let Some((_, sign)) = SIGNS.iter().find(|(spelling, _)| self.take(spelling)) {
            return Some(*sign);
        }
        let (_, sign) = SIGN_COMMANDS.iter().find(|(name, _)| self.take_command(name))?;
        Some(*sign)
    }

    fn union(&mut self) -> Option<Expr> {
        let mut parts = vec![self.ratio()?];
        loop {
            self.skip_spaces();
            if self.take("∪")
                || self.take_command("cup")
                || self.take_command("bigcup")
                || self.take_word("U")
            {
                parts.push(self.ratio()?);
            } else if self.take_command("setminus") || self.take_command("backslash") || self.take("∖") {
                let without = self.ratio()?;
                let part = parts.pop()?;
                parts.push(Expr::Without(Box::new(part), Box::new(without)));
            } else {
                break;
            }
        }
        if parts.len() == 1 { parts.pop() } else { Some(Expr::Union(parts)) }
    }

    fn ratio(&mut self) -> Option<Expr> {
        let mut parts = vec![self.sum()?];
        loop {
            self.skip_spaces();
            if !(self.take(":") || self.take("∶") || self.take_command("colon")) {
                break;
            }
            parts.push(self.sum()?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(Expr::Ratio(parts)) }
    }

    /// Terms with signs between them.
    fn sum(&mut self) -> Option<Expr> {
        let mut terms = Vec::new();
        loop {
            self.skip_spaces();
            let sign = self.term_sign();
            if sign.is_none() && !terms.is_empty() {
                break;
            }
            let term = self.product()?;
            terms.push(match sign {
                None | Some(TermSign::Plus) => term,
                Some(TermSign::Minus) => term.negated(),
                Some(TermSign::PlusMinus(upper)) => Expr::PlusMinus(upper, Box::new(term)),
            });
        }
        if terms.len() == 1 { terms.pop() } else { Some(Expr::Sum(terms)) }
    }

    fn term_sign(&mut self) -> Option<TermSign> {
        if self.take("+/-") || self.take("±") || self.take_command("pm") {
            return Some(TermSign::PlusMinus(true));
        }
        if self.take("∓") || self.take_command("mp") {
            return Some(TermSign::PlusMinus(false));
        }
        if self.take("+") {
            self.skip_spaces();
            // `+ -5` is one term.
            return Some(if self.take("-") { TermSign::Minus } else { TermSign::Plus });
        }
        (self.take("-") || self.take("–")).then_some(TermSign::Minus)
    }

    /// `read` one level deeper; none when that is too deep or too long.
    fn descend<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.items += 1;
        if self.depth >= MAX_DEPTH || self.items > MAX_ITEMS {
            return None;
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Counts the parts of what is written down again, as if it had been read; none when that is too long.
    fn charge(&mut self, copied: &Expr) -> Option<()> {
        self.items = self.items.saturating_add(u32::try_from(copied.n_parts()).ok()?);
        (self.items <= MAX_ITEMS).then_some(())
    }

    fn take(&mut self, prefix: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(prefix) else { return false };
        self.rest = rest;
        true
    }

    /// Takes the command `\name`, the whole of it.
    fn take_command(&mut self, name: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix('\\').and_then(|rest| rest.strip_prefix(name)) else {
            return false;
        };
        let ends = !rest.starts_with(|c: char| c.is_ascii_alphabetic());
        if ends {
            self.rest = rest;
        }
        ends
    }

    /// Takes a word of plain text, the whole of it.
    fn take_word(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word) else { return false };
        let ends = !rest.starts_with(|c: char| c.is_ascii_alphabetic());
        if ends {
            self.rest = rest;
        }
        ends
    }

    /// Takes `\text{ word }`.
    fn take_marked(&mut self, word: &str) -> bool {
        let Some((inside, rest)) = self.marked() else { return false };
        let is_word = inside.trim_matches(|c: char| c.is_whitespace() || c == ',') == word;
        if is_word {
            self.rest = rest;
        }
        is_word
    }

    /// The inside of the `\text{}` that comes next, and what follows it.
    fn marked(&self) -> Option<(&'a str, &'a str)> {
        self.rest.strip_prefix("\\text{")?.split_once('}').filter(|(inside, _)| !inside.contains('{'))
    }

    /// Whether there were spaces to skip; spacing commands are spaces.
    fn skip_spaces(&mut self) -> bool {
        let start = self.rest.len();
        loop {
            self.rest = self.rest.trim_start();
            let is_spacing = ["quad", "qquad", "displaystyle", "hspace*", "limits"];
            if !is_spacing.iter().any(|name| self.take_command(name)) {
                return self.rest.len() < start;
            }
        }
    }
}

enum TermSign {
    Plus,
    Minus,
    PlusMinus(bool),
}
