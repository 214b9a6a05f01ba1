//! Launchers of a mixture of experts.

use super::{Buffer, DeviceError, Gpu, word};
use crate::route::Routing;

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
    pub starts: Buffer<u32>,
    /// The row of each place.
    pub row_of: Buffer<u32>,
    most: usize,
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

/// How rows choose their experts, as the kernel takes it, and the most experts that one of them visits, of `count`.
pub fn routings(rows: impl IntoIterator<Item = Routing>, count: usize) -> (Vec<u8>, usize) {
    let (mut bytes, mut most) = (Vec::new(), 1);
    for routing in rows {
        let (least, kind, number) = match routing {
            Routing::TopK(number) => (0.0, 0u32, number.min(count)),
            Routing::Rank(rank) => (0.0, 1, rank.min(count)),
            Routing::TopP(least) => (least, 2, count),
        };
        most = most.max(if kind == 1 { 1 } else { number });
        bytes.extend(f64::to_le_bytes(least));
        bytes.extend(kind.to_le_bytes());
        bytes.extend((number as u32).to_le_bytes());
    }
    (bytes, most)
}

/// Bytes of one routing.
const ROUTING: usize = 16;

impl Gpu {
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
            starts: self.allocate(0)?,
            row_of: self.allocate(0)?,
            most: 0,
        })
    }

    /// Chooses the experts of `rows` rows by the softmax of their `logits`, `width` a row of which `count` are experts', as `routings` says,
    /// and groups their visits, at most `most` a row.
    ///
    /// # Errors
    /// The device fails.
    ///
    /// # Panics
    /// There are more than 1,024 experts.
    pub fn route(
        &mut self,
        rows: usize,
        (logits, width, count): (&mut Buffer<f32>, usize, usize),
        (routings, most): (&Buffer<u8>, usize),
        renormalise: bool,
        visits: &mut Visits,
    ) -> Result<(), DeviceError> {
        assert!(count <= width && count <= MOST_EXPERTS, "{count} experts, at most {MOST_EXPERTS}");
        visits.most = most;
        self.grow(&mut visits.experts, rows * most)?;
        self.grow(&mut visits.weights, rows * most)?;
        self.grow(&mut visits.places, rows * most)?;
        self.grow(&mut visits.row_of, rows * most)?;
        self.grow(&mut visits.counts, rows)?;
        self.grow(&mut visits.starts, count + 1)?;
        let experts = self.given(&visits.experts, rows * most);
        let counts = self.given(&visits.counts, rows);
        let arguments = [
            self.given(logits, rows * width),
            word(count),
            word(width),
            self.given(routings, rows * ROUTING),
            word(renormalise.into()),
            word(most),
            experts,
            self.given(&visits.weights, rows * most),
            counts,
        ];
        self.launch("route", [rows, 1, 1], THREADS, &arguments)?;
        let (starts, places) =
            (self.given(&visits.starts, count + 1), self.given(&visits.places, rows * most));
        let row_of = self.given(&visits.row_of, rows * most);
        let arguments = [experts, counts, word(rows), word(most), word(count), starts, places, row_of];
        self.launch("group_visits", [1, 1, 1], count.next_multiple_of(32) as u32, &arguments)
    }

    /// Adds to each of `rows` rows of `out` the weighted answers of its visits, then the shared expert's by its gate.
    ///
    /// # Errors
    /// The device fails.
    pub fn combine(
        &mut self,
        rows: usize,
        stride: usize,
        visits: &Visits,
        answers: &Answers<'_>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let most = visits.most;
        let gate_stride = answers.gates.map_or(0, |(_, stride)| stride);
        let arguments = [
            self.given(answers.experts, rows * most * stride),
            self.given(&visits.weights, rows * most),
            self.given(&visits.places, rows * most),
            self.given(&visits.counts, rows),
            word(most),
            word(stride),
            self.maybe(answers.shared, rows * stride),
            self.maybe(answers.gates.map(|(gates, _)| gates), rows * gate_stride),
            word(gate_stride),
            self.given(out, rows * stride),
        ];
        self.launch("combine", [rows, 1, 1], THREADS, &arguments)
    }
}
