//! Which symbols around an equals sign are its sides, and how far they can be trusted.

use super::lexer::{Kind, Token};

/// Words before a side, or in it, that change the value of what follows.
const SCALING: &[&str] = &[
    "half", "halves", "twice", "thrice", "double", "triple", "third", "quarter", "fourth", "fifth", "tenth", "of",
    "than", "minus", "plus", "over", "by", "square", "squared", "cubed", "root", "log", "ln", "sin", "cos", "tan",
    "mod", "dozen", "dozens", "pair", "pairs", "hundred", "thousand", "million", "billion", "trillion", "percent",
    "hundreds", "thousands", "millions", "base", "remainder", "modulo", "factorial", "from", "times", "score",
];

/// One side of an equation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<'a> {
    /// Its symbols, units among them.
    pub tokens: &'a [Token<'a>],
    /// The symbol before it on the same side of the equals sign.
    before: Option<&'a Token<'a>>,
    /// Words right before and right after it.
    around: [&'a [Token<'a>]; 2],
}

/// The sides that a stretch between two equals signs offers: to the sign on its left, to the one on its right.
pub(super) fn sides<'a>(segment: &'a [Token<'a>]) -> [Option<Side<'a>>; 2] {
    let breaks = breaks(segment);
    let first_break = breaks.iter().position(|is_break| *is_break).unwrap_or(segment.len());
    let after_last_break = breaks.iter().rposition(|is_break| *is_break).map_or(0, |i| i + 1);
    let prefix_end = unmatched_close(&segment[..first_break]).unwrap_or(first_break);
    let suffix = &segment[after_last_break..];
    let suffix_start = after_last_break + unmatched_open(suffix).map_or(0, |i| i + 1);
    [side(segment, 0, prefix_end), side(segment, suffix_start, segment.len())]
}

