//! Which version of the database is the newest, and whether it can be trusted.
//!
//! H2 itself goes back to an older version when the newest one is damaged, without a word; a file that lost its
//! end then reads as an older, perhaps empty database. Here a loss is an error unless the caller asks for the older
//! version, and a newer chunk that was cut off (the ordinary trace of a crash) is reported.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::chunk::Chunk;
use crate::error::{Malformed, ReadError};
use crate::file_header::{self, Agreement, Closure, FileHeader, NamedChunk};
use crate::reader::layout::{self, Maps};
use crate::reader::scan::{ChunkIndex, Scan};
use crate::source::Source;
use crate::store::Store;

/// Versions that are tried in [`OlderVersion::Accept`].
const VERSIONS_TRIED_MAX: usize = 1 << 14;

/// What to do when the newest version cannot be used but an older one can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OlderVersion {
    /// Fail, naming what is lost.
    #[default]
    Refuse,
    /// Open the older one, as H2 does; [`Facts::passed_over`](crate::Facts::passed_over) says what is lost.
    Accept,
}

/// How the opened version was come by, and so how much of the database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The file was closed in order; this is the version that its header names.
    Closed,
    /// The file was not closed: it is in use, or its process was killed. This is the newest version in it, complete.
    Recovered,
    /// The same, but a still newer version is not complete: it was being written when the file was read, or when the
    /// process ended. [`Facts::passed_over`](crate::Facts::passed_over) names it.
    FellBack,
    /// A version that had been complete is lost. This is what can still be read, because
    /// [`OlderVersion::Accept`] asked for it; [`Facts::passed_over`](crate::Facts::passed_over) says what is lost.
    Salvaged,
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "cleanly closed",
            Self::Recovered => "not closed, newest version complete",
            Self::FellBack => "not closed, an incomplete newer version passed over",
            Self::Salvaged => "damaged, salvaged from an older version",
        })
    }
}

/// A version newer than the opened one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Chunk id.
    pub chunk: u32,
    /// Version.
    pub version: u64,
    /// First block.
    pub block: u64,
    /// Why it was not used.
    pub why: String,
}

impl std::fmt::Display for PassedOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "version {} (chunk {} at block {}): {}",
            self.version, self.chunk, self.block, self.why
        )
    }
}

/// The version that was chosen.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) store: Store,
    pub(crate) maps: Maps,
    pub(crate) header: FileHeader,
    pub(crate) agreement: Agreement,
    pub(crate) chunk: Chunk,
    pub(crate) health: Health,
    pub(crate) passed_over: Vec<PassedOver>,
    /// Bytes behind the last whole chunk; 0 where the header was believed.
    pub(crate) trailing_bytes: u64,
}

pub(crate) fn find(source: Source, older: OlderVersion) -> Result<Newest, ReadError> {
    let (header, agreement) = file_header::read(&source)?;
    let mut store = Store::new(source, header.format);
    let mut index = ChunkIndex::default();

    // After an orderly close the header is right, whatever follows in the file.
    let mut named_lost = None;
    if let (Closure::Clean, Agreement::Both, Some(named)) = (header.closure, agreement, header.newest) {
        match named_chunk(&store, named)? {
            Ok(chunk) => match layout::load(&mut store, chunk.clone(), &mut index) {
                Ok(maps) => {
                    return Ok(Newest {
                        store,
                        maps,
                        header,
                        agreement,
                        chunk,
                        health: Health::Closed,
                        passed_over: Vec::new(),
                        trailing_bytes: 0,
                    });
                }
                Err(error @ (ReadError::Io { .. } | ReadError::Overwritten { .. })) => return Err(error),
                Err(error) if older == OlderVersion::Refuse => return Err(damaged(&chunk, &error)),
                Err(_) => {}
            },
            Err(why) => named_lost = Some(why),
        }
    }
    if let (Some(why), Some(named), OlderVersion::Refuse) = (named_lost, header.newest, older) {
        return Err(lost(named, why));
    }

    let scan = index.scan(&store.source, store.format)?;
    let (whole, trailing_bytes) = (scan.whole.clone(), scan.trailing_bytes);
    if let (Some(named), OlderVersion::Refuse) = (header.newest, older) {
        refuse_if_behind(named, &whole)?;
    }
    let mut passed_over = torn_newer_than_whole(scan);
    let torn = passed_over.len();
    passed_over.extend(named_but_lost(header.newest, &whole, &passed_over));
    let mut last_error = None;
    for chunk in whole.iter().take(VERSIONS_TRIED_MAX) {
        let error = match load_untouched(&mut store, chunk, &mut index) {
            Ok(maps) => {
                let named = header.newest;
                let health =
                    if passed_over.len() > torn || named.is_some_and(|named| named.version > chunk.version) {
                        Health::Salvaged
                    } else if torn > 0 {
                        Health::FellBack
                    } else if header.closure == Closure::Clean && named.is_some_and(|named| named.is(chunk)) {
                        Health::Closed
                    } else {
                        Health::Recovered
                    };
                return Ok(Newest {
                    store,
                    maps,
                    header,
                    agreement,
                    chunk: chunk.clone(),
                    health,
                    passed_over,
                    trailing_bytes,
                });
            }
            Err(error @ (ReadError::Io { .. } | ReadError::Overwritten { .. })) => return Err(error),
            Err(error) if older == OlderVersion::Refuse => return Err(damaged(chunk, &error)),
            Err(error) => error,
        };
        passed_over.push(PassedOver {
            chunk: chunk.id,
            version: chunk.version,
            block: chunk.block,
            why: error.to_string(),
        });
        last_error = Some(error);
    }
    Err(ReadError::NoVersion {
        why: match last_error {
            Some(error) => format!(
                "{} whole chunks were tried; the last failed with: {error}",
                passed_over.len()
            ),
            None => "no whole chunk was found".to_owned(),
        },
    })
}

