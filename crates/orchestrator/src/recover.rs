//! After a crash: journals that are not settled are replayed, and gone on with or undone to the end.

use metaferry_domain::journal::{JournalEntry, replay};
use metaferry_domain::migration::MigrationId;
use metaferry_domain::ports::JournalRecord;
use metaferry_domain::state::MigrationState;
use metaferry_domain::{ErrorKind, PortError};

use crate::ports::Ports;

/// Migrations looked through for unsettled ones; only the newest can be, because nothing begins before it is settled.
const MIGRATIONS_LOOKED_AT: u32 = 16;

/// A migration that some process left behind.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// Whose.
    pub id: MigrationId,
    /// Where its journal ends.
    pub state: MigrationState,
}

/// Every migration that is not marked as settled. Its journal may still say that it is: then only marking it failed.
pub(crate) async fn orphans(ports: &Ports) -> Result<Vec<Orphan>, PortError> {
    let mut orphans = Vec::new();
    for summary in ports.journal.migrations(MIGRATIONS_LOOKED_AT).await? {
        if !summary.settled {
            let (state, _) = load(ports, summary.id).await?;
            orphans.push(Orphan {
                id: summary.id,
                state,
            });
        }
    }
    Ok(orphans)
}

/// A journal and the state it leads to.
pub(crate) async fn load(
    ports: &Ports,
    id: MigrationId,
) -> Result<(MigrationState, Vec<JournalEntry>), PortError> {
    let corrupt = |what: String| PortError::new(ErrorKind::Corrupt, what);
    let entries = ports
        .journal
        .read(id)
        .await?
        .iter()
        .map(|JournalRecord { sequence, json }| {
            serde_json::from_str::<JournalEntry>(json).map_err(|error| {
                corrupt(format!("entry {sequence} of the journal of {id} cannot be read")).because(error)
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let state = replay(&entries)
        .map_err(|error| corrupt(format!("the journal of {id} cannot be replayed")).because(error))?;
    Ok((state, entries))
}
