//! From Parquet parts to training examples.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use flow_data::{Type, Value};
use flow_store::TableReader;
use flow_trainer::Example;

use crate::conversation::Conversation;

/// Column of the parts with the identity of a row.
const ROW_ID: &str = "row_id";

/// The columns of the parts with what is learned.
#[derive(Clone, Copy)]
pub(crate) enum Text<'a> {
    /// One with the text before the completion, one with the completion.
    Pair(&'a str, &'a str),
    /// One with a chat, which is roles and contents in turn.
    Chat(&'a str),
}

/// The columns of the parts that a training reads.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    /// What is learned.
    pub(crate) text: Text<'a>,
    /// What a row counts.
    pub(crate) weight: Option<&'a str>,
    /// The text that a preference is not for.
    pub(crate) rejected: Option<&'a str>,
    /// What the use of experts is told by.
    pub(crate) report_by: &'a [String],
}

/// An example and the row that it is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Identity of the row.
    pub(crate) id: Arc<str>,
    pub(crate) example: Example,
    /// Its values in the columns that the use of experts is told by, written out; none where it has none.
    pub(crate) values: Vec<Option<Arc<str>>>,
}

/// The examples of `parts`, in the order of the parts and of their rows: of all rows, or of those whose column has a value. With a
/// conversation each is the answer at the end of one.
pub(super) fn read(
    parts: &[PathBuf],
    columns: Columns<'_>,
    only: Option<(&str, &str)>,
    conversation: Option<&Conversation>,
) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let names = columns.names().into_iter().chain(only.map(|(column, _)| column)).chain([ROW_ID]);
    let names: Vec<&str> = names.collect();
    for path in parts {
        let reader = TableReader::open(path, Some(&names)).map_err(|e| crate::text::chain(&e))?;
        // A column that is named twice is read once.
        let place = |name: &str| reader.columns().index(name).ok_or_else(|| format!("`{}` has no column `{name}`", path.display()));
        let places = columns.names().into_iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let only = only.map(|(column, value)| Ok::<_, String>((place(column)?, value))).transpose()?;
        let id = place(ROW_ID)?;
        for batch in reader {
            for row in batch.map_err(|error| crate::text::chain(&error))? {
                if only.is_some_and(|(at, value)| !is(&row[at], value)) {
                    continue;
                }
                let cells: Vec<Value> = places.iter().map(|at| row[*at].clone()).collect();
                let example = columns.example(&cells, conversation);
                let example = example.map_err(|lack| format!("a row of `{}` has {lack}", path.display()))?;
                let Value::Text(id) = &row[id] else {
                    return Err(format!("a row of `{}` has no `{ROW_ID}`", path.display()));
                };
                rows.push(Row { id: id.clone(), example, values: columns.values(&cells) });
            }
        }
    }
    Ok(rows)
}

/// Most values that a message names.
const TOLD: usize = 8;

/// The first few texts and integers that rows of `parts` have in a column, sorted.
pub(super) fn values(parts: &[PathBuf], column: &str) -> Result<Vec<String>, String> {
    let mut values = BTreeSet::new();
    for path in parts {
        let reader = TableReader::open(path, Some(&[column])).map_err(|e| crate::text::chain(&e))?;
        for batch in reader {
            let rows = batch.map_err(|error| crate::text::chain(&error))?;
            values.extend(rows.iter().filter_map(|row| written(&row[0])));
            while values.len() > TOLD {
                values.pop_last();
            }
        }
    }
    Ok(values.into_iter().collect())
}

