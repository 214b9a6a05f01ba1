//! Units behind numbers: their powers and quotients, smaller ones behind larger ones, minutes of a degree.

use super::product::literal_follows;
use super::{Parser, words};
use crate::expr::Expr;

impl Parser<'_> {
    /// A unit behind a number or an expression, with its power and what it is per: `\text{ cm}^2`, `km/h`.
    pub(super) fn unit(&mut self, spaced: bool) -> Option<Expr> {
        let mut unit = self.simple_unit(spaced)?;
        if matches!(unit, Expr::Unit(_)) && self.take("^") {
            unit = unit.power(self.exponent()?);
        }
        let here = self.rest;
        self.skip_spaces();
        if self.take_marked("per") {
            self.skip_spaces();
            let under = self.simple_unit(true)?;
            return Some(unit.times(under.power(Expr::integer(-1))));
        }
        self.rest = here;
        Some(unit)
    }

    /// `\text{ cm}`, `cm`, `miles per hour`, `厘米`.
    fn simple_unit(&mut self, spaced: bool) -> Option<Expr> {
        if let Some((inside, rest)) = self.marked() {
            let words = inside.trim();
            if matches!(words, "and" | "or") || words.is_empty() {
                return None;
            }
            let unit = words::unit_of_words(words)?;
            self.rest = rest;
            return Some(unit);
        }
        let (len, unit) = words::unit_at_start(self.rest, spaced, self.letters_are_units)?;
        self.rest = &self.rest[len..];
        Some(unit)
    }

    /// `5 feet 6 inches`: a number behind a unit adds to it, if it has a unit of the same kind; it never multiplies.
    pub(super) fn smaller_units(&mut self, larger: Expr) -> Option<Expr> {
        let mut parts = vec![larger];
        while literal_follows(self.rest) {
            let amount = self.factor()?.expr;
            let spaced = self.skip_spaces();
            let unit = self.unit(spaced)?;
            if kind_of(&unit)? != kind_of(parts.last()?)? {
                return None;
            }
            parts.push(amount.times(unit));
            self.skip_spaces();
        }
        Some(Expr::Sum(parts))
    }

    /// Degrees with the minutes and seconds that may follow: `30° 15' 20''`.
    pub(super) fn with_minutes(&mut self, degrees: &Expr) -> Expr {
        let mut parts = vec![degrees.clone()];
        for (marks, under) in [(&["'", "′"][..], 60), (&["''", "″", "\""][..], 3600)] {
            let start = self.rest;
            self.skip_spaces();
            let part = self.plain_integer();
            // A mark of minutes is half of one of seconds.
            let ends = marks.iter().any(|mark| self.take(mark)) && !self.rest.starts_with('\'');
            match part.filter(|_| ends && degrees.as_small_integer().is_some()) {
                Some(part) => parts.push(part.over(Expr::integer(under))),
                None => self.rest = start,
            }
        }
        if parts.len() == 1 { degrees.clone() } else { Expr::Sum(parts) }
    }
}

/// The base unit of the kind of the only unit in a product.
fn kind_of(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Unit(name) => crate::unit::measure(name).map(|(base, _)| base),
        Expr::Product(factors) => kind_of(factors.last()?),
        _ => None,
    }
}
