//! Where reasoning ends and what is stated begins.

/// The tags of reasoning.
const TAGS: &[(&str, &str)] =
    &[("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<reasoning>", "</reasoning>")];

/// Reasoning that opens and never closes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfinished;

/// The byte behind the last tag that closes reasoning; 0 where there is none. Errs when reasoning opens behind it.
pub(super) fn end(text: &str) -> Result<usize, Unfinished> {
    if !text.contains('<') {
        return Ok(0);
    }
    let end = TAGS.iter().filter_map(|(_, close)| Some(text.rfind(close)? + close.len())).max().unwrap_or(0);
    let opens = TAGS.iter().any(|(open, _)| text[end..].contains(open));
    if opens { Err(Unfinished) } else { Ok(end) }
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
