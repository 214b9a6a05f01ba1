//! Checkpoints as folders: what loads, what comes back, what is refused and in which words.
#![allow(clippy::print_stdout, reason = "a test says when its data is absent")]

mod int4;
mod ternary;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use flow_model::{
    Activation, AttentionExperts, Block, Checkpoint, Config, Dense, Error, Family, Folder, Moe, QkNorm, Rope,
    RopeScaling, Sliding, Tensor, Tensors, Ternary, Tokenizer, load_weights, names,
};
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
        eos_token_ids: vec![0],
        bos_token_id: None,
        moe: None,
        block: Block::default(),
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

const FAMILIES: [Family; 11] = [
    Family::Llama,
    Family::Mistral,
    Family::Qwen2,
    Family::Qwen3,
    Family::Gemma2,
    Family::Gemma3,
    Family::Mixtral,
    Family::Qwen2Moe,
    Family::Qwen3Moe,
    Family::Olmoe,
    Family::FlowMoe,
];

/// Models with the switches of each family on, and the family they are stored as.
fn switched() -> Vec<(Config, Family)> {
    let sliding = |layers: [bool; 2]| Some(Sliding { window: 5, layers: layers.into(), rope: None });
    let (head, whole) = (Some(QkNorm::Head), Some(QkNorm::Whole));
    let gemma = Block {
        activation: Activation::GeluTanh,
        gemma_norms: true,
        query_pre_attn_scalar: Some(3.0),
        sliding: sliding([true, false]),
        ..Block::default()
    };
    let local = Rope { theta: 99.0, scaling: RopeScaling::Linear { factor: 2.0 } };
    let gemma3 = Sliding { window: 5, layers: vec![false, true], rope: Some(local) };
    let dense_first = Some(Dense { layers: vec![true, false], intermediate_size: 20 });
    let llama3 =
        RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 16 };
    let yarn = RopeScaling::Yarn {
        factor: 4.0,
        original: 8,
        attention_factor: 1.1,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: false,
    };
    let dynamic = RopeScaling::Dynamic { factor: 2.0, original: 32 };
    let plain = Block::default;
    let dense_cases = [
        (
            Block { qkv_bias: true, output_bias: true, mlp_bias: true, rope_scaling: llama3, ..plain() },
            Family::Llama,
        ),
        (Block { rope_scaling: dynamic, activation: Activation::Gelu, ..plain() }, Family::Llama),
        (Block { sliding: sliding([true, true]), rope_scaling: yarn, ..plain() }, Family::Mistral),
        (Block { qkv_bias: true, sliding: sliding([false, true]), ..plain() }, Family::Qwen2),
        (Block { qk_norm: head, qkv_bias: true, output_bias: true, ..plain() }, Family::Qwen3),
        (
            Block {
                attn_logit_softcapping: Some(50.0),
                final_logit_softcapping: Some(30.0),
                ..gemma.clone()
            },
            Family::Gemma2,
        ),
        (Block { qk_norm: head, sliding: Some(gemma3), ..gemma }, Family::Gemma3),
        (Block { parallel: true, ..plain() }, Family::FlowMoe),
    ];
    let mixed = |shared_key_value, k| AttentionExperts { count: 3, shared_key_value, experts_per_token: k };
    let routed = Block { experts_top_p: Some(0.5), null_experts: 2, ..plain() };
    let bam = Block { parallel: true, attention_experts: Some(mixed(true, Some(2))), ..routed };
    let mote = Block { plain_shared_expert: true, ternary_experts: Some(Ternary::Latent), ..plain() };
    let moe_cases = [
        (false, None, bam, Family::FlowMoe),
        (true, None, Block { attention_experts: Some(mixed(false, None)), ..plain() }, Family::FlowMoe),
        (false, Some(12), mote, Family::FlowMoe),
        (true, Some(6), Block { router_bias_update_rate: Some(0.001), ..plain() }, Family::FlowMoe),
        (true, Some(6), Block { qk_norm: head, ..plain() }, Family::FlowMoe),
        (true, None, Block { qkv_bias: true, qk_norm: whole, null_experts: 2, ..plain() }, Family::FlowMoe),
        (true, None, Block { sliding: sliding([true, true]), ..plain() }, Family::Mixtral),
        (false, Some(6), Block { qkv_bias: true, dense: dense_first.clone(), ..plain() }, Family::Qwen2Moe),
        (true, None, Block { qk_norm: head, dense: dense_first, ..plain() }, Family::Qwen3Moe),
        (false, None, Block { qk_norm: whole, clip_qkv: Some(8.0), ..plain() }, Family::Olmoe),
    ];
    let of_dense = dense_cases.into_iter().map(|(block, family)| (Config { block, ..dense() }, family));
    let of_moe = moe_cases
        .into_iter()
        .map(|(normed, shared, block, family)| (Config { block, ..with_experts(normed, shared) }, family));
    of_dense.chain(of_moe).collect()
}

