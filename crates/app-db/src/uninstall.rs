//! Removing what is ours: only while nobody migrates, and nothing is left that only our journal can undo.

use metaferry_domain::lease::Lease;
use metaferry_domain::ports::{JournalStore, LeaseStore};
use metaferry_domain::{ErrorKind, PortError};

use crate::guard::Effort;

/// How long nobody else may begin: removing takes less.
const TERM_MS: u64 = 60_000;
/// Migrations looked through for unsettled ones; only the newest can be, because nothing begins before it is settled.
const MIGRATIONS_LOOKED_AT: u32 = 16;
/// The names that the lease shows meanwhile.
pub(crate) const UNINSTALL: &str = "metaferry uninstall";
const RECOVER: &str = "metaferry recover";
const SERVE: &str = "metaferry serve, for a moment, to take triggers away";

/// Whose name the lease shows while leftovers are taken away.
pub(crate) fn holder(effort: Effort) -> &'static str {
    match effort {
        Effort::Asked => RECOVER,
        Effort::InPassing => SERVE,
    }
}

/// What became of triggers that were left behind: each with its table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Gone now.
    pub removed: Vec<String>,
    /// Still there, because other sessions keep their tables in use. They do nothing.
    pub left: Vec<String>,
}

/// Takes the lease, so that no migration begins, and looks whether one is unsettled; then the lease is given back.
pub(crate) async fn claim(
    leases: &dyn LeaseStore,
    journal: &dyn JournalStore,
    holder: &str,
) -> Result<Lease, PortError> {
    let lease = leases.acquire(holder, TERM_MS).await?;
    let error = match journal.migrations(MIGRATIONS_LOOKED_AT).await {
        Ok(migrations) => match migrations.iter().find(|migration| !migration.settled) {
            None => return Ok(lease),
            Some(unsettled) => PortError::new(
                ErrorKind::Conflict,
                format!(
                    "migration {} is not settled, and only Metaferry's own tables know what must be undone; run \
                     `metaferry recover` first",
                    unsettled.id
                ),
            ),
        },
        Err(error) => error,
    };
    if let Err(error) = leases.release(&lease).await {
        tracing::warn!(
            error = error.chain(),
            "the lease could not be given back; it runs out"
        );
    }
    Err(error)
}

/// Triggers that could not be removed. `sessions` is where the server lists who is connected.
pub(crate) fn still_there(left: &[String], sessions: &str) -> PortError {
    PortError::new(
        ErrorKind::Conflict,
        format!(
            "{} of Metaferry's triggers could not be removed: {}; they do nothing; find the sessions that keep their tables' \
             locks in {sessions}, wait for them or end them, and run `metaferry uninstall` again",
            left.len(),
            left.join(", ")
        ),
    )
}
