//! `config.json`: from Hugging Face's keys to a [`Config`] and back.
//!
//! A key that would change the arithmetic and is not supported is an error, never ignored. More families (biases,
//! scaled rotary positions, sliding windows) extend [`SUPPORTED`] and [`reject_unsupported`].

use serde_json::{Value, json};

use crate::{Config, Error, Family, Moe};

const SUPPORTED: [&str; 4] = ["llama", "mistral", "mixtral", "qwen2_moe"];

impl Config {
    /// Reads the value of a `config.json`.
    ///
    /// # Errors
    /// An unknown architecture, a missing key, a value of the wrong type, or a feature not supported; each names the key.
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        let keys = Keys(value);
        let model_type = keys.text("model_type")?;
        if !SUPPORTED.contains(&model_type.as_str()) {
            return Err(Error::Architecture { found: model_type, supported: SUPPORTED.join(", ") });
        }
        reject_unsupported(&keys, &model_type)?;
        let hidden_size = keys.size("hidden_size")?;
        let num_attention_heads = keys.size("num_attention_heads")?;
        let moe = match model_type.as_str() {
            "mixtral" => Some(mixtral(&keys)?),
            "qwen2_moe" => Some(qwen2_moe(&keys)?),
            _ => None,
        };
        let width_key = if model_type == "qwen2_moe" { "moe_intermediate_size" } else { "intermediate_size" };
        let config = Self {
            vocab_size: keys.size("vocab_size")?,
            hidden_size,
            intermediate_size: keys.size(width_key)?,
            num_hidden_layers: keys.size("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: keys.optional_size("num_key_value_heads")?.unwrap_or(num_attention_heads),
            head_dim: keys.optional_size("head_dim")?.unwrap_or(hidden_size / num_attention_heads.max(1)),
            rms_norm_eps: keys.number("rms_norm_eps")?,
            rope_theta: rope_theta(&keys)?,
            max_position_embeddings: keys.size("max_position_embeddings")?,
            tie_word_embeddings: keys.flag("tie_word_embeddings", false)?,
            eos_token_id: keys.token("eos_token_id")?,
            bos_token_id: keys.token("bos_token_id")?,
            moe,
        };
        config.validate()?;
        Ok(config)
    }

    /// The value to write as `config.json`; loads in `transformers` and in [`Config::from_json`].
    pub fn to_json(&self) -> Value {
        let (architecture, model_type) = match self.family() {
            Family::Llama => ("LlamaForCausalLM", "llama"),
            Family::Mixtral => ("MixtralForCausalLM", "mixtral"),
            Family::Qwen2Moe => ("Qwen2MoeForCausalLM", "qwen2_moe"),
        };
        let mut keys = json!({
            "architectures": [architecture],
            "model_type": model_type,
            "attention_bias": false,
            "bos_token_id": self.bos_token_id,
            "dtype": "float32",
            "eos_token_id": self.eos_token_id,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": false,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "vocab_size": self.vocab_size,
        });
        if let Some(moe) = &self.moe {
            let more = match self.family() {
                Family::Qwen2Moe => qwen2_moe_keys(self.intermediate_size, moe),
                _ => mixtral_keys(moe),
            };
            for (key, value) in more {
                keys[key] = value;
            }
        }
        keys
    }
}

fn mixtral(keys: &Keys) -> Result<Moe, Error> {
    Ok(Moe {
        num_experts: keys.size("num_local_experts")?,
        experts_per_token: keys.size("num_experts_per_tok")?,
        norm_topk_prob: true,
        shared_expert_intermediate_size: None,
        router_aux_loss_coef: keys.optional_number("router_aux_loss_coef")?.unwrap_or(0.001),
        router_z_loss_coef: keys.optional_number("router_z_loss_coef")?.unwrap_or(0.0),
    })
}

fn qwen2_moe(keys: &Keys) -> Result<Moe, Error> {
    let shared = keys.optional_size("shared_expert_intermediate_size")?;
    Ok(Moe {
        num_experts: keys.size("num_experts")?,
        experts_per_token: keys.size("num_experts_per_tok")?,
        norm_topk_prob: keys.flag("norm_topk_prob", false)?,
        shared_expert_intermediate_size: shared.filter(|&size| size > 0),
        router_aux_loss_coef: keys.optional_number("router_aux_loss_coef")?.unwrap_or(0.001),
        router_z_loss_coef: keys.optional_number("router_z_loss_coef")?.unwrap_or(0.0),
    })
}

