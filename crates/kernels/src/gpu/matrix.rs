//! Weights on a device, and rows times them.

use super::{Argument, Buffer, DeviceError, Gpu, Indices, Number, word};
use crate::matmul::{PANEL, Packed, Panels, padded};
use crate::numbers::{Bf16, Table};

/// Numbers in the precision that they are kept in.
enum Kept {
    F32(Buffer<f32>),
    Bf16(Buffer<Bf16>),
    Int8(Buffer<i8>, Buffer<f32>),
}

impl Kept {
    /// The numbers and their scales as arguments.
    fn arguments(&self, gpu: &Gpu) -> [Argument; 2] {
        match self {
            Self::F32(data) => [gpu.whole(data), Argument::Address(0, 0)],
            Self::Bf16(data) => [gpu.whole(data), Argument::Address(0, 0)],
            Self::Int8(data, scales) => [gpu.whole(data), gpu.whole(scales)],
        }
    }
}

/// A table of rows on a device.
pub struct Embedding {
    kept: Kept,
    rows: usize,
    width: usize,
}

/// A packed matrix on a device, or one of each of several experts.
pub struct Matrix {
    kept: Kept,
    bias: Option<Buffer<f32>>,
    inputs: usize,
    outputs: usize,
    experts: usize,
}

impl Matrix {
    /// Width of an input row, without padding.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Width of an output row, padding included.
    pub fn outputs(&self) -> usize {
        self.outputs
    }
}

/// Which rows a product reads.
pub struct Source<'a> {
    /// Rows, each padded.
    pub x: &'a Buffer<f32>,
    /// Rows of the product; where they are those of experts, at most so many for one.
    pub rows: usize,
    /// Which rows of `x`; `None`: the first ones. Each is below `held`.
    pub row_of: Option<&'a Indices>,
    /// Rows that `x` holds.
    pub held: usize,
}

/// Which rows belong to which expert: from one number to the next, of all `rows`.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    /// One more than experts.
    pub starts: &'a Indices,
    /// Rows of all experts, at most.
    pub rows: usize,
}

/// What `of` finds in the panels of each expert.
fn parts<'a, T>(experts: &[&'a Packed], of: impl Fn(&'a Panels) -> Option<&'a [T]>) -> Vec<&'a [T]> {
    let all: Option<Vec<_>> = experts.iter().map(|expert| of(&expert.panels)).collect();
    all.expect("all experts are kept in one precision")
}

