//! Numbers of a shape, in the memory of this machine or of a device.
//!
//! An operation runs where its operands are. Host tensors are a library's; those on a device are an [`Array`].

use std::borrow::Cow;

use candle_core::{Result, Shape, bail};

use crate::device::Array;

/// Contiguous f32, row by row.
#[derive(Clone)]
pub(crate) enum Tensor {
    /// In the memory of this machine.
    Host(candle_core::Tensor),
    /// In that of a device.
    Device(Array),
}

impl Tensor {
    /// Extents, the outermost first.
    pub(crate) fn dims(&self) -> &[usize] {
        match self {
            Self::Host(tensor) => tensor.dims(),
            Self::Device(array) => array.dims(),
        }
    }

    /// The extents as a shape.
    pub(crate) fn shape(&self) -> Shape {
        self.dims().into()
    }

    /// How many extents there are.
    pub(crate) fn rank(&self) -> usize {
        self.dims().len()
    }

    /// Rows and columns.
    ///
    /// # Errors
    /// It is no matrix.
    pub(crate) fn dims2(&self) -> Result<(usize, usize)> {
        match self.dims() {
            [rows, columns] => Ok((*rows, *columns)),
            dims => bail!("a matrix is needed, this has the extents {dims:?}"),
        }
    }

    /// How many numbers.
    pub(crate) fn elem_count(&self) -> usize {
        self.dims().iter().product()
    }

    /// The only number.
    ///
    /// # Errors
    /// There are others, or it cannot be read.
    pub(crate) fn to_scalar(&self) -> Result<f32> {
        match self.to_vec()?[..] {
            [number] => Ok(number),
            _ => bail!("a scalar is needed, this has the extents {:?}", self.dims()),
        }
    }

    /// A copy of the numbers.
    ///
    /// # Errors
    /// The device fails.
    pub(crate) fn to_vec(&self) -> Result<Vec<f32>> {
        match self {
            Self::Host(_) => Ok(crate::ops::elements(self)?.to_vec()),
            Self::Device(array) => array.to_vec(),
        }
    }

    /// The same in the memory of this machine.
    ///
    /// # Errors
    /// The device fails.
    pub(crate) fn on_host(&self) -> Result<Cow<'_, Self>> {
        match self {
            Self::Host(_) => Ok(Cow::Borrowed(self)),
            Self::Device(array) => Ok(Cow::Owned(crate::ops::tensor(array.to_vec()?, self.dims())?)),
        }
    }

    /// The same where `other` is.
    ///
    /// # Errors
    /// The device fails, or has no memory left.
    pub(crate) fn beside(self, other: &Self) -> Result<Self> {
        match (other, &self) {
            (Self::Host(_), Self::Host(_)) | (Self::Device(_), Self::Device(_)) => Ok(self),
            (Self::Host(_), Self::Device(_)) => Ok(self.on_host()?.into_owned()),
            (Self::Device(other), Self::Host(_)) => {
                let numbers = crate::ops::elements(&self)?;
                other.device().upload(&numbers, self.dims()).map(Self::Device)
            }
        }
    }

    /// The part `at` of the outermost extent, which is left out; of a host tensor.
    ///
    /// # Errors
    /// There is no such part, or it is on a device.
    pub(crate) fn get(&self, at: usize) -> Result<Self> {
        match self {
            Self::Host(tensor) => tensor.get(at).map(Self::Host),
            Self::Device(_) => bail!("a part of a tensor on a device"),
        }
    }
}
