//! Every backward pass against central differences of its forward pass.

use std::sync::Arc;

use candle_core::Result;
use flow_kernels::gpu::AttentionScores;
use flow_model::{Activation, AttentionExperts, Rng, RopeScaling};

use super::adapt::adapt;
use super::attention::{Heads, attention};
use super::bias::bias;
use super::bounds::{clip, soft_cap};
use super::combine::combine;
use super::gate::gate;
use super::gated::gated;
use super::gather::gather;
use super::linear::linear;
use super::loss::{loss, predicted};
use super::qk_norm::qk_norm;
use super::rms_norm::rms_norm;
use super::router::{Choice, Most, Routing, evened, router_loss, router_weights};
use super::scale::scale;
use super::soft_mixture::soft_mixture;
use super::{add, elements, tensor};
use crate::Loss;
use crate::loss::Scored;
use crate::matmul::Kind;
use crate::rope::Rope;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let values = flow_model::Tensor::normal(seed, "values", shape.to_vec(), 1.0);
    tensor(values.data.to_vec(), shape).expect("a tensor")
}

/// Compares the gradients of Σ w∘f(inputs), w random, with differences in every element of every input.
fn check(inputs: &[Tensor], f: impl Fn(&mut Tape, &[Node]) -> Result<Node>) {
    let weights = |node: &Node| random(99, node.value.dims());
    let value = |inputs: &[Tensor]| -> f64 {
        let mut tape = Tape::default();
        let nodes: Vec<Node> = inputs.iter().map(|input| tape.leaf(input.clone())).collect();
        let out = f(&mut tape, &nodes).expect("forward");
        let (out_values, weights) = (elements(&out.value).expect("elements"), weights(&out));
        let weights = elements(&weights).expect("elements");
        out_values.iter().zip(weights.iter()).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    };
    let mut tape = Tape::default();
    let nodes: Vec<Node> = inputs.iter().map(|input| tape.leaf(input.clone())).collect();
    let out = f(&mut tape, &nodes).expect("forward");
    let d_out = weights(&out);
    let total = tape.push(tensor(vec![0.0], ()).expect("a scalar"), [&out], move |_| Ok([d_out]));
    let gradients = tape.gradients(&total, &nodes).expect("backward");
    for (i, gradient) in gradients.iter().enumerate() {
        let gradient = gradient.as_ref().expect("every input has a gradient");
        assert_eq!(gradient.dims(), inputs[i].dims());
        for (at, analytic) in elements(gradient).expect("elements").iter().enumerate() {
            let numeric = difference(inputs, i, at, &value);
            let tolerance = 2e-2 * (1.0 + analytic.abs().max(numeric.abs() as f32));
            assert!(
                (numeric as f32 - analytic).abs() < tolerance,
                "input {i}, element {at}: {numeric} {analytic}"
            );
        }
    }
}

/// The slope along one element, by central differences.
fn difference(inputs: &[Tensor], i: usize, at: usize, value: &impl Fn(&[Tensor]) -> f64) -> f64 {
    const STEP: f32 = 5e-3;
    let moved = |by: f32| {
        let mut inputs = inputs.to_vec();
        let mut values = elements(&inputs[i]).expect("elements").to_vec();
        values[at] += by;
        inputs[i] = tensor(values, inputs[i].shape()).expect("a tensor");
        value(&inputs)
    };
    (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP))
}

#[test]
fn norm_gates_bounds_bias_add() {
    check(&[random(1, &[3, 20]), random(2, &[20])], |tape, x| rms_norm(tape, &x[0], &x[1], 1e-5));
    for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
        check(&[random(3, &[3, 2 * 9])], |tape, x| gated(tape, &x[0], activation));
    }
    check(&[random(10, &[3, 17])], |tape, x| soft_cap(tape, &x[0], 0.8));
    check(&[random(11, &[3, 17])], |tape, x| clip(tape, &x[0], 0.8));
    check(&[random(12, &[3, 17])], |tape, x| scale(tape, &x[0], 1.7));
    check(&[random(4, &[3, 17]), random(5, &[3, 1])], |tape, x| gate(tape, &x[0], &x[1]));
    check(&[random(8, &[5, 19]), random(9, &[19])], |tape, x| bias(tape, &x[0], &x[1]));
    check(&[random(6, &[2, 3]), random(7, &[2, 3])], |tape, x| add(tape, &x[0], &x[1]));
    check(&[random(6, &[2, 3])], |tape, x| add(tape, &x[0], &x[0]));
}

