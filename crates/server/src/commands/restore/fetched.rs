//! An object of S3 as a temporary file in the data folder, which may hold every secret of an app DB. It goes when the
//! restore ends; where that was killed, the next one removes it. A file that is in use is locked, and files are made and
//! removed under a lock on the folder: nobody's is taken from under it.

use std::fs::File;
use std::io;
use std::path::Path;

use metaferry_domain::{ErrorKind, PortError};
use metaferry_uploader::Compared;
use tempfile::NamedTempFile;

use crate::config::Config;
use crate::exit::CommandError;
use crate::output::Output;
use crate::{shutdown, wiring};

const PREFIX: &str = "restore-";
const SUFFIX: &str = ".mv.db";

/// Fetches it, and compares it with what the store knows of it.
pub(super) async fn fetch(url: &str, config: &Config, output: Output) -> Result<NamedTempFile, CommandError> {
    let object = wiring::object(config, url)?;
    let folder = wiring::data_folder(config)?;
    let file = {
        let _lock = locked(folder)?;
        remove_dead(folder, output)?;
        make(folder).map_err(|error| at_folder("make a file in", folder, error))?
    };
    output.say(&format!("fetching {url}"));
    let fetched = tokio::select! {
        fetched = object.download(file.path()) => fetched?,
        () = shutdown::requested() => return Err(PortError::new(ErrorKind::Cancelled, "interrupted").into()),
    };
    let compared = match fetched.compared {
        Compared::Sha256 => "equal to the store's SHA-256",
        Compared::Md5 => "equal to the store's MD5",
        Compared::Size => "as long as the store says; it has no checksum of the whole",
    };
    output.say(&format!(
        "fetched {} bytes, {compared}; SHA-256 {}",
        fetched.size_bytes, fetched.sha256
    ));
    Ok(file)
}

/// Removes what restores that were killed have left, for one that needs no such file: it goes on where that fails.
pub(super) fn remove_leftovers(config: &Config, output: Output) {
    let folder = &config.data_dir;
    if !folder.is_dir() {
        return;
    }
    let removed = locked(folder).and_then(|_lock| remove_dead(folder, output));
    if let Err(error) = removed {
        output.say(&format!("metaferry: {}", error.chain()));
    }
}

/// Held for a moment by whoever makes or removes such files.
fn locked(folder: &Path) -> Result<File, PortError> {
    File::open(folder)
        .and_then(|handle| handle.lock().map(|()| handle))
        .map_err(|error| at_folder("lock", folder, error))
}

fn make(folder: &Path) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .tempfile_in(folder)?;
    // Ends with the process, however that ends.
    file.as_file().lock()?;
    Ok(file)
}

/// Removes files that no process has locked.
fn remove_dead(folder: &Path, output: Output) -> Result<(), PortError> {
    let look = |error| at_folder("look for what a dead restore left in", folder, error);
    for entry in std::fs::read_dir(folder).map_err(look)? {
        let entry = entry.map_err(look)?;
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if !ours || !entry.file_type().map_err(look)?.is_file() {
            continue;
        }
        let path = entry.path();
        let unused = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if !unused {
            continue;
        }
        let removed = std::fs::remove_file(&path);
        match removed {
            Ok(()) => output.say(&format!(
                "removed {}, which a restore that was killed left",
                path.display()
            )),
            Err(error) => {
                let what = format!("remove {}, which a restore that was killed left", path.display());
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
    use super::{locked, make, remove_dead};
    use crate::output::Output;

    #[test]
    fn what_nobody_has_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["restore-Ab12Cd.mv.db", "restored.mv.db", "journal.sqlite"] {
            std::fs::write(path(name), "secret").unwrap();
        }
        let _lock = locked(folder.path()).unwrap();
        let used = make(folder.path()).unwrap();
        remove_dead(folder.path(), Output { json: false }).unwrap();
        assert!(!path("restore-Ab12Cd.mv.db").exists());
        assert!(used.path().exists());
        assert!(path("restored.mv.db").exists() && path("journal.sqlite").exists());
        // As after a kill: the file is there, its lock is not.
        let (file, left) = used.keep().unwrap();
        drop(file);
        remove_dead(folder.path(), Output { json: false }).unwrap();
        assert!(!left.exists());
    }
}
