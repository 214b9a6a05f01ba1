//! The words of mathematics: functions, Greek letters, constants, units.

use crate::expr::{Constant, Expr, Function};
use crate::unit;

/// Longest word that is read as a unit, in bytes: were there no end to it, each letter of a word would look through the rest.
const MAX_UNIT_BYTES: usize = 64;

/// What a function's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Of(Function),
    /// Logarithm to a base that may be written; ten otherwise.
    Log,
    Exp,
    Root(i64),
}

/// Names of functions, longer ones before their beginnings.
const FUNCTIONS: &[(&str, Named)] = &[
    ("arcsin", Named::Of(Function::Asin)),
    ("arccos", Named::Of(Function::Acos)),
    ("arctan", Named::Of(Function::Atan)),
    ("arccot", Named::Of(Function::Acot)),
    ("arcsec", Named::Of(Function::Asec)),
    ("arccsc", Named::Of(Function::Acsc)),
    ("asin", Named::Of(Function::Asin)),
    ("acos", Named::Of(Function::Acos)),
    ("atan", Named::Of(Function::Atan)),
    ("acot", Named::Of(Function::Acot)),
    ("asec", Named::Of(Function::Asec)),
    ("acsc", Named::Of(Function::Acsc)),
    ("sinh", Named::Of(Function::Sinh)),
    ("cosh", Named::Of(Function::Cosh)),
    ("tanh", Named::Of(Function::Tanh)),
    ("sin", Named::Of(Function::Sin)),
    ("cos", Named::Of(Function::Cos)),
    ("tan", Named::Of(Function::Tan)),
    ("cot", Named::Of(Function::Cot)),
    ("sec", Named::Of(Function::Sec)),
    ("csc", Named::Of(Function::Csc)),
    ("tg", Named::Of(Function::Tan)),
    ("ctg", Named::Of(Function::Cot)),
    ("log", Named::Log),
    ("ln", Named::Of(Function::Ln)),
    ("lg", Named::Log),
    ("exp", Named::Exp),
    ("max", Named::Of(Function::Max)),
    ("min", Named::Of(Function::Min)),
    ("gcd", Named::Of(Function::Gcd)),
    ("lcm", Named::Of(Function::Lcm)),
    ("det", Named::Of(Function::Det)),
    ("abs", Named::Of(Function::Abs)),
    ("floor", Named::Of(Function::Floor)),
    ("ceil", Named::Of(Function::Ceil)),
    ("binomial", Named::Of(Function::Binomial)),
    ("factorial", Named::Of(Function::Factorial)),
    ("sqrt", Named::Root(2)),
    ("cbrt", Named::Root(3)),
];

const GREEK: &[(&str, &str)] = &[
    ("alpha", "α"),
    ("beta", "β"),
    ("gamma", "γ"),
    ("delta", "δ"),
    ("epsilon", "ε"),
    ("varepsilon", "ε"),
    ("zeta", "ζ"),
    ("eta", "η"),
    ("theta", "θ"),
    ("vartheta", "θ"),
    ("iota", "ι"),
    ("kappa", "κ"),
    ("lambda", "λ"),
    ("mu", "μ"),
    ("nu", "ν"),
    ("xi", "ξ"),
    ("rho", "ρ"),
    ("sigma", "σ"),
    ("tau", "τ"),
    ("upsilon", "υ"),
    ("phi", "φ"),
    ("varphi", "φ"),
    ("chi", "χ"),
    ("psi", "ψ"),
    ("omega", "ω"),
    ("Gamma", "Γ"),
    ("Delta", "Δ"),
    ("Theta", "Θ"),
    ("Lambda", "Λ"),
    ("Xi", "Ξ"),
    ("Sigma", "Σ"),
    ("Phi", "Φ"),
    ("Psi", "Ψ"),
    ("Omega", "Ω"),
    ("ell", "ℓ"),
];

/// The function whose name `text` begins with, and the length of that.
pub(super) fn function_prefix(text: &str) -> Option<(usize, Named)> {
    FUNCTIONS.iter().find(|(name, _)| text.starts_with(name)).map(|(name, named)| (name.len(), *named))
}

/// The function of exactly this name.
pub(super) fn function(name: &str) -> Option<Named> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, named)| *named)
}

/// The letter that a name stands for: `alpha`.
pub(super) fn greek(name: &str) -> Option<&'static str> {
    GREEK.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter)
}

