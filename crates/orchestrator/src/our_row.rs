//! The row of an attempt in `cloud_migration`, among rows of others and of the attempt before.

use metaferry_domain::PortError;
use metaferry_domain::ports::MigrationRow;
use metaferry_domain::state::{RowStanding, Run};

use crate::ports::Ports;

/// Rows looked through for one of ours whose key is not known: it was inserted last.
const ROWS_LOOKED_AT: u32 = 16;

/// What is there of an attempt's row.
pub(crate) enum OurRow {
    /// It is there.
    There(MigrationRow),
    /// It may never have been inserted, or opened again: there is none, or it still says how the attempt before ended.
    NotYet,
    /// It was there, and is gone.
    Gone,
}

/// Our row; where an insert's answer was lost it is found, or known, by the id at the store.
pub(crate) async fn our_row(ports: &Ports, run: &Run) -> Result<OurRow, PortError> {
    let is_ours = |row: &MigrationRow| {
        run.shore
            .as_ref()
            .is_some_and(|shore| row.external_id == shore.external_id)
    };
    let Some(id) = run.row.id else {
        let newest = match run.shore {
            Some(_) => ports.rows.newest(ROWS_LOOKED_AT).await?,
            None => Vec::new(),
        };
        return Ok(newest
            .into_iter()
            .find(is_ours)
            .map_or(OurRow::NotYet, OurRow::There));
    };
    Ok(match ports.rows.get(id).await? {
        None => OurRow::Gone,
        Some(row) if run.row.standing == RowStanding::Unsure && !is_ours(&row) => OurRow::NotYet,
        Some(row) => OurRow::There(row),
    })
}
