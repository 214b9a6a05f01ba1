//! The numbers that weights are kept as: f32, bf16, or 8 bits with a scale for each output.

/// How an engine keeps the matrices of a model that have no few bits of their own ([`crate::Code`]). All sums are f32, whichever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// 4 bytes a weight: those of the checkpoint.
    #[default]
    F32,
    /// 2 bytes: rounded to the nearest bf16. Draws of a checkpoint that is stored as bf16 keep their bits.
    Bf16,
    /// 1 byte: for each output, whole numbers up to 127 times a scale, so that its largest weight is kept.
    Int8,
}

impl Precision {
    /// Bytes of a weight, scales left out.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }
}

/// A weight as it is kept.
pub(crate) trait Weight: Copy + Default {
    /// Its value; of 8 bits without the scale.
    fn widen(self) -> f32;
}

impl Weight for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

/// The upper half of an f32.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bf16(u16);

impl Bf16 {
    /// The nearest to `x`, to even of two.
    pub fn round(x: f32) -> Self {
        let bits = x.to_bits();
        let half = 0x7fff + (bits >> 16 & 1);
        // What is no number stays none: rounding up could make it infinite.
        Self(if x.is_nan() { (bits >> 16) as u16 | 0x40 } else { (bits.wrapping_add(half) >> 16) as u16 })
    }

    /// The number of these sixteen bits.
    pub fn of_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Its sixteen bits.
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl Weight for Bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

impl Weight for i8 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from(self)
    }
}

/// What 8-bit weights of these values are multiplied by: the largest becomes 127.
pub(crate) fn scale(values: &[f32]) -> f32 {
    values.iter().fold(0.0f32, |most, value| most.max(value.abs())) / 127.0
}

/// The 8-bit weight nearest to `x` by `scale`.
pub(crate) fn round(x: f32, scale: f32) -> i8 {
    if scale == 0.0 { 0 } else { (x / scale).round_ties_even() as i8 }
}

/// Rows of numbers to be looked up: the embedding, (V, C).
pub enum Table {
    /// As they are.
    F32(Vec<f32>),
    /// Each rounded to the nearest bf16.
    Bf16(Vec<Bf16>),
    /// With a scale for each row.
    Int8(Vec<i8>, Vec<f32>),
}

impl Table {
    /// A table of the rows of `width` numbers in `data`, kept in `precision`.
    pub fn new(precision: Precision, width: usize, data: &[f32]) -> Self {
        let mut table = Self::with_capacity(precision, width, data.len() / width);
        table.extend(width, data);
        table
    }

    /// An empty one, with room for so many rows.
    pub fn with_capacity(precision: Precision, width: usize, rows: usize) -> Self {
        match precision {
            Precision::F32 => Self::F32(Vec::with_capacity(rows * width)),
            Precision::Bf16 => Self::Bf16(Vec::with_capacity(rows * width)),
            Precision::Int8 => Self::Int8(Vec::with_capacity(rows * width), Vec::with_capacity(rows)),
        }
    }

    /// Adds the rows of `width` numbers in `data`.
    pub fn extend(&mut self, width: usize, data: &[f32]) {
        match self {
            Self::F32(kept) => kept.extend_from_slice(data),
            Self::Bf16(kept) => kept.extend(data.iter().copied().map(Bf16::round)),
            Self::Int8(kept, scales) => {
                for row in data.chunks_exact(width) {
                    let scale = scale(row);
                    kept.extend(row.iter().map(|x| round(*x, scale)));
                    scales.push(scale);
                }
            }
        }
    }

    /// Writes the row `at` to `out`, whose length is the width.
    pub fn read(&self, at: usize, out: &mut [f32]) {
        let span = at * out.len()..(at + 1) * out.len();
        match self {
            Self::F32(data) => out.copy_from_slice(&data[span]),
            Self::Bf16(data) => out.iter_mut().zip(&data[span]).for_each(|(out, x)| *out = x.widen()),
            Self::Int8(data, scales) => {
                out.iter_mut().zip(&data[span]).for_each(|(out, x)| *out = x.widen() * scales[at]);
            }
        }
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(data) => size_of_val(&**data),
            Self::Bf16(data) => size_of_val(&**data),
            Self::Int8(data, scales) => size_of_val(&**data) + size_of_val(&**scales),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_the_nearest_and_keeps_what_is_one() {
        for (x, expected) in [
            (1.0, 1.0),
            (1.004, 1.007_812_5),
            (1.001, 1.0),
            (-3.2, -3.203_125),
            (f32::INFINITY, f32::INFINITY),
        ] {
            assert_eq!(Bf16::round(x).widen(), expected, "{x}");
            assert_eq!(Bf16::round(expected).widen(), expected);
        }
        // Halfway, to even.
        assert_eq!(Bf16::round(1.0 + 1.0 / 256.0).widen(), 1.0);
        assert_eq!(Bf16::round(1.0 + 3.0 / 256.0).widen(), 1.0 + 4.0 / 256.0);
        assert!(Bf16::round(f32::NAN).widen().is_nan());
    }

    #[test]
    fn eight_bits_are_off_by_half_a_step_and_exact_at_the_largest() {
        let values: Vec<f32> = (0..101).map(|i| (i as f32 - 37.0) * 0.013).collect();
        let scale = scale(&values);
        for x in &values {
            let off = (f32::from(round(*x, scale)) * scale - x).abs();
            assert!(off <= 0.5001 * scale, "{x}: {off}");
        }
        assert_eq!(round(values[100], scale), 127);
        assert_eq!((super::scale(&[0.0; 3]), round(0.0, 0.0)), (0.0, 0));
    }

    #[test]
    fn a_table_gives_its_rows_back() {
        let data: Vec<f32> = (0..12).map(|i| (i as f32 - 5.0) * 0.5).collect();
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let table = Table::new(precision, 4, &data);
            let mut row = [0.0; 4];
            table.read(2, &mut row);
            let off = row.iter().zip(&data[8..]).map(|(found, x)| (found - x).abs()).fold(0.0, f32::max);
            assert!(
                off <= if precision == Precision::Int8 { 0.5 * 3.0 / 127.0 } else { 0.0 },
                "{precision:?}: {row:?}"
            );
        }
    }
}
