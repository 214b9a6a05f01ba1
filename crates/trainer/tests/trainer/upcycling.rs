//! A mixture of experts computes what its dense models compute, where its method promises it, until it learns.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use flow_model::{Block, Checkpoint, Config, Family, ternary};
use flow_trainer::{
    Error, From, Gate, Merge, MoeUpcycle, Part, Prompts, TrainConfig, logits, merge, train, unstorable,
    upcycle,
};

use crate::common;

fn settings() -> Vec<MoeUpcycle> {
    let plain = MoeUpcycle::default();
    vec![
        MoeUpcycle { experts: 1, experts_per_token: 1, ..plain.clone() },
        MoeUpcycle { experts_per_token: 1, ..plain.clone() },
        MoeUpcycle { experts: 5, experts_per_token: 3, ..plain.clone() },
        MoeUpcycle { shared_expert: true, ..plain.clone() },
        MoeUpcycle { bias_update_rate: Some(0.001), ..plain.clone() },
        MoeUpcycle {
            from: From::FineGrained { slices: 4 },
            experts: 8,
            experts_per_token: 4,
            ..plain.clone()
        },
        MoeUpcycle {
            from: From::FineGrained { slices: 4 },
            experts: 12,
            experts_per_token: 8,
            ..plain.clone()
        },
        MoeUpcycle {
            from: From::FineGrained { slices: 4 },
            experts: 9,
            experts_per_token: 3,
            shared_expert: true,
            ..plain.clone()
        },
        plain,
    ]
}

#[test]
fn logits_equal_those_of_the_dense_model() {
    let dense = common::checkpoint(common::dense(), 1);
    let documents = vec![(0..40).collect(), vec![7, 7, 270]];
    let expected = logits(&dense, &documents).expect("logits").concat();
    let size = expected.iter().fold(0f32, |a, b| a.max(b.abs()));
    for settings in settings() {
        let mixture = upcycle(&[&dense], &settings, 5).expect("upcycles");
        let found = logits(&mixture, &documents).expect("logits").concat();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5 * size, "{found} {expected}");
        }
    }
}

/// The mean over texts of the mean over tokens of `row`, of length 1.
fn mean_row(model: &Checkpoint, texts: &[String], row: impl Fn(usize) -> Vec<f64>) -> Vec<f64> {
    let mut sum = vec![0.0; model.config.hidden_size];
    for text in texts {
        let tokens = model.tokenizer.encode(text).expect("encodes");
        for token in &tokens {
            sum.iter_mut().zip(row(*token as usize)).for_each(|(sum, x)| *sum += x / tokens.len() as f64);
        }
    }
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    sum.iter().map(|x| x / length).collect()
}

#[test]
fn routers_begin_with_what_texts_look_like() {
    // The first layer of a parallel block reads the normed embedding, whatever attention does.
    let block = Block { parallel: true, ..Block::default() };
    let dense = common::checkpoint(Config { block, ..common::dense() }, 1);
    let texts: Vec<Vec<String>> = [&["one two", "three"][..], &["4 + 4 ="], &["four four one"]]
        .map(|texts| texts.iter().map(|text| text.to_string()).collect())
        .to_vec();
    let width = dense.config.hidden_size;
    let embedding = &dense.tensors["model.embed_tokens.weight"].data;
    let embedded = |token: usize| -> Vec<f64> {
        embedding[token * width..][..width].iter().map(|x| f64::from(*x)).collect()
    };
    let scale = &dense.tensors["model.layers.0.input_layernorm.weight"].data;
    let normed = |token: usize| -> Vec<f64> {
        let x = embedded(token);
        let root = (x.iter().map(|x| x * x).sum::<f64>() / width as f64 + dense.config.rms_norm_eps).sqrt();
        x.iter().zip(scale.iter()).map(|(x, w)| x / root * f64::from(*w)).collect()
    };
    let settings = |gate| MoeUpcycle { experts: 3, null_experts: 1, gate, ..MoeUpcycle::default() };
    let routers = |gate| {
        let mixture = upcycle(&[&dense], &settings(gate), 5).expect("upcycles");
        [0, 1].map(|i| mixture.tensors[&format!("model.layers.{i}.mlp.gate.weight")].data.to_vec())
    };
    let close = |found: &[f32], expected: &[f64]| {
        found.iter().zip(expected).all(|(found, expected)| (f64::from(*found) - expected).abs() < 1e-5)
    };
    let [random, hidden, embeds] =
        [Gate::Random, Gate::Hidden(prompts(&texts)), Gate::CheapEmbed(prompts(&texts))].map(routers);
    for (e, texts) in texts.iter().enumerate() {
        let row = |router: &Vec<f32>| router[e * width..][..width].to_vec();
        assert!(close(&row(&hidden[0]), &mean_row(&dense, texts, normed)));
        assert!(!close(&row(&hidden[1]), &mean_row(&dense, texts, normed)));
        let length = row(&hidden[1]).iter().map(|x| x * x).sum::<f32>();
        assert!((length - 1.0).abs() < 1e-5);
        for embeds in &embeds {
            assert!(close(&row(embeds), &mean_row(&dense, texts, embedded)));
        }
    }
    for i in 0..2 {
        let null = |routers: &[Vec<f32>; 2]| routers[i][3 * width..].to_vec();
        assert_eq!((null(&hidden), null(&embeds)), (null(&random), null(&random)));
    }
    let few = upcycle(&[&dense], &settings(Gate::Hidden(prompts(&texts[..2]))), 5).expect_err("too few");
    assert!(
        few.to_string().contains("`positive_prompts` has the value 2, expected texts for 3 experts"),
        "{few}"
    );
}

