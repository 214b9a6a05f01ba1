//! What follows a number: percent, money, units of measure, counted things.
//!
//! A unit is only ever a reason to doubt, never to convert: `5 cm` is five of something. What must not
//! happen is to take mathematics for a unit (`5 x`, `2 pi`, `3 or more`), since the number alone would then
//! be accepted for the whole. So a bare word counts as a unit only when it is in [`KNOWN`], or is a plain
//! lower-case word of four letters or more that is not in [`NOT_UNITS`]; a single letter needs `\text{}`.

use std::borrow::Cow;

/// What a number counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nothing is written.
    Bare,
    /// `%`, `percent`.
    Percent,
    /// A unit or counted thing, under one name for its spellings.
    Named(Cow<'static, str>),
}

/// Spellings that are units wherever they stand after a number, even without a space.
const KNOWN: &[(&str, &[&str])] = &[
    ("dollar", &["$", "dollar", "dollars", "usd", "bucks"]),
    ("euro", &["€", "euro", "euros", "eur"]),
    ("pound sterling", &["£", "gbp"]),
    ("yen", &["yen"]),
    ("yuan", &["yuan"]),
    ("rupee", &["₹", "rupee", "rupees"]),
    ("cent", &["¢", "cent", "cents"]),
    ("millimetre", &["mm", "millimeter", "millimeters", "millimetre", "millimetres"]),
    ("centimetre", &["cm", "centimeter", "centimeters", "centimetre", "centimetres"]),
    ("metre", &["meter", "meters", "metre", "metres"]),
    ("kilometre", &["km", "kilometer", "kilometers", "kilometre", "kilometres"]),
    ("inch", &["inch", "inches"]),
    ("foot", &["ft", "foot", "feet"]),
    ("yard", &["yd", "yard", "yards"]),
    ("mile", &["mi", "mile", "miles"]),
    ("milligram", &["mg", "milligram", "milligrams"]),
    ("gram", &["gram", "grams"]),
    ("kilogram", &["kg", "kilogram", "kilograms"]),
    ("ounce", &["oz", "ounce", "ounces"]),
    ("pound", &["lb", "lbs", "pound", "pounds"]),
    ("ton", &["ton", "tons", "tonnes"]),
    ("millilitre", &["ml", "milliliter", "milliliters"]),
    ("litre", &["liter", "liters", "litre", "litres"]),
    ("cup", &["cup", "cups"]),
    ("pint", &["pint", "pints"]),
    ("quart", &["quart", "quarts"]),
    ("gallon", &["gal", "gallon", "gallons"]),
    ("second", &["sec", "secs", "second", "seconds"]),
    ("minute", &["min", "mins", "minute", "minutes"]),
    ("hour", &["hr", "hrs", "hour", "hours"]),
    ("day", &["day", "days"]),
    ("week", &["week", "weeks"]),
    ("month", &["month", "months"]),
    ("year", &["yr", "yrs", "year", "years"]),
    ("mile per hour", &["mph"]),
    ("kilometre per hour", &["kph", "kmh"]),
    ("degree", &["°", "degree", "degrees", "deg"]),
    ("man", &["man", "men"]),
    ("egg", &["egg", "eggs"]),
    ("car", &["car", "cars"]),
    ("bag", &["bag", "bags"]),
    ("box", &["box", "boxes"]),
];

/// Words that say something about the number itself, so that it may not be read without them.
const NOT_UNITS: &[&str] = &[
    "about",
    "approximately",
    "around",
    "because",
    "between",
    "billion",
    "billions",
    "choose",
    "cosine",
    "cubed",
    "divided",
    "doubled",
    "dozen",
    "dozens",
    "eight",
    "eighth",
    "eighths",
    "eighty",
    "either",
    "eleven",
    "equals",
    "except",
    "factorial",
    "false",
    "fewer",
    "fifth",
    "fifths",
    "fifty",
    "five",
    "forty",
    "four",
    "fourth",
    "fourths",
    "half",
    "halves",
    "hundred",
    "hundreds",
    "hundredth",
    "hundredths",
    "incorrect",
    "infinity",
    "least",
    "less",
    "million",
    "millions",
    "millionth",
    "millionths",
    "minus",
    "modulo",
    "more",
    "most",
    "negative",
    "nine",
    "ninety",
    "ninth",
    "ninths",
    "only",
    "otherwise",
    "over",
    "pair",
    "pairs",
    "percentage",
    "plus",
    "point",
    "quarter",
    "quarters",
    "raised",
    "remainder",
    "root",
    "score",
    "seven",
    "seventh",
    "sevenths",
    "seventy",
    "sine",
    "sixth",
    "sixths",
    "sixty",
    "sqrt",
    "squared",
    "tangent",
    "tenth",
    "tenths",
    "than",
    "then",
    "third",
    "thirds",
    "thirty",
    "thousand",
    "thousands",
    "thousandth",
    "thousandths",
    "three",
    "times",
    "trillion",
    "twelfth",
    "twelfths",
    "twelve",
    "twentieth",
    "twenty",
    "when",
    "where",
    "whole",
    "with",
    "without",
    "wrong",
    "zero",
];

