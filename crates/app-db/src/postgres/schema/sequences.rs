//! Identity columns and columns whose default is a sequence's next value, and what that value will be.

use std::collections::HashMap;

use metaferry_domain::schema::ValueSource;
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, PgConnection};

use super::get;
use super::tables::Tables;

pub(super) async fn read(
    connection: &mut PgConnection,
    oids: &[Oid],
    tables: &mut Tables,
) -> Result<(), sqlx::Error> {
    // An identity's sequence hangs on its column, a serial's or hand-made one is used by the column's default. Two
    // columns may share a sequence.
    let rows = sqlx::query(
        "WITH used AS (
             SELECT refobjid AS relid, refobjsubid AS number, objid AS sequence FROM pg_catalog.pg_depend
             WHERE classid = 'pg_catalog.pg_class'::regclass AND refclassid = 'pg_catalog.pg_class'::regclass
               AND deptype = 'i' AND refobjid = ANY ($1) AND refobjsubid > 0
             UNION
             SELECT def.adrelid, def.adnum, dependency.refobjid
             FROM pg_catalog.pg_attrdef def
             JOIN pg_catalog.pg_depend dependency
                 ON dependency.classid = 'pg_catalog.pg_attrdef'::regclass AND dependency.objid = def.oid
                AND dependency.refclassid = 'pg_catalog.pg_class'::regclass
             WHERE def.adrelid = ANY ($1) AND pg_catalog.pg_get_expr(def.adbin, def.adrelid) LIKE 'nextval(%'
         )
         SELECT used.relid, used.number::int2, s.seqrelid, s.seqincrement,
             used.sequence::regclass::text,
             pg_catalog.has_sequence_privilege(s.seqrelid, 'SELECT')
         FROM used JOIN pg_catalog.pg_sequence s ON s.seqrelid = used.sequence",
    )
    .bind(oids)
    .fetch_all(&mut *connection)
    .await?;
    let mut positions = Vec::new();
    for row in &rows {
        let (sequence, name): (Oid, &str) = (get(row, 2)?, get(row, 4)?);
        if get(row, 5)? {
            // regclass prints the name quoted as SQL wants it.
            positions.push(format!(
                "SELECT {}::oid, last_value, is_called FROM {name}",
                sequence.0
            ));
        }
    }
    let mut next_values: HashMap<Oid, (i64, bool)> = HashMap::new();
    positions.sort_unstable();
    positions.dedup();
    if !positions.is_empty() {
        // Sequences are outside of every snapshot: read after it, they are at least as far as its rows.
        for row in &sqlx::query(AssertSqlSafe(positions.join(" UNION ALL ")))
            .persistent(false)
            .fetch_all(connection)
            .await?
        {
            next_values.insert(get(row, 0)?, (get(row, 1)?, get(row, 2)?));
        }
    }
    for row in &rows {
        let increment: i64 = get(row, 3)?;
        let next = next_values
            .get(&get::<Oid>(row, 2)?)
            .and_then(|&(last, is_called)| {
                if is_called {
                    last.checked_add(increment)
                } else {
                    Some(last)
                }
            });
        if let Some(column) = tables.column(get(row, 0)?, get(row, 1)?) {
            column.value_source = ValueSource::Identity { next };
        }
    }
    Ok(())
}
