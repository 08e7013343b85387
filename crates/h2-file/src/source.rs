//! Where the bytes of a database come from: positioned reads that several threads can do at once.
//! An encrypted or split file is a further variant here; nothing above sees the difference.

use std::fs::File;
use std::sync::Arc;

use crate::error::ReadError;

/// Bytes of a whole database file.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file, read where it lies.
    File { file: File, len: u64 },
    /// A file that is in memory already.
    Memory(Arc<[u8]>),
}

impl Source {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `buffer` from `offset`; fewer bytes are an error.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let bytes = buffer.len();
        let failed = |source| ReadError::Io {
            offset,
            bytes,
            source,
        };
        match self {
            Self::File { file, .. } => read_file(file, buffer, offset).map_err(failed),
            Self::Memory(all) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                match start.checked_add(bytes).and_then(|end| all.get(start..end)) {
                    Some(found) => {
                        buffer.copy_from_slice(found);
                        Ok(())
                    }
                    None => Err(failed(std::io::ErrorKind::UnexpectedEof.into())),
                }
            }
        }
    }
}

#[cfg(unix)]
fn read_file(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file(file: &File, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                offset += read as u64;
                buffer = &mut buffer[read..];
            }
        }
    }
    Ok(())
}
