//! `\boxed{...}` and `\fbox{...}`: nested, several, without braces, never closed.

use std::ops::Range;
use std::str::FromStr;

use super::line::tidy;
use super::{Extracted, NoAnswer};
use crate::name::{UnknownName, parse_name};

/// What several boxes mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Boxes {
    /// `last`: the last one is the answer.
    Last,
    /// `joined`: the last one, and those directly before it with nothing between them but signs and words such as "and":
    /// `\boxed{1}, \boxed{2}` is `1, 2`.
    #[default]
    Joined,
    /// `all`: all of them, in their order, each once.
    All,
}

impl Boxes {
    /// Every name, in the order of the variants.
    pub const NAMES: &[&str] = &["last", "joined", "all"];
}

impl FromStr for Boxes {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Boxes, UnknownName> {
        parse_name("boxes", Boxes::NAMES, &[Boxes::Last, Boxes::Joined, Boxes::All], name)
    }
}

/// The commands that draw a box.
const COMMANDS: [&str; 2] = ["\\boxed", "\\fbox"];

/// Longest text between two boxes that are one answer, in bytes.
const MAX_BETWEEN: usize = 48;

/// What may stand between two boxes that are one answer, beside signs and spaces.
const CONNECTIVES: &[&str] = &["and", "or", "text", "quad", "qquad", "textbf", "mathrm", "和", "或", "、"];

/// Most boxes that are read; of more, the last.
const MAX_BOXES: usize = 64;

/// Most boxes around a box that are taken off.
const MAX_UNWRAPPED: usize = 4;

/// A box: where it stands and its content.
#[derive(Clone, Debug)]
struct Drawn {
    outer: Range<usize>,
    content: Range<usize>,
}

/// The boxed answer. Errs with [`NoAnswer::OpenBox`] when the last box never closes.
pub(super) fn find(text: &str, boxes: Boxes) -> Result<Extracted<'_>, NoAnswer> {
    const NAME: &str = "boxed";
    let mut drawn = closed(text)?;
    drawn.drain(..drawn.len().saturating_sub(MAX_BOXES));
    let chosen = match boxes {
        Boxes::Last => &drawn[drawn.len().saturating_sub(1)..],
        Boxes::Joined => &drawn[joined_from(text, &drawn)..],
        Boxes::All => &drawn[..],
    };
    let mut answers: Vec<Range<usize>> = Vec::new();
    for content in chosen.iter().filter_map(|drawn| tidy(text, unwrapped(text, drawn.content.clone()))) {
        if !answers.iter().any(|known| text[known.clone()] == text[content.clone()]) {
            answers.push(content);
        }
    }
    match answers.as_slice() {
        [] if drawn.is_empty() => Err(NoAnswer::Unstated(NAME)),
        [] => Err(NoAnswer::EmptyBox),
        [only] => Ok(Extracted { text: text[only.clone()].into(), range: only.clone(), method: NAME }),
        [first, .., last] => {
            let texts: Vec<&str> = answers.iter().map(|range| &text[range.clone()]).collect();
            Ok(Extracted { text: texts.join(", ").into(), range: first.start..last.end, method: NAME })
        }
    }
}

/// The content of a last box that never closes, up to the end of its line.
pub(super) fn open(text: &str) -> Option<Range<usize>> {
    let start = COMMANDS.iter().filter_map(|command| Some(text.rfind(command)? + command.len())).max()?;
    let inner = text[start..].strip_prefix('{')?;
    let line = inner.find('\n').unwrap_or(inner.len());
    let end = inner[..line].trim_end_matches(['$', ' ']).len();
    tidy(text, start + 1..start + 1 + end)
}

