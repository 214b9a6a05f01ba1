//! Answers that a phrase announces, in English and Chinese.

use std::ops::Range;

use super::braces;
use super::line::{first, tidy};

/// Verbs after "answer" and "answers".
const VERBS: &[&str] =
    &[" is", " are", " was", " =", " equals", " must be", " should be", " would be", " will be", " comes to"];

/// Longest "to the question" between "answer" and its verb, in bytes.
const MAX_OBJECT: usize = 80;

/// Longest heading before its "answer", in bytes.
const MAX_HEADING: usize = 32;

/// What may stand between 答案 and its verb.
const CHINESE_ADVERBS: &[&str] = &["应该", "应当", "应", "就", "最终", "只能", "分别", "即"];

/// Verbs after 答案.
const CHINESE_VERBS: &[&str] = &["是", "为", "选", "：", ":", "等于", "="];

/// Phrases that need no verb.
const CHINESE_PHRASES: &[&str] = &["故选", "应选", "答：", "答:"];

/// Words after which a sentence tells no longer the answer but why.
const REASONS: &[&str] = &[" because ", " since ", ", which ", ", because ", ", since ", "，因为", "，所以"];

/// What follows the last phrase that announces an answer, up to the end of its sentence.
pub(super) fn announced(text: &str) -> Option<Range<usize>> {
    let start = last_announcement(text)?;
    let rest = &text[start..];
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '：' | '*' | '#'));
    let start = text.len() - rest.len();
    tidy(text, start..start + answer_len(rest)).map(|range| unquoted(text, range))
}

/// `range` without the quotation marks that stand around all of it.
fn unquoted(text: &str, range: Range<usize>) -> Range<usize> {
    const QUOTES: [(&str, &str); 3] = [("\\\"", "\\\""), ("\"", "\""), ("“", "”")];
    let answer = &text[range.clone()];
    let inside = QUOTES.iter().find_map(|(open, close)| {
        let inside = answer.strip_prefix(open)?.strip_suffix(close)?;
        (!inside.trim().is_empty() && !inside.contains(open)).then_some(open.len()..open.len() + inside.len())
    });
    inside.map_or(range.clone(), |inside| range.start + inside.start..range.start + inside.end)
}

/// What follows the last "final answer is", up to the end of its sentence.
pub(super) fn final_answer(text: &str) -> Option<Range<usize>> {
    const PHRASE: &str = "inal answer is";
    let (at, _) = text.rmatch_indices(PHRASE).find(|(at, _)| text[..*at].ends_with(['f', 'F']))?;
    let start = at + "inal ".len();
    announced(&text[start..]).map(|range| range.start + start..range.end + start)
}

/// The byte behind the last phrase that announces an answer.
fn last_announcement(text: &str) -> Option<usize> {
    english(text).max(chinese(text))
}

/// The byte after the last "answer is", "answer:" and their like, or line-initial "A:".
fn english(text: &str) -> Option<usize> {
    const ANSWER: &[u8] = b"answer";
    let bytes = text.as_bytes();
    (0..bytes.len()).rev().find_map(|i| match bytes[i] {
        b'A' if bytes.get(i + 1) == Some(&b':') && (i == 0 || bytes[i - 1] == b'\n') => Some(i + 2),
        b'a' | b'A' => {
            let word = bytes.get(i..i + ANSWER.len())?;
            if !word.eq_ignore_ascii_case(ANSWER) {
                return None;
            }
            let end = i + ANSWER.len();
            let announces = verb_len(&text[end..]);
            announces.or_else(|| heading_len(&text[..i], &text[end..])).map(|len| end + len)
        }
        _ => None,
    })
}

/// Bytes of a colon or a verb (emphasis aside) at the start, after what the answer is to.
fn verb_len(after: &str) -> Option<usize> {
    let rest = after.strip_prefix(['s', 'S']).unwrap_or(after);
    let rest = rest.trim_start_matches(['*', '_']);
    let rest = object_end(rest).map_or(rest, |end| &rest[end..]);
    let colon = rest.strip_prefix(':').or_else(|| rest.strip_prefix('：'));
    let verb = || VERBS.iter().find_map(|verb| rest.strip_prefix(verb)).filter(|rest| ends_word(rest));
    let rest = colon.or_else(verb)?;
    (!rest.trim_start().starts_with("not ")).then(|| after.len() - rest.len())
}

/// Bytes of "to the question" or "for x" at the start, up to the verb of its sentence.
fn object_end(text: &str) -> Option<usize> {
    if !(text.starts_with(" to ") || text.starts_with(" for ")) {
        return None;
    }
    let bounded = &text[..text.floor_char_boundary(MAX_OBJECT)];
    let clause = &bounded[..bounded.find(['.', '\n', ':']).unwrap_or(bounded.len())];
    clause.find(" is ").or_else(|| text[clause.len()..].starts_with(':').then_some(clause.len()))
}

