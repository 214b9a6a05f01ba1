//! Gradients of a step.

use candle_core::Result;

use crate::device::Array;
use crate::ops::{Elements, elements, sum};
use crate::simd::{square_sum, vectorised};
use crate::tensor::Tensor;

/// The gradient of one parameter: in one block, or in one for each expert, so that an expert that no token visited costs nothing.
pub(crate) struct Gradient {
    /// Of equal lengths, one after another.
    pub(crate) blocks: Vec<Block>,
}

/// A sum of parts.
#[derive(Default)]
pub(crate) struct Block {
    /// The parts so far; none where there was none. A single one is taken as it is, without a copy.
    sum: Option<Tensor>,
    /// The sum of its squares, unless it is on a device: of what was just added, which is in the cache still.
    square: f64,
}

impl Gradient {
    /// Zeros in so many blocks.
    pub(crate) fn new(blocks: usize) -> Self {
        Self { blocks: (0..blocks).map(|_| Block::default()).collect() }
    }

    /// Back to zeros.
    pub(crate) fn clear(&mut self) {
        self.blocks.iter_mut().for_each(|block| *block = Block::default());
    }
}

impl Block {
    /// Adds `part`, which has the shape of those before.
    pub(crate) fn add(&mut self, part: Tensor) -> Result<()> {
        let total = match self.sum.take() {
            Some(before) => sum(&before, &part)?,
            None => part,
        };
        if let Tensor::Host(_) = total {
            let values = elements(&total)?;
            self.square = vectorised(
                #[inline(always)]
                || square_sum(&values),
            );
        }
        self.sum = Some(total);
        Ok(())
    }

    /// The sum; none where it is zero because nothing was added.
    pub(crate) fn values(&self) -> Result<Option<Elements<'_>>> {
        self.sum.as_ref().map(elements).transpose()
    }

    /// The sum of the squares, of one that is not on a device.
    pub(crate) fn square(&self) -> f64 {
        self.square
    }

    /// The sum, of one that is on a device; none where it is zero because nothing was added.
    pub(crate) fn array(&self) -> Option<&Array> {
        if let Some(Tensor::Device(array)) = &self.sum { Some(array) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tensor;

    #[test]
    fn parts_are_added_and_blocks_without_any_are_zero() {
        let mut gradient = Gradient::new(2);
        for _ in 0..2 {
            gradient.clear();
            for part in [1.0, 2.0] {
                gradient.blocks[1].add(tensor(vec![part; 20], 20).unwrap()).unwrap();
            }
            assert!(gradient.blocks[0].values().unwrap().is_none());
            assert_eq!(gradient.blocks[1].values().unwrap().unwrap()[..], [3.0; 20]);
            assert_eq!(gradient.blocks.iter().map(Block::square).collect::<Vec<_>>(), [0.0, 180.0]);
        }
    }
}
