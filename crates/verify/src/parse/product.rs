//! Factors, written side by side or with a sign between them, and what stands behind one.

use super::Parser;
use super::words;
use crate::expr::{Constant, Expr, Function};

/// Most signs and powers behind one primary that are read: each is a level of the tree.
const MAX_POSTFIXES: u32 = 12;

/// A factor just read, and what may follow it directly.
pub(super) struct Factor {
    pub(super) expr: Expr,
    /// Whether it is a literal integer, which a fraction makes a mixed number of.
    is_integer: bool,
    /// Whether it is a literal number, which no other may follow.
    is_literal: bool,
}

impl Parser<'_> {
    /// Factors from left to right; `/` divides by the next factor only.
    pub(super) fn product(&mut self) -> Option<Expr> {
        let first = self.factor()?;
        self.product_after(first)
    }

    fn product_after(&mut self, first: Factor) -> Option<Expr> {
        let mut last_integer = first.is_integer;
        let mut last_literal = first.is_literal;
        let mut product = first.expr;
        loop {
            let spaced = self.skip_spaces();
            if self.take_times(spaced && last_literal) {
                let next = self.signed_factor()?;
                (last_integer, last_literal) = (next.is_integer, next.is_literal);
                product = product.times(next.expr);
            } else if self.take("/") || self.take("÷") || self.take_command("div") {
                let next = self.signed_factor()?;
                (last_integer, last_literal) = (false, next.is_literal);
                product = product.over(next.expr);
            } else if self.at_modulus() {
                return Some(product);
            } else if !self.is_congruence && self.take_mod() {
                let next = self.signed_factor()?;
                (last_integer, last_literal) = (false, next.is_literal);
                self.charge(&product)?;
                let whole = Expr::call(Function::Floor, product.clone().over(next.expr.clone()));
                product = product.minus(next.expr.times(whole));
            } else if let Some(part) = last_integer.then(|| self.fraction_of_mixed()).flatten() {
                product = Expr::Sum(vec![product, part]);
                (last_integer, last_literal) = (false, true);
            } else if let Some(unit) = self.unit(spaced) {
                product = product.times(unit);
                (last_integer, last_literal) = (false, false);
                self.skip_spaces();
                if literal_follows(self.rest) {
                    return self.smaller_units(product);
                }
            } else if self.starts_factor(last_literal) {
                let next = self.implied_factor()?;
                (last_integer, last_literal) = (false, next.is_literal);
                product = product.times(next.expr);
            } else {
                return Some(product);
            }
        }
    }

    /// The factors that belong to a function written without brackets: up to a sign or the next function.
    pub(super) fn function_argument(&mut self) -> Option<Expr> {
        self.descend(|parser| {
            parser.skip_spaces();
            let negative = parser.take("-");
            let mut argument = parser.factor()?.expr;
            loop {
                parser.skip_spaces();
                // `\cos 2\pi/7` is of an angle; `\sin x/2` is half of a sine.
                let is_angle = argument.any(&|part| *part == Expr::Constant(Constant::Pi));
                let divides = is_angle && parser.rest.starts_with('/');
                if divides && parser.take("/") {
                    argument = argument.over(parser.factor()?.expr);
                } else if parser.starts_factor(true)
                    && !parser.starts_function()
                    && !parser.rest.starts_with('(')
                {
                    argument = argument.times(parser.factor()?.expr);
                } else {
                    return Some(if negative { argument.negated() } else { argument });
                }
            }
        })
    }

    /// A factor without a sign before it. Since a pair cannot be one, the comma of `2(1,234)` is of thousands.
    fn implied_factor(&mut self) -> Option<Factor> {
        let has_thousands = std::mem::replace(&mut self.has_thousands, true);
        let factor = self.factor();
        self.has_thousands = has_thousands;
        factor
    }

    fn take_times(&mut self, letter_may_be_sign: bool) -> bool {
        if self.rest.starts_with("**") {
            return false;
        }
        if self.take("×") {
            self.has_crosses |= !literal_follows(self.rest.trim_start());
            return true;
        }
        if ["*", "·", "•", "∙", "⋅"].iter().any(|sign| self.take(sign)) {
            return true;
        }
        if ["ast", "star", "bullet"].iter().any(|name| self.take_command(name)) {
            return true;
        }
        // `2 x 4`: between spaced numbers the letter is a sign.
        let followed_by_number = |rest: &str| rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
        let is_sign = letter_may_be_sign && self.rest.strip_prefix("x ").is_some_and(followed_by_number);
        is_sign && self.take("x")
    }

    fn signed_factor(&mut self) -> Option<Factor> {
        self.descend(|parser| {
            parser.skip_spaces();
            let negative = parser.take("-");
            let plus = !negative && parser.take("+");
            let factor = parser.factor()?;
            let expr = if negative { factor.expr.negated() } else { factor.expr };
            Some(Factor { expr, is_integer: factor.is_integer && !negative && !plus, ..factor })
        })
    }

    /// A primary with its powers, factorials, percent and degree signs.
    pub(super) fn factor(&mut self) -> Option<Factor> {
        self.descend(|parser| {
            parser.skip_spaces();
            let before = parser.rest;
            let mut expr = parser.primary()?;
            let is_literal = before.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            let is_integer = is_literal && expr.as_small_integer().is_some();
            let mut n_postfixes = 0;
            while let Some(next) = parser.postfix(&expr)? {
                expr = next;
                n_postfixes += 1;
                if n_postfixes > MAX_POSTFIXES {
                    return None;
                }
            }
            let plain = n_postfixes == 0;
            Some(Factor { expr, is_integer: is_integer && plain, is_literal: is_literal && plain })
        })
    }

    /// What stands behind a primary applied to it; the inner none when nothing more does.
    fn postfix(&mut self, base: &Expr) -> Option<Option<Expr>> {
        let here = self.rest;
        self.skip_spaces();
        if self.take("^") || self.take("**") {
            return Some(Some(self.exponent_of(base.clone())?));
        }
        if self.rest.starts_with('!') && !self.rest.starts_with("!=") && !self.rest.starts_with("!!") {
            self.take("!");
            return Some(Some(Expr::call(Function::Factorial, base.clone())));
        }
        if self.take("%") || self.take_word("percent") || self.take_word("pct") {
            return Some(Some(Expr::Percent(Box::new(base.clone()))));
        }
        if self.take("°") {
            let degrees = self.with_minutes(base);
            return Some(Some(degrees.times(Expr::Unit("degree".to_owned()))));
        }
        self.rest = here;
        Some(None)
    }

    fn exponent_of(&mut self, base: Expr) -> Option<Expr> {
        self.skip_spaces();
        if matches!(base, Expr::Matrix(_)) && (self.take("T") || self.take("{T}") || self.take("\\top")) {
            return Some(Expr::call(Function::Transpose, base));
        }
        let exponent = self.exponent()?;
        Some(match base {
            // `x°^2` and `5\text{ cm}^2` raise the unit only.
            Expr::Product(mut factors) if matches!(factors.last(), Some(Expr::Unit(_))) => {
                let unit = factors.pop()?;
                factors.push(unit.power(exponent));
                Expr::Product(factors)
            }
            base => base.power(exponent),
        })
    }

    /// An exponent: braces, brackets, or a signed primary with exponents of its own.
    pub(super) fn exponent(&mut self) -> Option<Expr> {
        self.descend(|parser| {
            parser.skip_spaces();
            if parser.rest.starts_with('{') {
                return parser.argument();
            }
            let negative = parser.take("-");
            let mut exponent = parser.primary()?;
            if parser.take("^") || parser.take("**") {
                exponent = exponent.power(parser.exponent()?);
            }
            if parser.rest.starts_with('!') && !parser.rest.starts_with("!=") && parser.take("!") {
                exponent = Expr::call(Function::Factorial, exponent);
            }
            Some(if negative { exponent.negated() } else { exponent })
        })
    }

    /// The fraction behind a whole number: `\frac{1}{2}` or ` 1/2`, of plain numbers, less than one.
    fn fraction_of_mixed(&mut self) -> Option<Expr> {
        let start = self.rest;
        let fraction = self.plain_fraction();
        if fraction.is_none() {
            self.rest = start;
        }
        fraction
    }

    fn plain_fraction(&mut self) -> Option<Expr> {
        let (over, under) = if self.take_command("frac") {
            (self.argument()?, self.argument()?)
        } else {
            let over = self.plain_integer()?;
            if !self.take("/") {
                return None;
            }
            (over, self.plain_integer()?)
        };
        let (a, b) = (over.as_small_integer()?, under.as_small_integer()?);
        (0 < a && a < b).then(|| over.over(under))
    }

    pub(super) fn plain_integer(&mut self) -> Option<Expr> {
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let value = self.rest[..len].parse().ok()?;
        self.rest = &self.rest[len..];
        Some(Expr::integer(value))
    }

    /// Whether a factor comes next without a sign before it.
    fn starts_factor(&self, after_literal: bool) -> bool {
        let Some(c) = self.rest.chars().next() else { return false };
        match c {
            '0'..='9' | '.' => !after_literal && literal_follows(self.rest),
            '(' | '[' | '√' | '∛' | '∞' | '⌊' | '⌈' | '{' => true,
            '|' => self.bars == 0,
            '\\' => self.starts_with_factor_command(),
            'a'..='z' | 'A'..='Z' => !["and", "or", "if", "U"].iter().any(|word| self.is_word(word)),
            c => words::greek_letter(c).is_some(),
        }
    }

    fn is_word(&self, word: &str) -> bool {
        self.rest.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
    }

    /// Whether a trigonometric function or a logarithm comes next.
    fn starts_function(&self) -> bool {
        let name = self.rest.trim_start_matches('\\');
        words::function_prefix(name).is_some()
    }
}

pub(super) fn literal_follows(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_ascii_digit())
        || rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
