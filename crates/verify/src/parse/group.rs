//! Brackets of every kind, and matrices.

use super::Parser;
use crate::expr::{Bracket, Expr, Function, Joint};
use crate::judge::PIECES;

/// Most rows or columns of a matrix that are read.
const MAX_SIDE: usize = 32;

impl<'a> Parser<'a> {
    /// `(x)`, `(1, 2)`, `[1, 2)`, `[[1, 2], [3, 4]]`.
    pub(super) fn bracket(&mut self) -> Option<Expr> {
        let open = if self.rest.starts_with('(') { Bracket::Round } else { Bracket::Square };
        let (mut items, close) = self.bracket_items()?;
        if items.len() == 1 && open == close {
            let only = items.pop()?;
            return Some(match only {
                Expr::Group(..) if open == Bracket::Square => {
                    matrix_of_rows(std::slice::from_ref(&only)).unwrap_or(only)
                }
                only => only,
            });
        }
        if let Some(matrix) = (open == Bracket::Square).then(|| matrix_of_rows(&items)).flatten() {
            return Some(matrix);
        }
        (items.len() > 1).then_some(Expr::Group(open, items, close))
    }

    /// The items between two brackets, and the closing one.
    pub(super) fn bracket_items(&mut self) -> Option<(Vec<Expr>, Bracket)> {
        self.descend(|parser| {
            if !parser.take("(") && !parser.take("[") {
                return None;
            }
            let bars = std::mem::take(&mut parser.bars);
            parser.brackets += 1;
            let items = parser.items()?;
            parser.skip_spaces();
            parser.brackets -= 1;
            parser.bars = bars;
            let close = if parser.take(")") {
                Bracket::Round
            } else if parser.take("]") {
                Bracket::Square
            } else {
                return None;
            };
            Some((items, close))
        })
    }

    /// `{x}` groups; `{1, 2}` is a list whose brackets LaTeX would not print.
    pub(super) fn braces(&mut self) -> Option<Expr> {
        self.descend(|parser| {
            parser.take("{");
            let mut inside = parser.list()?;
            parser.skip_spaces();
            if parser.take_command("choose") {
                inside = Expr::Call(Function::Binomial, vec![inside, parser.list()?]);
                parser.skip_spaces();
            }
            parser.take("}").then_some(inside)
        })
    }

    /// `\{1, 2\}`, whose opening bracket is taken.
    pub(super) fn set(&mut self) -> Option<Expr> {
        self.descend(|parser| {
            parser.skip_spaces();
            if parser.take("\\}") {
                return Some(Expr::Set(Vec::new()));
            }
            if let Some(name) = parser.bound_name() {
                let conditions = parser.list()?.with_symbol(&name?, "x")?;
                parser.skip_spaces();
                return parser.take("\\}").then_some(conditions);
            }
            parser.brackets += 1;
            let items = parser.items()?;
            parser.skip_spaces();
            parser.brackets -= 1;
            parser.take("\\}").then_some(Expr::Set(items))
        })
    }

    /// The `x` of `\{x \mid x > 3\}`, which is the set that its conditions describe; the inner none where it is not any
    /// real number. None for a set of items.
    fn bound_name(&mut self) -> Option<Option<String>> {
        let start = self.rest;
        let name = self.rest.chars().next().filter(char::is_ascii_alphabetic)?;
        self.rest = &self.rest[1..];
        self.skip_spaces();
        let domain = self.take_command("in").then(|| self.primary() == Some(Expr::Reals));
        self.skip_spaces();
        let is_bound = ["|", ":"].iter().any(|sign| self.take(sign))
            || ["mid", "vert", "colon"].iter().any(|name| self.take_command(name));
        if !is_bound {
            self.rest = start;
            return None;
        }
        Some((domain != Some(false)).then(|| name.to_string()))
    }

    /// What a command applies to: braces, a bracket, or the one sign that LaTeX takes without them.
    pub(super) fn argument(&mut self) -> Option<Expr> {
        self.skip_spaces();
        match self.rest.chars().next()? {
            '{' => self.braces(),
            c @ '0'..='9' => {
                self.rest = &self.rest[1..];
                Some(Expr::integer(i64::from(c.to_digit(10)?)))
            }
            'a'..='z' | 'A'..='Z' => {
                let is_word = self.rest.starts_with("pi");
                if is_word { self.primary() } else { self.bare_letter() }
            }
            _ => self.primary(),
        }
    }

    fn bare_letter(&mut self) -> Option<Expr> {
        let rest = &self.rest[1..];
        let letter = Parser { rest: &self.rest[..1], depth: self.depth, ..*self }.letter();
        self.rest = rest;
        letter
    }

    /// The body of `\begin{name}`, whose name is taken.
    pub(super) fn environment(&mut self, name: &str) -> Option<Expr> {
        if name == "array" {
            self.skip_spaces();
            self.rest = self.rest.strip_prefix('{')?.split_once('}')?.1;
        }
        let end = format!("\\end{{{name}}}");
        let mut rows = vec![Vec::new()];
        let brackets = std::mem::take(&mut self.brackets);
        loop {
            self.skip_matrix_spaces();
            if self.take(&end) {
                break;
            }
            if self.take("\\\\") {
                rows.push(Vec::new());
                continue;
            }
            if self.take("&") {
                self.skip_condition_word();
                continue;
            }
            let is_condition = name == "cases" && rows.last().is_some_and(|row| row.len() == 1);
            let entry = if is_condition { self.list()? } else { self.item()? };
            self.skip_spaces();
            if name == "cases" {
                // A comma may stand between a value and its condition.
                self.take(",");
            }
            rows.last_mut()?.push(entry);
            if rows.len() > MAX_SIDE || rows.last()?.len() > MAX_SIDE {
                return None;
            }
        }
        self.brackets = brackets;
        if rows.last().is_some_and(Vec::is_empty) {
            rows.pop();
        }
        if matches!(name, "cases" | "aligned" | "align") {
            if name == "cases" && rows.iter().all(|row| row.len() == 2) {
                return Some(Expr::Apply(PIECES.to_owned(), rows.into_iter().flatten().collect()));
            }
            let is_system = rows.iter().all(|row| row.len() == 1);
            return is_system.then(|| Expr::List(rows.into_iter().flatten().collect(), Joint::And));
        }
        let width = rows.first()?.len();
        if width == 0 || rows.iter().any(|row| row.len() != width) {
            return None;
        }
        let matrix = Expr::Matrix(rows);
        Some(if matches!(name, "vmatrix" | "Vmatrix") { Expr::call(Function::Det, matrix) } else { matrix })
    }

    /// The "if" before a condition.
    fn skip_condition_word(&mut self) {
        self.skip_spaces();
        let _ = ["if", "for", "when"].iter().any(|word| self.take_word(word) || self.take_marked(word));
    }

    fn skip_matrix_spaces(&mut self) {
        self.skip_spaces();
        while self.take_command("hline") {
            self.skip_spaces();
        }
    }
}

/// Rows of the same length, each in square brackets, as a matrix.
pub(super) fn matrix_of_rows(rows: &[Expr]) -> Option<Expr> {
    let cells = rows.iter().map(|row| match row {
        Expr::Group(Bracket::Square, items, Bracket::Square) => Some(items.clone()),
        _ => None,
    });
    let rows = cells.collect::<Option<Vec<_>>>()?;
    let width = rows.first()?.len();
    (rows.len() <= MAX_SIDE && rows.iter().all(|row| row.len() == width)).then_some(Expr::Matrix(rows))
}