#[test]
fn queries_and_keys_are_normed_by_head_or_whole() {
    // Two query heads of four, a key head, a value head.
    for [query, key] in [[4, 4], [8, 4]] {
        let inputs = [random(1, &[3, 16]), random(2, &[query]), random(3, &[key])];
        let normed = |tape: &mut Tape, x: &[Node]| qk_norm(tape, &x[0], [&x[1], &x[2]], [8, 4], 1e-5);
        check(&inputs, normed);
        let mut tape = Tape::default();
        let nodes = inputs.clone().map(|input| tape.leaf(input));
        let (x, y) = (nodes[0].value.clone(), normed(&mut tape, &nodes).expect("forward").value);
        let (x, y) = (elements(&x).expect("elements"), elements(&y).expect("elements"));
        for (x, y) in x.chunks(16).zip(y.chunks(16)) {
            assert_eq!(x[12..], y[12..], "values stay");
            let weight = elements(&inputs[1].clone()).expect("elements").to_vec();
            let square = x[..query].iter().map(|x| x * x).sum::<f32>() / query as f32;
            let first = x[0] * weight[0] / (square + 1e-5).sqrt();
            assert!((first - y[0]).abs() < 1e-5, "{first} {}", y[0]);
        }
    }
}

#[test]
fn products_and_rows() {
    check(&[random(1, &[3, 4]), random(2, &[5, 4])], |tape, x| linear(tape, &x[0], &x[1], &Kind::Plain));
    check(&[random(3, &[3, 7]), random(4, &[3, 4]), random(5, &[2, 4]), random(6, &[5, 2])], |tape, x| {
        adapt(tape, &x[0], &x[1], [&x[2], &x[3]], (1, 1.5), &Kind::Plain)
    });
    check(&[random(5, &[3, 4])], |tape, x| gather(tape, &x[0], &[2, 0, 2, 2]));
}

#[test]
fn losses_of_a_few_rows() {
    let scored = |completion, rejected, weight| Scored { completion, rejected, weight, reference: 0.5 };
    let examples = [scored(0..2, 2..3, 0.7), scored(3..4, 4..5, 1.5)];
    let targets: Arc<[u32]> = [4, 0, 20, 7, 4].into();
    for kind in [Loss::CrossEntropy, Loss::Dpo { beta: 0.8 }] {
        check(&[random(1, &[5, 21])], |tape, x| {
            let predicted = predicted(&x[0].value, &targets)?;
            let measured = kind.measure(&examples, &predicted.log_probabilities);
            let slopes = measured.slopes.iter().map(|slope| (slope * 0.5) as f32).collect();
            loss(tape, &x[0], predicted, targets.clone(), measured.loss * 0.5, slopes)
        });
    }
}

#[test]
fn attention_over_documents_with_grouped_heads() {
    let scaling = RopeScaling::Yarn {
        factor: 4.0,
        original: 5,
        attention_factor: 1.3,
        beta_fast: 0.5,
        beta_slow: 0.1,
        truncate: false,
    };
    let stretched = flow_model::Rope { theta: 100.0, scaling };
    let (plain, all) =
        (flow_model::Rope::plain(100.0), AttentionScores { scale: 0.4, cap: None, window: None });
    let held = AttentionScores { scale: 0.7, cap: Some(1.5), window: Some(5) };
    for (query, readers, rope, scores) in
        [(4, 1, plain.clone(), all), (8, 2, plain.clone(), all), (4, 1, stretched, all), (4, 1, plain, held)]
    {
        let rope = Arc::new(Rope::new(20, 6, &rope));
        let heads = Heads { query, readers, key_value: 2, dim: 6 };
        check(&[random(1, &[22, (query + 4) * 6])], |tape, x| {
            attention(tape, &x[0], heads, scores, rope.clone(), Arc::new(vec![0..1, 1..19, 19..22].into()))
        });
    }
}

