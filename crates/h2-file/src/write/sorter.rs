//! Sorts any number of records under a memory limit: in memory while they fit, through runs in a temporary file
//! when they do not. What the bytes mean is the caller's matter: keys are compared as bytes.

use std::path::{Path, PathBuf};

use crate::WriteError;

mod spill;

pub(crate) use spill::TempFile;
use spill::Spill;

/// Two lengths before each record.
const HEADER_BYTES: usize = 8;

/// A growing set of records, each a key and a payload.
#[derive(Debug)]
pub(crate) struct Sorter {
    records: Vec<u8>,
    /// The first eight bytes of each key, and where its record starts.
    order: Vec<(u64, u32)>,
    spill: Option<Spill>,
    temp_dir: PathBuf,
}

impl Sorter {
    pub(crate) fn new(temp_dir: &Path) -> Self {
        Self { records: Vec::new(), order: Vec::new(), spill: None, temp_dir: temp_dir.to_owned() }
    }

    /// Bytes of memory that the sorter holds.
    pub(crate) fn footprint(&self) -> usize {
        self.records.capacity() + self.order.capacity() * size_of::<(u64, u32)>()
    }

    /// Adds a record: `key` appends the key, `payload` the payload.
    #[inline]
    pub(crate) fn push(&mut self, key: impl FnOnce(&mut Vec<u8>), payload: impl FnOnce(&mut Vec<u8>)) {
        let start = self.records.len();
        if self.records.capacity() - start < 1024 {
            // Growing by half keeps what is held close to what is counted.
            self.records.reserve_exact(start / 2 + 4096);
        }
        self.records.extend_from_slice(&[0; HEADER_BYTES]);
        key(&mut self.records);
        let key_length = self.records.len() - start - HEADER_BYTES;
        payload(&mut self.records);
        let payload_length = self.records.len() - start - HEADER_BYTES - key_length;
        self.records[start..start + 4].copy_from_slice(&length_bytes(key_length));
        self.records[start + 4..start + 8].copy_from_slice(&length_bytes(payload_length));
        let key = &self.records[start + HEADER_BYTES..start + HEADER_BYTES + key_length];
        let mut prefix = [0; 8];
        let shared = key.len().min(8);
        prefix[..shared].copy_from_slice(&key[..shared]);
        if self.order.len() == self.order.capacity() {
            self.order.reserve_exact(self.order.len() / 2 + 256);
        }
        self.order.push((u64::from_be_bytes(prefix), u32::try_from(start).unwrap_or(u32::MAX)));
    }

    /// Sorts what is in memory and moves it to the temporary file.
    pub(crate) fn spill(&mut self) -> Result<(), WriteError> {
        if self.order.is_empty() {
            return Ok(());
        }
        self.sort();
        let mut spill = match self.spill.take() {
            Some(spill) => spill,
            None => Spill::create(&self.temp_dir)?,
        };
        let records = std::mem::take(&mut self.records);
        let order = std::mem::take(&mut self.order);
        spill.add_run(|out| order.iter().try_for_each(|(_, start)| out.write_all(record_at(&records, *start))))?;
        self.spill = Some(spill);
        Ok(())
    }

    fn sort(&mut self) {
        let records = &self.records;
        // Records of one prefix mostly come in order, which a stable sort keeps cheap.
        self.order.sort_by(|left, right| {
            left.0.cmp(&right.0).then_with(|| key_at(records, left.1).cmp(key_at(records, right.1)))
        });
    }

    /// Hands over all records in key order.
    pub(crate) fn finish(
        mut self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        if self.spill.is_some() {
            self.spill()?;
        }
        if let Some(spill) = self.spill.take() {
            return spill.merge(each);
        }
        self.sort();
        self.order.iter().try_for_each(|(_, start)| {
            let (key, payload) = split(record_at(&self.records, *start));
            each(key, payload)
        })
    }
}

fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn length_at(bytes: &[u8], at: usize) -> usize {
    let mut length = [0; 4];
    length.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(length) as usize
}

fn key_at(records: &[u8], start: u32) -> &[u8] {
    let start = start as usize;
    let key = start + HEADER_BYTES;
    &records[key..key + length_at(records, start)]
}

fn record_at(records: &[u8], start: u32) -> &[u8] {
    let start = start as usize;
    let length = HEADER_BYTES + length_at(records, start) + length_at(records, start + 4);
    &records[start..start + length]
}

fn split(record: &[u8]) -> (&[u8], &[u8]) {
    record[HEADER_BYTES..].split_at(length_at(record, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(records: u32, spill_every: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(folder.path());
        for number in 0..records {
            let key = number.wrapping_mul(2_654_435_761);
            sorter.push(
                |out| out.extend_from_slice(format!("{key:08x}-long-enough-to-pass-the-prefix").as_bytes()),
                |out| out.extend_from_slice(&number.to_be_bytes()),
            );
            if number % spill_every == spill_every - 1 {
                sorter.spill().unwrap();
            }
        }
        let mut out = Vec::new();
        sorter
            .finish(|key, payload| {
                out.push((key.to_vec(), payload.to_vec()));
                Ok(())
            })
            .unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the temporary file is gone");
        out
    }

    #[test]
    fn any_number_of_runs_gives_the_same_order() {
        let expected = sorted(5000, u32::MAX);
        assert_eq!(expected.len(), 5000);
        assert!(expected.is_sorted());
        for spill_every in [1700, 100, 7] {
            assert!(sorted(5000, spill_every) == expected, "{spill_every}");
        }
    }
}