/// Experts that are for these texts, and against none.
fn prompts(texts: &[Vec<String>]) -> Vec<Prompts> {
    texts.iter().map(|texts| Prompts { positive: texts.clone(), ..Prompts::default() }).collect()
}

#[test]
fn routers_turn_away_from_what_an_expert_is_not_for() {
    let dense = common::checkpoint(common::dense(), 1);
    let texts = [vec!["one two".to_owned(), "three".to_owned()], vec!["four + 4".to_owned()]];
    let rows = |gate| {
        let settings = MoeUpcycle { experts: 2, gate, ..MoeUpcycle::default() };
        let mixture = upcycle(&[&dense], &settings, 5).expect("upcycles");
        mixture.tensors["model.layers.1.block_sparse_moe.gate.weight"].data.to_vec()
    };
    let width = dense.config.hidden_size;
    for kind in [Gate::Hidden as fn(Vec<Prompts>) -> Gate, Gate::CheapEmbed] {
        let against = |a: usize, b: usize| Prompts { positive: texts[a].clone(), negative: texts[b].clone() };
        let turned = rows(kind(vec![against(0, 1), against(1, 0)]));
        let (first, second) = turned.split_at(width);
        assert!(first.iter().zip(second).all(|(a, b)| (a + b).abs() < 1e-6), "one difference, both ways");
        let plain = rows(kind(prompts(&texts)));
        let along = |row: &[f32], other: &[f32]| row.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
        assert!(along(first, &plain[..width]) > 0.0 && along(first, &plain[width..]) < 0.0);
        assert!((along(first, first) - 1.0).abs() < 1e-5);
    }
}

#[test]
fn routers_of_attentions_begin_with_what_attention_reads() {
    let block = Block { parallel: true, ..Block::default() };
    let [dense, other] =
        [1, 2].map(|seed| common::checkpoint(Config { block: block.clone(), ..common::dense() }, seed));
    let texts = [vec!["one two".to_owned()], vec!["four + 4".to_owned()]];
    let bam = From::Bam { shared_key_value: false, attention_experts_per_token: None };
    let joined = |gate| {
        let settings =
            MoeUpcycle { from: bam, experts: 2, experts_per_token: 1, gate, ..MoeUpcycle::default() };
        upcycle(&[&dense, &other], &settings, 5).expect("upcycles").tensors
    };
    let (given, chance) = (joined(Gate::Hidden(prompts(&texts))), joined(Gate::Random));
    for i in 0..2 {
        let [of_attentions, of_experts] =
            [format!("model.layers.{i}.self_attn.gate.weight"), format!("model.layers.{i}.mlp.gate.weight")];
        // Both read one norm where the blocks are parallel.
        assert_eq!(given[&of_attentions].data, given[&of_experts].data);
        assert_ne!(given[&of_attentions].data, chance[&of_attentions].data);
    }
}

