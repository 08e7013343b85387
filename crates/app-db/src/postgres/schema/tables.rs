//! Tables and their columns.

use std::collections::HashMap;

use metaferry_domain::schema::{Catalogue, Column, Name, Nullability, Table, ValueSource, View};
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{IS_TABLE, ReadCatalogue, TableKind, TableReading, get, sql};
use crate::postgres::types::{NativeType, column_type};

/// Bytes of a row where the server has not counted rows yet.
const ROW_BYTES_GUESS: f64 = 200.0;

/// Tables being put together.
pub(super) struct Tables {
    tables: Vec<(Table, TableReading)>,
    pub(super) by_oid: HashMap<Oid, usize>,
    /// Column of an attribute number.
    columns: HashMap<(Oid, i16), usize>,
}

impl Tables {
    pub(super) fn table(&mut self, oid: Oid) -> Option<&mut Table> {
        self.by_oid.get(&oid).map(|&at| &mut self.tables[at].0)
    }

    pub(super) fn column(&mut self, oid: Oid, number: i16) -> Option<&mut Column> {
        let at = *self.columns.get(&(oid, number))?;
        self.table(oid).map(|table| &mut table.columns[at])
    }

    pub(super) fn finish(mut self, views: Vec<View>) -> ReadCatalogue {
        self.tables.sort_by_key(|(table, _)| table.name.key());
        let readings = self
            .tables
            .iter()
            .map(|(table, reading)| (table.name.key(), reading.clone()))
            .collect();
        let tables = self.tables.into_iter().map(|(table, _)| table).collect();
        ReadCatalogue {
            catalogue: Catalogue { tables, views },
            readings,
        }
    }
}

pub(super) async fn read(connection: &mut PgConnection, schema: &str) -> Result<Tables, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT c.oid, c.relname::text, c.relkind = 'p', pg_catalog.obj_description(c.oid, 'pg_class'),
             size.rows, size.bytes
         FROM pg_catalog.pg_class c
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(leaf.reltuples) FILTER (WHERE leaf.reltuples > 0), -1)::float8 AS rows,
                 coalesce(sum(pg_catalog.pg_table_size(leaf.oid)), 0)::float8 AS bytes
             FROM (SELECT c.oid AS relid UNION SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)) tree
             JOIN pg_catalog.pg_class leaf ON leaf.oid = tree.relid
         ) size
         WHERE {IS_TABLE} ORDER BY c.oid"
    )))
    .bind(schema)
    .fetch_all(&mut *connection)
    .await?;
    let mut tables = Tables {
        tables: Vec::new(),
        by_oid: HashMap::new(),
        columns: HashMap::new(),
    };
    for row in &rows {
        let bytes: f64 = get(row, 5)?;
        let counted: f64 = get(row, 4)?;
        let table = Table {
            schema: Name::new(schema),
            name: Name::new(get::<String>(row, 1)?),
            columns: Vec::new(),
            primary_key: None,
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            indexes: Vec::new(),
            comment: get(row, 3)?,
            rows_estimate: estimate(if counted < 0.0 {
                bytes / ROW_BYTES_GUESS
            } else {
                counted
            }),
            bytes_estimate: estimate(bytes),
        };
        let kind = if get(row, 2)? {
            TableKind::Partitioned
        } else {
            TableKind::Ordinary
        };
        tables.by_oid.insert(get(row, 0)?, tables.tables.len());
        tables.tables.push((
            table,
            TableReading {
                kind,
                columns: Vec::new(),
            },
        ));
    }
    let oids: Vec<Oid> = tables.by_oid.keys().copied().collect();
    read_columns(connection, &oids, &mut tables).await?;
    Ok(tables)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, not negative"
)]
fn estimate(number: f64) -> u64 {
    number.max(0.0) as u64
}

async fn read_columns(
    connection: &mut PgConnection,
    oids: &[Oid],
    tables: &mut Tables,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "WITH RECURSIVE domain AS (
             SELECT oid, typbasetype AS base, typtypmod AS typmod, typnotnull AS not_null
             FROM pg_catalog.pg_type WHERE typtype = 'd'
             UNION ALL
             SELECT domain.oid, next.typbasetype, next.typtypmod, domain.not_null OR next.typnotnull
             FROM domain JOIN pg_catalog.pg_type next ON next.oid = domain.base WHERE next.typtype = 'd'
         )
         SELECT a.attrelid, a.attnum, a.attname::text, base.oid, base.typname::text,
             coalesce(domain.typmod, a.atttypmod), pg_catalog.format_type(a.atttypid, a.atttypmod),
             a.attnotnull OR coalesce(domain.not_null, false), a.attidentity::text, a.attgenerated::text,
             pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.col_description(a.attrelid, a.attnum)
         FROM pg_catalog.pg_attribute a
         LEFT JOIN domain ON domain.oid = a.atttypid
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_type outer_type
                             WHERE outer_type.oid = domain.base AND outer_type.typtype = 'd')
         JOIN pg_catalog.pg_type base ON base.oid = coalesce(domain.base, a.atttypid)
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attrelid, a.attnum",
    )
    .bind(oids)
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let (oid, number): (Oid, i16) = (get(row, 0)?, get(row, 1)?);
        let Some(&at) = tables.by_oid.get(&oid) else {
            continue;
        };
        let type_oid: Oid = get(row, 3)?;
        let native = NativeType {
            oid: type_oid.0,
            name: get(row, 4)?,
            typmod: get(row, 5)?,
        };
        let (data_type, reading) = column_type(native);
        let (identity, generated): (&str, &str) = (get(row, 8)?, get(row, 9)?);
        let expression: Option<String> = get(row, 10)?;
        let value_source = match expression {
            _ if !identity.is_empty() => ValueSource::Identity { next: None },
            None => ValueSource::None,
            Some(expression) if !generated.is_empty() => ValueSource::Generated(sql(expression)),
            Some(expression) => ValueSource::Default(sql(expression)),
        };
        let column = Column {
            name: Name::new(get::<String>(row, 2)?),
            data_type,
            native_type: get(row, 6)?,
            nullability: if get(row, 7)? {
                Nullability::NotNull
            } else {
                Nullability::Nullable
            },
            value_source,
            comment: get(row, 11)?,
        };
        let (table, table_reading) = &mut tables.tables[at];
        tables.columns.insert((oid, number), table.columns.len());
        table.columns.push(column);
        table_reading.columns.push(reading);
    }
    Ok(())
}
