//! Training on a device, in the emulator and on a GPU where there is one, beside the CPU.

use std::ops::ControlFlow;

use flow_kernels::gpu::{Gpu, Rounding};
use flow_model::{Checkpoint, Config};
use flow_trainer::{
    Device, Error, Example, Lora, Loss, Part, Saved, Target, TrainConfig, Trained, Validation, train_on,
};

use crate::{common, emulated};

/// All devices, the emulator with its threads in one order.
fn devices(descending: bool) -> Vec<Device> {
    let devices: Vec<Gpu> = emulated::devices(&[descending]);
    devices.into_iter().map(|gpu| Device::new(gpu, Rounding::None).expect("is ready")).collect()
}

fn config() -> TrainConfig {
    TrainConfig { batch_size: 6, max_length: 32, learning_rate: 1e-2, ..TrainConfig::default() }
}

fn run(device: Option<&Device>, start: &Checkpoint, examples: &[Example], config: &TrainConfig) -> Trained {
    train_on(device, start, examples, config, &mut |_| ControlFlow::Continue(())).expect("trains")
}

/// Sums, some with more digits.
fn examples(n: usize) -> Vec<Example> {
    let longer =
        |(i, example): (usize, Example)| Example { prompt: "12+".repeat(i % 5) + &example.prompt, ..example };
    common::sums(n).into_iter().enumerate().map(longer).collect()
}

/// The gradients of one step, by tensor: with a very large ε the step is the gradient.
fn gradients(device: Option<&Device>, start: &Checkpoint, n_examples: usize) -> Vec<(String, Vec<f64>)> {
    const LARGE: f64 = 1e9;
    let step = TrainConfig {
        learning_rate: LARGE,
        eps: LARGE,
        warmup_ratio: 0.0,
        weight_decay: 0.0,
        max_grad_norm: 1e9,
        max_steps: Some(1),
        frozen: Some(Vec::new()),
        ..config()
    };
    let end = run(device, start, &examples(n_examples), &step).checkpoint;
    let moved = |(name, before): (&String, &flow_model::Tensor)| {
        let pairs = before.data.iter().zip(end.tensors[name].data.iter());
        (name.clone(), pairs.map(|(before, after)| f64::from(*before) - f64::from(*after)).collect())
    };
    start.tensors.iter().map(moved).collect()
}

#[test]
fn every_kind_of_model_has_the_gradients_of_the_cpu() {
    for device in devices(false) {
        for kind in common::kinds() {
            same_gradients(&device, &kind, 1);
            // The CPU balances each of the four parts of a batch, a device the batch.
            let mut unbalanced = kind;
            unbalanced.moe.iter_mut().for_each(|moe| moe.router_aux_loss_coef = 0.0);
            same_gradients(&device, &unbalanced, 6);
        }
    }
}

fn same_gradients(device: &Device, kind: &Config, n_examples: usize) {
    let start = common::checkpoint(kind.clone(), 31);
    let expected = gradients(None, &start, n_examples);
    for ((name, found), (_, expected)) in gradients(Some(device), &start, n_examples).iter().zip(&expected) {
        let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        // A weight of one has room for differences of 6e-8.
        let tolerance = 2e-5 * largest + 2.5e-7;
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let apart = (found - expected).abs();
            assert!(apart <= tolerance, "{kind:?}, {name} {i}: {found}, {expected} on the CPU");
        }
    }
}

fn near(found: &Trained, expected: &Trained, what: &str) {
    assert_eq!(found.report.steps.len(), expected.report.steps.len(), "{what}");
    for (found, expected) in found.report.steps.iter().zip(&expected.report.steps) {
        let apart = |a: f64, b: f64| (a - b).abs() / b.abs().max(0.1);
        assert!(apart(found.loss, expected.loss) < 1e-3, "{what}: {found:?}, {expected:?} on the CPU");
        assert!(
            apart(found.grad_norm, expected.grad_norm) < 1e-2,
            "{what}: {found:?}, {expected:?} on the CPU"
        );
        assert_eq!(found.validation.is_some(), expected.validation.is_some(), "{what}");
        if let Some((found, expected)) = found.validation.zip(expected.validation) {
            assert!(
                apart(found, expected) < 1e-3,
                "{what}: {found} on held-out examples, {expected} on the CPU"
            );
        }
    }
}

