//! The kernels of `cuda/` in the emulator, and on a GPU where there is one, beside the loops of the CPU: the same bits, whichever way the
//! threads of a block run.

mod emulated;

use flow_kernels::gpu::{Answers, Bounds, Buffer, Choosing, Extents, Gpu, Indices, Scores, Seen, Source};
use flow_kernels::{
    Activation, BLOCK, Chooser, Code, Heads, Norm, Packed, Paged, Pick, Place, Precision, Routing, Rules,
    Selector, Shape, Table, add_scaled, attend, choose, gate, padded, rms_norm, rms_norm_parts, sigmoid,
    soft_cap, softmax, uniform, write,
};

/// All devices, the emulator with its threads ascending and descending.
fn devices() -> Vec<Gpu> {
    emulated::devices(&[false, true])
}

/// Numbers in -2 to 2, others for each `seed`.
fn numbers(count: usize, seed: u8) -> Vec<f32> {
    (0..count as u32).map(|i| uniform(&[seed; 16], i) as f32 * 4.0 - 2.0).collect()
}

/// Rows of `width` numbers, padded with zeros.
fn rows(values: &[f32], width: usize) -> Vec<f32> {
    let zeros = || std::iter::repeat_n(0.0, padded(width) - width);
    values.chunks(width).flat_map(|row| row.iter().copied().chain(zeros())).collect()
}

fn indices(gpu: &mut Gpu, numbers: &[u32]) -> Indices {
    let mut on = gpu.indices().unwrap();
    gpu.index(&mut on, numbers).unwrap();
    on
}

fn same(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.to_bits(), expected.to_bits(), "{what}: number {i} is {found}, expected {expected}");
    }
}

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

#[test]
fn products() {
    for mut gpu in devices() {
        for (count, inputs, outputs) in [(1, 1, 1), (5, 40, 33), (9, 64, 64), (45, 100, 70), (131, 35, 40)] {
            let (x, w, bias) =
                (numbers(count * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3));
            let x = rows(&x, inputs);
            for (precision, biased, add) in
                PRECISIONS.into_iter().flat_map(|p| [(p, false, true), (p, true, false), (p, true, true)])
            {
                let mut packed = Packed::new(precision, inputs, &[&w]);
                if biased {
                    packed = packed.with_bias(&[&bias]);
                }
                let mut expected = numbers(count * packed.outputs(), 4);
                let (matrix, held) = (gpu.matrix(&[&packed]).unwrap(), gpu.upload(&x).unwrap());
                let mut out = gpu.upload(&expected).unwrap();
                let source = Source { x: &held, rows: count, row_of: None, held: count };
                gpu.multiply(&matrix, source, None, add, &mut out).unwrap();
                match add {
                    true => packed.multiply_add(count, &x, &mut expected),
                    false => packed.multiply(count, &x, &mut expected),
                }
                let found = gpu.read(&out, 0, expected.len()).unwrap();
                same(&found, &expected, &format!("{precision:?}, {count} x {inputs} x {outputs}"));
            }
        }
    }
}

/// A matrix of coded weights, outputs x inputs.
fn coded(code: Code, inputs: usize, outputs: usize, seed: u8) -> Packed {
    let codes = numbers(inputs * outputs, seed).into_iter().map(|x| match code {
        Code::Ternary => x.round_ties_even().clamp(-1.0, 1.0) as i8,
        Code::Int4 => (3.4 * x).round_ties_even() as i8,
    });
    let scales = numbers(outputs * inputs.div_ceil(code.group(inputs)), seed + 1);
    let mut packed = Packed::coded(code, inputs, [outputs]);
    packed.set_coded(0, &codes.collect::<Vec<_>>(), &scales);
    packed
}

#[test]
fn products_of_coded_weights() {
    for mut gpu in devices() {
        for (count, inputs, outputs) in [(1, 1, 1), (5, 40, 33), (9, 128, 64), (45, 300, 70), (131, 35, 40)] {
            let x = rows(&numbers(count * inputs, 1), inputs);
            for code in [Code::Ternary, Code::Int4] {
                let packed = coded(code, inputs, outputs, 5);
                let mut expected = numbers(count * packed.outputs(), 4);
                let (matrix, held) = (gpu.matrix(&[&packed]).unwrap(), gpu.upload(&x).unwrap());
                let mut out = gpu.upload(&expected).unwrap();
                let source = Source { x: &held, rows: count, row_of: None, held: count };
                gpu.multiply(&matrix, source, None, true, &mut out).unwrap();
                packed.multiply_add(count, &x, &mut expected);
                let found = gpu.read(&out, 0, expected.len()).unwrap();
                same(&found, &expected, &format!("{code:?}, {count} x {inputs} x {outputs}"));
            }
        }
    }
}

