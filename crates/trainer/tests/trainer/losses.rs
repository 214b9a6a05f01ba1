//! Weighted examples and preferences.

use std::ops::ControlFlow;

use flow_model::Checkpoint;
use flow_trainer::{Error, Example, Loss, Saved, TrainConfig, Trained, train};

use crate::common;

fn config() -> TrainConfig {
    TrainConfig { batch_size: 16, max_length: 32, learning_rate: 3e-3, ..TrainConfig::default() }
}

fn run(start: &Checkpoint, examples: &[Example], config: &TrainConfig) -> Trained {
    train(start, examples, config, &mut |_| ControlFlow::Continue(())).expect("trains")
}

/// Right sums, preferred to wrong ones.
fn pairs(n: usize) -> Vec<Example> {
    let pair =
        |(i, example): (usize, Example)| Example { rejected: Some(format!("{}!", 20 + i % 7)), ..example };
    common::sums(n).into_iter().enumerate().map(pair).collect()
}

#[test]
fn an_example_of_weight_two_counts_as_two_and_one_of_zero_is_left_out() {
    let start = common::checkpoint(common::dense(), 21);
    let step = |examples: &[Example]| {
        run(&start, examples, &TrainConfig { max_steps: Some(1), batch_size: examples.len(), ..config() })
            .report
    };
    let mut weighted = common::sums(9);
    let twice: Vec<Example> = weighted.iter().chain(&weighted[3..5]).cloned().collect();
    weighted.iter_mut().skip(3).take(2).for_each(|example| example.weight = 2.0);
    let (found, expected) = (step(&weighted), step(&twice));
    assert!((found.steps[0].loss - expected.steps[0].loss).abs() < 1e-6);
    assert!((found.steps[0].grad_norm / expected.steps[0].grad_norm - 1.0).abs() < 1e-4);
    weighted[0].weight = 0.0;
    let (found, expected) = (step(&weighted), step(&weighted[1..]));
    assert_eq!((found.steps[0].loss, found.skipped), (expected.steps[0].loss, 1));
}

#[test]
fn preferences_are_learned_beside_the_start() {
    for kind in [common::dense(), common::mixture(true, None)] {
        let start = common::checkpoint(kind, 22);
        let dpo = TrainConfig { loss: Loss::Dpo { beta: 0.5 }, max_steps: Some(40), ..config() };
        let steps = run(&start, &pairs(30), &dpo).report.steps;
        let preference = |step: usize| steps[step].preference.expect("preferences");
        assert!((steps[0].loss - 2f64.ln()).abs() < 1e-5, "no preference yet: {}", steps[0].loss);
        assert!(preference(0).margin.abs() < 1e-5);
        assert!(steps[39].loss < 0.1 && preference(39).margin > 2.0 && preference(39).accuracy > 0.9);
    }
}

#[test]
fn preferences_do_not_depend_on_threads_and_go_on_after_a_kill() {
    let start = common::checkpoint(common::mixture(true, None), 23);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let saved = Saved { path: dir.path().join("state"), identity: [1; 16], every: 2 };
    let dpo = TrainConfig { loss: Loss::Dpo { beta: 0.1 }, max_steps: Some(7), ..config() };
    let whole = run(&start, &pairs(30), &TrainConfig { threads: Some(1), ..dpo.clone() });
    let settings = TrainConfig { saved: Some(saved), threads: Some(3), ..dpo };
    let killed = std::panic::catch_unwind(|| {
        train(&start, &pairs(30), &settings, &mut |step| {
            assert!(step.step < 5, "killed");
            ControlFlow::Continue(())
        })
    });
    assert!(killed.is_err());
    let end = run(&start, &pairs(30), &settings);
    assert_eq!(end.checkpoint.digest(), whole.checkpoint.digest());
    assert_eq!(end.report.steps, whole.report.steps);
}

#[test]
fn examples_that_do_not_go_with_the_loss_are_refused() {
    let start = common::checkpoint(common::dense(), 24);
    let refused = |examples: Vec<Example>, loss: Loss| {
        let settings = TrainConfig { loss, ..config() };
        train(&start, &examples, &settings, &mut |_| ControlFlow::Continue(())).expect_err("refused")
    };
    let dpo = Loss::Dpo { beta: 0.1 };
    assert!(matches!(refused(common::sums(3), dpo), Error::NoPair { at: 1, .. }));
    assert!(matches!(refused(pairs(3), Loss::CrossEntropy), Error::Pair { at: 1 }));
    let mut equal = pairs(3);
    equal[1].rejected = Some(equal[1].completion.clone());
    assert!(matches!(refused(equal, dpo), Error::NoPair { at: 2, .. }));
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        let mut examples = common::sums(3);
        examples[2].weight = weight;
        assert!(matches!(refused(examples, Loss::CrossEntropy), Error::Weight { at: 3, .. }));
    }
    assert!(refused(pairs(3), Loss::Dpo { beta: 0.0 }).to_string().contains("`loss.dpo.beta`"));
}
