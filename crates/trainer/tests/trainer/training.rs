//! What training changes, what it reports, and what it does not depend on.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use flow_model::{Block, Checkpoint, Config, Tensor};
use flow_trainer::{
    Error, Example, GroupLoad, LayerLoad, Part, Schedule, StepReport, TrainConfig, Trained, Validation, train,
};

use crate::common;

fn config() -> TrainConfig {
    TrainConfig { batch_size: 16, max_length: 32, learning_rate: 1e-2, ..TrainConfig::default() }
}

fn run(start: &Checkpoint, examples: &[Example], config: &TrainConfig) -> Trained {
    train(start, examples, config, &mut |_| ControlFlow::Continue(())).expect("trains")
}

#[test]
fn every_parameter_changes_in_every_kind_of_model() {
    for kind in common::kinds() {
        let start = common::checkpoint(kind, 1);
        let no_decay = TrainConfig {
            frozen: Some(Vec::new()),
            weight_decay: 0.0,
            max_steps: Some(1),
            batch_size: 64,
            ..config()
        };
        let end = run(&start, &common::sums(64), &no_decay).checkpoint;
        for (name, before) in &start.tensors {
            let after = &end.tensors[name].data;
            assert!(before.data.iter().zip(after.iter()).any(|(a, b)| a != b), "{name} did not change");
            assert!(after.iter().all(|x| x.is_finite()), "{name} is not finite");
        }
    }
}

#[test]
fn a_small_model_learns_additions_by_heart() {
    for kind in [common::dense(), common::mixture(true, None)] {
        let start =
            Checkpoint::init(kind, common::checkpoint(common::dense(), 1).tokenizer, 5).expect("valid");
        let steps = TrainConfig { max_steps: Some(400), ..config() };
        let report = run(&start, &common::sums(49), &steps).report;
        let (first, last) = (report.steps[0].loss, report.steps[399].loss);
        assert!((5.0..6.0).contains(&first), "about ln 280: {first}");
        assert!(last < 0.3, "{last}");
    }
}

#[test]
fn the_result_has_the_same_bits_on_any_number_of_threads() {
    for kind in [common::dense(), common::mixture(true, Some(16))] {
        let start = common::checkpoint(kind, 2);
        let ends: Vec<Trained> = [1, 2, 3]
            .map(|threads| {
                let config = TrainConfig { threads: Some(threads), max_steps: Some(5), ..config() };
                run(&start, &common::sums(40), &config)
            })
            .into();
        assert_eq!(ends[0].checkpoint.digest(), ends[1].checkpoint.digest());
        assert_eq!(ends[0].checkpoint.digest(), ends[2].checkpoint.digest());
        assert_eq!(ends[0].report.steps, ends[1].report.steps);
        let other = TrainConfig { seed: 1, max_steps: Some(5), ..config() };
        assert_ne!(run(&start, &common::sums(40), &other).checkpoint.digest(), ends[0].checkpoint.digest());
    }
}

/// The first loss, as a function of the weights: a learning rate of zero changes nothing.
fn loss(start: &Checkpoint, examples: &[Example]) -> f64 {
    let still =
        TrainConfig { learning_rate: 0.0, max_steps: Some(1), batch_size: examples.len(), ..config() };
    run(start, examples, &still).report.steps[0].loss
}

#[test]
fn the_gradient_norm_is_the_steepest_slope() {
    // One step of gradient descent in disguise: with both betas 0 and a huge eps, AdamW moves along −g / eps.
    let start = common::checkpoint(common::dense(), 6);
    let examples = common::sums(20);
    let (rate, eps) = (1.0, 1e4);
    let step = TrainConfig {
        learning_rate: rate,
        betas: (0.0, 0.0),
        eps,
        weight_decay: 0.0,
        max_grad_norm: 1e9,
        max_steps: Some(1),
        batch_size: examples.len(),
        warmup_ratio: 0.0,
        ..config()
    };
    let trained = run(&start, &examples, &step);
    let norm = trained.report.steps[0].grad_norm;
    let fall = loss(&start, &examples) - loss(&trained.checkpoint, &examples);
    let predicted = norm * norm * rate / eps;
    assert!((fall / predicted - 1.0).abs() < 0.03, "fell by {fall}, the gradient predicts {predicted}");
}

