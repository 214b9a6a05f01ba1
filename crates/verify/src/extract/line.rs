//! Answers by lines and tags, and what is taken off around an answer.

use std::ops::Range;

/// What follows the last run of exactly four `#` on its line; longer runs are headings.
pub(super) fn after_hashes(text: &str) -> Option<Range<usize>> {
    let mut end = text.len();
    loop {
        let after = text[..end].rfind("####")? + 4;
        let hashes = text[..after].bytes().rev().take_while(|byte| *byte == b'#').count();
        if hashes == 4 {
            return line_at(text, after);
        }
        end = after - hashes;
    }
}

/// The content of the last `<answer>...</answer>`; a closing tag that was cut off is not missed.
pub(super) fn tagged(text: &str) -> Option<Range<usize>> {
    const OPEN: &str = "<answer>";
    let start = text.rfind(OPEN)? + OPEN.len();
    let len = text[start..].find("</answer>").unwrap_or(text.len() - start);
    tidy(text, start..start + len)
}

/// The last line that is not empty.
pub(super) fn last(text: &str) -> Option<Range<usize>> {
    let end = text.trim_end().len();
    let start = text[..end].rfind('\n').map_or(0, |at| at + 1);
    tidy(text, start..end)
}

/// All of the text, without the space, emphasis and special tokens around it.
pub(super) fn whole(text: &str) -> Option<Range<usize>> {
    tidy(text, 0..text.len())
}

/// The first line of `text`.
pub(super) fn first(text: &str) -> &str {
    &text[..text.find('\n').unwrap_or(text.len())]
}

/// `range` without the space, emphasis, special tokens and final period around the answer; none if empty.
pub(super) fn tidy(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let mut answer = &text[range.clone()];
    if let Some(token) = answer.find("<|").or_else(|| answer.find("</")) {
        answer = &answer[..token];
    }
    let bare = answer.trim_start_matches(is_decoration);
    let start = range.start + answer.len() - bare.len();
    let bare = bare.trim_end_matches(|c| is_decoration(c) || matches!(c, '.' | '。'));
    (!bare.is_empty()).then(|| start..start + bare.len())
}

fn is_decoration(c: char) -> bool {
    c.is_whitespace() || matches!(c, '*' | '`')
}

/// The answer on the line that goes on at `start`: after its last calculator annotation, if it has one.
fn line_at(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = first(&text[start..]);
    let annotated = rest.rfind(">>").map_or(0, |i| i + 2);
    tidy(text, start + annotated..start + rest.len())
}
