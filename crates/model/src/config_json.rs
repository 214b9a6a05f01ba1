//! `config.json`: from Hugging Face's keys to a [`Config`] and back.
//!
//! A key that would change the arithmetic and is not supported is an error, never ignored. What differs between families
//! stands in the table of `family`.

use serde_json::{Value, json};

use crate::block::{Activation, AttentionExperts, Block, Dense, QkNorm, Sliding, Ternary};
use crate::config::MOST_LAYERS;
use crate::family::{AttentionBias, Experts, Traits, Windows};
use crate::keys::Keys;
use crate::{Config, Error, Family, Moe, rope_json};

/// `hidden_act` and what it means; the first name of each is the one written.
const ACTIVATIONS: [(&str, Activation); 5] = [
    ("silu", Activation::Silu),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu", Activation::Gelu),
    ("swish", Activation::Silu),
    ("gelu_new", Activation::GeluTanh),
];

/// `ternary_experts` and what it means.
const TERNARY: [(&str, Ternary); 2] = [("latent", Ternary::Latent), ("packed", Ternary::Packed)];

/// `qk_norm` of this project's own family, and what it means.
const QK_NORMS: [(&str, QkNorm); 2] = [("head", QkNorm::Head), ("whole", QkNorm::Whole)];

/// `layer_types` of a layer with a window and of one without.
const LAYER_TYPES: [&str; 2] = ["sliding_attention", "full_attention"];

impl Config {
    /// Reads the value of a `config.json`, of `transformers` 4 or 5. Token ids beyond the vocabulary, which can never be
    /// drawn, are dropped.
    ///
    /// # Errors
    /// An unknown architecture, a missing key, a value of the wrong type, or a feature not supported; each names the key.
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        let keys = Keys::new(value);
        let model_type = keys.required("model_type", Keys::text)?;
        let Some(traits) = Family::of_model_type(model_type) else {
            return Err(Error::Architecture { found: model_type.into(), supported: Family::model_types() });
        };
        reject_unsupported(&keys, traits)?;
        let vocab_size = keys.required("vocab_size", Keys::size)?;
        let hidden_size = keys.required("hidden_size", Keys::size)?;
        let layers = keys.required("num_hidden_layers", Keys::size)?;
        let heads = keys.required("num_attention_heads", Keys::size)?;
        let moe = moe(&keys, traits)?;
        let width_key = match traits.experts {
            Experts::Qwen { .. } => "moe_intermediate_size",
            _ => "intermediate_size",
        };
        let (rope, local) = rope_json::read(&keys, traits)?;
        let head_dim = keys.size("head_dim")?.or(traits.head_dim).unwrap_or(hidden_size / heads.max(1));
        let tokens = |key| {
            let ids = keys.tokens(key)?;
            Ok::<_, Error>(ids.into_iter().filter(|id| (*id as usize) < vocab_size).collect::<Vec<u32>>())
        };
        // A number of layers beyond all reason is told by `validate`, not allocated.
        let mut block = block(&keys, traits, layers.min(MOST_LAYERS))?;
        block.rope_scaling = rope.scaling;
        if let Some(sliding) = &mut block.sliding {
            sliding.rope = local;
        }
        let config = Self {
            vocab_size,
            hidden_size,
            intermediate_size: keys.required(width_key, Keys::size)?,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: keys.size("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            rms_norm_eps: keys.number("rms_norm_eps")?.unwrap_or(traits.rms_norm_eps),
            rope_theta: rope.theta,
            max_position_embeddings: keys.required("max_position_embeddings", Keys::size)?,
            tie_word_embeddings: keys.flag("tie_word_embeddings", traits.gemma)?,
            eos_token_ids: tokens("eos_token_id")?,
            bos_token_id: tokens("bos_token_id")?.first().copied(),
            moe,
            block,
        };
        config.validate()?;
        Ok(config)
    }