#[test]
fn slices_of_a_set_begin_with_one_row_and_the_mean_of_several_models_reads() {
    let dense = common::checkpoint(common::dense(), 1);
    let other = common::checkpoint(common::dense(), 2);
    let texts = vec![vec!["one".to_owned()], vec!["four + 4".to_owned()]];
    let gate = Gate::Hidden(prompts(&texts));
    let sets = MoeUpcycle {
        from: From::FineGrained { slices: 4 },
        experts: 8,
        experts_per_token: 4,
        gate: gate.clone(),
        ..MoeUpcycle::default()
    };
    let documents = vec![(0..40).collect()];
    let sliced = upcycle(&[&dense], &sets, 5).expect("upcycles");
    let (found, expected) =
        [&sliced, &dense].map(|model| logits(model, &documents).expect("logits").concat()).into();
    let size = expected.iter().fold(0f32, |a, b| a.max(b.abs()));
    assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5 * size));
    let mean = merge(&[&dense, &other], &Merge::Uniform, None).expect("merges");
    let one_by_one = |from, models: &[&Checkpoint]| {
        let settings = MoeUpcycle { from, experts: 2, gate: gate.clone(), ..MoeUpcycle::default() };
        upcycle(models, &settings, 5).expect("upcycles")
    };
    let together = one_by_one(From::Btx, &[&dense, &other]);
    let (copies, copied) = (one_by_one(From::Copy, &[&mean]), one_by_one(From::Copy, &[&dense]));
    let router = "model.layers.1.block_sparse_moe.gate.weight";
    assert_eq!(together.tensors[router], copies.tensors[router]);
    let width = dense.config.hidden_size;
    for (e, row) in sliced.tensors[router].data.chunks(width).enumerate() {
        assert_eq!(row, &copied.tensors[router].data[e / 4 * width..][..width]);
    }
}

#[test]
fn a_mixture_is_saved_as_its_family_and_comes_back() {
    let dense = common::checkpoint(common::dense(), 1);
    for (shared_expert, family) in [(false, Family::Mixtral), (true, Family::Qwen2Moe)] {
        let mixture =
            upcycle(&[&dense], &MoeUpcycle { shared_expert, ..MoeUpcycle::default() }, 5).expect("upcycles");
        assert_eq!(mixture.config.family(), family);
        let dir = tempfile::tempdir().expect("a temporary folder");
        mixture.save(dir.path()).expect("saves");
        assert_eq!(flow_model::Checkpoint::load(dir.path()).expect("loads").digest(), mixture.digest());
    }
}

#[test]
fn what_a_family_has_beyond_llama_goes_over_to_its_mixture_or_is_refused() {
    let [biased, llama3, mistral, qwen2, qwen3, ..] = &common::families()[..] else {
        panic!("five and more")
    };
    let shared = MoeUpcycle { shared_expert: true, ..MoeUpcycle::default() };
    let biased_routers = MoeUpcycle { bias_update_rate: Some(0.001), ..MoeUpcycle::default() };
    let documents = vec![(0..40).collect(), vec![7, 7, 270]];
    let cases = [
        (llama3, MoeUpcycle::default(), Family::Mixtral),
        (mistral, MoeUpcycle::default(), Family::Mixtral),
        (qwen2, MoeUpcycle::default(), Family::Qwen2Moe),
        (qwen2, shared.clone(), Family::Qwen2Moe),
        (qwen2, biased_routers.clone(), Family::FlowMoe),
        (qwen3, MoeUpcycle::default(), Family::Qwen3Moe),
        (qwen3, shared, Family::FlowMoe),
    ];
    for (config, settings, family) in cases {
        let dense = common::checkpoint(config.clone(), 1);
        let mixture = upcycle(&[&dense], &settings, 5).expect("upcycles");
        assert_eq!(mixture.config.family(), family);
        let (found, expected) =
            [&mixture, &dense].map(|model| logits(model, &documents).expect("logits").concat()).into();
        let size = expected.iter().fold(0f32, |a, b| a.max(b.abs()));
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5 * size), "{family:?}");
        let btx = MoeUpcycle { from: From::Btx, experts: 2, ..MoeUpcycle::default() };
        let together = upcycle(&[&dense, &dense], &btx, 5).expect("upcycles");
        assert_eq!(together.config.block, dense.config.block);
    }
    let refused = |config: &Config, settings: &MoeUpcycle| {
        upcycle(&[&common::checkpoint(config.clone(), 1)], settings, 5).expect_err("refused").to_string()
    };
    let none = "no family of checkpoints has experts of this kind";
    let message = refused(biased, &MoeUpcycle::default());
    assert!(message.starts_with(none) && message.contains("biases of feed-forward blocks"), "{message}");
    let message = refused(mistral, &biased_routers);
    assert!(message.starts_with(none) && message.contains("`mistral` checkpoint has: sliding"), "{message}");
    assert_eq!(unstorable(mistral, &biased_routers), Some(message));
    let joined = MoeUpcycle { from: From::Btx, experts: 4, experts_per_token: 3, ..MoeUpcycle::default() };
    assert_eq!([qwen3, mistral].map(|config| unstorable(config, &joined)), [None, None]);
    let start = common::checkpoint(qwen3.clone(), 1);
    let bam = From::Bam { shared_key_value: false, attention_experts_per_token: None };
    let settings = MoeUpcycle { from: bam, experts: 2, experts_per_token: 1, ..MoeUpcycle::default() };
    let message = upcycle(&[&start, &start], &settings, 5).expect_err("refused").to_string();
    assert!(message.starts_with(none) && message.contains("norms of queries and keys"), "{message}");
    let mote = From::Mote { int4_shared_expert: true };
    let settings = MoeUpcycle { from: mote, experts_per_token: 1, ..MoeUpcycle::default() };
    let config = TrainConfig { max_steps: Some(2), max_length: 32, ..TrainConfig::default() };
    let ternary = upcycle(&[&start], &settings, 5).expect("upcycles");
    let end = train(&ternary, &common::sums(20), &config, &mut |_| ControlFlow::Continue(()));
    assert_eq!(end.expect("trains").checkpoint.config.family(), Family::FlowMoe);
}

