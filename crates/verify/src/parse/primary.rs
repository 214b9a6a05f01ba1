//! Numbers, letters, brackets: what a factor is made of.

use super::Parser;
use super::words::{self, Named};
use crate::expr::{Constant, Expr, Function};

/// Signs of money that stand before a number.
const CURRENCIES: &[&str] = &["$", "€", "£", "¥", "₹"];

impl<'a> Parser<'a> {
    /// A number, symbol, function, bracket or matrix, without powers behind it.
    pub(super) fn primary(&mut self) -> Option<Expr> {
        self.descend(|parser| {
            parser.skip_spaces();
            let c = parser.rest.chars().next()?;
            match c {
                '0'..='9' | '.' => parser.number(),
                'a'..='z' | 'A'..='Z' => parser.word(),
                '\\' => parser.command(),
                '(' | '[' => parser.bracket(),
                '{' => parser.braces(),
                '|' => parser.bars(),
                '⌊' => parser.between("⌊", "⌋", Function::Floor),
                '⌈' => parser.between("⌈", "⌉", Function::Ceil),
                '√' => parser.root_sign("√", 2),
                '∛' => parser.root_sign("∛", 3),
                '∑' => parser.take("∑").then_some(true).and_then(|is_sum| parser.series(is_sum)),
                '∏' => parser.take("∏").then_some(false).and_then(|is_sum| parser.series(is_sum)),
                '∞' => parser.take("∞").then_some(Expr::Constant(Constant::Infinity)),
                'ℝ' => parser.take("ℝ").then_some(Expr::Reals),
                '∅' => parser.take("∅").then(|| Expr::Set(Vec::new())),
                c => {
                    if let Some(letter) = words::greek_letter(c) {
                        parser.rest = &parser.rest[c.len_utf8()..];
                        return Some(parser.subscripted(letter));
                    }
                    parser.money()
                }
            }
        })
    }

    fn money(&mut self) -> Option<Expr> {
        let sign = CURRENCIES.iter().find(|sign| self.take(sign))?;
        let amount = self.number()?;
        Some(amount.times(Expr::Unit(crate::unit::known(sign).unwrap_or(sign).to_owned())))
    }

    fn root_sign(&mut self, sign: &str, index: i64) -> Option<Expr> {
        self.take(sign);
        Some(self.primary()?.root(Expr::integer(index)))
    }

    fn between(&mut self, open: &str, close: &str, function: Function) -> Option<Expr> {
        self.take(open);
        let inside = self.sum()?;
        self.skip_spaces();
        self.take(close).then(|| Expr::call(function, inside))
    }

    /// `|x|`.
    pub(super) fn bars(&mut self) -> Option<Expr> {
        let double = self.take("||");
        if !double {
            self.take("|");
        }
        self.bars += 1;
        let inside = self.sum()?;
        self.bars -= 1;
        self.skip_spaces();
        let closes = self.take(if double { "||" } else { "|" });
        closes.then(|| Expr::call(Function::Abs, inside))
    }

    /// A word of plain text: a function, a constant, a name, or letters that are multiplied.
    fn word(&mut self) -> Option<Expr> {
        let len = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let word = &self.rest[..len];
        if matches!(word, "and" | "or" | "if") {
            return None;
        }
        if let Some(len) = super::notation::derivative_len(self.rest) {
            let name = &self.rest[..len];
            self.rest = &self.rest[len..];
            return Some(Expr::symbol(name));
        }
        if let Some(constant) = words::constant(word) {
            self.rest = &self.rest[len..];
            return Some(Expr::Constant(constant));
        }
        if let Some(letter) = words::greek(word) {
            self.rest = &self.rest[len..];
            return Some(self.subscripted(Expr::symbol(letter)));
        }
        if let Some((len, named)) = words::function_prefix(word) {
            self.rest = &self.rest[len..];
            return self.function(named);
        }
        let hides_function =
            ["sin", "cos", "tan", "log", "ln", "sqrt", "exp"].iter().any(|name| word.contains(name));
        let is_name = len >= 4 && word[1..].bytes().all(|byte| byte.is_ascii_lowercase()) && !hides_function;
        if is_name {
            self.rest = &self.rest[len..];
            return Some(self.subscripted(Expr::symbol(word)));
        }
        if word.starts_with("pi") {
            self.rest = &self.rest[2..];
            return Some(Expr::Constant(Constant::Pi));
        }
        self.letter()
    }

    /// One letter with its subscript, primes and, for a function, arguments.
    pub(super) fn letter(&mut self) -> Option<Expr> {
        let letter = &self.rest[..1];
        self.rest = &self.rest[1..];
        let is_marked = self.rest.starts_with(['_', '\'']);
        match letter {
            "e" if !is_marked => return Some(Expr::Constant(Constant::E)),
            "i" if !is_marked => return Some(Expr::Constant(Constant::I)),
            _ => {}
        }
        let symbol = self.subscripted(Expr::symbol(letter));
        self.application(symbol)
    }

    /// `f(x)`, `f^{-1}(x)`, `g[(x, y)]`: a name before a bracket.
    pub(super) fn application(&mut self, symbol: Expr) -> Option<Expr> {
        let Expr::Symbol(name) = &symbol else { return Some(symbol) };
        let is_function = is_function_name(name);
        let start = self.rest;
        let inverse = is_function && (self.take("^{-1}") || self.take("^-1"));
        let spaced = self.skip_spaces();
        if !self.rest.starts_with(['(', '[']) || (spaced && !is_function) {
            self.rest = start;
            return Some(symbol);
        }
        let items = self.bracket_items();
        let Some((items, _)) = items else {
            self.rest = start;
            return Some(symbol);
        };
        if items.len() == 1 && !is_function {
            let inside = items.into_iter().next()?;
            let is_plain = matches!(inside, Expr::Symbol(_) | Expr::Number(_));
            if is_plain {
                return Some(Expr::Apply(name.clone(), vec![inside]));
            }
            self.rest = start;
            return Some(symbol);
        }
        let name = if inverse { format!("{name}^-1") } else { name.clone() };
        Some(Expr::Apply(name, items))
    }

