//! How far a side can be trusted to be what was meant.

use super::lexer::{Kind, Token};
use super::sides::Side;

/// Words before a side, in it or after it, that change its value.
const SCALING: &[&str] = &[
    "base",
    "billion",
    "by",
    "cos",
    "cubed",
    "double",
    "dozen",
    "dozens",
    "factorial",
    "fifth",
    "fourth",
    "from",
    "half",
    "halves",
    "hundred",
    "hundreds",
    "ln",
    "log",
    "million",
    "millions",
    "minus",
    "mod",
    "modulo",
    "of",
    "over",
    "pair",
    "pairs",
    "percent",
    "plus",
    "quarter",
    "remainder",
    "root",
    "score",
    "sin",
    "squared",
    "tan",
    "tenth",
    "than",
    "third",
    "thousand",
    "thousands",
    "thrice",
    "times",
    "trillion",
    "triple",
    "twice",
];

/// Words that number what follows them: the 1 of `day 1 * 2` may be no operand.
const NUMBERED: &[&str] = &[
    "case", "chapter", "day", "grade", "level", "month", "number", "page", "part", "problem", "question",
    "room", "round", "section", "step", "week", "year",
];

/// Words right before a side that are looked at.
const WORDS_BEFORE: usize = 2;

impl<'a> Side<'a> {
    /// Whether it computes something, rather than being a lone number.
    pub(super) fn computes(&self) -> bool {
        let begins_with_fraction = self.tokens.first().is_some_and(|token| token.kind == Kind::Fraction);
        let is_operation = |token: &Token<'_>| token.is_operator() || token.text == "of";
        begins_with_fraction
            || self.tokens.iter().skip(1).any(is_operation)
            || self.tokens.windows(2).any(|pair| pair[0].ends_operand() && pair[1].begins_operand())
    }

    /// Whether a word stands right before it, which may be what it numbers: `Day 1`.
    pub(super) fn follows_word(&self) -> bool {
        self.words_before().next().is_some()
    }

    /// Whether a word changes its value, so that nothing can be said.
    pub(super) fn is_scaled(&self) -> bool {
        let is_word = |token: &&Token<'_>| token.kind == Kind::Word;
        let multiplies = |i: usize| self.tokens.get(i + 1).is_some_and(Token::begins_operand);
        let inside = self.tokens.iter().enumerate().filter(|(i, _)| !multiplies(*i)).map(|(_, token)| token);
        let after = self.after.first().filter(|token| token.text != "of");
        inside.chain(self.words_before()).chain(after).filter(is_word).any(|word| is_one_of(SCALING, word))
    }

    /// Whether there is another way to read it, so that a mismatch is no proof of a mistake.
    pub(super) fn is_ambiguous(&self) -> bool {
        let numbered = self.words_before().any(|word| is_one_of(NUMBERED, word));
        let multiplied_in_words = self.tokens.iter().any(|token| token.text == "times");
        numbered
            || multiplied_in_words
            || self.divides_twice()
            || self.is_part_of_mixed_number()
            || self.goes_on_in_words()
            || self.adds_percentage()
    }

    /// The first word of each unit in it and right after it.
    pub(super) fn units(&self) -> impl Iterator<Item = &'a str> {
        let after_operand = |pair: &&[Token<'a>]| pair[0].kind != Kind::Word && pair[1].kind == Kind::Word;
        let inside = self.tokens.windows(2).filter(after_operand).map(|pair| pair[1].text);
        inside.chain(self.after.first().filter(|token| token.kind == Kind::Word).map(|word| word.text))
    }

    /// Decimals of the number when it is one that stands alone.
    pub(super) fn lone_fraction_digits(&self) -> Option<usize> {
        let mut numbers = self.tokens.iter().filter_map(|token| match token.kind {
            Kind::Number { fraction_digits, .. } => Some(fraction_digits),
            _ => None,
        });
        let digits = numbers.next()?;
        (numbers.next().is_none() && !self.computes()).then_some(digits)
    }

    /// Whether a percent sign is in it.
    pub(super) fn has_percent(&self) -> bool {
        self.has(&[Kind::Percent])
    }

    /// `50 + 20%`: on a calculator a fifth of 50 is meant.
    fn adds_percentage(&self) -> bool {
        self.has_percent() && self.has(&[Kind::Plus, Kind::Minus])
    }

    /// `25 / 1/3`, where the second division may have been meant first.
    fn divides_twice(&self) -> bool {
        let is_division = |token: &Token<'_>| token.kind == Kind::Over;
        self.tokens.windows(3).any(|window| is_division(&window[0]) && is_division(&window[2]))
    }

    /// `1 and 1/4`, of which it is one part.
    fn is_part_of_mixed_number(&self) -> bool {
        let is_and = |token: Option<&Token<'_>>| token.is_some_and(|token| token.text == "and");
        let is_fraction = self.tokens.get(1).is_some_and(|token| token.kind == Kind::Over);
        let goes_on = is_and(self.after.first()) && self.after.get(1).is_some_and(Token::begins_operand);
        goes_on || (is_fraction && is_and(self.before.last()))
    }

    /// `60% of them`, `2 boxes with a remainder of 1`.
    fn goes_on_in_words(&self) -> bool {
        let mut words = self.after.iter().take_while(|token| token.kind == Kind::Word);
        self.after.first().is_some_and(|token| token.text == "of")
            || words.any(|word| word.text == "remainder")
    }

    fn has(&self, kinds: &[Kind]) -> bool {
        self.tokens.iter().skip(1).any(|token| kinds.contains(&token.kind))
    }

    /// The last words before it, the nearest first.
    fn words_before(&self) -> impl Iterator<Item = &'a Token<'a>> {
        self.before.iter().rev().take_while(|token| token.kind == Kind::Word).take(WORDS_BEFORE)
    }
}

fn is_one_of(list: &[&str], word: &Token<'_>) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(word.text))
}
