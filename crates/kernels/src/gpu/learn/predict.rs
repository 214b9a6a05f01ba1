//! Launchers of what is learned from logits.

use super::super::{Buffer, DeviceError, Gpu, Indices, word};
use super::{THREADS, WIDE};

impl Gpu {
    /// Makes each row of `logits` (rows, width) its softmax; the logarithms of its number at the row's target are `log_probabilities` (rows).
    ///
    /// # Errors
    /// The device fails.
    pub fn predict(
        &mut self,
        [rows, width]: [usize; 2],
        logits: &mut Buffer<f32>,
        targets: &Indices,
        log_probabilities: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let arguments = [
            self.given(logits, rows * width),
            self.below(targets, rows, width),
            word(width),
            self.given(log_probabilities, rows),
        ];
        self.launch("predict_rows", [rows, 1, 1], WIDE, &arguments)
    }

    /// Makes `probabilities` p the gradient of the logits: `factors[r] · (p[r] − one(targets[r]))`.
    ///
    /// # Errors
    /// The device fails.
    pub fn predict_back(
        &mut self,
        [rows, width]: [usize; 2],
        probabilities: &mut Buffer<f32>,
        targets: &Indices,
        factors: &Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (probabilities, factors) = (self.given(probabilities, rows * width), self.given(factors, rows));
        let arguments = [probabilities, self.below(targets, rows, width), factors, word(width)];
        self.launch("predict_rows_back", [rows, 1, 1], THREADS, &arguments)
    }
}