    /// `symbol` with the subscript and primes that follow it in its name.
    pub(super) fn subscripted(&mut self, symbol: Expr) -> Expr {
        let Expr::Symbol(mut name) = symbol else { return symbol };
        loop {
            if self.take("'") || self.take("′") {
                name.push('\'');
            } else if let Some((subscript, rest)) = self.subscript() {
                name.push('_');
                name.extend(subscript.chars().filter(|c| !c.is_whitespace() && !matches!(c, '{' | '}')));
                self.rest = rest;
            } else {
                return Expr::Symbol(name);
            }
        }
    }

    fn subscript(&self) -> Option<(&'a str, &'a str)> {
        let rest = self.rest.strip_prefix('_')?;
        if let Some(inside) = rest.strip_prefix('{') {
            return inside.split_once('}').filter(|(subscript, _)| !subscript.contains('{'));
        }
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let len = if len > 0 { len } else { rest.chars().next().filter(|c| c.is_alphanumeric())?.len_utf8() };
        Some(rest.split_at(len))
    }

    /// The value of a named function at what follows it.
    pub(super) fn function(&mut self, named: Named) -> Option<Expr> {
        let base = if self.rest.starts_with('_') { self.log_base() } else { None };
        self.skip_spaces();
        let exponent = if self.take("^") { Some(self.exponent()?) } else { None };
        self.skip_spaces();
        let arguments = if self.rest.starts_with('(') || self.rest.starts_with('[') {
            self.bracket_items()?.0
        } else if self.take("\\{") {
            match self.set()? {
                Expr::Set(items) => items,
                _ => return None,
            }
        } else if self.rest.starts_with('{') {
            vec![self.argument()?]
        } else if matches!(named, Named::Root(_)) {
            vec![self.primary()?]
        } else {
            vec![self.function_argument()?]
        };
        let inverts = exponent.as_ref().and_then(Expr::as_small_integer) == Some(-1);
        if let (true, Named::Of(function)) = (inverts, named)
            && let Some(inverse) = inverse(function)
        {
            return Some(Expr::Call(inverse, arguments));
        }
        let value = apply(named, base, arguments)?;
        Some(match exponent {
            Some(exponent) => value.power(exponent),
            None => value,
        })
    }

    fn log_base(&mut self) -> Option<Expr> {
        self.take("_");
        self.argument()
    }
}

fn apply(named: Named, base: Option<Expr>, mut arguments: Vec<Expr>) -> Option<Expr> {
    let only = |mut arguments: Vec<Expr>| if arguments.len() == 1 { arguments.pop() } else { None };
    match named {
        Named::Root(index) => only(arguments).map(|argument| argument.root(Expr::integer(index))),
        Named::Exp => only(arguments).map(|argument| Expr::Constant(Constant::E).power(argument)),
        Named::Log if base.is_none() && arguments.len() == 2 => {
            let base = arguments.pop()?;
            Some(Expr::Call(Function::Log, vec![arguments.pop()?, base]))
        }
        Named::Log => {
            let argument = only(arguments)?;
            // The logarithm of a power of e is the natural one, whatever it is called.
            let is_natural =
                argument.any(&|expr| *expr == Expr::Constant(Constant::E)) && argument.symbols().is_empty();
            match base {
                None if is_natural => Some(Expr::call(Function::Ln, argument)),
                base => Some(Expr::Call(Function::Log, vec![argument, base.unwrap_or(Expr::integer(10))])),
            }
        }
        Named::Of(Function::Ln) => match base {
            Some(base) => Some(Expr::Call(Function::Log, vec![only(arguments)?, base])),
            None => Some(Expr::call(Function::Ln, only(arguments)?)),
        },
        Named::Of(function @ (Function::Max | Function::Min | Function::Gcd | Function::Lcm)) => {
            Some(Expr::Call(function, arguments))
        }
        Named::Of(Function::Binomial) if arguments.len() == 2 => {
            Some(Expr::Call(Function::Binomial, arguments))
        }
        Named::Of(Function::Det) => {
            determinant_argument(arguments).map(|rows| Expr::call(Function::Det, rows))
        }
        Named::Of(function) => Some(Expr::call(function, only(arguments)?)),
    }
}

/// The matrix of `det([[1,2],[3,4]])`.
fn determinant_argument(arguments: Vec<Expr>) -> Option<Expr> {
    match arguments.as_slice() {
        [Expr::Matrix(_)] => arguments.into_iter().next(),
        rows => super::group::matrix_of_rows(rows),
    }
}

fn inverse(function: Function) -> Option<Function> {
    Some(match function {
        Function::Sin => Function::Asin,
        Function::Cos => Function::Acos,
        Function::Tan => Function::Atan,
        Function::Cot => Function::Acot,
        Function::Sec => Function::Asec,
        Function::Csc => Function::Acsc,
        _ => return None,
    })
}

/// Whether a letter before a bracket names a function by custom, rather than a factor.
pub(crate) fn is_function_name(name: &str) -> bool {
    matches!(name.trim_end_matches('\''), "f" | "g" | "h" | "F" | "G" | "H")
        || name.starts_with("f_")
        || name.starts_with("g_")
}
