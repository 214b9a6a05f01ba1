//! What is measured on given texts: by `perplexity`, and by `train` on examples that it does not learn from.

use std::collections::BTreeMap;

use flow_data::Value;

use super::bench::{Bench, QUESTIONS};

/// One step over all examples at once, and the same texts scored before it.
const SCORED: &str = "version: 1
name: scored
seed: 2
models: {policy: {path: policy}}
steps:
  problems: {op: generate, n: 40, levels: [1, 2]}
  shards: {op: write, from: problems, path: out/shards, form: messages, completion: solution}
  learner: {op: train, from: shards, start: policy, completion: solution, max_steps: 1, batch_size: 64}
  ppl: {op: perplexity, from: problems, model: policy, completion: solution, by: level}
";

fn bench() -> Bench {
    let bench = Bench::with(SCORED);
    bench.model("policy");
    bench
}

fn float(value: &Value) -> f64 {
    if let Value::Float(x) = value { *x } else { panic!("a number, found {value:?}") }
}

/// The columns `model` and `losses` of the only checkpoint.
fn trained(bench: &Bench) -> (Value, Vec<f32>) {
    let row = bench.table("out/scored/run/checkpoints.parquet").remove(0);
    let Value::Floats(losses) = &row["losses"] else { panic!("losses: {row:?}") };
    (row["model"].clone(), losses.to_vec())
}

#[test]
fn a_length_beyond_the_positions_is_told_before_anything_is_drawn() {
    let bench = bench();
    let words = ["error[E0626]", "`max_length` is 100000, and the model has", "write at most"];
    bench.exec(&["--set", "steps.learner.max_length=100000"], 78).says(&words);
    assert!(!bench.path("out/shards/current").exists());
}

#[test]
fn a_model_that_no_memory_holds_is_told_before_anything_is_drawn() {
    let bench = bench();
    let shape = "hidden_size: 1048576, intermediate_size: 4194304, num_hidden_layers: 1000, num_attention_heads: 8, vocab_size: 300";
    let start = format!("steps.learner.start={{{shape}, max_position_embeddings: 64}}");
    bench
        .exec(&["--set", &start], 78)
        .says(&["error[E0636]", "a model of about 1.8e16 parameters takes at least"]);
    assert!(!bench.path("out/shards/current").exists());
}

#[test]
fn another_activation_is_learned_with() {
    let bench = bench();
    let losses = |activation: &str| {
        let config = bench.path("policy/config.json");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace("\"silu\"", activation)).unwrap();
        bench.exec(&["--set", "steps.learner.max_steps=4"], 0);
        trained(&bench).1
    };
    let [silu, gelu] = ["\"silu\"", "\"gelu\""].map(losses);
    assert!(gelu.len() == 4 && gelu != silu && gelu.last() < gelu.first(), "{gelu:?}");
}

#[test]
fn a_mixture_that_no_family_has_is_told_before_anything_is_drawn() {
    let bench = bench();
    let config = bench.path("policy/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let windows = text.replace("\"llama\"", "\"mistral\"").replacen('{', "{\"sliding_window\": 48,", 1);
    std::fs::write(&config, windows).unwrap();
    let none = "`learner`: no family of checkpoints has experts of this kind";
    let words = ["error[E0628]", none, "`mistral` checkpoint has: sliding windows"];
    bench.exec(&["--set", "steps.learner.moe={experts: 4, bias_update_rate: 0.001}"], 78).says(&words);
    assert!(!bench.path("out/shards/current").exists());
}

#[test]
fn perplexity_is_the_loss_that_training_begins_with() {
    let bench = bench();
    let ran = bench.exec(&[], 0);
    ran.says(&["learner learns from 40 examples; after \"", "it learns \""]);
    let problems = bench.table("out/scored/run/likelihoods.parquet");
    assert_eq!(problems.len(), 40);
    let nats: f64 = problems.iter().map(|row| float(&row["nats"])).sum();
    let tokens: i64 =
        problems.iter().map(|row| if let Value::Int(n) = row["n_tokens"] { n } else { 0 }).sum();
    let (mean, first) = (nats / tokens as f64, f64::from(trained(&bench).1[0]));
    assert!((mean - first).abs() < 1e-4, "{mean} {first}");
    let groups = bench.table("out/scored/run/perplexities.parquet");
    let of = |group: Value| {
        groups.iter().find(|row| row["group"] == group).map(|row| float(&row["perplexity"])).unwrap()
    };
    let (one, two) = (of("1".into()), of("2".into()));
    assert!((of(Value::Null) - (one + two) / 2.0).abs() < 1e-9);

    let again = bench.exec(&["--set", "steps.ppl.by=answer", "--format", "json"], 0).json();
    let calls = again["steps"].as_array().unwrap().iter().map(|step| step["calls"].as_u64().unwrap_or(0));
    assert_eq!(calls.sum::<u64>(), 0, "other groups ask nothing");
}

#[test]
fn a_text_that_does_not_fit_the_context_is_rejected() {
    let bench = bench();
    bench.put(
        "p.yaml",
        SCORED.replace("{op: generate, n: 40, levels: [1, 2]}", "{op: read, path: questions.jsonl}"),
    );
    let long = format!(
        "{{\"prompt_id\": \"d\", \"prompt\": \"1+1=\", \"solution\": \"{}\"}}\n",
        "x y ".repeat(2000)
    );
    let short = QUESTIONS.replace("\"level\"", "\"solution\": \"2\", \"level\"");
    bench.put("questions.jsonl", format!("{short}{long}"));
    bench.exec(&["-q"], 0);
    assert_eq!(bench.table("out/scored/run/likelihoods.parquet").len(), 3);
    let rejected = bench.table("out/scored/run/rejects.parquet");
    assert!(rejected.iter().any(|row| row["reason"] == "not_scored".into()), "{rejected:?}");
}

