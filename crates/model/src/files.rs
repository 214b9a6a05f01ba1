//! Tensors in safetensors files: found when a folder is opened, read when they are asked for.
//!
//! Some rows are in memory at a time, as f32, so that what a model is turned into is all that it takes.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::half::{from_bf16, from_f16};
use crate::names::{self, Packing};
use crate::tensors::missing;
use crate::weights::{check, no_int4, scale_name, three_valued, weight_files};
use crate::{Config, Error, Tensor, Tensors, int4, ternary};

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
    /// Four bits each, with scales that begin at this byte of the file.
    Int4(u64),
}

/// Matrices of few bits a weight, with their shapes.
type PackedShapes = BTreeMap<String, (Packing, Vec<usize>)>;

impl TensorFiles {
    /// Finds the tensors that `config` calls for in a folder: in one `model.safetensors`, or in the files that an index names. They are
    /// stored as f32, bf16, f16, or those that [`names::packed`] names with two or four bits a weight.
    ///
    /// # Errors
    /// A file missing or damaged; a tensor missing, of another shape or format, or that the architecture does not have.
    pub fn open(dir: &Path, config: &Config) -> Result<Self, Error> {
        let mut opened = Self { files: Vec::new(), places: BTreeMap::new() };
        let packed = packed_shapes(config);
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

    fn add(&mut self, path: PathBuf, config: &Config, packed: &PackedShapes) -> Result<(), Error> {
        let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let (metadata, data) = header(&file, &path)?;
        self.files.push((path, file));
        let place = |info: &TensorInfo, numbers| Place {
            file: self.files.len() - 1,
            start: data + info.data_offsets.0 as u64,
            shape: info.shape.clone(),
            numbers,
        };
        let is_scale = |name: &str| packed.contains_key(name.strip_suffix("_scale").unwrap_or_default());
        let mut places = Vec::new();
        for name in metadata.offset_keys() {
            let info = metadata.info(&name).ok_or_else(|| missing(&name))?;
            if let Some((packing, shape)) = packed.get(&name) {
                let scale_name = scale_name(&name);
                let scales = metadata.info(&scale_name).ok_or_else(|| missing(&scale_name))?;
                let numbers = match packing {
                    Packing::Ternary => Numbers::Ternary(
                        self.single(&scale_name, &place(scales, floats(&scale_name, scales)?))?,
                    ),
                    Packing::Int4 => {
                        expect(&scale_name, scales, Dtype::F16, vec![shape[0], int4::scales(shape[1])])?;
                        Numbers::Int4(data + scales.data_offsets.0 as u64)
                    }
                };
                expect(&name, info, Dtype::U8, vec![shape[0], numbers.bytes(shape[1])])?;
                places.push((name.clone(), Place { shape: shape.clone(), ..place(info, numbers) }));
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
        self.rows(name, place, &mut |numbers| all.extend_from_slice(numbers))?;
        let shape = |expected| Error::TensorShape { name: name.into(), found: place.shape.clone(), expected };
        if let [number] = all[..] { Ok(number) } else { Err(shape(vec![1])) }
    }

    fn rows(&self, name: &str, place: &Place, take: &mut dyn FnMut(&[f32])) -> Result<(), Error> {
        let width = place.shape.last().copied().unwrap_or(1);
        let rows: usize = place.shape.iter().rev().skip(1).product();
        let row_bytes = place.numbers.bytes(width);
        let most = (CHUNK / row_bytes.max(1)).clamp(1, rows.max(1));
        let (mut bytes, mut numbers) = (vec![0; most * row_bytes], Vec::with_capacity(most * width));
        for first in (0..rows).step_by(most) {
            let n = most.min(rows - first);
            let bytes = &mut bytes[..n * row_bytes];
            self.read_at(place.file, bytes, place.start + (first * row_bytes) as u64)?;
            numbers.clear();
            let scales = match place.numbers {
                Numbers::Int4(start) => {
                    self.scales(place.file, start, int4::scales(width), first..first + n)?
                }
                _ => Vec::new(),
            };
            let damaged = |found| no_int4(name, found);
            place.numbers.decode(bytes, &scales, width, &mut numbers).map_err(damaged)?;
            take(&numbers);
        }
        Ok(())
    }

    /// The scales of some rows, `width` to a row, the first of all at the byte `start` of a file.
    fn scales(&self, file: usize, start: u64, width: usize, rows: Range<usize>) -> Result<Vec<u16>, Error> {
        let mut bytes = vec![0; rows.len() * width * 2];
        self.read_at(file, &mut bytes, start + (rows.start * width * 2) as u64)?;
        Ok(bytes.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b)).collect())
    }

    fn read_at(&self, file: usize, bytes: &mut [u8], at: u64) -> Result<(), Error> {
        let (path, file) = &self.files[file];
        file.read_exact_at(bytes, at).map_err(|source| Error::Read { path: path.clone(), source })
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
        let Numbers::Ternary(scale) = place.numbers else { return self.rows(name, place, take) };
        let mut valued = Ok(());
        self.rows(name, place, &mut |numbers| {
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
            Self::Int4(_) => int4::packed_width(width),
        }
    }

    /// Adds the numbers of whole rows to `out`.
    ///
    /// # Errors
    /// What stands among four bits a weight, or their scales, and cannot be.
    fn decode(self, bytes: &[u8], scales: &[u16], width: usize, out: &mut Vec<f32>) -> Result<(), String> {
        match self {
            Self::F32 => out.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
            Self::Bf16 => out.extend(bytes.as_chunks().0.iter().map(|&b| from_bf16(u16::from_le_bytes(b)))),
            Self::F16 => out.extend(bytes.as_chunks().0.iter().map(|&b| from_f16(u16::from_le_bytes(b)))),
            Self::Ternary(scale) => out.extend(ternary::unpack(bytes, width, scale)),
            Self::Int4(_) => int4::unpack(bytes, scales, width, out)?,
        }
        Ok(())
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
        other => Err(Error::TensorDtype {
            name: name.into(),
            dtype: format!("{other:?}"),
            supported: "F32, BF16, F16",
        }),
    }
}

/// The matrices that [`names::packed`] names, with the shapes that they have when they are unpacked.
fn packed_shapes(config: &Config) -> PackedShapes {
    let packed = names::packed(config);
    let shapes = names::expected(config).into_iter();
    shapes.filter_map(|(name, shape)| packed.get(&name).map(|packing| (name, (*packing, shape)))).collect()
}

/// A tensor is stored in this format and shape.
fn expect(name: &str, info: &TensorInfo, dtype: Dtype, shape: Vec<usize>) -> Result<(), Error> {
    if info.dtype != dtype {
        let supported = if dtype == Dtype::U8 { "U8" } else { "F16" };
        return Err(Error::TensorDtype { name: name.into(), dtype: format!("{:?}", info.dtype), supported });
    }
    if info.shape != shape {
        return Err(Error::TensorShape { name: name.into(), found: info.shape.clone(), expected: shape });
    }
    Ok(())
}

/// Tensors some files carry although they follow from others.
fn redundant(config: &Config, name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq") || (config.tie_word_embeddings && name == names::HEAD)
}
