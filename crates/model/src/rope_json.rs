//! Rotary positions in `config.json`: `rope_parameters` of newer files, `rope_theta` and `rope_scaling` of older ones.

use serde_json::{Value, json};

use crate::family::Traits;
use crate::keys::Keys;
use crate::rope::yarn_mscale;
use crate::{Error, Rope, RopeScaling};

/// Rotary base of Gemma 3's layers with a window, where the config names none.
const LOCAL_THETA: f64 = 10_000.0;

const TYPES: &str = "default, linear, dynamic, llama3 or yarn";

/// Rotary positions of a model's layers, and of those with a window where a family gives these their own.
pub(crate) fn read(keys: &Keys, traits: &Traits) -> Result<(Rope, Option<Rope>), Error> {
    let positions = keys.required("max_position_embeddings", Keys::size)?;
    let theta = keys.number("rope_theta")?.unwrap_or(traits.rope_theta);
    let own_local = traits.gemma && traits.qk_norm.is_some();
    let parameters = keys.inner("rope_parameters");
    let by_kind = parameters.as_ref().filter(|kinds| kinds.has("full_attention"));
    if let Some(kinds) = by_kind {
        let kind = |key: &str, theta| match kinds.inner(key) {
            Some(keys) => one(&keys, theta, positions),
            None => Err(Error::ConfigMissing { key: format!("rope_parameters.{key}") }),
        };
        let local = if own_local { Some(kind("sliding_attention", LOCAL_THETA)?) } else { None };
        return Ok((kind("full_attention", theta)?, local));
    }
    let rope = match parameters.or(keys.inner("rope_scaling")) {
        Some(inner) => one(&inner, theta, positions)?,
        None => Rope::plain(theta),
    };
    let local = keys.number("rope_local_base_freq")?.unwrap_or(LOCAL_THETA);
    Ok((rope, own_local.then(|| Rope::plain(local))))
}

fn one(keys: &Keys, theta: f64, positions: usize) -> Result<Rope, Error> {
    let theta = keys.number("rope_theta")?.unwrap_or(theta);
    keys.only("partial_rotary_factor", &json!(1.0))?;
    let type_key = if keys.has("rope_type") { "rope_type" } else { "type" };
    let factor = || keys.required("factor", Keys::number);
    let original = keys.size("original_max_position_embeddings")?.unwrap_or(positions);
    let scaling = match keys.text(type_key)?.unwrap_or("default") {
        "default" if keys.has("factor") && !keys.has(type_key) => {
            keys.required("rope_type", Keys::text).map(|_| RopeScaling::Default)?
        }
        "default" => RopeScaling::Default,
        "linear" => RopeScaling::Linear { factor: factor()? },
        "dynamic" => RopeScaling::Dynamic { factor: factor()?, original: positions },
        "llama3" => RopeScaling::Llama3 {
            factor: factor()?,
            low_freq_factor: keys.required("low_freq_factor", Keys::number)?,
            high_freq_factor: keys.required("high_freq_factor", Keys::number)?,
            original,
        },
        "yarn" => yarn(keys, positions, original)?,
        other => return Err(keys.bad(type_key, &json!(other), TYPES)),
    };
    check(keys, &scaling)?;
    Ok(Rope { theta, scaling })
}

fn yarn(keys: &Keys, positions: usize, original: usize) -> Result<RopeScaling, Error> {
    let factor = keys.number("factor")?.unwrap_or(positions as f64 / original as f64);
    let mscale = keys.number("mscale")?.filter(|x| *x != 0.0);
    let all_dim = keys.number("mscale_all_dim")?.filter(|x| *x != 0.0);
    let attention_factor = match (keys.number("attention_factor")?, mscale, all_dim) {
        (Some(given), ..) => given,
        (None, Some(mscale), Some(all)) => yarn_mscale(factor, mscale) / yarn_mscale(factor, all),
        _ => yarn_mscale(factor, 1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        original,
        attention_factor,
        beta_fast: keys.number("beta_fast")?.unwrap_or(32.0),
        beta_slow: keys.number("beta_slow")?.unwrap_or(1.0),
        truncate: keys.flag("truncate", true)?,
    })
}

/// The numbers can be computed with.
fn check(keys: &Keys, scaling: &RopeScaling) -> Result<(), Error> {
    let bad = |key: &str, expected: &str| Err(keys.bad(key, keys.get(key).unwrap_or(&Value::Null), expected));
    match *scaling {
        RopeScaling::Default => Ok(()),
        RopeScaling::Linear { factor } | RopeScaling::Yarn { factor, .. } if factor <= 0.0 => {
            bad("factor", "more than zero")
        }
        RopeScaling::Dynamic { factor, .. } | RopeScaling::Llama3 { factor, .. } if factor < 1.0 => {
            bad("factor", "at least 1")
        }
        RopeScaling::Llama3 { low_freq_factor: low, high_freq_factor: high, .. } if high <= low => {
            bad("high_freq_factor", "more than low_freq_factor")
        }
        RopeScaling::Llama3 { original: 0, .. } | RopeScaling::Yarn { original: 0, .. } => {
            bad("original_max_position_embeddings", "at least 1")
        }
        _ => Ok(()),
    }
}

/// The keys of rotary positions beside `rope_theta`; none when they are plain.
pub(crate) fn write(rope: &Rope, local: Option<&Rope>) -> Option<(&'static str, Value)> {
    match local {
        Some(local) => {
            let kinds = json!({"full_attention": object(rope), "sliding_attention": object(local)});
            Some(("rope_parameters", kinds))
        }
        None if rope.scaling == RopeScaling::Default => None,
        None => Some(("rope_scaling", object(rope))),
    }
}

fn object(rope: &Rope) -> Value {
    let mut value = match rope.scaling {
        RopeScaling::Default => json!({"rope_type": "default"}),
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Dynamic { factor, .. } => json!({"rope_type": "dynamic", "factor": factor}),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original,
        }),
        RopeScaling::Yarn { factor, original, attention_factor, beta_fast, beta_slow, truncate } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": original,
            "attention_factor": attention_factor,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "truncate": truncate,
        }),
    };
    value["rope_theta"] = rope.theta.into();
    value
}