#[test]
fn products_of_experts_read_the_rows_of_their_visits() {
    let (inputs, outputs, held) = (150, 64, 6);
    let starts = [0u32, 3, 3, 100, 101];
    let row_of: Vec<u32> = (0..101).map(|place| place * 5 % held as u32).collect();
    let x = rows(&numbers(held * inputs, 1), inputs);
    for mut gpu in devices() {
        let full = |precision| {
            (0..4).map(|e| Packed::new(precision, inputs, &[&numbers(outputs * inputs, 10 + e)])).collect()
        };
        let few = |code| (0..4).map(|e| coded(code, inputs, outputs, 10 + 2 * e)).collect();
        let kinds: Vec<Vec<Packed>> =
            PRECISIONS.into_iter().map(full).chain([Code::Ternary, Code::Int4].map(few)).collect();
        for packed in kinds {
            let matrix = gpu.matrix(&packed.iter().collect::<Vec<_>>()).unwrap();
            let (on, starts_on) = (gpu.upload(&x).unwrap(), indices(&mut gpu, &starts));
            let (row_on, mut out) = (indices(&mut gpu, &row_of), gpu.allocate(101 * outputs).unwrap());
            let source = Source { x: &on, rows: 100, row_of: Some(&row_on), held };
            let bounds = Bounds { starts: &starts_on, rows: 101 };
            gpu.multiply(&matrix, source, Some(bounds), false, &mut out).unwrap();
            let mut expected = vec![0.0; 101 * outputs];
            for (e, packed) in packed.iter().enumerate() {
                for place in starts[e] as usize..starts[e + 1] as usize {
                    let row = &x[row_of[place] as usize * padded(inputs)..][..padded(inputs)];
                    packed.multiply(1, row, &mut expected[place * outputs..][..outputs]);
                }
            }
            same(&gpu.read(&out, 0, 101 * outputs).unwrap(), &expected, "experts");
        }
    }
}

#[test]
fn rows_of_a_table() {
    let data = numbers(7 * 40, 1);
    for mut gpu in devices() {
        for precision in PRECISIONS {
            let table = Table::new(precision, 40, &data);
            let (on, tokens) = (gpu.embedding(&table, 40).unwrap(), indices(&mut gpu, &[3, 0, 6]));
            let mut out = gpu.allocate(3 * 64).unwrap();
            gpu.embed(&on, &tokens, 3, Some(1.5), &mut out).unwrap();
            let mut expected = vec![0.0; 3 * 64];
            for (token, row) in [3, 0, 6].into_iter().zip(expected.chunks_mut(64)) {
                table.read(token, &mut row[..40]);
                row.iter_mut().for_each(|x| *x *= 1.5);
            }
            same(&gpu.read(&out, 0, 3 * 64).unwrap(), &expected, "embedding");
        }
    }
}

