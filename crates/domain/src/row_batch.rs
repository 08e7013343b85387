//! Rows on their way from a source to a target: one contiguous buffer and the offsets of its cells.
//!
//! A batch is bounded in bytes, not rows, and is meant to be reused: [`RowBatch::clear`] keeps the allocation.
//! Every adapter turns its own wire form into the cell forms of [`Cell`] and back, so that a digest, a check or
//! another adapter never sees a database's wire form.

/// Where a cell is, in the texts for the kinds that are text, in the bytes for all others. Four bytes each, so a batch is
/// below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    kind: Kind,
    start: u32,
    len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Int,
    Real,
    Double,
    Decimal,
    Text,
    Bytes,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Uuid,
}

/// One value, borrowed from a [`RowBatch`] or about to be pushed into one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number of any width up to 64 bits.
    Int(i64),
    /// IEEE single.
    Real(f32),
    /// IEEE double.
    Double(f64),
    /// Exact number in plain ASCII digits: `-?digits[.digits]`, no exponent. The scale is as the source had it.
    Decimal(&'a str),
    /// Text, UTF-8. CHAR comes without the padding where the database pads on read.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Days since 1970-01-01, proleptic Gregorian.
    Date(i64),
    /// Time of day.
    Time(TimeOfDay),
    /// Local time of day and offset in seconds east of UTC.
    TimeTz(TimeOfDay, i32),
    /// Wall-clock date and time without a zone, counted as if it were UTC.
    Timestamp(Instant),
    /// An instant, and the offset in seconds east of UTC that it was written with (0 where the source keeps none).
    TimestampTz(Instant, i32),
    /// 128-bit identifier, most significant byte first.
    Uuid([u8; 16]),
}

/// Nanoseconds since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// The nanoseconds.
    pub nanos: u64,
}

/// A point in time: microseconds since 1970-01-01T00:00:00, and what a source may hold below a microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Microseconds since 1970-01-01T00:00:00, negative before.
    pub micros: i64,
    /// 0 to 999, added to `micros`.
    pub nanos: u16,
}

/// Rows of one table, in one buffer for text and one for everything else.
#[derive(Debug, Clone, Default)]
pub struct RowBatch {
    columns: usize,
    rows: usize,
    data: Vec<u8>,
    /// Apart from the bytes, so that a text that was checked once, when it came, is never checked again.
    texts: String,
    slots: Vec<Slot>,
}