fn mixtral_keys(moe: &Moe) -> Vec<(&'static str, Value)> {
    vec![
        ("num_local_experts", moe.num_experts.into()),
        ("num_experts_per_tok", moe.experts_per_token.into()),
        ("router_aux_loss_coef", moe.router_aux_loss_coef.into()),
        ("router_jitter_noise", 0.0.into()),
        ("router_z_loss_coef", moe.router_z_loss_coef.into()),
        ("sliding_window", Value::Null),
    ]
}

fn qwen2_moe_keys(width: usize, moe: &Moe) -> Vec<(&'static str, Value)> {
    vec![
        ("num_experts", moe.num_experts.into()),
        ("num_experts_per_tok", moe.experts_per_token.into()),
        ("norm_topk_prob", moe.norm_topk_prob.into()),
        ("moe_intermediate_size", width.into()),
        ("shared_expert_intermediate_size", moe.shared_expert_intermediate_size.unwrap_or(0).into()),
        ("decoder_sparse_step", 1.into()),
        ("mlp_only_layers", json!([])),
        ("qkv_bias", false.into()),
        ("router_aux_loss_coef", moe.router_aux_loss_coef.into()),
        ("router_z_loss_coef", moe.router_z_loss_coef.into()),
        ("use_sliding_window", false.into()),
    ]
}

/// Newer files hold the rotary base under `rope_parameters`, older ones at the top; absent it is 10000.
fn rope_theta(keys: &Keys) -> Result<f64, Error> {
    let nested = keys.0.get("rope_parameters").unwrap_or(&Value::Null);
    let nested = Keys(nested).optional_number("rope_theta")?;
    Ok(nested.or(keys.optional_number("rope_theta")?).unwrap_or(10_000.0))
}

fn reject_unsupported(keys: &Keys, model_type: &str) -> Result<(), Error> {
    keys.only("hidden_act", &json!("silu"))?;
    keys.only("attention_bias", &json!(false))?;
    keys.only("mlp_bias", &json!(false))?;
    keys.only("rope_scaling", &Value::Null)?;
    let rope = Keys(keys.0.get("rope_parameters").unwrap_or(&Value::Null));
    rope.only("rope_type", &json!("default"))?;
    rope.only("partial_rotary_factor", &json!(1.0))?;
    match model_type {
        "mistral" | "mixtral" => reject_sliding_window(keys),
        "qwen2_moe" => {
            if !keys.has("qkv_bias") {
                return Err(bad("qkv_bias", &json!(true), "false (the default, true, is not supported)"));
            }
            keys.only("qkv_bias", &json!(false))?;
            keys.only("use_sliding_window", &json!(false))?;
            keys.only("decoder_sparse_step", &json!(1))?;
            keys.only("mlp_only_layers", &json!([]))
        }
        _ => Ok(()),
    }
}

/// A window as long as the longest sequence masks nothing.
fn reject_sliding_window(keys: &Keys) -> Result<(), Error> {
    let positions = keys.size("max_position_embeddings")?;
    match keys.optional_size("sliding_window")? {
        Some(window) if window < positions => {
            Err(bad("sliding_window", &json!(window), "null, or max_position_embeddings and more"))
        }
        _ => Ok(()),
    }
}

/// Typed access to the keys of one JSON object.
struct Keys<'a>(&'a Value);

impl Keys<'_> {
    fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| bad(key, value, expected)),
        }
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| Error::ConfigMissing { key: key.into() })
    }

    fn text(&self, key: &str) -> Result<String, Error> {
        let text = self.typed(key, "text", |value| value.as_str().map(str::to_owned))?;
        self.required(key, text)
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    fn size(&self, key: &str) -> Result<usize, Error> {
        self.required(key, self.optional_size(key)?)
    }

    fn optional_number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", Value::as_f64)
    }

    fn number(&self, key: &str) -> Result<f64, Error> {
        self.required(key, self.optional_number(key)?)
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, Error> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// One token id; a list of exactly one id is read as that id.
    fn token(&self, key: &str) -> Result<Option<u32>, Error> {
        self.typed(key, "one token id", |value| {
            let id = value.as_array().filter(|ids| ids.len() == 1).map_or(value, |ids| &ids[0]);
            u32::try_from(id.as_u64()?).ok()
        })
    }

    /// The key is absent, null, or has the one supported value.
    fn only(&self, key: &str, supported: &Value) -> Result<(), Error> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if value == supported => Ok(()),
            Some(value) => Err(bad(key, value, &supported.to_string())),
        }
    }
}

fn bad(key: &str, found: &Value, expected: &str) -> Error {
    Error::ConfigValue { key: key.into(), found: found.to_string(), expected: expected.into() }
}
