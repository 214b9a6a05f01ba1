//! Checkpoints as folders: what loads, what comes back, what is refused and in which words.
#![allow(clippy::print_stdout, reason = "a test says when its data is absent")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use flow_model::{Checkpoint, Config, Error, Family, Moe, Tensor, Tokenizer, load_weights, names};
use safetensors::tensor::{Dtype, TensorView};

/// A file or folder of the shared test data, or nothing where it is not installed.
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(path);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
    }
    path.exists().then_some(path)
}

fn dense() -> Config {
    Config {
        vocab_size: 300,
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 32,
        tie_word_embeddings: true,
        eos_token_id: Some(0),
        bos_token_id: None,
        moe: None,
    }
}

fn with_experts(norm_topk_prob: bool, shared: Option<usize>) -> Config {
    let moe = Moe {
        num_experts: 3,
        experts_per_token: 2,
        norm_topk_prob,
        shared_expert_intermediate_size: shared,
        router_aux_loss_coef: 0.01,
        router_z_loss_coef: 0.001,
    };
    Config { moe: Some(moe), ..dense() }
}

fn tokenizer() -> Tokenizer {
    let texts = ["Ann has 12 pens.\nGets 7.", "Bob has 3 pens.", "Ann has pens"];
    Tokenizer::train_byte_bpe(&texts, 270, &["<|end|>"]).expect("the texts train")
}

fn checkpoint(config: Config) -> Checkpoint {
    Checkpoint::init(config, tokenizer(), 7).expect("the config is valid")
}

/// Saves a checkpoint, lets `spoil` change the folder, and returns the message of the failed load.
fn refused(spoil: impl Fn(&Path)) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    checkpoint(dense()).save(dir.path()).expect("saves");
    spoil(dir.path());
    Checkpoint::load(dir.path()).expect_err("the folder is spoilt").to_string()
}

fn edit_config(dir: &Path, key: &str, value: serde_json::Value) {
    let path = dir.join("config.json");
    let mut config: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("reads")).expect("parses");
    config[key] = value;
    fs::write(path, config.to_string()).expect("writes");
}

#[test]
fn a_saved_checkpoint_comes_back_equal_in_every_family() {
    let cases = [
        (dense(), Family::Llama),
        (Config { tie_word_embeddings: false, ..dense() }, Family::Llama),
        (with_experts(true, None), Family::Mixtral),
        (with_experts(false, None), Family::Qwen2Moe),
        (with_experts(true, Some(6)), Family::Qwen2Moe),
    ];
    for (config, family) in cases {
        assert_eq!(config.family(), family);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let saved = checkpoint(config);
        saved.save(dir.path()).expect("saves");
        let loaded = Checkpoint::load(dir.path()).expect("loads");
        assert_eq!(loaded.config, saved.config);
        assert_eq!(loaded.tensors, saved.tensors);
        assert_eq!(loaded.tokenizer.json(), saved.tokenizer.json());
        assert_eq!(loaded.digest(), saved.digest());
    }
}

#[test]
fn equal_checkpoints_are_written_as_equal_bytes() {
    let [a, b] = [0, 1].map(|_| tempfile::tempdir().expect("a temporary folder"));
    checkpoint(with_experts(true, None)).save(a.path()).expect("saves");
    checkpoint(with_experts(true, None)).save(b.path()).expect("saves");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let [a, b] = [&a, &b].map(|dir| fs::read(dir.path().join(file)).expect("reads"));
        assert!(a == b, "{file}");
    }
}

#[test]
fn the_digest_changes_with_config_weight_and_tokenizer() {
    let plain = checkpoint(dense());
    let mut weight = plain.clone();
    let mut data = weight.tensors[names::FINAL_NORM].data.to_vec();
    data[0] += 1e-6;
    weight.tensors.insert(names::FINAL_NORM.into(), Tensor::new([8], data));
    let config = Checkpoint { config: Config { rope_theta: 5e5, ..dense() }, ..plain.clone() };
    let other = Tokenizer::train_byte_bpe(&["abab"], 258, &["<|end|>"]).expect("trains");
    let tokens = Checkpoint { tokenizer: other, ..plain.clone() };
    for changed in [weight, config, tokens] {
        assert_ne!(changed.digest(), plain.digest());
    }
    assert_eq!(plain.digest(), plain.clone().digest());
}

