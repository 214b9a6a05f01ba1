//! Shared experts of four bits a weight.

use flow_model::int4::quantised;

use super::*;

/// A shared expert of width `inner` beside routed ones of width 12.
fn shared_expert(hidden_size: usize, inner: usize, ternary_experts: Option<Ternary>) -> Checkpoint {
    let block = Block { plain_shared_expert: true, ternary_experts, ..Block::default() };
    let config = Config { hidden_size, num_hidden_layers: 1, block, ..with_experts(false, Some(inner)) };
    checkpoint(config)
}

/// Its folder.
fn saved(checkpoint: &Checkpoint) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    checkpoint.save(dir.path()).expect("saves");
    dir
}

#[test]
fn a_shared_expert_rests_as_four_bits_a_weight_and_a_scale_for_each_group() {
    let plain = shared_expert(10, 300, Some(Ternary::Latent)).packed();
    let int4 = plain.clone().with_int4_shared_expert();
    assert_ne!(plain.digest(), int4.digest());
    for (name, tensor) in &plain.tensors {
        let shared = name.contains(".shared_expert.");
        assert_eq!(int4.tensors[name] != *tensor, shared, "{name}");
        if shared {
            assert_eq!(int4.tensors[name].data.to_vec(), quantised(&tensor.data, tensor.shape[1]));
        }
    }
    let dir = saved(&int4);
    let loaded = Checkpoint::load(dir.path()).expect("loads");
    assert_eq!(loaded.config, int4.config);
    assert_eq!(loaded.tensors, int4.tensors);
    assert_eq!(loaded.digest(), int4.digest());
    let folder = Folder::open(dir.path()).expect("opens");
    assert_eq!(folder.digests().expect("is read"), int4.digests());
    let again = loaded.clone().with_int4_shared_expert();
    assert_eq!((again.tensors, again.config), (loaded.tensors, loaded.config), "once is enough");

    let bytes = fs::read(dir.path().join("model.safetensors")).expect("reads");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let of_shared = file.iter().filter(|(name, _)| name.contains(".shared_expert."));
    let stored: usize = of_shared.map(|(_, view)| view.data().len()).sum();
    // Rows of 10 weights take 5 bytes and one scale of 2; rows of 300 take 150 and three scales.
    assert_eq!(stored, 2 * 300 * (5 + 2) + 10 * (150 + 3 * 2));
    let name = "model.layers.0.mlp.shared_expert.down_proj.weight";
    let scales = file.tensor(&format!("{name}_scale")).expect("scales");
    assert_eq!((scales.dtype(), scales.shape()), (Dtype::F16, &[10, 3][..]));
    let again = saved(&Checkpoint::load(dir.path()).expect("loads"));
    assert_eq!(fs::read(again.path().join("model.safetensors")).expect("reads"), bytes);
}

#[test]
fn matrices_of_several_reads_keep_their_scales() {
    // More than a MiB of four bits a weight, in rows whose last group is short.
    let int4 = shared_expert(600, 4000, None).with_int4_shared_expert();
    let dir = saved(&int4);
    assert_eq!(Checkpoint::load(dir.path()).expect("loads").tensors, int4.tensors);
}

/// What reading says of a folder whose weights `change` has made others of.
fn refusal(change: impl Fn(&str, &mut Dtype, &mut Vec<usize>, &mut Vec<u8>)) -> String {
    let dir = saved(&shared_expert(10, 300, None).with_int4_shared_expert());
    let path = dir.path().join("model.safetensors");
    let bytes = fs::read(&path).expect("reads");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let changed = file.tensors().into_iter().map(|(name, view)| {
        let (mut dtype, mut shape, mut data) = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        change(&name, &mut dtype, &mut shape, &mut data);
        (name, dtype, shape, data)
    });
    let changed: Vec<_> = changed.collect();
    let views = changed.iter().map(|(name, dtype, shape, data)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), data).expect("a tensor"))
    });
    safetensors::serialize_to_file(views, None, &path).expect("writes");
    let loaded = Checkpoint::load(dir.path()).map(drop).expect_err("is refused").to_string();
    let digest = Folder::open(dir.path()).and_then(|folder| folder.digest().map(drop));
    assert_eq!(digest.expect_err("is refused").to_string(), loaded);
    loaded
}

