//! Every loop on every instruction set of the machine: the same bits.

use crate::simd::tests::on_each_set;
use crate::*;

fn numbers(count: usize, seed: u8) -> Vec<f32> {
    (0..count as u32).map(|i| uniform(&[seed; 16], i) as f32 * 4.0 - 2.0).collect()
}

/// What `work` leaves in `count` numbers has the same bits on each set.
fn alike(count: usize, work: impl Fn(&mut [f32])) {
    let found = on_each_set(|| {
        let mut out = numbers(count, 9);
        work(&mut out);
        out.iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
    });
    assert!(found.len() > 1 && found.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn products() {
    let (x, w) = (numbers(29 * 64, 1), numbers(70 * 40, 2));
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let packed = Packed::new(precision, 40, &[&w]);
        alike(29 * packed.outputs(), |out| packed.multiply_add(29, &x, out));
    }
    let (x, w) = (numbers(29 * 320, 1), numbers(70 * 300, 2));
    let codes: Vec<i8> = w.iter().map(|w| w.round_ties_even().clamp(-1.0, 1.0) as i8).collect();
    for code in [Code::Ternary, Code::Int4] {
        let mut packed = Packed::coded(code, 300, [70]);
        packed.set_coded(0, &codes, &numbers(70 * 300usize.div_ceil(code.group(300)), 3));
        alike(29 * packed.outputs(), |out| packed.multiply_add(29, &x, out));
    }
}

#[test]
fn norms_gates_caps_and_softmax() {
    let x = numbers(6 * 64, 1);
    let norm = Norm { scale: numbers(64, 2), width: 50, eps: 1e-5 };
    alike(6 * 64, |out| rms_norm(&x, &norm, out));
    alike(6 * 64, |out| rms_norm_parts(out, &norm.scale[..32], 1e-5));
    for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
        alike(6 * 32, |out| gate(activation, &x, 32, out));
    }
    alike(64, |out| soft_cap(out, 1.5));
    alike(64, softmax);
}

#[test]
fn attention_with_queries_that_share_blocks() {
    let heads = Heads { key_value_heads: 2, head_dim: 22 };
    let shape =
        Shape { query_heads: 6, attentions: 1, readers: 1, heads, scale: 0.2, cap: Some(2.0), clip: None };
    let blocks = numbers(5 * heads.block_len(), 1);
    let tables = vec![vec![0, 1, 2], vec![0, 1, 3], vec![4]];
    let places = [(0, 40), (1, 39), (0, 41), (2, 3)].map(|(sequence, position)| Place { sequence, position });
    let fused = numbers(4 * shape.fused_len(), 2);
    for window in [usize::MAX, 7] {
        let paged = Paged { blocks: &blocks, tables: &tables };
        alike(4 * shape.output_len(), |out| {
            attend(shape, window, &places, &fused, paged, &mut Vec::new(), out)
        });
    }
}

#[test]
fn choices() {
    let scores = numbers(270, 1);
    for rules in [Rules::default(), Rules { temperature: 0.7, top_p: 0.8, top_k: 90, ..Rules::default() }] {
        let found = on_each_set(|| {
            [0.1, 0.6, 0.99].map(|u| Selector::default().choose(&scores, &rules, &[], None, u).unwrap())
        });
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
