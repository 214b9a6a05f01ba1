//! What follows a number: percent, money, units of measure, counted things.
//!
//! A unit is only ever a reason to doubt, never to convert: `5 cm` is five of something. What must not
//! happen is to take mathematics for a unit (`5 x`, `2 pi`, `3 or more`), since the number alone would then
//! be accepted for the whole. So a bare word counts as a unit only when it is in [`KNOWN`], or is a plain
//! lower-case word of four letters or more that is not in [`NOT_UNITS`]; a single letter needs `\text{}`.

mod measure;

use std::borrow::Cow;

pub(crate) use measure::{measure, parts};

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

/// Spellings that are units wherever they stand after a number, even without a space. Those with a capital are read in no
/// other case: `mW` is not `MW`.
const KNOWN: &[(&str, &[&str])] = &[
    ("dollar", &["$", "dollar", "dollars", "usd", "bucks"]),
    ("euro", &["€", "euro", "euros", "eur"]),
    ("pound sterling", &["£", "gbp"]),
    ("yen", &["yen"]),
    ("yuan", &["yuan", "元"]),
    ("rupee", &["₹", "rupee", "rupees"]),
    ("cent", &["¢", "cent", "cents"]),
    ("millimetre", &["mm", "millimeter", "millimeters", "millimetre", "millimetres", "毫米"]),
    ("centimetre", &["cm", "centimeter", "centimeters", "centimetre", "centimetres", "厘米"]),
    ("decimetre", &["dm", "decimeter", "decimeters", "分米"]),
    ("metre", &["meter", "meters", "metre", "metres", "米"]),
    ("kilometre", &["km", "kilometer", "kilometers", "kilometre", "kilometres", "千米", "公里"]),
    ("inch", &["inch", "inches"]),
    ("foot", &["ft", "foot", "feet"]),
    ("yard", &["yd", "yard", "yards"]),
    ("mile", &["mi", "mile", "miles"]),
    ("milligram", &["mg", "milligram", "milligrams"]),
    ("gram", &["gram", "grams", "克"]),
    ("kilogram", &["kg", "kilogram", "kilograms", "千克", "公斤"]),
    ("ounce", &["oz", "ounce", "ounces"]),
    ("pound", &["lb", "lbs", "pound", "pounds"]),
    ("ton", &["ton", "tons"]),
    ("tonne", &["tonne", "tonnes", "吨"]),
    ("millilitre", &["ml", "milliliter", "milliliters", "毫升"]),
    ("litre", &["liter", "liters", "litre", "litres"]),
    ("cup", &["cup", "cups"]),
    ("pint", &["pint", "pints"]),
    ("quart", &["quart", "quarts"]),
    ("gallon", &["gal", "gallon", "gallons"]),
    ("second", &["sec", "secs", "second", "seconds", "秒"]),
    ("minute", &["min", "mins", "minute", "minutes", "分钟"]),
    ("hour", &["hr", "hrs", "hour", "hours", "小时"]),
    ("day", &["day", "days", "天"]),
    ("week", &["week", "weeks"]),
    ("month", &["month", "months"]),
    ("year", &["yr", "yrs", "year", "years"]),
    ("mile per hour", &["mph"]),
    ("kilometre per hour", &["kph", "kmh"]),
    ("nanometre", &["nm", "nanometer", "nanometers", "nanometre", "nanometres"]),
    (
        "micrometre",
        &["μm", "µm", "micrometer", "micrometers", "micrometre", "micrometres", "micron", "microns"],
    ),
    ("microgram", &["μg", "µg", "mcg", "microgram", "micrograms"]),
    ("nanosecond", &["nanosecond", "nanoseconds"]),
    ("microsecond", &["μs", "µs", "microsecond", "microseconds"]),
    ("millisecond", &["ms", "msec", "millisecond", "milliseconds"]),
    ("newton", &["newton", "newtons"]),
    ("kilonewton", &["kN", "kilonewton", "kilonewtons"]),
    ("joule", &["joule", "joules"]),
    ("kilojoule", &["kJ", "kilojoule", "kilojoules"]),
    ("megajoule", &["MJ", "megajoule", "megajoules"]),
    ("watt", &["watt", "watts"]),
    ("milliwatt", &["mW", "milliwatt", "milliwatts"]),
    ("kilowatt", &["kW", "kilowatt", "kilowatts"]),
    ("megawatt", &["MW", "megawatt", "megawatts"]),
    ("pascal", &["Pa", "pascal", "pascals"]),
    ("kilopascal", &["kPa", "kilopascal", "kilopascals"]),
    ("megapascal", &["MPa", "megapascal", "megapascals"]),
    ("volt", &["volt", "volts"]),
    ("millivolt", &["mV", "millivolt", "millivolts"]),
    ("kilovolt", &["kV", "kilovolt", "kilovolts"]),
    ("ampere", &["amp", "amps", "ampere", "amperes"]),
    ("milliampere", &["mA", "milliamp", "milliamps", "milliampere", "milliamperes"]),
    ("hertz", &["Hz", "hertz"]),
    ("kilohertz", &["kHz", "kilohertz"]),
    ("megahertz", &["MHz", "megahertz"]),
    ("gigahertz", &["GHz", "gigahertz"]),
    ("mole", &["mol", "mole", "moles"]),
    ("millimole", &["mmol", "millimole", "millimoles"]),
    ("degree", &["°", "degree", "degrees", "deg"]),
    ("radian", &["radian", "radians", "rad"]),
    ("man", &["man", "men"]),
    ("egg", &["egg", "eggs"]),
    ("car", &["car", "cars"]),
    ("bag", &["bag", "bags"]),
    ("box", &["box", "boxes"]),
];

/// Letters that are units where they can be nothing else.
const LETTERS: &[(&str, &str)] = &[
    ("m", "metre"),
    ("g", "gram"),
    ("s", "second"),
    ("h", "hour"),
    ("L", "litre"),
    ("l", "litre"),
    ("N", "newton"),
    ("J", "joule"),
    ("W", "watt"),
    ("V", "volt"),
];

/// The unit that a letter stands for where it can be nothing else, as inside `\text{}`.
pub(crate) fn of_letter(letter: &str) -> Option<&'static str> {
    LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, name)| *name)
}

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
    let has_capital = |text: &str| text.bytes().any(|byte| byte.is_ascii_uppercase());
    let spells =
        |known: &&str| *known == spelling || !has_capital(known) && known.eq_ignore_ascii_case(spelling);
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
    let name = known(text).or_else(|| of_letter(text)).unwrap_or(text);
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
    is_plain_word(word).then_some(word)
}

/// Whether a word of plain text may be a counted thing.
pub(crate) fn is_plain_word(word: &str) -> bool {
    let is_plain = word.len() >= 4 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    is_plain && !says_something_about_the_number(word)
}

pub(crate) fn says_something_about_the_number(word: &str) -> bool {
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
