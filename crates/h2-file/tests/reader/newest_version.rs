//! Which version is opened, and that a loss is never silent.

use metaferry_h2_file::{
    Closure, DatabaseWriter, Encryption, FilePassword, OlderVersion, OpenOptions, ReadError, Unsupported,
    WriteOptions,
};

use crate::support::{FIXTURES, bytes, open, options};

const BLOCK: usize = 4096;

fn open_bytes(bytes: &[u8]) -> Result<metaferry_h2_file::Database, ReadError> {
    options().open_bytes(bytes.to_vec())
}

fn open_older(bytes: &[u8]) -> Result<metaferry_h2_file::Database, ReadError> {
    OpenOptions {
        older_version: OlderVersion::Accept,
        ..options()
    }
    .open_bytes(bytes.to_vec())
}

/// Offset of the newest chunk of a cleanly closed file: the last `block` of its header.
fn newest_block(bytes: &[u8]) -> usize {
    let header = String::from_utf8_lossy(&bytes[..200]).into_owned();
    let block = header
        .split(',')
        .find_map(|entry| entry.strip_prefix("block:"))
        .unwrap();
    usize::from_str_radix(block, 16).unwrap() * BLOCK
}

#[test]
fn a_clean_file_without_its_newest_chunk_is_refused() {
    for name in ["churn", "schema", "lobs", "v2_3_232"] {
        let whole = bytes(name);
        let cut = &whole[..newest_block(&whole)];
        let error = open_bytes(cut).unwrap_err();
        assert!(
            matches!(error, ReadError::NewestVersionLost { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn no_cut_makes_a_database_of_fewer_rows() {
    for name in FIXTURES {
        let whole = bytes(name);
        let tables = open(name).tables().len();
        for blocks in 0..whole.len() / BLOCK {
            for extra in [0, 1, 2048] {
                let cut = &whole[..blocks * BLOCK + extra];
                match open_bytes(cut) {
                    Err(_) => {}
                    Ok(database) => {
                        // A killed process leaves older versions; they may be opened, but never as if empty.
                        assert_eq!(
                            database.facts().closure,
                            Closure::Unclean,
                            "{name} cut to {}",
                            cut.len()
                        );
                        assert!(
                            !database.tables().is_empty() || tables == 0,
                            "{name} cut to {}",
                            cut.len()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn one_good_header_block_is_enough() {
    let mut bytes = bytes("churn");
    bytes[..BLOCK].fill(0);
    let database = open_bytes(&bytes).unwrap();
    assert_eq!(database.facts().version, open("churn").facts().version);
    bytes[BLOCK..2 * BLOCK].fill(0xAA);
    assert!(matches!(open_bytes(&bytes).unwrap_err(), ReadError::NotH2 { .. }));
}

#[test]
fn garbage_behind_the_last_chunk_is_tolerated() {
    for name in ["churn", "unclean"] {
        let mut bytes = bytes(name);
        bytes.extend(std::iter::repeat_n(0x5A, 40 * BLOCK + 17));
        let database = open_bytes(&bytes).unwrap();
        assert_eq!(database.facts().version, open(name).facts().version);
        assert!(crate::support::read_everything(&database).is_ok());
    }
}

#[test]
fn a_torn_newest_chunk_of_an_unclean_file_is_reported() {
    let whole = bytes("uncommitted");
    let newest = open("uncommitted").facts().version;
    // Without its last bytes the newest chunk has no footer.
    let error = open_bytes(&whole[..whole.len() - BLOCK]);
    let facts = match error {
        Ok(database) => database.facts().clone(),
        Err(ReadError::NewestVersionLost { version, .. }) => {
            assert_eq!(version, newest);
            open_older(&whole[..whole.len() - BLOCK]).unwrap().facts().clone()
        }
        Err(error) => panic!("{error}"),
    };
    assert!(facts.version < newest);
    assert_eq!(facts.passed_over[0].version, newest);
}

#[test]
fn a_lost_older_chunk_is_an_error_and_not_an_older_database() {
    let mut refused = 0;
    let whole = bytes("churn");
    for block in 2..whole.len() / BLOCK {
        if whole[block * BLOCK..].starts_with(b"chunk:") && block * BLOCK != newest_block(&whole) {
            let mut damaged = whole.clone();
            damaged[block * BLOCK..block * BLOCK + 64].fill(b'x');
            match open_bytes(&damaged) {
                // A chunk without live pages is not needed.
                Ok(database) => assert_eq!(database.facts().version, open("churn").facts().version),
                Err(error) => {
                    assert!(matches!(error, ReadError::NewestVersionDamaged { .. }), "{error}");
                    assert!(error.to_string().contains("chunk"), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0);
}

/// A file of this crate's writer, of several chunks.
fn bulk_written() -> Vec<u8> {
    let source = open("churn");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bulk.mv.db");
    let options = WriteOptions {
        chunk_bytes: 8192,
        ..WriteOptions::default()
    };
    let writer = DatabaseWriter::create(&path, source.definition().clone(), options).unwrap();
    for (position, table) in source.tables().iter().enumerate() {
        let mut target = writer.table(position).unwrap();
        let mut rows = source.rows(table);
        while let Some(row) = rows.next_row().unwrap() {
            target.push(&row.values).unwrap();
        }
        target.finish().unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn a_bulk_written_file_opens_whole_or_not_at_all() {
    let whole = bulk_written();
    let chunks = open_bytes(&whole).unwrap().facts().chunks;
    assert!(chunks >= 4, "{chunks}");
    for block in 0..whole.len() / BLOCK {
        let cut = &whole[..block * BLOCK];
        assert!(open_bytes(cut).is_err(), "cut to {block} blocks");
        // Even whoever asks for older versions gets none: bulk-written chunks but the last hold no version.
        assert!(open_older(cut).is_err(), "cut to {block} blocks");
        let mut header_lost = whole.clone();
        if header_lost[block * BLOCK..].starts_with(b"chunk:") {
            header_lost[block * BLOCK..(block + 1) * BLOCK].fill(0);
            assert!(
                open_bytes(&header_lost).is_err(),
                "without the chunk at block {block}"
            );
            assert!(
                open_older(&header_lost).is_err(),
                "without the chunk at block {block}"
            );
        }
    }
}

#[test]
fn an_encrypted_file_wants_its_password() {
    let encrypted = bytes("encrypted");
    let open = |password: Option<&str>| {
        let password = password.map(FilePassword::new);
        OpenOptions {
            password,
            ..OpenOptions::default()
        }
        .open_bytes(encrypted.clone())
    };
    assert_eq!(open(Some("filepw")).unwrap().facts().encryption, Encryption::Aes);
    assert!(matches!(
        open(None).unwrap_err(),
        ReadError::Unsupported(Unsupported::PasswordMissing)
    ));
    for wrong in ["", "filepw ", "FILEPW"] {
        let error = open(Some(wrong)).unwrap_err();
        assert!(matches!(error, ReadError::WrongPassword), "{error}");
    }
    assert_eq!(
        crate::support::open("schema").facts().encryption,
        Encryption::None
    );
}

#[test]
fn what_is_not_read_is_named() {
    let mut page_store = vec![0; 3 * BLOCK];
    page_store[..14].copy_from_slice(b"-- H2 0.5/B --");
    assert!(matches!(
        open_bytes(&page_store).unwrap_err(),
        ReadError::Unsupported(Unsupported::PageStore)
    ));
    for nothing in [&b""[..], b"H:2", &[0; 8192], b"SQLite format 3\0"] {
        assert!(matches!(
            open_bytes(nothing).unwrap_err(),
            ReadError::NotH2 { .. }
        ));
    }
}

#[test]
fn an_unknown_format_is_refused_by_name() {
    let text = "H:2,block:2,blockSize:1000,chunk:1,created:18000000000,format:4,version:1";
    let line = format!("{text},fletcher:{:x}\n", fletcher32(text.as_bytes()));
    let mut bytes = vec![0; 3 * BLOCK];
    bytes[..line.len()].copy_from_slice(line.as_bytes());
    bytes[BLOCK..BLOCK + line.len()].copy_from_slice(line.as_bytes());
    assert!(matches!(
        open_bytes(&bytes).unwrap_err(),
        ReadError::Unsupported(Unsupported::Format(4))
    ));
}

/// The checksum again, in its plainest form; short texts need no intermediate folding.
fn fletcher32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (0xFFFF_u64, 0xFFFF_u64);
    for pair in bytes.chunks(2) {
        low += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
        high += low;
    }
    let fold = |sum: u64| (sum & 0xFFFF) + (sum >> 16);
    (low, high) = (fold(fold(low)), fold(fold(high)));
    u32::try_from(high << 16 | low).unwrap()
}

#[test]
fn a_missing_file_is_named() {
    let error = metaferry_h2_file::Database::open("no/such/file.mv.db").unwrap_err();
    assert_eq!(error.to_string(), "cannot open no/such/file.mv.db");
    assert!(matches!(
        metaferry_h2_file::Database::open(".").unwrap_err(),
        ReadError::Open { .. }
    ));
}
