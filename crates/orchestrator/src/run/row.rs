//! The row of `cloud_migration`: progress written into it, and whether somebody else has ended it.

use metaferry_domain::effect::Effect;
use metaferry_domain::event::{Event, RowEnd};
use metaferry_domain::ports::GuardedUpdate;
use metaferry_domain::state::RowStanding;

use super::{Driver, LeaseGone};
use crate::in_time::{LOOK_MAX, in_time};
use crate::our_row::{OurRow, our_row};

impl Driver {
    /// Shows the row as it is now; where it cannot be read, the next look makes up for it.
    pub(super) async fn show_row(&self) {
        let Some(id) = self.state.run().row.id else { return };
        if let Ok(Some(row)) = in_time(&*self.ports.clock, LOOK_MAX, "the row", self.ports.rows.get(id)).await
        {
            self.view.send_modify(|view| view.row = Some(row));
        }
    }

    pub(super) async fn write_progress(&mut self) -> Result<(), LeaseGone> {
        let run = self.state.run();
        let (Some(row), Some(token)) = (run.row.id, run.tenure.token()) else {
            return Ok(());
        };
        let phase = self.state.phase();
        let progress = run.progress.percent();
        let written = self.ports.rows.update_guarded(token, row, phase, progress);
        let written = self
            .faults
            .strike(Effect::WriteProgress, &*self.ports.clock, written);
        match self.glanced("writing progress", written).await? {
            Ok(GuardedUpdate::Written) => Ok(()),
            // Boxed: what is recorded of it may write progress again.
            Ok(GuardedUpdate::Ended(_) | GuardedUpdate::Missing) => Box::pin(self.look_at_row()).await,
            // The next write makes up for it; a lost lease is noticed by its keeper.
            Err(error) => {
                tracing::debug!(target: "cloud_migration", error = error.chain(), "progress could not be written");
                Ok(())
            }
        }
    }

    /// Has somebody ended the row? Metabase, another node, an operator's SQL.
    pub(super) async fn look_at_row(&mut self) -> Result<(), LeaseGone> {
        let run = self.state.run();
        if run.row.standing == RowStanding::Closed {
            return Ok(());
        }
        // While we write the end ourselves, what is read may be our own.
        if self
            .performed
            .keys()
            .any(|effect| matches!(effect, Effect::WriteState(phase) if phase.is_terminal()))
        {
            return Ok(());
        }
        let looked = self
            .glanced("a look at the row", our_row(&self.ports, run))
            .await?;
        let end = match looked {
            Ok(OurRow::There(row)) => {
                let end = RowEnd::of(row.phase);
                self.view.send_modify(|view| view.row = Some(row));
                end
            }
            Ok(OurRow::Gone) => Some(RowEnd::Deleted),
            Ok(OurRow::NotYet) => None,
            Err(error) => {
                tracing::debug!(target: "cloud_migration", error = error.chain(), "the row could not be looked at");
                None
            }
        };
        match end {
            Some(end) => {
                tracing::info!(target: "cloud_migration", id = %self.state.run().id, ?end, "the row was ended from outside");
                self.record(Event::RowEndedOutside { end }).await
            }
            None => Ok(()),
        }
    }
}
