//! From Parquet parts to training examples.

use std::path::PathBuf;

use flow_data::Value;
use flow_store::TableReader;
use flow_trainer::Example;

/// The (prompt, completion) pairs of `parts`, in the order of the parts and of their rows.
pub(super) fn read(parts: &[PathBuf], prompt: &str, completion: &str) -> Result<Vec<Example>, String> {
    let mut examples = Vec::new();
    for path in parts {
        let reader = TableReader::open(path, Some(&[prompt, completion])).map_err(|error| crate::text::chain(&error))?;
        for row in reader {
            let row = row.map_err(|error| crate::text::chain(&error))?;
            match row.as_slice() {
                [Value::Text(prompt), Value::Text(completion)] => {
                    examples.push(Example { prompt: prompt.to_string(), completion: completion.to_string() });
                }
                _ => return Err(format!("a row of `{}` has no text in `{prompt}` or `{completion}`", path.display())),
            }
        }
    }
    Ok(examples)
}