#[test]
fn damaged_and_misshaped_tensors_are_named() {
    const NAME: &str = "model.layers.0.mlp.shared_expert.down_proj.weight";
    let of = |name: &str, what: &str| format!("tensor `{name}` {what}");
    let scale = format!("{NAME}_scale");
    let codes = refusal(|name, _, _, data| {
        if name == NAME {
            data[900] &= 0x0f;
        }
    });
    assert!(codes.starts_with(&of(NAME, "holds the four bits 0000, expected -7 to 7 times")), "{codes}");
    let negative = refusal(|name, _, _, data| {
        if name == scale {
            data[41] |= 0x80;
        }
    });
    assert!(negative.starts_with(&of(NAME, "holds the scale -")), "{negative}");
    let fewer = refusal(|name, _, shape, data| {
        if name == scale {
            (*shape, *data) = (vec![10, 1], data[..20].to_vec());
        }
    });
    assert_eq!(fewer, of(&scale, "has the shape [10, 1], expected [10, 3]"));
    let wider = refusal(|name, dtype, shape, data| {
        if name == scale {
            (*dtype, *shape, *data) = (Dtype::F32, vec![10, 3], vec![0; 120]);
        }
    });
    assert_eq!(wider, of(&scale, "is stored as F32, supported: F16"));
    let shorter = refusal(|name, _, shape, data| {
        if name == NAME {
            (*shape, *data) = (vec![10, 149], data[..1490].to_vec());
        }
    });
    assert_eq!(shorter, of(NAME, "has the shape [10, 149], expected [10, 150]"));
    let whole = refusal(|name, dtype, shape, data| {
        if name == NAME {
            (*dtype, *shape, *data) = (Dtype::F32, vec![10, 300], vec![0; 12_000]);
        }
    });
    assert_eq!(whole, of(NAME, "is stored as F32, supported: U8"));
}

#[test]
fn four_bits_are_checked_where_a_checkpoint_is_made_and_written() {
    let mut moved = shared_expert(10, 300, None).with_int4_shared_expert();
    let name = "model.layers.0.mlp.shared_expert.up_proj.weight";
    let mut data = moved.tensors[name].data.to_vec();
    data[17] += 0.001;
    let value = data[17];
    moved.tensors.insert(name.into(), Tensor::new(moved.tensors[name].shape.clone(), data));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let written = moved.save(dir.path()).expect_err("is refused").to_string();
    let made = Checkpoint::new(moved.config, moved.tensors, moved.tokenizer).expect_err("is refused");
    assert!(made.to_string().starts_with(&format!("tensor `{name}` holds ")), "{made}");
    assert_eq!(made.to_string(), written);
    assert!(made.to_string().contains(&value.to_string()), "{made} {value}");
}

#[test]
fn bits_are_four_and_of_a_shared_expert() {
    let mut config = shared_expert(10, 300, None).with_int4_shared_expert().config.to_json();
    assert_eq!(config["shared_expert_bits"], 4);
    config["shared_expert_bits"] = 3.into();
    let error = Config::from_json(&config).expect_err("is refused").to_string();
    assert_eq!(error, "config key `shared_expert_bits` has the value 3, expected 4, or null");
    let block = Block { int4_shared_expert: true, ..Block::default() };
    for config in [Config { block: block.clone(), ..dense() }, Config { block, ..with_experts(true, None) }] {
        let error = Checkpoint::init(config, tokenizer(), 1).expect_err("is refused").to_string();
        assert!(
            error.contains("`shared_expert_bits`") && error.contains("without a shared expert"),
            "{error}"
        );
    }
    let without = checkpoint(with_experts(true, None));
    assert_eq!(without.clone().with_int4_shared_expert().config, without.config);
}
