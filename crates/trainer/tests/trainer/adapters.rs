//! Low-rank adapters: where they begin, what they learn, and what is left in the end.

use std::ops::ControlFlow;

use flow_model::{Checkpoint, Config};
use flow_trainer::{Adapter, Error, Example, Lora, Target, TrainConfig, Trained, train};

use crate::common;

const ALL: [Target; 7] = [
    Target::QProj,
    Target::KProj,
    Target::VProj,
    Target::OProj,
    Target::GateProj,
    Target::UpProj,
    Target::DownProj,
];

fn lora(targets: &[Target]) -> Option<Lora> {
    Some(Lora { rank: 3, alpha: 6.0, targets: targets.to_vec() })
}

fn config() -> TrainConfig {
    TrainConfig {
        batch_size: 16,
        max_length: 32,
        learning_rate: 1e-2,
        lora: lora(&ALL),
        ..TrainConfig::default()
    }
}

fn run(start: &Checkpoint, examples: &[Example], config: &TrainConfig) -> Trained {
    train(start, examples, config, &mut |_| ControlFlow::Continue(())).expect("trains")
}

/// Dense models and mixtures in each of the forms that Hugging Face has.
fn kinds() -> Vec<Config> {
    let mut kinds = vec![common::dense(), common::mixture(true, None), common::mixture(true, Some(16))];
    kinds.extend(common::families());
    kinds
}

/// B·A of each matrix that has an adapter, times the scale, by the name of the matrix.
fn products(adapter: &Adapter) -> Vec<(String, Vec<f64>)> {
    let scale = adapter.alpha / adapter.rank as f64;
    let halves =
        adapter.tensors.iter().filter_map(|(name, a)| Some((name.strip_suffix(".lora_A.weight")?, a)));
    let product = |(name, a): (&str, &flow_model::Tensor)| {
        let b = &adapter.tensors[&format!("{name}.lora_B.weight")];
        let (width, rank) = (a.shape[1], a.shape[0]);
        assert_eq!((rank, b.shape[1]), (3, 3));
        let at = |i: usize, j: usize| -> f64 {
            (0..rank).map(|k| f64::from(b.data[i * rank + k]) * f64::from(a.data[k * width + j])).sum()
        };
        let values = (0..b.shape[0]).flat_map(|i| (0..width).map(move |j| (i, j)));
        let name = name.strip_prefix("base_model.model.").expect("the names of PEFT");
        (format!("{name}.weight"), values.map(|(i, j)| scale * at(i, j)).collect())
    };
    halves.map(product).collect()
}

#[test]
fn adapters_begin_as_the_start_and_end_in_its_weights() {
    for kind in kinds() {
        let start = common::checkpoint(kind, 3);
        let examples = common::sums(40);
        let steps = TrainConfig { max_steps: Some(30), ..config() };
        let Trained { checkpoint, adapter, report } = run(&start, &examples, &steps);
        let without = run(&start, &examples, &TrainConfig { lora: None, max_steps: Some(1), ..config() });
        assert_eq!(report.steps[0].loss, without.report.steps[0].loss, "to the bit");
        assert!(report.steps[29].loss < 0.7 * report.steps[0].loss);
        let adapter = adapter.expect("adapters");
        let numbers: usize = adapter.tensors.values().map(|tensor| tensor.data.len()).sum();
        assert_eq!(lora(&ALL).expect("adapters").num_parameters(&start.config), numbers);
        let products = products(&adapter);
        assert_eq!(products.len(), start.tensors.keys().filter(|name| is_target(name)).count());
        for (name, before) in &start.tensors {
            let after = &checkpoint.tensors[name].data;
            let Some((_, product)) = products.iter().find(|(adapted, _)| adapted == name) else {
                assert_eq!(before.data, *after, "{name} is frozen");
                continue;
            };
            for ((before, after), product) in before.data.iter().zip(after.iter()).zip(product) {
                assert!((f64::from(*before) + product - f64::from(*after)).abs() < 1e-5, "{name}");
            }
        }
    }
}

fn is_target(name: &str) -> bool {
    let attention = name.contains("self_attn") && name.contains("_proj.");
    let feed_forward = ["gate_proj", "up_proj", "down_proj", ".w1.", ".w2.", ".w3."];
    name.ends_with(".weight") && (attention || feed_forward.iter().any(|part| name.contains(part)))
}

