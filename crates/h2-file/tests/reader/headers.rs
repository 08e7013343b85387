//! Files with any byte of their headers changed give the state that they hold or an error: never rows that no committed
//! version held.
//!
//! Of what lies behind a header's text some bytes, and of one file all; of all with
//! `METAFERRY_TEST_EVERY_HEADER_BYTE=1` (some minutes).

use metaferry_h2_file::{Closure, Health, OlderVersion, OpenOptions};

use crate::committed::{BLOCK, opened, subset};
use crate::support::{FIXTURES, bytes, open, options};

/// One bit of a byte, and all of them.
const MASKS: [u8; 2] = [0x01, 0xFF];

/// How many were refused, and how many opened.
#[derive(Debug, Default)]
struct Count {
    refused: u64,
    same: u64,
    older: u64,
}

/// The files side by side, each on a thread of its own.
fn over(names: impl Iterator<Item = &'static str>, one: impl Fn(&str) -> Count + Sync) -> Count {
    let mut total = Count::default();
    std::thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = names.map(|name| scope.spawn(move || one(name))).collect();
        for thread in running {
            let Count { refused, same, older } = thread.join().unwrap();
            total.refused += refused;
            total.same += same;
            total.older += older;
        }
    });
    total
}

/// Nothing reads what lies behind the text of a header. Every so manieth byte of it is changed.
fn padding_stride(name: &str) -> usize {
    if std::env::var_os("METAFERRY_TEST_EVERY_HEADER_BYTE").is_some() {
        return 1;
    }
    match name {
        "all_types" => 1,
        _ => 61,
    }
}

fn changed_headers(name: &str) -> Count {
    let mut count = Count::default();
    let whole = bytes(name);
    let intact = open(name).facts().clone();
    let is_encrypted = name == "encrypted";
    // An encrypted file has a block of its own before the two headers, and no padding in them.
    let blocks = if is_encrypted { 3 } else { 2 };
    for at in 0..blocks * BLOCK {
        let is_padding = if is_encrypted { at >= 64 } else { whole[at] == 0 };
        if is_padding && at % padding_stride(name) != 0 {
            continue;
        }
        // A byte of one copy, and the same byte of both.
        let first = usize::from(is_encrypted);
        let twin = (at / BLOCK == first).then_some(at + BLOCK);
        let mut changes = vec![(MASKS[1], None)];
        if !is_padding || is_encrypted {
            changes.push((MASKS[0], None));
            changes.extend(twin.map(|_| (MASKS[at % 2], twin)));
        }
        for (mask, twin) in changes {
            let mut changed = whole.clone();
            for place in std::iter::once(at).chain(twin) {
                changed[place] ^= mask;
            }
            for older_version in [OlderVersion::Refuse, OlderVersion::Accept] {
                let options = OpenOptions {
                    older_version,
                    ..options()
                };
                let Ok(database) = options.open_bytes(changed.clone()) else {
                    count.refused += 1;
                    continue;
                };
                let facts = database.facts();
                // The same version is the same rows: nothing but headers was changed.
                assert_eq!(
                    (facts.version, facts.chunk, facts.format, facts.health),
                    (intact.version, intact.chunk, intact.format, intact.health),
                    "{name}: byte {at} ^ {mask:#x}, twin {twin:?}"
                );
                count.same += 1;
                break;
            }
        }
    }
    count
}

#[test]
fn no_changed_byte_of_a_header_makes_another_database() {
    let count = over(FIXTURES.into_iter(), changed_headers);
    assert!(count.refused > 2_500 && count.same > 12_000, "{count:?}");
}

/// Bytes of the newest chunk's header, in small files all, and some of the older ones', which are many.
fn changed_chunks(name: &str) -> Count {
    let mut count = Count::default();
    let whole = bytes(name);
    let (intact, full) = opened(&whole, OlderVersion::Refuse).unwrap();
    let headers: Vec<usize> = (2 * BLOCK..whole.len())
        .step_by(BLOCK)
        .filter(|&at| whole[at..].starts_with(b"chunk:"))
        .collect();
    assert!(!headers.is_empty(), "{name}");
    for start in headers {
        let length = whole[start..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let is_newest = whole[start..].starts_with(format!("chunk:{:x},", intact.chunk).as_bytes());
        let stride = match is_newest {
            true if whole.len() < 100_000 => 1,
            true => 5,
            false => 61,
        };
        for at in (start..start + length).step_by(stride) {
            let mask = MASKS[at % 2];
            for way in [OlderVersion::Refuse, OlderVersion::Accept] {
                let place = format!("{name}: byte {at} ^ {mask:#x}, {way:?}");
                let mut changed = whole.clone();
                changed[at] ^= mask;
                let Ok((facts, found)) = opened(&changed, way) else {
                    count.refused += 1;
                    continue;
                };
                if facts.version == intact.version {
                    assert!(found == full, "{place}: other rows of the same version");
                    count.same += 1;
                    break;
                }
                assert!(facts.version < intact.version, "{place}");
                assert!(
                    way == OlderVersion::Accept || intact.closure == Closure::Unclean,
                    "{place}: an older version, and nobody is told"
                );
                assert!(facts.health != Health::Closed, "{place}: {facts:?}");
                subset(&place, name, &found, &full);
                count.older += 1;
            }
        }
    }
    count
}

#[test]
fn no_changed_byte_of_a_chunk_header_makes_rows_that_nobody_committed() {
    // Nobody sees where in an encrypted file they are.
    let plain = FIXTURES.into_iter().filter(|name| *name != "encrypted");
    let count = over(plain, changed_chunks);
    assert!(
        count.refused > 500 && count.same > 500 && count.older > 20,
        "{count:?}"
    );
}
