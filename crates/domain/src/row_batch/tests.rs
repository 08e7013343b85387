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