#[test]
fn slopes_along_single_weights_equal_differences() {
    for kind in [common::dense(), common::mixture(false, None), common::mixture(true, Some(16))] {
        // Without router losses, which the reported loss leaves out.
        let mut kind = kind;
        if let Some(moe) = &mut kind.moe {
            (moe.router_aux_loss_coef, moe.router_z_loss_coef) = (0.0, 0.0);
        }
        let start = common::checkpoint(kind, 7);
        let examples = common::sums(12);
        let gradient = gradient(&start, &examples);
        for (name, tensor) in &start.tensors {
            let moved = |by: f32| {
                let mut start = start.clone();
                let along = gradient.tensors[name].data.iter();
                let data: Vec<f32> = tensor.data.iter().zip(along).map(|(w, g)| w + by * g).collect();
                start.tensors.insert(name.clone(), flow_model::Tensor::new(tensor.shape.clone(), data));
                loss(&start, &examples)
            };
            let square: f64 = gradient.tensors[name].data.iter().map(|g| f64::from(*g).powi(2)).sum();
            assert!(square > 0.0, "{name} has no gradient");
            let step = 3e-3 / square.sqrt();
            let slope = (moved(step as f32) - moved(-step as f32)) / (2.0 * step);
            assert!((slope / square - 1.0).abs() < 0.05, "{name}: {slope} {square}");
        }
    }
}

/// The gradient of the loss as a checkpoint: the change of one undisturbed descent step of rate 1 / eps.
fn gradient(start: &Checkpoint, examples: &[Example]) -> Checkpoint {
    let eps = 1e3;
    let step = TrainConfig {
        learning_rate: eps,
        betas: (0.0, 0.0),
        eps,
        weight_decay: 0.0,
        max_grad_norm: 1e9,
        max_steps: Some(1),
        batch_size: examples.len(),
        warmup_ratio: 0.0,
        ..config()
    };
    let mut end = run(start, examples, &step).checkpoint;
    for (name, after) in &mut end.tensors {
        let before = &start.tensors[name].data;
        let change: Vec<f32> = before.iter().zip(after.data.iter()).map(|(a, b)| a - b).collect();
        *after = flow_model::Tensor::new(after.shape.clone(), change);
    }
    end
}

#[test]
fn packing_changes_the_steps_but_not_the_loss_of_a_batch() {
    let start = common::checkpoint(common::dense(), 8);
    let examples = common::sums(30);
    let at_once = |pack| {
        let still = TrainConfig { pack, batch_size: 30, learning_rate: 0.0, ..config() };
        run(&start, &examples, &still).report
    };
    let (packed, plain) = (at_once(true), at_once(false));
    assert_eq!((packed.steps.len(), plain.steps.len()), (1, 1));
    assert_eq!(packed.steps[0].loss, plain.steps[0].loss);
    assert_eq!(packed.tokens, plain.tokens);
    let small = TrainConfig { pack: true, batch_size: 1, ..config() };
    let steps = run(&start, &examples, &small).report.steps;
    assert!(steps.iter().all(|step| step.tokens <= 32), "a row of 32 tokens at most");
    assert!(steps.len() < 10, "several documents a row: {}", steps.len());
}

#[test]
fn prompts_are_not_learned() {
    let start = common::checkpoint(common::dense(), 9);
    let with_prompt = [Example::new("ab", "cd")];
    let report = run(&start, &with_prompt, &TrainConfig { max_steps: Some(1), ..config() }).report;
    assert_eq!(report.steps[0].scored_tokens, 3, "c, d and the end token");
    assert_eq!(report.steps[0].tokens, 4, "all but the end token");
}

#[test]
fn long_examples_are_cut_and_empty_ones_counted() {
    let start = common::checkpoint(common::dense(), 10);
    let example = |prompt: &str, completion: &str| Example::new(prompt, completion);
    let long = "x".repeat(40);
    let examples = [example("ab", "cd"), example(&long, "cd"), example("ab", &long)];
    let report = run(&start, &examples, &config()).report;
    assert_eq!((report.examples, report.skipped, report.truncated), (3, 1, 2));
    assert_eq!(report.tokens, 4 + 31);
    let mut learned = report.learned.concat();
    learned.sort_unstable();
    assert_eq!(learned, [0, 2], "the one that was cut before its completion taught nothing");
    let error = train(&start, &examples[1..2], &config(), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(error, Err(Error::NothingToLearn { examples: 1, .. })));
}