#[test]
fn a_soft_mixture_of_stretches() {
    for experts_per_token in [None, Some(2), Some(1)] {
        let experts = AttentionExperts { count: 3, shared_key_value: false, experts_per_token };
        check(&[random(1, &[4, 3 * 5]), random(2, &[4, 3])], |tape, x| {
            soft_mixture(tape, &x[0], &x[1], experts)
        });
    }
}

#[test]
fn what_does_not_learn_gets_no_gradient() {
    let mut tape = Tape::default();
    let (x, frozen) = (tape.leaf(random(1, &[3, 4])), tape.constant(random(2, &[5, 4])));
    let y = linear(&mut tape, &x, &frozen, &Kind::Plain).expect("forward");
    let still = linear(&mut tape, &frozen, &frozen, &Kind::Plain).expect("forward");
    assert!(y.learns && !still.learns);
    let total = tape.push(tensor(vec![0.0], ()).expect("a scalar"), [&y], |_| Ok([random(3, &[3, 5])]));
    let gradients = tape.gradients(&total, &[x, frozen]).expect("backward");
    assert!(gradients[0].is_some() && gradients[1].is_none());
}

#[test]
fn routing_by_number_and_by_probability_with_and_without_renormalisation_and_null_experts() {
    // Far from ties, so that the choice does not change within a difference.
    let logits: Vec<f32> = vec![2.0, -1.0, 0.5, 1.2, -0.3, 0.9, -2.0, 0.2, 0.1, 0.7, 1.4, -0.6];
    let logits = tensor(logits, (3, 4)).expect("a tensor");
    let choices = [
        (4, Most::TopK(2), [2, 2, 2]),
        (3, Most::TopK(2), [1, 1, 2]),
        (4, Most::TopP(0.82), [2, 3, 3]),
        (3, Most::TopP(0.9), [2, 2, 3]),
    ];
    for ((experts, most, visits), renormalise) in
        choices.into_iter().flat_map(|choice| [(choice, true), (choice, false)])
    {
        let choice = Choice { experts, most, renormalise };
        let routing = |node: &Node| Routing::new(&node.value, None, choice).map(Arc::new);
        check(std::slice::from_ref(&logits), |tape, x| router_weights(tape, &x[0], routing(&x[0])?));
        check(std::slice::from_ref(&logits), |tape, x| router_loss(tape, &x[0], routing(&x[0])?, 0.8, 0.3));
        let fixed = Arc::new(Routing::new(&logits, None, choice).expect("routes"));
        assert_eq!([0, 1, 2].map(|token| fixed.visits(token).len()), visits, "{choice:?}");
        let n: usize = visits.iter().sum();
        check(&[random(8, &[n, 5]), random(9, &[n])], |tape, x| combine(tape, &x[0], &x[1], fixed.clone()));
    }
}

/// By row.
fn softmax(logits: &Tensor) -> Vec<f32> {
    let (_, width) = logits.dims2().expect("rows");
    let values = elements(logits).expect("elements");
    let row = |row: &[f32]| -> Vec<f32> {
        let sum: f32 = row.iter().map(|z| z.exp()).sum();
        row.iter().map(|z| z.exp() / sum).collect()
    };
    values.chunks(width).flat_map(row).collect()
}

