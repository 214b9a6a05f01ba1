//! Numbers with a shape.

use std::sync::Arc;

/// A row-major array of f32; cloning shares the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Extent of each dimension, outermost first.
    pub shape: Vec<usize>,
    /// As many elements as the product of `shape`.
    pub data: Arc<[f32]>,
}

impl Tensor {
    /// A tensor of `shape` over `data`.
    ///
    /// # Panics
    /// When the number of elements does not follow from the shape.
    pub fn new(shape: impl Into<Vec<usize>>, data: impl Into<Arc<[f32]>>) -> Self {
        let (shape, data) = (shape.into(), data.into());
        assert_eq!(shape.iter().product::<usize>(), data.len(), "elements of a tensor of shape {shape:?}");
        Self { shape, data }
    }

    /// The elements as little-endian bytes.
    pub(crate) fn to_le_bytes(&self) -> Vec<u8> {
        self.data.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}
