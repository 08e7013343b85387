//! What a value of a binary COPY that cannot be carried is called.

use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::{ErrorKind, PortError};

use crate::postgres::copy_binary::{Unreadable, value_of};
use crate::postgres::types::{Wire, push};
use crate::row_names::{RowNames, show};

/// The error for a stream that broke after `rows` whole rows.
pub(super) fn error(names: &RowNames, wires: &[Wire], unreadable: Unreadable, rows: u64) -> PortError {
    match unreadable {
        Unreadable::Format(why) => {
            PortError::new(ErrorKind::Corrupt, format!("read table {}: {why}", names.table()))
        }
        Unreadable::Value { column, refusal, row } => names.refused(column, refusal, rows, |column| {
            let mut batch = RowBatch::new(1);
            push(
                *wires.get(column)?,
                value_of(&row, column)?,
                &mut batch,
                &mut String::new(),
            )
            .ok()?;
            batch.end_row();
            show(batch.cell(0, 0))
        }),
    }
}
