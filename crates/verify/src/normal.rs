//! One spelling for the many ways to write the same answer: LaTeX, Markdown, typography.
//!
//! Only what cannot change a value is rewritten: delimiters (`$..$`, `\(..\)`, `**..**`, `\boxed{..}`),
//! spacing, `\left` and `\right`, the variants of `\frac`, Unicode signs and vulgar fractions, a final
//! period. Words inside `\text{}` keep their marker, because there a lone letter is a unit, not a variable.

use std::borrow::Cow;

/// Pairs that may stand around a whole answer.
const WRAPPERS: &[(&str, &str)] =
    &[("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`")];

/// Commands whose braces enclose the whole answer or a word of it.
const BOXES: &[&str] = &["\\boxed{", "\\fbox{", "\\mathbf{", "\\textbf{"];

/// Spellings of the sign of degrees.
const DEGREES: &[&str] = &["^{\\circ}", "^\\circ", "^{\\degree}"];

/// Deepest nesting of wrappers that is taken off.
const MAX_WRAPPERS: usize = 8;

/// `text` in its one spelling. Borrowed when there is nothing to rewrite.
pub(crate) fn normalise(text: &str) -> Cow<'_, str> {
    let text = unwrap(text);
    if text.bytes().all(is_ordinary) && !text.contains("  ") && !text.contains("**") {
        return Cow::Borrowed(text);
    }
    let rewritten = rewrite(text);
    Cow::Owned(strip_period(rewritten.trim()).to_owned())
}

/// A normalised answer as plain text: markers and optional spaces gone. Equal keys are the same answer.
pub(crate) fn text_key(normal: &str) -> String {
    let mut key = String::with_capacity(normal.len());
    let mut pending_space = false;
    for c in without_text_markers(normal).chars() {
        if c.is_whitespace() {
            pending_space = true;
            continue;
        }
        // A space between two letters or digits separates them; any other is decoration.
        if pending_space && c.is_alphanumeric() && key.ends_with(char::is_alphanumeric) {
            key.push(' ');
        }
        pending_space = false;
        key.push(c);
    }
    key
}

/// `\text{odd}` as `odd`, apart from what stands around it. All other braces group and stay.
fn without_text_markers(normal: &str) -> String {
    let mut plain = String::with_capacity(normal.len());
    let mut rest = normal;
    while let Some((before, marked)) = rest.split_once("\\text{") {
        let (inside, after) = marked.split_once('}').unwrap_or((marked, ""));
        plain.extend([before, " ", inside, " "]);
        rest = after;
    }
    plain + rest
}

fn is_ordinary(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b' ' | b'.' | b',' | b'-' | b'+' | b'/' | b'%' | b'(' | b')')
}

fn unwrap(text: &str) -> &str {
    let mut text = strip_period(text.trim());
    for _ in 0..MAX_WRAPPERS {
        let Some(inner) = unwrap_once(text) else { break };
        text = strip_period(inner.trim());
    }
    text
}

fn unwrap_once(text: &str) -> Option<&str> {
    let delimited = WRAPPERS.iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        (!inner.contains(open) && !inner.ends_with('\\')).then_some(inner)
    });
    delimited.or_else(|| {
        let command = BOXES.iter().find(|command| text.starts_with(**command))?;
        let inner = text[command.len()..].strip_suffix('}')?;
        closes_only_at_end(inner).then_some(inner)
    })
}

/// Whether no brace in `inner` closes more than was opened in it.
fn closes_only_at_end(inner: &str) -> bool {
    let mut depth = 0_usize;
    for byte in inner.bytes() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return false,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

fn strip_period(text: &str) -> &str {
    let stripped = text.strip_suffix('.').filter(|rest| !rest.ends_with('.'));
    stripped.unwrap_or(text).trim_end_matches('\\').trim_end()
}

fn rewrite(text: &str) -> String {
    let rewriter = Rewriter {
        dollars_delimit: unescaped_dollars(text).is_multiple_of(2),
        stars_delimit: text.matches("**").count().is_multiple_of(2),
    };
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '\\' => rewrite_command(rest, &mut out),
            _ => rewriter.rewrite_char(c, rest, &mut out),
        };
    }
    collapse_spaces(&out)
}

/// What the signs that come in pairs mean in a text.
struct Rewriter {
    /// Whether `$` stands around mathematics, rather than for money.
    dollars_delimit: bool,
    /// Whether `**` stands around emphasis.
    stars_delimit: bool,
}

impl Rewriter {
    /// Rewrites the character at the start of `rest`; returns what follows it.
    fn rewrite_char<'a>(&self, c: char, rest: &'a str, out: &mut String) -> &'a str {
        if let Some(after) = rest.strip_prefix("{,}").or_else(|| rest.strip_prefix("{, }")) {
            // Spaces around it are not printed.
            out.truncate(out.trim_end_matches(' ').len());
            out.push(',');
            return after.trim_start_matches(' ');
        }
        if let Some(after) = DEGREES.iter().find_map(|mark| rest.strip_prefix(mark)) {
            out.push('°');
            return after;
        }
        if let Some(after) = rest.strip_prefix("**").filter(|after| self.is_emphasis(out, after)) {
            return after;
        }
        let after = &rest[c.len_utf8()..];
        match c {
            '$' if self.dollars_delimit => push_delimiter(after, out),
            '\u{2212}' | '\u{2010}' | '\u{2011}' => out.push('-'),
            '·' | '⋅' => out.push('·'),
            '％' => out.push('%'),
            c if full_width(c).is_some() => out.extend(full_width(c)),
            '²' => out.push_str("^2"),
            '³' => out.push_str("^3"),
            '~' => out.push(' '),
            // A line break separates; other spaces may stand inside a number.
            '\n' | '\r' | '\t' => out.push('\n'),
            c if c.is_whitespace() => out.push(' '),
            c => match vulgar_fraction(c) {
                Some(fraction) => out.extend([" ", fraction, " "]),
                None => out.push(c),
            },
        }
        after
    }

    /// Whether the `**` between `before` and `after` opens or closes emphasis, rather than raising to a power.
    fn is_emphasis(&self, before: &str, after: &str) -> bool {
        let opens = before.is_empty() || before.ends_with(char::is_whitespace);
        let closes = after.is_empty() || after.starts_with(char::is_whitespace);
        self.stars_delimit && opens != closes
    }
}

