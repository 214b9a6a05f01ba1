//! Where operators put their output, and where each input row is accounted for.

use flow_data::{Heap, Id, Item, Round, Row, Value};

use crate::Failure;

/// Index of an output port of a step.
pub type Port = u8;

/// What leaves a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Emission {
    /// A row on a port.
    Row(Port, Row),
    /// A row that goes no further.
    Rejected(Row),
    /// So many input rows of the group identified here were used.
    Taken(Id, u32),
}

/// Collects what one call of an operator emits.
pub struct Out<'a> {
    heap: &'a Heap,
    width: usize,
    feed: Option<&'a mut Feed<'a>>,
    rows: Vec<(Port, Row)>,
    taken: Vec<Row>,
    rejected: Vec<(Row, Row)>,
    failure: Option<Failure>,
}

/// Takes the rows of a source one by one, `None` for the port of rejected ones.
pub type Feed<'a> = dyn FnMut(Option<Port>, Row) + 'a;

impl<'a> Out<'a> {
    /// An empty collector. Rejected rows keep the first `width` cells, the step's input columns.
    pub fn new(heap: &'a Heap, width: usize) -> Self {
        let (rows, taken, rejected) = (Vec::new(), Vec::new(), Vec::new());
        Self { heap, width, feed: None, rows, taken, rejected, failure: None }
    }

    /// A collector for a source that hands every row on to `feed` and keeps none.
    pub fn feeding(heap: &'a Heap, width: usize, feed: &'a mut Feed<'a>) -> Self {
        Self { feed: Some(feed), ..Self::new(heap, width) }
    }

    /// The item leaves by `port` as it came.
    pub fn pass(&mut self, port: Port, item: &Item) {
        self.taken.push(item.row);
        self.rows.push((port, item.row));
    }

    /// The item leaves by `port`, `cells` following its own.
    pub fn extend(&mut self, port: Port, item: &Item, cells: Vec<Value>) {
        self.taken.push(item.row);
        self.rows.push((port, item.extended(self.heap, &cells)));
    }

    /// A new row made from `item`: other identity and round, the item's cells followed by `cells`.
    pub fn derive(&mut self, port: Port, item: &Item, round: Round, id: Id, cells: Vec<Value>) {
        if self.feed.is_none() {
            self.taken.push(item.row);
        }
        let body = item.extended(self.heap, &cells).body;
        self.put(port, Row { round, id, body });
    }

    /// The item leaves by `port` with `cells` in the place of its own from the `n_cells`-th on.
    pub fn revise(&mut self, port: Port, item: &Item, n_cells: usize, cells: Vec<Value>) {
        self.taken.push(item.row);
        self.rows.push((port, item.continued(self.heap, n_cells, &cells)));
    }

    /// The item is used for a row that [`Out::create`] makes of the whole group.
    pub fn take(&mut self, item: &Item) {
        self.taken.push(item.row);
    }

    /// A new row with cells of its own.
    pub fn create(&mut self, port: Port, round: Round, id: Id, cells: Vec<Value>) {
        self.put(port, Item::new(self.heap, round, id, cells).row);
    }

    fn put(&mut self, port: Port, row: Row) {
        match &mut self.feed {
            Some(feed) => feed(Some(port), row),
            None => self.rows.push((port, row)),
        }
    }

    /// A row of a source that an earlier reading gave too; `None` stands for the port of rejected rows.
    pub fn again(&mut self, port: Option<Port>, row: Row) {
        match (&mut self.feed, port) {
            (Some(feed), port) => feed(port, row),
            (None, Some(port)) => self.rows.push((port, row)),
            (None, None) => self.rejected.push((row, row)),
        }
    }

    /// The item goes no further: `reason` is a stable word, `detail` the particulars.
    pub fn reject(&mut self, item: &Item, reason: &str, detail: impl Into<String>) {
        let row = item.continued(self.heap, self.width, &[reason.into(), detail.into().into()]);
        self.rejected.push((item.row, row));
    }

    /// An input that never became a row of the source, such as a malformed line at `place`.
    pub fn reject_new(&mut self, place: &str, reason: &str, detail: impl Into<String>) {
        let mut cells = vec![Value::Null; self.width];
        cells.extend([reason.into(), detail.into().into()]);
        let id = Id::of("malformed", [place.as_bytes()]);
        let row = Item::new(self.heap, 0, id, cells).row;
        match &mut self.feed {
            Some(feed) => feed(None, row),
            None => self.rejected.push((Row { round: 0, id, body: id }, row)),
        }
    }

    /// The run cannot go on, as when a disk is full: nothing is published and the run ends with this failure.
    pub fn fail(&mut self, reason: &'static str, detail: impl Into<String>) {
        self.failure = Some(Failure { reason, detail: detail.into(), fatal: true });
    }

    /// The rows emitted so far.
    pub fn rows(&self) -> &[(Port, Row)] {
        &self.rows
    }

    /// The rows rejected so far.
    pub fn rejected(&self) -> impl Iterator<Item = Row> + '_ {
        self.rejected.iter().map(|(_, row)| *row)
    }

    /// What became of `input`, the rows of the call with their multiplicities, which are 1 where nothing is at fault: a
    /// union rejects rows that come twice, and no operator makes a row twice.
    pub(crate) fn settle(mut self, input: &[(Row, isize)]) -> Settled {
        self.taken.sort_unstable();
        self.taken.dedup();
        self.rejected.sort_unstable();
        let mut settled =
            Settled { rows: self.rows, rejected: Vec::new(), taken: 0, lost: 0, failure: self.failure };
        for (row, count) in input {
            let used = self.taken.binary_search(row).is_ok();
            let first = self.rejected.partition_point(|(from, _)| from < row);
            let rejected = self.rejected[first..].iter().take_while(|(from, _)| from == row).count();
            match (used, rejected) {
                (true, 0) => settled.taken += 1,
                (false, 1) => settled.rejected.push(self.rejected[first].1),
                _ => settled.lost += 1,
            }
            settled.lost += count.unsigned_abs() - 1;
        }
        settled
    }
}

/// What one call of an operator made of its input.
pub(crate) struct Settled {
    /// Rows by port.
    pub(crate) rows: Vec<(Port, Row)>,
    /// Rejected rows.
    pub(crate) rejected: Vec<Row>,
    /// Input rows that were used.
    pub(crate) taken: u32,
    /// Input rows that were neither used nor rejected, or more than once: a fault of the operator.
    pub(crate) lost: usize,
    /// Why the run cannot go on.
    pub(crate) failure: Option<Failure>,
}
