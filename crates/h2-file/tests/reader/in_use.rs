//! A file that changes after it was opened: what was overwritten is noticed, what was only added is not in the way.
//! That H2 itself does this is shown in `hot_read.rs`; here each way of it stands alone.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use metaferry_h2_file::{Database, ReadError};

use crate::support::{bytes, options, read_everything};

const BLOCK: u64 = 4096;

struct InUse {
    _folder: tempfile::TempDir,
    path: PathBuf,
    database: Database,
    /// First block of the newest chunk, and how many it has.
    block: u64,
    blocks: u64,
}

impl InUse {
    /// A fixture whose newest chunk has several blocks, opened.
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{name}.mv.db"));
        let whole = bytes(name);
        std::fs::write(&path, &whole).unwrap();
        let database = options().open(&path).unwrap();
        let number = |text: &str, key: &str| {
            let value = text
                .split([',', ' ', '\n'])
                .find_map(|entry| entry.strip_prefix(key))
                .unwrap();
            u64::from_str_radix(value, 16).unwrap()
        };
        let block = number(&String::from_utf8_lossy(&whole[..128]), "block:");
        let at = usize::try_from(block * BLOCK).unwrap();
        let blocks = number(&String::from_utf8_lossy(&whole[at..at + 128]), "len:");
        assert!(blocks > 3, "{name}: {blocks}");
        Self {
            _folder: folder,
            path,
            database,
            block,
            blocks,
        }
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let file = std::fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    /// A chunk of one block that H2 might write at `block`; its end need not have arrived.
    fn begin_chunk(&self, block: u64) {
        let header = format!(
            "chunk:3e7,block:{block:x},len:1,map:9,max:400,pages:1,root:f9c0000086,time:1,version:3e7,toc:200   \n"
        );
        self.write(block * BLOCK, header.as_bytes());
    }

    #[track_caller]
    fn is_overwritten(&self) {
        let error = self.database.confirm().unwrap_err();
        assert!(matches!(error, ReadError::Overwritten { .. }), "{error}");
    }
}

const FIXTURES: [&str; 3] = ["churn", "v1_4_200", "v2_4_240"];

#[test]
fn a_file_that_only_grows_is_read_as_it_was() {
    for name in FIXTURES {
        let in_use = InUse::new(name);
        let end = std::fs::metadata(&in_use.path).unwrap().len();
        in_use.begin_chunk(end / BLOCK);
        in_use.write(0, &[0; 2 * 4096]);
        assert!(read_everything(&in_use.database).is_ok(), "{name}");
        in_use.database.confirm().unwrap();
    }
}

#[test]
fn a_chunk_that_lost_its_beginning_gives_no_row_more() {
    for name in FIXTURES {
        let in_use = InUse::new(name);
        in_use.begin_chunk(in_use.block);
        let error = read_everything(&in_use.database).unwrap_err();
        assert!(matches!(error, ReadError::Overwritten { .. }), "{name}: {error}");
        in_use.is_overwritten();
    }
}

#[test]
fn a_chunk_that_another_one_begins_in_is_noticed_at_each_of_its_blocks() {
    for name in FIXTURES {
        for inner in 1..InUse::new(name).blocks {
            let in_use = InUse::new(name);
            in_use.database.confirm().unwrap();
            in_use.begin_chunk(in_use.block + inner);
            in_use.is_overwritten();
        }
    }
}

#[test]
fn a_chunk_that_lost_its_end_is_noticed() {
    for name in FIXTURES {
        let in_use = InUse::new(name);
        in_use.write((in_use.block + in_use.blocks) * BLOCK - 100, b"chunk:3e7,");
        in_use.is_overwritten();

        let in_use = InUse::new(name);
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&in_use.path)
            .unwrap();
        file.set_len((in_use.block + 1) * BLOCK).unwrap();
        in_use.is_overwritten();
        let error = read_everything(&in_use.database).unwrap_err();
        assert!(matches!(error, ReadError::Overwritten { .. }), "{name}: {error}");
    }
}

#[test]
fn a_damaged_page_of_a_file_that_nobody_overwrote_is_called_damaged() {
    let in_use = InUse::new("churn");
    in_use.write(in_use.block * BLOCK + 5000, &[0xAA; 3000]);
    let error = read_everything(&in_use.database).unwrap_err();
    assert!(!matches!(error, ReadError::Overwritten { .. }), "{error}");
    in_use.database.confirm().unwrap();
}

/// H2 tears a version now and then: a row refers to what its version lacks. Of a file that goes on changing that is no
/// damage, since a newer version is there.
#[test]
fn an_error_in_a_file_that_is_written_to_asks_for_a_newer_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unclean.mv.db");
    let whole = bytes("unclean");
    std::fs::write(&path, &whole).unwrap();
    let database = options().open(&path).unwrap();
    assert!(read_everything(&database).is_ok());
    database.confirm().unwrap();
    // A page of rows, recognised by one of them.
    let at = whole.windows(6).position(|bytes| bytes == b"acc250").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xFF; 6], u64::try_from(at).unwrap() - 1)
        .unwrap();
    let error = read_everything(&database).unwrap_err();
    assert!(matches!(error, ReadError::Torn { .. }), "{error}");
    assert!(matches!(database.confirm().unwrap_err(), ReadError::Torn { .. }));
}
