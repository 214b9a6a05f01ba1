//! Launchers of attention in documents.

use std::ops::Range;

use super::super::{Argument, Buffer, DeviceError, Gpu, word};
use super::WIDE;

/// Widest head that the kernels have sums for.
const MOST_DIM: usize = 256;

/// Rows of a tile.
const TILE: usize = 64;

/// Columns of a head in a slice.
const SLICE: usize = 64;

/// How the columns of a row split into heads: query heads, then key heads, then value heads.
#[derive(Clone, Copy, Debug)]
pub struct AttentionHeads {
    /// Query heads, of all attentions of a layer one after another.
    pub query: usize,
    /// Attentions that read the same keys and values, each with its share of the query heads.
    pub readers: usize,
    /// Key heads, and as many value heads; each serves `query / readers / key_value` query heads in a row of each reader.
    pub key_value: usize,
    /// Numbers of one head, even.
    pub dim: usize,
}

/// What becomes of the products of queries and keys on their way to weights.
#[derive(Clone, Copy, Debug)]
pub struct AttentionScores {
    /// What they are multiplied by.
    pub scale: f32,
    /// Above 0: they are then bent to stay between minus this and this.
    pub cap: Option<f32>,
    /// At least 1: only this many positions count, a query's own and those right before it. `None`: all up to its own.
    pub window: Option<usize>,
}

impl AttentionScores {
    /// The arguments of all kernels.
    fn words(&self) -> [Argument; 3] {
        let window = self.window.and_then(|window| u32::try_from(window).ok()).unwrap_or(u32::MAX);
        [Argument::Float(self.scale), Argument::Float(self.cap.unwrap_or(0.0)), Argument::Word(window)]
    }
}

impl AttentionHeads {
    /// Numbers of a row of queries, keys and values.
    fn width(&self) -> usize {
        (self.query + 2 * self.key_value) * self.dim
    }

    /// Errs or panics unless the kernels can serve such heads.
    fn check(&self) -> Result<(), DeviceError> {
        let own = self.query / self.readers;
        assert!(own * self.readers == self.query && self.dim.is_multiple_of(2), "{self:?}");
        assert!(own > 0 && own.is_multiple_of(self.key_value), "each key head has as many queries: {self:?}");
        Gpu::check_head_dim(self.dim)
    }

    /// The arguments of all kernels.
    fn words(&self) -> [Argument; 4] {
        [self.query, self.readers, self.key_value, self.dim].map(word)
    }

