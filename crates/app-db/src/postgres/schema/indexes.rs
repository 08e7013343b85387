//! Indexes that no constraint owns.

use metaferry_domain::schema::{Index, IndexOrder, IndexPart, Name, Uniqueness};
use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use super::tables::Tables;
use super::{get, sql};

pub(super) async fn read(
    connection: &mut PgConnection,
    oids: &[Oid],
    tables: &mut Tables,
) -> Result<(), sqlx::Error> {
    // A row per part. A foreign key names the index of its parent too, without owning it. Only B-trees and hashes
    // mean something to another database.
    let rows = sqlx::query(
        "SELECT i.indrelid, i.indexrelid, c.relname::text, i.indisunique,
             pg_catalog.pg_get_expr(i.indpred, i.indrelid), a.attname::text,
             CASE WHEN i.indkey[part.place] = 0
                  THEN pg_catalog.pg_get_indexdef(i.indexrelid, part.place + 1, false) END,
             i.indoption[part.place] & 1 = 1
         FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         JOIN pg_catalog.pg_am method ON method.oid = c.relam AND method.amname IN ('btree', 'hash')
         CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS part (place)
         LEFT JOIN pg_catalog.pg_attribute a
             ON a.attrelid = i.indrelid AND a.attnum = i.indkey[part.place] AND a.attnum > 0
         WHERE i.indrelid = ANY ($1) AND i.indisvalid
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint con
                           WHERE con.conindid = i.indexrelid AND con.contype IN ('p', 'u', 'x'))
         ORDER BY i.indrelid, c.relname, i.indexrelid, part.place",
    )
    .bind(oids)
    .fetch_all(connection)
    .await?;
    let mut last: Option<Oid> = None;
    for row in &rows {
        let index: Oid = get(row, 1)?;
        let Some(table) = tables.table(get(row, 0)?) else {
            continue;
        };
        if last != Some(index) {
            last = Some(index);
            table.indexes.push(Index {
                name: Name::new(get::<String>(row, 2)?),
                uniqueness: if get(row, 3)? {
                    Uniqueness::Unique
                } else {
                    Uniqueness::NonUnique
                },
                parts: Vec::new(),
                predicate: get::<Option<String>>(row, 4)?.map(sql),
            });
        }
        let part = match (get::<Option<String>>(row, 5)?, get::<Option<String>>(row, 6)?) {
            (Some(name), _) => {
                let order = if get(row, 7)? {
                    IndexOrder::Descending
                } else {
                    IndexOrder::Ascending
                };
                IndexPart::Column {
                    name: Name::new(name),
                    order,
                }
            }
            (None, Some(expression)) => IndexPart::Expression(sql(expression)),
            (None, None) => continue,
        };
        if let Some(index) = table.indexes.last_mut() {
            index.parts.push(part);
        }
    }
    Ok(())
}
