//! The folder for files of our own.

use std::os::unix::fs::DirBuilderExt as _;

use metaferry_domain::{ErrorKind, PortError};

use crate::config::Config;
use crate::exit::CommandError;

/// Makes the folder for files of our own.
pub(crate) fn data_folder(config: &Config) -> Result<&std::path::Path, CommandError> {
    make_folder(&config.data_dir)?;
    Ok(&config.data_dir)
}

pub(super) fn make_folder(folder: &std::path::Path) -> Result<(), CommandError> {
    // Dumps hold everything that the app DB holds, and by default lie in a folder that everybody can list.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| {
            let kind = ErrorKind::Denied;
            PortError::new(
                kind,
                format!("make the folder {} (METAFERRY_DATA_DIR)", folder.display()),
            )
            .because(error)
            .into()
        })
}
