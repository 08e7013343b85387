//! What is asked of a source on a target's behalf: generated columns, order, fractions, the longest table first.

use metaferry_domain::ports::{GeneratedColumns, RowOrder};
use metaferry_domain::schema::DataType;

use crate::database::{Database, Value, column, generated, table};
use crate::file_format::{JsonFormat, rows_in};
use crate::oracle;
use crate::scene::{Place, database, dump_of};

#[tokio::test]
async fn generated_columns_are_supplied_or_left_to_the_target_and_never_counted() {
    let columns = vec![
        column("id", DataType::Integer),
        generated("twice", DataType::Integer),
        column("label", DataType::Text),
    ];
    let row = |id: i64| {
        vec![
            Value::Int(id),
            Value::Int(2 * id),
            Value::Text(format!("row {id}")),
        ]
    };
    let database = Database::default().with(table("measure", columns), (1..=3).map(row).collect());
    let counted: Vec<Vec<Value>> = database.rows["measure"]
        .iter()
        .map(|row| vec![row[0].clone(), row[2].clone()])
        .collect();
    let expected = [oracle::report("measure", &["id", "label"], &counted)];

    for (generated, twice) in [
        (GeneratedColumns::Supplied, Value::Int(6)),
        (GeneratedColumns::Computed, Value::Null),
    ] {
        let place = Place::new();
        let mut format = JsonFormat::of(&database.catalogue);
        format.generated = generated;
        let report = dump_of(&database, &format, &place).await.unwrap();
        assert_eq!(report.snapshot.tables, expected, "{generated:?}");
        // What the target was given; this one computes nothing itself.
        assert_eq!(rows_in(&place.file())["measure"][2][1], twice, "{generated:?}");
    }
}

#[tokio::test]
async fn values_finer_than_a_microsecond_are_noted() {
    let at = |id, nanos| {
        let micros = -1_000_000;
        vec![Value::Int(id), Value::Timestamp { micros, nanos }]
    };
    let columns = || vec![column("id", DataType::Integer), column("at", DataType::Timestamp)];
    let database = Database::default()
        .with(table("fine", columns()), vec![at(1, 0), at(2, 1), at(3, 999)])
        .with(table("coarse", columns()), vec![at(1, 0)]);
    let place = Place::new();
    let report = dump_of(&database, &JsonFormat::of(&database.catalogue), &place)
        .await
        .unwrap();
    assert_eq!(
        report.snapshot.notes,
        ["decided", "table fine: 2 values are finer than a microsecond"]
    );
}

#[tokio::test]
async fn the_largest_table_is_begun_first_and_only_numbered_ones_are_ordered() {
    let mut database = database();
    for table in &mut database.catalogue.tables {
        table.bytes_estimate = match table.name.as_str() {
            "setting" => 300,
            "report_card" => 200,
            _ => 100,
        };
    }
    let mut format = JsonFormat::of(&database.catalogue);
    format.order = RowOrder::PrimaryKey;
    dump_of(&database, &format, &Place::new()).await.unwrap();
    let reads = database.seen.reads.lock().unwrap();
    let asked: Vec<(&str, RowOrder)> = reads
        .iter()
        .map(|read| (read.table.as_str(), read.order))
        .collect();
    assert_eq!(
        asked,
        [
            // Keyed by text.
            ("setting", RowOrder::Any),
            ("report_card", RowOrder::PrimaryKey),
            ("core_user", RowOrder::PrimaryKey),
        ]
    );
}