/// Leaves out a delimiter, but never so that what it separates would run together: `5$6$` is not 56.
fn push_delimiter(after: &str, out: &mut String) {
    if out.ends_with(char::is_alphanumeric) && after.starts_with(char::is_alphanumeric) {
        out.push('$');
    }
}

/// Rewrites the command at the start of `rest`; returns what follows it.
fn rewrite_command<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let after = &rest[1..];
    let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
    let Some(first) = after.chars().next() else { return after };
    let len = if letters == 0 { first.len_utf8() } else { letters };
    let (name, after) = after.split_at(len);
    match name {
        // `\\\\frac`, escaped once too often; a row of a matrix ends where no command follows.
        "\\" if escapes_command(after) && !out.contains("\\begin") => return after_backslash(rest),
        "$" | "%" | "#" | "&" => out.push_str(name),
        "," | ";" | ":" | " " => out.push(' '),
        "(" | ")" | "[" | "]" => push_delimiter(after, out),
        // A space after a negative one is not printed: `11,\\! 111`.
        "!" => return after.trim_start_matches(' '),
        "left" | "right" | "displaystyle" => {}
        "frac" | "dfrac" | "tfrac" | "cfrac" => out.push_str("\\frac"),
        "text" | "textrm" | "textnormal" | "mathrm" | "mbox" | "mathit" | "textit" | "textbf" | "textsf"
            if after.starts_with('{') =>
        {
            out.push_str("\\text");
        }
        "times" => out.push('×'),
        "cdot" => out.push('·'),
        "langle" => out.push('('),
        "rangle" => out.push(')'),
        "lbrace" => out.push_str("\\{"),
        "rbrace" => out.push_str("\\}"),
        "degree" => out.push('°'),
        // Between letters it composes functions.
        "circ" if out.ends_with(|c: char| c.is_ascii_digit() || c == '^') => {
            out.truncate(out.trim_end_matches('^').len());
            out.push('°');
        }
        "pounds" => out.push('£'),
        "euro" => out.push('€'),
        _ => out.extend(["\\", name]),
    }
    after
}

/// Whether a letter follows, as the name of a command.
fn escapes_command(after: &str) -> bool {
    after.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `rest` without its first backslash.
fn after_backslash(rest: &str) -> &str {
    rest.strip_prefix('\\').unwrap_or(rest)
}

fn unescaped_dollars(text: &str) -> usize {
    let mut escaped = false;
    let mut count = 0;
    for byte in text.bytes() {
        count += usize::from(byte == b'$' && !escaped);
        escaped = byte == b'\\' && !escaped;
    }
    count
}

/// The letter, digit or sign that `c` is the wide form of, as in Chinese text; commas of that width only separate and stay.
fn full_width(c: char) -> Option<char> {
    let plain = char::from_u32(u32::from(c).checked_sub(0xfee0)?)?;
    (plain.is_ascii_alphanumeric() || "+-=()./<>".contains(plain)).then_some(plain)
}

fn vulgar_fraction(c: char) -> Option<&'static str> {
    Some(match c {
        '½' => "1/2",
        '⅓' => "1/3",
        '⅔' => "2/3",
        '¼' => "1/4",
        '¾' => "3/4",
        '⅕' => "1/5",
        '⅛' => "1/8",
        '⅜' => "3/8",
        '⅝' => "5/8",
        '⅞' => "7/8",
        _ => return None,
    })
}

/// Runs of spaces as one; line breaks stay.
fn collapse_spaces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_come_together() {
        let cases = [
            (" $18$. ", "18"),
            ("\\(\\dfrac{1}{2}\\)", "\\frac{1}{2}"),
            ("\\boxed{\\text{odd}}", "\\text{odd}"),
            ("**1,200**", "1,200"),
            ("\\$5", "$5"),
            ("$5", "$5"),
            ("$28$ percent", "28 percent"),
            ("10{,}000", "10,000"),
            ("10,\\!000", "10,000"),
            ("$14 {, }916$", "14,916"),
            ("$f\\circ g$", "f\\circ g"),
            ("5\\,\\mathrm{cm}", "5 \\text{cm}"),
            ("−3", "-3"),
            ("（１２，ｘ）", "(12，x)"),
            ("1½", "1 1/2"),
            ("90^{\\circ}", "90°"),
            ("\\left(3,\\; 4\\right)", "(3, 4)"),
            ("185\\", "185"),
            ("\\boxed{1}+\\boxed{2}", "\\boxed{1}+\\boxed{2}"),
        ];
        for (text, expected) in cases {
            assert_eq!(normalise(text), expected, "{text}");
        }
    }

    #[test]
    fn keys_keep_digits_apart() {
        assert_eq!(text_key("x + 1"), text_key("x+1"));
        assert_eq!(text_key("\\text{odd}"), "odd");
        assert_ne!(text_key("1 2"), text_key("12"));
        assert_ne!(text_key("x y"), text_key("xy"));
        assert_ne!(text_key("\\frac{a}{bc}"), text_key("\\frac{ab}{c}"));
    }
}