#[test]
fn experts_drift_apart_in_training() {
    let dense = common::checkpoint(common::dense(), 1);
    let mixture = upcycle(&[&dense], &MoeUpcycle::default(), 5).expect("upcycles");
    let config = TrainConfig { max_steps: Some(3), max_length: 32, ..TrainConfig::default() };
    let end =
        train(&mixture, &common::sums(40), &config, &mut |_| ControlFlow::Continue(())).expect("trains");
    let expert = |e: usize| format!("model.layers.0.block_sparse_moe.experts.{e}.w1.weight");
    assert_eq!(mixture.tensors[&expert(0)], mixture.tensors[&expert(1)]);
    assert_ne!(end.checkpoint.tensors[&expert(0)], end.checkpoint.tensors[&expert(1)]);
}

#[test]
fn the_seed_decides_the_router_only() {
    let dense = common::checkpoint(common::dense(), 1);
    let [a, b, c] = [5, 5, 6].map(|seed| upcycle(&[&dense], &MoeUpcycle::default(), seed).expect("upcycles"));
    assert_eq!(a.digest(), b.digest());
    let different: Vec<&String> =
        a.tensors.keys().filter(|name| a.tensors[*name] != c.tensors[*name]).collect();
    assert_eq!(
        different,
        ["model.layers.0.block_sparse_moe.gate.weight", "model.layers.1.block_sparse_moe.gate.weight"]
    );
}

#[test]
fn a_mixture_cannot_be_upcycled_again() {
    let dense = common::checkpoint(common::dense(), 1);
    let mixture = upcycle(&[&dense], &MoeUpcycle::default(), 5).expect("upcycles");
    let error = upcycle(&[&mixture], &MoeUpcycle::default(), 5).expect_err("refused");
    assert!(matches!(error, Error::NotDense { experts: 4 }));
    let too_many = MoeUpcycle { experts: 2, experts_per_token: 3, ..MoeUpcycle::default() };
    let message = upcycle(&[&dense], &too_many, 5).expect_err("refused").to_string();
    assert_eq!(message, "training setting `experts_per_token` has the value 3, expected 1 to 2");
}

/// Three models of one seed that have gone their own ways.
fn branches(block: Block) -> Vec<Checkpoint> {
    let seed = common::checkpoint(Config { block, ..common::dense() }, 1);
    let branch = |by: u64| {
        let mut branch = seed.clone();
        for (name, tensor) in &mut branch.tensors {
            let away = flow_model::Tensor::normal(by, name, tensor.shape.clone(), 0.1);
            let data: Vec<f32> = tensor.data.iter().zip(away.data.iter()).map(|(a, b)| a + b).collect();
            *tensor = flow_model::Tensor::new(tensor.shape.clone(), data);
        }
        branch
    };
    (1..4).map(branch).collect()
}

fn parallel() -> Block {
    Block { parallel: true, ..Block::default() }
}

fn bam(shared_key_value: bool) -> From {
    From::Bam { shared_key_value, attention_experts_per_token: None }
}

