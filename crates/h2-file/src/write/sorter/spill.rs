//! Sorted runs in a temporary file, and their merge. The file has no name while it is used (where the system
//! allows that), so nothing is left behind even by a killed process.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicU64};

use super::prefix;
use super::record::{self, Record};
use crate::WriteError;

/// Runs merged at once; more are merged in several passes.
const RUNS_MAX: usize = 32;
const RUN_BUFFER_BYTES: usize = 32 * 1024;
const MERGE_BUFFER_BYTES: usize = 256 * 1024;

/// A temporary file that goes with its owner.
#[derive(Debug)]
pub(crate) struct TempFile {
    file: File,
    path: PathBuf,
}

impl TempFile {
    /// Creates an empty file in `folder`, readable by its owner only.
    pub(crate) fn create(folder: &Path) -> Result<Self, WriteError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, atomic::Ordering::Relaxed);
        let path = folder.join(format!(".h2-sort-{}-{number}.tmp", std::process::id()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(WriteError::io("create", &path))?;
        // Where an open file can lose its name, it does so at once; elsewhere Drop removes it.
        let _ = fs::remove_file(&path);
        Ok(Self { file, path })
    }

    /// Writes from `start` what `write` writes; returns where that ends.
    pub(crate) fn write_from(
        &self,
        start: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<u64, WriteError> {
        let written = || {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(start))?;
            let mut out = BufWriter::with_capacity(4 * RUN_BUFFER_BYTES, file);
            write(&mut out)?;
            out.flush()?;
            drop(out);
            file.stream_position()
        };
        written().map_err(WriteError::io("write the temporary file", &self.path))
    }

    /// Appends to `buffer` up to `wanted` bytes from `offset`, none beyond `end`.
    pub(crate) fn read_at(
        &self,
        offset: u64,
        end: u64,
        wanted: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let wanted = (wanted as u64).min(end - offset);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(wanted).read_to_end(buffer))
            .and_then(|read| {
                if read as u64 == wanted {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                }
            })
            .map_err(WriteError::io("read the temporary file", &self.path))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if cfg!(not(unix)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Runs in a temporary file.
#[derive(Debug)]
pub(crate) struct Spill {
    file: TempFile,
    runs: Vec<Run>,
    end: u64,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    end: u64,
}

impl Spill {
    pub(crate) fn create(folder: &Path) -> Result<Self, WriteError> {
        Ok(Self {
            file: TempFile::create(folder)?,
            runs: Vec::new(),
            end: 0,
        })
    }

    /// Adds a run of records, written by `write` in key order.
    pub(crate) fn add_run(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let start = self.end;
        self.end = self.file.write_from(start, write)?;
        self.runs.push(Run { start, end: self.end });
        Ok(())
    }

    /// Hands over the records of all runs in key order.
    pub(crate) fn merge(
        mut self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        while self.runs.len() > RUNS_MAX {
            let runs = std::mem::take(&mut self.runs);
            // Runs stay in the order in which their records came, because that decides between equal keys.
            for some in runs.chunks(RUNS_MAX) {
                self.merge_into_one(some)?;
            }
        }
        merge_runs(&self.file, &self.runs, |record| each(record.key, record.payload))
    }

    fn merge_into_one(&mut self, runs: &[Run]) -> Result<(), WriteError> {
        // Reading and writing share the file's one position, so records are collected first.
        let start = self.end;
        let mut buffer = Vec::with_capacity(MERGE_BUFFER_BYTES);
        merge_runs(&self.file, runs, |record| {
            if buffer.len() + record.bytes.len() > MERGE_BUFFER_BYTES {
                self.end = self.file.write_from(self.end, |out| out.write_all(&buffer))?;
                buffer.clear();
            }
            buffer.extend_from_slice(record.bytes);
            Ok(())
        })?;
        self.end = self.file.write_from(self.end, |out| out.write_all(&buffer))?;
        self.runs.push(Run { start, end: self.end });
        Ok(())
    }
}

/// The unread rest of a run, with its first record in the buffer.
struct Head<'a> {
    file: &'a TempFile,
    run: usize,
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Where the first record starts in the buffer.
    at: usize,
    prefix: u64,
}

impl Head<'_> {
    /// Makes sure that a whole record is in the buffer; false at the end of the run.
    fn load(&mut self) -> Result<bool, WriteError> {
        loop {
            let held = &self.buffer[self.at..];
            let needed = record::length(held);
            if needed.is_some_and(|needed| needed <= held.len()) {
                self.prefix = prefix(self.record().key);
                return Ok(true);
            }
            if held.is_empty() && self.next == self.end {
                return Ok(false);
            }
            let wanted = RUN_BUFFER_BYTES.max(needed.unwrap_or(0));
            self.buffer.drain(..self.at);
            self.at = 0;
            let before = self.buffer.len();
            self.file.read_at(self.next, self.end, wanted, &mut self.buffer)?;
            self.next += (self.buffer.len() - before) as u64;
        }
    }

    fn record(&self) -> Record<'_> {
        record::first(&self.buffer[self.at..])
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head<'_> {}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head<'_> {
    /// Reversed, because the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .prefix
            .cmp(&self.prefix)
            .then_with(|| other.record().key.cmp(self.record().key))
            .then_with(|| other.run.cmp(&self.run))
    }
}

fn merge_runs(
    file: &TempFile,
    runs: &[Run],
    mut each: impl FnMut(Record<'_>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for (run, Run { start, end }) in runs.iter().enumerate() {
        let mut head = Head {
            file,
            run,
            next: *start,
            end: *end,
            buffer: Vec::new(),
            at: 0,
            prefix: 0,
        };
        if head.load()? {
            heads.push(head);
        }
    }
    while let Some(mut first) = heads.peek_mut() {
        let record = first.record();
        each(record)?;
        let length = record.bytes.len();
        first.at += length;
        if !first.load()? {
            PeekMut::pop(first);
        }
    }
    Ok(())
}
