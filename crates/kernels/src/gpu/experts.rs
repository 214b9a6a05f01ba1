//! Launchers of a mixture of experts.

use super::{Buffer, DeviceError, Gpu, Indices, Routings, word};

/// Threads of a block.
const THREADS: u32 = 128;

/// Most experts, whose order a kernel holds in shared memory.
const MOST_EXPERTS: usize = 1024;

/// The visits of the rows of a step, as the kernels keep them; all are scratch.
pub struct Visits {
    /// Experts of each row's visits, (rows, most).
    experts: Buffer<u32>,
    weights: Buffer<f32>,
    places: Buffer<u32>,
    counts: Buffer<u32>,
    /// Where the visits of each expert begin, and those of the last end.
    pub starts: Indices,
    /// The row of each place.
    pub row_of: Indices,
    rows: usize,
    most: usize,
}

/// [`crate::Chooser`] on the device.
#[derive(Default)]
pub struct Choosing<'a> {
    /// What experts are chosen by beside their probabilities.
    pub bias: Option<&'a Buffer<f32>>,
    /// Experts, the last ones, that compute nothing.
    pub null_experts: usize,
    /// Whether the probabilities of the visits are divided by their sum.
    pub renormalise: bool,
}

/// What experts answer, and what is added to it.
pub struct Answers<'a> {
    /// Of the experts, (visits, stride).
    pub experts: &'a Buffer<f32>,
    /// Of the expert that every row visits, (rows, stride).
    pub shared: Option<&'a Buffer<f32>>,
    /// The logits of its gate, one at the begin of a row, and the length of a row.
    pub gates: Option<(&'a Buffer<f32>, usize)>,
}

impl Gpu {
    /// Errs where a mixture has more experts than the kernels hold.
    ///
    /// # Errors
    /// There are more than 1,024.
    pub fn check_experts(count: usize) -> Result<(), DeviceError> {
        match count {
            ..=MOST_EXPERTS => Ok(()),
            _ => Err(DeviceError::Missing {
                device: "a mixture on a GPU",
                reason: format!("it has {count} experts, at most {MOST_EXPERTS} fit"),
            }),
        }
    }

    /// Scratch for visits.
    ///
    /// # Errors
    /// There is no memory.
    pub fn visits(&mut self) -> Result<Visits, DeviceError> {
        Ok(Visits {
            experts: self.allocate(0)?,
            weights: self.allocate(0)?,
            places: self.allocate(0)?,
            counts: self.allocate(0)?,
            starts: self.indices()?,
            row_of: self.indices()?,
            rows: 0,
            most: 0,
        })
    }

    /// Chooses the experts of the rows of `routings` by the softmax of their `logits`, `width` a row of which the first are experts', and
    /// groups their visits.
    ///
    /// # Errors
    /// The device fails.
    ///
    /// # Panics
    /// There are more than 1,024 experts, or more null experts than experts.
    pub fn route(
        &mut self,
        (logits, width): (&mut Buffer<f32>, usize),
        routings: &Routings,
        choosing: &Choosing<'_>,
        visits: &mut Visits,
    ) -> Result<(), DeviceError> {
        let Routings { rows, count, most, .. } = *routings;
        assert!(count <= width && count <= MOST_EXPERTS, "{count} experts, at most {MOST_EXPERTS}");
        let computing = count - choosing.null_experts;
        (visits.rows, visits.starts.len, visits.row_of.len) = (0, 0, 0);
        self.grow(&mut visits.experts, rows * most)?;
        self.grow(&mut visits.weights, rows * most)?;
        self.grow(&mut visits.places, rows * most)?;
        self.grow(&mut visits.row_of.numbers, rows * most)?;
        self.grow(&mut visits.counts, rows)?;
        self.grow(&mut visits.starts.numbers, computing + 1)?;
        let experts = self.given(&visits.experts, rows * most);
        let counts = self.given(&visits.counts, rows);
        let arguments = [
            self.given(logits, rows * width),
            self.maybe(choosing.bias, count),
            word(count),
            word(computing),
            word(width),
            self.whole(&routings.choices),
            word(choosing.renormalise.into()),
            word(most),
            experts,
            self.given(&visits.weights, rows * most),
            counts,
        ];
        self.launch("route", [rows, 1, 1], THREADS, &arguments)?;
        let (starts, places) =
            (self.given(&visits.starts.numbers, computing + 1), self.given(&visits.places, rows * most));
        let row_of = self.given(&visits.row_of.numbers, rows * most);
        let arguments = [experts, counts, word(rows), word(most), word(computing), starts, places, row_of];
        self.launch("group_visits", [1, 1, 1], computing.next_multiple_of(32) as u32, &arguments)?;
        (visits.rows, visits.most) = (rows, most);
        (visits.starts.len, visits.starts.below) = (computing + 1, rows * most + 1);
        (visits.row_of.len, visits.row_of.below) = (rows * most, rows);
        Ok(())
    }

    /// Adds to each row of `out` the weighted answers of its visits, then the shared expert's by its gate.
    ///
    /// # Errors
    /// The device fails.
    pub fn combine(
        &mut self,
        stride: usize,
        visits: &Visits,
        answers: &Answers<'_>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let Visits { rows, most, .. } = *visits;
        let gate_stride = answers.gates.map_or(0, |(_, stride)| stride);
        let arguments = [
            self.given(answers.experts, rows * most * stride),
            self.given(&visits.weights, rows * most),
            self.given(&visits.places, rows * most),
            self.given(&visits.counts, rows),
            word(most),
            word(stride),
            self.maybe(answers.shared, rows * stride),
            self.maybe(answers.gates.map(|(gates, _)| gates), rows * gate_stride.max(1)),
            word(gate_stride),
            self.given(out, rows * stride),
        ];
        self.launch("combine", [rows, 1, 1], THREADS, &arguments)
    }
}
