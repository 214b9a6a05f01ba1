//! Gradients of a step, kept in the same memory from step to step.

use crate::simd::{square_sum, vectorised};

/// The gradient of one parameter: in one block, or in one for each expert, so that an expert that no token visited costs nothing.
pub(crate) struct Gradient {
    /// Of equal lengths, one after another.
    pub(crate) blocks: Vec<Block>,
}

/// Numbers to which several parts are added.
pub(crate) struct Block {
    values: Vec<f32>,
    /// Whether anything was added; what stands in `values` is of an earlier step otherwise.
    is_filled: bool,
    /// The sum of the squares: of what was just added, which is in the cache still.
    square: f64,
}

impl Gradient {
    /// Zeros, `blocks` times `length` of them.
    pub(crate) fn new(blocks: usize, length: usize) -> Self {
        let block = |_| Block { values: vec![0.0; length], is_filled: false, square: 0.0 };
        Self { blocks: (0..blocks).map(block).collect() }
    }

    /// Back to zeros.
    pub(crate) fn clear(&mut self) {
        self.blocks.iter_mut().for_each(|block| block.is_filled = false);
    }
}

impl Block {
    /// Adds `part`, which is as long.
    pub(crate) fn add(&mut self, part: &[f32]) {
        let first = !std::mem::replace(&mut self.is_filled, true);
        let values = &mut self.values;
        self.square = vectorised(
            #[inline(always)]
            || {
                match first {
                    true => values.copy_from_slice(part),
                    false => values.iter_mut().zip(part).for_each(|(sum, x)| *sum += x),
                }
                square_sum(values)
            },
        );
    }

    /// The sum; none where it is zero because nothing was added.
    pub(crate) fn values(&self) -> Option<&[f32]> {
        self.is_filled.then_some(&self.values[..])
    }

    /// The sum of the squares.
    pub(crate) fn square(&self) -> f64 {
        if self.is_filled { self.square } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_and_blocks_without_any_are_zero() {
        let mut gradient = Gradient::new(2, 20);
        for _ in 0..2 {
            gradient.clear();
            gradient.blocks[1].add(&[1.0; 20]);
            gradient.blocks[1].add(&[2.0; 20]);
            assert_eq!(gradient.blocks[0].values(), None);
            assert_eq!(gradient.blocks[1].values(), Some(&[3.0; 20][..]));
            assert_eq!(gradient.blocks.iter().map(Block::square).collect::<Vec<_>>(), [0.0, 180.0]);
        }
    }
}
