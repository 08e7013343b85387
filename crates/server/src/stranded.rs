//! Files that a process on this machine left when it died: dumps, while another machine undid the rest and could not reach
//! them, and a way back by hand that it was just writing. Whatever starts here next removes them.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metaferry_app_db::UNFINISHED_UNDO_SCRIPT as UNFINISHED_SCRIPT;
use metaferry_domain::migration::{MigrationId, Phase};
use metaferry_domain::plan::DumpRetention;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_orchestrator::{Account, Orchestrator};

/// Migrations looked at; of older ones nothing is removed.
const MIGRATIONS_MAX: u32 = 16;

/// Finds them.
///
/// # Errors
/// If the app DB cannot be reached.
pub(crate) async fn find(
    orchestrator: &Orchestrator,
    lease_term: Duration,
) -> Result<Vec<PathBuf>, PortError> {
    // Mostly there is nothing, and nobody is asked.
    let folder = orchestrator.dump_folder();
    let mut left = left_alone(folder, lease_term);
    if left.is_empty() {
        return Ok(left);
    }
    let accounts = orchestrator.accounts(MIGRATIONS_MAX).await?;
    // Whoever acts may be about to try the newest one again, with a dump of the same name. Where our tables are not
    // there, nobody acts.
    match orchestrator.lease().await {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(Vec::new()),
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let over = accounts.iter().filter_map(needs_no_dump);
    let mut bearers: Vec<PathBuf> = over.map(|id| orchestrator.dump_path(id)).collect();
    bearers.push(folder.join(UNFINISHED_SCRIPT));
    left.retain(|file| bearers.iter().any(|bearer| is_of(file, bearer)));
    Ok(left)
}

/// Removes what [`find`] finds, and answers which. What cannot be removed is told in the log; the next look makes up for
/// it.
///
/// # Errors
/// Those of [`find`].
pub(crate) async fn remove(
    orchestrator: &Orchestrator,
    lease_term: Duration,
) -> Result<Vec<PathBuf>, PortError> {
    let mut removed = Vec::new();
    for file in find(orchestrator, lease_term).await? {
        match fs::remove_file(&file) {
            Ok(()) => {
                tracing::info!(target: "cloud_migration", file = %file.display(), "removed what a process that died had left");
                removed.push(file);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let file = file.display();
                tracing::warn!(target: "cloud_migration", %file, %error, "a file that nobody needs could not be removed");
            }
        }
    }
    Ok(removed)
}

/// Files of the kinds that may be left, which nobody has written to for a lease's term.
fn left_alone(folder: &Path, lease_term: Duration) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_old = |entry: &DirEntry| {
        let written = entry.metadata().and_then(|file| file.modified());
        written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > lease_term))
    };
    let may_be_left = |entry: &DirEntry| {
        let name = entry.file_name();
        name == UNFINISHED_SCRIPT || name.to_string_lossy().contains(".mv.db")
    };
    let entries = entries.filter_map(Result::ok);
    let old = entries.filter(|entry| may_be_left(entry) && is_old(entry));
    old.map(|entry| entry.path()).collect()
}

/// The dump, its manifest, or one of their unfinished forms: each has the dump's name in its own.
fn is_of(file: &Path, dump: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    match (name(file), name(dump)) {
        (Some(file), Some(dump)) => file.contains(&dump),
        (_, _) => false,
    }
}

/// A migration that is settled, unless its dump is kept on purpose.
fn needs_no_dump(account: &Account) -> Option<MigrationId> {
    let journal = account.journal.as_ref().filter(|journal| journal.settled)?;
    let state = &journal.story.as_ref().ok()?.state;
    let is_kept = state.phase() == Phase::Done && state.run().plan.retention == DumpRetention::Keep;
    (!is_kept).then_some(journal.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_dump_bears_its_name() {
        let dump = Path::new("/data/cloud_migration_dump_17.mv.db");
        for (file, of_it) in [
            ("cloud_migration_dump_17.mv.db", true),
            ("cloud_migration_dump_17.mv.db.partial", true),
            ("new.cloud_migration_dump_17.mv.db", true),
            ("cloud_migration_dump_17.mv.db.manifest.json", true),
            ("cloud_migration_dump_1.mv.db", false),
            ("undo.sql", false),
        ] {
            assert_eq!(is_of(&Path::new("/data").join(file), dump), of_it, "{file}");
        }
    }
}
