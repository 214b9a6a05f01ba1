//! How the weights of a packed matrix are kept, panel by panel: `[output / 32][input][output % 32]`.

use pulp::Simd;

use crate::numbers::{Bf16, Precision};
use crate::simd::{Kernel, LANES, Unit};

/// Outputs in one panel of packed weights; widths of all row buffers are multiples of it.
pub const PANEL: usize = 2 * LANES;

/// Weights that are few whole numbers, each times a scale. Such a product is exact in f32 where the scale has no more than 21 bits, or
/// the whole number is -1, 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// -1, 0 and 1 in two bits, with one scale for all inputs of an output.
    Ternary,
    /// -7 to 7 in four bits, with a scale for each 128 inputs of an output.
    Int4,
}

impl Code {
    /// Inputs that share a scale, in a matrix with so many.
    pub fn group(self, inputs: usize) -> usize {
        match self {
            Self::Ternary => inputs,
            Self::Int4 => 128,
        }
    }

    /// Bytes of a panel of weights with so many inputs, and of its scales.
    fn panel_bytes(self, inputs: usize) -> usize {
        let weights = match self {
            Self::Ternary => size_of::<TwoBits>(),
            Self::Int4 => size_of::<FourBits>(),
        };
        inputs * weights + inputs.div_ceil(self.group(inputs)) * PANEL * size_of::<f32>()
    }

    /// Bytes of a packed matrix with so many inputs and `outputs`, padded to whole panels.
    pub fn bytes(self, inputs: usize, outputs: usize) -> usize {
        outputs.div_ceil(PANEL) * self.panel_bytes(inputs)
    }
}

/// The weights of all panels.
pub(crate) enum Panels {
    F32(Box<[f32]>),
    Bf16(Box<[Bf16]>),
    /// With what each output is multiplied by when its sum is complete.
    Int8(Box<[i8]>, Box<[f32]>),
    /// With the scales of their outputs.
    Ternary(Box<[TwoBits]>, Box<[f32]>),
    /// With the scales of their groups, `[output / 32][group][output % 32]`.
    Int4(Box<[FourBits]>, Box<[f32]>),
}

impl Panels {
    /// Weights of 0 in this precision.
    pub(crate) fn zeros(precision: Precision, inputs: usize, outputs: usize) -> Self {
        let weights = inputs * outputs;
        match precision {
            Precision::F32 => Self::F32(zeros(weights)),
            Precision::Bf16 => Self::Bf16(zeros(weights)),
            Precision::Int8 => Self::Int8(zeros(weights), zeros(outputs)),
        }
    }

    /// Weights of 0 in this code.
    pub(crate) fn coded(code: Code, inputs: usize, outputs: usize) -> Self {
        let (rows, scales) = (outputs / PANEL * inputs, zeros(outputs * inputs.div_ceil(code.group(inputs))));
        match code {
            Code::Ternary => Self::Ternary(zeros(rows), scales),
            Code::Int4 => Self::Int4(zeros(rows), scales),
        }
    }

    /// Inputs that share a scale, in a matrix with so many.
    pub(crate) fn group(&self, inputs: usize) -> usize {
        match self {
            Self::F32(_) | Self::Bf16(_) | Self::Int8(..) => inputs,
            Self::Ternary(..) => Code::Ternary.group(inputs),
            Self::Int4(..) => Code::Int4.group(inputs),
        }
    }

    /// Bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::F32(weights) => size_of_val(&**weights),
            Self::Bf16(weights) => size_of_val(&**weights),
            Self::Int8(weights, scales) => size_of_val(&**weights) + size_of_val(&**scales),
            Self::Ternary(weights, scales) => size_of_val(&**weights) + size_of_val(&**scales),
            Self::Int4(weights, scales) => size_of_val(&**weights) + size_of_val(&**scales),
        }
    }
}

fn zeros<W: Copy + Default>(len: usize) -> Box<[W]> {
    vec![W::default(); len].into()
}

/// What is kept of the 32 weights that an input has in a panel.
pub(crate) trait Codes: Copy {
    /// The codes.
    fn widen(&self) -> [f32; PANEL];
}

