//! Tensors in safetensors files: read whole, checked against the config, written with the same bytes every time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Config, Error, Tensor, names, ternary};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Reads the tensors `config` calls for from a folder: one `model.safetensors`, or the files an index names.
/// f32, bf16 and f16 become f32, and so do packed matrices.
///
/// # Errors
/// A file missing or damaged; a tensor missing, of another shape or format, or that the architecture does not have.
pub fn load_weights(dir: &Path, config: &Config) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut found = BTreeMap::new();
    for path in weight_files(dir)? {
        read_file(&path, config, &mut found)?;
    }
    check(config, &found)?;
    Ok(found)
}

/// Writes `tensors` as `model.safetensors`; equal tensors give equal bytes. They are stored in f32, those that
/// [`names::packed`] names with two bits a weight, and beside each its scale, `NAME_scale`.
///
/// # Errors
/// When the file cannot be written.
pub fn save_weights(dir: &Path, config: &Config, tensors: &BTreeMap<String, Tensor>) -> Result<(), Error> {
    let path = dir.join(SINGLE);
    let packed = names::packed(config);
    let mut stored: Vec<Stored> = Vec::new();
    for (name, tensor) in tensors {
        if !packed.contains(name) {
            stored.push((name.clone(), Dtype::F32, tensor.shape.clone(), tensor.to_le_bytes()));
            continue;
        }
        let (rows, width) = (tensor.shape[0], tensor.shape[1]);
        let (bytes, scale) = ternary::pack(&tensor.data, width);
        stored.push((name.clone(), Dtype::U8, vec![rows, ternary::packed_width(width)], bytes));
        stored.push((scale_name(name), Dtype::F32, vec![1], scale.to_le_bytes().to_vec()));
    }
    write(&path, &stored)
}

/// Writes `tensors` in f32 to a file of safetensors; equal tensors give equal bytes.
///
/// # Errors
/// When the file cannot be written.
pub fn save_tensors(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), Error> {
    let stored = |(name, tensor): (&String, &Tensor)| {
        (name.clone(), Dtype::F32, tensor.shape.clone(), tensor.to_le_bytes())
    };
    write(path, &tensors.iter().map(stored).collect::<Vec<_>>())
}

/// A tensor as it rests: name, type of its numbers, shape and bytes.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

fn write(path: &Path, stored: &[Stored]) -> Result<(), Error> {
    let damaged = |source| Error::Safetensors { path: path.into(), source };
    let views = stored
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(damaged)?;
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let file = safetensors::serialize(views, Some(format)).map_err(damaged)?;
    fs::write(path, file).map_err(|source| Error::Write { path: path.into(), source })
}

/// The name of the scale of a packed matrix.
fn scale_name(name: &str) -> String {
    format!("{name}_scale")
}

/// Every expected tensor is there with its shape, and no other; packed ones hold three values.
pub(crate) fn check(config: &Config, tensors: &BTreeMap<String, Tensor>) -> Result<(), Error> {
    let expected: BTreeMap<_, _> = names::expected(config).into_iter().collect();
    for (name, shape) in &expected {
        let Some(tensor) = tensors.get(name) else {
            return Err(Error::TensorMissing { name: name.clone(), help: help_for_missing(name, tensors) });
        };
        if tensor.shape != *shape {
            let (found, expected) = (tensor.shape.clone(), shape.clone());
            return Err(Error::TensorShape { name: name.clone(), found, expected });
        }
    }
    for name in names::packed(config) {
        let data = &tensors[&name].data;
        let scale = data.iter().fold(0.0f32, |scale, value| value.abs().max(scale));
        if let Some(value) = data.iter().find(|value| **value != 0.0 && value.abs() != scale) {
            let (found, expected) = (value.to_string(), format!("-{scale}, 0 or {scale} in `{name}`"));
            return Err(Error::ConfigValue { key: "ternary_experts".into(), found, expected });
        }
    }
    match tensors.keys().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(Error::TensorUnexpected { name: name.clone(), help: help_for_unexpected(name) }),
        None => Ok(()),
    }
}

/// What to look at when a tensor is missing.
fn help_for_missing(name: &str, tensors: &BTreeMap<String, Tensor>) -> String {
    let other =
        |bare: &str| tensors.keys().find(|found| *found == bare || found.ends_with(&format!(".{name}")));
    let bare = name.strip_prefix("model.").unwrap_or(name);
    if name == names::HEAD {
        return ", is `tie_word_embeddings` of config.json true?".into();
    }
    if let Some(switch) = switch_of(name) {
        return format!(", although `{switch}` of config.json, or the family, calls for it");
    }
    match other(bare) {
        Some(found) => format!(
            ", there is `{found}` instead: models are read under the names that AutoModelForCausalLM saves"
        ),
        None => String::new(),
    }
}

