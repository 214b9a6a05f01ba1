//! From Parquet parts to training examples.

use std::path::PathBuf;

use flow_data::Value;
use flow_store::TableReader;
use flow_trainer::Example;

/// The (prompt, completion) pairs of `parts`, in the order of the parts and of their rows.
pub(super) fn read(parts: &[PathBuf], prompt: &str, completion: &str) -> Result<Vec<Example>, String> {
    let mut examples = Vec::new();
    for path in parts {
        let reader = TableReader::open(path, Some(&[prompt, completion])).map_err(|e| crate::text::chain(&e))?;
        for batch in reader {
            for row in batch.map_err(|error| crate::text::chain(&error))? {
                examples.push(example(&row).ok_or_else(|| {
                    format!("a row of `{}` has no text in `{prompt}` or `{completion}`", path.display())
                })?);
            }
        }
    }
    Ok(examples)
}

fn example(row: &[Value]) -> Option<Example> {
    match row {
        [Value::Text(prompt), Value::Text(completion)] => {
            Some(Example { prompt: prompt.to_string(), completion: completion.to_string() })
        }
        _ => None,
    }
}