/// Loads the version whose newest chunk is `chunk`. Nothing says that no later version was here, whose chunks took
/// the place of this one's; so all of them are looked at.
fn load_untouched(store: &mut Store, chunk: &Chunk, index: &mut ChunkIndex) -> Result<Maps, ReadError> {
    let maps = layout::load(store, chunk.clone(), index)?;
    match store.overwritten_chunk()? {
        None => Ok(maps),
        Some(overwritten) => Err(ReadError::Chunk {
            chunk: overwritten.id,
            version: overwritten.version,
            block: overwritten.block,
            problem: Malformed::new(0, "a part of it was overwritten"),
        }),
    }
}

fn named_chunk(store: &Store, named: NamedChunk) -> Result<Result<Chunk, String>, ReadError> {
    let missing = |what: &str| Ok(Err(format!("block {} holds no such chunk: {what}", named.block)));
    let chunk = match Chunk::read_header(&store.source, named.block)? {
        Ok(chunk) => chunk,
        Err(problem) => return missing(problem.what),
    };
    if !named.is(&chunk) {
        return missing("another chunk is here");
    }
    match chunk.check_footer(&store.source, store.format)? {
        Ok(()) => Ok(Ok(chunk)),
        Err(problem) => missing(problem.what),
    }
}

/// A header may point to an old chunk, never to one newer than all that is there.
fn refuse_if_behind(named: NamedChunk, whole: &[Chunk]) -> Result<(), ReadError> {
    match whole.first() {
        Some(newest) if newest.version >= named.version => Ok(()),
        Some(newest) => Err(lost(
            named,
            format!("the newest whole chunk is version {}", newest.version),
        )),
        None => Err(lost(named, "there is no whole chunk".to_owned())),
    }
}

/// What the header names, should it be newer than all that is there and not known as torn.
fn named_but_lost(named: Option<NamedChunk>, whole: &[Chunk], torn: &[PassedOver]) -> Option<PassedOver> {
    let named = named?;
    let newest = whole.first().map_or(0, |chunk| chunk.version);
    (named.version > newest && !torn.iter().any(|torn| torn.version >= named.version)).then(|| PassedOver {
        chunk: named.chunk,
        version: named.version,
        block: named.block,
        why: "the header names it, and it is not there".to_owned(),
    })
}

fn lost(named: NamedChunk, why: String) -> ReadError {
    ReadError::NewestVersionLost {
        chunk: named.chunk,
        version: named.version,
        why,
    }
}

fn damaged(chunk: &Chunk, error: &ReadError) -> ReadError {
    ReadError::NewestVersionDamaged {
        chunk: chunk.id,
        version: chunk.version,
        block: chunk.block,
        why: error.to_string(),
    }
}

fn torn_newer_than_whole(scan: &Scan) -> Vec<PassedOver> {
    let newest = scan.whole.first().map_or(0, |chunk| chunk.version);
    let newer = scan.torn.iter().filter(|torn| torn.chunk.version > newest);
    newer
        .map(|torn| PassedOver {
            chunk: torn.chunk.id,
            version: torn.chunk.version,
            block: torn.chunk.block,
            why: torn.problem.what.to_owned(),
        })
        .collect()
}
