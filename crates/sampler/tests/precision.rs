//! Weights of fewer bits: what they leave as it is, and how far off they are.

mod common;

use common::{dense, generate, moe, random, switched};
use flow_model::{Block, Checkpoint, Config, Folder, Tensor, names};
use flow_sampler::{Engine, Params, Plan, Precision, Prompt, Request};

/// The checkpoint as it would be, stored as bf16.
fn stored_as_bf16(mut checkpoint: Checkpoint) -> Checkpoint {
    for tensor in checkpoint.tensors.values_mut() {
        let cut = tensor.data.iter().map(|x| f32::from_bits(x.to_bits() & 0xffff_0000));
        *tensor = Tensor::new(tensor.shape.clone(), cut.collect::<Vec<f32>>());
    }
    checkpoint
}

#[test]
fn a_checkpoint_that_is_stored_as_bf16_keeps_its_bits_in_half_the_memory() {
    for config in [dense(), moe(None), moe(Some(36))].into_iter().chain(switched()) {
        if config.block.ternary_experts.is_some() {
            continue; // These become whole multiples of a mean: cut to bf16, a packed model has no such values.
        }
        let checkpoint = stored_as_bf16(random(config, 5));
        let [exact, half] =
            [Precision::F32, Precision::Bf16].map(|p| Engine::with_precision(&checkpoint, p).unwrap());
        let draw = |i: u8| {
            let params = Params { max_tokens: 12, ..Params::default() };
            Request { prompt: Prompt::Tokens(vec![u32::from(i) * 9, 4, 7]), params, stream: [i; 16] }
        };
        let requests: Vec<Request> = (0..20).map(draw).collect();
        let drawn =
            |engine| generate(engine, &requests, 1).into_iter().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(drawn(&exact), drawn(&half));
        assert!(half.weight_bytes() < exact.weight_bytes() * 2 / 3);
    }
}

#[test]
fn experts_of_two_bits_and_shared_ones_of_four_take_no_more_at_any_precision() {
    let few_bits = |config: &Config| config.block.ternary_experts.is_some();
    let wide = |config| Config { hidden_size: 256, intermediate_size: 320, ..config };
    let models: Vec<Config> = switched().into_iter().filter(few_bits).map(wide).collect();
    assert_eq!(models.len(), 3);
    for config in models {
        let checkpoint = random(config.clone(), 5);
        let experts = names::routed(&config).len();
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let engine = Engine::with_precision(&checkpoint, precision).unwrap();
            let plan = Plan::new(&config, precision, 1);
            let dense = Config {
                block: Block { ternary_experts: None, int4_shared_expert: false, ..config.block.clone() },
                ..config.clone()
            };
            let saved = Plan::new(&dense, precision, 1).weight_bytes - plan.weight_bytes;
            // Each expert's matrix has 256 x 320 weights; of those that are as wide as f32's they keep a sixteenth, and scales.
            let bits = 8 * precision.bytes() - 2;
            assert!(saved > experts * 256 * 320 * bits / 8 * 9 / 10, "{precision:?}: {saved}");
            // The rest are tables of positions.
            assert!((plan.weight_bytes..plan.weight_bytes + (64 << 10)).contains(&engine.weight_bytes()));
        }
    }
}

#[test]
fn a_folder_is_packed_to_the_bits_of_what_it_holds() {
    for (i, config) in [dense(), moe(None), moe(Some(36))].into_iter().chain(switched()).enumerate() {
        let checkpoint = random(config, i as u64);
        let dir = tempfile::tempdir().unwrap();
        checkpoint.save(dir.path()).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let expected = Engine::with_precision(&checkpoint, precision).unwrap();
            let found = Engine::of_folder(&folder, precision).unwrap();
            assert_eq!(found.weight_bytes(), expected.weight_bytes());
            let [found, expected] = [found, expected].map(|engine| engine.logits(&[1, 2, 3, 5]).unwrap());
            let bits = |scores: &[f32]| scores.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(&expected), "model {i}, {precision:?}");
        }
    }
}

#[test]
fn fewer_bits_are_a_little_off_and_take_less() {
    let checkpoint = random(dense(), 3);
    let engine = |precision| Engine::with_precision(&checkpoint, precision).unwrap();
    let tokens: Vec<u32> = (0..40).map(|t| t * 7).collect();
    let exact = engine(Precision::F32).logits(&tokens).unwrap();
    let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let size = norm(&mut exact.iter().copied());
    let mut bytes = engine(Precision::F32).weight_bytes();
    for (precision, most) in [(Precision::Bf16, 0.03), (Precision::Int8, 0.06)] {
        let engine = engine(precision);
        let logits = engine.logits(&tokens).unwrap();
        let off = norm(&mut logits.iter().zip(&exact).map(|(a, b)| a - b)) / size;
        assert!(off > 1e-4 && off < most, "{precision:?}: {off}");
        assert!(engine.weight_bytes() < bytes);
        bytes = engine.weight_bytes();
    }
}
