//! What a template orders by: the operands of its `<`, `<=`, `>` and `>=`.
//!
//! The language itself puts a null below every number and a number below every text, which nobody means. So operands that
//! are told from the text, names and literals right beside such a sign, are held to one kind, and a null among them to
//! being asked for somewhere (`level is none`, `level is not none`, `level == none`).

use flow_data::{Columns, Type};

/// What stands right beside a sign of order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Name(String),
    Number,
    Text,
    /// Anything else: what it is shows when it is evaluated.
    Other,
}

/// The names that the template `text` orders by and never asks to be null, in order of appearance.
pub(super) fn ordered(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let asked = |name: &str| {
        let name_then = |words: &[&str]| {
            let mut windows = tokens.windows(words.len() + 1);
            windows.any(|window| window[0] == name && window[1..].iter().zip(words).all(|(a, b)| a == b))
        };
        [&["is", "none"][..], &["is", "not", "none"], &["==", "none"], &["!=", "none"]]
            .into_iter()
            .any(name_then)
    };
    let mut names = Vec::new();
    for operand in pairs(&tokens).into_iter().flatten() {
        match operand {
            Operand::Name(name) if !asked(&name) && !names.contains(&name) => names.push(name),
            _ => {}
        }
    }
    names
}

/// The operands of unlike kinds, for people, one text for each sign that has such.
pub(super) fn unlike(text: &str, columns: &Columns) -> Vec<String> {
    let kind = |operand: &Operand| match operand {
        Operand::Number => Some("a number"),
        Operand::Text => Some("text"),
        Operand::Name(name) => columns.get(name).and_then(|column| match column.kind {
            Type::Int | Type::Float => Some("a number"),
            Type::Text => Some("text"),
            _ => None,
        }),
        Operand::Other => None,
    };
    let named = |operands: &[Operand; 2]| {
        let name = operands.iter().find_map(|operand| match operand {
            Operand::Name(name) => Some(name.clone()),
            _ => None,
        })?;
        let kinds = [kind(&operands[0])?, kind(&operands[1])?];
        (kinds[0] != kinds[1]).then(|| {
            format!("`{name}` is ordered with something of another kind: {} with {}", kinds[0], kinds[1])
        })
    };
    pairs(&tokens(text)).iter().filter_map(named).collect()
}

/// What stands left and right of each sign of order.
fn pairs(tokens: &[&str]) -> Vec<[Operand; 2]> {
    let at = |index: Option<usize>| index.and_then(|index| tokens.get(index)).copied().unwrap_or_default();
    let operand = |index: usize, beyond: &str, ends: &[&str]| {
        let token = at(Some(index));
        let first = token.chars().next().unwrap_or(' ');
        match first {
            _ if !ends.contains(&beyond) => Operand::Other,
            '"' | '\'' => Operand::Text,
            '0'..='9' => Operand::Number,
            _ if is_word(first) && !["none", "true", "false"].contains(&token) => {
                Operand::Name(token.to_owned())
            }
            _ => Operand::Other,
        }
    };
    let signs = tokens.iter().enumerate().filter(|(_, token)| ["<", "<=", ">", ">="].contains(token));
    // An operand is told where nothing else belongs to it: beyond it stands an end, or a word or sign that binds less.
    let signs = signs.filter(|(sign, _)| *sign > 0);
    let left = |sign: usize| {
        let ends =
            ["", "and", "or", "not", "if", "elif", "else", "(", "[", ",", "{{", "{%", "<", "<=", ">", ">="];
        operand(sign - 1, at(sign.checked_sub(2)), &ends)
    };
    let right = |sign: usize| {
        let ends = ["", "and", "or", "if", "else", ")", "]", ",", "}}", "%}", "<", "<=", ">", ">="];
        operand(sign + 1, at(Some(sign + 2)), &ends)
    };
    signs.map(|(sign, _)| [left(sign), right(sign)]).collect()
}

/// The words, numbers, texts and signs within the braces of a template.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(open) = ["{{", "{%"].iter().filter_map(|open| rest.find(open)).min() {
        let close = if rest[open..].starts_with("{{") { "}}" } else { "%}" };
        rest = &rest[open..];
        loop {
            rest = rest.trim_start();
            let length = length(rest);
            if length == 0 {
                return tokens;
            }
            let (token, after) = rest.split_at(length);
            tokens.push(token);
            rest = after;
            if token == close {
                break;
            }
        }
    }
    tokens
}

/// The length of the token that `text` begins with; 0 at its end.
fn length(text: &str) -> usize {
    let mut chars = text.chars();
    match chars.next() {
        None => 0,
        Some(quote @ ('"' | '\'')) => {
            let mut escaped = false;
            let end = text[1..].char_indices().find(|(_, c)| {
                let ends = *c == quote && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.map_or(text.len(), |(at, _)| at + 2)
        }
        Some(first) if is_word(first) || first.is_ascii_digit() => {
            let part = |c: char| is_word(c) || c.is_ascii_digit() || (c == '.' && first.is_ascii_digit());
            text.find(|c| !part(c)).unwrap_or(text.len())
        }
        Some(first) => {
            let pair = text
                .get(..2)
                .filter(|pair| ["{{", "{%", "}}", "%}", "<=", ">=", "==", "!=", "//", "**"].contains(pair));
            pair.map_or(first.len_utf8(), str::len)
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

#[cfg(test)]
mod tests {
    use flow_data::Column;

    use super::*;

    #[test]
    fn names_beside_a_sign_of_order_are_found() {
        let found = |expression: &str| ordered(&format!("a < b {{% if {expression} %}}c > d{{% endif %}}"));
        assert_eq!(found("level < 4 and n_tokens >= 2"), ["level", "n_tokens"]);
        assert_eq!(found("1 < level <= 4 or level > 9"), ["level"]);
        assert_eq!(found("not level > most"), ["level", "most"]);
        for other in [
            "t | int > 5",
            "row.level < 3",
            "level + 1 < 4",
            "count(level) < 4",
            "text == 'level < 4'",
            "3 < level | abs",
        ] {
            assert_eq!(found(other), [""; 0], "{other}");
        }
        for asked in
            ["level is none or level < 4", "level != none and level < 4", "level < 4 and level is not none"]
        {
            assert_eq!(found(asked), [""; 0], "{asked}");
        }
        assert_eq!(ordered("{{ 'x' if level > 2 else \"it's\" }} {% if n<3 %}"), ["level", "n"]);
        assert_eq!(ordered("{{ 'open"), [""; 0]);
    }

    #[test]
    fn operands_of_unlike_kinds_are_told() {
        let column = |name: &str, kind| Column::new(name, kind, true, "");
        let columns = Columns::new([
            column("answer", Type::Text),
            column("level", Type::Int),
            column("n", Type::Float),
        ]);
        let found = |expression: &str| unlike(&format!("{{% if {expression} %}}{{% endif %}}"), &columns);
        let told = "`answer` is ordered with something of another kind: text with a number";
        assert_eq!(found("answer > 5"), [told]);
        assert_eq!(found("answer > level"), [told]);
        assert_eq!(found("level < '4'").len(), 1);
        for right in ["level < 4", "level < n", "answer > 'a'", "answer | float > 5", "3 > 2", "other > 3"] {
            assert_eq!(found(right), [""; 0], "{right}");
        }
    }
}