/// The outermost boxes that close, in their order. Errs when a box opens behind them that does not.
fn closed(text: &str) -> Result<Vec<Drawn>, NoAnswer> {
    let bytes = text.as_bytes();
    let mut drawn: Vec<Drawn> = Vec::new();
    // For each brace that is open: where its box begins, if it is one's, and where its content does.
    let mut open: Vec<(Option<usize>, usize)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => match command_len(&text[at..]) {
                Some(len) => {
                    let body = at + len;
                    if bytes.get(body) == Some(&b'{') {
                        open.push((Some(at), body + 1));
                        at = body + 1;
                    } else {
                        let content = body..body + bare_len(&text[body..]);
                        at = content.end;
                        drawn.push(Drawn { outer: content.start - len..content.end, content });
                    }
                }
                // In texts that were escaped twice, a box follows a backslash.
                None if command_len(&text[at + 1..]).is_some() => at += 1,
                None => at += 2,
            },
            b'{' => {
                open.push((None, at + 1));
                at += 1;
            }
            b'}' => {
                if let Some((Some(start), content)) = open.pop() {
                    // Boxes inside this one are parts of its content.
                    drawn.truncate(drawn.partition_point(|inner| inner.outer.start < start));
                    drawn.push(Drawn { outer: start..at + 1, content: content..at });
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    let unclosed = open.iter().rev().find_map(|(start, _)| *start);
    let is_cut_off = unclosed.is_some_and(|start| drawn.last().is_none_or(|last| last.outer.start < start));
    if is_cut_off { Err(NoAnswer::OpenBox) } else { Ok(drawn) }
}

/// Bytes of a box command and the space after it, at the start.
fn command_len(text: &str) -> Option<usize> {
    let rest = COMMANDS.iter().find_map(|command| text.strip_prefix(command))?;
    let body = rest.trim_start_matches(' ');
    (!rest.starts_with(|c: char| c.is_ascii_alphabetic())).then(|| text.len() - body.len())
}

/// Bytes of the content of a box without braces, `\boxed 5$`.
fn bare_len(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, '$' | '\\' | '}')).unwrap_or(text.len())
}

/// The content of the boxes that have nothing but one box inside: `\boxed{\boxed{3}}`.
fn unwrapped(text: &str, mut content: Range<usize>) -> Range<usize> {
    for _ in 0..MAX_UNWRAPPED {
        let inner = &text[content.clone()];
        let start = content.start + inner.len() - inner.trim_start().len();
        let inner = inner.trim();
        let is_box = command_len(inner).filter(|len| inner[*len..].starts_with('{'));
        let Some(len) = is_box else { break };
        let body = &inner.as_bytes()[len + 1..];
        if super::braces::closing(body).is_none_or(|end| end + 1 < body.len()) {
            break;
        }
        content = start + len + 1..start + inner.len() - 1;
    }
    content
}

/// The position of the first of the boxes that are one answer with the last.
fn joined_from(text: &str, drawn: &[Drawn]) -> usize {
    let is_joined = |at: &usize| connects(&text[drawn[*at].outer.end..drawn[*at + 1].outer.start]);
    let last = drawn.len().saturating_sub(1);
    last - (0..last).rev().take_while(is_joined).count()
}

/// `between` without the name of what the next box says, as in `and $y_2 = `, unless there is nothing else.
fn without_name(between: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || "_{}'".contains(c);
    let named = between.trim_end_matches(['$', ' ', '(', '\\']).strip_suffix('=');
    let rest = named.map(|name| name.trim_end().trim_end_matches(is_part));
    rest.filter(|rest| rest.contains(char::is_alphanumeric) || rest.contains(',')).unwrap_or(between)
}

/// Whether two boxes with this between them are one answer: signs and words such as "and", but no relation or operator.
fn connects(between: &str) -> bool {
    let between = without_name(between);
    let is_sign = |c: char| c.is_whitespace() || ",;.$\\(){}[]*&~:、，；".contains(c);
    between.len() <= MAX_BETWEEN
        && !between.contains("\n\n")
        && between.split(is_sign).all(|word| word.is_empty() || CONNECTIVES.contains(&word))
}
