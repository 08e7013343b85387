//! What the file crate's errors mean to a port's caller: the only place that reads them.

use std::io;
use std::path::Path;

use metaferry_domain::{ErrorKind, PortError};
use metaferry_h2_file::{ReadError, Unsupported, WriteError};

/// Why a file could not be written.
pub(super) fn write(error: WriteError) -> PortError {
    let kind = match &error {
        WriteError::TargetExists { .. } | WriteError::TargetBusy { .. } => ErrorKind::Conflict,
        WriteError::Io { source, .. } => of_io(source),
        WriteError::Definition { .. } | WriteError::Row { .. } | WriteError::TooLong => {
            ErrorKind::Unsupported
        }
        WriteError::Unwanted => ErrorKind::Cancelled,
        WriteError::DuplicateKey { .. } => ErrorKind::Corrupt,
        WriteError::TableState { .. } | WriteError::Broken => ErrorKind::Precondition,
        // The file crate may learn new failures; until they are looked at here, a person must.
        _ => ErrorKind::Unsupported,
    };
    whole(kind, error)
}

/// Why the file at `path` could not be opened, and what to do.
pub(super) fn at(path: &Path, error: ReadError) -> PortError {
    let advice = match &error {
        ReadError::Unsupported(Unsupported::PasswordMissing) => {
            "; METAFERRY_H2_FILE_PASSWORD is where it belongs"
        }
        ReadError::WrongPassword => "; METAFERRY_H2_FILE_PASSWORD names it",
        ReadError::NewestVersionLost { .. }
        | ReadError::NewestVersionDamaged { .. }
        | ReadError::OnlyEmptyVersionLeft { .. } => {
            "; --salvage reads the newest version that is still whole"
        }
        // Says the path itself.
        ReadError::Open { .. } => return read(error),
        _ => "",
    };
    let mut problem = read(error);
    problem.what = format!("{}: {}{advice}", path.display(), problem.what);
    problem
}

/// Why a file could not be read.
pub(super) fn read(error: ReadError) -> PortError {
    let kind = match &error {
        ReadError::Open { source, .. } | ReadError::Io { source, .. } => of_io(source),
        ReadError::WrongPassword | ReadError::Unsupported(Unsupported::PasswordMissing) => ErrorKind::Denied,
        ReadError::Unsupported(_) => ErrorKind::Unsupported,
        // Another time it may be still.
        ReadError::Overwritten { .. } | ReadError::Torn { .. } | ReadError::KeepsChanging { .. } => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Corrupt,
    };
    whole(kind, error)
}

fn whole(kind: ErrorKind, error: impl std::error::Error + Send + Sync + 'static) -> PortError {
    let what = error.to_string();
    match error.source() {
        // The words are this error's own; its cause is printed by whoever walks the chain.
        Some(source) => {
            let cause = chain(source);
            PortError::new(kind, what).because(cause)
        }
        None => PortError::new(kind, what),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn of_io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            ErrorKind::NotFound
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::Exhausted
        }
        io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    }
}
