//! The file being written, chunk by chunk: pages of any map, from any thread, are appended to one buffer, which
//! goes to the file as a whole chunk when it is full. Which pages there are, and what the last chunk holds, is
//! decided by others.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::compression::{Compression, Packed, Packer};
use super::encode;
use super::page::{self, MapId, PageBody, PagePosition};
use super::writeback::Writeback;
use crate::WriteError;

/// The unit in which chunks are placed.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Room at the start of a chunk for its header.
const CHUNK_HEADER_BYTES: usize = 256;
/// The last bytes of a chunk.
const CHUNK_FOOTER_BYTES: usize = 128;
/// The map of roots and chunks.
pub(crate) const LAYOUT_MAP: MapId = 0;

/// Where pages go.
#[derive(Debug)]
pub(crate) struct ChunkSink {
    open: Mutex<OpenChunk>,
    file: Mutex<ChunkFile>,
    path: PathBuf,
    chunk_bytes: usize,
    compression: Compression,
    /// Compressors that are not at work: as many as threads ever wrote at once.
    packers: Mutex<Vec<Packer>>,
    highest_map: MapId,
    /// Why the file cannot be completed any more: the first failure, told to every later caller.
    failed: OnceLock<Failure>,
}

/// An I/O failure that can be told again.
#[derive(Debug, Clone, Copy)]
struct Failure {
    doing: &'static str,
    kind: std::io::ErrorKind,
    code: Option<i32>,
}

impl Failure {
    fn again(self) -> std::io::Error {
        self.code
            .map_or_else(|| self.kind.into(), std::io::Error::from_raw_os_error)
    }
}

/// The file, and the thread that syncs it meanwhile.
#[derive(Debug)]
struct ChunkFile {
    file: File,
    writeback: Writeback,
}

#[derive(Debug)]
struct OpenChunk {
    id: u32,
    block: u64,
    bytes: Vec<u8>,
    toc: Vec<u64>,
    decoded_bytes: u64,
    /// The position of any page that is not the layout's: see [`ChunkSink::close_chunk`].
    decoy_root: Option<PagePosition>,
    /// What the layout says of each finished chunk.
    finished: Vec<(u32, String)>,
    /// A buffer that is not in use.
    spare: Vec<u8>,
}

/// The last chunk, as the file header names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastChunk {
    pub(crate) id: u32,
    pub(crate) block: u64,
    pub(crate) end_block: u64,
}

impl ChunkSink {
    /// A sink into an empty `file`; the first chunk comes after the two header blocks.
    pub(crate) fn new(
        file: File,
        path: PathBuf,
        chunk_bytes: usize,
        compression: Compression,
        highest_map: MapId,
    ) -> Result<Self, WriteError> {
        let second = file.try_clone().map_err(WriteError::io("open", &path))?;
        let file = ChunkFile {
            file,
            writeback: Writeback::new(second),
        };
        let open = OpenChunk {
            id: 1,
            block: 2,
            bytes: vec![0; CHUNK_HEADER_BYTES],
            toc: Vec::new(),
            decoded_bytes: 0,
            decoy_root: None,
            finished: Vec::new(),
            spare: Vec::new(),
        };
        Ok(Self {
            open: Mutex::new(open),
            file: Mutex::new(file),
            path,
            chunk_bytes,
            compression,
            packers: Mutex::new(Vec::new()),
            highest_map,
            failed: OnceLock::new(),
        })
    }

    /// Appends one page and says where it is. Waits for the file only when a chunk is full.
    pub(crate) fn append(&self, map: MapId, body: PageBody<'_>) -> Result<PagePosition, WriteError> {
        // Before the lock is taken: several threads compress at once.
        let mut packer = match self.compression {
            Compression::None => None,
            Compression::Lzf => Some(self.idle_packers().pop().unwrap_or_else(Packer::new)),
        };
        let packed = packer.as_mut().and_then(|packer| packer.pack(body));
        let mut open = self.lock_open()?;
        let position = open.append(map, body, packed)?;
        self.idle_packers().extend(packer);
        if open.bytes.len() + open.toc.len() * 8 >= self.chunk_bytes {
            // Until the layout is written every chunk holds pages of other maps, so there is one to point at.
            let decoy = open.decoy_root.ok_or(WriteError::TooLong)?;
            self.close_chunk(open, decoy)?;
        }
        Ok(position)
    }

    fn idle_packers(&self) -> MutexGuard<'_, Vec<Packer>> {
        self.packers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the layout as the last chunk's root, and that chunk. `entries` gets the lines of the finished
    /// chunks and returns the layout's root, appended through the function that it is given.
    pub(crate) fn finish(
        &self,
        layout: impl FnOnce(
            &[(u32, String)],
            &mut dyn FnMut(PageBody<'_>) -> Result<PagePosition, WriteError>,
        ) -> Result<PagePosition, WriteError>,
    ) -> Result<LastChunk, WriteError> {
        let mut open = self.lock_open()?;
        let finished = std::mem::take(&mut open.finished);
        let root = layout(&finished, &mut |body| open.append(LAYOUT_MAP, body, None))?;
        let (id, block) = (open.id, open.block);
        let end_block = self.close_chunk(open, root)?;
        Ok(LastChunk { id, block, end_block })
    }

    /// Runs `action` on the file, whose chunks are all written.
    pub(crate) fn with_file<T>(
        &self,
        doing: &'static str,
        action: impl FnOnce(&mut File) -> std::io::Result<T>,
    ) -> Result<T, WriteError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.writeback
            .finish()
            .and_then(|()| action(&mut file.file))
            .map_err(|source| self.fail(doing, source))
    }