#[test]
fn experts_and_routers_are_reported() {
    let start = common::checkpoint(common::mixture(true, None), 11);
    let report = run(&start, &common::sums(49), &TrainConfig { max_steps: Some(2), ..config() }).report;
    for step in &report.steps {
        assert_eq!(step.layers.len(), 2);
        for layer in &step.layers {
            assert_eq!(layer.tokens_per_expert.iter().sum::<u64>(), 2 * step.tokens as u64);
            assert!((0.0..=4f64.ln()).contains(&layer.router_entropy), "{layer:?}");
            assert!(layer.balance_loss > 0.5 && layer.z_loss > 0.0, "{layer:?}");
        }
    }
    let dense = run(&common::checkpoint(common::dense(), 11), &common::sums(49), &config()).report;
    assert!(dense.steps.iter().all(|step| step.layers.is_empty()));
}

#[test]
fn recomputing_activations_changes_no_bit() {
    for kind in common::kinds() {
        let start = common::checkpoint(kind, 1);
        let settings = TrainConfig { max_steps: Some(4), ..config() };
        let kept = run(&start, &common::sums(49), &settings);
        let again = run(&start, &common::sums(49), &TrainConfig { recompute: true, ..settings });
        assert_eq!(kept.report.steps, again.report.steps);
        assert_eq!(kept.checkpoint.digest(), again.checkpoint.digest());
    }
}

/// The share of a layer's visits that its busiest expert gets, the mean over layers and the last steps of a training in which nothing else evens
/// it out.
fn most_crowded(block: Block, settings: &TrainConfig) -> f64 {
    let mut kind = Config { block, ..common::mixture(true, None) };
    kind.moe.as_mut().expect("experts").router_aux_loss_coef = 0.0;
    let start = common::checkpoint(kind, 11);
    let start = Checkpoint { tensors: flat(start.tensors), ..start };
    let steps = run(&start, &common::sums(49), settings).report.steps;
    let layers: Vec<&LayerLoad> = steps[steps.len() - 20..].iter().flat_map(|step| &step.layers).collect();
    let share = |layer: &&LayerLoad| {
        let load = &layer.tokens_per_expert;
        *load.iter().max().expect("experts") as f64 / load.iter().sum::<u64>() as f64
    };
    layers.iter().map(share).sum::<f64>() / layers.len() as f64
}

/// The same with biases of 0.
fn flat(mut tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    for (_, tensor) in tensors.iter_mut().filter(|(name, _)| name.ends_with("e_score_correction_bias")) {
        *tensor = Tensor::new(tensor.shape.clone(), vec![0.0; tensor.data.len()]);
    }
    tensors
}

#[test]
fn biases_of_routers_even_out_the_load_without_a_loss() {
    let settings = TrainConfig { max_steps: Some(160), learning_rate: 1e-4, ..config() };
    let frozen = TrainConfig { frozen: Some(vec![Part::Router]), ..settings.clone() };
    let crowded = |rate, settings| {
        most_crowded(Block { router_bias_update_rate: Some(rate), ..Block::default() }, settings)
    };
    let (without, with) = (crowded(0.0, &settings), crowded(0.01, &settings));
    assert!(
        with < 0.34 && without > with + 0.03,
        "of four experts, two for each token: {without} and {with}"
    );
    assert!(crowded(0.0, &frozen) == crowded(0.01, &frozen), "frozen routers keep their biases");
}

#[test]
fn visits_are_rounded_in_training_alone() {
    let start = common::checkpoint(common::mixture(true, Some(16)), 11);
    let settings = TrainConfig { max_steps: Some(3), ..config() };
    let plain = run(&start, &common::sums(49), &settings).report.steps;
    let rounded = run(&start, &common::sums(49), &TrainConfig { token_rounding: Some(8), ..settings });
    let loads = |steps: &[StepReport]| -> Vec<u64> {
        steps.iter().flat_map(|step| &step.layers).flat_map(|layer| layer.tokens_per_expert.clone()).collect()
    };
    // Measuring knows nothing of it: with nothing learned, the loss on other examples is the same.
    let measured = |token_rounding| {
        let validation = Validation { examples: common::sums(30), every: None, patience: None };
        let still =
            TrainConfig { learning_rate: 0.0, validation: Some(validation), max_steps: Some(1), ..config() };
        run(&start, &common::sums(49), &TrainConfig { token_rounding, ..still }).report.steps[0].validation
    };
    assert!(measured(None).is_some() && measured(None) == measured(Some(8)));
    let (plain, rounded) = (loads(&plain), loads(&rounded.report.steps));
    assert!(rounded.iter().all(|load| load.is_multiple_of(8)), "{rounded:?}");
    assert!(plain.iter().any(|load| !load.is_multiple_of(8)), "{plain:?}");
    let apart = plain.iter().zip(&rounded).map(|(a, b)| a.abs_diff(*b)).take(4);
    assert!(
        apart.max().expect("experts") <= 4 * 4,
        "half a tile in each of four slices: {plain:?} {rounded:?}"
    );
}

