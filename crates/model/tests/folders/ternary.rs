//! Experts of ternary weights, two bits each.

use super::*;

#[test]
fn two_bits_that_mean_no_weight_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    checkpoint(ternary(8, 12)).packed().save(dir.path()).expect("saves");
    let path = dir.path().join("model.safetensors");
    let mut bytes = fs::read(&path).expect("reads");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let (_, expert) = file.iter().find(|(_, view)| view.dtype() == Dtype::U8).expect("an expert");
    let at = expert.data().as_ptr() as usize - bytes.as_ptr() as usize;
    bytes[at] |= 3;
    fs::write(&path, bytes).expect("writes");
    for error in
        [Checkpoint::load(dir.path()).map(drop), Folder::open(dir.path()).and_then(|f| f.digest().map(drop))]
    {
        let error = error.expect_err("is refused").to_string();
        assert!(error.contains("`ternary_experts`"), "{error}");
    }
}

#[test]
fn a_scale_is_one_number() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    checkpoint(ternary(8, 12)).packed().save(dir.path()).expect("saves");
    let path = dir.path().join("model.safetensors");
    let bytes = fs::read(&path).expect("reads");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    for n in [0, 7] {
        let numbers = vec![0; 4 * n];
        let views = file.tensors().into_iter().map(|(name, view)| match name.ends_with("_scale") {
            true => (name, TensorView::new(Dtype::F32, vec![n], &numbers).expect("a scale")),
            false => (name, view),
        });
        let other = tempfile::tempdir().expect("a temporary folder");
        for name in ["config.json", "tokenizer.json"] {
            fs::copy(dir.path().join(name), other.path().join(name)).expect("copies");
        }
        safetensors::serialize_to_file(views, None, &other.path().join("model.safetensors")).expect("writes");
        let error = Checkpoint::load(other.path()).map(drop).expect_err("is refused").to_string();
        assert!(error.contains("_scale"), "{n}: {error}");
    }
}

/// A mixture of ternary experts as wide as asked for.
fn ternary(hidden_size: usize, intermediate_size: usize) -> Config {
    let block =
        Block { plain_shared_expert: true, ternary_experts: Some(Ternary::Latent), ..Block::default() };
    let mut config =
        Config { hidden_size, intermediate_size, block, ..with_experts(false, Some(intermediate_size)) };
    config.moe.as_mut().expect("experts").num_experts = 4;
    config
}

#[test]
fn ternary_experts_rest_as_two_bits_a_weight() {
    let config = ternary(10, 24);
    let latent = checkpoint(config.clone());
    let packed = latent.clone().packed();
    let dir = tempfile::tempdir().expect("a temporary folder");
    packed.save(dir.path()).expect("saves");
    let loaded = Checkpoint::load(dir.path()).expect("loads");
    assert_eq!(loaded.digest(), packed.digest());
    assert_eq!(loaded.tensors, packed.tensors);
    assert_ne!(latent.digest(), packed.digest());

    let bytes = fs::read(dir.path().join("model.safetensors")).expect("reads");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let of_experts = file.iter().filter(|(name, _)| name.contains(".experts."));
    let stored: usize = of_experts.map(|(_, view)| view.data().len()).sum();
    // Rows of 10 weights take 3 bytes, rows of 24 take 6; each matrix has a scale of 4 bytes.
    assert_eq!(stored, 2 * 4 * (2 * (24 * 3 + 4) + 10 * 6 + 4));

    let mut damaged = packed.clone();
    let name = names::packed(&packed.config).keys().next().expect("experts").clone();
    let tensor = &damaged.tensors[&name];
    let mut data = tensor.data.to_vec();
    data[0] = 9.0;
    data[1] = 8.0;
    let tensor = Tensor::new(tensor.shape.clone(), data);
    damaged.tensors.insert(name, tensor);
    let error = Checkpoint::new(damaged.config, damaged.tensors, damaged.tokenizer).expect_err("refused");
    assert!(error.to_string().contains("`ternary_experts`"), "{error}");
}

#[test]
fn going_on_from_packed_experts_computes_the_same() {
    let packed = checkpoint(ternary(8, 12)).packed();
    let again = packed.clone().latent().packed();
    for (name, tensor) in &packed.tensors {
        for (a, b) in again.tensors[name].data.iter().zip(tensor.data.iter()) {
            assert!((a - b).abs() <= 1e-6 * b.abs(), "{name}: {a} {b}");
        }
    }
}

#[test]
fn a_shared_expert_with_four_ternary_ones_takes_376_thousandths_of_four_full_ones() {
    // Qwen2.5-3B, whose feed-forward blocks take 4.54 GiB in 16 bits: 6.8 GiB beside 18.1 GiB.
    let config = Config { num_hidden_layers: 36, vocab_size: 300, ..ternary(2048, 11008) };
    let block = 3 * 2048 * 11008;
    let elements = |part: &str| -> usize {
        let all = names::expected(&config);
        all.iter().filter(|(name, _)| name.contains(part)).map(|(_, shape)| shape[0] * shape[1]).sum()
    };
    let shared = elements(".shared_expert.");
    assert_eq!(shared, 36 * block);
    let names = names::expected(&config);
    let routed = names.iter().filter(|(name, _)| name.contains(".experts."));
    let routed: usize =
        routed.map(|(_, shape)| shape[0] * flow_model::ternary::packed_width(shape[1]) + 4).sum();
    assert_eq!(routed, 36 * 4 * (block / 4 + 3 * 4));
    let (mote, full) = (2 * shared + routed, 4 * 2 * shared);
    assert_eq!((mote, full), (7_304_382_144, 19_478_347_776));
    let gib = |bytes: usize| (bytes as f64 / (1u64 << 30) as f64 * 10.0).round() / 10.0;
    assert_eq!((gib(mote), gib(full)), (6.8, 18.1));
    assert_eq!((gib(mote) / gib(full) * 1000.0).round(), 376.0);

    // The shared expert in four bits a weight, and 16 bits for each 128: 1.17 GiB in place of 4.54, and 3.4 in all, as much as four experts
    // of three bits.
    let four_bits = names.iter().filter(|(name, _)| name.contains(".shared_expert."));
    let four_bits: usize = four_bits
        .map(|(_, shape)| {
            shape[0] * (flow_model::int4::packed_width(shape[1]) + 2 * flow_model::int4::scales(shape[1]))
        })
        .sum();
    assert_eq!(four_bits, 36 * (block / 2 + block / 128 * 2));
    assert_eq!((four_bits, four_bits + routed), (1_255_440_384, 3_690_235_584));
    assert_eq!((gib(four_bits + routed), gib(4 * 3 * shared / 8)), (3.4, 3.4));
}