#[test]
fn a_bias_chooses_and_does_not_weigh() {
    let logits = tensor(vec![2.0, -1.0, 0.5, 1.2, -0.3, 0.9, -2.0, 0.2], (2, 4)).expect("a tensor");
    let bias = [-1.0, 0.4, 0.0, 0.0];
    for renormalise in [true, false] {
        let choice = Choice { experts: 4, most: Most::TopK(2), renormalise };
        let routing = |x: &Tensor| Routing::new(x, Some(&bias), choice).expect("routes");
        assert_eq!(
            routing(&logits).load(),
            [0, 2, 0, 2],
            "the bias puts the first expert last and the second first"
        );
        check(std::slice::from_ref(&logits), |tape, x| {
            let routing = Arc::new(routing(&x[0].value));
            router_weights(tape, &x[0], routing)
        });
        let weights = router_weights(
            &mut Tape::default(),
            &Tape::default().leaf(logits.clone()),
            Arc::new(routing(&logits)),
        );
        let weights = weights.expect("forward").value;
        let weights = elements(&weights).expect("elements");
        let p = softmax(&logits);
        for (row, weights) in weights.chunks(2).enumerate() {
            // In the order of probability plus bias.
            let expected = [p[row * 4 + 1], p[row * 4 + 3]];
            let sum = if renormalise { expected.iter().sum() } else { 1.0 };
            weights.iter().zip(expected).for_each(|(w, p)| assert!((w - p / sum).abs() < 1e-6, "{w} {p}"));
        }
    }
    assert_eq!(evened(&[0.5, 0.5, 0.5], &[1, 2, 3], 0.25), [0.75, 0.5, 0.25]);
}

#[test]
fn rounding_keeps_the_most_probable_visits_and_adds_the_next() {
    let n_tokens = 41;
    let mut rng = Rng::new(5, "logits");
    let logits: Vec<f32> = (0..n_tokens * 5).map(|_| rng.normal() as f32).collect();
    let logits = tensor(logits, (n_tokens, 5)).expect("a tensor");
    let probabilities = softmax(&logits);
    for (choice, tile) in [(top(5, 2), 8), (top(5, 2), 16), (top(5, 1), 4), (top(4, 2), 8)] {
        let plain = Routing::new(&logits, None, choice).expect("routes");
        let rounded = Routing::new(&logits, None, choice).expect("routes").rounded(tile);
        let visitors = |routing: &Routing, e: usize| -> Vec<u32> {
            routing.tokens[routing.offsets[e]..routing.offsets[e + 1]].to_vec()
        };
        for e in 0..choice.experts {
            let (before, after) = (visitors(&plain, e), visitors(&rounded, e));
            assert!(after.len().is_multiple_of(tile) && before.len().abs_diff(after.len()) <= tile / 2);
            let p = |n: &u32| probabilities[*n as usize * 5 + e];
            let least = |of: &mut dyn Iterator<Item = &u32>| of.map(p).fold(f32::INFINITY, f32::min);
            let most = |of: &mut dyn Iterator<Item = &u32>| of.map(p).fold(0.0, f32::max);
            let added = after.iter().filter(|n| !before.contains(n));
            let (kept, dropped): (Vec<u32>, Vec<u32>) = before.iter().partition(|n| after.contains(n));
            let passed_over = (0..n_tokens as u32).filter(|n| !before.contains(n) && !after.contains(n));
            let passed_over: Vec<u32> = passed_over.collect();
            assert!(dropped.is_empty() || added.clone().count() == 0, "choices come first");
            assert!(least(&mut kept.iter()) >= most(&mut dropped.iter()));
            assert!(least(&mut added.clone()) >= most(&mut passed_over.iter()));
        }
        let routing =
            |node: &Node| Arc::new(Routing::new(&node.value, None, choice).expect("routes").rounded(tile));
        let visits: Vec<usize> = (0..n_tokens).map(|n| rounded.visits(n).len()).collect();
        assert_eq!(visits.iter().sum::<usize>() as u64, rounded.load().iter().sum::<u64>());
        let first = tensor(elements(&logits).expect("elements")[..8 * 5].to_vec(), (8, 5)).expect("a tensor");
        check(&[first], |tape, x| router_weights(tape, &x[0], routing(&x[0])));
    }
}