fn side<'a>(segment: &'a [Token<'a>], start: usize, end: usize) -> Option<Side<'a>> {
    let words_before = segment[..start].iter().rev().take_while(|token| token.kind == Kind::Word).count();
    let words_after = segment[end..].iter().take_while(|token| token.kind == Kind::Word).count();
    let side = Side {
        tokens: &segment[start..end],
        before: start.checked_sub(1).map(|i| &segment[i]),
        around: [&segment[start - words_before..start], &segment[end..end + words_after]],
    };
    (is_complete(&side) && !touches(segment, start) && !continues(segment, end)).then_some(side)
}

/// Whether the tokens begin and end with an operand, so that none is cut off.
fn is_complete(side: &Side<'_>) -> bool {
    let (Some(first), Some(last)) = (side.tokens.first(), side.tokens.last()) else { return false };
    let second_is_glued = side.tokens.get(1).is_some_and(|token| token.glued || token.begins_operand());
    let begins = match first.kind {
        Kind::Plus | Kind::Minus => match side.before.map(|token| &token.kind) {
            None | Some(Kind::Open) => true,
            Some(Kind::Word | Kind::Mark) => !first.glued && second_is_glued && is_sign(side.tokens),
            Some(_) => false,
        },
        _ => first.begins_operand(),
    };
    begins && (last.ends_operand() || last.kind == Kind::Word)
}

/// Whether the first symbol is written onto its operand, as a sign is.
fn is_sign(tokens: &[Token<'_>]) -> bool {
    matches!(tokens, [sign, next, ..] if next.start == sign.end() && next.begins_operand())
}

/// Whether the symbol at `start` is part of something that began before it: `f(2)`, `3:00`, `x^2`.
fn touches(segment: &[Token<'_>], start: usize) -> bool {
    let Some(first) = segment.get(start).filter(|first| first.glued && start > 0) else { return false };
    let before = &segment[start - 1];
    match before.kind {
        Kind::Open => false,
        Kind::Mark => {
            let between_digits = before.glued && start > 1 && segment[start - 2].ends_operand();
            between_digits || !matches!(before.text, ":" | "," | ";" | "\"" | "'" | "." | "…" | "“" | "→" | "|")
        }
        _ => first.glued,
    }
}

/// Whether what ends before `end` goes on after it: `2x`, `5!`, `5:00`, `1.234.567`.
fn continues(segment: &[Token<'_>], end: usize) -> bool {
    match segment.get(end) {
        None => false,
        Some(next) if next.kind == Kind::Word => is_variable(next) || next.glued,
        Some(next) if next.kind == Kind::Mark && next.glued => {
            let is_punctuation = matches!(next.text, "." | "," | ";" | ":" | "?" | "!" | "\"" | "'" | "”" | "|");
            let digits_follow = segment.get(end + 1).is_some_and(|after| after.glued && after.begins_operand());
            !is_punctuation || digits_follow
        }
        Some(next) => matches!(next.kind, Kind::Number { .. }),
    }
}

/// For each token whether arithmetic ends there.
fn breaks(segment: &[Token<'_>]) -> Vec<bool> {
    let mut breaks = vec![false; segment.len()];
    let mut start = 0;
    while start < segment.len() {
        let run = segment[start..].iter().take_while(|token| token.kind == Kind::Word).count();
        match run {
            0 => {
                breaks[start] = segment[start].kind == Kind::Mark;
                start += 1;
            }
            _ => {
                breaks[start..start + run].fill(!is_unit(segment, start, run));
                start += run;
            }
        }
    }
    breaks
}

/// Whether the words at `start` only say what the operand before them counts.
fn is_unit(segment: &[Token<'_>], start: usize, run: usize) -> bool {
    let words = &segment[start..start + run];
    let next = segment.get(start + run);
    if start == 0 || !segment[start - 1].ends_operand() || words.iter().any(is_variable) || words[0].glued {
        return false;
    }
    if words.len() == 1 && words[0].text == "of" && next.is_some_and(Token::begins_operand) {
        return segment[start - 1].kind == Kind::Percent || start > 1 && segment[start - 2].kind == Kind::Over;
    }
    !next.is_some_and(Token::begins_operand)
}

/// A lone letter, or a command such as `\pi`.
fn is_variable(token: &Token<'_>) -> bool {
    token.text.starts_with('\\') || (token.text.chars().count() == 1 && token.text != "a")
}

fn unmatched_close(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| match token.kind {
        Kind::Open => {
            depth += 1;
            false
        }
        Kind::Close if depth == 0 => true,
        Kind::Close => {
            depth -= 1;
            false
        }
        _ => false,
    })
}

fn unmatched_open(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().rposition(|token| match token.kind {
        Kind::Close => {
            depth += 1;
            false
        }
        Kind::Open if depth == 0 => true,
        Kind::Open => {
            depth -= 1;
            false
        }
        _ => false,
    })
}

impl<'a> Side<'a> {
    /// Whether it computes something, rather than being a lone number.
    pub(super) fn computes(&self) -> bool {
        let computes = |token: &Token<'_>| {
            matches!(token.kind, Kind::Plus | Kind::Minus | Kind::Times | Kind::Over | Kind::Power) || token.text == "of"
        };
        self.tokens.iter().skip(1).any(computes)
            || self.tokens.first().is_some_and(|token| token.kind == Kind::Fraction)
            || self.tokens.windows(2).any(|pair| pair[0].ends_operand() && pair[1].begins_operand())
    }

    /// Whether a word stands right before it, which may be what it numbers: `Day 1`.
    pub(super) fn follows_word(&self) -> bool {
        !self.around[0].is_empty()
    }

    /// Whether a word changes its value in a way that is not worked out here.
    pub(super) fn is_scaled(&self) -> bool {
        let of_percent = |i: usize| self.tokens[i].text == "of" && self.tokens.get(i + 1).is_some_and(Token::begins_operand);
        let inside = self.tokens.iter().enumerate().filter(|(i, _)| !of_percent(*i)).map(|(_, token)| token);
        let next_word = self.around[1].first();
        let mut words = inside.chain(self.around[0]).chain(next_word).filter(|token| token.kind == Kind::Word);
        words.any(|word| SCALING.iter().any(|scaling| scaling.eq_ignore_ascii_case(word.text)))
    }

    /// The first word of each unit in it and right after it.
    pub(super) fn units(&self) -> impl Iterator<Item = &'a str> {
        let after_operand = |pair: &&[Token<'a>]| pair[0].kind != Kind::Word && pair[1].kind == Kind::Word;
        let inside = self.tokens.windows(2).filter(after_operand).map(|pair| pair[1].text);
        let is_own = self.tokens.last().is_some_and(|last| last.kind == Kind::Word);
        inside.chain(self.around[1].first().filter(|_| !is_own).map(|word| word.text))
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

    /// Whether a percent sign is in it, and whether one is added or subtracted.
    pub(super) fn percent(&self) -> (bool, bool) {
        let has = |wanted: &[Kind]| self.tokens.iter().skip(1).any(|token| wanted.contains(&token.kind));
        let percent = has(&[Kind::Percent]);
        (percent, percent && has(&[Kind::Plus, Kind::Minus]))
    }
}