    /// The one of three kernels whose slices hold a head.
    fn kernel(&self, kernels: [&'static str; 3]) -> &'static str {
        kernels[match self.dim.div_ceil(SLICE) {
            ..=1 => 0,
            2 => 1,
            _ => 2,
        }]
    }
}

/// Cosines and sines by position and frequency, (positions, dim/2) each, on the device.
#[derive(Debug)]
pub struct Turns {
    cosines: Buffer<f32>,
    sines: Buffer<f32>,
    dim: usize,
}

/// Ranges of rows, in order, covering all; 12 bytes on the device for each 64 rows of a document.
#[derive(Debug)]
pub struct Documents {
    /// Of each tile where its document begins and ends, and where it begins.
    tiles: Buffer<u32>,
    count: usize,
    rows: usize,
    longest: usize,
}

impl Gpu {
    /// Errs where heads are wider than the kernels of training hold.
    ///
    /// # Errors
    /// They are wider than 256.
    pub fn check_head_dim(dim: usize) -> Result<(), DeviceError> {
        match dim {
            ..=MOST_DIM => Ok(()),
            _ => Err(DeviceError::Missing {
                device: "training of attention on a GPU",
                reason: format!("heads are {dim} wide, at most {MOST_DIM} fit"),
            }),
        }
    }

    /// Copies cosines and sines, (positions, dim/2) each, of heads `dim` wide.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    ///
    /// # Panics
    /// `dim` is odd, or there are not as many sines as cosines.
    pub fn turns(&mut self, cosines: &[f32], sines: &[f32], dim: usize) -> Result<Turns, DeviceError> {
        assert!(dim.is_multiple_of(2) && cosines.len() == sines.len(), "half a head of cosines and sines");
        Ok(Turns { cosines: self.upload(cosines)?, sines: self.upload(sines)?, dim })
    }

    /// Documents that are these ranges of rows.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    ///
    /// # Panics
    /// The ranges do not follow each other from 0.
    pub fn documents(&mut self, ranges: &[Range<usize>]) -> Result<Documents, DeviceError> {
        let (mut rows, mut tiles) = (0, Vec::new());
        for range in ranges {
            assert!(range.start == rows && range.end >= rows, "documents follow each other from 0");
            rows = range.end;
            let tile = |first| [range.start, range.end, first];
            tiles.extend(range.clone().step_by(TILE).flat_map(tile));
        }
        let number = |row: &usize| u32::try_from(*row).expect("rows are fewer than 2^32");
        let tiles = self.upload(&tiles.iter().map(number).collect::<Vec<_>>())?;
        let longest = ranges.iter().map(Range::len).max().unwrap_or(0);
        Ok(Documents { count: tiles.len() / 3, tiles, rows, longest })
    }

    /// Causal attention in each document of the rows `x` (N, (query + 2·key_value)·dim), queries and keys turned by their positions in it, to
    /// `out` (N, query·dim), and for the way back the logarithm of the sum of each row's and head's exponentials, `log_sums` (N, query).
    ///
    /// # Errors
    /// Heads are wider than 256, or the device fails.
    ///
    /// # Panics
    /// A document has more positions than `turns`, or the heads cannot be shared out.
    pub fn attention(
        &mut self,
        (heads, scores): (&AttentionHeads, &AttentionScores),
        documents: &Documents,
        turns: &Turns,
        x: &Buffer<f32>,
        out: &mut Buffer<f32>,
        log_sums: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        heads.check()?;
        let rows = documents.rows;
        let arguments = [
            &heads.words()[..],
            &scores.words(),
            &self.placing(heads, documents, turns),
            &[self.given(x, rows * heads.width())],
            &[self.given(out, rows * heads.query * heads.dim), self.given(log_sums, rows * heads.query)],
        ];
        let kernel = heads.kernel(["attention_1", "attention_2", "attention_4"]);
        self.launch(kernel, [documents.count, heads.query, 1], WIDE, &arguments.concat())
    }

    /// The gradient `dx` of [`Gpu::attention`] from `d_out`; `out` and `log_sums` are what it gave.
    ///
    /// # Errors
    /// Heads are wider than 256, there is no memory for a number a row and head, or the device fails.
    ///
    /// # Panics
    /// As [`Gpu::attention`].
    #[expect(clippy::too_many_arguments, reason = "each is a matrix of the formula")]
    pub fn attention_back(
        &mut self,
        (heads, scores): (&AttentionHeads, &AttentionScores),
        documents: &Documents,
        turns: &Turns,
        x: &Buffer<f32>,
        out: &Buffer<f32>,
        log_sums: &Buffer<f32>,
        d_out: &Buffer<f32>,
        dx: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        heads.check()?;
        let (rows, each) = (documents.rows, documents.rows * heads.query);
        let placing = [&heads.words()[..], &scores.words(), &self.placing(heads, documents, turns)].concat();
        let given = [self.given(x, rows * heads.width()), self.given(log_sums, each)];
        let (d_given, dx) = (self.given(d_out, each * heads.dim), self.given(dx, rows * heads.width()));
        self.lend::<f32>(each, |gpu, along| {
            gpu.dot_rows([each, heads.dim], out, d_out, along)?;
            let arguments = [&placing[..], &given, &[gpu.given(along, each), d_given, dx]].concat();
            let query = ["attention_query_back_1", "attention_query_back_2", "attention_query_back_4"];
            gpu.launch(heads.kernel(query), [documents.count, heads.query, 1], WIDE, &arguments)?;
            let key = ["attention_key_back_1", "attention_key_back_2", "attention_key_back_4"];
            gpu.launch(heads.kernel(key), [documents.count, heads.key_value, 1], WIDE, &arguments)
        })
    }

    /// Tiles, cosines and sines as arguments.
    fn placing(&self, heads: &AttentionHeads, documents: &Documents, turns: &Turns) -> [Argument; 3] {
        assert!(turns.dim == heads.dim, "turns of heads {} wide, not {}", turns.dim, heads.dim);
        let turned = documents.longest * (heads.dim / 2);
        [
            self.given(&documents.tiles, 3 * documents.count),
            self.given(&turns.cosines, turned),
            self.given(&turns.sines, turned),
        ]
    }
}