impl RowBatch {
    /// An empty batch of rows of `columns` cells.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self {
            columns,
            ..Self::default()
        }
    }

    /// Empties the batch for rows of `columns` cells; the allocation stays.
    pub fn clear(&mut self, columns: usize) {
        self.columns = columns;
        self.rows = 0;
        self.data.clear();
        self.texts.clear();
        self.slots.clear();
    }

    /// Cells per row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Whole rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes held, the bound that callers fill a batch to.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len() + self.texts.len() + self.slots.len() * size_of::<Slot>()
    }

    /// Adds a cell to the row being built. Call [`RowBatch::end_row`] after the last one.
    ///
    /// # Panics
    /// If the batch would pass 4 GiB: callers bound batches far below.
    #[inline]
    pub fn push(&mut self, cell: Cell<'_>) {
        let start = self.data.len();
        let kind = match cell {
            Cell::Null => Kind::Null,
            Cell::Boolean(value) => {
                self.data.push(u8::from(value));
                Kind::Boolean
            }
            Cell::Int(value) => {
                self.data.extend_from_slice(&value.to_le_bytes());
                Kind::Int
            }
            Cell::Real(value) => {
                self.data.extend_from_slice(&value.to_le_bytes());
                Kind::Real
            }
            Cell::Double(value) => {
                self.data.extend_from_slice(&value.to_le_bytes());
                Kind::Double
            }
            Cell::Decimal(text) => return self.push_text(Kind::Decimal, text),
            Cell::Text(text) => return self.push_text(Kind::Text, text),
            Cell::Bytes(bytes) => {
                self.data.extend_from_slice(bytes);
                Kind::Bytes
            }
            Cell::Date(days) => {
                self.data.extend_from_slice(&days.to_le_bytes());
                Kind::Date
            }
            Cell::Time(time) => {
                self.data.extend_from_slice(&time.nanos.to_le_bytes());
                Kind::Time
            }
            Cell::TimeTz(time, seconds_east) => {
                self.data.extend_from_slice(&time.nanos.to_le_bytes());
                self.data.extend_from_slice(&seconds_east.to_le_bytes());
                Kind::TimeTz
            }
            Cell::Timestamp(instant) => {
                self.push_instant(instant);
                Kind::Timestamp
            }
            Cell::TimestampTz(instant, seconds_east) => {
                self.push_instant(instant);
                self.data.extend_from_slice(&seconds_east.to_le_bytes());
                Kind::TimestampTz
            }
            Cell::Uuid(bytes) => {
                self.data.extend_from_slice(&bytes);
                Kind::Uuid
            }
        };
        self.push_slot(kind, start, self.data.len());
    }

    fn push_text(&mut self, kind: Kind, text: &str) {
        let start = self.texts.len();
        self.texts.push_str(text);
        self.push_slot(kind, start, self.texts.len());
    }

    fn push_slot(&mut self, kind: Kind, start: usize, end: usize) {
        let start = offset(start);
        let len = offset(end) - start;
        self.slots.push(Slot { kind, start, len });
    }

    fn push_instant(&mut self, instant: Instant) {
        self.data.extend_from_slice(&instant.micros.to_le_bytes());
        self.data.extend_from_slice(&instant.nanos.to_le_bytes());
    }

    /// Ends the row being built.
    ///
    /// # Panics
    /// If the row does not have exactly [`RowBatch::columns`] cells.
    pub fn end_row(&mut self) {
        self.rows += 1;
        assert_eq!(
            self.slots.len(),
            self.rows * self.columns,
            "a row must have as many cells as the batch has columns"
        );
    }

    /// The cell at `row`, `column`, both counted from 0.
    ///
    /// # Panics
    /// If there is no such cell.
    #[must_use]
    #[inline]
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        let slot = self.slots[row * self.columns + column];
        let place = slot.start as usize..slot.start as usize + slot.len as usize;
        let bytes = || &self.data[place.clone()];
        match slot.kind {
            Kind::Null => Cell::Null,
            Kind::Decimal => Cell::Decimal(&self.texts[place]),
            Kind::Text => Cell::Text(&self.texts[place]),
            Kind::Boolean => Cell::Boolean(bytes()[0] != 0),
            Kind::Int => Cell::Int(i64::from_le_bytes(array(bytes()))),
            Kind::Real => Cell::Real(f32::from_le_bytes(array(bytes()))),
            Kind::Double => Cell::Double(f64::from_le_bytes(array(bytes()))),
            Kind::Bytes => Cell::Bytes(bytes()),
            Kind::Date => Cell::Date(i64::from_le_bytes(array(bytes()))),
            Kind::Time => Cell::Time(TimeOfDay {
                nanos: u64::from_le_bytes(array(bytes())),
            }),
            Kind::TimeTz => Cell::TimeTz(
                TimeOfDay {
                    nanos: u64::from_le_bytes(array(&bytes()[..8])),
                },
                i32::from_le_bytes(array(&bytes()[8..])),
            ),
            Kind::Timestamp => Cell::Timestamp(instant(bytes())),
            Kind::TimestampTz => {
                Cell::TimestampTz(instant(&bytes()[..10]), i32::from_le_bytes(array(&bytes()[10..])))
            }
            Kind::Uuid => Cell::Uuid(array(bytes())),
        }
    }

    /// The cells of one row, left to right.
    #[inline]
    pub fn row(&self, row: usize) -> impl ExactSizeIterator<Item = Cell<'_>> {
        (0..self.columns).map(move |column| self.cell(row, column))
    }
}

#[inline]
fn offset(length: usize) -> u32 {
    u32::try_from(length).expect("batches are bounded far below 4 GiB")
}

#[inline]
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("a slot is as long as its kind")
}

#[inline]
fn instant(bytes: &[u8]) -> Instant {
    Instant {
        micros: i64::from_le_bytes(array(&bytes[..8])),
        nanos: u16::from_le_bytes(array(&bytes[8..10])),
    }
}

#[cfg(test)]
mod tests;