#[test]
fn rounding_that_would_leave_no_visit_leaves_all() {
    let n_tokens = 41;
    let logits: Vec<f32> = (0..n_tokens * 4).map(|i| if i / 4 % 4 == i % 4 { 2.0 } else { 0.0 }).collect();
    let logits = tensor(logits, (n_tokens, 4)).expect("a tensor");
    let plain = Routing::new(&logits, None, top(4, 1)).expect("routes");
    assert!(plain.load().iter().all(|load| *load < 20));
    for tile in [40, 1 << 20] {
        let rounded = Routing::new(&logits, None, top(4, 1)).expect("routes").rounded(tile);
        assert_eq!(rounded.load(), plain.load());
        assert!(rounded.balance().is_finite());
    }
}

#[test]
fn null_experts_take_choices_and_compute_nothing() {
    let logits = tensor(vec![0.0, 1.0, 3.0, 2.0, 4.0, 1.0, 3.0, 2.0], (2, 4)).expect("a tensor");
    let route =
        |most| Routing::new(&logits, None, Choice { experts: 2, most, renormalise: true }).expect("routes");
    let routing = route(Most::TopK(2));
    assert_eq!((routing.load(), routing.null_visits()), (vec![1, 0], 3));
    assert_eq!((routing.visits(0), routing.visits(1)), (0..0, 0..1));
    let of = |rows| routing.of_rows(rows);
    assert_eq!((of(0..1).null_visits, of(1..2).null_visits, of(0..2).null_visits), (2, 1, 3));
    assert_eq!(of(0..2).tokens_per_expert, routing.load());
    assert!((of(0..2).router_entropy / 2.0 - routing.entropy()).abs() < 1e-12);
    // The one that is left has all the weight. Everything is chosen where the sum must be whole.
    let weights =
        router_weights(&mut Tape::default(), &Tape::default().leaf(logits.clone()), Arc::new(routing));
    assert_eq!(*elements(&weights.expect("forward").value).expect("elements"), [1.0]);
    assert_eq!((route(Most::TopP(1.0)).null_visits() + route(Most::TopP(1.0)).load().iter().sum::<u64>()), 8);
}

#[test]
fn weights_beside_a_null_expert_that_has_it_all_are_zero() {
    let logits = tensor(vec![0.0, -200.0, 200.0], (1, 3)).expect("a tensor");
    let choice = Choice { experts: 2, most: Most::TopK(2), renormalise: true };
    let routing = Routing::new(&logits, None, choice).expect("routes");
    assert_eq!((routing.load(), routing.null_visits()), (vec![1, 0], 1));
    let weights = router_weights(&mut Tape::default(), &Tape::default().leaf(logits), Arc::new(routing));
    assert_eq!(*elements(&weights.expect("forward").value).expect("elements"), [0.0]);
}

fn top(experts: usize, k: usize) -> Choice {
    Choice { experts, most: Most::TopK(k), renormalise: true }
}

#[test]
fn routing_sorts_visits_by_expert() {
    let n_tokens = 50;
    let mut rng = Rng::new(5, "logits");
    let logits: Vec<f32> = (0..n_tokens * 5).map(|_| rng.normal() as f32).collect();
    let routing =
        Routing::new(&tensor(logits, (n_tokens, 5)).expect("a tensor"), None, top(5, 3)).expect("routes");
    assert_eq!(routing.load().iter().sum::<u64>(), 3 * n_tokens as u64);
    for (visit, row) in routing.rows.iter().enumerate() {
        assert_eq!(routing.tokens[*row as usize] as usize, visit / 3);
    }
    let mut rows = routing.rows.clone();
    rows.sort();
    assert_eq!(rows, (0..3 * n_tokens as u32).collect::<Vec<_>>());
}

#[test]
fn equal_logits_go_to_the_lower_expert() {
    let routing =
        Routing::new(&tensor(vec![0.0; 4], (1, 4)).expect("a tensor"), None, top(4, 2)).expect("routes");
    assert_eq!(routing.load(), [1, 1, 0, 0]);
    assert!((routing.balance() - 1.0).abs() < 1e-6);
    assert!((routing.entropy() - 4f64.ln()).abs() < 1e-6);
}
