//! A catalogue and rows into an H2 file and back: everything that goes in comes out.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod rows;

use metaferry_app_db::h2::{H2Source, H2Target};
use metaferry_domain::ErrorKind;
use metaferry_domain::ports::{RowOrder, Source as _, Target as _};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{
    Catalogue, Check, DataType, DecimalBounds, Dialect, ForeignKey, Index, IndexOrder, IndexPart, Key, Name,
    Nullability, ReferentialAction, SqlText, Uniqueness, ValueSource, View,
};
use proptest::strategy::ValueTree as _;

use proptest::prelude::*;

use crate::rows::{Owned, all_types, block_on, column, read, round_trip, table, values, write};

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn every_value_of_every_type_comes_back(
        rows in proptest::collection::vec(values(), 0..8),
        first in any::<i32>(),
        bytes_max in 1_usize..20_000,
    ) {
        let rows: Vec<Vec<Owned>> = rows
            .into_iter()
            .zip(i64::from(first)..)
            .map(|(row, id)| std::iter::once(Owned::Int(id)).chain(row).collect())
            .collect();
        let back = block_on(round_trip(all_types(), &rows, RowOrder::Any, bytes_max));
        prop_assert_eq!(back, rows);
    }

    #[test]
    fn rows_come_in_key_order_when_asked(keys in proptest::collection::btree_set("[a-z]{0,6}", 0..40)) {
        let mut rows: Vec<Vec<Owned>> =
            keys.iter().map(|key| vec![Owned::Int(0), Owned::Text(key.clone())]).collect();
        let sorted = rows.clone();
        rows.reverse();
        let keyed = table("keyed", vec![column("n", DataType::Integer), column("name", DataType::Text)], &["name"]);
        let back = block_on(round_trip(keyed, &rows, RowOrder::PrimaryKey, 100));
        prop_assert_eq!(back, sorted);
    }
}

#[test]
fn integer_keys_in_any_order_come_back_sorted() {
    let rows: Vec<Vec<Owned>> = [5, 1, 9, -4].iter().map(|id| vec![Owned::Int(*id)]).collect();
    let back = block_on(round_trip(
        table("t", vec![column("id", DataType::Integer)], &["id"]),
        &rows,
        RowOrder::PrimaryKey,
        1 << 20,
    ));
    let ids: Vec<_> = back.iter().map(|row| row[0].clone()).collect();
    assert_eq!(ids, [Owned::Int(-4), Owned::Int(1), Owned::Int(5), Owned::Int(9)]);
}

#[test]
fn not_a_number_and_infinities_come_back_and_negative_zero_loses_its_sign() {
    let columns = vec![
        column("a", DataType::Double),
        column("b", DataType::Real),
        column("c", DataType::Decimal(None)),
    ];
    let rows = vec![
        vec![
            Owned::Double(f64::NAN),
            Owned::Real(f32::INFINITY),
            Owned::Decimal("NaN".to_owned()),
        ],
        vec![
            Owned::Double(-0.0),
            Owned::Real(-0.0),
            Owned::Decimal("0.00".to_owned()),
        ],
    ];
    let back = block_on(round_trip(
        table("t", columns, &[]),
        &rows,
        RowOrder::Any,
        1 << 20,
    ));
    assert!(matches!(back[0][0], Owned::Double(number) if number.is_nan()));
    assert_eq!(back[0][1..], rows[0][1..]);
    assert!(matches!(back[1][0], Owned::Double(number) if number == 0.0 && number.is_sign_positive()));
    assert!(matches!(back[1][1], Owned::Real(number) if number == 0.0 && number.is_sign_positive()));
    assert_eq!(back[1][2], rows[1][2]);
}

#[test]
fn a_table_without_columns_keeps_its_rows() {
    let rows = vec![Vec::new(); 3];
    let back = block_on(round_trip(
        table("nothing", Vec::new(), &[]),
        &rows,
        RowOrder::Any,
        1 << 20,
    ));
    assert_eq!(back, rows);
}

