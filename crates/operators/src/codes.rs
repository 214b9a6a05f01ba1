//! The mistakes of data: E04.. files that cannot be read as the pipeline says.

flow_spec::codes! {
    UNREADABLE = "E0401", "a file cannot be read",
        "The file does not exist, may not be read, or is not whole. Paths are relative to the folder in which `flow` runs. \
         A Parquet file that was cut off has no footer and must be written again.",
        wrong "steps: {q: {op: read, path: no-such-file.jsonl}, s: {op: write, from: q, path: out}}",
        right "steps: {q: {op: read, path: train.jsonl}, s: {op: write, from: q, path: out}}";
    NO_FIELD = "E0402", "a file has no such column",
        "A column is read from the input's column of the same name, unless `fields` gives the name it has there. A dotted \
         name leads into nested objects. The message lists what the file has.",
        wrong "steps: {q: {op: read, path: train.jsonl, fields: {prompt: no_such_column}}, s: {op: write, from: q, path: out}}",
        right "steps: {q: {op: read, path: train.jsonl, fields: {prompt: question}}, s: {op: write, from: q, path: out}}";
    DUPLICATE = "E0403", "two rows of a file claim one identity",
        "Ids name a row in every result, so each may stand once in a file. Without `id`, rows are named by their content \
         and may repeat.",
        wrong "steps: {q: {op: read, path: train.jsonl, id: topic, fields: {prompt: question}}, s: {op: write, from: q, path: out}}",
        right "steps: {q: {op: read, path: train.jsonl, fields: {prompt: question}}, s: {op: write, from: q, path: out}}";
    EXHAUSTED = "E0404", "there are not that many distinct problems",
        "`generate` makes each problem once. Ask for fewer, or for higher levels, which have more.",
        wrong "steps: {q: {op: generate, n: 100000000, levels: [1]}, s: {op: write, from: q, path: out}}",
        right "steps: {q: {op: generate, n: 1000, levels: [1]}, s: {op: write, from: q, path: out}}";
    NO_RECORD = "E0405", "no line of a file is a JSON object",
        "A file of lines has one JSON object on each. Lines that are none are rejected one by one; where all are, the file is \
         something else, such as one JSON list, and nothing is run.",
        wrong "steps: {q: {op: read, path: list.json, format: jsonl}, s: {op: write, from: q, path: out}}",
        right "steps: {q: {op: read, path: train.jsonl, fields: {prompt: question}}, s: {op: write, from: q, path: out}}";
    NO_ROW = "E0406", "no row of a file can be read as the pipeline says",
        "Rows that do not fit are rejected one by one. Where none fits, the pipeline means another column, or another file, and \
         nothing is run. The message tells what is wrong with the first row.",
        wrong "steps: {q: {op: read, path: train.jsonl, fields: {prompt: question, level: topic}}, s: {op: write, from: q, path: out}}",
        right "steps: {q: {op: read, path: train.jsonl, fields: {prompt: question}}, s: {op: write, from: q, path: out}}";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::load;

    /// The code that the example's step `q` ends with, on a file of two questions of one topic.
    fn code_of(example: &str) -> Option<&'static str> {
        let folder = tempfile::TempDir::new().unwrap();
        let rows = "{\"question\": \"a\", \"topic\": \"sums\"}\n{\"question\": \"b\", \"topic\": \"sums\"}\n";
        std::fs::write(folder.path().join("train.jsonl"), rows).unwrap();
        std::fs::write(folder.path().join("list.json"), "[{\"question\": \"a\"}]\n").unwrap();
        let (step, _) = example.split_once("q: {").and_then(|(_, rest)| rest.split_once("}, s:")).unwrap();
        let step = step.replace("path: ", &format!("path: {}/", folder.path().display()));
        load(&step).err().map(|error| error.code)
    }

    #[test]
    fn wrong_examples_have_the_mistake_and_right_ones_do_not() {
        for code in CODES.iter().filter(|code| **code != EXHAUSTED) {
            assert_eq!(code_of(code.wrong), Some(code.id));
            assert_ne!(code_of(code.right), Some(code.id));
        }
        assert_eq!(code_of(EXHAUSTED.right), None);
        let step = |example: &str| {
            example.replace("steps: {q: {", "").replace("}, s: {op: write, from: q, path: out}}", "")
        };
        assert_eq!(crate::testing::mistakes(None, &step(EXHAUSTED.wrong)).len(), 1);
    }
}
