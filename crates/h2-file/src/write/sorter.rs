//! Sorts any number of records under a memory limit: in memory while they fit, through runs in a temporary file
//! when they do not. What the bytes mean is the caller's matter: keys are compared as bytes, and records with the
//! same key stay in the order in which they came.

use std::path::{Path, PathBuf};

use crate::WriteError;

mod record;
mod spill;

pub(crate) use spill::TempFile;

use record::Record;
use spill::Spill;

/// A growing set of records, each a key and a payload. No key may be the beginning of another.
#[derive(Debug)]
pub(crate) struct Sorter {
    records: Vec<u8>,
    /// The first eight bytes of each key, and where its record starts.
    order: Vec<(u64, u32)>,
    /// All keys so far are no longer than that.
    key_bytes_max: usize,
    spill: Option<Spill>,
    temp_dir: PathBuf,
}

/// The bytes of a key that are compared first.
const PREFIX_BYTES: usize = 8;

impl Sorter {
    pub(crate) fn new(temp_dir: &Path) -> Self {
        Self {
            records: Vec::new(),
            order: Vec::new(),
            key_bytes_max: 0,
            spill: None,
            temp_dir: temp_dir.to_owned(),
        }
    }

    /// Bytes of memory that the sorter holds.
    pub(crate) fn footprint(&self) -> usize {
        self.records.capacity() + self.order.capacity() * size_of::<(u64, u32)>()
    }

    /// Adds a record: `key` appends the key, `payload` the payload.
    #[inline]
    pub(crate) fn push(&mut self, key: impl FnOnce(&mut Vec<u8>), payload: impl FnOnce(&mut Vec<u8>)) {
        let start = self.records.len();
        if self.records.capacity() - start < 256 {
            // Growing by a quarter keeps what is held close to what is counted.
            self.records.reserve_exact(start / 4 + 1024);
        }
        let record = record::append(&mut self.records, key, payload);
        self.key_bytes_max = self.key_bytes_max.max(record.key.len());
        let prefix = prefix(record.key);
        if self.order.len() == self.order.capacity() {
            self.order.reserve_exact(self.order.len() / 4 + 64);
        }
        self.order
            .push((prefix, u32::try_from(start).unwrap_or(u32::MAX)));
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
        spill.add_run(|out| {
            order
                .iter()
                .try_for_each(|(_, start)| out.write_all(at(&records, *start).bytes))
        })?;
        self.spill = Some(spill);
        Ok(())
    }

    fn sort(&mut self) {
        let records = &self.records;
        if self.key_bytes_max <= PREFIX_BYTES {
            self.order.sort_by_key(|(prefix, _)| *prefix);
        } else {
            self.order.sort_by(|left, right| {
                left.0
                    .cmp(&right.0)
                    .then_with(|| at(records, left.1).key.cmp(at(records, right.1).key))
            });
        }
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
            let record = at(&self.records, *start);
            each(record.key, record.payload)
        })
    }
}

fn at(records: &[u8], start: u32) -> Record<'_> {
    record::first(&records[start as usize..])
}

fn prefix(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut padded = [0; PREFIX_BYTES];
            padded[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(padded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(records: u32, spill_every: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(folder.path());
        for number in 0..records {
            // Each key comes twice, far apart.
            let key = (number % 2500).wrapping_mul(2_654_435_761);
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
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "the temporary file is gone"
        );
        out
    }

    #[test]
    fn any_number_of_runs_gives_the_same_order() {
        let expected = sorted(5000, u32::MAX);
        assert_eq!(expected.len(), 5000);
        assert!(
            expected.is_sorted(),
            "same keys stay in the order in which they came"
        );
        for spill_every in [1700, 100, 7] {
            assert!(sorted(5000, spill_every) == expected, "{spill_every}");
        }
    }
    #[test]
    fn long_records_are_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        for spills in [0, 1] {
            let mut sorter = Sorter::new(folder.path());
            for (key, payload) in [(70_000, 3), (3, 70_000), (200_000, 200_000)] {
                let fill =
                    |length: usize, byte: u8| move |out: &mut Vec<u8>| out.resize(out.len() + length, byte);
                sorter.push(fill(key, u8::try_from(key % 251).unwrap()), fill(payload, 7));
                (0..spills).for_each(|_| sorter.spill().unwrap());
            }
            let mut lengths = Vec::new();
            sorter
                .finish(|key, payload| {
                    assert!(payload.iter().all(|byte| *byte == 7));
                    lengths.push((key.len(), payload.len()));
                    Ok(())
                })
                .unwrap();
            lengths.sort_unstable();
            assert_eq!(lengths, [(3, 70_000), (70_000, 3), (200_000, 200_000)]);
        }
    }
}
