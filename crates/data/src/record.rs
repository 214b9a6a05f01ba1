//! What a row says: an immutable chain of encoded cells.
//!
//! A record is bytes: how many cells it has of its own, how many leading cells it takes from the record it extends and
//! which that is, where each cell ends, the cells. Reading one cell decodes one cell.

use std::sync::{Arc, OnceLock};

use crate::{Cell, Heap, Id, Value, decode, encode};

/// A record at hand. Cells of the record it extends are fetched when they are asked for, and kept.
#[derive(Debug)]
pub(crate) struct Record {
    bytes: Box<[u8]>,
    values: OnceLock<Box<[Value]>>,
    base: OnceLock<Arc<Record>>,
}

/// What a record extends: the leading cells of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    /// Content hash of the other record.
    pub(crate) body: Id,
    /// How many of its cells are taken; what it has behind them is hidden.
    pub(crate) n_cells: usize,
}

/// Where a record has a cell.
pub(crate) enum Place<'a> {
    /// Here.
    Own(Cell<'a>),
    /// At the same position of the record that it extends.
    Base(Id),
}

/// Bytes of a count of cells.
const COUNT: usize = size_of::<u16>();
/// Bytes of the end of a cell.
const END: usize = size_of::<u32>();

/// Appends the bytes of the record of `cells` after those of `base`. Equal arguments give equal bytes.
pub(crate) fn put(base: Option<Base>, cells: &[Value], bytes: &mut Vec<u8>) {
    let base = base.filter(|base| base.n_cells > 0);
    bytes.extend(count(cells.len()));
    bytes.extend(count(base.map_or(0, |base| base.n_cells)));
    bytes.extend(base.iter().flat_map(|base| base.body.0));
    let ends = bytes.len();
    bytes.resize(ends + cells.len() * END, 0);
    let start = bytes.len();
    for (at, cell) in cells.iter().enumerate() {
        encode(std::slice::from_ref(cell), bytes);
        let end = u32::try_from(bytes.len() - start).expect("a row holds less than 4 GiB: readers bound it");
        bytes[ends + at * END..][..END].copy_from_slice(&end.to_le_bytes());
    }
}

fn count(n: usize) -> [u8; COUNT] {
    u16::try_from(n).expect("a row has a few dozen cells").to_le_bytes()
}

impl Record {
    /// The record that [`put`] wrote as `bytes`.
    pub(crate) fn new(bytes: Box<[u8]>) -> Self {
        Self { bytes, values: OnceLock::new(), base: OnceLock::new() }
    }

    /// Bytes that it holds in memory, about: its own, as values once more where they were asked for, and those of what it extends where that came
    /// along.
    pub(crate) fn n_held(&self) -> usize {
        let own = if self.values.get().is_some() { 2 * self.bytes.len() } else { self.bytes.len() };
        own + self.base.get().map_or(0, |base| base.n_held())
    }

    /// Number of cells.
    pub(crate) fn len(&self) -> usize {
        self.layout().len()
    }

    /// The cell at `at`; null past the end.
    pub(crate) fn cell<'a>(&'a self, heap: &Heap, at: usize) -> Cell<'a> {
        match self.layout().place(at) {
            Place::Own(cell) => cell,
            Place::Base(body) => self.base(heap, &body).cell(heap, at),
        }
    }

    /// Appends all cells in order: one walk along the chain, where [`Record::cell`] makes one for each cell.
    pub(crate) fn cells<'a>(&'a self, heap: &Heap, cells: &mut Vec<Cell<'a>>) {
        let layout = self.layout();
        if layout.n_base > 0 {
            let start = cells.len();
            self.base(heap, &layout.base).cells(heap, cells);
            cells.truncate(start + layout.n_base);
        }
        cells.extend((0..layout.ends.len()).map(|own| layout.own(own)));
    }

    /// The cell at `at` as a value, which is kept; null past the end.
    pub(crate) fn value<'a>(&'a self, heap: &Heap, at: usize) -> &'a Value {
        let layout = self.layout();
        let Some(own) = at.checked_sub(layout.n_base) else {
            return self.base(heap, &layout.base).value(heap, at);
        };
        let decoded = || decode(layout.cells).expect("the heap holds what was encoded").into();
        self.values.get_or_init(decoded).get(own).unwrap_or(&Value::Null)
    }

    fn base(&self, heap: &Heap, body: &Id) -> &Record {
        self.base.get_or_init(|| heap.base(body))
    }

    fn layout(&self) -> Layout<'_> {
        Layout::of(&self.bytes)
    }
}

/// The parts of a record's bytes.
pub(crate) struct Layout<'a> {
    n_base: usize,
    base: Id,
    ends: &'a [[u8; END]],
    cells: &'a [u8],
}

impl<'a> Layout<'a> {
    /// The parts of what [`put`] wrote.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let (n_own, bytes) = counted(bytes);
        let (n_base, bytes) = counted(bytes);
        let (base, bytes) = bytes.split_at(if n_base > 0 { size_of::<Id>() } else { 0 });
        let (ends, cells) = bytes.split_at(n_own * END);
        let base = base.try_into().map(Id).unwrap_or_default();
        Self { n_base, base, ends: ends.as_chunks().0, cells }
    }

    fn len(&self) -> usize {
        self.n_base + self.ends.len()
    }

    /// The content hash of the record that it extends, if it extends one.
    pub(crate) fn extends(&self) -> Option<Id> {
        (self.n_base > 0).then_some(self.base)
    }

    /// Where the cell at `at` is; null past the end.
    pub(crate) fn place(&self, at: usize) -> Place<'a> {
        match at.checked_sub(self.n_base) {
            None => Place::Base(self.base),
            Some(own) if own < self.ends.len() => Place::Own(self.own(own)),
            Some(_) => Place::Own(Cell::Null),
        }
    }

    /// The cell at `own` of those that follow what is taken from the base.
    fn own(&self, own: usize) -> Cell<'a> {
        let start = own.checked_sub(1).map_or(0, |before| self.end(before));
        Cell::decode(&self.cells[start..self.end(own)])
    }

    fn end(&self, own: usize) -> usize {
        u32::from_le_bytes(self.ends[own]) as usize
    }
}

fn counted(bytes: &[u8]) -> (usize, &[u8]) {
    let (count, rest) = bytes.split_first_chunk().expect("a record begins with two counts");
    (usize::from(u16::from_le_bytes(*count)), rest)
}
