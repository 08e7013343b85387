//! Opens arbitrary bytes as a database and reads all there is.
//!
//! `cargo +nightly fuzz run read_database -- -rss_limit_mb=512 -timeout=10`, with copies of `tests/data/*.mv.db` as
//! the first corpus. What is flipped in pages reaches the decoders, because page contents have no checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metaferry_h2_file::{Database, OlderVersion, OpenOptions, ReadError};

fuzz_target!(|bytes: &[u8]| {
    for older_version in [OlderVersion::Refuse, OlderVersion::Accept] {
        let options = OpenOptions {
            older_version,
            ..OpenOptions::default()
        };
        if let Ok(database) = options.open_bytes(bytes) {
            let _ = read_all(&database);
        }
    }
});

fn read_all(database: &Database) -> Result<(), ReadError> {
    for table in database.tables() {
        database.row_count(table)?;
        let mut rows = database.rows(table);
        while rows.next_row()?.is_some() {}
        if let Some(row) = database.row_by_key(table, 1)? {
            row.row()?;
        }
    }
    for index in database.indexes() {
        if let Some(mut entries) = database.index_entries(index)? {
            while entries.next_entry()?.is_some() {}
        }
    }
    Ok(())
}
