//! Commands of LaTeX.

use super::Parser;
use super::words;
use crate::expr::{Constant, Expr, Function};

/// Commands that end a factor or stand between factors.
const NOT_FACTORS: &[&str] = &[
    "le",
    "leq",
    "leqslant",
    "ge",
    "geq",
    "geqslant",
    "lt",
    "gt",
    "ne",
    "neq",
    "approx",
    "simeq",
    "in",
    "cup",
    "bigcup",
    "cap",
    "setminus",
    "backslash",
    "land",
    "lor",
    "wedge",
    "vee",
    "pm",
    "mp",
    "div",
    "quad",
    "qquad",
    "rfloor",
    "rceil",
    "rvert",
    "rVert",
    "end",
    "text",
    "colon",
    "implies",
    "Rightarrow",
    "to",
    "mid",
    "ast",
    "star",
    "bullet",
    "cdots",
    "choose",
    "ldots",
    "dots",
];

/// Operators and relations that have no reading here. Taken for letters they would be factors, which may change places.
const UNREAD: &[&str] = &[
    "Leftrightarrow",
    "Longleftrightarrow",
    "Longrightarrow",
    "Rightarrow",
    "approxeq",
    "asymp",
    "because",
    "bigcap",
    "bigoplus",
    "bmod",
    "bot",
    "circ",
    "cong",
    "dagger",
    "doteq",
    "equiv",
    "exists",
    "forall",
    "gg",
    "iff",
    "iiint",
    "iint",
    "impliedby",
    "inf",
    "int",
    "leftarrow",
    "leftrightarrow",
    "lim",
    "liminf",
    "limsup",
    "ll",
    "lnot",
    "longrightarrow",
    "mapsto",
    "mod",
    "models",
    "nabla",
    "neg",
    "ni",
    "nmid",
    "not",
    "notin",
    "nparallel",
    "odot",
    "oint",
    "oplus",
    "otimes",
    "parallel",
    "partial",
    "perp",
    "pmod",
    "prec",
    "preceq",
    "prime",
    "propto",
    "rightarrow",
    "sim",
    "simeq",
    "subset",
    "subseteq",
    "subsetneq",
    "succ",
    "succeq",
    "sup",
    "supset",
    "supseteq",
    "therefore",
    "top",
    "vdash",
];

