use proptest::prelude::*;

use super::{Cell, Instant, RowBatch, TimeOfDay};

#[test]
fn gives_back_every_kind_of_cell() {
    let cells = [
        Cell::Null,
        Cell::Boolean(true),
        Cell::Int(i64::MIN),
        Cell::Real(-0.5),
        Cell::Double(1e300),
        Cell::Decimal("-12.340"),
        Cell::Text("ä\u{1F600}"),
        Cell::Text(""),
        Cell::Bytes(&[0, 255]),
        Cell::Date(-719_162),
        Cell::Time(TimeOfDay {
            nanos: 86_399_999_999_999,
        }),
        Cell::TimeTz(TimeOfDay { nanos: 1 }, -3600),
        Cell::Timestamp(Instant {
            micros: -1,
            nanos: 999,
        }),
        Cell::TimestampTz(
            Instant {
                micros: i64::MAX,
                nanos: 0,
            },
            19_800,
        ),
        Cell::Uuid([7; 16]),
    ];
    let mut batch = RowBatch::new(cells.len());
    for _ in 0..2 {
        for cell in cells {
            batch.push(cell);
        }
        batch.end_row();
    }
    assert_eq!(batch.rows(), 2);
    assert_eq!(batch.row(1).collect::<Vec<_>>(), cells);
}

#[test]
fn an_empty_text_is_not_null() {
    let mut batch = RowBatch::new(2);
    batch.push(Cell::Text(""));
    batch.push(Cell::Null);
    batch.end_row();
    assert_ne!(batch.cell(0, 0), batch.cell(0, 1));
}

#[test]
fn rows_without_columns_are_counted() {
    let mut batch = RowBatch::new(0);
    batch.end_row();
    batch.end_row();
    assert_eq!(batch.rows(), 2);
}

/// A cell that owns its text.
#[derive(Debug, Clone)]
enum Owned {
    Null,
    Boolean(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    TimestampTz(i64, u16, i32),
    Uuid([u8; 16]),
}

impl Owned {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Boolean(value) => Cell::Boolean(*value),
            Self::Int(value) => Cell::Int(*value),
            Self::Double(value) => Cell::Double(*value),
            Self::Text(value) => Cell::Text(value),
            Self::Bytes(value) => Cell::Bytes(value),
            Self::TimestampTz(micros, nanos, east) => Cell::TimestampTz(
                Instant {
                    micros: *micros,
                    nanos: *nanos,
                },
                *east,
            ),
            Self::Uuid(value) => Cell::Uuid(*value),
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    prop_oneof![
        Just(Owned::Null),
        any::<bool>().prop_map(Owned::Boolean),
        any::<i64>().prop_map(Owned::Int),
        (-1e300..1e300).prop_map(Owned::Double),
        ".{0,20}".prop_map(Owned::Text),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Owned::Bytes),
        (any::<i64>(), 0u16..1000, -50_400..50_400)
            .prop_map(|(micros, nanos, east)| Owned::TimestampTz(micros, nanos, east)),
        any::<[u8; 16]>().prop_map(Owned::Uuid),
    ]
}

proptest! {
    #[test]
    fn a_reused_batch_gives_back_every_row_as_it_was(
        batches in proptest::collection::vec((1usize..5, proptest::collection::vec(owned(), 0..40)), 1..4),
    ) {
        let mut batch = RowBatch::new(1);
        for (columns, cells) in batches {
            batch.clear(columns);
            for row in cells.chunks_exact(columns) {
                for cell in row {
                    batch.push(cell.cell());
                }
                batch.end_row();
            }
            prop_assert_eq!(batch.rows(), cells.len() / columns);
            for (at, row) in cells.chunks_exact(columns).enumerate() {
                let expected: Vec<_> = row.iter().map(Owned::cell).collect();
                prop_assert_eq!(batch.row(at).collect::<Vec<_>>(), expected);
            }
        }
    }
}
