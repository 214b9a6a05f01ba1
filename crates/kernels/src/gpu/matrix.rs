//! Weights on a device, and rows times them.

use super::{Argument, Buffer, DeviceError, Gpu, Indices, Number, word};
use crate::matmul::{Packed, padded};
use crate::numbers::{Bf16, Table};
use crate::panels::{FourBits, PANEL, Panels, TwoBits};

/// Numbers as they are kept.
enum Kept {
    F32(Buffer<f32>),
    Bf16(Buffer<Bf16>),
    Int8(Buffer<i8>, Buffer<f32>),
    Ternary(Buffer<TwoBits>, Buffer<f32>),
    Int4(Buffer<FourBits>, Buffer<f32>),
}

impl Kept {
    /// The kernels of products of many rows and of few.
    fn products(&self) -> [&'static str; 2] {
        match self {
            Self::F32(_) => ["product_f32_many", "product_f32_few"],
            Self::Bf16(_) => ["product_bf16_many", "product_bf16_few"],
            Self::Int8(..) => ["product_int8_many", "product_int8_few"],
            Self::Ternary(..) => ["product_ternary_many", "product_ternary_few"],
            Self::Int4(..) => ["product_int4_many", "product_int4_few"],
        }
    }

    /// The numbers and their scales as arguments.
    fn arguments(&self, gpu: &Gpu) -> [Argument; 2] {
        match self {
            Self::F32(data) => [gpu.whole(data), Argument::Address(0, 0)],
            Self::Bf16(data) => [gpu.whole(data), Argument::Address(0, 0)],
            Self::Int8(data, scales) => [gpu.whole(data), gpu.whole(scales)],
            Self::Ternary(data, scales) => [gpu.whole(data), gpu.whole(scales)],
            Self::Int4(data, scales) => [gpu.whole(data), gpu.whole(scales)],
        }
    }
}

/// A table of rows on a device.
pub struct Embedding {
    kept: Kept,
    /// The kernel that reads it.
    kernel: &'static str,
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
fn parts<'a, T>(experts: &[&'a Packed], of: impl Fn(&'a Panels) -> Option<T>) -> Vec<T> {
    let all: Option<Vec<_>> = experts.iter().map(|expert| of(&expert.panels)).collect();
    all.expect("all experts are kept in one way")
}

impl Gpu {
    /// Copies a table of rows of `width` numbers.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    pub fn embedding(&mut self, table: &Table, width: usize) -> Result<Embedding, DeviceError> {
        let (kept, kernel, len) = match table {
            Table::F32(data) => (Kept::F32(self.upload(data)?), "embed_f32", data.len()),
            Table::Bf16(data) => (Kept::Bf16(self.upload(data)?), "embed_bf16", data.len()),
            Table::Int8(data, scales) => {
                (Kept::Int8(self.upload(data)?, self.upload(scales)?), "embed_int8", data.len())
            }
        };
        Ok(Embedding { kept, kernel, rows: len / width, width })
    }

    /// Copies a matrix, or those of experts, which have equal extents, are kept in one way, and have no bias.
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
                Panels::F32(weights) => Some(&**weights),
                _ => None,
            }))?),
            Panels::Bf16(_) => Kept::Bf16(self.beside(&parts(experts, |panels| match panels {
                Panels::Bf16(weights) => Some(&**weights),
                _ => None,
            }))?),
            Panels::Int8(..) => {
                let of_experts = parts(experts, |panels| match panels {
                    Panels::Int8(weights, scales) => Some((&**weights, &**scales)),
                    _ => None,
                });
                let (weights, scales) = self.scaled(&of_experts)?;
                Kept::Int8(weights, scales)
            }
            Panels::Ternary(..) => {
                let of_experts = parts(experts, |panels| match panels {
                    Panels::Ternary(weights, scales) => Some((&**weights, &**scales)),
                    _ => None,
                });
                let (weights, scales) = self.scaled(&of_experts)?;
                Kept::Ternary(weights, scales)
            }
            Panels::Int4(..) => {
                let of_experts = parts(experts, |panels| match panels {
                    Panels::Int4(weights, scales) => Some((&**weights, &**scales)),
                    _ => None,
                });
                let (weights, scales) = self.scaled(&of_experts)?;
                Kept::Int4(weights, scales)
            }
        };
        let bias = match &first.bias {
            Some(bias) if experts.len() == 1 => Some(self.upload(bias)?),
            _ => None,
        };
        Ok(Matrix { kept, bias, inputs, outputs, experts: experts.len() })
    }

    /// Memory that holds the weights of `parts`, one behind the other, and memory that holds their scales.
    fn scaled<T: Number>(
        &mut self,
        parts: &[(&[T], &[f32])],
    ) -> Result<(Buffer<T>, Buffer<f32>), DeviceError> {
        let (weights, scales): (Vec<_>, Vec<_>) = parts.iter().copied().unzip();
        Ok((self.beside(&weights)?, self.beside(&scales)?))
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
        let [data, scales] = table.kept.arguments(self);
        let tokens = self.below(tokens, rows, table.rows);
        let out = self.given(out, rows * stride);
        let scale = Argument::Float(scale.unwrap_or(1.0));
        let arguments = [data, scales, tokens, word(table.width), word(stride), scale, out];
        self.launch(table.kernel, [rows, 1, 1], 128, &arguments)
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
        let [many_rows, few_rows] = matrix.kept.products();
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
        let (kernel, tile) = if few { (few_rows, 8) } else { (many_rows, 64) };
        let tiles = rows.div_ceil(tile);
        self.launch(kernel, [matrix.outputs / PANEL, tiles, matrix.experts], 64, &arguments)
    }
}