/// The methods that take several models, with probabilities divided by their sum.
fn several() -> Vec<MoeUpcycle> {
    let of = |from, experts_per_token| MoeUpcycle {
        from,
        experts: 3,
        experts_per_token,
        norm_topk_prob: Some(true),
        ..MoeUpcycle::default()
    };
    vec![of(From::Btx, 1), of(From::Btx, 2), of(bam(false), 1), of(bam(true), 1)]
}

#[test]
fn mixtures_of_equal_models_compute_what_the_models_compute() {
    let documents = vec![(0..40).collect(), vec![7, 7, 270]];
    for block in [Block::default(), parallel()] {
        let dense = &branches(block)[0];
        let expected = logits(dense, &documents).expect("logits").concat();
        let size = expected.iter().fold(0f32, |a, b| a.max(b.abs()));
        for settings in several() {
            let mixture = upcycle(&[dense, dense, dense], &settings, 5).expect("upcycles");
            let found = logits(&mixture, &documents).expect("logits").concat();
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5 * size, "{:?}: {found} {expected}", settings.from);
            }
        }
    }
}

#[test]
fn mixtures_keep_each_models_experts_and_the_mean_of_the_rest() {
    let models = branches(parallel());
    let models: Vec<&Checkpoint> = models.iter().collect();
    let mean = |name: &str, i: usize| {
        models.iter().map(|model| f64::from(model.tensors[name].data[i])).sum::<f64>() / 3.0
    };
    for settings in several() {
        let mixture = upcycle(&models, &settings, 5).expect("upcycles");
        let shared = match settings.from {
            From::Bam { shared_key_value: false, .. } => vec!["model.norm.weight", "lm_head.weight"],
            From::Bam { shared_key_value: true, .. } => vec!["model.layers.1.self_attn.k_proj.weight"],
            _ => vec!["model.layers.1.self_attn.q_proj.weight", "model.embed_tokens.weight"],
        };
        for name in shared {
            assert!((f64::from(mixture.tensors[name].data[17]) - mean(name, 17)).abs() < 1e-6, "{name}");
        }
        for (e, model) in models.iter().enumerate() {
            let expert = format!("model.layers.0.mlp.experts.{e}.up_proj.weight");
            let own = &model.tensors["model.layers.0.mlp.up_proj.weight"];
            assert_eq!(&mixture.tensors[&expert], own);
            if mixture.config.block.attention_experts.is_some() {
                let query = format!("model.layers.1.self_attn.experts.{e}.q_proj.weight");
                assert_eq!(mixture.tensors[&query], model.tensors["model.layers.1.self_attn.q_proj.weight"]);
            }
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        mixture.save(dir.path()).expect("saves");
        assert_eq!(Checkpoint::load(dir.path()).expect("loads").digest(), mixture.digest());
    }
}

#[test]
fn models_that_do_not_fit_together_are_refused() {
    let models = branches(Block::default());
    let narrow = common::checkpoint(Config { intermediate_size: 32, ..common::dense() }, 1);
    let btx = MoeUpcycle { from: From::Btx, experts: 2, ..MoeUpcycle::default() };
    let refused =
        |models: &[&Checkpoint], settings| upcycle(models, settings, 5).expect_err("refused").to_string();
    let message = refused(&[&models[0], &narrow], &btx);
    assert_eq!(message, "checkpoint 2 has another shape than the first; all must come from one seed model");
    assert!(refused(&[&models[0]], &btx).contains("the number of models, 1"));
    let copy = MoeUpcycle::default();
    assert!(refused(&[&models[0], &models[1]], &copy).contains("`models`"));
    let sliced = MoeUpcycle { from: From::FineGrained { slices: 4 }, experts: 6, ..MoeUpcycle::default() };
    assert!(refused(&[&models[0]], &sliced).contains("a multiple of 4"));
    let sliced = MoeUpcycle { from: From::FineGrained { slices: 7 }, ..MoeUpcycle::default() };
    assert!(refused(&[&models[0]], &sliced).contains("a divisor of 40"));
}

fn mote(int4_shared_expert: bool) -> MoeUpcycle {
    let from = From::Mote { int4_shared_expert };
    MoeUpcycle { from, experts_per_token: 1, ..MoeUpcycle::default() }
}

/// The matrices of shared experts and their scales, as they rest.
fn four_bits(checkpoint: &Checkpoint) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    checkpoint.save(dir.path()).expect("saves");
    let bytes = std::fs::read(dir.path().join("model.safetensors")).expect("reads");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let shared = file.iter().filter(|(name, _)| name.contains(".shared_expert."));
    shared.map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
}