#[test]
fn init_scales_what_writes_into_the_residual_stream() {
    let config = Config { hidden_size: 64, intermediate_size: 128, head_dim: 32, ..dense() };
    let start = checkpoint(config.clone());
    let std = |name: &str| {
        let data = &start.tensors[name].data;
        (data.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / data.len() as f64).sqrt()
    };
    let layer = names::layer(&config, 0);
    assert!((std(&layer.query) - 0.02).abs() < 0.001);
    assert!((std(&layer.output) - 0.01).abs() < 0.001, "0.02 / sqrt(2 * 2 layers)");
    assert!(start.tensors[&layer.attention_norm].data.iter().all(|x| *x == 1.0));
    let other = Checkpoint::init(config, tokenizer(), 8).expect("valid");
    assert_ne!(other.tensors[&layer.query], start.tensors[&layer.query]);
}

#[test]
fn a_damaged_folder_is_refused_in_words() {
    assert_eq!(
        refused(|dir| {
            let mut tensors = load_weights(dir, &dense()).expect("loads");
            tensors.remove("model.norm.weight");
            flow_model::save_weights(dir, &tensors).expect("saves");
        }),
        "tensor `model.norm.weight` is missing"
    );
    assert_eq!(
        refused(|dir| edit_config(dir, "intermediate_size", 13.into())),
        "tensor `model.layers.0.mlp.down_proj.weight` has the shape [8, 12], expected [8, 13]"
    );
    assert_eq!(
        refused(|dir| edit_config(dir, "num_hidden_layers", 1.into())),
        "tensor `model.layers.1.input_layernorm.weight` is not part of this architecture"
    );
    let cut = refused(|dir| {
        let path = dir.join("model.safetensors");
        let bytes = fs::read(&path).expect("reads");
        fs::write(path, &bytes[..bytes.len() - 3]).expect("writes");
    });
    assert!(cut.ends_with("model.safetensors is not a valid safetensors file"), "{cut}");
    let absent = refused(|dir| fs::remove_file(dir.join("tokenizer.json")).expect("removes"));
    assert!(absent.starts_with("cannot read ") && absent.ends_with("tokenizer.json"), "{absent}");
}

#[test]
fn what_is_not_supported_is_refused_in_words() {
    let cases = [
        (
            "model_type",
            "gpt2".into(),
            "unsupported architecture `gpt2`, supported are llama, mistral, mixtral, qwen2_moe",
        ),
        ("hidden_size", serde_json::Value::Null, "config key `hidden_size` is missing"),
        ("hidden_size", "8".into(), "config key `hidden_size` has the value \"8\", expected a whole number"),
        ("hidden_act", "gelu".into(), "config key `hidden_act` has the value \"gelu\", expected \"silu\""),
        ("attention_bias", true.into(), "config key `attention_bias` has the value true, expected false"),
        (
            "eos_token_id",
            serde_json::json!([1, 2]),
            "config key `eos_token_id` has the value [1,2], expected one token id",
        ),
        (
            "num_key_value_heads",
            3.into(),
            "config key `num_key_value_heads` has the value 3, expected a divisor of num_attention_heads, 2",
        ),
        (
            "rope_scaling",
            serde_json::json!({"factor": 2}),
            "config key `rope_scaling` has the value {\"factor\":2}, expected null",
        ),
    ];
    for (key, value, message) in cases {
        assert_eq!(refused(|dir| edit_config(dir, key, value.clone())), message);
    }
}

#[test]
fn a_tokenizer_with_too_many_tokens_is_refused_naming_both_numbers() {
    let small = Config { vocab_size: 260, ..dense() };
    let error = Checkpoint::init(small, tokenizer(), 1).expect_err("270 tokens do not fit 260 rows");
    let Error::TokenizerTooLarge { id, vocab_size, .. } = &error else { panic!("{error}") };
    assert_eq!((*id, *vocab_size), (269, 260));
    assert!(error.to_string().contains("id 269, the vocabulary has 260"), "{error}");
}