#[test]
fn a_generated_column_is_computed_where_no_cells_come_for_it() {
    let expression = "CASE WHEN (broken = true) THEN NULL::integer ELSE COALESCE(parent, 0) END";
    let mut helper = column("helper", DataType::Integer);
    helper.value_source = ValueSource::Generated(SqlText {
        dialect: Dialect::Postgres,
        text: expression.to_owned(),
    });
    let columns = vec![
        helper,
        column("broken", DataType::Boolean),
        column("parent", DataType::Integer),
    ];
    let back = block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.mv.db");
        let catalogue = Catalogue {
            tables: vec![table("field", columns, &[])],
            views: Vec::new(),
        };
        let mut target = Box::new(H2Target::new(&path));
        assert_eq!(target.prepare(&catalogue).await.unwrap(), Vec::<String>::new());
        let mut writer = target.table("field", &[2, 1]).await.unwrap();
        let mut batch = RowBatch::new(2);
        for cells in [
            [Cell::Int(7), Cell::Boolean(true)],
            [Cell::Int(7), Cell::Boolean(false)],
            [Cell::Null, Cell::Boolean(false)],
        ] {
            cells.into_iter().for_each(|cell| batch.push(cell));
            batch.end_row();
        }
        writer.write(&batch).await.unwrap();
        writer.finish().await.unwrap();
        target.finish().await.unwrap();
        let snapshot = H2Source::new(&path).snapshot().await.unwrap();
        read(snapshot.as_ref(), "field", RowOrder::Any, 1 << 20).await
    });
    let helpers: Vec<_> = back.into_iter().map(|mut row| row.remove(0)).collect();
    assert_eq!(helpers, [Owned::Null, Owned::Int(7), Owned::Int(0)]);
}

#[test]
fn what_does_not_fit_is_refused_by_table_column_and_key() {
    block_on(async {
        for (data_type, value, problem) in [
            (
                DataType::Varchar(Some(3)),
                Owned::Text("four".to_owned()),
                "4 UTF-16 units",
            ),
            (DataType::SmallInt, Owned::Int(40_000), "40000 is no SMALLINT"),
            (DataType::Binary(4), Owned::Bytes(vec![1]), "BINARY(4)"),
            (
                DataType::Integer,
                Owned::Text("secret".to_owned()),
                "text in a INTEGER column",
            ),
            (
                DataType::Decimal(Some(DecimalBounds {
                    precision: 4,
                    scale: 1,
                })),
                Owned::Decimal("1.25".to_owned()),
                "more than 1 digits",
            ),
            (DataType::Date, Owned::Date(i64::MAX), "a day beyond"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("copy.mv.db");
            let ship = table(
                "ship",
                vec![column("name", DataType::Text), column("load", data_type)],
                &["name"],
            );
            let catalogue = Catalogue {
                tables: vec![ship],
                views: Vec::new(),
            };
            let mut target = Box::new(H2Target::new(&path));
            target.prepare(&catalogue).await.unwrap();
            let mut writer = target.table("ship", &[0, 1]).await.unwrap();
            let mut batch = RowBatch::new(2);
            batch.push(Cell::Text("Vasa"));
            batch.push(value.cell());
            batch.end_row();
            let error = writer.write(&batch).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported);
            assert!(
                error.what.starts_with("table ship, column load, key \"Vasa\": "),
                "{error}"
            );
            assert!(error.what.contains(problem), "{error}");
            assert!(!error.what.contains("secret"), "{error}");
            drop((writer, target));
            assert_eq!(
                std::fs::read_dir(folder.path()).unwrap().count(),
                0,
                "something was left behind"
            );
        }
    });
}

#[test]
fn an_existing_file_is_refused_and_stays_as_it_is() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.mv.db");
        std::fs::write(&path, b"precious").unwrap();
        let error = H2Target::new(&path)
            .prepare(&Catalogue::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        let missing = H2Source::new(folder.path().join("none.mv.db"))
            .snapshot()
            .await
            .err()
            .unwrap();
        assert_eq!(missing.kind, ErrorKind::NotFound);
    });
}

