//! Reading a critique that a model wrote.
//!
//! Forgiven: text before the first step, blank lines and `---` anywhere, white space and emphasis around
//! fields, other capitals, sentences and explanations of several lines, `Right` for correct and `Incorrect`
//! for wrong. Refused, with the line it was found on: a field out of order, a label that is neither, a step
//! without text, an end before the final verdict, a text of more than 256 KiB.

use super::{ANSWER_LABEL, Critique, EXPLANATION, Judgement, STEP, STEP_LABEL, StepJudgement};

/// Longest part of a line that an error quotes, in characters.
const QUOTE_CHARS: usize = 60;

/// Longest text that is read, in bytes: some 60,000 tokens, more than a critic writes.
pub(super) const MOST_BYTES: usize = 1 << 18;

/// Why a text is not a critique. Lines count from one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CritiqueError {
    /// Another field than the one that had to come.
    #[error("line {line}: expected \"{expected}\", found \"{found}\"")]
    Order {
        /// Where the other field stands.
        line: usize,
        /// The field that had to come.
        expected: &'static str,
        /// The field that came.
        found: &'static str,
    },
    /// A label that is neither correct nor wrong.
    #[error("line {line}: expected the label Correct or Wrong, found \"{found}\"")]
    Label {
        /// Where the label stands.
        line: usize,
        /// The label, cut to 60 characters.
        found: String,
    },
    /// A step without a sentence.
    #[error("line {line}: the step has no sentence")]
    EmptyStep {
        /// Where the step stands.
        line: usize,
    },
    /// More than a critic writes; it is not read.
    #[error("the text has {bytes} bytes, at most {MOST_BYTES} are read")]
    Long {
        /// The length of the text.
        bytes: usize,
    },
    /// The text ends too early: cut off, or not a critique.
    #[error("line {line}: the critique ends where \"{expected}\" had to come")]
    End {
        /// The last line.
        line: usize,
        /// The field that had to come.
        expected: &'static str,
    },
}

/// A field of the form: its marker and the text up to the next one.
struct Field {
    marker: &'static str,
    /// Where the marker stands, counting from one.
    line: usize,
    text: String,
}

const MARKERS: &[&str] = &[STEP, STEP_LABEL, ANSWER_LABEL, EXPLANATION];

pub(super) fn read(text: &str) -> Result<Critique, CritiqueError> {
    if text.len() > MOST_BYTES {
        return Err(CritiqueError::Long { bytes: text.len() });
    }
    let n_breaks = text.bytes().filter(|byte| *byte == b'\n').count();
    let last_line = n_breaks + usize::from(text.is_empty() || !text.ends_with('\n'));
    let mut reader = Reader { fields: fields(text).into_iter().peekable(), last_line };
    let mut steps = Vec::new();
    while steps.is_empty() || reader.next_is(STEP) {
        steps.push(reader.step()?);
    }
    let answer = reader.judgement(ANSWER_LABEL)?;
    match reader.fields.next() {
        None => Ok(Critique { steps, answer }),
        Some(field) => {
            Err(CritiqueError::Order { line: field.line, expected: "the end", found: field.marker })
        }
    }
}

struct Reader {
    fields: std::iter::Peekable<std::vec::IntoIter<Field>>,
    last_line: usize,
}

impl Reader {
    fn next_is(&mut self, marker: &str) -> bool {
        self.fields.peek().is_some_and(|field| field.marker == marker)
    }

    fn expect(&mut self, expected: &'static str) -> Result<Field, CritiqueError> {
        let field = self.fields.next().ok_or(CritiqueError::End { line: self.last_line, expected })?;
        if field.marker != expected {
            return Err(CritiqueError::Order { line: field.line, expected, found: field.marker });
        }
        Ok(field)
    }

    fn step(&mut self) -> Result<StepJudgement, CritiqueError> {
        let Field { line, text: sentence, .. } = self.expect(STEP)?;
        if sentence.is_empty() {
            return Err(CritiqueError::EmptyStep { line });
        }
        Ok(StepJudgement { sentence, judgement: self.judgement(STEP_LABEL)? })
    }