impl Gpu {
    /// Copies a table of rows of `width` numbers.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    pub fn embedding(&mut self, table: &Table, width: usize) -> Result<Embedding, DeviceError> {
        let len = match table {
            Table::F32(data) => data.len(),
            Table::Bf16(data) => data.len(),
            Table::Int8(data, _) => data.len(),
        };
        let kept = match table {
            Table::F32(data) => Kept::F32(self.upload(data)?),
            Table::Bf16(data) => Kept::Bf16(self.upload(data)?),
            Table::Int8(data, scales) => Kept::Int8(self.upload(data)?, self.upload(scales)?),
        };
        Ok(Embedding { kept, rows: len / width, width })
    }

    /// Copies a matrix, or those of experts, which have equal extents, precision, and no bias.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    ///
    /// # Panics
    /// There are none, or they differ.
    pub fn matrix(&mut self, experts: &[&Packed]) -> Result<Matrix, DeviceError> {
        let first = experts.first().expect("there is a matrix");
        let (inputs, outputs) = (first.inputs, first.outputs);
        assert!(experts.iter().all(|other| (other.inputs, other.outputs) == (inputs, outputs)));
        let kept = match &first.panels {
            Panels::F32(_) => Kept::F32(self.beside(&parts(experts, |panels| match panels {
                Panels::F32(weights) => Some(weights),
                _ => None,
            }))?),
            Panels::Bf16(_) => Kept::Bf16(self.beside(&parts(experts, |panels| match panels {
                Panels::Bf16(weights) => Some(weights),
                _ => None,
            }))?),
            Panels::Int8(..) => {
                let weights = parts(experts, |panels| match panels {
                    Panels::Int8(weights, _) => Some(weights),
                    _ => None,
                });
                let scales = parts(experts, |panels| match panels {
                    Panels::Int8(_, scales) => Some(scales),
                    _ => None,
                });
                Kept::Int8(self.beside(&weights)?, self.beside(&scales)?)
            }
        };
        let bias = match &first.bias {
            Some(bias) if experts.len() == 1 => Some(self.upload(bias)?),
            _ => None,
        };
        Ok(Matrix { kept, bias, inputs, outputs, experts: experts.len() })
    }

    /// Memory that holds `parts`, one behind the other.
    fn beside<T: Number>(&mut self, parts: &[&[T]]) -> Result<Buffer<T>, DeviceError> {
        let mut buffer = self.allocate(parts.iter().map(|part| part.len()).sum())?;
        let mut at = 0;
        for part in parts {
            self.write(&mut buffer, at, part)?;
            at += part.len();
        }
        Ok(buffer)
    }

    /// `out[r] = table[tokens[r]] * scale`, padded, for `rows` tokens, each of the table.
    ///
    /// # Errors
    /// The device fails.
    pub fn embed(
        &mut self,
        table: &Embedding,
        tokens: &Indices,
        rows: usize,
        scale: Option<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let stride = padded(table.width);
        let kernel = match table.kept {
            Kept::F32(_) => "embed_f32",
            Kept::Bf16(_) => "embed_bf16",
            Kept::Int8(..) => "embed_int8",
        };
        let [data, scales] = table.kept.arguments(self);
        let tokens = self.below(tokens, rows, table.rows);
        let out = self.given(out, rows * stride);
        let scale = Argument::Float(scale.unwrap_or(1.0));
        let arguments = [data, scales, tokens, word(table.width), word(stride), scale, out];
        self.launch(kernel, [rows, 1, 1], 128, &arguments)
    }

    /// `out = x · W + bias`, or with `add` `out += x · W + bias`, the product complete before it is added. With `bounds` each
    /// expert has rows of its own.
    ///
    /// # Errors
    /// The device fails.
    pub fn multiply(
        &mut self,
        matrix: &Matrix,
        source: Source<'_>,
        bounds: Option<Bounds<'_>>,
        add: bool,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let Source { x, rows, row_of, held } = source;
        let few = rows <= 8;
        let kernel = match (&matrix.kept, few) {
            (Kept::F32(_), false) => "product_f32_many",
            (Kept::F32(_), true) => "product_f32_few",
            (Kept::Bf16(_), false) => "product_bf16_many",
            (Kept::Bf16(_), true) => "product_bf16_few",
            (Kept::Int8(..), false) => "product_int8_many",
            (Kept::Int8(..), true) => "product_int8_few",
        };
        assert!(bounds.is_some() || matrix.experts == 1, "experts have bounds");
        let [data, scales] = matrix.kept.arguments(self);
        let stride = padded(matrix.inputs);
        let (all, none) = (bounds.map_or(rows, |bounds| bounds.rows), Argument::Address(0, 0));
        assert!(row_of.is_some() || all <= held, "each row reads one of x");
        let row_of = row_of.map_or(none, |row_of| self.below(row_of, all, held));
        let ends = |bounds: Bounds<'_>| self.below(bounds.starts, matrix.experts + 1, all + 1);
        let starts = bounds.map_or(none, ends);
        let arguments = [
            data,
            scales,
            self.maybe(matrix.bias.as_ref(), matrix.outputs),
            word(matrix.inputs),
            word(matrix.outputs),
            word(rows),
            starts,
            row_of,
            self.given(x, held * stride),
            word(stride),
            word(add.into()),
            self.given(out, all * matrix.outputs),
        ];
        let tiles = rows.div_ceil(if few { 8 } else { 64 });
        self.launch(kernel, [matrix.outputs / PANEL, tiles, matrix.experts], 64, &arguments)
    }
}
