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
}

impl Target {
    /// Creates the temporary file beside `path`, taking over what a killed writer left.
    pub(crate) fn create(path: &Path) -> Result<Self, WriteError> {
        refuse_existing(path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options
            .open(&partial)
            .map_err(WriteError::io("create", &partial))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(WriteError::TargetBusy {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(WriteError::io("lock", &partial)(source)),
        }
        let target = Self {
            path: path.to_owned(),
            partial,
            file: Some(file),
        };
        target.with(|file| file.set_len(0))?;
        Ok(target)
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