fn ends_word(rest: &str) -> bool {
    !rest.starts_with(|c: char| c.is_alphanumeric())
}

/// Bytes of the rest of a line that is only "final answer" and its like, as a heading.
fn heading_len(before: &str, after: &str) -> Option<usize> {
    let rest = after.trim_start_matches(['*', '_', ' ', '\r']);
    let near = &before[before.ceil_char_boundary(before.len().saturating_sub(MAX_HEADING))..];
    let line = near.rsplit('\n').next().unwrap_or_default();
    let mut words = line.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    let is_heading = rest.starts_with('\n') && line.starts_with(['#', '*']) && words.all(is_heading_word);
    is_heading.then(|| after.len() - rest.len())
}

fn is_heading_word(word: &str) -> bool {
    ["the", "my", "final"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The byte after the last 答案是, 答案为 and their like.
fn chinese(text: &str) -> Option<usize> {
    let phrases = CHINESE_PHRASES.iter().filter_map(|phrase| Some(text.rfind(phrase)? + phrase.len()));
    let answers = text.rmatch_indices("答案").find_map(|(at, answer)| {
        let rest = &text[at + answer.len()..];
        let adverb = CHINESE_ADVERBS.iter().find_map(|adverb| rest.strip_prefix(adverb)).unwrap_or(rest);
        let rest = CHINESE_VERBS.iter().find_map(|verb| adverb.strip_prefix(verb))?;
        Some(text.len() - rest.len())
    });
    phrases.max().max(answers)
}

/// Bytes of the answer at the start of `rest`: a formula that stands by itself, else up to the end of the sentence.
fn answer_len(rest: &str) -> usize {
    const DISPLAYS: [(&str, &str); 2] = [("\\[", "\\]"), ("$$", "$$")];
    for (open, close) in DISPLAYS {
        if let Some(len) = rest.strip_prefix(open).and_then(|inside| inside.find(close)) {
            return open.len() + len + close.len();
        }
    }
    let line = first(rest);
    let sentence = &line[..sentence_len(line)];
    let reason = REASONS.iter().filter_map(|reason| sentence.find(reason)).min();
    reason.unwrap_or(sentence.len())
}

/// Bytes before the period, or other end, that closes the sentence; a decimal point does not, nor does one in braces.
fn sentence_len(text: &str) -> usize {
    let ascii_end = |(i, _): &(usize, &str)| text[i + 1..].chars().next().is_none_or(char::is_whitespace);
    let period = text.match_indices('.').find(ascii_end).map(|(i, _)| i);
    let chinese = text.find('。');
    let end = period.into_iter().chain(chinese).min().unwrap_or(text.len());
    let group =
        text[..end].rfind('{').filter(|open| braces::closing(&text.as_bytes()[open + 1..end]).is_none());
    let closed = group.and_then(|open| Some(open + 2 + braces::closing(&text.as_bytes()[open + 1..])?));
    closed.unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_announce() {
        let cases = [
            ("So the answer is: **$18.50**. It is 7.", "$18.50"),
            ("answer is 3\nThe final answer is 4 eggs.", "4 eggs"),
            ("She has 9\nA: 10+John's age", "10+John's age"),
            ("**Answer:** B", "B"),
            ("Answer:\n12", "12"),
            ("The answers are 3 and 4", "3 and 4"),
            ("The answer to the question is 12.", "12"),
            ("The answer is not 5. The answer is 6.", "6"),
            ("The answer is 6. The answer is not 5.", "6"),
            ("The answer should be $\\frac{1}{2}$, which is small", "$\\frac{1}{2}$"),
            ("The answer is 5 because 2+3=5.", "5"),
            ("The answer is \"Paris\".", "Paris"),
            ("The answer is \"a\" or \"b\".", "\"a\" or \"b\""),
            ("The final answer is $26. I hope it is correct.", "$26"),
            ("The final answer is:\n\n\\[\n x = 5 \n\\]\nDone.", "\\[\n x = 5 \n\\]"),
            ("### Final Answer\n\n42", "42"),
            ("**Final Answer**\n\n$$\\frac12$$", "$$\\frac12$$"),
            ("The answer is \\text{no. 5}.", "\\text{no. 5}"),
            ("所以答案是42。", "42"),
            ("因此，最终答案为：$x=3$。谢谢", "$x=3$"),
            ("正确答案应该是 B", "B"),
            ("综上，故选：C。", "C"),
            ("答：小明有 5 个苹果。", "小明有 5 个苹果"),
            ("答案是7，因为3+4=7", "7"),
        ];
        for (text, expected) in cases {
            assert_eq!(announced(text).map(|range| &text[range]), Some(expected), "{text}");
        }
        for text in ["", "answer", "I answered: 5", "The answer isn't known", "答案", "Answer:"] {
            assert_eq!(announced(text), None, "{text}");
        }
    }
}
