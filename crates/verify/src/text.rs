//! Answers in words: the same text, letters of choices, opposites.

use crate::compare::Outcome;
use crate::judge::Decision;
use crate::normal::text_key;
use crate::options::Options;
use crate::quantity::Quantity;
use crate::unit::says_something_about_the_number;

/// Words of which an answer is one or the other.
const OPPOSITES: &[&[&str]] = &[&["yes", "no"], &["true", "false"], &["odd", "even"]];

/// Words of letters that are mathematics all the same.
const MATHEMATICAL: &[&str] = &[
    "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "sqrt", "pi", "infinity", "inf", "alpha",
    "beta", "theta", "gamma", "lambda",
];

/// The verdict on two normalised answers as text; none when mathematics has to decide.
pub(crate) fn compare(gold: &str, answer: &str, options: &Options) -> Option<Decision> {
    if let Some(decision) = choices(gold, answer, &options.choices) {
        return Some(decision);
    }
    let (a, b) = (text_key(gold), text_key(answer));
    // `1, 200` is not `1,200`, though they differ in a space only.
    let is_one_number = Quantity::parse(gold).is_some() != Quantity::parse(answer).is_some();
    if a == b && !is_one_number {
        return Some(Decision::new(Outcome::Equal, "text"));
    }
    let lettered = |key: &str| letter(key).or_else(|| leading_letter(key));
    let pair = (lettered(&a), lettered(&b));
    let is_bare = letter(&a).is_some() || letter(&b).is_some();
    if let (Some(x), Some(y), true) = (pair.0, pair.1, is_bare) {
        let outcome = if x == y { Outcome::Equal } else { Outcome::Different };
        return Some(Decision::new(outcome, "choice"));
    }
    let in_words = (is_words(&a) || is_in_words(gold), is_words(&b) || is_in_words(answer));
    if in_words == (false, false) {
        return None;
    }
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let is_opposite =
        OPPOSITES.iter().any(|words| words.contains(&a.as_str()) && words.contains(&b.as_str()));
    let outcome = match () {
        () if a == b => Outcome::Equal,
        () if is_opposite || are_other_words(&a, &b) => Outcome::Different,
        () => Outcome::Unknown,
    };
    Some(Decision::new(outcome, "text"))
}

/// Whether two answers are single words, and not two forms of one or two ways to agree.
fn are_other_words(a: &str, b: &str) -> bool {
    let is_word = |text: &str| text.len() >= 3 && text.chars().all(char::is_alphabetic);
    let agrees = |text: &str| OPPOSITES.iter().flat_map(|words| words.iter()).any(|word| *word == text);
    let is_form = a.starts_with(b) || b.starts_with(a);
    is_word(a) && is_word(b) && !is_form && !(agrees(a) && agrees(b))
}

/// The verdict by the choices of a question: letters, and the texts they stand for.
fn choices(gold: &str, answer: &str, choices: &[String]) -> Option<Decision> {
    if choices.is_empty() {
        return None;
    }
    let (a, b) = (choice(gold, choices)?, choice(answer, choices)?);
    let outcome = if a == b { Outcome::Equal } else { Outcome::Different };
    Some(Decision::new(outcome, "choice"))
}

/// The number of the choice that a text names: by its letter, `B. red`, or its own text.
fn choice(text: &str, choices: &[String]) -> Option<usize> {
    let key = text_key(text);
    let lower = key.to_lowercase();
    let by_text =
        choices.iter().position(|choice| text_key(&crate::normal::normalise(choice)).to_lowercase() == lower);
    let by_letter = || {
        let letter = letter(&key).or_else(|| leading_letter(&key))?;
        Some(usize::from(letter.to_ascii_uppercase() as u8 - b'A')).filter(|index| *index < choices.len())
    };
    by_text.or_else(by_letter)
}

/// The letter of a choice: `C`, `(C)`, `C.`, `C)`.
fn letter(key: &str) -> Option<char> {
    let bare = key.strip_prefix('(').unwrap_or(key);
    let bare = bare.strip_suffix([')', '.', ':']).unwrap_or(bare);
    let mut chars = bare.chars();
    let letter = chars.next().filter(char::is_ascii_uppercase)?;
    chars.next().is_none().then_some(letter)
}

/// The letter before the text of a choice: `B. red`, `(B) red`.
fn leading_letter(key: &str) -> Option<char> {
    let bare = key.strip_prefix('(').unwrap_or(key);
    let mut chars = bare.chars();
    let letter = chars.next().filter(char::is_ascii_uppercase)?;
    matches!(chars.next(), Some('.' | ')' | ':')).then_some(letter)
}

/// Whether a text is words rather than mathematics: letters only, one word of three or more.
fn is_words(key: &str) -> bool {
    let is_plain = key.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '\'' | '-' | ',' | '.'));
    let is_mathematical = key.split(' ').any(|word| is_mathematical(word) && word.len() <= 8);
    is_plain && !is_mathematical && key.split(' ').any(|word| word.chars().count() >= 3)
}

/// Whether a text is a sentence, or has a word in it that changes what its number says: `3 or more`.
fn is_in_words(normal: &str) -> bool {
    // Commands, and the "otherwise" of a function in pieces, are mathematics.
    let mut words =
        normal.split(|c: char| !(c.is_ascii_alphabetic() || c == '\\')).filter(|word| word.len() >= 3);
    if normal.contains("\\begin{cases}") {
        return false;
    }
    is_prose(normal) || words.any(|word| says_something_about_the_number(word) && !is_mathematical(word))
}

fn is_mathematical(word: &str) -> bool {
    matches!(word, "and" | "or") || MATHEMATICAL.iter().any(|known| word.starts_with(known))
}

fn is_prose(normal: &str) -> bool {
    let is_word = |word: &&str| {
        let word = word.trim_end_matches([',', '.', ';', ':']);
        word.len() >= 2
            && word.bytes().all(|byte| byte.is_ascii_alphabetic())
            && word.bytes().any(|byte| !byte.is_ascii_uppercase())
    };
    normal.split_whitespace().filter(is_word).filter(|word| !is_mathematical(word)).count() >= 3
}

/// Whether a text is a number and a letter that may be a unit: `5 m`, `3.6 km/h`.
pub(crate) fn ends_in_letter_unit(text: &str) -> bool {
    let starts_with_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
    let mut words = text.split(' ');
    let last = words.next_back().unwrap_or_default();
    let first = last.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | ','));
    starts_with_number && first.starts_with(|c: char| c.is_ascii_alphabetic()) && first.len() <= 5
}

/// A number with a decimal comma, with a point: `1,22`. None for anything else, thousands among it.
pub(crate) fn with_point(text: &str) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once(',')?;
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_thousands = fraction.len() == 3 && !whole.starts_with('0');
    (is_digits(whole) && is_digits(fraction) && !is_thousands).then(|| text.replace(',', "."))
}
