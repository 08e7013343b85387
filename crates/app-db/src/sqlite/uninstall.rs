//! Removing the SQLite file.

use std::path::{Path, PathBuf};

use metaferry_domain::{ErrorKind, PortError};

use super::SqliteState;
use crate::uninstall::{UNINSTALL, claim};

impl SqliteState {
    /// Removes that file and those that SQLite keeps beside it, and answers their names; empty if there was none.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while somebody holds the lease, or a migration is not settled: then nothing was
    /// removed.
    pub async fn uninstall(path: &Path) -> Result<Vec<String>, PortError> {
        if !path.is_file() {
            return Ok(Vec::new());
        }
        let state = Self::open(path).await?;
        claim(&state, &state, UNINSTALL).await?;
        state.pool.close().await;
        let mut removed = Vec::new();
        for suffix in ["-wal", "-shm", ""] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            let file = PathBuf::from(name);
            match std::fs::remove_file(&file) {
                Ok(()) => removed.push(file.display().to_string()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let what = format!("remove {}", file.display());
                    return Err(PortError::new(ErrorKind::Denied, what).because(error));
                }
            }
        }
        Ok(removed)
    }
}
