//! Two databases, table by table.

use metaferry_domain::Cancellation;
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::schema::DataType;
use metaferry_transfer::verify::{Scan, TableComparison, compare, scan};

use crate::database::{Database, Value, column, table, text};
use crate::scene::{database, expected};

async fn scanned(database: &Database) -> Scan {
    scan(database, &CopyPolicy::default(), &Cancellation::new())
        .await
        .unwrap()
}

async fn differing(left: &Database, right: &Database) -> Vec<TableComparison> {
    compare(&scanned(left).await.tables, &scanned(right).await.tables)
        .into_iter()
        .filter(|table| !table.is_equal())
        .collect()
}

fn without(mut database: Database, name: &str) -> Database {
    database.rows.remove(name);
    database.catalogue.tables.retain(|table| table.name.key() != name);
    database
}

#[tokio::test]
async fn equal_databases_are_equal_in_whatever_order_their_rows_and_columns_come() {
    let left = database();
    let mut right = database();
    right.rows.get_mut("report_card").unwrap().reverse();
    let setting = right
        .catalogue
        .tables
        .iter_mut()
        .find(|table| table.name.as_str() == "setting");
    setting.unwrap().columns.reverse();
    for row in right.rows.get_mut("setting").unwrap() {
        row.reverse();
    }
    assert_eq!(differing(&left, &right).await, []);
    assert_eq!(scanned(&left).await.tables, expected(&left));
}

#[tokio::test]
async fn a_table_that_one_lacks_differs_and_one_without_rows_does_not() {
    let full = database();
    let lacking = without(database(), "setting");
    for (left, right) in [(&full, &lacking), (&lacking, &full)] {
        let differing = differing(left, right).await;
        assert_eq!(differing.len(), 1);
        assert_eq!(differing[0].name, "setting");
        assert_ne!(differing[0].left.is_some(), differing[0].right.is_some());
    }
    let more = database().with(table("empty", vec![column("id", DataType::Integer)]), Vec::new());
    assert_eq!(differing(&full, &more).await, []);
    assert_eq!(differing(&more, &full).await, []);
}

#[tokio::test]
async fn one_changed_cell_is_found_in_its_table_alone() {
    let left = database();
    for (name, position, value) in [
        ("core_user", 2, Value::Boolean(true)),
        ("report_card", 1, Value::Null),
        ("setting", 1, text("B ")),
    ] {
        let mut right = database();
        right.rows.get_mut(name).unwrap()[1][position] = value;
        let differing = differing(&left, &right).await;
        assert_eq!(differing.len(), 1, "{differing:?}");
        assert_eq!(differing[0].name, name);
    }
}

#[tokio::test]
async fn a_scan_names_the_foreign_keys_that_dangle_though_the_parents_stayed_behind() {
    let whole = scanned(&database()).await;
    assert_eq!(whole.dangling, Vec::<String>::new());
    let mut orphaned = database();
    orphaned.rows.get_mut("core_user").unwrap().clear();
    let dangling = scanned(&orphaned).await.dangling;
    assert_eq!(dangling.len(), 1);
    assert!(
        dangling[0].contains("report_card.creator_id refers to core_user.id"),
        "{dangling:?}"
    );
}
