//! Chat templates: what they render to, in the Jinja that checkpoints carry.

use std::fs;
use std::path::{Path, PathBuf};

use flow_model::{Block, ChatTemplate, Checkpoint, Config, Error, Tokenizer};
use serde_json::{Map, Value, json};

fn render(source: &str, messages: Value, more: Value) -> Result<String, String> {
    let Value::Object(tokens) = json!({"bos_token": "<s>", "eos_token": "</s>"}) else { unreachable!() };
    let Value::Object(more) = more else { unreachable!() };
    let template = ChatTemplate::new(source, tokens, PathBuf::from("tokenizer_config.json"));
    template.compile().and_then(|chat| chat.render(&messages, true, &more)).map_err(|error| told(&error))
}

fn told(error: &Error) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}

fn turns() -> Value {
    json!([{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "1+1?"}])
}

#[test]
fn turns_are_marked_and_the_answer_is_asked_for() {
    let source = "{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
";
    let expected =
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(render(source, turns(), json!({})).as_deref(), Ok(expected));
}

#[test]
fn blocks_on_lines_of_their_own_leave_no_space_behind() {
    let source = "{{ bos_token }}\n{% for message in messages %}\n    {% if loop.first %}\nfirst\n    {% endif %}\n{{ message.content }}\n{% endfor %}\nend\n";
    assert_eq!(render(source, turns(), json!({})).as_deref(), Ok("<s>\nfirst\n Be brief. \n1+1?\nend"));
}

#[test]
fn state_is_kept_in_a_namespace_and_loops_can_be_left() {
    let source = "{% set ns = namespace(system='', n=0) %}{% for m in messages %}{% if m['role'] == 'system' %}\
                  {% set ns.system = m['content'] %}{% continue %}{% endif %}{% set ns.n = ns.n + 1 %}\
                  {% if ns.n > 1 %}{% break %}{% endif %}[{{ m.content }}]{% endfor %}{{ ns.system.strip() }}{{ eos_token }}";
    let messages = json!([{"role": "system", "content": " S "}, {"role": "user", "content": "a"}, {"role": "user", "content": "b"}]);
    assert_eq!(render(source, messages, json!({})).as_deref(), Ok("[a]S</s>"));
}

#[test]
fn a_template_may_refuse_a_conversation() {
    let source = "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
                  {{ raise_exception('roles must alternate') }}{% endif %}{{ message.content }}{% endfor %}";
    let error = render(source, turns(), json!({})).expect_err("a system turn comes first");
    assert!(error.starts_with("cannot use the chat template of tokenizer_config.json: "), "{error}");
    assert!(error.contains("roles must alternate"), "{error}");
    assert_eq!(render(source, json!([{"role": "user", "content": "a"}]), json!({})).as_deref(), Ok("a"));
}