/// A Greek letter as it stands in a text, π aside.
pub(super) fn greek_letter(c: char) -> Option<Expr> {
    match c {
        'π' => Some(Expr::Constant(Constant::Pi)),
        'ϕ' => Some(Expr::symbol("φ")),
        'ϵ' => Some(Expr::symbol("ε")),
        'α'..='ω' | 'Γ'..='Ω' | 'ℓ' => Some(Expr::symbol(c.encode_utf8(&mut [0; 4]))),
        _ => None,
    }
}

/// The constant that a whole word of plain text names.
pub(super) fn constant(word: &str) -> Option<Constant> {
    Some(match word {
        "pi" | "Pi" => Constant::Pi,
        "infinity" | "Infinity" | "infty" | "inf" | "oo" => Constant::Infinity,
        _ => return None,
    })
}

/// The unit that the words inside `\text{}` spell: `cm`, `square feet`, `miles per hour`.
pub(super) fn unit_of_words(words: &str) -> Option<Expr> {
    let mut product: Option<Expr> = None;
    let spaced = words.replace('/', " per ");
    for (i, part) in format!(" {spaced} ").split(" per ").enumerate() {
        let unit = simple_unit(part.trim())?;
        product = Some(match (product, i) {
            (None, _) => unit,
            (Some(product), _) => product.times(unit.power(Expr::integer(-1))),
        });
    }
    product
}

/// A unit without a division.
fn simple_unit(words: &str) -> Option<Expr> {
    let is_plain = |c: char| c.is_alphabetic() || c == ' ' || c == '$' || c == '-';
    if words.is_empty() || !words.chars().all(is_plain) {
        return None;
    }
    if words.split(' ').any(unit::says_something_about_the_number) {
        return None;
    }
    for (prefix, power) in [("square ", 2), ("sq ", 2), ("cubic ", 3)] {
        if let Some(rest) = words.strip_prefix(prefix) {
            return Some(Expr::Unit(name(rest)).power(Expr::integer(power)));
        }
    }
    Some(Expr::Unit(name(words)))
}

/// One name for the spellings of a unit; plurals of unknown ones lose their `s`.
fn name(words: &str) -> String {
    if let Some(name) = unit::of_letter(words).or_else(|| unit::known(words)) {
        return name.to_owned();
    }
    let singular = words.strip_suffix('s').filter(|rest| rest.len() > 2 && !rest.ends_with('s'));
    singular.unwrap_or(words).to_owned()
}

/// The unit in plain text at the start of `rest`, and its length.
pub(super) fn unit_at_start(rest: &str, spaced: bool, letters: bool) -> Option<(usize, Expr)> {
    let len = word_len(rest)?;
    let (word, after) = rest.split_at(len);
    let is_ascii = word.is_ascii();
    let is_function = function(word).is_some() && !after.trim().is_empty();
    if len == 0 || is_function {
        return None;
    }
    let letter = || letters && unit::of_letter(word).is_some();
    let is_phrase = || spaced && unit::is_plain_word(word);
    let is_known = unit::known(word).is_some() && (!is_ascii || word.len() > 1);
    if !(is_known || letter() || is_phrase() || is_unknown_script(word)) {
        return None;
    }
    let mut unit = Expr::Unit(name(word));
    let mut len = len;
    for divider in ["/", " per "] {
        let Some(under) = rest[len..].strip_prefix(divider) else { continue };
        let Some(under_len) = word_len(under) else { continue };
        let under_word = &under[..under_len];
        let is_unit = unit::known(under_word).is_some()
            || unit::of_letter(under_word).is_some()
            || (divider != "/" && unit::is_plain_word(under_word));
        if is_unit {
            unit = unit.times(Expr::Unit(name(under_word)).power(Expr::integer(-1)));
            len += divider.len() + under_len;
        }
    }
    Some((len, unit))
}

/// Bytes of the word at the start; none where it is longer than any unit.
fn word_len(rest: &str) -> Option<usize> {
    let near = &rest[..rest.floor_char_boundary(MAX_UNIT_BYTES + 4)];
    Some(near.find(|c: char| !c.is_alphabetic()).unwrap_or(near.len())).filter(|len| *len <= MAX_UNIT_BYTES)
}

/// Whether a word is in a script without mathematical letters, as in `5厘米`.
fn is_unknown_script(word: &str) -> bool {
    word.chars().all(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}
