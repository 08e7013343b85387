//! Tables and rows of every type, and their way into an H2 file and back.

use metaferry_app_db::h2::{H2Source, H2Target};
use metaferry_domain::ports::{RowOrder, Snapshot, Source as _, TableRead, Target as _};
use metaferry_domain::row_batch::{Cell, Instant, RowBatch, TimeOfDay};
use metaferry_domain::schema::{
    Catalogue, Column, DataType, DecimalBounds, Key, Name, Nullability, Table, ValueSource,
};
use proptest::prelude::*;

pub(crate) fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: Name::new(name),
        data_type,
        native_type: "native".to_owned(),
        nullability: Nullability::Nullable,
        value_source: ValueSource::None,
        comment: None,
    }
}

pub(crate) fn table(name: &str, columns: Vec<Column>, key: &[&str]) -> Table {
    let columns_of_key: Vec<Name> = key.iter().map(|name| Name::new(*name)).collect();
    Table {
        schema: Name::new("public"),
        name: Name::new(name),
        columns,
        primary_key: (!key.is_empty()).then(|| Key {
            name: Name::new(format!("pk_{name}")),
            columns: columns_of_key,
        }),
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        indexes: Vec::new(),
        comment: None,
        rows_estimate: 0,
        bytes_estimate: 0,
    }
}

/// One column of every type, and its key.
pub(crate) fn all_types() -> Table {
    let bounds = DecimalBounds {
        precision: 30,
        scale: 4,
    };
    let columns = vec![
        column("id", DataType::BigInt),
        column("flag", DataType::Boolean),
        column("small", DataType::SmallInt),
        column("whole", DataType::Integer),
        column("single", DataType::Real),
        column("double", DataType::Double),
        column("money", DataType::Decimal(Some(bounds))),
        column("number", DataType::Decimal(None)),
        column("code", DataType::Char(8)),
        column("word", DataType::Varchar(Some(300))),
        column("mail", DataType::VarcharIgnoreCase(Some(300))),
        column("text", DataType::Text),
        column("hash", DataType::Binary(4)),
        column("blob", DataType::Blob),
        column("day", DataType::Date),
        column("time", DataType::Time),
        column("zoned time", DataType::TimeTz),
        column("moment", DataType::Timestamp),
        column("instant", DataType::TimestampTz),
        column("uuid", DataType::Uuid),
        column("json", DataType::Json),
        column("Strange \"é\"", DataType::Other),
    ];
    table("all types", columns, &["id"])
}

/// Cells as owned values, so that they can be generated and compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Owned {
    Null,
    Boolean(bool),
    Int(i64),
    Real(f32),
    Double(f64),
    Decimal(String),
    Text(String),
    Bytes(Vec<u8>),
    Date(i64),
    Time(u64),
    TimeTz(u64, i32),
    Timestamp(i64),
    TimestampTz(i64, i32),
    Uuid([u8; 16]),
}

impl Owned {
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Boolean(value) => Cell::Boolean(*value),
            Self::Int(value) => Cell::Int(*value),
            Self::Real(value) => Cell::Real(*value),
            Self::Double(value) => Cell::Double(*value),
            Self::Decimal(text) => Cell::Decimal(text),
            Self::Text(text) => Cell::Text(text),
            Self::Bytes(bytes) => Cell::Bytes(bytes),
            Self::Date(days) => Cell::Date(*days),
            Self::Time(nanos) => Cell::Time(TimeOfDay { nanos: *nanos }),
            Self::TimeTz(nanos, east) => Cell::TimeTz(TimeOfDay { nanos: *nanos }, *east),
            Self::Timestamp(micros) => Cell::Timestamp(Instant {
                micros: *micros,
                nanos: 0,
            }),
            Self::TimestampTz(micros, east) => Cell::TimestampTz(
                Instant {
                    micros: *micros,
                    nanos: 0,
                },
                *east,
            ),
            Self::Uuid(bytes) => Cell::Uuid(*bytes),
        }
    }

    fn of(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Boolean(value) => Self::Boolean(value),
            Cell::Int(value) => Self::Int(value),
            Cell::Real(value) => Self::Real(value),
            Cell::Double(value) => Self::Double(value),
            Cell::Decimal(text) => Self::Decimal(text.to_owned()),
            Cell::Text(text) => Self::Text(text.to_owned()),
            Cell::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Cell::Date(days) => Self::Date(days),
            Cell::Time(time) => Self::Time(time.nanos),
            Cell::TimeTz(time, east) => Self::TimeTz(time.nanos, east),
            Cell::Timestamp(instant) => Self::Timestamp(instant.micros),
            Cell::TimestampTz(instant, east) => Self::TimestampTz(instant.micros, east),
            Cell::Uuid(bytes) => Self::Uuid(bytes),
        }
    }
}

const DAY_NANOS: u64 = 86_400_000_000_000;

/// Years 1 and 9999, in microseconds.
const MICROS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

