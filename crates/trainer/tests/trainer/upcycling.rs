//! A mixture of experts computes what its dense model computes, until it learns.

use std::ops::ControlFlow;

use flow_model::Family;
use flow_trainer::{Error, MoeUpcycle, TrainConfig, logits, train, upcycle};

use crate::common;

fn settings() -> Vec<MoeUpcycle> {
    let plain = MoeUpcycle::default();
    vec![
        MoeUpcycle { experts: 1, experts_per_token: 1, ..plain.clone() },
        MoeUpcycle { experts_per_token: 1, ..plain.clone() },
        MoeUpcycle { experts: 5, experts_per_token: 3, ..plain.clone() },
        MoeUpcycle { shared_expert: true, ..plain.clone() },
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
        let mixture = upcycle(&dense, &settings, 5).expect("upcycles");
        let found = logits(&mixture, &documents).expect("logits").concat();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5 * size, "{found} {expected}");
        }
    }
}

#[test]
fn a_mixture_is_saved_as_its_family_and_comes_back() {
    let dense = common::checkpoint(common::dense(), 1);
    for (shared_expert, family) in [(false, Family::Mixtral), (true, Family::Qwen2Moe)] {
        let mixture =
            upcycle(&dense, &MoeUpcycle { shared_expert, ..MoeUpcycle::default() }, 5).expect("upcycles");
        assert_eq!(mixture.config.family(), family);
        let dir = tempfile::tempdir().expect("a temporary folder");
        mixture.save(dir.path()).expect("saves");
        assert_eq!(flow_model::Checkpoint::load(dir.path()).expect("loads").digest(), mixture.digest());
    }
}

#[test]
fn layers_that_training_does_not_know_are_refused_by_family() {
    let block = flow_model::Block { qkv_bias: true, ..Default::default() };
    let qwen2 = common::checkpoint(flow_model::Config { block, ..common::dense() }, 1);
    let error = upcycle(&qwen2, &MoeUpcycle::default(), 5).expect_err("biases");
    assert!(matches!(error, Error::Untrainable { family: "qwen2" }), "{error}");
    let error = logits(&qwen2, &[vec![1, 2]]).expect_err("biases");
    assert!(matches!(error, Error::Untrainable { family: "qwen2" }), "{error}");
}

#[test]
fn experts_drift_apart_in_training() {
    let dense = common::checkpoint(common::dense(), 1);
    let mixture = upcycle(&dense, &MoeUpcycle::default(), 5).expect("upcycles");
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
    let [a, b, c] = [5, 5, 6].map(|seed| upcycle(&dense, &MoeUpcycle::default(), seed).expect("upcycles"));
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
    let mixture = upcycle(&dense, &MoeUpcycle::default(), 5).expect("upcycles");
    let error = upcycle(&mixture, &MoeUpcycle::default(), 5).expect_err("refused");
    assert!(matches!(error, Error::NotDense { experts: 4 }));
    let too_many = MoeUpcycle { experts: 2, experts_per_token: 3, ..MoeUpcycle::default() };
    let message = upcycle(&dense, &too_many, 5).expect_err("refused").to_string();
    assert_eq!(message, "training setting `experts_per_token` has the value 3, expected 1 to 2");
}
