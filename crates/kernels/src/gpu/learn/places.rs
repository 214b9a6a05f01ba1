//! Rows that go to other places: gradients of gathered rows, and the visits of tokens to experts.

use super::super::{Buffer, DeviceError, Gpu, Indices, word};
use super::{BLOCK_ROWS, THREADS};

/// Where each of some rows is added; 4 bytes a row, and 4 for each place.
#[derive(Debug)]
pub struct Scatter {
    /// The rows by place, and where those of each place begin.
    order: Indices,
    starts: Indices,
    rows: usize,
    held: usize,
}

/// Which visits each token has, and which row of the experts' answers belongs to each visit.
#[derive(Debug)]
pub struct Mixed {
    ends: Indices,
    row_of: Indices,
    token_of: Indices,
    tokens: usize,
    visits: usize,
}

impl Gpu {
    /// The indices `numbers` on the device.
    fn indexed(&mut self, numbers: &[u32]) -> Result<Indices, DeviceError> {
        let mut indices = self.indices()?;
        self.index(&mut indices, numbers)?;
        Ok(indices)
    }

    /// Row `i` is added at `indices[i]`, below `held`.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    ///
    /// # Panics
    /// An index is not below `held`.
    pub fn scatter_places(&mut self, indices: &[u32], held: usize) -> Result<Scatter, DeviceError> {
        let mut starts = vec![0u32; held + 1];
        indices.iter().for_each(|index| starts[*index as usize + 1] += 1);
        (0..held).for_each(|place| starts[place + 1] += starts[place]);
        let (mut next, mut order) = (starts.clone(), vec![0; indices.len()]);
        for (row, index) in (0..).zip(indices) {
            let at = &mut next[*index as usize];
            order[*at as usize] = row;
            *at += 1;
        }
        let (order, starts) = (self.indexed(&order)?, self.indexed(&starts)?);
        Ok(Scatter { order, starts, rows: indices.len(), held })
    }

    /// `dx = 0`, then `dx[index[i]] += dy[i]` in the order of i: the gradient of [`Gpu::gather`].
    ///
    /// # Errors
    /// The device fails.
    pub fn scatter(
        &mut self,
        width: usize,
        places: &Scatter,
        dy: &Buffer<f32>,
        dx: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let Scatter { order, starts, rows, held } = places;
        let (dy, dx) = (self.given(dy, rows * width), self.given(dx, held * width));
        let (starts, order) = (self.below(starts, held + 1, rows + 1), self.below(order, *rows, *rows));
        self.launch("scatter_rows", [*held, 1, 1], THREADS, &[dy, starts, order, word(width), dx])
    }

    /// The visits of token n end at `ends[n]`; visit v has row `row_of[v]` of the answers, another one for each visit.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    ///
    /// # Panics
    /// `ends` do not ascend to the number of visits, or `row_of` is no permutation.
    pub fn mixed(&mut self, ends: &[u32], row_of: &[u32]) -> Result<Mixed, DeviceError> {
        let visits = row_of.len();
        assert!(ends.is_sorted() && ends.last().map_or(0, |end| *end as usize) == visits, "ends of visits");
        let mut taken = vec![false; visits];
        assert!(row_of.iter().all(|row| !std::mem::replace(&mut taken[*row as usize], true)), "a row each");
        let mut token_of = Vec::with_capacity(visits);
        for (token, end) in (0..).zip(ends) {
            token_of.resize(*end as usize, token);
        }
        Ok(Mixed {
            ends: self.indexed(ends)?,
            row_of: self.indexed(row_of)?,
            token_of: self.indexed(&token_of)?,
            tokens: ends.len(),
            visits,
        })
    }

    /// `out[n] = Σ weights[v] · x[row_of[v]]` over the visits v of token n in order; zeros where it has none. `x` is (visits, width).
    ///
    /// # Errors
    /// The device fails.
    pub fn mix(
        &mut self,
        width: usize,
        mixed: &Mixed,
        x: &Buffer<f32>,
        weights: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let Mixed { tokens, visits, .. } = *mixed;
        let (x, weights) = (self.given(x, visits * width), self.given(weights, visits));
        let (ends, row_of) =
            (self.below(&mixed.ends, tokens, visits + 1), self.below(&mixed.row_of, visits, visits));
        let arguments = [x, weights, ends, row_of, word(width), self.given(out, tokens * width)];
        self.launch("mix_rows", [tokens, 1, 1], THREADS, &arguments)
    }

    /// The gradients `dx` (visits, width) and `dw` (visits) of [`Gpu::mix`] from `dy` (tokens, width).
    ///
    /// # Errors
    /// The device fails.
    #[expect(clippy::too_many_arguments, reason = "each is a matrix of the formula")]
    pub fn mix_back(
        &mut self,
        width: usize,
        mixed: &Mixed,
        x: &Buffer<f32>,
        weights: &Buffer<f32>,
        dy: &Buffer<f32>,
        dx: &mut Buffer<f32>,
        dw: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let Mixed { tokens, visits, .. } = *mixed;
        let arguments = [
            self.given(x, visits * width),
            self.given(weights, visits),
            self.below(&mixed.token_of, visits, tokens),
            self.below(&mixed.row_of, visits, visits),
            word(visits),
            word(width),
            self.given(dy, tokens * width),
            self.given(dx, visits * width),
            self.given(dw, visits),
        ];
        self.launch("mix_rows_back", [visits.div_ceil(BLOCK_ROWS), 1, 1], THREADS, &arguments)
    }
}
