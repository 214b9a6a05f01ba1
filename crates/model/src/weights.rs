//! A folder's weights: read whole, checked against the config, written with the same bytes every time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};

use crate::half::from_f16;
use crate::names::{self, Packing};
use crate::tensors::expect_finite;
use crate::{Config, Error, Tensor, TensorFiles, Tensors, int4, ternary};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The largest header that the format allows, in bytes.
const LARGEST_HEADER: u64 = 100_000_000;

/// Reads the tensors `config` calls for from a folder, as [`TensorFiles::open`] finds them. All become f32.
///
/// # Errors
/// As [`TensorFiles::open`].
pub fn load_weights(dir: &Path, config: &Config) -> Result<BTreeMap<String, Tensor>, Error> {
    TensorFiles::open(dir, config)?.load()
}

/// Writes `tensors` as `model.safetensors`; equal tensors give equal bytes. They are stored in f32, those that
/// [`names::packed`] names with two or four bits a weight, and beside each its scale or scales, `NAME_scale`.
///
/// # Errors
/// When the file cannot be written, or a matrix of four bits a weight has other values.
pub fn save_weights(dir: &Path, config: &Config, tensors: &BTreeMap<String, Tensor>) -> Result<(), Error> {
    let path = dir.join(SINGLE);
    let packed = names::packed(config);
    let mut stored: Vec<Stored> = Vec::new();
    for (name, tensor) in tensors {
        match packed.get(name) {
            None => stored.push((name.clone(), Dtype::F32, tensor.shape.clone(), tensor.to_le_bytes())),
            Some(packing) => stored.extend(pack(*packing, name, tensor)?),
        }
    }
    write(&path, &stored)
}

/// A matrix of few bits a weight, and its scales.
fn pack(packing: Packing, name: &str, tensor: &Tensor) -> Result<[Stored; 2], Error> {
    let (rows, width) = (tensor.shape[0], tensor.shape[1]);
    let (bytes, width, scales) = match packing {
        Packing::Ternary => {
            let (bytes, scale) = ternary::pack(&tensor.data, width);
            let scales = (scale_name(name), Dtype::F32, vec![1], scale.to_le_bytes().to_vec());
            (bytes, ternary::packed_width(width), scales)
        }
        Packing::Int4 => {
            let (bytes, scales) = four_bits(name, tensor)?;
            let scales = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
            let scales = (scale_name(name), Dtype::F16, vec![rows, int4::scales(width)], scales);
            (bytes, int4::packed_width(width), scales)
        }
    };
    Ok([(name.to_owned(), Dtype::U8, vec![rows, width], bytes), scales])
}

/// Four bits for each weight of a matrix, and its scales.
fn four_bits(name: &str, tensor: &Tensor) -> Result<(Vec<u8>, Vec<u16>), Error> {
    int4::pack(&tensor.data, tensor.shape[1]).map_err(|value| no_int4(name, value.to_string()))
}

/// Weights that are few whole numbers, each times a scale.
#[derive(Debug)]
pub struct Coded {
    /// -1 to 1 of [`Packing::Ternary`], -7 to 7 of [`Packing::Int4`]; as many as weights.
    pub codes: Vec<i8>,
    /// One for each row of [`Packing::Ternary`], one for each 128 weights of a row of [`Packing::Int4`].
    pub scales: Vec<f32>,
}

impl Packing {
    /// The codes of quantised `weights` of the matrix `name`, with rows of `width`: codes times scales give each of them exactly.
    ///
    /// # Errors
    /// They are no multiples of one scale.
    pub fn coded(self, name: &str, weights: &[f32], width: usize) -> Result<Coded, Error> {
        expect_finite(name, weights)?;
        match self {
            Self::Ternary => {
                let (codes, scales) = ternary::codes(weights, width);
                let rows = weights.chunks(width).zip(&scales);
                rows.into_iter().try_for_each(|(row, scale)| three_valued(name, row, *scale))?;
                Ok(Coded { codes, scales })
            }
            Self::Int4 => {
                let found = int4::codes(weights, width);
                let (codes, scales) = found.map_err(|value| no_int4(name, value.to_string()))?;
                Ok(Coded { codes, scales: scales.into_iter().map(from_f16).collect() })
            }
        }
    }
}

