//! Where the bytes of a database come from: positioned reads that several threads can do at once.
//! Nothing above sees whether they were encrypted.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cipher::{FileCipher, FilePassword, MAGIC, SALT_BYTES, SECTOR_BYTES};
use crate::error::{ReadError, Unsupported};

/// Bytes of a whole database file, decrypted.
#[derive(Debug)]
pub(crate) struct Source {
    stored: Stored,
    cipher: Option<FileCipher>,
    /// Length of the plain file.
    len: u64,
}

/// Bytes as they are stored.
#[derive(Debug)]
pub(crate) enum Stored {
    /// A file, read where it lies.
    File(File),
    /// A file that is in memory already.
    Memory(Arc<[u8]>),
}

/// Whether a file is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// It is not.
    None,
    /// It was written with CIPHER=AES.
    Aes,
}

impl Source {
    /// The plain bytes of `stored`; an encrypted file needs its password.
    pub(crate) fn new(stored: Stored, password: Option<&FilePassword>) -> Result<Self, ReadError> {
        let len = stored.len()?;
        let mut beginning = [0; MAGIC.len().saturating_add(SALT_BYTES)];
        let is_encrypted = len >= beginning.len() as u64 && {
            stored.read_exact_at(&mut beginning, 0)?;
            beginning.starts_with(MAGIC)
        };
        if !is_encrypted {
            let cipher = None;
            return Ok(Self { stored, cipher, len });
        }
        let password = password.ok_or(ReadError::Unsupported(Unsupported::PasswordMissing))?;
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(beginning.get(MAGIC.len()..).unwrap_or_default());
        let cipher = Some(FileCipher::new(password, &salt));
        let len = plain_len(len);
        Ok(Self { stored, cipher, len })
    }

    /// Length of the plain file when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Length and time of the last change; `None` if the bytes cannot change.
    pub(crate) fn stamp(&self) -> Option<(u64, SystemTime)> {
        match &self.stored {
            Stored::File(file) => {
                let metadata = file.metadata().ok()?;
                Some((metadata.len(), metadata.modified().ok()?))
            }
            Stored::Memory(_) => None,
        }
    }

    /// Length of the plain file now.
    pub(crate) fn len_now(&self) -> Result<u64, ReadError> {
        let len = self.stored.len()?;
        Ok(match &self.cipher {
            None => len,
            Some(_) => plain_len(len),
        })
    }

    pub(crate) fn encryption(&self) -> Encryption {
        match &self.cipher {
            None => Encryption::None,
            Some(_) => Encryption::Aes,
        }
    }

    /// Fills `buffer` from `offset`; fewer bytes are an error.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let Some(cipher) = &self.cipher else {
            return self.stored.read_exact_at(buffer, offset);
        };
        let sector_bytes = SECTOR_BYTES as u64;
        let (mut number, skipped) = (
            offset.checked_div(sector_bytes).unwrap_or(0),
            offset.checked_rem(sector_bytes).unwrap_or(0),
        );
        let mut skipped = usize::try_from(skipped).unwrap_or(0);
        let mut left = buffer;
        let mut sector = [0; SECTOR_BYTES];
        while !left.is_empty() {
            // The salt takes the place of a sector.
            let stored_at = number.saturating_add(1).saturating_mul(sector_bytes);
            self.stored.read_exact_at(&mut sector, stored_at)?;
            cipher.decrypt(number, &mut sector);
            let plain = sector.get(skipped..).unwrap_or_default();
            let taken = plain.len().min(left.len());
            let (now, later) = left.split_at_mut(taken);
            now.copy_from_slice(plain.get(..taken).unwrap_or_default());
            left = later;
            number = number.saturating_add(1);
            skipped = 0;
        }
        Ok(())
    }
}

/// The salt's block and a partial sector at the end hold nothing.
fn plain_len(stored_len: u64) -> u64 {
    let sector_bytes = SECTOR_BYTES as u64;
    let sectors = stored_len.checked_div(sector_bytes).unwrap_or(0);
    sectors.saturating_sub(1).saturating_mul(sector_bytes)
}

impl Stored {
    fn len(&self) -> Result<u64, ReadError> {
        match self {
            Self::File(file) => {
                file.metadata()
                    .map(|metadata| metadata.len())
                    .map_err(|source| ReadError::Io {
                        offset: 0,
                        bytes: 0,
                        source,
                    })
            }
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let bytes = buffer.len();
        let failed = |source| ReadError::Io {
            offset,
            bytes,
            source,
        };
        match self {
            Self::File(file) => read_file(file, buffer, offset).map_err(failed),
            Self::Memory(all) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                match start.checked_add(bytes).and_then(|end| all.get(start..end)) {
                    Some(found) => {
                        buffer.copy_from_slice(found);
                        Ok(())
                    }
                    None => Err(failed(io::ErrorKind::UnexpectedEof.into())),
                }
            }
        }
    }
}

#[cfg(unix)]
fn read_file(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                offset = offset.saturating_add(read as u64);
                buffer = buffer.get_mut(read..).unwrap_or_default();
            }
        }
    }
    Ok(())
}
