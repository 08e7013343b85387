//! Folders for files of our own: one that all app DBs share, for what lasts as long as a command, and in it one for each.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use metaferry_app_db::h2::file_of;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::env::address::AppDbAddress;

use crate::config::Config;
use crate::exit::CommandError;

/// Makes the folder that all app DBs share.
pub(crate) fn data_folder(config: &Config) -> Result<&Path, CommandError> {
    make_folder(&config.data_dir)?;
    Ok(&config.data_dir)
}

/// The folder of one app DB: dumps and their manifests, `undo.sql`, the state of an H2 app DB, most of which have the same
/// names in every app DB. It is not made here.
pub(super) fn folder_of(config: &Config, app_db: &AppDbAddress) -> PathBuf {
    let name = match app_db {
        AppDbAddress::H2 { path } => real(&file_of(path)).folder_name(),
        AppDbAddress::Postgres(_) | AppDbAddress::MySql(_) => app_db.folder_name(),
    };
    config.data_dir.join(name)
}

/// An H2 file by the one path that all ways to it lead to.
fn real(file: &Path) -> AppDbAddress {
    let path = std::fs::canonicalize(file)
        // There is no such file, which whoever opens it tells.
        .or_else(|_| std::path::absolute(file))
        .unwrap_or_else(|_| file.to_owned());
    let path = path.to_string_lossy();
    AppDbAddress::h2(path.strip_suffix(".mv.db").unwrap_or(&path))
}

pub(super) fn make_folder(folder: &Path) -> Result<(), CommandError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_an_h2_file_leads_to_one_folder() {
        let config = crate::config::tests::config(&[("METAFERRY_DATA_DIR", "/data")]).unwrap();
        let here = tempfile::tempdir().unwrap();
        let at = |path: PathBuf| folder_of(&config, &AppDbAddress::h2(path.to_str().unwrap()));
        for folder in ["one", "two"] {
            std::fs::create_dir(here.path().join(folder)).unwrap();
            std::fs::write(here.path().join(folder).join("metabase.mv.db"), "").unwrap();
        }
        let link = here.path().join("link.mv.db");
        std::os::unix::fs::symlink(here.path().join("one/metabase.mv.db"), link).unwrap();

        let one = at(here.path().join("one/metabase"));
        assert_eq!(one.parent(), Some(Path::new("/data")));
        assert!(one.to_str().unwrap().starts_with("/data/h2-metabase-"), "{one:?}");
        let up = std::env::current_dir().unwrap().components().count() - 1;
        let relative = "../".repeat(up) + here.path().strip_prefix("/").unwrap().to_str().unwrap();
        for path in [
            here.path().join("one/metabase.mv.db"),
            here.path().join("two/../one/metabase"),
            here.path().join("link"),
            PathBuf::from(relative).join("one/metabase"),
        ] {
            assert_eq!(at(path.clone()), one, "{path:?}");
        }
        for path in ["two/metabase", "one/none"] {
            assert_ne!(at(here.path().join(path)), one, "{path}");
        }
    }
}
