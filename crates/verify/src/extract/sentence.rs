//! What reads as a sentence and what as an answer alone.

/// So many bytes of a text say what it is.
const MAX_BYTES: usize = 16 * 1024;

/// Whether a text reads as a sentence rather than as an answer alone: by its words, fewer of which are needed before the
/// first number and around formulas.
pub(crate) fn is_sentence(text: &str) -> bool {
    const WORDS: usize = 5;
    let text = &text[..text.floor_char_boundary(MAX_BYTES)];
    let starts_with_word = text.trim_start().starts_with(char::is_alphabetic);
    let has_formula = ["$", "\\(", "\\["].iter().any(|sign| text.contains(sign));
    let is_word = |word: &&str| word.len() > 1 && word.chars().all(char::is_alphabetic);
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '\\' || c == '_')).filter(is_word);
    match words.take(WORDS).count() {
        WORDS => true,
        n if starts_with_word => n == WORDS - 1 || (n > 0 && has_formula),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_words() {
        let sentences = [
            "The largest $n$ is 34",
            "Jane started growing Sphere 3 hours ago",
            "60% of the students in a class",
        ];
        sentences.iter().for_each(|text| assert!(is_sentence(text), "{text}"));
        for text in [
            "",
            "34",
            "$125$ miles",
            "5 square meters per second",
            "x = 2 \\text{ or } x = 3",
            "Paris, France",
            "$x$",
        ] {
            assert!(!is_sentence(text), "{text}");
        }
    }
}
