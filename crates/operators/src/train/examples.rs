//! From Parquet parts to training examples.

use std::path::PathBuf;
use std::sync::Arc;

use flow_data::{Type, Value};
use flow_store::TableReader;
use flow_trainer::Example;

/// The columns of the parts with what is learned.
#[derive(Clone, Copy)]
pub(crate) enum Text<'a> {
    /// One with the text before the completion, one with the completion.
    Pair(&'a str, &'a str),
    /// One with a chat, which is roles and contents in turn.
    Chat(&'a str),
}

/// The examples of `parts`, in the order of the parts and of their rows: of all rows, or of those whose column has a value.
pub(super) fn read(
    parts: &[PathBuf],
    text: Text<'_>,
    only: Option<(&str, &str)>,
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
                let example = text.example(&cells);
                examples.push(example.ok_or_else(|| format!("a row of `{}` has {}", path.display(), text.lack()))?);
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

    fn example(self, row: &[Value]) -> Option<Example> {
        match (self, row) {
            (Text::Pair(..), [Value::Text(prompt), Value::Text(completion), ..]) => {
                Some(Example { prompt: prompt.to_string(), completion: completion.to_string() })
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

/// The last turn, which must be the assistant's, after all turns before it.
fn of_chat(turns: &[Arc<str>]) -> Option<Example> {
    let (turns, []) = turns.as_chunks::<2>() else { return None };
    let ([role, completion], before) = turns.split_last()?;
    let before: Vec<&str> = before.iter().map(|[_, content]| &**content).collect();
    (&**role == "assistant").then(|| Example { prompt: before.join("\n"), completion: completion.to_string() })
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

    #[test]
    fn the_last_turn_of_a_chat_is_learned() {
        let example = |turns: &[&str]| Text::Chat("messages").example(&[Value::texts(turns.iter().copied())]);
        let expected = |prompt: &str| Some(Example { prompt: prompt.into(), completion: "4".into() });
        assert_eq!(example(&["user", "2+2=", "assistant", "4"]), expected("2+2="));
        let longer = ["system", "Be brief.", "user", "1+1=", "assistant", "2", "user", "2+2=", "assistant", "4"];
        assert_eq!(example(&longer), expected("Be brief.\n1+1=\n2\n2+2="));
        for wrong in [&["assistant", "4", "user", "2+2="][..], &[], &["assistant"]] {
            assert_eq!(example(wrong), None, "{wrong:?}");
        }
    }
}
