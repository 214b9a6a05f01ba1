//! Each loop beside its plain definition, over random shapes.

use flow_kernels::{
    Activation, BLOCK, Heads, Norm, Packed, Paged, Place, Precision, Shape, attend, gate, padded, plain,
    rms_norm, rms_norm_parts, soft_cap, softmax, uniform, write,
};
use proptest::prelude::*;

/// Numbers in -1 to 1, others for each `seed`.
fn numbers(count: usize, seed: u8) -> Vec<f32> {
    (0..count as u32).map(|i| uniform(&[seed; 16], i) as f32 * 2.0 - 1.0).collect()
}

/// Rows of `width` numbers, padded with zeros.
fn rows(values: &[f32], width: usize) -> Vec<f32> {
    let zeros = || std::iter::repeat_n(0.0, padded(width) - width);
    values.chunks(width).flat_map(|row| row.iter().copied().chain(zeros())).collect()
}

fn close(found: impl IntoIterator<Item = f32>, expected: &[f64], within: f64) {
    let mut count = 0;
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((f64::from(found) - expected).abs() <= within * (1.0 + expected.abs()), "{found} {expected}");
        count += 1;
    }
    assert_eq!(count, expected.len());
}

const ACTIVATIONS: [Activation; 3] = [Activation::Silu, Activation::GeluTanh, Activation::Gelu];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products(count in 1usize..40, inputs in 1usize..150, outputs in 1usize..150, biased: bool) {
        let (x, w, bias) = (numbers(count * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3));
        let mut packed = Packed::new(Precision::F32, inputs, &[&w]);
        if biased {
            packed = packed.with_bias(&[&bias]);
        }
        let mut out = vec![f32::NAN; count * packed.outputs()];
        packed.multiply(count, &rows(&x, inputs), &mut out);
        for (x, out) in x.chunks(inputs).zip(out.chunks(packed.outputs())) {
            let expected = plain::product(x, &w, biased.then_some(&bias[..]));
            close(out[..outputs].iter().copied(), &expected, 1e-5);
        }
    }

    #[test]
    fn norms(count in 1usize..5, width in 1usize..200, eps in 1e-6f32..1e-2) {
        let (x, scale) = (numbers(count * width, 1), numbers(width, 2));
        let norm = Norm { scale: rows(&scale, width), width, eps };
        let mut out = vec![f32::NAN; count * padded(width)];
        rms_norm(&rows(&x, width), &norm, &mut out);
        let mut parts = x.clone();
        rms_norm_parts(&mut parts, &scale, eps);
        for ((x, out), part) in x.chunks(width).zip(out.chunks(padded(width))).zip(parts.chunks(width)) {
            let expected = plain::rms_norm(x, &scale, eps);
            close(out[..width].iter().copied(), &expected, 1e-5);
            close(part.iter().copied(), &expected, 1e-5);
        }
    }

    #[test]
    fn gates_caps_and_softmax(width in 1usize..4, reach in 0.1f32..20.0, cap in 0.5f32..50.0) {
        let width = 32 * width;
        let x: Vec<f32> = numbers(2 * width, 1).iter().map(|x| x * reach).collect();
        for activation in ACTIVATIONS {
            let mut out = vec![f32::NAN; width];
            gate(activation, &x, width, &mut out);
            let each = x[..width].iter().zip(&x[width..]);
            close(out, &each.map(|(g, u)| plain::gate(activation, *g, *u)).collect::<Vec<_>>(), 1e-5);
        }
        let (mut capped, mut soft) = (x.clone(), x.clone());
        soft_cap(&mut capped, cap);
        close(capped, &x.iter().map(|x| plain::soft_cap(*x, cap)).collect::<Vec<_>>(), 1e-5);
        softmax(&mut soft);
        close(soft, &plain::softmax(x.iter().map(|x| f64::from(*x))), 1e-6);
    }

    #[test]
    fn attention(
        half_dim in 1usize..20,
        (key_heads, own) in (1usize..4, 1usize..4),
        readers in 1usize..3,
        lengths in prop::collection::vec(1usize..70, 1..6),
        window in prop_oneof![Just(usize::MAX), 1usize..40],
        cap in prop::option::of(0.5f32..5.0),
    ) {
        let heads = Heads { key_value_heads: key_heads, head_dim: 2 * half_dim };
        let query_heads = key_heads * own * readers;
        let shape = Shape { query_heads, attentions: readers, readers, heads, scale: 0.7, cap, clip: None };
        let width = key_heads * heads.head_dim;
        let length: usize = lengths.iter().sum();
        let (keys, values) = (numbers(length * width, 1), numbers(length * width, 2));
        let split = |all: &[f32]| all.chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let (keys, values) = (split(&keys), split(&values));
        // Blocks of the sequences stand in turns, and those that nobody wrote hold no numbers.
        let longest = lengths.iter().max().unwrap().div_ceil(BLOCK);
        let mut blocks = vec![f32::NAN; longest * lengths.len() * heads.block_len()];
        let tables: Vec<Vec<u32>> = (0..lengths.len())
            .map(|s| (0..longest).map(|b| (b * lengths.len() + s) as u32).collect())
            .collect();
        let mut start = 0;
        let mut expected = Vec::new();
        let mut fused = Vec::new();
        let mut places = Vec::new();
        for (sequence, &length) in lengths.iter().enumerate() {
            let (keys, values) = (&keys[start..start + length], &values[start..start + length]);
            for p in 0..length {
                let block = tables[sequence][p / BLOCK] as usize * heads.block_len();
                write(heads, &mut blocks[block..][..heads.block_len()], p % BLOCK, &keys[p], &values[p]);
            }
            for position in [0, length / 2, length - 1] {
                let query = numbers(shape.query_len(), 3 + sequence as u8);
                let seen = position + 1;
                expected.extend(plain::attend(shape, window, &query, &keys[..seen], &values[..seen]));
                fused.extend(query);
                fused.resize(fused.len().next_multiple_of(shape.fused_len()), 0.0);
                places.push(Place { sequence, position });
            }
            start += length;
        }
        let mut out = vec![0.0; places.len() * shape.output_len()];
        let paged = Paged { blocks: &blocks, tables: &tables };
        attend(shape, window, &places, &fused, paged, &mut Vec::new(), &mut out);
        let own = out.chunks(shape.output_len()).flat_map(|row| row[..shape.query_len()].iter().copied());
        close(own, &expected, 1e-4);
    }
}
