//! The file under its temporary name: made, locked, renamed when it is complete, removed when it is not.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::WriteError;

/// A file on its way to its name.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    partial: PathBuf,
    /// Holds the lock that tells a live writer from one that was killed.
    file: Option<File>,
    /// What a killed writer left, kept locked: who opened it before it was removed must not remove ours.
    _stale: Option<File>,
}

impl Target {
    /// Creates the temporary file beside `path`, taking over what a killed writer left.
    pub(crate) fn create(path: &Path) -> Result<Self, WriteError> {
        refuse_existing(path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        let stale = remove_stale(path, &partial)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        // A database holds secrets, whatever it is for.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(&partial) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(WriteError::TargetBusy {
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(WriteError::io("create", &partial)(error)),
        };
        lock(path, &partial, &file)?;
        Ok(Self {
            path: path.to_owned(),
            partial,
            file: Some(file),
            _stale: stale,
        })
    }

    fn with<T>(&self, action: impl FnOnce(&File) -> io::Result<T>) -> Result<T, WriteError> {
        let file = self.file.as_ref().ok_or(WriteError::Broken)?;
        action(file).map_err(WriteError::io("write", &self.partial))
    }

    /// The temporary name.
    pub(crate) fn partial(&self) -> &Path {
        &self.partial
    }

    /// A second handle on the file.
    pub(crate) fn handle(&self) -> Result<File, WriteError> {
        self.with(File::try_clone)
    }

    /// Gives the complete and synced file its name, never over another file.
    pub(crate) fn publish(mut self) -> Result<(), WriteError> {
        // A link refuses an existing name in one step, which a rename does not.
        match fs::hard_link(&self.partial, &self.path) {
            Ok(()) => {
                fs::remove_file(&self.partial).map_err(WriteError::io("remove", &self.partial))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(WriteError::TargetExists {
                    path: self.path.clone(),
                });
            }
            Err(_) => {
                refuse_existing(&self.path)?;
                fs::rename(&self.partial, &self.path).map_err(WriteError::io("rename", &self.partial))?;
            }
        }
        self.file = None;
        sync_folder(&self.path)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Nothing more can be done about a file that cannot be removed: it is no database, and the next
            // writer takes it over.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn lock(path: &Path, partial: &Path, file: &File) -> Result<(), WriteError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => WriteError::TargetBusy {
            path: path.to_owned(),
        },
        TryLockError::Error(source) => WriteError::io("lock", partial)(source),
    })
}

/// Removes a temporary file that no writer holds. It is not emptied and used again: a writer that was killed just
/// after it gave the file its name left two names for one file.
fn remove_stale(path: &Path, partial: &Path) -> Result<Option<File>, WriteError> {
    let file = match OpenOptions::new().read(true).write(true).open(partial) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(WriteError::io("open", partial)(error)),
    };
    lock(path, partial, &file)?;
    fs::remove_file(partial).map_err(WriteError::io("remove", partial))?;
    Ok(Some(file))
}

fn refuse_existing(path: &Path) -> Result<(), WriteError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(WriteError::TargetExists {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(WriteError::io("look for", path)(error)),
    }
}

fn sync_folder(path: &Path) -> Result<(), WriteError> {
    if cfg!(unix) {
        let folder = super::lob::default_temp_dir(path);
        File::open(&folder)
            .and_then(|open| open.sync_all())
            .map_err(WriteError::io("sync", &folder))?;
    }
    Ok(())
}