/// What to look at when there is a tensor too many.
fn help_for_unexpected(name: &str) -> String {
    let kinds = [
        (".weight_scale", "quantised weights are not supported: use the bf16, f16 or f32 checkpoint"),
        (".qweight", "quantised weights are not supported: use the bf16, f16 or f32 checkpoint"),
        (".lora_A", "merge the adapter into the model first"),
    ];
    if let Some((_, help)) = kinds.iter().find(|(part, _)| name.contains(part)) {
        return format!(", {help}");
    }
    if name.starts_with("model.layers.") && !name.ends_with(".bias") {
        return ", is `num_hidden_layers` or `model_type` of config.json another?".into();
    }
    switch_of(name).map_or_else(String::new, |switch| format!(", is `{switch}` of config.json true?"))
}

/// The key of `config.json` that adds a bias.
fn switch_of(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".bias")?;
    Some(if name.contains(".mlp.") { "mlp_bias" } else { "attention_bias" })
}

/// The files of a folder's weights, in the order of their names.
///
/// # Errors
/// An index is there and cannot be read.
pub fn weight_files(dir: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let index = dir.join(INDEX);
    if !index.exists() {
        return Ok(BTreeSet::from([dir.join(SINGLE)]));
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = fs::read(&index).map_err(|source| Error::Read { path: index.clone(), source })?;
    let parsed: Index =
        serde_json::from_slice(&text).map_err(|source| Error::Json { path: index, source })?;
    Ok(parsed.weight_map.values().map(|file| dir.join(file)).collect())
}

/// Length of a file and the BLAKE3 digest of its bytes, shortened to 128 bits.
///
/// # Errors
/// The file cannot be read.
pub fn file_digest(path: &Path) -> Result<(u64, [u8; 16]), Error> {
    let failed = |source| Error::Read { path: path.into(), source };
    let mut hasher = blake3::Hasher::new();
    let bytes = std::io::copy(&mut fs::File::open(path).map_err(failed)?, &mut hasher).map_err(failed)?;
    let mut digest = [0; 16];
    hasher.finalize_xof().fill(&mut digest);
    Ok((bytes, digest))
}

fn read_file(path: &Path, config: &Config, found: &mut BTreeMap<String, Tensor>) -> Result<(), Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|source| Error::Safetensors { path: path.into(), source })?;
    let packed = names::packed(config);
    let is_scale = |name: &str| packed.contains(name.strip_suffix("_scale").unwrap_or_default());
    for (name, view) in file.iter() {
        if packed.contains(name) {
            let width = expected_width(config, name);
            found.insert(name.to_owned(), unpack(name, width, &view, &file, path)?);
        } else if !redundant(config, name) && !is_scale(name) {
            found.insert(name.to_owned(), decode(name, &view)?);
        }
    }
    Ok(())
}

/// Inputs of a routed expert's matrix.
fn expected_width(config: &Config, name: &str) -> usize {
    if name.contains(".down_proj.") { config.intermediate_size } else { config.hidden_size }
}

/// The matrix of two bits a weight that `view` holds; its scale lies in the same file.
fn unpack(
    name: &str,
    width: usize,
    view: &TensorView,
    file: &SafeTensors,
    path: &Path,
) -> Result<Tensor, Error> {
    let damaged = |source| Error::Safetensors { path: path.into(), source };
    let scale = decode(name, &file.tensor(&scale_name(name)).map_err(damaged)?)?.data.first().copied();
    let rows = view.shape().first().copied().unwrap_or(0);
    let expected = vec![rows, ternary::packed_width(width)];
    match scale {
        _ if view.dtype() != Dtype::U8 => {
            Err(Error::TensorDtype { name: name.into(), dtype: format!("{:?}", view.dtype()) })
        }
        Some(scale) if view.shape() == expected => {
            Ok(Tensor::new([rows, width], ternary::unpack(view.data(), width, scale)))
        }
        _ => Err(Error::TensorShape { name: name.into(), found: view.shape().into(), expected }),
    }
}

/// Tensors some files carry although they follow from others.
fn redundant(config: &Config, name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq") || (config.tie_word_embeddings && name == names::HEAD)
}

fn decode(name: &str, view: &TensorView) -> Result<Tensor, Error> {
    let bytes = view.data();
    let data: Vec<f32> = match view.dtype() {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|&b| from_bf16(u16::from_le_bytes(b))).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| from_f16(u16::from_le_bytes(b))).collect(),
        other => return Err(Error::TensorDtype { name: name.into(), dtype: format!("{other:?}") }),
    };
    Ok(Tensor::new(view.shape(), data))
}

fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// IEEE half precision: 1 sign, 5 exponent (bias 15), 10 fraction bits.
fn from_f16(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff);
    match (bits >> 10) & 0x1f {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        exponent => sign * (1.0 + fraction / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::{from_bf16, from_f16};

    #[test]
    fn half_precision_values_are_exact() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2f32.powi(-24)),
            (0x3555, 0.33325195),
        ];
        for (bits, value) in cases {
            assert_eq!(from_f16(bits), value, "{bits:#x}");
        }
        assert_eq!(from_f16(0xfc00), f32::NEG_INFINITY);
        assert!(from_f16(0x7e00).is_nan());
        assert_eq!(from_bf16(0x3f80), 1.0);
        assert_eq!(from_bf16(0xc049), -3.140625);
    }
}