#[test]
fn a_shared_expert_of_four_bits_stays_to_the_byte() {
    let dense = common::checkpoint(common::dense(), 1);
    let [plain, int4] = [false, true].map(|int4| upcycle(&[&dense], &mote(int4), 5).expect("upcycles"));
    assert_eq!(plain.clone().with_int4_shared_expert().digest(), int4.digest());
    let documents = vec![(0..40).collect()];
    let of = |model| logits(model, &documents).expect("logits");
    assert_ne!(of(&plain), of(&int4), "it computes with what four bits hold");
    let config = TrainConfig { max_steps: Some(3), max_length: 32, ..TrainConfig::default() };
    let run = |start: &Checkpoint, config: &TrainConfig| {
        train(start, &common::sums(49), config, &mut |_| ControlFlow::Continue(()))
    };
    let end = run(&int4, &config).expect("trains").checkpoint.packed();
    assert!(four_bits(&end) == four_bits(&int4));
    assert_eq!(four_bits(&int4).len(), 2 * 2 * 3);
    assert_ne!(end.digest(), int4.clone().packed().digest(), "the routed experts learn");
    let again = run(&end, &config).expect("goes on").checkpoint;
    assert!(four_bits(&again) == four_bits(&int4));

    let free = TrainConfig { frozen: Some(vec![Part::Norms]), ..config.clone() };
    let error = run(&int4, &free).expect_err("is refused").to_string();
    assert!(error.contains("add `shared_expert` to `freeze`"), "{error}");
    assert!(run(&plain, &free).is_ok(), "full weights may learn");
    let held = TrainConfig { frozen: Some(vec![Part::SharedExpert]), ..config };
    assert!(four_bits(&run(&int4, &held).expect("trains").checkpoint) == four_bits(&int4));
}

#[test]
fn ternary_experts_learn_and_nothing_else_does() {
    let dense = common::checkpoint(common::dense(), 1);
    let mixture = upcycle(&[&dense], &mote(false), 5).expect("upcycles");
    let config = TrainConfig { max_steps: Some(3), max_length: 32, ..TrainConfig::default() };
    let end =
        train(&mixture, &common::sums(49), &config, &mut |_| ControlFlow::Continue(())).expect("trains");
    for (name, before) in &mixture.tensors {
        let learns = name.contains(".experts.") || name.ends_with("mlp.gate.weight");
        assert_eq!(*before != end.checkpoint.tensors[name], learns, "{name}");
    }
    let packed = end.checkpoint.clone().packed();
    let documents = vec![(0..40).collect()];
    let [latent, packed] =
        [&end.checkpoint, &packed].map(|model| logits(model, &documents).expect("logits").concat());
    let size = latent.iter().fold(0f32, |a, b| a.max(b.abs()));
    assert!(latent.iter().zip(&packed).all(|(a, b)| (a - b).abs() < 1e-4 * size));
    let name = "model.layers.0.mlp.experts.2.up_proj.weight";
    let values = ternary::quantised(&end.checkpoint.tensors[name].data);
    assert_eq!(values, end.checkpoint.clone().packed().tensors[name].data.to_vec());
}

#[test]
fn merging_weighs_models_or_adds_what_they_learned() {
    let models = branches(Block::default());
    let base = common::checkpoint(common::dense(), 1);
    let name = "model.layers.1.mlp.up_proj.weight";
    let of = |model: &Checkpoint| f64::from(model.tensors[name].data[9]);
    let [a, b, c] = [0, 1, 2].map(|at| of(&models[at]));
    let models: Vec<&Checkpoint> = models.iter().collect();
    let merged = |method| of(&merge(&models, &method, Some(&base)).expect("merges"));
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    close(merged(Merge::Uniform), (a + b + c) / 3.0);
    close(merged(Merge::Weighted(vec![1.0, 0.0, 3.0])), (a + 3.0 * c) / 4.0);
    close(merged(Merge::TaskVectors(0.5)), of(&base) + 0.5 * (a + b + c - 3.0 * of(&base)));
    let refused = |method, base| merge(&models, &method, base).expect_err("refused").to_string();
    assert!(refused(Merge::Weighted(vec![1.0]), None).contains("one for each of 3 models"));
    assert!(refused(Merge::TaskVectors(1.0), None).contains("`base`"));
}
