//! A record in memory or in a run: two lengths, the key, the payload.

/// Lengths of ordinary records take two bytes each.
const SHORT_HEADER_BYTES: usize = 4;
/// Longer ones have this instead, and four bytes each after it.
const LONG: u16 = u16::MAX;
const LONG_HEADER_BYTES: usize = 12;

/// The parts of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) key: &'a [u8],
    pub(super) payload: &'a [u8],
    /// The whole record, header included.
    pub(super) bytes: &'a [u8],
}

/// Where the parts of a record are.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    header: usize,
    key: usize,
    payload: usize,
}

impl Lengths {
    /// `None` if the header is not all there.
    #[inline]
    fn of(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d, rest @ ..] = bytes else {
            return None;
        };
        let (key, payload) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        if key != LONG {
            return Some(Self {
                header: SHORT_HEADER_BYTES,
                key: key.into(),
                payload: payload.into(),
            });
        }
        let (key, rest) = rest.split_first_chunk()?;
        let payload = rest.first_chunk()?;
        let (key, payload) = (
            u32::from_be_bytes(*key) as usize,
            u32::from_be_bytes(*payload) as usize,
        );
        Some(Self {
            header: LONG_HEADER_BYTES,
            key,
            payload,
        })
    }

    fn total(self) -> usize {
        self.header + self.key + self.payload
    }
}

/// The length of the record that `bytes` begin with, or `None` if not even that is there.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    Lengths::of(bytes).map(Lengths::total)
}

/// The record that `bytes` begin with. They must hold all of it.
#[inline]
pub(super) fn first(bytes: &[u8]) -> Record<'_> {
    let lengths = Lengths::of(bytes).unwrap_or(Lengths {
        header: 0,
        key: 0,
        payload: 0,
    });
    let (key, payload) = bytes[lengths.header..lengths.total()].split_at(lengths.key);
    Record {
        key,
        payload,
        bytes: &bytes[..lengths.total()],
    }
}

/// Appends a record.
#[inline]
pub(super) fn append<'a>(
    records: &'a mut Vec<u8>,
    key: impl FnOnce(&mut Vec<u8>),
    payload: impl FnOnce(&mut Vec<u8>),
) -> Record<'a> {
    let start = records.len();
    records.extend_from_slice(&[0; SHORT_HEADER_BYTES]);
    key(records);
    let key_end = records.len();
    payload(records);
    let key_length = key_end - start - SHORT_HEADER_BYTES;
    let payload_length = records.len() - key_end;
    match (u16::try_from(key_length), u16::try_from(payload_length)) {
        (Ok(key), Ok(payload)) if key != LONG => {
            records[start..start + 2].copy_from_slice(&key.to_be_bytes());
            records[start + 2..start + 4].copy_from_slice(&payload.to_be_bytes());
        }
        _ => lengthen(records, start, key_length, payload_length),
    }
    first(&records[start..])
}

/// Gives the last record the long header.
#[cold]
fn lengthen(records: &mut Vec<u8>, start: usize, key: usize, payload: usize) {
    let mut header = [0xFF; LONG_HEADER_BYTES];
    header[4..8].copy_from_slice(&u32::try_from(key).unwrap_or(u32::MAX).to_be_bytes());
    header[8..].copy_from_slice(&u32::try_from(payload).unwrap_or(u32::MAX).to_be_bytes());
    records.splice(start..start + SHORT_HEADER_BYTES, header);
}
