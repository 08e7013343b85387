//! The row of `cloud_migration`: inserted or opened again, and its state written.

use metaferry_domain::event::Fact;
use metaferry_domain::migration::Phase;
use metaferry_domain::ports::{Destination, GuardedUpdate, NewMigrationRow};
use metaferry_domain::{ErrorKind, PortError};

use super::{Performance, known};
use crate::our_row::{OurRow, our_row};

impl Performance {
    pub(super) async fn insert_row(&self) -> Result<Fact, PortError> {
        let external_id = known(self.external_id.clone(), "the id at the store")?;
        let upload_url = match known(self.destination.as_ref(), "the destination")? {
            Destination::Store { upload_url, .. } => upload_url.clone(),
            Destination::Bucket { bucket, key } => format!("s3://{bucket}/{key}"),
        };
        let new = NewMigrationRow {
            external_id,
            upload_url,
        };
        let Some(row) = self.row else {
            // Metabase itself, another node or a person may have begun one meanwhile.
            if let Some(newest) = self.ports.rows.newest(1).await?.first()
                && newest.external_id != new.external_id
                && (!newest.phase.is_terminal() || Some(newest.id) != self.newest_row)
            {
                return Err(PortError::new(
                    ErrorKind::Conflict,
                    "another migration of this app DB was begun",
                ));
            }
            let row = self.ports.rows.insert(self.token()?, &new, &self.cancel).await?;
            return Ok(Fact::InsertRow { row: row.id });
        };
        match self
            .ports
            .rows
            .reopen(self.token()?, row, &new, &self.cancel)
            .await?
        {
            GuardedUpdate::Written => Ok(Fact::InsertRow { row }),
            GuardedUpdate::Ended(phase) => Err(PortError::new(
                ErrorKind::Precondition,
                format!(
                    "row {} in cloud_migration is `{phase}` or not the newest one; it cannot be tried again",
                    row.0
                ),
            )),
            GuardedUpdate::Missing => Err(PortError::new(
                ErrorKind::NotFound,
                format!(
                    "row {} is gone from cloud_migration; begin a new migration",
                    row.0
                ),
            )),
        }
    }

    pub(super) async fn write_state(&self, phase: Phase) -> Result<(), PortError> {
        let mut progress = self.state.progress_written(phase);
        let row = match self.state.run().row.id {
            Some(row) if !phase.is_terminal() => row,
            Some(_) | None => {
                let there = match our_row(&self.ports, self.state.run()).await? {
                    OurRow::There(there) => there,
                    OurRow::NotYet => return Ok(()),
                    OurRow::Gone => return Err(gone()),
                };
                // A process that ended may have written more than it could journal; the number never falls.
                progress = progress.max(there.progress);
                there.id
            }
        };
        match self
            .ports
            .rows
            .update_guarded(self.token()?, row, phase, progress)
            .await?
        {
            GuardedUpdate::Written => Ok(()),
            // What was to be written is there: an earlier answer was lost, or somebody wrote the same.
            GuardedUpdate::Ended(there) if there == phase => Ok(()),
            GuardedUpdate::Ended(there) => Err(PortError::new(
                ErrorKind::Precondition,
                format!("the row was ended as `{there}` by somebody else"),
            )),
            GuardedUpdate::Missing => Err(gone()),
        }
    }
}

fn gone() -> PortError {
    PortError::new(ErrorKind::Precondition, "the row is gone from cloud_migration")
}