#[test]
fn a_chat_is_learned_as_its_prompt_and_completion_are() {
    let (pairs, chats) = (bench(), bench());
    pairs.exec(&["-q"], 0);
    chats.exec(&["-q", "--set", "steps.learner.messages=messages"], 0);
    assert_eq!(trained(&pairs), trained(&chats));
    let refused = chats.exec(&["-q", "--set", "steps.learner.messages=prompt"], 78);
    refused.says(&["expected column `prompt` of `shards` to hold list<text>"]);
}

#[test]
fn validation_losses_are_told_and_the_best_model_is_kept() {
    let bench = bench();
    let set = |keys: &'static str| ["--set", keys];
    let keys = [
        "steps.learner.validation_ratio=0.3",
        "steps.learner.max_steps=6",
        "steps.learner.eval_steps=2",
        "steps.learner.batch_size=8",
    ];
    let args: Vec<&str> = keys.into_iter().flat_map(set).collect();
    bench.exec(&args, 0).says(&[" and is measured on "]);
    let rows = bench.table("out/scored/run/validations.parquet");
    let steps: Vec<&Value> = rows.iter().map(|row| &row["step"]).collect();
    assert_eq!(rows.len(), 3, "{steps:?}");
    let best: Vec<f64> =
        rows.iter().filter(|row| row["is_best"] == true.into()).map(|row| float(&row["loss"])).collect();
    assert!(best.len() == 1 && rows.iter().all(|row| float(&row["loss"]) >= best[0]));
    assert!(rows.iter().all(|row| row["model"] == trained(&bench).0));
    let none = bench.exec(&["--set", "steps.learner.patience=2"], 78);
    none.says(&["`patience` is about validation examples, and there are none", "`validation_ratio`"]);
}

/// A dense model, and a mixture of it.
const SIDES: &str = r#"
version: 1
name: sides
seed: 1
steps:
  made: {op: generate, n: 200, domains: [arithmetic, equations], levels: [1, 2]}
  shards: {op: write, from: made}
  kept: {op: generate, n: 40, domains: [arithmetic, equations], levels: [1, 2], split: held_out}
  dense:
    op: train
    from: shards
    start: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, vocab_size: 300, max_position_embeddings: 256}
    completion: solution
    max_steps: 4
  mixture:
    op: train
    from: shards
    start: dense
    completion: solution
    max_steps: 4
    report_by: [domain, level]
    moe: {experts: 3, top_p: 0.5, null_experts: 2, norm_topk_prob: false, gate: hidden, positive_prompts: [[1 + 1], [x = 3], [two, three]]}
  read: {op: perplexity, from: kept, model: mixture, completion: solution}
"#;

#[test]
fn a_column_that_experts_are_told_by_is_named_once() {
    let bench = Bench::with(SIDES);
    let twice = ["--set", "steps.mixture.report_by=[domain, level, domain]"];
    bench.exec(&twice, 78).says(&["`domain` is named twice"]);
}

#[test]
fn experts_are_told_by_the_values_of_columns() {
    let bench = Bench::with(SIDES);
    bench.exec(&[], 0);
    let rows = bench.table("out/sides/run/experts.parquet");
    let of = |column: &str, value: &str| {
        let wanted = [("column", column), ("value", value), ("layer", "0")];
        let is = |row: &&BTreeMap<String, Value>| {
            wanted.iter().all(|(name, word)| match &row[*name] {
                Value::Text(text) => **text == **word,
                Value::Int(number) => number.to_string() == *word,
                _ => word.is_empty(),
            })
        };
        rows.iter().filter(is).collect::<Vec<_>>()
    };
    let tokens = |column: &str, value: &str| -> i64 {
        of(column, value).iter().map(|row| if let Value::Int(n) = row["n_tokens"] { n } else { 0 }).sum()
    };
    assert_eq!(of("", "").len(), 4, "a stretch for each step");
    let (by_domain, by_level) = (
        [tokens("domain", "arithmetic"), tokens("domain", "equations")],
        [tokens("level", "1"), tokens("level", "2")],
    );
    assert!(by_domain.iter().chain(&by_level).all(|n| *n > 0), "{by_domain:?} {by_level:?}");
    assert_eq!(by_domain.iter().sum::<i64>(), by_level.iter().sum::<i64>());
    for row in &rows {
        let Value::Floats(load) = &row["load"] else { panic!("a list: {row:?}") };
        let shares = load.iter().map(|share| f64::from(*share)).sum::<f64>() + float(&row["null_share"]);
        assert!(load.len() == 3 && (shares - 1.0).abs() < 1e-5, "{row:?}");
    }
    assert!(rows.iter().any(|row| float(&row["null_share"]) > 0.0));
    let ran = bench.flow(&["report", "p.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = std::fs::read_to_string(bench.path(ran.stdout.trim())).expect("the file that was named");
    for fact in ["of the rows, in the last steps", "layer 0: arithmetic", "layer 1: 2"] {
        assert!(page.contains(fact), "{fact}");
    }
}
