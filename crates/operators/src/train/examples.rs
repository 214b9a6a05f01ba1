//! From Parquet parts to training examples.

use std::path::PathBuf;
use std::sync::Arc;

use flow_data::{Type, Value};
use flow_store::TableReader;
use flow_trainer::Example;

use crate::conversation::Conversation;

/// The columns of the parts with what is learned.
#[derive(Clone, Copy)]
pub(crate) enum Text<'a> {
    /// One with the text before the completion, one with the completion.
    Pair(&'a str, &'a str),
    /// One with a chat, which is roles and contents in turn.
    Chat(&'a str),
}

/// The examples of `parts`, in the order of the parts and of their rows: of all rows, or of those whose column has a value. With a
/// conversation each is the answer at the end of one.
pub(super) fn read(
    parts: &[PathBuf],
    text: Text<'_>,
    only: Option<(&str, &str)>,
    conversation: Option<&Conversation>,
) -> Result<Vec<Example>, String> {
    let mut examples = Vec::new();
    let columns: Vec<&str> = text.columns().into_iter().chain(only.map(|(column, _)| column)).collect();
    for path in parts {
        let reader = TableReader::open(path, Some(&columns)).map_err(|e| crate::text::chain(&e))?;
        // A column that is named twice is read once.
        let place = |name: &str| reader.columns().index(name).ok_or_else(|| format!("`{}` has no column `{name}`", path.display()));
        let places = text.columns().into_iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let only = only.map(|(column, value)| Ok::<_, String>((place(column)?, value))).transpose()?;
        for batch in reader {
            for row in batch.map_err(|error| crate::text::chain(&error))? {
                if only.is_some_and(|(at, value)| !is(&row[at], value)) {
                    continue;
                }
                let cells: Vec<Value> = places.iter().map(|at| row[*at].clone()).collect();
                let turns = text.turns(&cells);
                let (before, completion) =
                    turns.ok_or_else(|| format!("a row of `{}` has {}", path.display(), text.lack()))?;
                examples.push(Example { prompt: prompt(&before, conversation)?, completion: completion.to_owned() });
            }
        }
    }
    Ok(examples)
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

    fn columns(self) -> Vec<&'a str> {
        self.named().into_iter().map(|(_, column, _)| column).collect()
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
}