pub(crate) fn or_null(value: impl Strategy<Value = Owned> + 'static) -> BoxedStrategy<Owned> {
    prop_oneof![1 => Just(Owned::Null), 5 => value].boxed()
}

pub(crate) fn text_up_to(units: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![any::<char>(), proptest::char::range(' ', '~')],
        0..units / 2,
    )
    .prop_map(|letters| letters.into_iter().filter(|letter| *letter != '\0').collect())
}

/// A value of each column but the key.
pub(crate) fn values() -> Vec<BoxedStrategy<Owned>> {
    let offset = || -64_800_i32..=64_800;
    vec![
        or_null(any::<bool>().prop_map(Owned::Boolean)),
        or_null(any::<i16>().prop_map(|number| Owned::Int(number.into()))),
        or_null(any::<i32>().prop_map(|number| Owned::Int(number.into()))),
        // Negative zero and NaN have tests of their own: the one is normalised, the other equals nothing.
        or_null(proptest::num::f32::NORMAL.prop_map(Owned::Real)),
        or_null(proptest::num::f64::NORMAL.prop_map(Owned::Double)),
        or_null("-?[1-9][0-9]{0,25}\\.[0-9]{4}".prop_map(Owned::Decimal)),
        or_null("-?[1-9][0-9]{0,60}(\\.[0-9]{1,40})?".prop_map(Owned::Decimal)),
        or_null("[a-zé]{0,8}".prop_map(Owned::Text)),
        or_null(text_up_to(300).prop_map(Owned::Text)),
        or_null(text_up_to(300).prop_map(Owned::Text)),
        or_null(prop_oneof![text_up_to(400), text_up_to(60_000)].prop_map(Owned::Text)),
        or_null(any::<[u8; 4]>().prop_map(|bytes| Owned::Bytes(bytes.to_vec()))),
        or_null(proptest::collection::vec(any::<u8>(), 0..30_000).prop_map(Owned::Bytes)),
        or_null((-719_162_i64..2_932_897).prop_map(Owned::Date)),
        or_null((0..DAY_NANOS / 1000).prop_map(|micros| Owned::Time(micros * 1000))),
        or_null(
            (0..DAY_NANOS / 1000, offset()).prop_map(|(micros, east)| Owned::TimeTz(micros * 1000, east)),
        ),
        or_null(MICROS.prop_map(Owned::Timestamp)),
        or_null((MICROS, offset()).prop_map(|(micros, east)| Owned::TimestampTz(micros, east))),
        or_null(any::<[u8; 16]>().prop_map(Owned::Uuid)),
        or_null(text_up_to(300).prop_map(Owned::Text)),
        or_null(text_up_to(300).prop_map(Owned::Text)),
    ]
}

pub(crate) async fn write(target: &mut Box<H2Target>, table: &str, rows: &[Vec<Owned>]) {
    let width = rows.first().map_or(0, Vec::len);
    let columns: Vec<usize> = (0..width).collect();
    let mut writer = target.table(table, &columns).await.unwrap();
    let mut batch = RowBatch::new(width);
    for rows in rows.chunks(3) {
        batch.clear(width);
        for row in rows {
            row.iter().for_each(|value| batch.push(value.cell()));
            batch.end_row();
        }
        writer.write(&batch).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), rows.len() as u64);
}

pub(crate) async fn read(
    snapshot: &dyn Snapshot,
    table: &str,
    order: RowOrder,
    bytes_max: usize,
) -> Vec<Vec<Owned>> {
    let width = snapshot.catalogue().table(table).unwrap().columns.len();
    let read = TableRead {
        table: table.to_owned(),
        columns: (0..width).collect(),
        order,
    };
    let mut reader = snapshot.read(&read).await.unwrap();
    let mut batch = RowBatch::default();
    let mut rows = Vec::new();
    loop {
        reader.next(&mut batch, bytes_max).await.unwrap();
        if batch.rows() == 0 {
            return rows;
        }
        rows.extend((0..batch.rows()).map(|row| batch.row(row).map(Owned::of).collect::<Vec<_>>()));
    }
}

pub(crate) async fn round_trip(
    table: Table,
    rows: &[Vec<Owned>],
    order: RowOrder,
    bytes_max: usize,
) -> Vec<Vec<Owned>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.mv.db");
    let key = table.name.key();
    let catalogue = Catalogue {
        tables: vec![table],
        views: Vec::new(),
    };
    let mut target = Box::new(H2Target::new(&path));
    target.prepare(&catalogue).await.unwrap();
    write(&mut target, &key, rows).await;
    let finished = target.finish().await.unwrap();
    assert_eq!(finished.bytes, std::fs::metadata(&path).unwrap().len());
    let snapshot = H2Source::new(&path).snapshot().await.unwrap();
    assert_eq!(snapshot.count(&key).await.unwrap(), rows.len() as u64);
    read(snapshot.as_ref(), &key, order, bytes_max).await
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap()
        .block_on(future)
}