#[test]
fn a_tokenizer_with_fewer_tokens_fits_and_one_that_adds_unknown_ids_does_not() {
    let unused = dense().vocab_size - tokenizer().vocab_size();
    assert_eq!(unused, 30, "rows of the embedding that the other tests load without complaint");
    let begin = serde_json::json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [900], "tokens": ["<s>"]}}});
    let spoil = |dir: &Path| {
        let path = dir.join("tokenizer.json");
        let mut json: serde_json::Value = serde_json::from_str(tokenizer().json()).expect("JSON");
        json["post_processor"] = begin.clone();
        fs::write(path, json.to_string()).expect("writes");
    };
    assert_eq!(
        refused(spoil),
        "tokenizer does not fit the model: token `#900` has the id 900, the vocabulary has 300"
    );
}

#[test]
fn ids_of_special_tokens_are_below_the_vocabulary() {
    for key in ["eos_token_id", "bos_token_id"] {
        assert_eq!(
            refused(|dir| edit_config(dir, key, 300.into())),
            format!("config key `{key}` has the value 300, expected an id below vocab_size, 300")
        );
    }
}

#[test]
fn shards_and_half_precision_load() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let saved = checkpoint(dense());
    saved.save(dir.path()).expect("saves");
    fs::remove_file(dir.path().join("model.safetensors")).expect("removes");
    let mut weight_map = BTreeMap::new();
    for (i, (name, tensor)) in saved.tensors.iter().enumerate() {
        let file = format!("part-{}.safetensors", i % 2);
        weight_map.insert(name, (file, tensor));
    }
    for part in ["part-0.safetensors", "part-1.safetensors"] {
        let bytes: BTreeMap<_, Vec<u8>> = weight_map
            .iter()
            .filter(|(_, (file, _))| file == part)
            .map(|(name, (_, tensor))| {
                (*name, tensor.data.iter().flat_map(|x| bf16(*x).to_le_bytes()).collect())
            })
            .collect();
        let views: Vec<_> = bytes
            .iter()
            .map(|(name, bytes)| {
                (name, TensorView::new(Dtype::BF16, saved.tensors[*name].shape.clone(), bytes))
            })
            .map(|(name, view)| (name, view.expect("a view")))
            .collect();
        fs::write(dir.path().join(part), safetensors::serialize(views, None).expect("serialises"))
            .expect("writes");
    }
    let map: BTreeMap<_, _> = weight_map.iter().map(|(name, (file, _))| (name, file)).collect();
    let index = serde_json::json!({ "weight_map": map });
    fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).expect("writes");
    let loaded = Checkpoint::load(dir.path()).expect("loads");
    for (name, tensor) in &saved.tensors {
        let truncated: Vec<f32> =
            tensor.data.iter().map(|x| f32::from_bits(u32::from(bf16(*x)) << 16)).collect();
        assert_eq!(loaded.tensors[name].data[..], truncated[..], "{name}");
    }
}

/// The upper half of the bits: rounds towards zero.
fn bf16(value: f32) -> u16 {
    (value.to_bits() >> 16) as u16
}

#[test]
fn folders_of_other_makers_load() {
    for (model, parameters) in [("stories260k", 260_032), ("babyllama105", 0)] {
        let Some(dir) = shared(&format!("models/{model}/hf")) else { return };
        let loaded = Checkpoint::load(&dir).expect("loads");
        assert!(parameters == 0 || loaded.config.num_parameters() == parameters, "{model}");
    }
    for model in ["llama", "mistral", "mixtral"] {
        let Some(dir) = shared(&format!("reference_models/{model}")) else { return };
        let config = Config::load(&dir.join("config.json")).expect("the config loads");
        load_weights(&dir, &config).expect("the weights load");
    }
    let Some(dir) = shared("reference_models/qwen2_moe") else { return };
    let error = Config::load(&dir.join("config.json")).expect_err("attention biases are not supported");
    assert!(error.to_string().contains("qkv_bias"), "{error}");
}
