//! The mistakes of graphs: E03.. steps and what flows between them, W03.. what is probably not meant.

flow_spec::codes! {
    UNKNOWN_OPERATOR = "E0301", "there is no such operator",
        "`op` names one of the operators; `flow ops` lists them with what they do.",
        wrong "steps: {questions: {op: raed, path: q.jsonl}, shards: {op: write, from: questions, path: out}}",
        right "steps: {questions: {op: read, path: q.jsonl}, shards: {op: write, from: questions, path: out}}";
    UNKNOWN_STEP = "E0302", "there is no such step",
        "`from`, `rounds` and `tests` name steps of this file.",
        wrong "steps: {questions: {op: read, path: q.jsonl}, shards: {op: write, from: question, path: out}}",
        right "steps: {questions: {op: read, path: q.jsonl}, shards: {op: write, from: questions, path: out}}";
    UNKNOWN_PORT = "E0303", "a step has no such port",
        "`step.port` names rows that leave a step by that port; a bare `step` means its main one. Every step has \
         `.rejected`. The message lists the ports.",
        wrong "steps: {q: {op: read, path: q.jsonl}, shards: {op: write, from: q.rows, path: out}}",
        right "steps: {q: {op: read, path: q.jsonl}, shards: {op: write, from: q.rejected, path: out}}";
    NO_INPUT = "E0304", "a step needs rows and has no `from`",
        "Only operators that make rows by themselves, such as `read`, stand without `from`.",
        wrong "steps: {q: {op: read, path: q.jsonl}, shards: {op: write, path: out}, rest: {op: write, from: q, path: rest}}",
        right "steps: {q: {op: read, path: q.jsonl}, shards: {op: write, from: q, path: out}}";
    UNWANTED_INPUT = "E0305", "a step takes no rows and has a `from`",
        "The operator makes rows by itself. Remove `from`, or read what the other step wrote.",
        wrong "steps: {a: {op: read, path: a.jsonl}, b: {op: read, from: a, path: b.jsonl}, s: {op: write, from: b, path: out}}",
        right "steps: {b: {op: read, path: b.jsonl}, s: {op: write, from: b, path: out}}";
    CYCLE = "E0306", "steps wait for each other in a circle",
        "Within a round, rows and models flow one way. What a round makes reaches the next one by `rounds.feed` only.",
        wrong "steps: {a: {op: balance, from: b, per: prompt_id, at_most: 1}, b: {op: balance, from: a, per: prompt_id, at_most: 1}}",
        right "steps: {q: {op: read, path: q.jsonl}, a: {op: balance, from: q, per: prompt_id, at_most: 1}, s: {op: write, from: a, path: out}}";
    UNION = "E0307", "rows of different types are put together",
        "`from: [a, b]` is the union of rows. It has the columns that all of them have, and a column must have one \
         type in all.",
        wrong "steps: {q: {op: read, path: q.jsonl}, d: {op: sample, from: q, model: policy}, v: {op: verify, from: d, score: text}, w: {op: verify, from: d, score: int}, s: {op: write, from: [v, w], path: out}}\nmodels: {policy: {path: m}}",
        right "steps: {q: {op: read, path: q.jsonl}, d: {op: sample, from: q, model: policy}, v: {op: verify, from: d, score: int}, w: {op: verify, from: d, score: int}, s: {op: write, from: [v, w], path: out}}\nmodels: {policy: {path: m}}";
    MISSING_COLUMN = "E0308", "rows do not have a column that is needed",
        "The step reads a column that its producer does not make. The message lists the producer's columns.",
        wrong "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: levle, at_most: 1}, s: {op: write, from: few, path: out}}",
        right "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: level, at_most: 1}, s: {op: write, from: few, path: out}}";
    COLUMN_TYPE = "E0309", "a column holds values of another type than needed",
        "The step reads a column whose type it cannot work with.",
        wrong "steps: {q: {op: read, path: q.jsonl}, v: {op: verify, from: q, completion: level}, s: {op: write, from: v, path: out}}",
        right "steps: {q: {op: read, path: q.jsonl}, v: {op: verify, from: q, completion: prompt}, s: {op: write, from: v, path: out}}";
    CONFIG = "E0310", "keys or values do not go together",
        "Each key is right by itself, but the operator cannot work with their combination.",
        wrong "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: level, at_least: 2, at_most: 1}, s: {op: write, from: few, path: out}}",
        right "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: level, at_least: 1, at_most: 2}, s: {op: write, from: few, path: out}}";
    UNKNOWN_MODEL = "E0311", "there is no such model",
        "A model is declared under `models`, or it is a step that makes one, such as `train`.",
        wrong "steps: {q: {op: read, path: q.jsonl}, d: {op: sample, from: q, model: polcy}, s: {op: write, from: d, path: out}}\nmodels: {policy: {path: m}}",
        right "steps: {q: {op: read, path: q.jsonl}, d: {op: sample, from: q, model: policy}, s: {op: write, from: d, path: out}}\nmodels: {policy: {path: m}}";
    NOT_A_MODEL = "E0312", "a step that makes no model is named as one",
        "Only steps that train or merge make models.",
        wrong "steps: {q: {op: read, path: q.jsonl}, d: {op: sample, from: q, model: q}, s: {op: write, from: d, path: out}}",
        right "steps: {q: {op: read, path: q.jsonl}, d: {op: sample, from: q, model: policy}, s: {op: write, from: d, path: out}}\nmodels: {policy: {path: m}}";
    SHARED_NAME = "E0313", "a model and a step have one name",
        "`model: x` could mean either. Rename one of them.",
        wrong "steps: {policy: {op: read, path: q.jsonl}, s: {op: write, from: policy, path: out}}\nmodels: {policy: {path: m}}",
        right "steps: {q: {op: read, path: q.jsonl}, s: {op: write, from: q, path: out}}\nmodels: {policy: {path: m}}";
    NO_WEIGHTS = "E0314", "a step needs the weights of a model that is behind a server",
        "Training starts from weights, which servers do not give away. Name a model that is a folder, and let the served one \
         write what it learns from.",
        wrong "steps: {q: {op: read, path: q.jsonl}, l: {op: train, from: q, start: teacher}}\nmodels: {teacher: {server: \"http://host:8000/v1\", model: m}}",
        right "steps: {q: {op: read, path: q.jsonl}, l: {op: train, from: q, start: base}}\nmodels: {base: {path: m}}";

    UNUSED_STEP = "W0301", "nothing comes of a step",
        "No step reads its rows or uses its model, and it neither writes, trains nor measures. It is computed for \
         nothing, or a `from` elsewhere names another step than meant.",
        wrong "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: level, at_most: 1}, s: {op: write, from: q, path: out}}",
        right "steps: {q: {op: read, path: q.jsonl}, few: {op: balance, from: q, per: level, at_most: 1}, s: {op: write, from: few, path: out}}";
    IDLE_FEED = "W0302", "rounds feed a model that no step uses",
        "Each round would compute the same again, since nothing depends on what changes between rounds: one is run.",
        wrong "steps: {q: {op: read, path: q.jsonl}, l: {op: train, from: q, start: base}}\nmodels: {base: {path: m}, policy: {path: m}}\nrounds: {count: 2, feed: {policy: l}}",
        right "steps: {q: {op: read, path: q.jsonl}, l: {op: train, from: q, start: policy}}\nmodels: {policy: {path: m}}\nrounds: {count: 2, feed: {policy: l}}";
}