#[test]
fn values_print_as_python_prints_them() {
    let tool =
        json!({"name": "add", "parameters": {"b": [1, 2.5], "a": null, "é": "<x> & 'y'"}, "strict": true});
    let more = json!({"tools": [tool], "flag": true});
    let cases = [
        (
            "{{ tools[0] | tojson }}",
            r#"{"name": "add", "parameters": {"b": [1, 2.5], "a": null, "é": "<x> & 'y'"}, "strict": true}"#,
        ),
        ("{{ tools[0].parameters.b | tojson(indent=4) }}", "[\n    1,\n    2.5\n]"),
        ("{{ flag }} {{ none }} {{ missing }}|{{ tools is defined }}", "True None |True"),
        ("{% for key, value in tools[0].items() %}{{ key }};{% endfor %}", "name;parameters;strict;"),
        (
            "{{ tools[0].get('name') }} {{ tools[0].get('other', 'no') }} {{ tools[0].get('x') is none }}",
            "add no True",
        ),
        (
            "{{ tools[0].keys() | list | length }}{{ tools[0].parameters.values() | list | last }}",
            "3<x> & 'y'",
        ),
        ("{{ strftime_now('%d %b %Y') }}, {{ strftime_now('%A %H:%M %%') }}", "26 Jul 2024, Friday 00:00 %"),
        ("{% generation %}kept{% endgeneration %} {%- generation -%} x {%- endgeneration %}", "keptx"),
        ("{{ messages[1:] | length }}{{ messages[-1].content }}", "11+1?"),
        (
            "{% for m in messages %}{{ loop.nextitem.role if loop.nextitem is defined else 'end' }} {% endfor %}",
            "user end ",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(render(source, turns(), more.clone()).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn texts_have_pythons_methods() {
    let cases = [
        (
            "' a b '.strip() + '|' + 'xxaxx'.strip('x') + '|' + ' a '.lstrip() + '|' + ' a '.rstrip()",
            "a b|a|a | a",
        ),
        ("'<think>a</think>b</think>c'.split('</think>')[-1]", "c"),
        (
            "'a-b-c'.split('-', 1)[1] + ' ' + 'a-b-c'.rsplit('-', 1)[0] + ' ' + ' a  b '.split()[1]",
            "b-c a-b b",
        ),
        ("'abc'.startswith('ab') and 'abc'.endswith(('x', 'c')) and not 'abc'.startswith('b')", "True"),
        (
            "'aXa'.replace('a', 'b') + 'aaa'.replace('a', 'b', 1) + 'aBc'.upper() + 'aBc'.lower()",
            "bXbbaaABCabc",
        ),
        ("'hello wORLD'.title() + 'hELLO'.capitalize()", "Hello WorldHello"),
        ("'éab'.find('b') ~ 'ab'.find('x') ~ 'aab'.count('a') ~ '12'.isdigit()", "2-12True"),
        ("', '.join(['a', 'b']) + 'pre-x'.removeprefix('pre-') + 'x.y'.removesuffix('.y')", "a, bxx"),
        ("'a\\nb'.splitlines() | length", "2"),
    ];
    for (source, expected) in cases {
        assert_eq!(
            render(&format!("{{{{ {source} }}}}"), turns(), json!({})).as_deref(),
            Ok(expected),
            "{source}"
        );
    }
    let error = render("{{ 'a'.format('b') }}", turns(), json!({})).expect_err("not one of them");
    assert!(error.contains("no method `format`"), "{error}");
}

/// The template that a folder with these files has, rendered.
fn of_folder(files: &[(&str, &str)]) -> Option<String> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    files.iter().for_each(|(name, text)| fs::write(dir.path().join(name), text).expect("writes"));
    let template = ChatTemplate::load(dir.path()).expect("loads")?;
    Some(template.compile().expect("is Jinja").render(&json!([]), false, &Map::new()).expect("renders"))
}

#[test]
fn templates_are_found_where_folders_keep_them() {
    let config = "tokenizer_config.json";
    assert_eq!(of_folder(&[]), None);
    assert_eq!(of_folder(&[(config, r#"{"eos_token": "</s>"}"#)]), None);
    let one = r#"{"chat_template": "one{{ eos_token }}", "eos_token": {"content": "</s>", "lstrip": false}}"#;
    assert_eq!(of_folder(&[(config, one)]).as_deref(), Some("one</s>"));
    let several =
        r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#;
    assert_eq!(of_folder(&[(config, several)]).as_deref(), Some("d"));
    assert_eq!(
        of_folder(&[(config, one), ("chat_template.jinja", "file{{ eos_token }}")]).as_deref(),
        Some("file</s>")
    );
}

#[test]
fn a_template_that_is_not_jinja_is_told_at_once() {
    let error = ChatTemplate::new("{% for %}", Map::new(), Path::new("x.jinja").into())
        .compile()
        .expect_err("no loop");
    assert!(
        told(&error).starts_with("cannot use the chat template of x.jinja: syntax error"),
        "{}",
        told(&error)
    );
}

/// ChatML, as SmolLM2 and Qwen2.5 have it.
const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

fn chatting(template: Option<&str>) -> Checkpoint {
    let specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let tokenizer = Tokenizer::train_byte_bpe(&["1+1=2"], 280, &specials).expect("trains");
    let template = template.map(|source| ChatTemplate::new(source, Map::new(), "memory".into()));
    let tokenizer = tokenizer.with_chat_template(template);
    let config = Config {
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 8,
        intermediate_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        head_dim: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 1e4,
        max_position_embeddings: 32,
        tie_word_embeddings: true,
        eos_token_ids: vec![0],
        bos_token_id: None,
        moe: None,
        block: Block::default(),
    };
    Checkpoint::init(config, tokenizer, 1).expect("is consistent")
}

#[test]
fn a_model_that_chats_keeps_its_template_and_ends_with_its_turns() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let load = |checkpoint: &Checkpoint, name: &str| {
        checkpoint.save(&dir.path().join(name)).expect("saves");
        Checkpoint::load(&dir.path().join(name)).expect("loads")
    };
    let plain = load(&chatting(None), "plain");
    assert_eq!(plain.config.eos_token_ids, [0]);
    assert!(!dir.path().join("plain/tokenizer_config.json").exists());

    let loaded = load(&chatting(Some(CHATML)), "chat");
    assert_eq!(loaded.config.eos_token_ids, [2, 0], "<|im_end|>, then <|endoftext|>");
    let again = load(&loaded, "again");
    assert_eq!(again.digest(), loaded.digest());
    let parts = |checkpoint: &Checkpoint| checkpoint.digests().parts;
    let other = load(&chatting(Some(&CHATML.replace("assistant", "model"))), "other");
    assert_ne!(other.digest(), loaded.digest());
    assert_eq!(parts(&other)[..2], parts(&loaded)[..2]);
    assert_ne!(parts(&other)[2], parts(&loaded)[2]);
}

#[test]
fn a_template_that_ends_no_turn_leaves_the_ends_as_they_are() {
    for template in
        ["{% for m in messages %}{{ m.content }}\n{% endfor %}", "{% for %}", "{{ raise_exception('no') }}"]
    {
        let checkpoint = chatting(Some(template));
        assert_eq!(
            checkpoint.config.clone().ending_turns(&checkpoint.tokenizer).eos_token_ids,
            [0],
            "{template}"
        );
    }
}
