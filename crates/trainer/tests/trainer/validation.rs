//! Examples held out of training: what is measured, which model is kept, when a run ends.

use std::ops::ControlFlow;

use flow_model::Checkpoint;
use flow_trainer::{Example, Saved, TrainConfig, Trained, Validation, train};

use crate::common;

fn run(start: &Checkpoint, examples: &[Example], config: &TrainConfig) -> Trained {
    train(start, examples, config, &mut |_| ControlFlow::Continue(())).expect("trains")
}

/// Forty sums to learn and nine to be measured on, at a rate that soon learns the forty by heart.
fn sides() -> (Vec<Example>, Vec<Example>) {
    let mut learned = common::sums(49);
    let held_out = learned.split_off(40);
    (learned, held_out)
}

fn settings(every: Option<usize>, patience: Option<usize>) -> TrainConfig {
    let validation = Some(Validation { examples: sides().1, every, patience });
    TrainConfig {
        batch_size: 20,
        max_length: 32,
        max_steps: Some(40),
        learning_rate: 3e-2,
        validation,
        ..TrainConfig::default()
    }
}

/// What was measured, by step.
fn measured(trained: &Trained) -> Vec<(usize, f64)> {
    trained.report.steps.iter().filter_map(|step| Some((step.step, step.validation?))).collect()
}

/// The loss of a model on examples: a learning rate of zero changes nothing.
fn loss(model: &Checkpoint, examples: &[Example]) -> f64 {
    let still = TrainConfig {
        learning_rate: 0.0,
        max_steps: Some(1),
        batch_size: 64,
        max_length: 32,
        ..TrainConfig::default()
    };
    run(model, examples, &still).report.steps[0].loss
}

#[test]
fn the_model_with_the_least_validation_loss_is_kept() {
    let (learned, held_out) = sides();
    for kind in [common::dense(), common::mixture(true, None)] {
        let start = common::checkpoint(kind, 21);
        let plain = TrainConfig { validation: None, ..settings(None, None) };
        let (without, with) =
            (run(&start, &learned, &plain), run(&start, &learned, &settings(Some(3), None)));
        let losses =
            |trained: &Trained| trained.report.steps.iter().map(|step| step.loss).collect::<Vec<_>>();
        assert_eq!(losses(&without), losses(&with), "measuring changes no step");
        assert!(measured(&without).is_empty());
        let measured = measured(&with);
        assert_eq!(
            measured.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
            [3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 40]
        );
        let (best, least) = *measured.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("measured");
        assert!(best < 40, "the rate is too high to get better to the end: {measured:?}");
        assert!((loss(&with.checkpoint, &held_out) - least).abs() < 1e-5);
        let until_best = |step: &flow_trainer::StepReport| match step.step == best {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let there = train(&start, &learned, &plain, &mut { until_best }).expect("trains");
        assert_eq!(with.checkpoint.digest(), there.checkpoint.digest());
        assert_eq!(with.report.learned, there.report.learned);
    }
}

#[test]
fn a_run_ends_when_patience_does() {
    let start = common::checkpoint(common::dense(), 21);
    let (whole, early) = (
        run(&start, &sides().0, &settings(Some(3), None)),
        run(&start, &sides().0, &settings(Some(3), Some(2))),
    );
    let measured = measured(&early);
    assert!(early.report.steps.len() < 40 && !early.report.stopped);
    let (last, best) = (
        measured.len() - 1,
        measured.iter().enumerate().min_by(|a, b| a.1.1.total_cmp(&b.1.1)).expect("measured").0,
    );
    assert_eq!(last - best, 2);
    assert_eq!(early.report.steps[..], whole.report.steps[..early.report.steps.len()]);
    assert_eq!(
        run(&start, &sides().0, &settings(None, None))
            .report
            .steps
            .iter()
            .filter(|step| step.validation.is_some())
            .count(),
        10
    );
}

#[test]
fn a_killed_run_keeps_the_same_model() {
    let start = common::checkpoint(common::mixture(true, None), 21);
    for patience in [None, Some(2)] {
        let whole = run(&start, &sides().0, &settings(Some(3), patience));
        let dir = tempfile::tempdir().expect("a temporary folder");
        let saved = |every| Some(Saved { path: dir.path().join("state"), identity: [1; 16], every });
        for (every, kill) in [(1, 5), (1, 14), (3, 20), (3, 38)] {
            let settings = TrainConfig { saved: saved(every), ..settings(Some(3), patience) };
            let killed = std::panic::catch_unwind(|| {
                train(&start, &sides().0, &settings, &mut |step| {
                    assert!(step.step < kill, "killed");
                    ControlFlow::Continue(())
                })
            });
            assert!(killed.is_err() || patience.is_some());
        }
        let end = run(&start, &sides().0, &TrainConfig { saved: saved(1), ..settings(Some(3), patience) });
        assert_eq!(end.checkpoint.digest(), whole.checkpoint.digest());
        assert_eq!(end.report.steps, whole.report.steps);
    }
}

#[test]
fn a_validation_without_a_completion_is_refused() {
    let example = Example::new("x".repeat(40), "y");
    let validation = |every| Some(Validation { examples: vec![example.clone()], every, patience: None });
    let told = |every| {
        let config = TrainConfig { validation: validation(every), ..settings(None, None) };
        let start = common::checkpoint(common::dense(), 21);
        train(&start, &sides().0, &config, &mut |_| ControlFlow::Continue(()))
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(told(None), "none of 1 validation examples has a completion token to measure");
    assert!(told(Some(0)).contains("`validation.every`"));
}
