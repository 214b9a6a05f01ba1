//! What is trained is what is drawn from: the trainer's logits and the sampler's agree.

use std::path::Path;

use flow_model::{Checkpoint, Tensor};
use flow_sampler::Engine;
use flow_trainer::{From, MoeUpcycle, logits, upcycle};

/// Largest difference, relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

fn dense() -> Checkpoint {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/arith-tiny");
    Checkpoint::load(&path).expect("the checkpoint is part of the repository")
}

/// The upcycled model with experts that differ, as after training: each one's last matrix is scaled by its own factor.
fn mixture() -> Checkpoint {
    let mut mixture = upcycle(&[&dense()], &MoeUpcycle::default(), 5).expect("upcycles");
    for (name, tensor) in &mut mixture.tensors {
        let expert = name.strip_suffix(".w2.weight").and_then(|name| name.rsplit('.').next());
        if let Some(expert) = expert.and_then(|expert| expert.parse::<f32>().ok()) {
            let scaled: Vec<f32> = tensor.data.iter().map(|x| x * (0.7 + 0.2 * expert)).collect();
            *tensor = Tensor::new(tensor.shape.clone(), scaled);
        }
    }
    mixture
}

/// Tokens from all over the vocabulary that fill the whole context, where the angles of positions are largest.
fn tokens(checkpoint: &Checkpoint) -> Vec<u32> {
    let vocab = checkpoint.config.vocab_size as u32;
    (0..checkpoint.config.max_position_embeddings as u32).map(|i| i * 7919 % vocab).collect()
}

fn assert_agreement(checkpoint: &Checkpoint) -> Vec<f32> {
    let tokens = tokens(checkpoint);
    let trained = logits(checkpoint, std::slice::from_ref(&tokens)).expect("logits").concat();
    let drawn = Engine::new(checkpoint).expect("an engine").logits(&tokens).expect("logits");
    assert_eq!((trained.len(), drawn.len()), (tokens.len() * checkpoint.config.vocab_size, trained.len()));
    let size = trained.iter().fold(0f32, |size, x| size.max(x.abs()));
    let difference = trained.iter().zip(&drawn).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(difference <= TOLERANCE * size, "logits up to {size} differ by {difference}");
    trained
}

#[test]
fn trainer_and_sampler_agree_on_a_dense_model() {
    assert_agreement(&dense());
}

#[test]
fn trainer_and_sampler_agree_on_a_mixture_of_experts() {
    assert_ne!(assert_agreement(&mixture()), assert_agreement(&dense()), "the experts matter");
}

#[test]
fn trainer_and_sampler_agree_on_every_method_of_upcycling() {
    let dense = dense();
    // A second model of the same shape: as if training had moved every weight by a tenth.
    let mut other = dense.clone();
    for tensor in other.tensors.values_mut() {
        let moved = tensor.data.iter().enumerate().map(|(i, x)| x * if i % 3 == 0 { 0.9 } else { 1.1 });
        *tensor = Tensor::new(tensor.shape.clone(), moved.collect::<Vec<f32>>());
    }
    let of = |from, experts| MoeUpcycle { from, experts, ..MoeUpcycle::default() };
    let top_1 = |settings| MoeUpcycle { experts_per_token: 1, ..settings };
    let fine =
        MoeUpcycle { experts_per_token: 3, shared_expert: true, ..of(From::FineGrained { slices: 4 }, 6) };
    // Undecided routers, and bounds between what so many experts reach: no choice hangs on the last bit.
    let routed = |top_p, null_experts, normed| MoeUpcycle {
        top_p,
        null_experts,
        norm_topk_prob: Some(normed),
        ..of(From::Copy, 4)
    };
    let routed = [routed(Some(0.6), 0, false), routed(None, 3, true), routed(Some(0.75), 2, false)];
    let biased = MoeUpcycle { bias_update_rate: Some(0.001), ..of(From::Copy, 4) };
    let mote = |int4_shared_expert| top_1(of(From::Mote { int4_shared_expert }, 4));
    let alone = [fine, biased, mote(false), mote(true)]
        .into_iter()
        .chain(routed)
        .map(|settings| upcycle(&[&dense], &settings, 5));
    let bam = |shared_key_value, attention_experts_per_token| {
        top_1(of(From::Bam { shared_key_value, attention_experts_per_token }, 2))
    };
    let together = [of(From::Btx, 2), bam(false, None), bam(true, None), bam(true, Some(1))]
        .map(|settings| upcycle(&[&dense, &other], &settings, 5));
    for mixture in alone.into_iter().chain(together) {
        let mixture = mixture.expect("upcycles");
        assert_agreement(&mixture);
        assert_agreement(&mixture.packed());
    }
}