/// Short words that may stand inside a unit: `eggs per day`, `miles in an hour`.
const JOINERS: &[&str] = &["a", "an", "at", "each", "for", "in", "of", "old", "on", "per", "the"];

/// Longest unit, in words.
const MAX_WORDS: usize = 6;

/// The unit that `rest` spells, the whole of it; none when `rest` may be anything else.
///
/// `spaced` tells whether white space stands between the number and `rest`.
pub(crate) fn parse(rest: &str, spaced: bool) -> Option<Unit> {
    match rest {
        "" => Some(Unit::Bare),
        "%" | "percent" | "pct" | "percentage" | "per cent" | "percentage points" => Some(Unit::Percent),
        _ => name(rest, spaced).map(Unit::Named),
    }
}

/// The one name of a unit's spelling, when it is in the table.
pub(crate) fn known(spelling: &str) -> Option<&'static str> {
    let spells = |known: &&str| known.eq_ignore_ascii_case(spelling);
    KNOWN.iter().find(|(_, spellings)| spellings.iter().any(spells)).map(|(name, _)| *name)
}

fn name(rest: &str, spaced: bool) -> Option<Cow<'static, str>> {
    if let Some(name) = known(rest) {
        return Some(Cow::Borrowed(name));
    }
    if let Some(inner) = rest.strip_prefix("\\text{") {
        return marked(inner).map(Cow::Owned);
    }
    spaced.then(|| phrase(rest)).flatten().map(Cow::Owned)
}

/// A unit inside `\text{...}`, possibly with a power after it: there a single letter is a unit too.
fn marked(inner: &str) -> Option<String> {
    let (text, power) = inner.split_once('}')?;
    let text = text.trim();
    let is_letters = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'/');
    let says_number = |word: &str| says_something_about_the_number(&word.to_ascii_lowercase());
    let mut words = text.split_ascii_whitespace();
    if text.is_empty() || !words.all(|word| is_letters(word) && !says_number(word)) {
        return None;
    }
    let name = known(text).unwrap_or(text);
    match power.trim() {
        "" => Some(name.to_owned()),
        "^2" | "^{2}" | "^3" | "^{3}" => Some(format!("{name}^{}", power.replace(['{', '}', '^', ' '], ""))),
        _ => None,
    }
}

fn phrase(rest: &str) -> Option<String> {
    let mut name = String::new();
    for (i, word) in rest.split(|c: char| c == '/' || c.is_ascii_whitespace()).enumerate() {
        let canonical = canonical_word(word, i == 0)?;
        if i == MAX_WORDS {
            return None;
        }
        if i > 0 {
            name.push(' ');
        }
        name.push_str(canonical);
    }
    Some(name)
}

fn canonical_word(word: &str, is_first: bool) -> Option<&str> {
    if let Some(name) = known(word) {
        return Some(name);
    }
    if !is_first && JOINERS.contains(&word) {
        return Some(word);
    }
    let is_plain_word = word.len() >= 4 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    (is_plain_word && !says_something_about_the_number(word)).then_some(word)
}

fn says_something_about_the_number(word: &str) -> bool {
    NOT_UNITS.contains(&word) || matches!(word, "and" | "or" | "not" | "if" | "is" | "to" | "but" | "i" | "e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_from_mathematics() {
        let units = [
            ("eggs per day", true),
            ("cm", false),
            ("miles per hour", true),
            ("\\text{m}", false),
            ("\\text{ cm}^2", false),
            ("students", true),
            ("$", false),
        ];
        for (rest, spaced) in units {
            assert!(matches!(parse(rest, spaced), Some(Unit::Named(_))), "{rest}");
        }
        let not_units = [
            ("x", true),
            ("x", false),
            ("xyz", true),
            ("students", false),
            ("pi", true),
            ("\\pi", false),
            ("or more", true),
            ("\\text{ or }3", true),
            ("\\text{ million}", true),
            ("million", true),
            ("point five", true),
            ("choose three", true),
            ("i", false),
            ("+ 5", true),
        ];
        for (rest, spaced) in not_units {
            assert_eq!(parse(rest, spaced), None, "{rest}");
        }
    }
}