/// A text, of a long one its beginning, or an integer.
fn written(cell: &Value) -> Option<String> {
    match cell {
        Value::Text(text) => Some(crate::text::head(text, 40)),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

impl<'a> Columns<'a> {
    /// The keys that name the columns, with the column and the type of each.
    pub(crate) fn named(self) -> Vec<(&'static str, &'a str, &'static [Type])> {
        let mut named = self.text.named();
        named.extend(self.weight.map(|weight| ("weight", weight, &[Type::Float, Type::Int][..])));
        named.extend(self.rejected.map(|rejected| ("loss.dpo.rejected", rejected, &[Type::Text][..])));
        named.extend(self.report_by.iter().map(|column| ("report_by", column.as_str(), &[Type::Text, Type::Int][..])));
        named
    }

    /// What a row of these columns has in those of `report_by`, which come last.
    fn values(self, row: &[Value]) -> Vec<Option<Arc<str>>> {
        let value = |cell: &Value| match cell {
            Value::Text(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string().into()),
            _ => None,
        };
        row[row.len() - self.report_by.len()..].iter().map(value).collect()
    }

    fn names(self) -> Vec<&'a str> {
        self.named().into_iter().map(|(_, column, _)| column).collect()
    }

    /// The example of a row of these columns, or what it has that makes none.
    fn example(self, row: &[Value], conversation: Option<&Conversation>) -> Result<Example, String> {
        let (text, more) = row.split_at(self.text.named().len());
        let (before, completion) = self.text.turns(text).ok_or_else(|| self.text.lack())?;
        let prompt = prompt(&before, conversation).map_err(|error| format!("no conversation before it: {error}"))?;
        let mut example = Example::new(prompt, completion);
        let mut more = more.iter();
        if let (Some(column), Some(cell)) = (self.weight, self.weight.and_then(|_| more.next())) {
            example.weight = weight(cell).ok_or_else(|| {
                format!("{} in `{column}`, expected a finite number of 0 or more", shown(cell))
            })?;
        }
        if let (Some(column), Some(cell)) = (self.rejected, more.next()) {
            let Value::Text(rejected) = cell else { return Err(format!("no text in `{column}`")) };
            if **rejected == *example.completion {
                let text = crate::text::head(rejected, 80);
                return Err(format!("the same text in `{column}` as in the column it is rejected for: {text:?}"));
            }
            example.rejected = Some(rejected.to_string());
        }
        Ok(example)
    }
}

fn weight(cell: &Value) -> Option<f64> {
    let weight = match cell {
        Value::Float(weight) => *weight,
        Value::Int(weight) => *weight as f64,
        _ => return None,
    };
    (weight.is_finite() && weight >= 0.0).then_some(weight)
}

fn shown(cell: &Value) -> String {
    match cell {
        Value::Float(number) => format!("the weight {number}"),
        Value::Int(number) => format!("the weight {number}"),
        _ => "no number".into(),
    }
}

impl<'a> From<Text<'a>> for Columns<'a> {
    fn from(text: Text<'a>) -> Self {
        Self { text, weight: None, rejected: None, report_by: &[] }
    }
}

impl<'a> Text<'a> {
    /// The keys that name the columns, with the column and the type of each.
    pub(crate) fn named(self) -> Vec<(&'static str, &'a str, &'static [Type])> {
        match self {
            Text::Pair(prompt, completion) => {
                vec![("prompt", prompt, &[Type::Text]), ("completion", completion, &[Type::Text])]
            }
            Text::Chat(messages) => vec![("messages", messages, &[Type::Texts])],
        }
    }

    /// The turns before what is learned, and that; none where the row has none.
    fn turns(self, row: &[Value]) -> Option<(Vec<Turn<'_>>, &str)> {
        match (self, row) {
            (Text::Pair(..), [Value::Text(prompt), Value::Text(completion), ..]) => {
                Some((vec![("user", prompt)], completion))
            }
            (Text::Chat(_), [Value::Texts(turns), ..]) => of_chat(turns),
            _ => None,
        }
    }

    /// What a row without an example has.
    fn lack(self) -> String {
        match self {
            Text::Pair(prompt, completion) => format!("no text in `{prompt}` or `{completion}`"),
            Text::Chat(messages) => format!("no chat in `{messages}` that ends with a turn of the role `assistant`"),
        }
    }
}

/// Role and content of what somebody says.
type Turn<'a> = (&'a str, &'a str);

/// The turns before the last one, which must be the assistant's, and that.
fn of_chat(turns: &[Arc<str>]) -> Option<(Vec<Turn<'_>>, &str)> {
    let (turns, []) = turns.as_chunks::<2>() else { return None };
    let ([role, completion], before) = turns.split_last()?;
    let before = before.iter().map(|[role, content]| (&**role, &**content)).collect();
    (&**role == "assistant").then_some((before, completion))
}

