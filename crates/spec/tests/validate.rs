//! The checker and the types agree: a value is valid by a type's schema if and only if serde reads it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use flow_spec::{Node, Options, Place, Span, Value, read, unsupported, validate};
use proptest::prelude::*;
use proptest::test_runner::TestRng;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct Draws {
    model: String,
    n: NonZeroU32,
    #[serde(default)]
    temperature: f64,
    top_p: Option<f32>,
    seed: Option<u64>,
    small: Option<i8>,
    stop: Option<Stop>,
    #[serde(default)]
    logprobs: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only whether it can be read matters")]
enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct Training {
    moe: Option<Moe>,
    schedule: Schedule,
    init: Init,
    dtype: Dtype,
    weights: BTreeMap<String, f64>,
    quotas: BTreeMap<u8, f64>,
    range: Option<(u32, u32)>,
    inner: Vec<Moe>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct Moe {
    experts: NonZeroU32,
    shared: Option<u8>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
enum Schedule {
    /// With braces: serde ignores unknown keys beside the tag of a variant without them.
    Constant {},
    /// Falls along a cosine.
    Cosine {
        warmup: f64,
    },
    Steps {
        at: Vec<u32>,
        by: Option<f64>,
    },
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only whether it can be read matters")]
enum Init {
    Copy,
    Noise(f64),
    Mixed { share: f64, seed: u64 },
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Dtype {
    /// 32 bits.
    F32,
    /// 16 bits.
    Bf16,
}

fn draws() -> Vec<Json> {
    vec![
        json!({"model": "policy", "n": 4, "temperature": 0.5, "stop": "x", "logprobs": true}),
        json!({"model": "policy", "n": 1, "top_p": 1, "seed": u64::MAX, "stop": ["x", "y"], "small": -128}),
    ]
}

fn training() -> Vec<Json> {
    vec![
        json!({
            "moe": {"experts": 4, "shared": 1}, "schedule": {"kind": "cosine", "warmup": 0.1}, "init": "copy",
            "dtype": "bf16", "weights": {"a": 1.5, "b": 2}, "quotas": {"1": 0.5, "20": 1}, "range": [1, 5],
            "inner": [{"experts": 1}, {"experts": 2, "shared": null}],
        }),
        json!({
            "schedule": {"kind": "steps", "at": [1, 2], "by": 0.5}, "init": {"mixed": {"share": 1, "seed": 3}},
            "dtype": "f32", "weights": {}, "quotas": {}, "inner": [],
        }),
        json!({
            "moe": null, "schedule": {"kind": "constant"}, "init": {"noise": 0.5}, "dtype": "f32", "weights": {},
            "quotas": {}, "range": null, "inner": [],
        }),
    ]
}

fn node(json: &Json) -> Node {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value.into()),
            (None, Some(value)) => Value::Int(value.into()),
            (None, None) => Value::Float(number.as_f64().unwrap()),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::Seq(items.iter().map(node).collect()),
        Json::Object(map) => Value::Map(
            map.iter()
                .map(|(key, value)| flow_spec::Entry {
                    key: key.clone(),
                    key_span: Span::default(),
                    value: node(value),
                })
                .collect(),
        ),
    };
    Node::new(Span::default(), value)
}

/// Changes one place of `json`: another scalar, a key less, a key more, a key renamed, an item more or less. No list that
/// this makes in the place of a map is one that serde's structs would read by position.
fn mutate(json: &mut Json, rng: &mut TestRng) {
    let mut pick = |n: usize| (rng.next_u32() as usize) % n;
    match json {
        Json::Object(map) if !map.is_empty() && pick(3) > 0 => {
            let key = map.keys().nth(pick(map.len())).unwrap().clone();
            mutate(map.get_mut(&key).unwrap(), rng);
        }
        Json::Array(items) if !items.is_empty() && pick(3) > 0 => {
            let at = pick(items.len());
            mutate(&mut items[at], rng);
        }
        Json::Object(map) => match pick(4) {
            0 => drop(map.insert("extra".to_owned(), json!(1))),
            1 => drop(map.insert("7".to_owned(), json!(0.5))),
            choice => {
                let Some(key) = map.keys().nth(pick(map.len().max(1))).cloned() else { return };
                let value = map.shift_remove(&key).unwrap();
                if choice == 2 {
                    map.insert(format!("{key}x"), value);
                }
            }
        },
        Json::Array(items) => match pick(2) {
            0 => items.push(json!("more")),
            _ => drop(items.pop()),
        },
        scalar => {
            let others = [
                json!(null),
                json!(true),
                json!(0),
                json!(-1),
                json!(3),
                json!(300),
                json!(5_000_000_000u64),
                json!(0.5),
                json!(2.0),
                json!("copy"),
                json!("cosine"),
                json!("steps"),
                json!(""),
                json!([]),
                json!(["x"]),
                json!([1]),
                json!({"experts": 1}),
                json!({"noise": 1}),
                json!({"mixed": 1}),
            ];
            *scalar = others[pick(others.len())].clone();
        }
    }
}

fn mistakes<T: JsonSchema>(json: &Json) -> Vec<flow_spec::Diagnostic> {
    let schema = schemars::schema_for!(T).to_value();
    assert_eq!(unsupported(&schema), Vec::<String>::new());
    validate(&node(json), &schema, Place { what: None, span: Span::default() })
}

/// Whether serde reads it. A variant without data as a map with one null key is the only thing that it takes and the
/// schema does not; no mutation makes one.
fn readable<T: DeserializeOwned>(json: &Json) -> bool {
    serde_json::from_value::<T>(json.clone()).is_ok()
}

/// How often mutated samples were valid and not.
fn compare<T: DeserializeOwned + JsonSchema>(samples: &[Json]) -> [usize; 2] {
    let mut rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut seen = [0, 0];
    for sample in samples {
        assert!(readable::<T>(sample) && mistakes::<T>(sample).is_empty(), "{sample}");
        for round in 0..4000 {
            let mut json = sample.clone();
            (0..1 + round % 3).for_each(|_| mutate(&mut json, &mut rng));
            let found = mistakes::<T>(&json);
            assert_eq!(found.is_empty(), readable::<T>(&json), "{json}: {found:#?}");
            seen[usize::from(found.is_empty())] += 1;
        }
    }
    seen
}

#[test]
fn valid_is_what_serde_reads() {
    for [invalid, valid] in [compare::<Draws>(&draws()), compare::<Training>(&training())] {
        assert!(invalid > 500 && valid > 500, "both happen often: {invalid} invalid, {valid} valid");
    }
}

#[test]
fn every_mistake_of_a_value_is_found() {
    let json = json!({
        "moe": {"experts": 0, "shard": 1}, "schedule": {"kind": "cosine"}, "init": {"mixed": {"share": "x"}},
        "dtype": "f16", "weights": {"a": "b"}, "quotas": {"x": 1}, "range": [1], "inner": [{}, {"experts": []}],
    });
    let found: Vec<String> = mistakes::<Training>(&json).into_iter().map(|mistake| mistake.message).collect();
    assert_eq!(
        found,
        [
            "expected a number at least 1 for `moe.experts`, found `0`",
            "unknown key `shard` in `moe`",
            "missing key `warmup` in `schedule`",
            "expected a number for `init.mixed.share`, found text `x`",
            "missing key `seed` in `init.mixed`",
            "expected `f32` or `bf16` for `dtype`, found text `f16`",
            "expected a number for `weights.a`, found text `b`",
            "expected a whole number as a key of `quotas`, found `x`",
            "expected a list of 2 items for `range`, found 1",
            "missing key `experts` in `inner.0`",
            "expected an integer for `inner.1.experts`, found a list",
        ]
    );
}

#[test]
fn choices_name_the_branch_that_was_meant() {
    let of = |part: Json| {
        let mut json = training().remove(1);
        json.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        mistakes::<Training>(&json).into_iter().map(|mistake| mistake.message).collect::<Vec<_>>()
    };
    assert_eq!(of(json!({"init": "cpy"})), ["expected `copy` for `init`, found text `cpy`"]);
    assert_eq!(
        of(json!({"init": {"noize": 1}})),
        ["expected the key `noise` or `mixed` in `init`, found `noize`"]
    );
    assert_eq!(of(json!({"init": {}})), ["expected the key `noise` or `mixed` in `init`, found none"]);
    assert_eq!(
        of(json!({"init": 3})),
        ["expected `copy`, a map with `noise` or a map with `mixed` for `init`, found `3`"]
    );
    assert_eq!(
        of(json!({"schedule": {"kind": "stps", "at": []}})),
        ["expected `constant`, `cosine` or `steps` for `schedule.kind`, found text `stps`"]
    );
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC{0,80}|[a-z:{}\\[\\],&*!|>\"'#\\-<\\n\\t \\r]{0,60}") {
        let options = Options { set: vec![text.clone(), format!("a.b={text}")], ..Options::default() };
        let reading = read("any.yaml", &text, &options);
        for diagnostic in &reading.diagnostics {
            flow_spec::render(diagnostic, &reading.sources);
            flow_spec::to_json(diagnostic, &reading.sources);
        }
        prop_assert!(!reading.diagnostics.is_empty(), "no such text is a pipeline");
    }
}
