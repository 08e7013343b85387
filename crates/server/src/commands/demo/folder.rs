//! Where a demo works: a folder that is named and kept, or a temporary one that goes.

use std::path::{Path, PathBuf};

use metaferry_domain::{ErrorKind, PortError};
use tempfile::TempDir;

/// Dropping a temporary one removes it too.
#[derive(Debug)]
pub(super) enum Folder {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    /// Makes it. A folder that holds something already is refused: nothing of somebody's is mixed with the sample.
    pub(super) fn open(named: Option<&Path>) -> Result<Self, PortError> {
        let Some(named) = named else {
            return tempfile::Builder::new()
                .prefix("metaferry-demo-")
                .tempdir()
                .map(Self::Temporary)
                .map_err(|error| {
                    PortError::new(ErrorKind::Denied, "make a temporary folder (TMPDIR)").because(error)
                });
        };
        let refused = |error| {
            PortError::new(ErrorKind::Denied, format!("use the folder {}", named.display())).because(error)
        };
        std::fs::create_dir_all(named).map_err(refused)?;
        let holds_something = std::fs::read_dir(named).map_err(refused)?.next().is_some();
        if holds_something {
            let what = format!(
                "the folder {} is not empty; name another with --dir",
                named.display()
            );
            return Err(PortError::new(ErrorKind::Conflict, what));
        }
        Ok(Self::Kept(named.to_path_buf()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// Removes a temporary one; answers where a kept one is.
    pub(super) fn close(self) -> Result<Option<PathBuf>, PortError> {
        match self {
            Self::Kept(path) => Ok(Some(path)),
            Self::Temporary(folder) => {
                let path = folder.path().to_path_buf();
                folder.close().map(|()| None).map_err(|error| {
                    PortError::new(ErrorKind::Denied, format!("remove the folder {}", path.display()))
                        .because(error)
                })
            }
        }
    }
}
