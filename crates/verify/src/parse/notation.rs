//! Letters that are one name together, and no product: derivatives and figures.

use super::Parser;
use crate::expr::Expr;

impl Parser<'_> {
    /// `\frac{dy}{dx}` as one name, for it is no quotient whose `d` cancels; the inner none for an operator, `\frac{d}{dx}`.
    /// None for a fraction.
    pub(super) fn derivative(&mut self) -> Option<Option<Expr>> {
        let (over, rest) = braced(self.rest)?;
        let (under, rest) = braced(rest)?;
        let (of, by) = (differential(over)?, differential(under)?);
        if !by.starts_with(|c: char| c.is_alphabetic() || c == '\\') {
            return None;
        }
        if of.is_empty() || !of.chars().all(|c| c.is_alphanumeric() || "^'_".contains(c)) {
            return Some(None);
        }
        self.rest = rest;
        Some(Some(Expr::Symbol(format!("d{of}/d{by}"))))
    }

    /// `\angle ABC`: the letters name it, so that they keep their order; an angle may be read from either side.
    pub(super) fn figure(&mut self, kind: &str) -> Option<Expr> {
        self.skip_spaces();
        let (letters, rest) = match braced(self.rest) {
            Some((inside, rest)) => (inside.trim(), rest),
            None => {
                let len = self.rest.bytes().take_while(u8::is_ascii_uppercase).count();
                self.rest.split_at(if len > 0 {
                    len
                } else {
                    self.rest.bytes().take_while(u8::is_ascii_digit).count()
                })
            }
        };
        if letters.is_empty() || !letters.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        self.rest = rest;
        let backwards: String = letters.chars().rev().collect();
        let letters = if kind == "triangle" { letters } else { letters.min(&backwards) };
        Some(Expr::Symbol(format!("{kind} {letters}")))
    }
}

/// Bytes of `dy/dx` at the start.
pub(super) fn derivative_len(rest: &str) -> Option<usize> {
    let [b'd', of, b'/', b'd', by, after @ ..] = rest.as_bytes() else { return None };
    let ends = !after.first().is_some_and(u8::is_ascii_alphanumeric);
    (of.is_ascii_alphabetic() && by.is_ascii_alphabetic() && ends).then_some(5)
}

/// The inside of the braces at the start of `rest`, and what follows them.
fn braced(rest: &str) -> Option<(&str, &str)> {
    let inside = rest.trim_start().strip_prefix('{')?;
    let mut depth = 0_usize;
    let end = inside.bytes().position(|byte| {
        let ends = byte == b'}' && depth == 0;
        depth = match byte {
            b'{' => depth + 1,
            b'}' => depth.saturating_sub(1),
            _ => depth,
        };
        ends
    })?;
    Some((&inside[..end], &inside[end + 1..]))
}

/// What a differential is of, `y` for `dy`, without spaces and braces; none for anything else.
fn differential(text: &str) -> Option<String> {
    let text = text.trim();
    let of = text.strip_prefix("\\partial").or_else(|| text.strip_prefix('d'))?;
    let is_other_letter = of.starts_with(['_', '\'', '+', '-', '*', '/', '=', '(']);
    (!is_other_letter).then(|| of.chars().filter(|c| !c.is_whitespace() && !"{}".contains(*c)).collect())
}