#[test]
fn norms_gates_and_caps() {
    for mut gpu in devices() {
        for width in [20, 96, 1100] {
            let (x, scale) = (rows(&numbers(3 * width, 1), width), rows(&numbers(width, 2), width));
            let (on, scale_on) = (gpu.upload(&x).unwrap(), gpu.upload(&scale).unwrap());
            let (mut out, mut expected) = (gpu.allocate(x.len()).unwrap(), vec![0.0; x.len()]);
            gpu.rms_norm(3, &on, &scale_on, (width, 1e-5), &mut out).unwrap();
            rms_norm(&x, &Norm { scale, width, eps: 1e-5 }, &mut expected);
            same(&gpu.read(&out, 0, x.len()).unwrap(), &expected, "rms_norm");
        }
        let x: Vec<f32> = numbers(4 * 64, 1).iter().map(|x| x * 4.0).collect();
        let on = gpu.upload(&x).unwrap();
        for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
            let (mut out, mut expected) = (gpu.allocate(4 * 32).unwrap(), vec![0.0; 4 * 32]);
            gpu.gate(activation, 4, 32, &on, &mut out).unwrap();
            gate(activation, &x, 32, &mut expected);
            same(&gpu.read(&out, 0, 4 * 32).unwrap(), &expected, &format!("{activation:?}"));
        }
        let (mut capped, mut expected) = (gpu.upload(&x).unwrap(), x.clone());
        gpu.soft_cap(x.len(), 3.0, &mut capped).unwrap();
        soft_cap(&mut expected, 3.0);
        same(&gpu.read(&capped, 0, x.len()).unwrap(), &expected, "soft_cap");
        gpu.add(x.len(), &on, &mut capped).unwrap();
        expected.iter_mut().zip(&x).for_each(|(to, x)| *to += x);
        same(&gpu.read(&capped, 0, x.len()).unwrap(), &expected, "add");
        let index = indices(&mut gpu, &[2, 2, 0]);
        gpu.gather(3, (&on, 4), &index, 64, &mut capped).unwrap();
        let expected = [&x[128..192], &x[128..192], &x[..64]].concat();
        same(&gpu.read(&capped, 0, 192).unwrap(), &expected, "gather");
        gpu.clear(70, &mut capped).unwrap();
        let cleared = [&[0.0; 70], &expected[70..]].concat();
        same(&gpu.read(&capped, 0, 192).unwrap(), &cleared, "clear");
    }
}

/// Cosines and sines of `positions` positions.
fn rotary(positions: usize, half: usize) -> [Vec<f32>; 2] {
    let angle = |i: usize| (i / half) as f32 * 0.3 / (1 + i % half) as f32;
    [
        (0..positions * half).map(|i| angle(i).cos()).collect(),
        (0..positions * half).map(|i| angle(i).sin()).collect(),
    ]
}

#[test]
fn attention_over_paged_keys_and_values() {
    let cases = [
        (6, 2, 4, 1, usize::MAX, None, None, 0),
        (20, 2, 4, 1, 9, Some(2.0), Some(1.2), 20),
        (22, 1, 6, 2, 17, None, None, 22),
        (32, 2, 2, 1, 40, None, None, 64),
    ];
    for mut gpu in devices() {
        for (head_dim, key_value_heads, query_heads, readers, window, cap, clip, normed) in cases {
            let heads = Heads { key_value_heads, head_dim };
            let shape = Shape { query_heads, attentions: readers, readers, heads, scale: 0.4, cap, clip };
            let lengths = [37usize, 16, 1, 50];
            let [cos, sin] = rotary(50, head_dim / 2);
            // The blocks of the sequences stand in turns.
            let tables: Vec<Vec<u32>> = (0..4).map(|s| (0..4).map(|b| b * 4 + s).collect()).collect();
            let mut blocks = numbers(16 * heads.block_len(), 5);
            let places: Vec<Place> = lengths
                .iter()
                .enumerate()
                .flat_map(|(sequence, &length)| (0..length).map(move |position| Place { sequence, position }))
                .collect();
            let mut fused = numbers(places.len() * shape.fused_len(), 1);
            let scale = numbers(normed.max(1), 2);

            let mut fused_on = gpu.upload(&fused).unwrap();
            let mut cache = gpu.upload(&blocks).unwrap();
            let (cos_on, sin_on) = (gpu.upload(&cos).unwrap(), gpu.upload(&sin).unwrap());
            let positions: Vec<u32> = places.iter().map(|place| place.position as u32).collect();
            let table_of: Vec<u32> = places.iter().map(|place| place.sequence as u32 * 4).collect();
            let mut at = gpu.placed().unwrap();
            gpu.put_placed(&mut at, &positions, &table_of, &tables.concat()).unwrap();
            let positions = indices(&mut gpu, &positions);
            let scale_on = gpu.upload(&scale).unwrap();
            let norms = (normed > 0).then_some((&scale_on, &scale_on, 1e-5));
            let extents = Extents::new(shape).unwrap();
            gpu.place(extents, &at, norms, ([&cos_on, &sin_on], &positions), &mut fused_on, &mut cache)
                .unwrap();
            for (place, row) in places.iter().zip(fused.chunks_mut(shape.fused_len())) {
                let (query, key, value) = shape.split(row);
                if normed > 0 {
                    rms_norm_parts(query, &scale, 1e-5);
                    rms_norm_parts(key, &scale, 1e-5);
                }
                if let Some(clip) = clip {
                    let all = query.iter_mut().chain(&mut *key).chain(&mut *value);
                    all.for_each(|x| *x = x.clamp(-clip, clip));
                }
                for head in query.chunks_mut(head_dim).chain(key.chunks_mut(head_dim)) {
                    for d in 0..head_dim / 2 {
                        let at = place.position * (head_dim / 2) + d;
                        let (a, b) = (head[d], head[head_dim / 2 + d]);
                        head[d] = a * cos[at] - b * sin[at];
                        head[head_dim / 2 + d] = b * cos[at] + a * sin[at];
                    }
                }
                let block = tables[place.sequence][place.position / BLOCK] as usize * heads.block_len();
                write(heads, &mut blocks[block..][..heads.block_len()], place.position % BLOCK, key, value);
            }
            same(&gpu.read(&fused_on, 0, fused.len()).unwrap(), &fused, "place");
            same(&gpu.read(&cache, 0, blocks.len()).unwrap(), &blocks, "cache");

            let mut expected = vec![0.0; places.len() * shape.output_len()];
            let paged = Paged { blocks: &blocks, tables: &tables };
            attend(shape, window, &places, &fused, paged, &mut Vec::new(), &mut expected);
            // All rows at once, in turns of 31 rows, one by one.
            for most in [1 << 20, 31 * query_heads * 64, 1] {
                let mut out = gpu.upload(&vec![0.0f32; expected.len()]).unwrap();
                let mut scores = gpu.allocate(0).unwrap();
                let seen = Seen { window, most, scores: &mut scores };
                gpu.attend(extents, &at, seen, &fused_on, &cache, &mut out).unwrap();
                same(&gpu.read(&out, 0, expected.len()).unwrap(), &expected, "attend");
                assert!(scores.len() <= most.max(query_heads * 64).next_power_of_two());
            }

            let (from, to) = (indices(&mut gpu, &[2, 5]), indices(&mut gpu, &[9, 0]));
            gpu.copy_blocks(shape, &from, &to, &mut cache).unwrap();
            let len = heads.block_len();
            blocks.copy_within(2 * len..3 * len, 9 * len);
            blocks.copy_within(5 * len..6 * len, 0);
            same(&gpu.read(&cache, 0, blocks.len()).unwrap(), &blocks, "copy_blocks");
        }
    }
}