#[test]
fn the_gradient_of_b_is_that_of_the_weights_along_a() {
    // One step of gradient descent: with both betas 0 and a huge eps, AdamW moves by -rate g / eps. The gradient of the weights
    // themselves, which differences in f64 hold to be true, gives that of B.
    let eps = 1e5;
    for kind in kinds() {
        let start = common::checkpoint(kind, 5);
        let examples = common::sums(12);
        let step = |lora| TrainConfig {
            learning_rate: eps,
            betas: (0.0, 0.0),
            eps,
            weight_decay: 0.0,
            max_grad_norm: 1e9,
            max_steps: Some(1),
            warmup_ratio: 0.0,
            lora,
            ..config()
        };
        let whole = run(&start, &examples, &step(None)).checkpoint;
        let adapter = run(&start, &examples, &step(lora(&ALL))).adapter.expect("adapters");
        for (name, b) in adapter.tensors.iter().filter(|(name, _)| name.contains("lora_B")) {
            let a = &adapter.tensors[&name.replace("lora_B", "lora_A")];
            let matrix = name.replace("base_model.model.", "").replace(".lora_B", "");
            let (before, after) = (&start.tensors[&matrix], &whole.tensors[&matrix]);
            let width = a.shape[1];
            let gradient: Vec<f64> =
                before.data.iter().zip(after.data.iter()).map(|(b, a)| f64::from(b - a)).collect();
            let size = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            for (at, found) in b.data.iter().enumerate() {
                let (row, k) = (&gradient[at / 3 * width..][..width], at % 3);
                let along = |(g, a): (&f64, &f32)| g * f64::from(*a);
                let expected = -2.0 * row.iter().zip(&a.data[k * width..][..width]).map(along).sum::<f64>();
                assert!((f64::from(*found) - expected).abs() < 2e-3 * size, "{name}: {found} {expected}");
            }
        }
    }
}

#[test]
fn only_what_is_targeted_learns_and_unknown_targets_are_refused() {
    let start = common::checkpoint(common::mixture(true, None), 3);
    let targets = TrainConfig { lora: lora(&[Target::QProj, Target::VProj]), max_steps: Some(2), ..config() };
    let adapter = run(&start, &common::sums(20), &targets).adapter.expect("adapters");
    assert_eq!(adapter.tensors.len(), 2 * 2 * 2, "two halves, two matrices, two layers");
    assert!(adapter.tensors.keys().all(|name| name.contains("q_proj") || name.contains("v_proj")));
    let refused = |kind: Config, lora: Option<Lora>| {
        let settings = TrainConfig { lora, ..config() };
        let start = common::checkpoint(kind, 3);
        train(&start, &common::sums(20), &settings, &mut |_| ControlFlow::Continue(())).expect_err("refused")
    };
    assert!(matches!(refused(common::dense(), lora(&[])), Error::NoTarget));
    let none = Lora { rank: 0, alpha: 1.0, targets: ALL.to_vec() };
    assert!(refused(common::dense(), Some(none)).to_string().contains("`lora.rank`"));
    for kind in common::kinds() {
        let own = kind.block.attention_experts.is_some() || kind.block.ternary_experts.is_some();
        if own {
            assert!(matches!(refused(kind, lora(&ALL)), Error::NotAdaptable));
        }
    }
}

#[test]
fn adapters_do_not_depend_on_threads_and_go_on_after_a_kill() {
    let start = common::checkpoint(common::mixture(true, None), 4);
    let examples = common::sums(40);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let saved = flow_trainer::Saved { path: dir.path().join("state"), identity: [1; 16], every: 2 };
    let whole = run(&start, &examples, &TrainConfig { max_steps: Some(8), threads: Some(1), ..config() });
    let settings = TrainConfig { max_steps: Some(8), saved: Some(saved), threads: Some(3), ..config() };
    let killed = std::panic::catch_unwind(|| {
        train(&start, &examples, &settings, &mut |step| {
            assert!(step.step < 6, "killed");
            ControlFlow::Continue(())
        })
    });
    assert!(killed.is_err());
    let end = run(&start, &examples, &settings);
    assert_eq!(end.checkpoint.digest(), whole.checkpoint.digest());
    assert_eq!(end.report.steps, whole.report.steps);
}

#[test]
fn adapters_are_written_as_peft_reads_them() {
    let start = common::checkpoint(common::dense(), 6);
    let steps = TrainConfig { max_steps: Some(2), ..config() };
    let adapter = run(&start, &common::sums(20), &steps).adapter.expect("adapters");
    let dir = tempfile::tempdir().expect("a temporary folder");
    adapter.save(&dir.path().join("adapter")).expect("saves");
    let config = std::fs::read_to_string(dir.path().join("adapter/adapter_config.json")).expect("reads");
    let config: serde_json::Value = serde_json::from_str(&config).expect("parses");
    assert_eq!(
        (&config["peft_type"], &config["r"], &config["lora_alpha"]),
        (&"LORA".into(), &3.into(), &6.into())
    );
    let modules = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"];
    assert_eq!(config["target_modules"], serde_json::json!(modules));
    let weights = std::fs::metadata(dir.path().join("adapter/adapter_model.safetensors")).expect("is there");
    let numbers: usize = adapter.tensors.values().map(|tensor| tensor.data.len()).sum();
    assert!(weights.len() as usize > 4 * numbers);
}
