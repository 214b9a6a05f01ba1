//! Strategies: texts, pairs of texts that are nearly the same, and the keys of a grader.

use flow_verify::Grader;
use proptest::prelude::*;
use proptest::sample::select;

use crate::pieces::{ANSWER, ANSWERS, MARKS, UNICODE};

/// An answer, or something like one.
pub(crate) fn answer() -> impl Strategy<Value = String> {
    let soup = prop::collection::vec(select(ANSWER), 0..24).prop_map(|pieces| pieces.concat());
    let bytes = prop::collection::vec(any::<u8>(), 0..60)
        .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let spliced = (select(ANSWERS), select(ANSWERS), any::<usize>(), any::<usize>(), piece())
        .prop_map(|(a, b, i, j, piece)| format!("{}{piece}{}", cut(a, i, false), cut(b, j, true)));
    let nested = (piece(), 1_usize..3000).prop_map(|(piece, times)| piece.repeat(times));
    let phrase = prop::collection::vec(piece(), 1..5).prop_map(|pieces| pieces.concat());
    let repeated = (piece(), phrase, 1_usize..400)
        .prop_map(|(head, piece, times)| format!("{head}{}", piece.repeat(times)));
    prop_oneof![6 => soup, 2 => bytes, 6 => spliced, 1 => nested, 1 => repeated, 2 => any::<String>()]
}

/// A completion, or something like one.
pub(crate) fn completion() -> impl Strategy<Value = String> {
    let mixed = prop::collection::vec(
        prop_oneof![3 => select(MARKS), 2 => select(ANSWER), 1 => select(UNICODE)],
        0..40,
    )
    .prop_map(|pieces| pieces.concat());
    let phrase = prop::collection::vec(piece(), 1..6).prop_map(|pieces| pieces.concat());
    let long = (piece(), phrase, piece(), 1_usize..4000)
        .prop_map(|(head, phrase, tail, times)| format!("{head}{}{tail}", phrase.repeat(times)));
    let megabyte = (piece(), piece(), piece())
        .prop_map(|(head, piece, tail)| format!("{head}{}{tail}", piece.repeat(1_000_000 / piece.len())));
    prop_oneof![160 => mixed, 20 => long, 40 => answer(), 20 => any::<String>(), 1 => megabyte]
}

/// Two texts: unrelated, or one a little changed.
pub(crate) fn pair() -> impl Strategy<Value = (String, String)> {
    let inserted = (answer(), piece(), any::<usize>()).prop_map(|(a, piece, at)| {
        let b = format!("{}{piece}{}", cut(&a, at, false), cut(&a, at, true));
        (a, b)
    });
    prop_oneof![2 => (answer(), answer()), 3 => inserted]
}

/// A key of a grader and a value for it, mostly one that it takes.
pub(crate) fn key() -> impl Strategy<Value = (&'static str, String)> {
    const VALUES: &[&str] = &[
        "auto",
        "boxed",
        "final_line",
        "tag",
        "phrase",
        "last_line",
        "last_number",
        "last_expression",
        "choice",
        "whole",
        "json:answer",
        "json:a[0].b",
        "json:$",
        "regex:(\\d+)",
        "regex:(?s)(?P<answer>.)$",
        "regex:",
        "strict",
        "normal",
        "lenient",
        "last",
        "joined",
        "all",
        "math",
        "numeric",
        "exact",
        "either",
        "value",
        "sign",
        "doubt",
        "rounded",
        "places:3",
        "places:300",
        "relative:4",
        "relative:0",
        "any",
        "listed",
        "optional",
        "required",
    ];
    let odd = prop::collection::vec(piece(), 0..4).prop_map(|pieces| pieces.concat());
    let odd_rule = (select(&["json:", "regex:", "places:"][..]), odd.clone())
        .prop_map(|(rule, rest)| format!("{rule}{rest}"));
    let value = prop_oneof![8 => select(VALUES).prop_map(str::to_owned), 1 => odd, 1 => odd_rule];
    (select(Grader::KEYS), value)
}

/// Any piece.
pub(crate) fn piece() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![4 => select(ANSWER), 2 => select(MARKS), 1 => select(UNICODE)]
}

/// The part of `text` before or after a character.
fn cut(text: &str, at: usize, after: bool) -> String {
    let at = at % (text.chars().count() + 1);
    if after { text.chars().skip(at).collect() } else { text.chars().take(at).collect() }
}
