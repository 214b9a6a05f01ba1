//! Launchers of attention over paged keys and values.

use super::{Argument, Buffer, DeviceError, Gpu, Indices, Placed, word};
use crate::matmul::padded;
use crate::paged::BLOCK;
use crate::shape::Shape;

/// Threads of a block: eight phases of sixteen lanes.
const THREADS: u32 = 128;

/// Longest head that the kernels hold in shared memory.
const MOST_DIM: usize = 512;

/// A [`Shape`] as kernels take it.
#[derive(Clone, Copy, Debug)]
pub struct Extents {
    shape: Shape,
}

impl Extents {
    /// Those of a shape.
    ///
    /// # Errors
    /// Its heads are wider than 512.
    ///
    /// # Panics
    /// The query heads of an attention cannot be shared out among the key heads.
    pub fn new(shape: Shape) -> Result<Self, DeviceError> {
        let own = shape.query_heads / shape.readers;
        assert!(
            own > 0 && own.is_multiple_of(shape.heads.key_value_heads),
            "each key head has as many queries"
        );
        match shape.heads.head_dim {
            dim if dim <= MOST_DIM => Ok(Self { shape }),
            dim => Err(DeviceError::Missing {
                device: "attention on a GPU",
                reason: format!("heads are {dim} wide, at most {MOST_DIM} fit"),
            }),
        }
    }

    /// As the kernels take it.
    fn raw(&self) -> RawExtents {
        let Shape { query_heads, readers, heads, scale, cap, clip, .. } = self.shape;
        let (query, key) = (padded(self.shape.query_len()), padded(self.shape.key_value_len()));
        let words =
            [query_heads, heads.key_value_heads, readers, heads.head_dim, query, key, heads.block_len()];
        RawExtents {
            words: words.map(|number| u32::try_from(number).expect("extents are below 2^32")),
            floats: [scale, cap.unwrap_or(0.0), clip.unwrap_or(0.0)],
        }
    }
}

/// The kernels' structure `Extents`: numbers of heads and lengths, then scale, cap and clip.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct RawExtents {
    words: [u32; 7],
    floats: [f32; 3],
}

impl RawExtents {
    /// Its bytes, little-endian.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let words = self.words.map(u32::to_le_bytes);
        [words.as_flattened(), self.floats.map(f32::to_le_bytes).as_flattened()].concat()
    }
}

/// What a layer lets a row see, and scratch for it.
pub struct Seen<'a> {
    /// Positions that a row sees, its own included.
    pub window: usize,
    /// Most scores at a time: where those of the rows are more, query heads x positions each, rows are taken in turns, at least one.
    pub most: usize,
    /// Grows to so many scores, or as many as there are.
    pub scores: &'a mut Buffer<f32>,
}

impl Gpu {
    /// Norms, clips and rotates queries and keys of fused rows and stores keys and values in the `cache` of a layer. Row r turns by
    /// cosines and sines `turns[r]` of `rotary`; `norms` are scales of queries and keys, and what is added to the mean square.
    ///
    /// # Errors
    /// The device fails.
    pub fn place(
        &mut self,
        extents: Extents,
        at: &Placed,
        norms: Option<(&Buffer<f32>, &Buffer<f32>, f32)>,
        (rotary, turns): ([&Buffer<f32>; 2], &Indices),
        fused: &mut Buffer<f32>,
        cache: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let shape = extents.shape;
        let (query, key, eps) = match norms {
            Some((query, key, eps)) => (Some(query), Some(key), eps),
            None => (None, None, 0.0),
        };
        let width = |norm: Option<&Buffer<f32>>| word(norm.map_or(1, Buffer::len));
        let ([cos, sin], rows) = (rotary, at.positions.len);
        let turned = cos.len().min(sin.len()) / (shape.heads.head_dim / 2).max(1);
        let arguments = [
            Argument::Extents(extents.raw()),
            self.given(fused, rows * shape.fused_len()),
            self.maybe(query, 1),
            width(query),
            self.maybe(key, 1),
            width(key),
            Argument::Float(eps),
            self.whole(cos),
            self.whole(sin),
            self.below(turns, rows, turned),
            self.whole(&at.positions.numbers),
            self.whole(&at.table_of.numbers),
            self.whole(&at.tables.numbers),
            self.given(cache, at.tables.below * shape.heads.block_len()),
        ];
        self.launch("place", [rows, 1, 1], THREADS, &arguments)
    }

    /// What each fused row attends to in the `cache` of a layer; rows of `out` have [`Shape::output_len`] numbers.
    ///
    /// # Errors
    /// The device fails.
    pub fn attend(
        &mut self,
        extents: Extents,
        at: &Placed,
        seen: Seen<'_>,
        fused: &Buffer<f32>,
        cache: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let shape = extents.shape;
        let (rows, longest) = (at.positions.len, at.positions.below.next_multiple_of(BLOCK));
        let each = shape.query_heads * longest;
        let most = (seen.most / each.max(1)).max(1);
        self.grow(seen.scores, rows.min(most) * each)?;
        for first in (0..rows).step_by(most) {
            let count = most.min(rows - first);
            let arguments = [
                Argument::Extents(extents.raw()),
                word(first),
                self.given(fused, rows * shape.fused_len()),
                self.whole(&at.positions.numbers),
                word(seen.window.min(u32::MAX as usize)),
                self.whole(&at.table_of.numbers),
                self.whole(&at.tables.numbers),
                self.given(cache, at.tables.below * shape.heads.block_len()),
                self.given(seen.scores, count * each),
                word(longest),
                self.given(out, rows * shape.output_len()),
            ];
            self.launch("attend", [count, shape.query_heads, 1], THREADS, &arguments)?;
        }
        Ok(())
    }

    /// Copies blocks of the `cache` of a layer, each from one to the other.
    ///
    /// # Errors
    /// The device fails.
    pub fn copy_blocks(
        &mut self,
        shape: Shape,
        from: &Indices,
        to: &Indices,
        cache: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let len = shape.heads.block_len();
        let (count, blocks) = (from.len, cache.len() / len);
        let (from, to) = (self.below(from, count, blocks), self.below(to, count, blocks));
        let arguments = [self.whole(cache), from, to, word(len)];
        self.launch("copy_blocks", [count, 1, 1], THREADS, &arguments)
    }

    /// Multiplies what each of `count` attentions gives, `own` numbers of a row of `attended`, by its softmax over a row of `logits`, or
    /// by 0 where `kept` others count more.
    ///
    /// # Errors
    /// The device fails.
    pub fn mix_attentions(
        &mut self,
        rows: usize,
        (logits, width): (&mut Buffer<f32>, usize),
        (count, kept): (usize, usize),
        (attended, own, stride): (&mut Buffer<f32>, usize, usize),
    ) -> Result<(), DeviceError> {
        assert!(count <= width && count * own <= stride);
        let (logits, attended) = (self.given(logits, rows * width), self.given(attended, rows * stride));
        let arguments = [logits, word(count), word(width), word(kept), attended, word(own), word(stride)];
        self.launch("mix_attentions", [rows, 1, 1], THREADS, &arguments)
    }
}