impl Parser<'_> {
    /// The command at the start, with its arguments.
    pub(super) fn command(&mut self) -> Option<Expr> {
        if self.rest.starts_with("\\text{") {
            return self.named_by_text();
        }
        let after = self.rest.strip_prefix('\\')?;
        let len = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        if len == 0 {
            if self.take("\\{") {
                return self.set();
            }
            if self.take("\\|") {
                let inside = self.sum()?;
                self.skip_spaces();
                return self.take("\\|").then(|| Expr::call(Function::Abs, inside));
            }
            // `\π`: a command that is a letter already.
            let letter = words::greek_letter(after.chars().next()?)?;
            self.rest = &after[after.chars().next()?.len_utf8()..];
            return Some(letter);
        }
        let (name, rest) = after.split_at(len);
        // `\\quadx`, where a space was lost.
        if let Some(lost) = name.strip_prefix("qquad").or_else(|| name.strip_prefix("quad")) {
            self.rest = &after[len - lost.len()..];
            return self.primary();
        }
        self.rest = rest;
        match name {
            "frac" => match self.derivative() {
                Some(derivative) => derivative,
                None => {
                    let over = self.argument()?;
                    Some(over.over(self.argument()?))
                }
            },
            "sum" => self.series(true),
            "prod" => self.series(false),
            "angle" | "measuredangle" | "triangle" => self.figure(name),
            "sqrt" => self.root(),
            "binom" | "dbinom" | "tbinom" => {
                let items = vec![self.argument()?, self.argument()?];
                Some(Expr::Call(Function::Binomial, items))
            }
            "pi" => Some(Expr::Constant(Constant::Pi)),
            "infty" | "Infinity" | "infin" => Some(Expr::Constant(Constant::Infinity)),
            "emptyset" | "varnothing" => Some(Expr::Set(Vec::new())),
            "lfloor" => self.until("\\rfloor", Function::Floor),
            "lceil" => self.until("\\rceil", Function::Ceil),
            "lvert" | "vert" => self.until(if name == "vert" { "\\vert" } else { "\\rvert" }, Function::Abs),
            "begin" => {
                let (name, rest) = self.rest.trim_start().strip_prefix('{')?.split_once('}')?;
                self.rest = rest;
                self.descend(|parser| parser.environment(name.trim_end_matches('*')))
            }
            "mathbb" | "mathbf" | "boldsymbol" | "bold" | "mathit" | "mathcal" | "mathsf"
            | "operatorname" | "overline" | "vec" | "hat" | "bar" | "underline" | "overrightarrow"
            | "boxed" | "fbox" | "textbf" | "mathrm" => self.decorated(name),
            _ => self.named(name),
        }
    }

    /// Whether the command that comes next begins a factor.
    pub(super) fn starts_with_factor_command(&self) -> bool {
        let Some(after) = self.rest.strip_prefix('\\') else { return false };
        let len = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        match len {
            0 => {
                after.starts_with('{')
                    || after.chars().next().is_some_and(|c| words::greek_letter(c).is_some())
            }
            _ => {
                let (name, may_close) = (&after[..len], self.bars > 0);
                !NOT_FACTORS.contains(&name) && !UNREAD.contains(&name) && (name != "vert" || !may_close)
            }
        }
    }

    fn until(&mut self, close: &str, function: Function) -> Option<Expr> {
        self.bars += 1;
        let inside = self.sum()?;
        self.bars -= 1;
        self.skip_spaces();
        self.take(close).then(|| Expr::call(function, inside))
    }

    /// `\sqrt{x}`, `\sqrt[3]{x}`, `\sqrt(x)`.
    fn root(&mut self) -> Option<Expr> {
        self.skip_spaces();
        let index = if self.take("[") {
            let index = self.sum()?;
            self.skip_spaces();
            if !self.take("]") {
                return None;
            }
            index
        } else {
            Expr::integer(2)
        };
        Some(self.argument()?.root(index))
    }

    /// `\mathbf{v}`, `\overline{AB}`: a decoration is part of the name, boldness and boxes are not.
    fn decorated(&mut self, decoration: &str) -> Option<Expr> {
        self.skip_spaces();
        self.has_vectors |=
            matches!(decoration, "vec" | "overrightarrow" | "mathbf" | "boldsymbol" | "bold" | "hat");
        let inside = match self.rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}').map(|(name, _)| name.trim()),
            None => self.rest.get(..1),
        };
        let name = inside.unwrap_or_default();
        let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        match decoration {
            "mathbb" if name == "R" => {
                self.skip_argument()?;
                Some(Expr::Reals)
            }
            "overline" | "vec" | "hat" | "bar" | "overrightarrow" | "underline" => {
                let inner = self.argument()?;
                let Expr::Symbol(name) = &inner else {
                    return is_word.then(|| Expr::Symbol(format!("{decoration} {name}")));
                };
                Some(Expr::Symbol(format!("{decoration} {name}")))
            }
            "operatorname" | "mathrm" if words::function(name).is_some() => {
                let named = words::function(name)?;
                self.skip_argument()?;
                self.function(named)
            }
            "boxed" | "fbox" | "textbf" => self.argument(),
            _ if is_word && name.len() == 1 => {
                let inner = self.argument()?;
                Some(self.subscripted(inner))
            }
            _ if is_word => {
                self.skip_argument()?;
                Some(self.subscripted(Expr::symbol(name)))
            }
            _ => self.argument(),
        }
    }

    fn skip_argument(&mut self) -> Option<()> {
        self.rest = match self.rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}')?.1,
            None => self.rest.get(1..)?,
        };
        Some(())
    }

    /// A function, a Greek letter, or a symbol with an unknown name, such as `\zzz`.
    fn named(&mut self, name: &str) -> Option<Expr> {
        if let Some(named) = words::function(name) {
            return self.function(named);
        }
        if let Some(letter) = words::greek(name) {
            let symbol = self.subscripted(Expr::symbol(letter));
            return Some(symbol);
        }
        let is_name =
            !NOT_FACTORS.contains(&name) && !UNREAD.contains(&name) && !matches!(name, "left" | "right");
        is_name.then(|| self.subscripted(Expr::symbol(name)))
    }

    /// `\text{height}`: a name, a letter, or a unit without a number.
    fn named_by_text(&mut self) -> Option<Expr> {
        let (inside, rest) = self.marked()?;
        let name = inside.trim();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphabetic() || c == ' ');
        if !is_name || matches!(name, "and" | "or" | "if") {
            return None;
        }
        self.rest = rest;
        if name.len() == 1 && name.is_ascii() {
            return Parser { rest: name, ..*self }.letter();
        }
        if let Some(named) = words::function(name) {
            return self.function(named);
        }
        if crate::unit::known(name).is_some() {
            return words::unit_of_words(name);
        }
        Some(self.subscripted(Expr::symbol(name)))
    }
}
