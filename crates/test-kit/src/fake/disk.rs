//! The disk of a dump: what was written is lost with the power until it is synced, and so is a name.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A dump on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpOnDisk {
    /// What is in it.
    pub content: Content,
    /// Under which name it stands.
    pub name: FileName,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Some of it, and it is being written.
    Unfinished,
    /// All of it, and some only in the memory of the machine.
    Unsynced,
    /// All of it, whatever happens to the machine.
    Synced,
    /// What was left when the power went.
    Torn,
}

/// Under which name a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileName {
    /// That of an unfinished one.
    Temporary,
    /// Its own, as long as the power lasts.
    Renamed,
    /// Its own, whatever happens to the machine.
    Lasting,
}

impl DumpOnDisk {
    /// Rows are being written.
    pub const UNFINISHED: Self = Self {
        content: Content::Unfinished,
        name: FileName::Temporary,
    };
    /// Complete, synced and under its name for good.
    pub const FINISHED: Self = Self {
        content: Content::Synced,
        name: FileName::Lasting,
    };
}

/// What becomes of names that were not synced: nobody can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsynced {
    Kept,
    Gone,
}

/// The power is gone.
pub(super) fn lose_power(files: &mut BTreeMap<PathBuf, DumpOnDisk>, names: Unsynced) {
    for file in files.values_mut() {
        file.content = match file.content {
            Content::Unfinished | Content::Unsynced | Content::Torn => Content::Torn,
            Content::Synced => Content::Synced,
        };
        file.name = match file.name {
            FileName::Renamed if names == Unsynced::Gone => FileName::Temporary,
            FileName::Renamed | FileName::Lasting => FileName::Lasting,
            FileName::Temporary => FileName::Temporary,
        };
    }
}
