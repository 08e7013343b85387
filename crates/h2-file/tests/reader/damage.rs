//! Damaged copies of the fixtures give errors or values: no panic, no endless loop, no allocation by a number that
//! the file merely claims.
//!
//! Page contents carry no checksum in this format, so most flipped bytes reach the decoders.

use metaferry_h2_file::{OlderVersion, OpenOptions};
use proptest::prelude::*;

use crate::support::{FIXTURES, bytes, options, read_everything};

#[derive(Debug, Clone)]
enum Damage {
    /// One byte gets another value.
    Flip { at: f64, with: u8 },
    /// A run of bytes is set to one value.
    Fill { at: f64, length: usize, with: u8 },
    /// A run of bytes is copied over another place.
    Splice { from: f64, to: f64, length: usize },
    /// A run of bytes is removed, which moves all that follows.
    Remove { at: f64, length: usize },
    /// The end is lost.
    Cut { at: f64 },
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0.0..1.0;
    prop_oneof![
        12 => (place.clone(), 1_u8..).prop_map(|(at, with)| Damage::Flip { at, with }),
        2 => (place.clone(), 1_usize..64, any::<u8>()).prop_map(|(at, length, with)| Damage::Fill { at, length, with }),
        2 => (place.clone(), place.clone(), 1_usize..512)
            .prop_map(|(from, to, length)| Damage::Splice { from, to, length }),
        1 => (place.clone(), prop_oneof![Just(1), Just(4096)]).prop_map(|(at, length)| Damage::Remove { at, length }),
        1 => place.prop_map(|at| Damage::Cut { at }),
    ]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a fraction of a length is a place in it"
)]
fn place(bytes: &[u8], at: f64) -> usize {
    (bytes.len() as f64 * at) as usize
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    match *damage {
        Damage::Flip { at, with } => {
            let at = place(bytes, at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= with;
            }
        }
        Damage::Fill { at, length, with } => {
            let at = place(bytes, at);
            let end = bytes.len().min(at + length);
            bytes[at..end].fill(with);
        }
        Damage::Splice { from, to, length } => {
            let (from, to) = (place(bytes, from), place(bytes, to));
            let length = length.min(bytes.len() - from).min(bytes.len() - to);
            bytes.copy_within(from..from + length, to);
        }
        Damage::Remove { at, length } => {
            let at = place(bytes, at);
            let end = bytes.len().min(at + length);
            bytes.drain(at..end);
        }
        Damage::Cut { at } => bytes.truncate(place(bytes, at)),
    }
}

/// Reads all there is in both ways of opening; what comes out does not matter.
fn survives(bytes: &[u8]) {
    for older_version in [OlderVersion::Refuse, OlderVersion::Accept] {
        if let Ok(database) = (OpenOptions {
            older_version,
            ..options()
        })
        .open_bytes(bytes.to_vec())
        {
            let _ = read_everything(&database);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_give_errors_or_values(
        fixture in 0..FIXTURES.len(),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let mut bytes = bytes(FIXTURES[fixture]);
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        survives(&bytes);
    }

    #[test]
    fn bytes_behind_a_good_header_give_errors_or_values(noise in prop::collection::vec(any::<u8>(), 0..8192)) {
        let mut bytes = bytes("all_types");
        bytes.truncate(8192);
        bytes.extend(noise);
        survives(&bytes);
    }
}

#[test]
fn every_flipped_byte_of_a_small_file_gives_errors_or_values() {
    let whole = bytes("index_order");
    let newest_chunk = 2 * 4096..whole.len();
    // A stride that meets every kind of field; all bytes would take minutes in a debug build.
    for at in newest_chunk.step_by(29) {
        for with in [0x01, 0x80, 0xFF] {
            let mut damaged = whole.clone();
            damaged[at] ^= with;
            survives(&damaged);
        }
    }
}
