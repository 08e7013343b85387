//! The digest of a table, a contract named `mf1`: the same rows give the same digest whatever database holds them
//! and in whatever order they come.
//!
//! Per row a byte string is built of its cells, columns sorted by lower-case name, generated columns left out, and
//! hashed with XXH3-128 under the fixed seed [`SEED`]; the digest is the sum of the row hashes modulo 2^128,
//! printed as `mf1:` and 32 lower-case hex digits. An empty table has the sum 0. Cells, each begun by a tag byte,
//! numbers little-endian:
//!
//! | cell | bytes |
//! | --- | --- |
//! | NULL | `00` |
//! | boolean | `01`, then `00` or `01` |
//! | whole number that fits 64 bits, of any exact type | `02`, i64 |
//! | other exact number | `03`, u64 length, ASCII `-?digits[.digits]` without superfluous zeros |
//! | floating point | `04`, f64 bits; -0 as 0, every NaN as `7ff8000000000000` |
//! | text, also UUID (lower case, hyphens) and JSON | `05`, u64 length, UTF-8; CHAR without its trailing blanks |
//! | bytes | `06`, u64 length, the bytes |
//! | day | `07`, i64 days since 1970-01-01 |
//! | time of day | `08`, i64 microseconds |
//! | time of day with offset | `09`, i64 microseconds of the day in UTC, may be negative |
//! | date and time without zone | `0a`, i64 microseconds since 1970 |
//! | instant | `0b`, i64 microseconds since 1970 in UTC |
//!
//! Fractions finer than a microsecond do not count; [`TableDigest::finer_than_micros`] says how many there were.

use std::fmt;

use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Column, DataType};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The fixed key of the hash: the ASCII text `mf1 rows`, read as a big-endian number.
pub const SEED: u64 = 0x6d66_3120_726f_7773;

/// A finished digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mf1:{:032x}", self.0)
    }
}

/// Adds up the rows of one table.
#[derive(Debug)]
pub struct TableDigest {
    columns: Vec<Counted>,
    row: Vec<u8>,
    sum: u128,
    rows: u64,
    finer_than_micros: u64,
}

/// A column that counts, by its position in the rows that come.
#[derive(Debug, Clone, Copy)]
struct Counted {
    position: usize,
    padding: Padding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    Kept,
    Trimmed,
}

impl TableDigest {
    /// A digest over rows whose cells are those columns, in that order.
    #[must_use]
    pub fn new(columns: &[&Column]) -> Self {
        let mut counted: Vec<(String, Counted)> = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.is_generated())
            .map(|(position, column)| {
                let padding = if matches!(column.data_type, DataType::Char(_)) {
                    Padding::Trimmed
                } else {
                    Padding::Kept
                };
                (column.name.key(), Counted { position, padding })
            })
            .collect();
        counted.sort_by(|a, b| a.0.cmp(&b.0));
        Self {
            columns: counted.into_iter().map(|(_, counted)| counted).collect(),
            row: Vec::new(),
            sum: 0,
            rows: 0,
            finer_than_micros: 0,
        }
    }

    /// Adds every row of a batch.
    pub fn add(&mut self, batch: &RowBatch) {
        for row in 0..batch.rows() {
            self.row.clear();
            for column in &self.columns {
                let cell = batch.cell(row, column.position);
                self.finer_than_micros += u64::from(encode(cell, column.padding, &mut self.row));
            }
            self.sum = self.sum.wrapping_add(xxh3_128_with_seed(&self.row, SEED));
        }
        self.rows += batch.rows() as u64;
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Values so far whose fraction is finer than the digest looks.
    #[must_use]
    pub fn finer_than_micros(&self) -> u64 {
        self.finer_than_micros
    }

    /// The digest of the rows so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(self.sum)
    }
}

/// Appends the canonical form of one cell, for keys: CHAR's padding is trimmed as the column says.
pub(crate) fn canonical(cell: Cell<'_>, column: &Column, out: &mut Vec<u8>) {
    let padding = if matches!(column.data_type, DataType::Char(_)) {
        Padding::Trimmed
    } else {
        Padding::Kept
    };
    encode(cell, padding, out);
}

/// Appends a cell; true if it had a fraction finer than a microsecond.
fn encode(cell: Cell<'_>, padding: Padding, out: &mut Vec<u8>) -> bool {
    let mut finer = false;
    match cell {
        Cell::Null => out.push(0),
        Cell::Boolean(value) => out.extend_from_slice(&[1, u8::from(value)]),
        Cell::Int(value) => number(2, value, out),
        Cell::Decimal(text) => decimal(text, out),
        Cell::Real(value) => float(f64::from(value), out),
        Cell::Double(value) => float(value, out),
        Cell::Text(text) => {
            let text = if padding == Padding::Trimmed {
                text.trim_end_matches(' ')
            } else {
                text
            };
            bytes(5, text.as_bytes(), out);
        }
        Cell::Uuid(id) => bytes(5, &hyphenated(id), out),
        Cell::Bytes(value) => bytes(6, value, out),
        Cell::Date(days) => number(7, days, out),
        Cell::Time(time) => {
            finer = !time.nanos.is_multiple_of(1000);
            number(8, micros_of_day(time.nanos), out);
        }
        Cell::TimeTz(time, seconds_east) => {
            finer = !time.nanos.is_multiple_of(1000);
            number(
                9,
                micros_of_day(time.nanos) - i64::from(seconds_east) * 1_000_000,
                out,
            );
        }
        Cell::Timestamp(instant) => {
            finer = instant.nanos != 0;
            number(10, instant.micros, out);
        }
        Cell::TimestampTz(instant, _) => {
            finer = instant.nanos != 0;
            number(11, instant.micros, out);
        }
    }
    finer
}

fn number(tag: u8, value: i64, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(tag: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    out.extend_from_slice(value);
}

fn float(value: f64, out: &mut Vec<u8>) {
    let value = if value.is_nan() {
        f64::from_bits(0x7ff8_0000_0000_0000)
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    out.push(4);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn decimal(text: &str, out: &mut Vec<u8>) {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        if whole.is_empty() {
            return number(2, 0, out);
        }
        let signed = if negative {
            format!("-{whole}")
        } else {
            whole.to_owned()
        };
        return match signed.parse::<i64>() {
            Ok(value) => number(2, value, out),
            Err(_) => bytes(3, signed.as_bytes(), out),
        };
    }
    let sign = if negative { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    bytes(3, format!("{sign}{whole}.{fraction}").as_bytes(), out);
}

fn micros_of_day(nanos: u64) -> i64 {
    i64::try_from(nanos / 1000).expect("a time of day is far below 2^63 microseconds")
}

fn hyphenated(id: [u8; 16]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in id.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

#[cfg(test)]
mod tests;