#[test]
fn a_file_copied_to_a_file_keeps_its_catalogue_and_rows() {
    let sql = |text: &str| SqlText {
        dialect: Dialect::Postgres,
        text: text.to_owned(),
    };
    let mut child = table(
        "child",
        vec![column("id", DataType::Integer), column("ref", DataType::BigInt)],
        &["id"],
    );
    child.columns[0].value_source = ValueSource::Identity { next: Some(7) };
    child.columns[0].nullability = Nullability::NotNull;
    child.columns[1].value_source = ValueSource::Default(sql("'5'::bigint"));
    child.comment = Some("it's a comment".to_owned());
    child.foreign_keys = vec![ForeignKey {
        name: Name::new("fk"),
        columns: vec![Name::new("ref")],
        parent_table: Name::new("all types"),
        parent_columns: vec![Name::new("id")],
        on_delete: ReferentialAction::Cascade,
        on_update: ReferentialAction::SetNull,
    }];
    child.checks = vec![Check {
        name: Name::new("ck"),
        condition: sql("((id)::bigint <> ref)"),
    }];
    child.uniques = vec![Key {
        name: Name::new("u"),
        columns: vec![Name::new("ref"), Name::new("id")],
    }];
    child.indexes = vec![Index {
        name: Name::new("by_ref"),
        uniqueness: Uniqueness::NonUnique,
        parts: vec![IndexPart::Column {
            name: Name::new("ref"),
            order: IndexOrder::Descending,
        }],
        predicate: None,
    }];
    let mut parent = all_types();
    parent.columns[0].nullability = Nullability::NotNull;
    let view = View {
        schema: Name::new("public"),
        name: Name::new("seen"),
        columns: vec![Name::new("n"), Name::new("code")],
        query: sql(
            "SELECT c.id AS n, (p.code)::text AS code FROM child c JOIN \"all types\" p ON c.ref = p.id",
        ),
        comment: None,
    };
    let catalogue = Catalogue {
        tables: vec![parent, child],
        views: vec![view],
    };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let values = values().new_tree(&mut runner).unwrap().current();
    let parents: Vec<Vec<Owned>> = vec![std::iter::once(Owned::Int(3)).chain(values).collect()];
    let children = vec![
        vec![Owned::Int(1), Owned::Int(3)],
        vec![Owned::Int(2), Owned::Null],
    ];
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (
            folder.path().join("first.mv.db"),
            folder.path().join("second.mv.db"),
        );
        let mut target = Box::new(H2Target::new(&first));
        target.prepare(&catalogue).await.unwrap();
        write(&mut target, "all types", &parents).await;
        write(&mut target, "child", &children).await;
        target.finish().await.unwrap();

        let snapshot = H2Source::new(&first).snapshot().await.unwrap();
        let mut target = Box::new(H2Target::new(&second));
        assert_eq!(
            target.prepare(snapshot.catalogue()).await.unwrap(),
            Vec::<String>::new()
        );
        for table in ["all types", "child"] {
            let rows = read(snapshot.as_ref(), table, RowOrder::Any, 1 << 20).await;
            write(&mut target, table, &rows).await;
        }
        target.finish().await.unwrap();

        let copy = H2Source::new(&second).snapshot().await.unwrap();
        assert_eq!(copy.catalogue(), snapshot.catalogue());
        let found = copy.catalogue().table("child").unwrap();
        assert_eq!(
            found.columns[0].value_source,
            ValueSource::Identity { next: Some(3) }
        );
        assert_eq!(found.foreign_keys[0].on_update, ReferentialAction::SetNull);
        assert_eq!(
            (found.checks.len(), found.uniques.len(), found.indexes.len()),
            (1, 1, 1)
        );
        assert_eq!(copy.catalogue().views.len(), 1);
        assert_eq!(read(copy.as_ref(), "all types", RowOrder::Any, 1).await, parents);
        assert_eq!(
            read(copy.as_ref(), "child", RowOrder::PrimaryKey, 1).await,
            children
        );
    });
}