#[test]
fn the_use_of_experts_is_told_by_groups_which_change_nothing_else() {
    let start = common::checkpoint(common::mixture(true, Some(16)), 11);
    let settings = TrainConfig { max_steps: Some(3), ..config() };
    let plain = run(&start, &common::sums(49), &settings);
    // Two groups that share the examples between them, one of all, and one of none.
    let grouped: Vec<Example> =
        (0..).zip(common::sums(49)).map(|(i, e)| Example { groups: [i % 2, 2, 4].into(), ..e }).collect();
    let told = run(&start, &grouped, &settings);
    assert_eq!(told.checkpoint.digest(), plain.checkpoint.digest());
    for (step, plain) in told.report.steps.iter().zip(&plain.report.steps) {
        for (layer, plain) in step.layers.iter().zip(&plain.layers) {
            let [even, odd, all, none, again] = &layer.groups[..] else {
                panic!("{} groups", layer.groups.len())
            };
            assert_eq!((none, again), (&GroupLoad::default(), all));
            assert_eq!((all.tokens, even.tokens + odd.tokens), (step.tokens as u64, step.tokens as u64));
            assert_eq!(all.tokens_per_expert, layer.tokens_per_expert);
            let both: Vec<u64> =
                even.tokens_per_expert.iter().zip(&odd.tokens_per_expert).map(|(a, b)| a + b).collect();
            assert_eq!(both, layer.tokens_per_expert);
            assert!((all.router_entropy / step.tokens as f64 - layer.router_entropy).abs() < 1e-9);
            assert!((even.router_entropy + odd.router_entropy - all.router_entropy).abs() < 1e-9);
            assert_eq!(
                (layer.router_entropy, layer.balance_loss),
                (plain.router_entropy, plain.balance_loss)
            );
        }
    }
}

#[test]
fn the_balance_loss_evens_the_load() {
    let spread = |coef: f64| {
        let mut kind = common::mixture(true, None);
        kind.moe.as_mut().expect("a mixture").router_aux_loss_coef = coef;
        let start = common::checkpoint(kind, 12);
        let steps = TrainConfig { max_steps: Some(300), ..config() };
        // Over ten passes: the last step of each has one example, whose few tokens are never even.
        let last = &run(&start, &common::sums(49), &steps).report.steps[260..];
        last.iter().flat_map(|step| &step.layers).map(|layer| layer.balance_loss).sum::<f64>() / 40.0
    };
    let (without, with) = (spread(0.0), spread(1.0));
    assert!(4.0 * (with - 2.0) < without - 2.0, "{with} {without}, 2 when even");
}