#[test]
fn a_mixture_of_attentions() {
    for mut gpu in devices() {
        for kept in [1, 2, 3] {
            let (logits, attended) = (numbers(4 * 32, 1), numbers(4 * 64, 2));
            let (mut logits_on, mut out) = (gpu.upload(&logits).unwrap(), gpu.upload(&attended).unwrap());
            gpu.mix_attentions(4, (&mut logits_on, 32), (3, kept), (&mut out, 20, 64)).unwrap();
            let mut expected = attended;
            for (logits, row) in logits.chunks(32).zip(expected.chunks_mut(64)) {
                let mut g = logits.to_vec();
                g[3..].fill(f32::MIN);
                softmax(&mut g);
                let rank = |j: usize| (0..3).filter(|&i| g[i] > g[j]).count();
                for (j, part) in row[..60].chunks_mut(20).enumerate() {
                    part.iter_mut().for_each(|x| *x *= if rank(j) < kept { g[j] } else { 0.0 });
                }
            }
            same(&gpu.read(&out, 0, 4 * 64).unwrap(), &expected, "mix_attentions");
        }
    }
}

#[test]
fn visits_of_experts_and_the_sum_of_their_answers() {
    let (count, stride) = (13, 64);
    let kinds =
        [Routing::TopK(2), Routing::TopK(20), Routing::Rank(1), Routing::Rank(30), Routing::TopP(0.6)];
    let routing: Vec<Routing> = (0..17).map(|r| kinds[r % 5]).collect();
    for mut gpu in devices() {
        for (renormalise, null_experts, biased) in
            [(false, 0, false), (true, 0, false), (true, 0, true), (false, 4, true), (true, 4, false)]
        {
            let bias = numbers(count, 6);
            let bias_on = gpu.upload(&bias).unwrap();
            let choosing = Choosing { bias: biased.then_some(&bias_on), null_experts, renormalise };
            let chooser = Chooser { bias: biased.then_some(&bias[..]), null_experts, renormalise };
            let mut logits = numbers(17 * 32, 1);
            // Equal ones are taken lowest index first.
            logits.copy_within(32 * 3..32 * 3 + 1, 32 * 3 + 7);
            let mut chosen = gpu.routings().unwrap();
            gpu.put_routings(&mut chosen, routing.iter().copied(), count).unwrap();
            let most = chosen.most();
            assert_eq!(most, count);
            let mut visits = gpu.visits().unwrap();
            let mut logits_on = gpu.upload(&logits).unwrap();
            gpu.route((&mut logits_on, 32), &chosen, &choosing, &mut visits).unwrap();

            let (mut all, mut ends, mut starts) = (Vec::new(), Vec::new(), Vec::new());
            for (routing, logits) in routing.iter().zip(logits.chunks_mut(32)) {
                logits[count..].fill(f32::MIN);
                softmax(logits);
                choose(&logits[..count], &chooser, *routing, &mut Vec::new(), &mut all);
                ends.push(all.len());
            }
            flow_kernels::group(count - null_experts, &mut all, &mut starts);
            let starts: Vec<u32> = starts.into_iter().map(|start| start as u32).collect();
            assert_eq!(gpu.read_indices(&visits.starts).unwrap(), starts);
            let row_of = gpu.read_indices(&visits.row_of).unwrap();
            let mut begin = 0;
            for (r, &end) in ends.iter().enumerate() {
                assert!(all[begin..end].iter().all(|visit| row_of[visit.place] == r as u32));
                begin = end;
            }

            let (answers, shared, gates) =
                (numbers(17 * most * stride, 2), numbers(17 * stride, 3), numbers(17 * 32, 4));
            let mut expected = numbers(17 * stride, 5);
            let mut out = gpu.upload(&expected).unwrap();
            let (answers_on, shared_on) = (gpu.upload(&answers).unwrap(), gpu.upload(&shared).unwrap());
            let gates_on = gpu.upload(&gates).unwrap();
            let on = Answers { experts: &answers_on, shared: Some(&shared_on), gates: Some((&gates_on, 32)) };
            gpu.combine(stride, &visits, &on, &mut out).unwrap();
            let mut begin = 0;
            for (r, &end) in ends.iter().enumerate() {
                let mut sum = vec![0.0; stride];
                for visit in &all[begin..end] {
                    add_scaled(&mut sum, visit.weight, &answers[visit.place * stride..][..stride]);
                }
                let opened = sigmoid(gates[r * 32]);
                add_scaled(&mut sum, opened, &shared[r * stride..][..stride]);
                add_scaled(&mut expected[r * stride..][..stride], 1.0, &sum);
                begin = end;
            }
            same(&gpu.read(&out, 0, expected.len()).unwrap(), &expected, "combine");
        }
    }
}