/// What is wrong with a matrix of four bits a weight.
pub(crate) fn no_int4(name: &str, found: String) -> Error {
    let expected = "-7 to 7 times one scale of f16, 0 or more, in each 128 weights of a row";
    Error::TensorValue { name: name.into(), found, expected }
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

/// The name of the scales of a packed matrix.
pub(crate) fn scale_name(name: &str) -> String {
    format!("{name}_scale")
}

/// Every expected tensor is there with its shape, and no other.
pub(crate) fn check(config: &Config, tensors: &dyn Tensors) -> Result<(), Error> {
    let expected: BTreeMap<_, _> = names::expected(config).into_iter().collect();
    for (name, shape) in &expected {
        let Some(found) = tensors.shape(name) else {
            return Err(Error::TensorMissing { name: name.clone(), help: help_for_missing(name, tensors) });
        };
        if found != shape {
            let (found, expected) = (found.to_vec(), shape.clone());
            return Err(Error::TensorShape { name: name.clone(), found, expected });
        }
    }
    match tensors.names().into_iter().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(Error::TensorUnexpected { name: name.into(), help: help_for_unexpected(name) }),
        None => Ok(()),
    }
}

/// What is to rest as two bits a weight has three values, and what as four bits fifteen in each group.
pub(crate) fn check_packed(config: &Config, tensors: &BTreeMap<String, Tensor>) -> Result<(), Error> {
    names::packed(config).iter().try_for_each(|(name, packing)| match packing {
        Packing::Ternary => {
            let data = &tensors[name].data;
            three_valued(name, data, data.iter().fold(0.0f32, |scale, value| value.abs().max(scale)))
        }
        Packing::Int4 => four_bits(name, &tensors[name]).map(drop),
    })
}

/// All values of the matrix `name` are -`scale`, 0 or `scale`.
pub(crate) fn three_valued(name: &str, values: &[f32], scale: f32) -> Result<(), Error> {
    match values.iter().find(|value| **value != 0.0 && value.abs() != scale) {
        Some(value) => {
            let (found, expected) = (value.to_string(), format!("-{scale}, 0 or {scale} in `{name}`"));
            Err(Error::ConfigValue { key: "ternary_experts".into(), found, expected })
        }
        None => Ok(()),
    }
}

/// What to look at when a tensor is missing.
fn help_for_missing(name: &str, tensors: &dyn Tensors) -> String {
    let found = tensors.names();
    let other =
        |bare: &str| found.iter().find(|found| **found == bare || found.ends_with(&format!(".{name}")));
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

/// Whether a file of tensors is as long as its header says: one that was cut off, or is something else, is not. Reads the header alone.
pub fn is_whole(path: &Path) -> bool {
    length(path).is_ok_and(|length| fs::metadata(path).is_ok_and(|found| found.len() == length))
}

/// The length that the header of a file of tensors tells, in bytes.
fn length(path: &Path) -> std::io::Result<u64> {
    #[derive(serde::Deserialize)]
    struct Entry {
        data_offsets: Option<[u64; 2]>,
    }
    let mut file = fs::File::open(path)?;
    let (mut size, mut header) = ([0; 8], Vec::new());
    file.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    if size > LARGEST_HEADER {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    file.take(size).read_to_end(&mut header)?;
    let entries: BTreeMap<String, Entry> = serde_json::from_slice(&header)?;
    let ends = entries.values().filter_map(|entry| entry.data_offsets).map(|[_, end]| end);
    Ok(ends.max().unwrap_or(0).saturating_add(size).saturating_add(8))
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