#[test]
fn the_observer_sees_every_step_and_can_stop() {
    let start = common::checkpoint(common::dense(), 13);
    let mut seen = Vec::new();
    let mut observe = |step: &StepReport| {
        seen.push((step.step, step.steps));
        if step.step == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let examples = common::sums(160);
    let stopped = train(&start, &examples, &config(), &mut observe).expect("trains");
    assert_eq!(seen, [(1, 10), (2, 10), (3, 10)]);
    assert!(stopped.report.stopped);
    let constant =
        |max_steps| TrainConfig { schedule: Schedule::Constant, warmup_ratio: 0.0, max_steps, ..config() };
    let mut until_three = |step: &StepReport| match step.step {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let broken = train(&start, &examples, &constant(None), &mut until_three).expect("trains");
    let planned = run(&start, &examples, &constant(Some(3)));
    assert_eq!(broken.checkpoint.digest(), planned.checkpoint.digest());
}

#[test]
fn bad_settings_and_divergence_are_errors() {
    let start = common::checkpoint(common::dense(), 14);
    let refused = |config: TrainConfig| {
        train(&start, &common::sums(10), &config, &mut |_| ControlFlow::Continue(()))
            .expect_err("refused")
            .to_string()
    };
    let message = refused(TrainConfig { max_length: 65, ..config() });
    assert_eq!(
        message,
        "training setting `max_length` has the value 65, expected 2 to the model's 64 positions"
    );
    assert!(refused(TrainConfig { epochs: 0.0, ..config() }).contains("`epochs`"));
    assert!(refused(TrainConfig { batch_size: 0, ..config() }).contains("`batch_size`"));
    let wild = TrainConfig { learning_rate: 1e30, max_steps: Some(5), ..config() };
    assert!(refused(wild).starts_with("training diverged at step "), "a huge rate");
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let particular =
        |kind: &Config| kind.block.ternary_experts.is_some() || kind.block.router_bias_update_rate.is_some();
    let kinds: Vec<Config> = common::kinds().into_iter().filter(particular).collect();
    assert_eq!(kinds.len(), 2);
    for kind in kinds.into_iter().chain([common::mixture(true, Some(16))]) {
        let start = common::checkpoint(kind, 15);
        let examples = common::sums(40);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let saved =
            |every| Some(flow_trainer::Saved { path: dir.path().join("state"), identity: [1; 16], every });
        let settings = |every| TrainConfig { max_steps: Some(9), saved: saved(every), ..config() };
        let whole = run(&start, &examples, &TrainConfig { max_steps: Some(9), ..config() });
        for (every, kills) in [(1, vec![1, 2, 6]), (4, vec![3, 7, 8]), (100, vec![5])] {
            let settings = settings(every);
            for kill in kills {
                // A panic in the observer ends the run between two steps without a word, as a kill would.
                let killed = std::panic::catch_unwind(|| {
                    train(&start, &examples, &settings, &mut |step| {
                        assert!(step.step < kill, "killed");
                        ControlFlow::Continue(())
                    })
                });
                assert!(killed.is_err());
            }
            let end = run(&start, &examples, &settings);
            assert_eq!(end.checkpoint.digest(), whole.checkpoint.digest());
            assert_eq!(end.report.steps, whole.report.steps);
            assert_eq!(end.report.tokens, whole.report.tokens);
            assert_eq!(end.report.learned, whole.report.learned);
            settings.saved.expect("a place").discard().expect("removes");
        }
        let stop = |step: &StepReport| {
            if step.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let stopped = train(&start, &examples, &settings(100), &mut { stop }).expect("trains");
        assert!(stopped.report.stopped);
        let mut first = None;
        let end = train(&start, &examples, &settings(100), &mut |step| {
            first.get_or_insert(step.step);
            ControlFlow::Continue(())
        });
        assert_eq!((first, end.expect("trains").checkpoint.digest()), (Some(5), whole.checkpoint.digest()));
    }
}

#[test]
fn a_large_step_of_a_mixture_goes_in_halves_and_is_one_step() {
    let mut kind = common::mixture(true, None);
    let moe = kind.moe.as_mut().expect("experts");
    // Router losses are those of slices, which are others when batches are accumulated.
    (moe.router_aux_loss_coef, moe.router_z_loss_coef) = (0.0, 0.0);
    let start = common::checkpoint(kind, 17);
    let step = |gradient_accumulation_steps, threads| {
        let batch_size = 600 / gradient_accumulation_steps;
        let config =
            TrainConfig { batch_size, gradient_accumulation_steps, threads: Some(threads), ..config() };
        run(&start, &common::sums(600), &config)
    };
    let (large, small, other) = (step(1, 2), step(6, 2), step(1, 3));
    let (a, b) = (&large.report.steps[0], &small.report.steps[0]);
    assert!(a.tokens >= 2048 && large.report.steps.len() == 1);
    assert!((a.loss - b.loss).abs() < 1e-4 && (a.grad_norm / b.grad_norm - 1.0).abs() < 1e-3, "{a:?} {b:?}");
    assert_eq!(large.checkpoint.digest(), other.checkpoint.digest());
}

#[test]
fn accumulated_batches_are_one_step() {
    let start = common::checkpoint(common::dense(), 16);
    let step = |batch_size, gradient_accumulation_steps| {
        let config = TrainConfig { batch_size, gradient_accumulation_steps, epochs: 2.0, ..config() };
        run(&start, &common::sums(36), &config)
    };
    let (whole, parts) = (step(18, 1), step(6, 3));
    assert_eq!((whole.report.steps.len(), parts.report.steps.len()), (4, 4));
    for (a, b) in whole.report.steps.iter().zip(&parts.report.steps) {
        assert_eq!((a.tokens, a.scored_tokens), (b.tokens, b.scored_tokens));
        assert!(
            (a.loss - b.loss).abs() < 1e-4 && (a.grad_norm / b.grad_norm - 1.0).abs() < 1e-3,
            "{a:?} {b:?}"
        );
    }
}