#[test]
fn logits_that_are_no_numbers_choose_experts_too() {
    let fill = |value| vec![value; 32];
    let with = |value| [&numbers(5, 1)[..], &[value], &numbers(26, 2)[..]].concat();
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    let logits = [fill(nan), fill(infinity), fill(-infinity), with(nan), with(infinity), with(-infinity)];
    let kinds = [Routing::TopK(3), Routing::Rank(2), Routing::TopP(0.5)];
    for mut gpu in devices() {
        for (count, kind) in [(32, 0), (32, 1), (32, 2), (13, 0), (13, 2)] {
            let mut chosen = gpu.routings().unwrap();
            gpu.put_routings(&mut chosen, logits.iter().map(|_| kinds[kind]), count).unwrap();
            let mut visits = gpu.visits().unwrap();
            let mut on = gpu.upload(&logits.concat()).unwrap();
            let choosing = Choosing { renormalise: true, ..Choosing::default() };
            gpu.route((&mut on, 32), &chosen, &choosing, &mut visits).unwrap();
            let (mut all, mut starts) = (Vec::new(), Vec::new());
            for row in &logits {
                let mut row = row.clone();
                row[count..].fill(f32::MIN);
                softmax(&mut row);
                let chooser = Chooser { renormalise: true, ..Chooser::default() };
                choose(&row[..count], &chooser, kinds[kind], &mut Vec::new(), &mut all);
            }
            flow_kernels::group(count, &mut all, &mut starts);
            let starts: Vec<u32> = starts.into_iter().map(|start| start as u32).collect();
            assert_eq!(gpu.read_indices(&visits.starts).unwrap(), starts, "{count}, {kind}");
        }
    }
}

