use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::copy_policy::{CellRewrite, NewValue, RewriteWhen, RowFilter};
use metaferry_domain::ports::{RowReader, Snapshot, TableRead};
use metaferry_domain::row_batch::{Cell, Instant, RowBatch};
use metaferry_domain::schema::{Catalogue, Column, DataType, Nullability, Table, ValueSource};

use super::RowRules;

/// A snapshot of one table `parent(id)` holding 1 and 2.
struct Parents(Catalogue);

#[async_trait]
impl Snapshot for Parents {
    fn catalogue(&self) -> &Catalogue {
        &self.0
    }
    fn taken_at(&self) -> Instant {
        Instant { micros: 0, nanos: 0 }
    }
    fn parallelism(&self) -> usize {
        1
    }
    async fn count(&self, _: &str) -> Result<u64, PortError> {
        Ok(2)
    }
    async fn read(&self, _: &TableRead) -> Result<Box<dyn RowReader>, PortError> {
        Ok(Box::new(Ids(vec![1, 2])))
    }
    async fn close(self: Box<Self>) -> Result<(), PortError> {
        Ok(())
    }
}

struct Ids(Vec<i64>);

#[async_trait]
impl RowReader for Ids {
    async fn next(&mut self, batch: &mut RowBatch, _: usize) -> Result<(), PortError> {
        batch.clear(1);
        for id in self.0.drain(..) {
            batch.push(Cell::Int(id));
            batch.end_row();
        }
        Ok(())
    }
}

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

fn parents() -> Parents {
    Parents(Catalogue {
        tables: vec![Table {
            schema: "public".into(),
            name: "parent".into(),
            columns: vec![column("id", DataType::Integer)],
            primary_key: None,
            uniques: vec![],
            foreign_keys: vec![],
            checks: vec![],
            indexes: vec![],
            comment: None,
            rows_estimate: 2,
            bytes_estimate: 0,
        }],
        views: vec![],
    })
}

async fn applied<'a>(
    columns: &[Column],
    drop_rows: &[RowFilter],
    rewrites: &[CellRewrite],
    rows: &[&[Cell<'a>]],
) -> Vec<String> {
    let columns: Vec<&Column> = columns.iter().collect();
    let mut rules = RowRules::compile(&parents(), &columns, drop_rows, rewrites)
        .await
        .unwrap();
    let mut batch = RowBatch::new(columns.len());
    for row in rows {
        for &cell in *row {
            batch.push(cell);
        }
        batch.end_row();
    }
    let mut scratch = RowBatch::default();
    let carried = rules.apply(&batch, &mut scratch).unwrap();
    (0..carried.rows())
        .map(|row| format!("{:?}", carried.row(row).collect::<Vec<_>>()))
        .collect()
}

#[tokio::test]
async fn drops_the_row_whose_text_matches_and_no_other() {
    let columns = [
        column("KEY", DataType::Varchar(None)),
        column("VALUE", DataType::Text),
    ];
    let filter = RowFilter::TextEquals {
        column: "key".to_owned(),
        value: "read-only-mode".to_owned(),
    };
    let rows: [&[Cell<'_>]; 3] = [
        &[Cell::Text("read-only-mode"), Cell::Text("true")],
        &[Cell::Text("site-url"), Cell::Text("read-only-mode")],
        &[Cell::Null, Cell::Null],
    ];
    assert_eq!(
        applied(&columns, &[filter], &[], &rows).await,
        [r#"[Text("site-url"), Text("read-only-mode")]"#, "[Null, Null]"]
    );
}

#[tokio::test]
async fn drops_rows_that_refer_to_no_parent_but_keeps_null() {
    let columns = [column("group_id", DataType::Integer)];
    let filter = RowFilter::Dangling {
        column: "group_id".to_owned(),
        parent_table: "PARENT".to_owned(),
        parent_column: "id".to_owned(),
    };
    let rows: [&[Cell<'_>]; 3] = [&[Cell::Int(2)], &[Cell::Int(3)], &[Cell::Null]];
    assert_eq!(
        applied(&columns, &[filter], &[], &rows).await,
        ["[Int(2)]", "[Null]"]
    );
}

#[tokio::test]
async fn changes_a_cell_where_its_condition_holds() {
    let columns = [
        column("engine", DataType::Text),
        column("is_attached_dwh", DataType::Boolean),
        column("details", DataType::Text),
    ];
    let to = NewValue::Text("{}".to_owned());
    let details = |when| CellRewrite {
        column: "details".to_owned(),
        when,
        to: to.clone(),
    };
    let rewrites = [
        details(RewriteWhen::TextEquals {
            column: "engine".to_owned(),
            value: "h2".to_owned(),
        }),
        details(RewriteWhen::IsTrue {
            column: "is_attached_dwh".to_owned(),
        }),
        details(RewriteWhen::IsTrue {
            column: "a column of another version".to_owned(),
        }),
    ];
    let row = |engine, attached| [Cell::Text(engine), Cell::Boolean(attached), Cell::Text("secret")];
    let rows = [row("h2", false), row("postgres", true), row("postgres", false)];
    let rows: Vec<&[Cell<'_>]> = rows.iter().map(|row| &row[..]).collect();
    assert_eq!(
        applied(&columns, &[], &rewrites, &rows).await,
        [
            r#"[Text("h2"), Boolean(false), Text("{}")]"#,
            r#"[Text("postgres"), Boolean(true), Text("{}")]"#,
            r#"[Text("postgres"), Boolean(false), Text("secret")]"#
        ]
    );
}
