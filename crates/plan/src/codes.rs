//! The mistakes of graphs: E03.. steps and what flows between them, W03.. what is probably not meant.

flow_spec::codes! {
    UNKNOWN_OPERATOR = "E0301", "there is no such operator",
        "`flow ops` lists the operators.",
        wrong "steps: {questions: {op: raed, path: q.jsonl}}",
        right "steps: {questions: {op: read, path: q.jsonl}}";
    MISSING_COLUMN = "E0308", "rows do not have a column that is needed",
        "The step reads a column that its producer does not make. The message lists the producer's columns.",
        wrong "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: level, at_most: 1}}",
        right "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: prompt_id, at_most: 1}}";
    COLUMN_TYPE = "E0309", "a column holds values of another type than needed",
        "The step reads a column whose type it cannot work with.",
        wrong "steps: {q: {op: read, path: q.jsonl}, graded: {op: verify, from: q, completion: tags}}",
        right "steps: {q: {op: read, path: q.jsonl}, graded: {op: verify, from: q, completion: prompt}}";
    CONFIG = "E0310", "keys or values do not go together",
        "Each key is right by itself, but the operator cannot work with their combination.",
        wrong "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: prompt_id, at_least: 2, at_most: 1}}",
        right "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: prompt_id, at_least: 1, at_most: 2}}";
}
