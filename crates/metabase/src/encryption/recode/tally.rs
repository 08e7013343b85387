//! How many values of which column something was done to.

/// Counts per column of one table.
#[derive(Debug)]
pub(super) struct Tally {
    table: String,
    columns: Vec<(String, u64)>,
}

impl Tally {
    pub(super) fn new(table: String, columns: impl Iterator<Item = String>) -> Self {
        Self {
            table,
            columns: columns.map(|column| (column, 0)).collect(),
        }
    }

    pub(super) fn add(&mut self, column: usize) {
        if let Some((_, count)) = self.columns.get_mut(column) {
            *count += 1;
        }
    }

    /// `table T, column C: N values DONE` for each column that has any.
    pub(super) fn notes(&self, done: &str) -> impl Iterator<Item = String> {
        let some = self.columns.iter().filter(|(_, count)| *count > 0);
        some.map(move |(column, count)| {
            let values = if *count == 1 { "value" } else { "values" };
            format!("table {}, column {column}: {count} {values} {done}", self.table)
        })
    }
}
