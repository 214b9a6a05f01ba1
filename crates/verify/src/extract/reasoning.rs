//! Where reasoning ends and what is stated begins.

/// What opens reasoning.
const OPENING: [&[u8]; 3] = [b"<think>", b"<thinking>", b"<reasoning>"];

/// What closes it.
const CLOSING: [&[u8]; 3] = [b"</think>", b"</thinking>", b"</reasoning>"];

/// Reasoning that opens and never closes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfinished;

/// The byte behind the last tag that closes reasoning; 0 where there is none. Errs when reasoning opens behind it.
pub(super) fn end(text: &str) -> Result<usize, Unfinished> {
    let starts = |at: usize, tags: [&[u8]; 3]| {
        tags.iter().find(|tag| text.as_bytes()[at..].starts_with(tag)).map(|tag| tag.len())
    };
    let is_tag = |at: &usize| {
        let bytes = text.as_bytes();
        bytes[*at] == b'<' && matches!(bytes.get(at + 1), Some(b't' | b'r' | b'/'))
    };
    // From the end, so that the first tag that is met decides.
    for at in (0..text.len()).rev().filter(is_tag) {
        if let Some(len) = starts(at, CLOSING) {
            return Ok(at + len);
        }
        if starts(at, OPENING).is_some() {
            return Err(Unfinished);
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_closing_tag_counts() {
        let cases = [
            ("5", Ok(0)),
            ("a </think> 5", Ok(10)),
            ("<think>a</think>b</think>5", Ok(25)),
            ("<think>a", Err(Unfinished)),
            ("<think>a</think><think>b", Err(Unfinished)),
            ("1 < 2", Ok(0)),
        ];
        for (text, expected) in cases {
            assert_eq!(end(text), expected, "{text}");
        }
    }
}