    fn judgement(&mut self, marker: &'static str) -> Result<Judgement, CritiqueError> {
        let label = self.expect(marker)?;
        let correct = is_correct(&label.text)
            .ok_or_else(|| CritiqueError::Label { line: label.line, found: quote(&label.text) })?;
        Ok(Judgement { correct, explanation: self.expect(EXPLANATION)?.text })
    }
}

/// The fields in order. Lines before the first marker belong to none.
fn fields(text: &str) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if let Some((marker, rest)) = split_marker(line) {
            fields.push(Field { marker, line: i + 1, text: rest.to_owned() });
        } else if let Some(field) = fields.last_mut().filter(|_| !is_rule(line)) {
            field.text.push('\n');
            field.text.push_str(line);
        }
    }
    for field in &mut fields {
        field.text = field.text.trim().to_owned();
    }
    fields
}

/// The marker that `line` begins with, in any capitals and emphasis, and the rest of the line.
fn split_marker(line: &str) -> Option<(&'static str, &str)> {
    // Most lines are shorter than any marker.
    if line.len() < EXPLANATION.len() {
        return None;
    }
    let line = line.trim_start().trim_start_matches("**");
    MARKERS.iter().find_map(|marker| {
        let head = line.get(..marker.len())?;
        let rest = &line[marker.len()..];
        head.eq_ignore_ascii_case(marker).then(|| (*marker, rest.strip_prefix("**").unwrap_or(rest)))
    })
}

/// A horizontal rule between blocks.
fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 3 && line.bytes().all(|byte| byte == b'-')
}

fn is_correct(label: &str) -> Option<bool> {
    match label.trim_matches(['*', '.', ' ']).to_ascii_lowercase().as_str() {
        "correct" | "right" => Some(true),
        "wrong" | "incorrect" => Some(false),
        _ => None,
    }
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read(text).expect_err("not a critique").to_string()
    }

    #[test]
    fn models_vary() {
        let text = "Here is my critique.\n\n**Step sentence:** 1 + 1 = 2  \nCorrectness of the step: Right  \n\n\
            Explanation: Fine.\n\n---\n\nStep sentence: We have\n$$x = 3$$\ncorrectness of the step: **Incorrect**.\n\
            Explanation: No:\nit is 4.\n---\nCorrectness of the final answer: Wrong\nExplanation:\n";
        let critique = read(text).expect("a critique");
        assert_eq!(critique.steps.len(), 2);
        assert_eq!(critique.steps[0].sentence, "1 + 1 = 2");
        assert_eq!(critique.steps[1].sentence, "We have\n$$x = 3$$");
        assert_eq!(critique.steps[1].judgement.explanation, "No:\nit is 4.");
        assert_eq!(critique.first_wrong(), Some(1));
        assert_eq!(critique.answer, Judgement { correct: false, explanation: String::new() });
    }

    #[test]
    fn what_is_malformed_is_located() {
        let step = "Step sentence: a\nCorrectness of the step: Correct\nExplanation: b\n";
        let cases = [
            ("", "line 1: the critique ends where \"Step sentence:\" had to come"),
            ("a\nb", "line 2: the critique ends where \"Step sentence:\" had to come"),
            (step, "line 3: the critique ends where \"Correctness of the final answer:\" had to come"),
            ("Step sentence: \nCorrectness of the step: Correct", "line 1: the step has no sentence"),
            (
                "Step sentence: a\nExplanation: b",
                "line 2: expected \"Correctness of the step:\", found \"Explanation:\"",
            ),
            (
                "Step sentence: a\nCorrectness of the step: Maybe\n",
                "line 2: expected the label Correct or Wrong, found \"Maybe\"",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(error(text), expected);
        }
        assert_eq!(error(&"\n".repeat(262_145)), "the text has 262145 bytes, at most 262144 are read");
        let complete = format!("{step}Correctness of the final answer: Wrong\nExplanation: c\n{step}");
        assert_eq!(error(&complete), "line 6: expected \"the end\", found \"Step sentence:\"");
    }
}
