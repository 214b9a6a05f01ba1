//! The rows of all ports, by the names of their columns.

use flow_data::{Item, Value};
use flow_dataflow::{Driver, Port};
use flow_plan::{Plan, Step};

/// The rows of one port, by round and identity.
pub(super) struct Table<'a> {
    pub(super) step: &'a Step,
    /// The port; `rejected` for rows that went no further.
    pub(super) port: &'a str,
    columns: &'a flow_data::Columns,
    pub(super) rows: Vec<Item>,
}

/// Every table of a run, in the order of the steps.
pub(super) struct Tables<'a>(Vec<Table<'a>>);

impl<'a> Tables<'a> {
    /// Reads them from a session that captures all ports.
    pub(super) fn of(plan: &'a Plan, driver: &Driver) -> Self {
        let mut tables = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            let ports = step.ports.iter().enumerate();
            let ports = ports
                .map(|(port, described)| (Port::try_from(port).ok(), &*described.name, &described.columns));
            for (which, port, columns) in ports.chain([(None, "rejected", &step.rejected)]) {
                let rows = driver.rows(at, which);
                let mut rows: Vec<Item> = rows.map(|row| Item::load(driver.session().heap(), row)).collect();
                rows.sort_by_key(|item| (item.row.round, item.row.id));
                tables.push(Table { step, port, columns, rows });
            }
        }
        Self(tables)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Table<'a>> {
        self.0.iter()
    }

    /// The tables that have rows, and all columns of these names.
    pub(super) fn with(&self, names: &'static [&'static str]) -> impl Iterator<Item = &Table<'a>> {
        self.iter().filter(move |table| !table.rows.is_empty() && names.iter().all(|name| table.has(name)))
    }
}

impl Table<'_> {
    /// The port as a pipeline refers to it.
    pub(super) fn name(&self) -> String {
        match self.step.ports.first().is_some_and(|first| first.name == self.port) {
            true => self.step.name.clone(),
            false => format!("{}.{}", self.step.name, self.port),
        }
    }

    pub(super) fn is_rejected(&self) -> bool {
        self.port == "rejected"
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.index(column).is_some()
    }

    /// The rows of each round, in order.
    pub(super) fn rounds(&self) -> impl Iterator<Item = (u32, &[Item])> {
        self.rows.chunk_by(|a, b| a.row.round == b.row.round).map(|rows| (rows[0].row.round, rows))
    }

    pub(super) fn text<'i>(&self, item: &'i Item, column: &str) -> Option<&'i str> {
        item.text(self.columns.index(column)?)
    }

    pub(super) fn int(&self, item: &Item, column: &str) -> Option<i64> {
        item.int(self.columns.index(column)?)
    }

    pub(super) fn float(&self, item: &Item, column: &str) -> Option<f64> {
        item.float(self.columns.index(column)?)
    }

    pub(super) fn floats<'i>(&self, item: &'i Item, column: &str) -> Option<&'i [f32]> {
        match item.get(self.columns.index(column)?) {
            Value::Floats(floats) => Some(floats),
            _ => None,
        }
    }
}
