//! Temporary folders in the data folder, for a file that may hold every secret of an app DB. Each goes when its command
//! ends; where that was killed, the next one removes it. A folder that is in use is locked, and folders are made and removed
//! under a lock on the data folder: nobody's is taken from under it.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use metaferry_domain::{ErrorKind, PortError};
use tempfile::TempDir;

use crate::config::Config;
use crate::exit::CommandError;
use crate::output::Output;
use crate::wiring;

const PREFIX: &str = "scratch-";

/// A folder for one command, readable by this user only.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    /// Ends with the process, however that ends.
    _lock: File,
}

impl Scratch {
    /// Makes one, when what killed commands left is gone.
    pub(crate) fn new(config: &Config, output: Output) -> Result<Self, CommandError> {
        let parent = wiring::data_folder(config)?;
        let _lock = locked(parent)?;
        remove_dead(parent, output)?;
        Ok(make(parent).map_err(|error| at_folder("make a folder in", parent, error))?)
    }

    /// Where an H2 file may be made.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("app-db.mv.db")
    }
}

/// Removes what commands that were killed have left, for one that needs no such folder: it goes on where that fails.
pub(crate) fn remove_leftovers(config: &Config, output: Output) {
    let parent = &config.data_dir;
    if !parent.is_dir() {
        return;
    }
    let removed = locked(parent).and_then(|_lock| remove_dead(parent, output));
    if let Err(error) = removed {
        output.say(&format!("metaferry: {}", error.chain()));
    }
}

/// Held for a moment by whoever makes or removes such folders.
fn locked(parent: &Path) -> Result<File, PortError> {
    lock(parent).map_err(|error| at_folder("lock", parent, error))
}

fn lock(folder: &Path) -> io::Result<File> {
    File::open(folder).and_then(|handle| handle.lock().map(|()| handle))
}

fn make(parent: &Path) -> io::Result<Scratch> {
    let folder = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)?;
    let lock = lock(folder.path())?;
    Ok(Scratch { folder, _lock: lock })
}

/// Removes folders that no process has locked.
fn remove_dead(parent: &Path, output: Output) -> Result<(), PortError> {
    let look = |error| at_folder("look for what a dead command left in", parent, error);
    for entry in std::fs::read_dir(parent).map_err(look)? {
        let entry = entry.map_err(look)?;
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        if !ours || !entry.file_type().map_err(look)?.is_dir() {
            continue;
        }
        let path = entry.path();
        let unused = File::open(&path).is_ok_and(|handle| handle.try_lock().is_ok());
        if !unused {
            continue;
        }
        let what = format!("{}, which a command that was killed left", path.display());
        match std::fs::remove_dir_all(&path) {
            Ok(()) => output.say(&format!("removed {what}")),
            Err(error) => {
                let what = format!("remove {what}");
                return Err(PortError::new(ErrorKind::Denied, what).because(error));
            }
        }
    }
    Ok(())
}

fn at_folder(what: &str, folder: &Path, error: io::Error) -> PortError {
    let what = format!("{what} {} (METAFERRY_DATA_DIR)", folder.display());
    PortError::new(ErrorKind::Denied, what).because(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Scratch, locked, make, remove_dead};
    use crate::output::Output;

    #[test]
    fn what_nobody_has_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        for name in ["scratch-Ab12Cd", "scratched"] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join("app-db.mv.db"), "secret").unwrap();
        }
        std::fs::write(path("journal.sqlite"), "").unwrap();
        let _lock = locked(parent.path()).unwrap();
        let used = make(parent.path()).unwrap();
        remove_dead(parent.path(), Output { json: false }).unwrap();
        assert!(!path("scratch-Ab12Cd").exists());
        let mode = std::fs::metadata(used.folder.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(path("scratched").exists() && path("journal.sqlite").exists());
        // As after a kill: the folder is there, its lock is not.
        let Scratch { folder, _lock: lock } = used;
        let left = folder.keep();
        drop(lock);
        remove_dead(parent.path(), Output { json: false }).unwrap();
        assert!(!left.exists());
    }
}
