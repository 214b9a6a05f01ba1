//! Tensors in safetensors files: found when a folder is opened, read when they are asked for.
//!
//! Some rows are in memory at a time, as f32, so that what a model is turned into is all that it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::tensors::missing;
use crate::weights::{check, scale_name, three_valued, weight_files};
use crate::{Config, Error, Tensor, Tensors, names, ternary};

/// Bytes of a file that are read at a time, unless a row takes more.
const CHUNK: usize = 1 << 20;

/// Bytes that say how long the header of a file is.
const LENGTH: usize = 8;

/// The tensors of a folder.
#[derive(Debug)]
pub struct TensorFiles {
    files: Vec<(PathBuf, File)>,
    places: BTreeMap<String, Place>,
}

/// Where a tensor lies.
#[derive(Debug)]
struct Place {
    /// Index of its file.
    file: usize,
    /// Its first byte there.
    start: u64,
    shape: Vec<usize>,
    numbers: Numbers,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug)]
enum Numbers {
    F32,
    Bf16,
    F16,
    /// Two bits each, for -1, 0 and 1 times this scale.
    Ternary(f32),
}

impl TensorFiles {
    /// Finds the tensors that `config` calls for in a folder: in one `model.safetensors`, or in the files that an index names. They are
    /// stored as f32, bf16, f16, or those that [`names::packed`] names with two bits a weight.
    ///
    /// # Errors
    /// A file missing or damaged; a tensor missing, of another shape or format, or that the architecture does not have.
    pub fn open(dir: &Path, config: &Config) -> Result<Self, Error> {
        let mut opened = Self { files: Vec::new(), places: BTreeMap::new() };
        let packed = names::packed(config);
        for path in weight_files(dir)? {
            opened.add(path, config, &packed)?;
        }
        check(config, &opened)?;
        Ok(opened)
    }

    /// Reads all of them.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn load(&self) -> Result<BTreeMap<String, Tensor>, Error> {
        let tensor = |(name, place): (&String, &Place)| {
            let mut data = Vec::with_capacity(place.shape.iter().product());
            self.read(name, &mut |numbers| data.extend_from_slice(numbers))?;
            Ok((name.clone(), Tensor::new(place.shape.clone(), data)))
        };
        self.places.iter().map(tensor).collect()
    }

    fn add(&mut self, path: PathBuf, config: &Config, packed: &BTreeSet<String>) -> Result<(), Error> {
        let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let (metadata, data) = header(&file, &path)?;
        self.files.push((path, file));
        let place = |info: &TensorInfo, numbers| Place {
            file: self.files.len() - 1,
            start: data + info.data_offsets.0 as u64,
            shape: info.shape.clone(),
            numbers,
        };
        let is_scale = |name: &str| packed.contains(name.strip_suffix("_scale").unwrap_or_default());
        let mut places = Vec::new();
        for name in metadata.offset_keys() {
            let info = metadata.info(&name).ok_or_else(|| missing(&name))?;
            if packed.contains(&name) {
                let scale = metadata.info(&scale_name(&name)).ok_or_else(|| missing(&scale_name(&name)))?;
                let scale = self.single(&scale_name(&name), &place(scale, floats(&name, scale)?))?;
                let place = Place { numbers: Numbers::Ternary(scale), ..place(info, Numbers::F32) };
                places.push((name.clone(), unpacked(&name, info, place, config)?));
            } else if !redundant(config, &name) && !is_scale(&name) {
                places.push((name.clone(), place(info, floats(&name, info)?)));
            }
        }
        self.places.extend(places);
        Ok(())
    }

    /// The one number of the tensor `name`.
    fn single(&self, name: &str, place: &Place) -> Result<f32, Error> {
        let mut all = Vec::new();
        self.rows(place, &mut |numbers| all.extend_from_slice(numbers))?;
        let shape = |expected| Error::TensorShape { name: name.into(), found: place.shape.clone(), expected };
        if let [number] = all[..] { Ok(number) } else { Err(shape(vec![1])) }
    }

    fn rows(&self, place: &Place, take: &mut dyn FnMut(&[f32])) -> Result<(), Error> {
        let (path, file) = &self.files[place.file];
        let width = place.shape.last().copied().unwrap_or(1);
        let rows: usize = place.shape.iter().rev().skip(1).product();
        let row_bytes = place.numbers.bytes(width);
        let most = (CHUNK / row_bytes.max(1)).clamp(1, rows.max(1));
        let (mut bytes, mut numbers) = (vec![0; most * row_bytes], Vec::with_capacity(most * width));
        for first in (0..rows).step_by(most) {
            let bytes = &mut bytes[..most.min(rows - first) * row_bytes];
            let at = place.start + (first * row_bytes) as u64;
            file.read_exact_at(bytes, at).map_err(|source| Error::Read { path: path.clone(), source })?;
            numbers.clear();
            place.numbers.decode(bytes, width, &mut numbers);
            take(&numbers);
        }
        Ok(())
    }
}

