//! What a worker draws with: something that reads tokens and chooses those that follow, on the CPU or on a GPU.

use flow_kernels::gpu::DeviceError;
use flow_kernels::{Choice, Pick};

use crate::forward::Row;
use crate::pages::{Pages, Sequence};

/// What came of reading rows.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// One for each pick; `None` where scores were not all finite.
    pub(crate) choices: Vec<Option<Choice>>,
    /// The scores of the tokens after each other wanted row, one for each of the vocabulary.
    pub(crate) scores: Vec<Vec<f32>>,
}

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

    /// Reads `rows`, of which the first wanted ones are those of `picks`, in order, and chooses the tokens that follow them.
    ///
    /// # Errors
    /// The device fails.
    fn step(&mut self, rows: &[Row], picks: &[Pick<'_>]) -> Result<Step, DeviceError>;
}