/// What the turns before an answer are to the model: a conversation, or their contents with line breaks between them.
fn prompt(before: &[Turn<'_>], conversation: Option<&Conversation>) -> Result<String, String> {
    match conversation {
        Some(conversation) => conversation.rendered(before.iter().copied()),
        None => Ok(before.iter().map(|(_, content)| *content).collect::<Vec<_>>().join("\n")),
    }
}

/// Whether a cell is the text, or the whole number that the text writes.
fn is(cell: &Value, text: &str) -> bool {
    match cell {
        Value::Text(found) => &**found == text,
        Value::Int(found) => found.to_string() == text,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::tests::conversation;

    /// What is learned of a row, and after what.
    fn example(text: Text<'_>, row: &[Value], conversation: Option<&Conversation>) -> Option<[String; 2]> {
        let (before, completion) = text.turns(row)?;
        Some([prompt(&before, conversation).ok()?, completion.to_owned()])
    }

    const LONGER: [&str; 10] =
        ["system", "Be brief.", "user", "1+1=", "assistant", "2", "user", "2+2=", "assistant", "4"];

    #[test]
    fn the_last_turn_of_a_chat_is_learned() {
        let example = |turns: &[&str]| example(Text::Chat("messages"), &[Value::texts(turns.iter().copied())], None);
        let expected = |prompt: &str| Some([prompt.into(), "4".into()]);
        assert_eq!(example(&["user", "2+2=", "assistant", "4"]), expected("2+2="));
        assert_eq!(example(&LONGER), expected("Be brief.\n1+1=\n2\n2+2="));
        for wrong in [&["assistant", "4", "user", "2+2="][..], &[], &["assistant"]] {
            assert_eq!(example(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn in_a_conversation_what_is_learned_is_the_assistants() {
        let kind = conversation(Some("Be kind."));
        let turn = |role: &str, content: &str| format!("<|im_start|>{role}\n{content}<|im_end|>\n");
        let asked = |turns: &[(&str, &str)]| {
            turns.iter().map(|(role, content)| turn(role, content)).collect::<String>() + "<|im_start|>assistant\n"
        };
        let pair = [Value::from("2+2="), Value::from("4")];
        let expected = asked(&[("system", "Be kind."), ("user", "2+2=")]);
        assert_eq!(example(Text::Pair("prompt", "completion"), &pair, Some(&kind)), Some([expected, "4".into()]));
        let chat = [Value::texts(LONGER)];
        let expected =
            asked(&[("system", "Be brief."), ("user", "1+1="), ("assistant", "2"), ("user", "2+2=")]);
        assert_eq!(example(Text::Chat("messages"), &chat, Some(&kind)), Some([expected, "4".into()]));
    }

    #[test]
    fn both_completions_of_a_preference_answer_the_same_conversation() {
        let columns = Columns { rejected: Some("bad"), ..Text::Pair("prompt", "good").into() };
        let kind = conversation(None);
        let row = ["2+2=", "4", "5"].map(Value::from);
        let example = columns.example(&row, Some(&kind)).unwrap();
        assert_eq!(example.prompt, "<|im_start|>user\n2+2=<|im_end|>\n<|im_start|>assistant\n");
        assert_eq!((&*example.completion, example.rejected.as_deref()), ("4", Some("5")));
    }

    #[test]
    fn rows_that_are_no_examples_say_why() {
        let columns = Columns { weight: Some("w"), rejected: Some("bad"), ..Text::Pair("prompt", "good").into() };
        let example = |good: &str, weight: Value, bad: Value| columns.example(&["2+2=".into(), good.into(), weight, bad], None);
        let expected = Example { weight: 2.0, rejected: Some("5".into()), ..Example::new("2+2=", "4") };
        assert_eq!(example("4", 2i64.into(), "5".into()), Ok(expected));
        let wrong = |weight: f64| example("4", weight.into(), "5".into()).unwrap_err();
        assert_eq!(wrong(-1.5), "the weight -1.5 in `w`, expected a finite number of 0 or more");
        assert!(wrong(f64::NAN).starts_with("the weight NaN"));
        assert!(example("4", Value::Null, "5".into()).unwrap_err().starts_with("no number in `w`"));
        let same = example("4", 1i64.into(), "4".into()).unwrap_err();
        assert_eq!(same, "the same text in `bad` as in the column it is rejected for: \"4\"");
        assert_eq!(example("4", 1i64.into(), Value::Null), Err("no text in `bad`".into()));
    }
}
