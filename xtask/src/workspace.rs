//! Where things are in the working tree: the root, its files, the shared fixtures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// The workspace root, whatever folder the command was called from.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// A `cargo` of the toolchain that runs us, in the workspace root, reading nothing from standard input.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).stdin(Stdio::null());
    cargo
}

/// Every file that git tracks or would add, relative to the root, sorted.
pub(crate) fn files() -> Result<Vec<PathBuf>, Failure> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ])
        .current_dir(root())
        .output()
        .map_err(Failure::while_doing("run git ls-files"))?;
    if !output.status.success() {
        return Err(Failure::Failed(format!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    let mut files: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        // A tracked file that was deleted but not committed yet is still listed.
        .filter(|path| root().join(path).is_file())
        .collect();
    files.sort();
    Ok(files)
}

/// The folder with the shared fixtures: `METAFERRY_SHARED`, else `../shared` beside the workspace, if it is there.
pub(crate) fn shared() -> Option<PathBuf> {
    let folder = match std::env::var_os("METAFERRY_SHARED") {
        Some(named) => PathBuf::from(named),
        None => root().parent()?.join("shared"),
    };
    folder.join("fixtures").is_dir().then_some(folder)
}
