//! The row keys of a table so far, a byte or two each: needed only if rows stop coming in the order of their key.

use std::path::Path;

use super::encode::varlong;
use super::sorter::TempFile;
use crate::WriteError;

/// Keys in memory before they go to a temporary file.
const MEMORY_BYTES: usize = 64 * 1024;

/// Ascending keys, as differences.
#[derive(Debug, Default)]
pub(crate) struct KeyLog {
    deltas: Vec<u8>,
    last: i64,
    spilled: Option<(TempFile, u64)>,
}

impl KeyLog {
    /// Adds a key.
    #[inline]
    pub(crate) fn push(&mut self, key: i64, temp_dir: &Path) -> Result<(), WriteError> {
        varlong(&mut self.deltas, key.wrapping_sub(self.last));
        self.last = key;
        if self.deltas.len() >= MEMORY_BYTES {
            self.spill(temp_dir)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn spill(&mut self, temp_dir: &Path) -> Result<(), WriteError> {
        let (file, end) = match self.spilled.take() {
            Some(spilled) => spilled,
            None => (TempFile::create(temp_dir)?, 0),
        };
        let end = file.write_from(end, |out| out.write_all(&self.deltas))?;
        self.spilled = Some((file, end));
        self.deltas.clear();
        Ok(())
    }

    /// Hands over the keys in the order pushed.
    pub(crate) fn replay(
        self,
        mut each: impl FnMut(i64) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let mut key = 0_i64;
        let (mut delta, mut shift) = (0_u64, 0);
        let mut byte_in = |byte: u8| {
            delta |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                key = key.wrapping_add(delta.cast_signed());
                (delta, shift) = (0, 0);
                each(key)
            } else {
                Ok(())
            }
        };
        if let Some((file, end)) = self.spilled {
            let mut buffer = Vec::new();
            let mut at = 0;
            while at < end {
                buffer.clear();
                file.read_at(at, end, MEMORY_BYTES, &mut buffer)?;
                at += buffer.len() as u64;
                buffer.iter().try_for_each(|byte| byte_in(*byte))?;
            }
        }
        self.deltas.iter().try_for_each(|byte| byte_in(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_every_key_also_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<i64> = [i64::MIN, -5, -1, 0]
            .into_iter()
            .chain((1..60_000).map(|one| one * 300))
            .chain([i64::MAX])
            .collect();
        let mut log = KeyLog::default();
        for key in &keys {
            log.push(*key, folder.path()).unwrap();
        }
        assert!(log.spilled.is_some());
        let mut out = Vec::new();
        log.replay(|key| {
            out.push(key);
            Ok(())
        })
        .unwrap();
        assert!(out == keys);
    }
}