    /// The value to write as `config.json`; loads in `transformers` and in [`Config::from_json`].
    pub fn to_json(&self) -> Value {
        let traits = self.family().traits();
        let block = &self.block;
        let mut keys = json!({
            "architectures": [traits.architecture],
            "model_type": traits.model_type,
            "attention_bias": block.output_bias,
            "bos_token_id": self.bos_token_id,
            "dtype": "float32",
            "eos_token_id": match self.eos_token_ids[..] {
                [] => Value::Null,
                [id] => id.into(),
                _ => json!(self.eos_token_ids),
            },
            "head_dim": self.head_dim,
            "hidden_act": activation_name(block.activation),
            "hidden_size": self.hidden_size,
            "intermediate_size": block.dense.as_ref().map_or(self.intermediate_size, |dense| dense.intermediate_size),
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": block.mlp_bias,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "vocab_size": self.vocab_size,
        });
        let moe = self.moe.iter().flat_map(|moe| moe_keys(self, moe, traits));
        let local = block.sliding.as_ref().and_then(|sliding| sliding.rope.as_ref());
        let more = moe.chain(rope_json::write(&self.rope(), local)).chain(block_keys(block, traits));
        for (key, value) in more.collect::<Vec<_>>() {
            keys[key] = value;
        }
        keys
    }
}

fn activation_name(activation: Activation) -> &'static str {
    let named = ACTIVATIONS.iter().find(|(_, other)| *other == activation);
    named.map_or("silu", |(name, _)| name)
}

/// All switches but the rotary ones.
fn block(keys: &Keys, traits: &Traits, layers: usize) -> Result<Block, Error> {
    let output_bias = traits.attention_bias == AttentionBias::All && keys.flag("attention_bias", false)?;
    let qkv_bias = match traits.attention_bias {
        AttentionBias::Never => false,
        AttentionBias::All => output_bias,
        AttentionBias::Qkv => true,
        AttentionBias::QkvKey => keys.flag("qkv_bias", true)?,
    };
    // Gemma 2 means its own numbers where a key is absent, and nothing where it is null.
    let cap = |key, default| match traits.family {
        Family::Gemma2 if !keys.names(key) => Ok(Some(default)),
        Family::Gemma2 | Family::Gemma3 => keys.number(key),
        _ => Ok(None),
    };
    let own = own(keys, traits)?;
    let scaled_by = if traits.gemma { keys.number("query_pre_attn_scalar")?.or(Some(256.0)) } else { None };
    Ok(Block {
        activation: activation(keys, traits)?,
        qkv_bias: qkv_bias || own.qkv_bias,
        output_bias,
        mlp_bias: traits.family == Family::Llama && keys.flag("mlp_bias", false)?,
        qk_norm: traits.qk_norm.or(own.qk_norm),
        clip_qkv: if traits.experts == Experts::Olmoe { keys.number("clip_qkv")? } else { None },
        gemma_norms: traits.gemma,
        query_pre_attn_scalar: scaled_by,
        attn_logit_softcapping: cap("attn_logit_softcapping", 50.0)?,
        final_logit_softcapping: cap("final_logit_softcapping", 30.0)?,
        rope_scaling: Default::default(),
        sliding: sliding(keys, traits, layers)?,
        dense: dense(keys, traits, layers)?,
        ..own
    })
}

/// The switches that only this project's family has, or has by keys of its own.
fn own(keys: &Keys, traits: &Traits) -> Result<Block, Error> {
    if traits.experts != Experts::Own {
        return Ok(Block::default());
    }
    let shared_key_value = keys.flag("shared_key_value", false)?;
    let attentions = keys.size("attention_experts")?;
    let experts_per_token = keys.size("attention_experts_per_token")?;
    Ok(Block {
        qkv_bias: keys.flag("qkv_bias", false)?,
        qk_norm: named(keys, "qk_norm", &QK_NORMS, "head or whole")?,
        parallel: keys.flag("parallel_block", false)?,
        attention_experts: attentions.map(|count| AttentionExperts {
            count,
            shared_key_value,
            experts_per_token,
        }),
        plain_shared_expert: !keys.flag("shared_expert_gate", true)?,
        ternary_experts: named(keys, "ternary_experts", &TERNARY, "latent or packed")?,
        int4_shared_expert: int4_shared_expert(keys)?,
        experts_top_p: keys.number("experts_top_p")?,
        null_experts: keys.size("null_experts")?.unwrap_or(0),
        router_bias_update_rate: keys.number("router_bias_update_rate")?,
        ..Block::default()
    })
}