#[test]
fn every_way_of_training_ends_where_the_cpu_does() {
    let lora =
        || Some(Lora { rank: 3, alpha: 6.0, targets: vec![Target::QProj, Target::UpProj, Target::DownProj] });
    let held_out = Validation { examples: examples(9).split_off(6), every: Some(2), patience: None };
    let pair = |example: Example| Example { rejected: Some("no".into()), ..example };
    let ways: [(&str, Config, TrainConfig); 6] = [
        (
            "accumulated",
            common::dense(),
            TrainConfig { batch_size: 3, gradient_accumulation_steps: 2, ..config() },
        ),
        ("recomputed", common::mixture(true, Some(16)), TrainConfig { recompute: true, ..config() }),
        ("adapters", common::dense(), TrainConfig { lora: lora(), ..config() }),
        (
            "adapters of experts",
            common::mixture(true, None),
            TrainConfig { lora: lora(), recompute: true, ..config() },
        ),
        (
            "frozen",
            common::mixture(false, None),
            TrainConfig {
                frozen: Some(vec![Part::Embeddings, Part::Experts]),
                validation: Some(held_out),
                ..config()
            },
        ),
        ("preferred", common::dense(), TrainConfig { loss: Loss::Dpo { beta: 0.5 }, ..config() }),
    ];
    for device in devices(true) {
        for (what, kind, way) in &ways {
            let start = common::checkpoint(kind.clone(), 32);
            let mut examples = examples(6);
            if way.loss != Loss::CrossEntropy {
                examples = examples.into_iter().map(pair).collect();
            }
            let way = TrainConfig { max_steps: Some(4), ..way.clone() };
            near(&run(Some(&device), &start, &examples, &way), &run(None, &start, &examples, &way), what);
        }
    }
}

#[test]
fn a_run_on_a_device_goes_on_after_a_stop_to_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let start = common::checkpoint(common::mixture(true, None), 33);
    let steps = TrainConfig { max_steps: Some(4), ..config() };
    let mut ends = Vec::new();
    for (i, device) in devices(false).into_iter().enumerate() {
        let whole = run(Some(&device), &start, &examples(8), &steps);
        let saved = Saved { path: dir.path().join(format!("state {i}")), identity: [2; 16], every: 1 };
        let resting = TrainConfig { saved: Some(saved), ..steps.clone() };
        let stop = &mut |step: &flow_trainer::StepReport| match step.step {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let first = train_on(Some(&device), &start, &examples(8), &resting, stop).expect("stops");
        assert_eq!(first.report.steps.len(), 2);
        let resumed = run(Some(&device), &start, &examples(8), &resting);
        assert_eq!(resumed.checkpoint.digest(), whole.checkpoint.digest());
        assert_eq!(resumed.report.steps, whole.report.steps);
        ends.push(whole.checkpoint.digest());
    }
    let other_order = devices(true).into_iter().next();
    let again =
        other_order.map(|device| run(Some(&device), &start, &examples(8), &steps).checkpoint.digest());
    assert_eq!(again, ends.first().copied(), "the order of threads is nobody's business");
}

#[test]
fn operands_of_eight_bits_of_fraction_learn_nearly_the_same() {
    let start = common::checkpoint(common::dense(), 34);
    let steps = TrainConfig { max_steps: Some(3), ..config() };
    let expected = run(None, &start, &examples(6), &steps).report.steps;
    for gpu in emulated::devices(&[false]) {
        let device = Device::new(gpu, Rounding::Bf16).expect("is ready");
        let found = run(Some(&device), &start, &examples(6), &steps).report.steps;
        for (found, expected) in found.iter().zip(&expected) {
            let apart = (found.grad_norm / expected.grad_norm - 1.0).abs();
            assert!((1e-6..0.1).contains(&apart), "{} {}", found.grad_norm, expected.grad_norm);
            assert!((found.loss / expected.loss - 1.0).abs() < 0.02, "{} {}", found.loss, expected.loss);
        }
    }
}

#[test]
fn heads_that_no_kernel_holds_are_refused() {
    let config_of =
        |head_dim| Config { head_dim, num_attention_heads: 1, num_key_value_heads: 1, ..common::dense() };
    for device in devices(false) {
        let start = common::checkpoint(config_of(258), 35);
        let refused =
            train_on(Some(&device), &start, &examples(2), &config(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(refused, Err(Error::Device(_))), "{refused:?}");
    }
}
