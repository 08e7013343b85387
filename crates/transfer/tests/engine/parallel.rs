//! Several tables at a time carry what one at a time carries.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metaferry_domain::Cancellation;
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::schema::DataType;
use metaferry_transfer::copy::copy;
use metaferry_transfer::dump::DumpFormat;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use crate::database::{Behaviour, Database, Row, Value, column, table};
use crate::file_format::{JsonFormat, rows_in};
use crate::oracle;
use crate::scene::{Place, Unwatched};

const COLUMNS: [&str; 3] = ["id", "Label", "count"];

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let label = prop_oneof![Just(Value::Null), ".{0,8}".prop_map(Value::Text)];
    let count = prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::Int)];
    proptest::collection::vec((any::<i64>(), label, count), 0..12).prop_map(|rows| {
        rows.into_iter()
            .map(|(id, label, count)| vec![Value::Int(id), label, count])
            .collect()
    })
}

#[test]
fn several_tables_at_a_time_give_the_digests_of_one_at_a_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_time()
        .build()
        .unwrap();
    let config = Config {
        cases: 96,
        failure_persistence: None,
        ..Config::default()
    };
    let generated = (proptest::collection::vec(rows(), 1..6), 1..4usize, 2..7usize);
    TestRunner::new(config)
        .run(&generated, |(tables, rows_per_batch, parallelism)| {
            let mut database = Database::default();
            let mut expected = Vec::new();
            for (number, rows) in tables.into_iter().enumerate() {
                let name = format!("t{number}");
                expected.push(oracle::report(&name, &COLUMNS, &rows));
                let types = [DataType::BigInt, DataType::Text, DataType::BigInt];
                let columns = COLUMNS.into_iter().zip(types);
                let columns = columns.map(|(name, data_type)| column(name, data_type)).collect();
                database = database.with(table(&name, columns), rows);
            }
            for parallelism in [1, parallelism] {
                let mut database = Database {
                    seen: Arc::default(),
                    ..database.clone()
                };
                database.behaviour = Behaviour {
                    parallelism,
                    rows_per_batch,
                    ..Behaviour::default()
                };
                let place = Place::new();
                let cancel = Cancellation::new();
                let report = runtime.block_on(async {
                    let format = JsonFormat::of(&database.catalogue);
                    let mut target = format.create(&place.file()).await.unwrap();
                    let policy = CopyPolicy::default();
                    let report = copy(&database, &mut *target, &policy, Arc::new(Unwatched), &cancel).await;
                    target.finish().await.unwrap();
                    report.unwrap()
                });
                assert_eq!(report.tables, expected);
                assert_eq!(rows_in(&place.file()), database.rows);
                let most = database.seen.open_readers_most.load(Ordering::SeqCst);
                assert!(most <= parallelism, "{most} tables at once");
            }
            Ok(())
        })
        .unwrap();
}