#[test]
fn every_missing_tensor_is_named() {
    for (config, family) in switched() {
        let whole = checkpoint(config);
        for name in whole.tensors.keys() {
            let mut tensors = whole.tensors.clone();
            tensors.remove(name);
            let error =
                Checkpoint::new(whole.config.clone(), tensors, tokenizer()).expect_err("one is missing");
            assert!(
                error.to_string().starts_with(&format!("tensor `{name}` is missing")),
                "{family:?}: {error}"
            );
        }
    }
}

#[test]
fn switches_that_no_family_has_together_are_refused() {
    let block = Block { clip_qkv: Some(8.0), ..Block::default() };
    let error = Checkpoint::init(Config { block, ..dense() }, tokenizer(), 1).expect_err("only OLMoE clips");
    assert!(error.to_string().contains("switches that one family has together"), "{error}");
    let several = Some(AttentionExperts { count: 2, shared_key_value: false, experts_per_token: None });
    for block in [
        Block { qkv_bias: true, attention_experts: several, ..Block::default() },
        Block { qk_norm: Some(QkNorm::Head), attention_experts: several, ..Block::default() },
    ] {
        let config = Config { block, ..with_experts(true, None) };
        let error = Checkpoint::init(config, tokenizer(), 1).expect_err("one attention has them");
        assert!(error.to_string().contains("`attention_experts`"), "{error}");
    }
}

#[test]
fn ways_of_choosing_experts_need_experts() {
    for block in [
        Block { null_experts: 2, ..Block::default() },
        Block { experts_top_p: Some(0.5), ..Block::default() },
        Block { router_bias_update_rate: Some(0.001), ..Block::default() },
    ] {
        let error =
            Checkpoint::init(Config { block, ..dense() }, tokenizer(), 1).expect_err("there are none");
        assert!(error.to_string().contains("without experts"), "{error}");
    }
}