    fn fail(&self, doing: &'static str, source: std::io::Error) -> WriteError {
        let failure = Failure {
            doing,
            kind: source.kind(),
            code: source.raw_os_error(),
        };
        // The first failure stays: the ones after it follow from it.
        let _ = self.failed.set(failure);
        WriteError::Io {
            doing,
            path: self.path.clone(),
            source,
        }
    }

    fn lock_open(&self) -> Result<MutexGuard<'_, OpenChunk>, WriteError> {
        let open = self.open.lock().map_err(|_| WriteError::Broken)?;
        if let Some(failure) = self.failed.get() {
            return Err(WriteError::Io {
                doing: failure.doing,
                path: self.path.clone(),
                source: failure.again(),
            });
        }
        Ok(open)
    }

    /// Completes the chunk with `root` as its root and writes it; returns the block after it.
    ///
    /// A chunk that is not the last gets a `root` that cannot be a layout page. With root 0, H2 would take a file
    /// that lost its last chunk for an empty database; so it says that the file is damaged.
    fn close_chunk(
        &self,
        mut open: MutexGuard<'_, OpenChunk>,
        root: PagePosition,
    ) -> Result<u64, WriteError> {
        let next_block = open.complete(root, self.highest_map).ok_or(WriteError::TooLong)?;
        let start = (next_block.1) * BLOCK_BYTES as u64;
        let spare = std::mem::take(&mut open.spare);
        let full = std::mem::replace(&mut open.bytes, spare);
        open.bytes.clear();
        open.bytes.resize(CHUNK_HEADER_BYTES, 0);
        // The file is locked before the buffer is let go, so that at most one full chunk waits beside it.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        drop(open);
        let written = file
            .file
            .seek(SeekFrom::Start(start))
            .and_then(|_| file.file.write_all(&full));
        file.writeback.written(full.len() as u64);
        drop(file);
        if let Err(source) = written {
            return Err(self.fail("write", source));
        }
        let mut open = self.open.lock().map_err(|_| WriteError::Broken)?;
        if open.spare.capacity() == 0 {
            open.spare = full;
        }
        Ok(next_block.0)
    }
}

impl OpenChunk {
    fn append(
        &mut self,
        map: MapId,
        body: PageBody<'_>,
        packed: Option<Packed<'_>>,
    ) -> Result<PagePosition, WriteError> {
        let appended = page::append(&mut self.bytes, self.id, self.toc.len(), map, body, packed);
        let appended = appended.ok_or(WriteError::TooLong)?;
        self.toc.push(appended.toc_entry);
        self.decoded_bytes += appended.decoded_length;
        if map != LAYOUT_MAP && self.decoy_root.is_none() {
            self.decoy_root = Some(appended.position);
        }
        Ok(appended.position)
    }

    /// Adds table of contents, footer and header, and turns to the next chunk: its block and this one's.
    fn complete(&mut self, root: PagePosition, highest_map: MapId) -> Option<(u64, u64)> {
        let toc_offset = i32::try_from(self.bytes.len()).ok()?;
        let pages = self.toc.len();
        for entry in self.toc.drain(..) {
            self.bytes.extend_from_slice(&entry.to_be_bytes());
        }
        let blocks = (self.bytes.len() + CHUNK_FOOTER_BYTES).div_ceil(BLOCK_BYTES);
        let chunk_length = i32::try_from(blocks * BLOCK_BYTES).ok()?;
        self.bytes
            .resize(chunk_length.unsigned_abs() as usize - CHUNK_FOOTER_BYTES, 0);
        let (id, block, max, root) = (self.id, self.block, self.decoded_bytes, root.0);
        let footer = encode::with_fletcher(format!("chunk:{id:x},block:{block:x},version:{id:x}"));
        self.bytes
            .extend_from_slice(format!("{footer:<127}\n").as_bytes());
        let line = format!(
            "chunk:{id:x},block:{block:x},len:{blocks:x},map:{highest_map:x},max:{max:x},pages:{pages:x},root:{root:x},time:0,version:{id:x},toc:{toc_offset:x}"
        );
        self.bytes[..CHUNK_HEADER_BYTES].copy_from_slice(format!("{line:<255}\n").as_bytes());
        self.finished.push((id, line));
        self.id += 1;
        self.block += blocks as u64;
        self.decoded_bytes = 0;
        self.decoy_root = None;
        Some((self.block, block))
    }
}