/// What the text at `key` names, which is one of `names`; `None` where there is none.
fn named<T: Copy>(keys: &Keys, key: &str, names: &[(&str, T)], expected: &str) -> Result<Option<T>, Error> {
    let Some(name) = keys.text(key)? else { return Ok(None) };
    match names.iter().find(|(known, _)| *known == name) {
        Some((_, meant)) => Ok(Some(*meant)),
        None => Err(keys.bad(key, &json!(name), expected)),
    }
}

/// Whether `shared_expert_bits` is 4, and not null.
fn int4_shared_expert(keys: &Keys) -> Result<bool, Error> {
    match keys.size("shared_expert_bits")? {
        None => Ok(false),
        Some(4) => Ok(true),
        Some(bits) => Err(keys.bad("shared_expert_bits", &json!(bits), "4, or null")),
    }
}

fn activation(keys: &Keys, traits: &Traits) -> Result<Activation, Error> {
    // Gemma's older files hold a misleading `hidden_act` beside the key that counts.
    let (key, default) =
        if traits.gemma { ("hidden_activation", "gelu_pytorch_tanh") } else { ("hidden_act", "silu") };
    let name = keys.text(key)?.unwrap_or(default);
    match ACTIVATIONS.iter().find(|(known, _)| *known == name) {
        Some((_, activation)) => Ok(*activation),
        None => Err(keys.bad(key, &json!(name), &ACTIVATIONS.map(|(name, _)| name).join(", "))),
    }
}

fn sliding(keys: &Keys, traits: &Traits, layers: usize) -> Result<Option<Sliding>, Error> {
    let default = match traits.windows {
        Windows::Never => return Ok(None),
        Windows::Flagged | Windows::FlaggedUpper if !keys.flag("use_sliding_window", false)? => {
            return Ok(None);
        }
        Windows::Always(window) => window,
        _ => Some(4096),
    };
    let window = keys.size("sliding_window")?.or(default.filter(|_| !keys.names("sliding_window")));
    let Some(window) = window else { return Ok(None) };
    let default: Vec<bool> = match traits.windows {
        Windows::FlaggedUpper => {
            let first = keys.size("max_window_layers")?.unwrap_or(28);
            (0..layers).map(|i| i >= first).collect()
        }
        Windows::AllButEvery(default) => {
            let older = keys.size("_sliding_window_pattern")?;
            let every = keys.size("sliding_window_pattern")?.or(older).unwrap_or(default).max(1);
            (0..layers).map(|i| !(i + 1).is_multiple_of(every)).collect()
        }
        _ => vec![true; layers],
    };
    let named = match traits.windows {
        Windows::Always(_) | Windows::Flagged => None,
        _ => layer_types(keys)?,
    };
    let layers = named.unwrap_or(default);
    // A window as long as the longest sequence masks nothing.
    let masks = window < keys.required("max_position_embeddings", Keys::size)? && layers.contains(&true);
    Ok((masks || traits.gemma).then_some(Sliding { window, layers, rope: None }))
}

fn layer_types(keys: &Keys) -> Result<Option<Vec<bool>>, Error> {
    let Some(types) = keys.list("layer_types")? else { return Ok(None) };
    let sliding = |value: &Value| {
        let at = LAYER_TYPES.iter().position(|name| value == name);
        at.map(|at| at == 0).ok_or_else(|| keys.bad("layer_types", value, &LAYER_TYPES.join(" or ")))
    };
    types.iter().map(sliding).collect::<Result<_, _>>().map(Some)
}

