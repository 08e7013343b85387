use metaferry_domain::row_batch::{Cell, Instant, RowBatch, TimeOfDay};
use metaferry_domain::schema::{Column, DataType, Dialect, Nullability, SqlText, ValueSource};
use proptest::prelude::*;

use super::{Padding, SEED, TableDigest, encode};

fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.into(),
        data_type,
        native_type: String::new(),
        nullability: Nullability::Nullable,
        value_source: ValueSource::None,
        comment: None,
    }
}

fn digest(columns: &[Column], rows: &[&[Cell<'_>]]) -> String {
    let columns: Vec<&Column> = columns.iter().collect();
    let mut digest = TableDigest::new(&columns);
    let mut batch = RowBatch::new(columns.len());
    for row in rows {
        for &cell in *row {
            batch.push(cell);
        }
        batch.end_row();
    }
    digest.add(&batch);
    digest.digest().to_string()
}

fn canonical(cell: Cell<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(cell, Padding::Kept, &mut out);
    out
}

/// The contract: these values were computed with another implementation of XXH3-128 over hand-written bytes.
#[test]
fn vectors_of_the_contract() {
    assert_eq!(SEED.to_be_bytes(), *b"mf1 rows");
    let a = [column("id", DataType::Integer), column("name", DataType::Text)];
    assert_eq!(digest(&a, &[]), "mf1:00000000000000000000000000000000");
    assert_eq!(digest(&a, &[&[Cell::Int(1), Cell::Text("a€")]]), VECTOR_ONE_ROW);
    assert_eq!(
        digest(
            &a,
            &[&[Cell::Int(1), Cell::Text("a€")], &[Cell::Int(300), Cell::Null]]
        ),
        VECTOR_TWO_ROWS
    );
}

const VECTOR_ONE_ROW: &str = "mf1:6f7b3bdc973c04f6c773fdc7a51b8338";
const VECTOR_TWO_ROWS: &str = "mf1:d994e7b5ffc43ce0ed576f5dfc3d199a";

#[test]
fn the_bytes_of_every_cell() {
    let hex = |cell| hex::encode(canonical(cell));
    assert_eq!(hex(Cell::Null), "00");
    assert_eq!(hex(Cell::Boolean(true)), "0101");
    assert_eq!(hex(Cell::Int(-2)), "02feffffffffffffff");
    assert_eq!(hex(Cell::Decimal("-2.000")), "02feffffffffffffff");
    assert_eq!(hex(Cell::Decimal("-0.00")), "020000000000000000");
    assert_eq!(hex(Cell::Decimal("0012.50")), "03040000000000000031322e35");
    assert_eq!(hex(Cell::Decimal("-.5")), "0304000000000000002d302e35");
    assert_eq!(
        hex(Cell::Decimal("9223372036854775808")),
        "03130000000000000039323233333732303336383534373735383038"
    );
    assert_eq!(hex(Cell::Double(-0.0)), "040000000000000000");
    assert_eq!(hex(Cell::Real(1.5)), hex(Cell::Double(1.5)));
    assert_eq!(hex(Cell::Double(-f64::NAN)), "04000000000000f87f");
    assert_eq!(hex(Cell::Text("")), "050000000000000000");
    assert_eq!(
        canonical(Cell::Uuid(
            *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
        )),
        canonical(Cell::Text("00112233-4455-6677-8899-aabbccddeeff"))
    );
    assert_eq!(hex(Cell::Bytes(&[255])), "060100000000000000ff");
    assert_eq!(hex(Cell::Date(-1)), "07ffffffffffffffff");
    assert_eq!(hex(Cell::Time(TimeOfDay { nanos: 1_999 })), "080100000000000000");
    assert_eq!(hex(Cell::TimeTz(TimeOfDay { nanos: 0 }, 1)), "09c0bdf0ffffffffff");
    assert_eq!(
        hex(Cell::Timestamp(Instant { micros: 1, nanos: 0 })),
        "0a0100000000000000"
    );
    assert_eq!(
        hex(Cell::TimestampTz(Instant { micros: 1, nanos: 0 }, 3600)),
        "0b0100000000000000"
    );
}

#[test]
fn columns_count_by_lower_case_name_and_char_without_padding() {
    let here = [column("B", DataType::Char(4)), column("a", DataType::Integer)];
    let there = [column("A", DataType::BigInt), column("b", DataType::Char(4))];
    assert_eq!(
        digest(&here, &[&[Cell::Text("x"), Cell::Int(5)]]),
        digest(&there, &[&[Cell::Int(5), Cell::Text("x   ")]])
    );
}

#[test]
fn generated_columns_do_not_count() {
    let mut generated = column("g", DataType::Integer);
    generated.value_source = ValueSource::Generated(SqlText {
        dialect: Dialect::Postgres,
        text: "a + 1".to_owned(),
    });
    assert_eq!(
        digest(
            &[column("a", DataType::Integer), generated],
            &[&[Cell::Int(1), Cell::Int(2)]]
        ),
        digest(&[column("a", DataType::Integer)], &[&[Cell::Int(1)]])
    );
}

#[test]
fn counts_fractions_that_it_does_not_see() {
    let columns = [column("t", DataType::Timestamp)];
    let columns: Vec<&Column> = columns.iter().collect();
    let mut digest = TableDigest::new(&columns);
    let mut batch = RowBatch::new(1);
    for nanos in [0, 1] {
        batch.push(Cell::Timestamp(Instant { micros: 5, nanos }));
        batch.end_row();
    }
    digest.add(&batch);
    assert_eq!(digest.finer_than_micros(), 1);
}

proptest! {
    #[test]
    fn order_of_rows_does_not_count_but_every_row_does(rows in prop::collection::vec((any::<i64>(), ".{0,8}"), 1..20)) {
        let columns = [column("id", DataType::BigInt), column("t", DataType::Text)];
        let cells: Vec<[Cell<'_>; 2]> = rows.iter().map(|(id, t)| [Cell::Int(*id), Cell::Text(t)]).collect();
        let forward: Vec<&[Cell<'_>]> = cells.iter().map(|row| &row[..]).collect();
        let backward: Vec<&[Cell<'_>]> = cells.iter().rev().map(|row| &row[..]).collect();
        prop_assert_eq!(digest(&columns, &forward), digest(&columns, &backward));
        prop_assert_ne!(digest(&columns, &forward), digest(&columns, &forward[1..]));
        let mut doubled = forward.clone();
        doubled.push(forward[0]);
        prop_assert_ne!(digest(&columns, &forward), digest(&columns, &doubled));
    }
}