#[test]
fn choices_are_those_of_the_cpu() {
    let all = Rules::default();
    let cases = [
        all,
        Rules { temperature: 0.0, ..all },
        Rules { temperature: 0.6, ..all },
        Rules { temperature: 1e60, ..all },
        Rules { top_k: 7, ..all },
        Rules { top_p: 0.8, ..all },
        Rules { top_p: 0.9999, temperature: 3.0, ..all },
        Rules { min_p: 0.1, ..all },
        Rules { repetition_penalty: 1.8, ..all },
        Rules { temperature: 0.0, repetition_penalty: 0.5, ..all },
        Rules { temperature: 0.8, top_k: 300, top_p: 0.9, min_p: 0.05, repetition_penalty: 1.1 },
    ];
    let seen = [3, 40, 41, 97];
    for mut gpu in devices() {
        let mut scratch = gpu.picks().unwrap();
        // Spans are summed 256 at a time: the last vocabulary has more.
        for (vocab, turns) in [(100usize, 6), (128, 6), (2700, 6), (17_000, 2)] {
            let stride = padded(vocab);
            let count = cases.len() + 3;
            let mut scores = numbers(count * stride, 1);
            scores.iter_mut().for_each(|score| *score *= 1.5);
            // Equal scores, a forced token, and two rows that hold what is no number.
            scores[stride + 80] = 3.5;
            scores[stride + 90] = 3.5;
            scores[(count - 2) * stride + 50] = f32::NAN;
            scores[(count - 1) * stride + 99] = f32::INFINITY;
            let on = gpu.upload(&scores).unwrap();
            for turn in 0..turns {
                let pick = |r: usize| Pick {
                    rules: *cases.get(r).unwrap_or(&all),
                    seen: &seen,
                    forced: (r == cases.len()).then_some(55),
                    stream: [r as u8 * 7 + 1; 16],
                    place: turn,
                };
                // Rows in another order, and one that several picks are about.
                let row = |r: usize| if r > 4 && r < cases.len() { 5 } else { r };
                let picks: Vec<_> = (0..count).rev().map(|r| (row(r), pick(r))).collect();
                let rows = Scores { x: &on, rows: count, stride, vocab };
                let found = gpu.choose(&rows, &picks, &mut scratch).unwrap();
                for ((r, pick), found) in picks.into_iter().zip(found) {
                    let number = uniform(&pick.stream, pick.place);
                    let scores = &scores[r * stride..][..vocab];
                    let expected =
                        Selector::default().choose(scores, &pick.rules, &seen, pick.forced, number);
                    assert_eq!(found, expected, "row {r} of {vocab} tokens, {:?}", pick.rules);
                    assert_eq!(found.is_none(), r + 2 >= count);
                }
            }
        }
    }
}

#[test]
fn what_a_kernel_must_not_do_is_told() {
    for mut gpu in devices() {
        let (on, mut small) = (gpu.upload(&[1.0f32; 64]).unwrap(), gpu.allocate::<f32>(10).unwrap());
        let large = gpu.allocate::<f32>(64).unwrap();
        let mut beyond = |index: &[u32], x: &Buffer<f32>, held, out: &mut Buffer<f32>| {
            let index = indices(&mut gpu, index);
            let gather = || gpu.gather(1, (x, held), &index, 64, out);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(gather)).is_err()
        };
        let mut out = large;
        assert!(!beyond(&[0], &on, 1, &mut out));
        assert!(beyond(&[0], &on, 1, &mut small), "a launcher checks the extents of its buffers");
        assert!(beyond(&[0], &on, 2, &mut out), "and of those that indices lead into");
        assert!(beyond(&[1], &on, 1, &mut out), "an index is below the rows that are held");
        assert!(beyond(&[], &on, 1, &mut out), "each row has one");
        let mut placed = gpu.placed().unwrap();
        let put = || gpu.put_placed(&mut placed, &[16], &[1], &[4, 5]);
        let unheld = std::panic::catch_unwind(std::panic::AssertUnwindSafe(put));
        assert!(unheld.is_err(), "a position is in a block of the tables");
    }
}