/// Layers of a model with experts that have none.
fn dense(keys: &Keys, traits: &Traits, layers: usize) -> Result<Option<Dense>, Error> {
    let Experts::Qwen { .. } = traits.experts else { return Ok(None) };
    let step = keys.size("decoder_sparse_step")?.unwrap_or(1);
    if step == 0 {
        return Err(keys.bad("decoder_sparse_step", &json!(0), "at least 1"));
    }
    let no_layers = Vec::new();
    let named = keys.list("mlp_only_layers")?.unwrap_or(&no_layers);
    let is_dense =
        |i: usize| !(i + 1).is_multiple_of(step) || named.iter().any(|at| at.as_u64() == Some(i as u64));
    let layers: Vec<bool> = (0..layers).map(is_dense).collect();
    if !layers.contains(&true) {
        return Ok(None);
    }
    Ok(Some(Dense { layers, intermediate_size: keys.required("intermediate_size", Keys::size)? }))
}

fn moe(keys: &Keys, traits: &Traits) -> Result<Option<Moe>, Error> {
    let shared = |key| Ok::<_, Error>(keys.size(key)?.unwrap_or(5632));
    let shared = match traits.experts {
        Experts::None => return Ok(None),
        Experts::Own if !keys.has("num_experts") => return Ok(None),
        Experts::Own => keys.size("shared_expert_intermediate_size")?,
        Experts::Qwen { shared: true } => Some(shared("shared_expert_intermediate_size")?),
        _ => None,
    };
    // One key is the other's alias, and either is written.
    let count = if keys.has("num_experts") { "num_experts" } else { "num_local_experts" };
    Ok(Some(Moe {
        num_experts: keys.required(count, Keys::size)?,
        experts_per_token: keys.required("num_experts_per_tok", Keys::size)?,
        norm_topk_prob: traits.experts == Experts::Mixtral || keys.flag("norm_topk_prob", false)?,
        shared_expert_intermediate_size: shared.filter(|&size| size > 0),
        router_aux_loss_coef: keys.number("router_aux_loss_coef")?.unwrap_or(0.001),
        router_z_loss_coef: keys.number("router_z_loss_coef")?.unwrap_or(0.0),
    }))
}

fn moe_keys(config: &Config, moe: &Moe, traits: &Traits) -> Vec<(&'static str, Value)> {
    if traits.experts == Experts::Mixtral {
        return vec![
            ("num_local_experts", moe.num_experts.into()),
            ("num_experts_per_tok", moe.experts_per_token.into()),
            ("router_aux_loss_coef", moe.router_aux_loss_coef.into()),
            ("router_jitter_noise", 0.0.into()),
            ("router_z_loss_coef", moe.router_z_loss_coef.into()),
            ("sliding_window", Value::Null),
        ];
    }
    let mut keys: Vec<(&'static str, Value)> = vec![
        ("num_experts", moe.num_experts.into()),
        ("num_experts_per_tok", moe.experts_per_token.into()),
        ("norm_topk_prob", moe.norm_topk_prob.into()),
    ];
    if let Experts::Qwen { shared } = traits.experts {
        let dense = config.block.dense.as_ref().map_or(&[][..], |dense| &dense.layers);
        let dense: Vec<usize> = (0..dense.len()).filter(|i| dense[*i]).collect();
        keys.push(("moe_intermediate_size", config.intermediate_size.into()));
        if shared {
            let width = moe.shared_expert_intermediate_size.unwrap_or(0);
            keys.push(("shared_expert_intermediate_size", width.into()));
        }
        keys.push(("decoder_sparse_step", 1.into()));
        keys.push(("mlp_only_layers", json!(dense)));
        if traits.attention_bias == AttentionBias::QkvKey {
            keys.push(("qkv_bias", config.block.qkv_bias.into()));
        }
    }
    if traits.experts == Experts::Own {
        keys.push(("shared_expert_intermediate_size", moe.shared_expert_intermediate_size.into()));
    }
    keys.push(("router_aux_loss_coef", moe.router_aux_loss_coef.into()));
    keys.push(("router_z_loss_coef", moe.router_z_loss_coef.into()));
    if traits.windows != Windows::Never {
        keys.push(("use_sliding_window", false.into()));
    }
    keys
}

