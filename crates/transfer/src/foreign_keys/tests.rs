use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{
    Catalogue, Column, DataType, ForeignKey, Nullability, ReferentialAction, Table, ValueSource,
};

use super::{ForeignKeyCheck, KEY_MEMORY_BYTES, Share};

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

fn table(name: &str, columns: Vec<Column>, foreign_keys: Vec<ForeignKey>) -> Table {
    Table {
        schema: "public".into(),
        name: name.into(),
        columns,
        primary_key: None,
        uniques: vec![],
        foreign_keys,
        checks: vec![],
        indexes: vec![],
        comment: None,
        rows_estimate: 0,
        bytes_estimate: 0,
    }
}

fn refers(columns: &[&str], parent: &str, parent_columns: &[&str]) -> ForeignKey {
    ForeignKey {
        name: "fk".into(),
        columns: columns.iter().map(|&name| name.into()).collect(),
        parent_table: parent.into(),
        parent_columns: parent_columns.iter().map(|&name| name.into()).collect(),
        on_delete: ReferentialAction::NoAction,
        on_update: ReferentialAction::NoAction,
    }
}

fn violations(catalogue: &Catalogue, rows: &[(&str, Vec<Vec<Cell<'_>>>)], share: Share) -> Vec<String> {
    let mut check = ForeignKeyCheck::new(catalogue, share, KEY_MEMORY_BYTES);
    for (name, rows) in rows {
        let table = catalogue.table(name).unwrap();
        let columns: Vec<&Column> = table.columns.iter().collect();
        let mut keys = check.table(table, &columns);
        let mut batch = RowBatch::new(columns.len());
        for row in rows {
            for &cell in row {
                batch.push(cell);
            }
            batch.end_row();
        }
        assert!(check.add(&mut keys, &batch));
    }
    check.violations()
}

#[test]
fn names_the_child_the_parent_and_the_missing_key() {
    let catalogue = Catalogue {
        tables: vec![
            table(
                "Field",
                vec![
                    column("ID", DataType::Integer),
                    column("TABLE_ID", DataType::Integer),
                ],
                vec![refers(&["table_id"], "tab", &["id"])],
            ),
            table("TAB", vec![column("ID", DataType::BigInt)], vec![]),
        ],
        views: vec![],
    };
    let field = vec![
        vec![Cell::Int(1), Cell::Int(7)],
        vec![Cell::Int(2), Cell::Null],
        vec![Cell::Int(3), Cell::Int(-9)],
    ];
    let rows = [("field", field), ("tab", vec![vec![Cell::Int(7)]])];
    assert_eq!(
        violations(&catalogue, &rows, Share::ALL),
        ["field.table_id refers to tab.id, which has no -9"]
    );
    let split: Vec<String> = Share::split(8)
        .flat_map(|share| violations(&catalogue, &rows, share))
        .collect();
    assert_eq!(split, ["field.table_id refers to tab.id, which has no -9"]);
}

#[test]
fn follows_text_and_composite_keys_and_references_to_itself() {
    let catalogue = Catalogue {
        tables: vec![table(
            "t",
            vec![
                column("a", DataType::Char(5)),
                column("b", DataType::Text),
                column("pa", DataType::Text),
                column("pb", DataType::Text),
            ],
            vec![refers(&["pa", "pb"], "t", &["a", "b"])],
        )],
        views: vec![],
    };
    let good = vec![
        vec![
            Cell::Text("x   "),
            Cell::Text("y"),
            Cell::Text("x"),
            Cell::Text("y"),
        ],
        vec![Cell::Text("z"), Cell::Text("y"), Cell::Text("x"), Cell::Null],
    ];
    assert_eq!(violations(&catalogue, &[("t", good)], Share::ALL), [""; 0]);
    let bad = vec![vec![
        Cell::Text("x"),
        Cell::Text("y"),
        Cell::Text("xy"),
        Cell::Text(""),
    ]];
    assert_eq!(violations(&catalogue, &[("t", bad)], Share::ALL).len(), 1);
}