/// Turns codes into weights, each times the scale of its group.
pub(crate) struct Widen<'a, C> {
    /// Of a panel, for each input.
    pub(crate) codes: &'a [C],
    /// Of the panel: groups x 32.
    pub(crate) scales: &'a [f32],
    /// Inputs of a group.
    pub(crate) group: usize,
    /// inputs x 32
    pub(crate) wide: &'a mut [f32],
}

impl<C: Codes> Kernel for Widen<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) {
        let groups = self.codes.chunks(self.group).zip(self.wide.chunks_mut(self.group * PANEL));
        for ((codes, wide), scales) in groups.zip(self.scales.as_chunks::<LANES>().0.as_chunks::<2>().0) {
            let scales = [unit.load(&scales[0]), unit.load(&scales[1])];
            for (codes, wide) in codes.iter().zip(wide.as_chunks_mut::<LANES>().0.as_chunks_mut::<2>().0) {
                let codes = codes.widen();
                for (half, codes) in codes.as_chunks::<LANES>().0.iter().enumerate() {
                    unit.store(unit.mul(unit.load(codes), scales[half]), &mut wide[half]);
                }
            }
        }
    }
}

/// 32 codes of -1, 0 and 1, kept as 0, 1 and 2, four to a byte from the lowest bits.
#[derive(Clone, Copy)]
pub(crate) struct TwoBits(pub(crate) [u8; PANEL / 4]);

impl Default for TwoBits {
    fn default() -> Self {
        Self([0b01_01_01_01; PANEL / 4])
    }
}

impl TwoBits {
    /// Sets the code `at`, -1 to 1.
    pub(crate) fn put(&mut self, at: usize, code: i8) {
        debug_assert!((-1..=1).contains(&code));
        let (byte, shift) = (&mut self.0[at / 4], 2 * (at % 4));
        *byte = *byte & !(3 << shift) | ((code + 1) as u8) << shift;
    }
}

impl Codes for TwoBits {
    #[inline(always)]
    fn widen(&self) -> [f32; PANEL] {
        let (sixteen, _) = self.0.as_chunks();
        std::array::from_fn(|i| {
            ((u32::from_le_bytes(sixteen[i / 16]) >> (2 * (i % 16)) & 3) as i32 - 1) as f32
        })
    }
}

/// 32 codes of -7 to 7, kept as 1 to 15, two to a byte from the low four bits.
#[derive(Clone, Copy)]
pub(crate) struct FourBits(pub(crate) [u8; PANEL / 2]);

impl Default for FourBits {
    fn default() -> Self {
        Self([0x88; PANEL / 2])
    }
}

impl FourBits {
    /// Sets the code `at`, -7 to 7.
    pub(crate) fn put(&mut self, at: usize, code: i8) {
        debug_assert!((-7..=7).contains(&code));
        let (byte, shift) = (&mut self.0[at / 2], 4 * (at % 2));
        *byte = *byte & !(15 << shift) | ((code + 8) as u8) << shift;
    }
}

impl Codes for FourBits {
    #[inline(always)]
    fn widen(&self) -> [f32; PANEL] {
        let (eight, _) = self.0.as_chunks();
        std::array::from_fn(|i| ((u32::from_le_bytes(eight[i / 8]) >> (4 * (i % 8)) & 15) as i32 - 8) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_again_where_they_were_put() {
        let (mut two, mut four) = (TwoBits::default(), FourBits::default());
        let codes: Vec<i8> = (0..PANEL as i8).map(|i| i * 4 % 15 - 7).collect();
        for (at, code) in codes.iter().enumerate() {
            // The second is what counts.
            for code in [-code, *code] {
                four.put(at, code);
                two.put(at, code.signum());
            }
        }
        let found_four = four.0.iter().flat_map(|byte| [byte & 15, byte >> 4]).map(|code| code as i8 - 8);
        let found_two =
            two.0.iter().flat_map(|byte| [0, 2, 4, 6].map(|at| byte >> at & 3)).map(|code| code as i8 - 1);
        assert_eq!(found_four.collect::<Vec<_>>(), codes);
        assert_eq!(found_two.collect::<Vec<_>>(), codes.iter().map(|code| code.signum()).collect::<Vec<_>>());
    }
}