/// A number as `transformers` wants those that it takes for integers.
fn whole(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 2f64.powi(53) { (x as i64).into() } else { x.into() }
}

/// Keys of switches that only some families have.
fn block_keys(block: &Block, traits: &Traits) -> Vec<(&'static str, Value)> {
    let mut keys: Vec<(&'static str, Value)> = Vec::new();
    if traits.gemma {
        keys.push(("hidden_activation", activation_name(block.activation).into()));
        keys.push(("query_pre_attn_scalar", block.query_pre_attn_scalar.map_or(Value::Null, whole)));
        keys.push(("attn_logit_softcapping", block.attn_logit_softcapping.into()));
        keys.push(("final_logit_softcapping", block.final_logit_softcapping.into()));
        keys.push(("sliding_window", Value::Null));
    }
    if traits.experts == Experts::Olmoe {
        keys.push(("clip_qkv", block.clip_qkv.into()));
    }
    if traits.experts == Experts::Own {
        let ternary = TERNARY.iter().find(|(_, ternary)| Some(*ternary) == block.ternary_experts);
        keys.push(("parallel_block", block.parallel.into()));
        keys.push(("attention_experts", block.attention_experts.map(|experts| experts.count).into()));
        keys.push((
            "shared_key_value",
            block.attention_experts.is_some_and(|experts| experts.shared_key_value).into(),
        ));
        // Written where they say something: models without them keep their digests.
        let normed = QK_NORMS.iter().find(|(_, norm)| Some(*norm) == block.qk_norm);
        keys.extend(normed.map(|(name, _)| ("qk_norm", (*name).into())));
        keys.extend(block.qkv_bias.then(|| ("qkv_bias", true.into())));
        let kept = block.attention_experts.and_then(|experts| experts.experts_per_token);
        keys.extend(kept.map(|kept| ("attention_experts_per_token", kept.into())));
        keys.extend(block.experts_top_p.map(|p| ("experts_top_p", p.into())));
        keys.extend((block.null_experts > 0).then(|| ("null_experts", block.null_experts.into())));
        keys.extend(block.router_bias_update_rate.map(|rate| ("router_bias_update_rate", rate.into())));
        keys.extend(block.int4_shared_expert.then(|| ("shared_expert_bits", 4.into())));
        keys.push(("shared_expert_gate", (!block.plain_shared_expert).into()));
        keys.push(("ternary_experts", ternary.map(|(name, _)| *name).into()));
    }
    if let Some(sliding) = &block.sliding {
        keys.push(("sliding_window", sliding.window.into()));
        if matches!(traits.windows, Windows::Flagged | Windows::FlaggedUpper) {
            keys.push(("use_sliding_window", true.into()));
        }
        if !matches!(traits.windows, Windows::Always(_)) {
            let names = sliding.layers.iter().map(|sliding| LAYER_TYPES[usize::from(!sliding)]);
            keys.push(("layer_types", names.collect()));
        }
    }
    keys
}

fn reject_unsupported(keys: &Keys, traits: &Traits) -> Result<(), Error> {
    keys.only("partial_rotary_factor", &json!(1.0))?;
    if traits.gemma {
        keys.only("use_bidirectional_attention", &json!(false))?;
    }
    if traits.family == Family::Gemma3 {
        keys.only("attn_logit_softcapping", &Value::Null)?;
    }
    if traits.attention_bias != AttentionBias::All {
        keys.only("attention_bias", &json!(false))?;
    }
    match traits.family {
        Family::Llama => Ok(()),
        _ => keys.only("mlp_bias", &json!(false)),
    }
}
