//! From Parquet parts to training examples.

use std::path::PathBuf;

use flow_data::Value;
use flow_store::TableReader;
use flow_trainer::Example;

/// The (prompt, completion) pairs of `parts`, in the order of the parts and of their rows: of all rows, or of those whose
/// column has a value.
pub(super) fn read(
    parts: &[PathBuf],
    prompt: &str,
    completion: &str,
    only: Option<(&str, &str)>,
) -> Result<Vec<Example>, String> {
    let mut examples = Vec::new();
    let columns: Vec<&str> = [prompt, completion].into_iter().chain(only.map(|(column, _)| column)).collect();
    for path in parts {
        let reader = TableReader::open(path, Some(&columns)).map_err(|e| crate::text::chain(&e))?;
        for batch in reader {
            for row in batch.map_err(|error| crate::text::chain(&error))? {
                if only.is_some_and(|(_, value)| !is(&row[2], value)) {
                    continue;
                }
                examples.push(example(&row).ok_or_else(|| {
                    format!("a row of `{}` has no text in `{prompt}` or `{completion}`", path.display())
                })?);
            }
        }
    }
    Ok(examples)
}

/// Whether a cell is the text, or the whole number that the text writes.
fn is(cell: &Value, text: &str) -> bool {
    match cell {
        Value::Text(found) => &**found == text,
        Value::Int(found) => found.to_string() == text,
        _ => false,
    }
}

fn example(row: &[Value]) -> Option<Example> {
    match row {
        [Value::Text(prompt), Value::Text(completion), ..] => {
            Some(Example { prompt: prompt.to_string(), completion: completion.to_string() })
        }
        _ => None,
    }
}
