//! Tensors by name, wherever they rest.

use std::collections::BTreeMap;

use crate::{Error, Tensor};

/// Tensors by name, in memory or in files that are read as they are asked for.
pub trait Tensors {
    /// All names, in their order.
    fn names(&self) -> Vec<&str>;

    /// The shape of a tensor, outermost dimension first; `None` where there is none of this name.
    fn shape(&self, name: &str) -> Option<&[usize]>;

    /// Hands the numbers of a tensor to `take`, in order and some whole rows at a time.
    ///
    /// # Errors
    /// There is no such tensor, or its file cannot be read.
    fn read(&self, name: &str, take: &mut dyn FnMut(&[f32])) -> Result<(), Error>;
}

impl Tensors for BTreeMap<String, Tensor> {
    fn names(&self) -> Vec<&str> {
        self.keys().map(String::as_str).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.get(name).map(|tensor| &*tensor.shape)
    }

    fn read(&self, name: &str, take: &mut dyn FnMut(&[f32])) -> Result<(), Error> {
        take(&self.get(name).ok_or_else(|| missing(name))?.data);
        Ok(())
    }
}

/// There is no tensor of this name.
pub(crate) fn missing(name: &str) -> Error {
    Error::TensorMissing { name: name.into(), help: String::new() }
}

/// Whether all `numbers` of the tensor `name` are finite.
///
/// # Errors
/// The first that is not.
pub fn expect_finite(name: &str, numbers: &[f32]) -> Result<(), Error> {
    match numbers.iter().find(|number| !number.is_finite()) {
        Some(found) => Err(Error::TensorValue {
            name: name.into(),
            found: found.to_string(),
            expected: "finite numbers",
        }),
        None => Ok(()),
    }
}
