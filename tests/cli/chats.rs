//! Models that are asked by their chat templates: what they are asked, what is learned, what is told beforehand.

use std::collections::BTreeMap;

use flow_data::Value;
use serde_json::{Value as Json, json};

use super::bench::{Bench, Ran};

/// A question to the model of the bench, which has one special token; the tokenizer puts it before texts that are not rendered.
const TEMPLATE: &str = "<|endoftext|>{% for m in messages %}{{ m.role[0] + ':' + m.content + '<|endoftext|>' }}{% endfor %}\
                        {% if add_generation_prompt %}{{ 'a:' }}{% endif %}";

const END: &str = "<|endoftext|>";

/// Draws, draws that begin with a text, draws after all draws, scores and a training; `MODEL` is how the model is declared.
const ASKED: &str = "version: 1
name: asked
models: {policy: MODEL}
steps:
  read: {op: read, path: questions.jsonl}
  questions: {op: render, from: read, template: 'QUESTION'}
  begun: {op: render, from: questions, template: '1+', to: begin}
  drawn: {op: sample, from: questions, model: policy, max_tokens: 8, temperature: 0}
  forced: {op: sample, from: begun, model: policy, max_tokens: 8, temperature: 0, prefix: begin}
  joined: {op: aggregate, from: drawn, model: policy, max_tokens: 4, temperature: 0, template: 'JOIN'}
  draws: {op: write, from: [drawn, forced, joined], path: out/draws}
  likely: {op: perplexity, from: drawn, model: policy}
  likelihood: {op: write, from: likely.problems, path: out/likelihood}
  shards: {op: write, from: questions, path: out/shards}
  learner: {op: train, from: shards, start: policy, completion: answer, epochs: 2, batch_size: 2, path: out/learned}
  scores: {op: evaluate, from: questions, model: learner, n: 1, max_tokens: 8, temperature: 0}
  scored: {op: write, from: scores.problems, path: out/scored}
";

/// The pipeline with the model declared so; what a template makes of a question stands in its rows where `rendered`.
fn asked(model: &str, rendered: impl Fn(&str) -> String) -> Bench {
    let text = ASKED.replace("MODEL", model);
    let text = text
        .replace("QUESTION", &rendered("{{ prompt }}"))
        .replace("JOIN", &rendered("{{ responses | first }}"));
    let bench = Bench::with(&text);
    bench.model("policy");
    bench.put("policy/tokenizer_config.json", json!({"chat_template": TEMPLATE}).to_string());
    let tokenizer = std::fs::read(bench.path("policy/tokenizer.json")).unwrap();
    let mut tokenizer: Json = serde_json::from_slice(&tokenizer).unwrap();
    let (begin, text) =
        (json!({"SpecialToken": {"id": END, "type_id": 0}}), json!({"Sequence": {"id": "A", "type_id": 0}}));
    let second = json!({"Sequence": {"id": "B", "type_id": 1}});
    tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing", "single": [begin, text], "pair": [begin, text, second],
        "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}}
    });
    bench.put("policy/tokenizer.json", tokenizer.to_string());
    bench
}

/// What was drawn for each question, and how likely it is. Both pipelines have the same rows but for the prompts.
fn answers(bench: &Bench) -> Vec<BTreeMap<String, Value>> {
    let folders = ["out/draws", "out/likelihood", "out/scored"];
    let mut rows: Vec<_> = folders.iter().flat_map(|folder| bench.rows(folder)).collect();
    let told =
        ["prompt_id", "completion", "n_prompt_tokens", "n_tokens", "finish_reason", "nats", "n_correct"];
    rows.iter_mut().for_each(|row| row.retain(|column, _| told.contains(&column.as_str())));
    rows.sort_by_key(|row| format!("{row:?}"));
    rows
}

#[test]
fn prompts_become_messages_in_every_step_that_asks_a_model() {
    let chat = asked("{path: policy, chat: true, system: Be brief.}", str::to_owned);
    let turns = |text: &str| format!("s:Be brief.<|endoftext|>u:{text}<|endoftext|>a:");
    let plain = asked("{path: policy}", turns);
    [&chat, &plain].iter().for_each(|bench| drop(bench.exec(&["-q"], 0)));
    assert_eq!(answers(&chat), answers(&plain));
    assert_eq!(answers(&chat).len(), 3 * 5);
    let weights = |bench: &Bench| std::fs::read(bench.path("out/learned/model.safetensors")).unwrap();
    assert_eq!(weights(&chat), weights(&plain), "the same is learned");
    let learned = std::fs::read_to_string(chat.path("out/learned/tokenizer_config.json")).unwrap();
    assert!(learned.contains("add_generation_prompt"), "a trained model keeps its template: {learned}");

    let bare = asked("{path: policy}", str::to_owned);
    bare.exec(&["-q"], 0);
    assert_ne!(answers(&bare), answers(&chat), "and the template matters");
}

/// Calls of the draws and of the training that a plan foretells, and the reason of the draws.
fn foretold(ran: &Ran) -> (Vec<u64>, String) {
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let plan = ran.json();
    let step = |name: &str| {
        plan["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap().clone()
    };
    let calls = ["drawn", "learner"].map(|name| step(name)["calls"].as_u64().unwrap());
    (calls.to_vec(), step("drawn")["because"].to_string())
}

#[test]
fn another_template_or_system_message_asks_again_and_says_why() {
    let first = asked("{path: policy, chat: true}", str::to_owned);
    first.exec(&["-q"], 0);
    let plan = |bench: &Bench| foretold(&bench.flow(&["plan", "p.yaml", "--format", "json"]));
    assert_eq!(plan(&first).0, [0, 0]);
    let text = std::fs::read_to_string(first.path("p.yaml")).unwrap();
    let declared = |model: &str| {
        first.put("p.yaml", text.replace("{path: policy, chat: true}", model));
        plan(&first)
    };
    let (calls, reason) = declared("{path: policy, chat: true, system: Hm.}");
    assert_eq!(calls, [3, 1]);
    assert!(reason.contains("model `policy` from chat to chat, system"), "{reason}");
    let (calls, reason) = declared("{path: policy}");
    assert_eq!(calls, [3, 1]);
    assert!(reason.contains("model `policy` from chat to plain"), "{reason}");
    assert_eq!(declared("{chat: true, path: policy}").0, [0, 0]);

    let template = json!({"chat_template": TEMPLATE.replace("'a:'", "'b:'")});
    first.put("policy/tokenizer_config.json", template.to_string());
    let (calls, reason) = plan(&first);
    assert_eq!(calls, [3, 1]);
    assert!(reason.contains("tokenizer or chat template of model `policy` changed"), "{reason}");
}

#[test]
fn a_model_without_a_template_is_told_by_check() {
    let bench = asked("{path: policy, chat: true, system: Be brief.}", str::to_owned);
    let check = || bench.flow(&["check", "p.yaml"]);
    assert_eq!(check().code, 0);
    let refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}";
    bench.put("policy/tokenizer_config.json", json!({"chat_template": refusing}).to_string());
    check().says(&["error[E0625]", "p.yaml:3:", "no system", "some take no `system` message"]);
    bench.put("policy/tokenizer_config.json", "{}");
    let words = [
        "error[E0625]",
        "model `policy` cannot be asked by a chat template: `policy` has none",
        "trained to chat",
    ];
    check().says(&words);
    bench.exec(&[], 78).says(&words);
    // Where the folder is not here nothing can be said of it.
    std::fs::remove_dir_all(bench.path("policy")).unwrap();
    assert_eq!(check().code, 0);
}