/// Configs as families write them, older and newer, and what they say.
#[test]
fn older_and_newer_files_say_the_same() {
    let read = |model_type: &str, keys: &[(&str, serde_json::Value)]| {
        let mut value = dense().to_json();
        for key in ["rope_theta", "head_dim", "tie_word_embeddings"] {
            value.as_object_mut().expect("an object").remove(key);
        }
        value["model_type"] = model_type.into();
        keys.iter().for_each(|(key, given)| value[*key] = given.clone());
        Config::from_json(&value).expect("reads")
    };
    let json = |text: &str| serde_json::from_str(text).expect("JSON");
    let llama3 = r#"{"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16, "rope_type": "llama3"}"#;
    let old = read("llama", &[("rope_theta", 5e5.into()), ("rope_scaling", json(llama3))]);
    let new =
        read("llama", &[("rope_parameters", json(&llama3.replacen('{', r#"{"rope_theta": 500000.0, "#, 1)))]);
    assert_eq!(old, new);
    assert_eq!(old.rope_theta, 5e5);
    assert!(matches!(old.block.rope_scaling, RopeScaling::Llama3 { original: 16, .. }));

    let linear = r#"{"factor": 8.0, "rope_type": "linear"}"#;
    let old = read("gemma3_text", &[("rope_scaling", json(linear)), ("sliding_window", 9.into())]);
    let kinds = r#"{"full_attention": {"factor": 8.0, "rope_type": "linear", "rope_theta": 1000000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}"#;
    let types = r#"["sliding_attention", "sliding_attention"]"#;
    let new = [("rope_parameters", json(kinds)), ("layer_types", json(types)), ("sliding_window", 9.into())];
    assert_eq!(old, read("gemma3_text", &new));
    assert_eq!((old.head_dim, old.tie_word_embeddings, old.rope_theta), (256, true, 1e6));
    assert_eq!(old.block.sliding.and_then(|sliding| sliding.rope), Some(Rope::plain(1e4)));

    assert_eq!(
        read("gemma2", &[]).block.sliding.map(|s| (s.window, s.layers)),
        Some((4096, vec![true, false]))
    );
    let caps = |keys: &[(&str, serde_json::Value)]| {
        let block = read("gemma2", keys).block;
        (block.attn_logit_softcapping, block.final_logit_softcapping)
    };
    let none = serde_json::Value::Null;
    assert_eq!(caps(&[]), (Some(50.0), Some(30.0)));
    assert_eq!(
        caps(&[("attn_logit_softcapping", none.clone()), ("final_logit_softcapping", none)]),
        (None, None)
    );
    assert_eq!(read("mistral", &[("sliding_window", 8.into())]).block.window(1), Some(8));
    assert_eq!(read("mistral", &[]).block.sliding, None, "4096 is beyond the longest sequence");
    let windows =
        [("use_sliding_window", true.into()), ("sliding_window", 8.into()), ("max_window_layers", 1.into())];
    let qwen = read("qwen2", &windows);
    assert_eq!([qwen.block.window(0), qwen.block.window(1)], [None, Some(8)]);
    assert_eq!(read("qwen2", &windows[1..]).block.sliding, None, "the flag is off");
    let experts =
        [("num_experts", 3.into()), ("num_experts_per_tok", 2.into()), ("moe_intermediate_size", 6.into())];
    let sparse = [&experts[..], &[("decoder_sparse_step", 2.into())]].concat();
    assert_eq!(read("qwen3_moe", &sparse).block.dense.map(|dense| dense.layers), Some(vec![true, false]));
    let named = [&experts[..], &[("mlp_only_layers", serde_json::json!([1]))]].concat();
    assert_eq!(read("qwen3_moe", &named).block.dense.map(|dense| dense.layers), Some(vec![false, true]));
    assert!(!read("qwen3_moe", &experts).moe.expect("experts").norm_topk_prob);
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
    let cases = cases.into_iter().chain(switched());
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
        let folder = Folder::open(dir.path()).expect("opens");
        assert_eq!(folder.digest().expect("is read"), saved.digest());
        assert_eq!(saved.digests().whole, saved.digest());
        assert_eq!(folder.digests().expect("is read"), saved.digests());
    }
}

#[test]
fn a_tensor_of_many_megabytes_comes_in_whole_rows_and_in_order() {
    let (hidden_size, rows) = (1_000, 3_001);
    let config = Config { vocab_size: rows, hidden_size, ..dense() };
    let saved = checkpoint(config);
    let dir = tempfile::tempdir().expect("a temporary folder");
    saved.save(dir.path()).expect("saves");
    let folder = Folder::open(dir.path()).expect("opens");
    let (mut read, mut pieces) = (Vec::new(), 0);
    let take = &mut |numbers: &[f32]| {
        assert!(numbers.len().is_multiple_of(hidden_size) && numbers.len() <= 1 << 18);
        read.extend_from_slice(numbers);
        pieces += 1;
    };
    folder.tensors.read(names::EMBEDDING, take).expect("is read");
    assert!(pieces > 10);
    assert!(read[..] == saved.tensors[names::EMBEDDING].data[..]);
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
    assert!((std(&layer.queries[0]) - 0.02).abs() < 0.001);
    assert!((std(&layer.outputs[0]) - 0.01).abs() < 0.001, "0.02 / sqrt(2 * 2 layers)");
    assert!(start.tensors[&layer.attention_norm].data.iter().all(|x| *x == 1.0));
    let other = Checkpoint::init(config, tokenizer(), 8).expect("valid");
    assert_ne!(other.tensors[&layer.queries[0]], start.tensors[&layer.queries[0]]);
}

#[test]
fn a_damaged_folder_is_refused_in_words() {
    assert_eq!(
        refused(|dir| {
            let mut tensors = load_weights(dir, &dense()).expect("loads");
            tensors.remove("model.norm.weight");
            flow_model::save_weights(dir, &dense(), &tensors).expect("saves");
        }),
        "tensor `model.norm.weight` is missing"
    );
    assert_eq!(
        refused(|dir| edit_config(dir, "intermediate_size", 13.into())),
        "tensor `model.layers.0.mlp.down_proj.weight` has the shape [8, 12], expected [8, 13]"
    );
    assert_eq!(
        refused(|dir| edit_config(dir, "num_hidden_layers", 1.into())),
        "tensor `model.layers.1.input_layernorm.weight` is not part of this architecture, is `num_hidden_layers` or `model_type` of config.json another?"
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
            "unsupported architecture `gpt2`, supported are llama, mistral, qwen2, qwen3, gemma2, gemma3_text, mixtral, qwen2_moe, \
             qwen3_moe, olmoe, flow_moe",
        ),
        ("hidden_size", serde_json::Value::Null, "config key `hidden_size` is missing"),
        ("hidden_size", "8".into(), "config key `hidden_size` has the value \"8\", expected a whole number"),
        (
            "hidden_act",
            "relu".into(),
            "config key `hidden_act` has the value \"relu\", expected silu, gelu_pytorch_tanh, gelu, swish, gelu_new",
        ),
        (
            "attention_bias",
            true.into(),
            "tensor `model.layers.0.self_attn.k_proj.bias` is missing, although `attention_bias` of config.json, or the family, calls for it",
        ),
        (
            "eos_token_id",
            serde_json::json!([1, "</s>"]),
            "config key `eos_token_id` has the value [1,\"</s>\"], expected a token id or a list of them",
        ),
        (
            "num_key_value_heads",
            3.into(),
            "config key `num_key_value_heads` has the value 3, expected a divisor of num_attention_heads, 2",
        ),
        ("rope_scaling", serde_json::json!({"factor": 2}), "config key `rope_scaling.rope_type` is missing"),
        (
            "rope_scaling",
            serde_json::json!({"rope_type": "longrope", "factor": 2}),
            "config key `rope_scaling.rope_type` has the value \"longrope\", expected default, linear, dynamic, llama3 or yarn",
        ),
        (
            "rope_parameters",
            serde_json::json!({"rope_type": "llama3", "factor": 8.0, "rope_theta": 5e5, "low_freq_factor": 1}),
            "config key `rope_parameters.high_freq_factor` is missing",
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
fn tokens_that_were_added_beyond_the_embedding_are_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    checkpoint(dense()).save(dir.path()).expect("saves");
    let path = dir.path().join("tokenizer.json");
    let mut json: serde_json::Value = serde_json::from_str(tokenizer().json()).expect("JSON");
    let image = serde_json::json!({"id": 300, "content": "<image>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true});
    json["added_tokens"].as_array_mut().expect("a list").push(image);
    fs::write(path, json.to_string()).expect("writes");
    let loaded = Checkpoint::load(dir.path()).expect("loads");
    assert_eq!(loaded.tokenizer.encode("Ann").expect("encodes"), tokenizer().encode("Ann").expect("encodes"));
}

#[test]
fn ids_of_special_tokens_are_below_the_vocabulary() {
    let error = Config { eos_token_ids: vec![0, 300], ..dense() }.validate().expect_err("300 is too large");
    let message = "config key `eos_token_id` has the value 300, expected an id below vocab_size, 300";
    assert_eq!(error.to_string(), message);
    let mut value = dense().to_json();
    (value["eos_token_id"], value["bos_token_id"]) = (serde_json::json!([299, 300, -1]), 300.into());
    let read = Config::from_json(&value).expect("ids that cannot be drawn are dropped");
    assert_eq!((read.eos_token_ids, read.bos_token_id), (vec![299], None));
}

#[test]
fn tokens_that_end_a_turn_are_read_from_the_generation_config_too() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let saved = checkpoint(dense());
    saved.save(dir.path()).expect("saves");
    fs::write(dir.path().join("generation_config.json"), r#"{"eos_token_id": [7, 0, 999]}"#).expect("writes");
    let loaded = Checkpoint::load(dir.path()).expect("loads");
    assert_eq!(loaded.config.eos_token_ids, [0, 7]);
    assert_ne!(loaded.digest(), saved.digest(), "other texts end, so draws are others");
    loaded.save(dir.path()).expect("saves");
    fs::remove_file(dir.path().join("generation_config.json")).expect("removes");
    assert_eq!(Checkpoint::load(dir.path()).expect("loads").digest(), loaded.digest());
}

#[test]
fn the_base_model_has_the_digest_under_which_its_draws_are_kept() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/arith-tiny");
    let digest = Checkpoint::load(&path).expect("part of the repository").digest();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "2d61c8d8948a4eff972c3818a9aa07e7");
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
    for family in FAMILIES {
        let Some(dir) = shared(&format!("reference_models/{}", family.model_type())) else { return };
        let config = Config::of_folder(&dir).expect("the config loads");
        // Without a window, Mistral is Llama.
        let stored_as = if family == Family::Mistral { Family::Llama } else { family };
        assert_eq!(config.family(), stored_as);
        assert_eq!(Config::from_json(&config.to_json()).expect("comes back"), config);
        load_weights(&dir, &config).expect("the weights load");
    }
}
