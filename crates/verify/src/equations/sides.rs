//! Which symbols around an equals sign are its sides.

use super::lexer::{Kind, Token};
use crate::unit;

/// Words that join clauses, so that arithmetic does not go on across them as it does across a unit.
const CONNECTIVES: &[&str] = &[
    "are",
    "because",
    "but",
    "equals",
    "gives",
    "if",
    "is",
    "leaves",
    "makes",
    "means",
    "or",
    "since",
    "so",
    "then",
    "therefore",
    "thus",
    "was",
    "were",
];

/// One side of an equation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<'a> {
    /// Its symbols, units among them; begins and ends with an operand.
    pub tokens: &'a [Token<'a>],
    /// Everything before it on this side of the equals sign.
    pub before: &'a [Token<'a>],
    /// Everything after it on this side of the equals sign.
    pub after: &'a [Token<'a>],
}

/// The sides that a stretch between two equals signs offers: to the sign on its left, to the one on its right.
pub(super) fn sides<'a>(segment: &'a [Token<'a>]) -> [Option<Side<'a>>; 2] {
    let breaks = breaks(segment);
    let first_break = breaks.iter().position(|is_break| *is_break).unwrap_or(segment.len());
    let prefix = &segment[..first_break];
    let prefix = &prefix[..unmatched_close(prefix).unwrap_or(first_break)];
    let units = prefix.iter().rev().take_while(|token| token.kind == Kind::Word).count();

    let after_last_break = breaks.iter().rposition(|is_break| *is_break).map_or(0, |i| i + 1);
    let suffix = &segment[after_last_break..];
    let suffix_start = after_last_break + unmatched_open(suffix).map_or(0, |i| i + 1);
    [side(segment, 0, prefix.len() - units), side(segment, suffix_start, segment.len())]
}

fn side<'a>(segment: &'a [Token<'a>], start: usize, end: usize) -> Option<Side<'a>> {
    let side = Side { tokens: &segment[start..end], before: &segment[..start], after: &segment[end..] };
    (is_complete(&side) && !touches(&side) && !continues(&side)).then_some(side)
}

/// Whether the tokens begin and end with an operand, so that none is cut off.
fn is_complete(side: &Side<'_>) -> bool {
    let (Some(first), Some(last)) = (side.tokens.first(), side.tokens.last()) else { return false };
    let begins = match first.kind {
        Kind::Plus | Kind::Minus => match side.before.last() {
            None => true,
            Some(before) => match before.kind {
                Kind::Open => true,
                Kind::Word => !is_variable(before) && !first.glued && is_sign(side.tokens),
                Kind::Mark => !first.glued && is_sign(side.tokens),
                _ => false,
            },
        },
        _ => first.begins_operand(),
    };
    begins && (last.ends_operand() || last.kind == Kind::Word)
}

/// Whether the first symbol is written onto its operand, as a sign is.
fn is_sign(tokens: &[Token<'_>]) -> bool {
    matches!(tokens, [sign, next, ..] if next.start == sign.end() && next.begins_operand())
}

/// Whether the side is the end of something that began before it: `f(2)`, `3:00`, `x^2`, `14, 400`.
fn touches(side: &Side<'_>) -> bool {
    let (Some(first), Some((before, earlier))) = (side.tokens.first(), side.before.split_last()) else {
        return false;
    };
    let earlier = earlier.last();
    match before.kind {
        Kind::Open => false,
        Kind::Word => first.glued || is_variable(before),
        Kind::Mark => {
            let is_separator = before.glued && earlier.is_some_and(Token::ends_operand);
            let splits_thousands = is_separator && before.text == "," && first.text.len() == 3;
            let cuts_operation = earlier.is_some_and(Token::is_operator);
            let is_punctuation =
                matches!(before.text, ":" | "," | ";" | "\"" | "'" | "." | "…" | "“" | "→" | "|");
            splits_thousands || cuts_operation || (first.glued && (is_separator || !is_punctuation))
        }
        _ => true,
    }
}

/// Whether the side goes on after its last symbol: `2x`, `5:00`, `1.234.567`, `8.33...`.
fn continues(side: &Side<'_>) -> bool {
    let Some((next, later)) = side.after.split_first() else { return false };
    match next.kind {
        Kind::Word => is_variable(next) || is_glued_letters(next),
        Kind::Mark if next.text.starts_with(|c: char| c.is_ascii_digit()) => true,
        Kind::Mark if next.glued => {
            let is_punctuation =
                matches!(next.text, "." | "," | ";" | ":" | "?" | "!" | "\"" | "'" | "”" | "|");
            let goes_on = |after: &Token<'_>| after.glued && (after.begins_operand() || after.text == ".");
            !is_punctuation || later.first().is_some_and(goes_on)
        }
        Kind::Mark | Kind::Close => false,
        _ => true,
    }
}

/// For each token whether arithmetic ends there.
fn breaks(segment: &[Token<'_>]) -> Vec<bool> {
    let mut breaks: Vec<bool> = segment.iter().map(|token| token.kind == Kind::Mark).collect();
    let mut start = 0;
    for run in segment.chunk_by(|a, b| a.kind == Kind::Word && b.kind == Kind::Word) {
        let end = start + run.len();
        if run[0].kind == Kind::Word && !is_unit(&segment[..start], run, segment.get(end)) {
            breaks[start..end].fill(true);
        }
        start = end;
    }
    breaks
}

/// Whether `words` only say what the operand before them counts.
fn is_unit(before: &[Token<'_>], words: &[Token<'_>], next: Option<&Token<'_>>) -> bool {
    let operand_follows = next.is_some_and(Token::begins_operand);
    let Some((last, earlier)) = before.split_last().filter(|(last, _)| last.ends_operand()) else {
        return false;
    };
    if operand_follows {
        let is_part =
            last.kind == Kind::Percent || earlier.last().is_some_and(|token| token.kind == Kind::Over);
        return is_part && matches!(words, [of] if of.text == "of");
    }
    let joins = |word: &Token<'_>| CONNECTIVES.iter().any(|joining| joining.eq_ignore_ascii_case(word.text));
    !words.iter().any(|word| is_variable(word) || joins(word)) && !is_glued_letters(&words[0])
}

/// A lone letter, or a command such as `\pi`.
fn is_variable(token: &Token<'_>) -> bool {
    let mut letters = token.text.chars();
    let is_lone_letter = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
    token.text.starts_with('\\') || (is_lone_letter && token.text != "a")
}

/// Letters written onto a number that are no unit: a product of variables.
fn is_glued_letters(token: &Token<'_>) -> bool {
    token.glued && token.text != "/" && unit::known(token.text).is_none()
}

fn unmatched_close(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| is_unmatched(&token.kind, &Kind::Open, &Kind::Close, &mut depth))
}

fn unmatched_open(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().rposition(|token| is_unmatched(&token.kind, &Kind::Close, &Kind::Open, &mut depth))
}

/// Whether `kind` closes a group that is not open; `depth` counts the open ones.
fn is_unmatched(kind: &Kind, opening: &Kind, closing: &Kind, depth: &mut usize) -> bool {
    if kind == opening {
        *depth += 1;
    } else if kind == closing {
        match depth.checked_sub(1) {
            Some(outer) => *depth = outer,
            None => return true,
        }
    }
    false
}
