//! What a worker draws with: something that reads tokens and chooses those that follow, on the CPU or on a GPU.

use flow_kernels::gpu::DeviceError;
use flow_kernels::{Choice, Pick};

use crate::forward::Row;
use crate::pages::{Pages, Sequence};

/// A model with the keys and values of the sequences under way. Whatever it runs on, it computes the same bits.
pub(crate) trait Pass {
    /// Where the sequences are.
    fn pages(&self) -> &Pages;

    /// The same, to open and close them.
    fn pages_mut(&mut self) -> &mut Pages;

    /// A new sequence that begins with the first `positions` positions of `parent`.
    ///
    /// # Errors
    /// The device fails.
    fn fork(&mut self, parent: Sequence, positions: usize) -> Result<Sequence, DeviceError>;

    /// Reads `rows` and chooses a token for each of `picks`, which names the wanted row that it follows by its number among these; `None`
    /// where the scores of that row are not all finite.
    ///
    /// # Errors
    /// The device fails.
    fn step(&mut self, rows: &[Row], picks: &[(usize, Pick<'_>)])
    -> Result<Vec<Option<Choice>>, DeviceError>;
}