impl Tensors for TensorFiles {
    fn names(&self) -> Vec<&str> {
        self.places.keys().map(String::as_str).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.places.get(name).map(|place| &*place.shape)
    }

    fn read(&self, name: &str, take: &mut dyn FnMut(&[f32])) -> Result<(), Error> {
        let place = self.places.get(name).ok_or_else(|| missing(name))?;
        let Numbers::Ternary(scale) = place.numbers else { return self.rows(place, take) };
        let mut valued = Ok(());
        self.rows(place, &mut |numbers| {
            if valued.is_ok() {
                valued = three_valued(name, numbers, scale.abs());
                take(numbers);
            }
        })?;
        valued
    }
}

impl Numbers {
    /// Bytes of a row of so many.
    fn bytes(self, width: usize) -> usize {
        match self {
            Self::F32 => 4 * width,
            Self::Bf16 | Self::F16 => 2 * width,
            Self::Ternary(_) => ternary::packed_width(width),
        }
    }

    /// Adds the numbers of whole rows to `out`.
    fn decode(self, bytes: &[u8], width: usize, out: &mut Vec<f32>) {
        match self {
            Self::F32 => out.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
            Self::Bf16 => out.extend(bytes.as_chunks().0.iter().map(|&b| from_bf16(u16::from_le_bytes(b)))),
            Self::F16 => out.extend(bytes.as_chunks().0.iter().map(|&b| from_f16(u16::from_le_bytes(b)))),
            Self::Ternary(scale) => out.extend(ternary::unpack(bytes, width, scale)),
        }
    }
}

/// What the header of a file says, and where its tensors begin.
fn header(file: &File, path: &Path) -> Result<(Metadata, u64), Error> {
    let read = |source| Error::Read { path: path.into(), source };
    let damaged = |source| Error::Safetensors { path: path.into(), source };
    let len = file.metadata().map_err(read)?.len();
    if len < LENGTH as u64 {
        return Err(damaged(SafeTensorError::HeaderTooSmall));
    }
    let mut length = [0; LENGTH];
    file.read_exact_at(&mut length, 0).map_err(read)?;
    let length = u64::from_le_bytes(length);
    if length > len - LENGTH as u64 {
        return Err(damaged(SafeTensorError::InvalidHeaderLength));
    }
    let mut text = vec![0; usize::try_from(length).map_err(|_| damaged(SafeTensorError::HeaderTooLarge))?];
    file.read_exact_at(&mut text, LENGTH as u64).map_err(read)?;
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|source| damaged(SafeTensorError::InvalidHeaderDeserialization(source)))?;
    let start = LENGTH as u64 + length;
    if start + metadata.data_len() as u64 != len {
        return Err(damaged(SafeTensorError::MetadataIncompleteBuffer));
    }
    Ok((metadata, start))
}

/// How a tensor of floating-point numbers is stored.
fn floats(name: &str, info: &TensorInfo) -> Result<Numbers, Error> {
    match info.dtype {
        Dtype::F32 => Ok(Numbers::F32),
        Dtype::BF16 => Ok(Numbers::Bf16),
        Dtype::F16 => Ok(Numbers::F16),
        other => Err(Error::TensorDtype { name: name.into(), dtype: format!("{other:?}") }),
    }
}

/// The place of a matrix of two bits a weight, by the shape that it has when it is unpacked.
fn unpacked(name: &str, info: &TensorInfo, place: Place, config: &Config) -> Result<Place, Error> {
    if info.dtype != Dtype::U8 {
        return Err(Error::TensorDtype { name: name.into(), dtype: format!("{:?}", info.dtype) });
    }
    let width = if name.contains(".down_proj.") { config.intermediate_size } else { config.hidden_size };
    let rows = info.shape.first().copied().unwrap_or(0);
    let expected = vec![rows, ternary::packed_width(width)];
    if info.shape != expected {
        return Err(Error::TensorShape { name: name.into(), found: info.shape.clone(), expected });
    }
    Ok(Place { shape: vec![rows, width], ..place })
}

/// Tensors some files carry although they follow from others.
fn redundant(config: &Config, name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq") || (config.tie_word_embeddings && name == names::HEAD)
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
