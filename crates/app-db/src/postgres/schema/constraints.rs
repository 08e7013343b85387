//! Primary keys, unique constraints, foreign keys and checks.

use metaferry_domain::schema::{Check, ForeignKey, Key, Name, ReferentialAction};
use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use super::tables::Tables;
use super::{get, sql};

pub(super) async fn read(
    connection: &mut PgConnection,
    oids: &[Oid],
    tables: &mut Tables,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT con.conrelid, con.conname::text, con.contype::text,
             (SELECT array_agg(a.attname::text ORDER BY key.place)
              FROM unnest(con.conkey) WITH ORDINALITY AS key (number, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = key.number),
             con.confrelid, parent.relname::text,
             (SELECT array_agg(a.attname::text ORDER BY key.place)
              FROM unnest(con.confkey) WITH ORDINALITY AS key (number, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = key.number),
             con.confdeltype::text, con.confupdtype::text, pg_catalog.pg_get_expr(con.conbin, con.conrelid)
         FROM pg_catalog.pg_constraint con
         LEFT JOIN pg_catalog.pg_class parent ON parent.oid = con.confrelid
         WHERE con.conrelid = ANY ($1) AND con.contype IN ('p', 'u', 'f', 'c') AND con.conparentid = 0
         ORDER BY con.conrelid, con.conname",
    )
    .bind(oids)
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let (oid, name): (Oid, String) = (get(row, 0)?, get(row, 1)?);
        let columns = names(get(row, 3)?);
        let parent: Oid = get(row, 4)?;
        let parent_is_known = tables.by_oid.contains_key(&parent);
        let Some(table) = tables.table(oid) else { continue };
        let name = Name::new(name);
        match get::<&str>(row, 2)? {
            "p" => table.primary_key = Some(Key { name, columns }),
            "u" => table.uniques.push(Key { name, columns }),
            "c" => {
                if let Some(condition) = get::<Option<String>>(row, 9)? {
                    table.checks.push(Check {
                        name,
                        condition: sql(condition),
                    });
                }
            }
            // A parent outside of the schema does not come along, and neither can the rule.
            "f" if !parent_is_known => {
                tracing::warn!(table = %table.name, foreign_key = %name, "its parent is in another schema; left out");
            }
            _ => table.foreign_keys.push(ForeignKey {
                name,
                columns,
                parent_table: Name::new(get::<Option<String>>(row, 5)?.unwrap_or_default()),
                parent_columns: names(get(row, 6)?),
                on_delete: action(get(row, 7)?),
                on_update: action(get(row, 8)?),
            }),
        }
    }
    Ok(())
}

fn names(names: Option<Vec<String>>) -> Vec<Name> {
    names.unwrap_or_default().into_iter().map(Name::new).collect()
}

/// The letters of `pg_constraint.confdeltype`.
fn action(letter: &str) -> ReferentialAction {
    match letter {
        "r" => ReferentialAction::Restrict,
        "c" => ReferentialAction::Cascade,
        "n" => ReferentialAction::SetNull,
        "d" => ReferentialAction::SetDefault,
        _ => ReferentialAction::NoAction,
    }
}
