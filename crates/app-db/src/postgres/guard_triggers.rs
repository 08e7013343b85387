//! The triggers that keep tables still: on which tables, and what each is fired by. Whether they refuse is for
//! [`super::guard`].

use metaferry_domain::PortError;
use metaferry_metabase::read_only::{Exemption, exemption, is_guarded};
use sqlx::{PgConnection, PgPool, Row as _};

use super::connect::quoted;
use super::own_tables::OwnTables;
use crate::error::failed;

/// The trigger that every guarded table has.
pub(super) const ON_ROWS: &str = "metaferry_guard_rows";
const ON_TRUNCATE: &str = "metaferry_guard_truncate";
const ON_UPDATE: &str = "metaferry_guard_update";

/// The condition on `pg_trigger` that a trigger is one of a guarded table's, or the one named.
pub(super) fn is_ours(or: Option<&str>) -> String {
    let names: Vec<String> = [Some(ON_ROWS), Some(ON_TRUNCATE), Some(ON_UPDATE), or]
        .into_iter()
        .flatten()
        .map(|name| format!("'{name}'"))
        .collect();
    format!("NOT tgisinternal AND tgname IN ({})", names.join(", "))
}

/// A table that must not change.
pub(super) struct GuardedTable {
    /// With its schema, quoted.
    pub(super) name: String,
    /// May we take a trigger away from it again?
    pub(super) owned: bool,
    /// How two versions of a row are told apart, in columns that must not change; empty if there is none.
    differs: String,
}

/// The tables that must not change, with the columns that count.
pub(super) async fn guarded_tables(pool: &PgPool) -> Result<Vec<GuardedTable>, PortError> {
    let read = |error| failed("read which tables are to be guarded", error);
    let rows = sqlx::query(
        "SELECT n.nspname::text, c.relname::text, pg_has_role(c.relowner, 'USAGE'),
             coalesce(array_agg(a.attname::text ORDER BY a.attnum)
                 FILTER (WHERE a.attgenerated = '' AND a.attnum IS NOT NULL), '{}'),
             coalesce(array_agg(t.typname::text ORDER BY a.attnum)
                 FILTER (WHERE a.attgenerated = '' AND a.attnum IS NOT NULL), '{}')
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
         WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
         GROUP BY n.nspname, c.oid, c.relname, c.relowner ORDER BY c.relname",
    )
    .fetch_all(pool)
    .await
    .map_err(read)?;
    let mut tables = Vec::new();
    for row in rows {
        let table: String = row.try_get(1).map_err(read)?;
        if !is_guarded(&table) {
            continue;
        }
        let schema: String = row.try_get(0).map_err(read)?;
        let columns: Vec<String> = row.try_get(3).map_err(read)?;
        let types: Vec<String> = row.try_get(4).map_err(read)?;
        let exempt: &[&str] = match exemption(&table) {
            Exemption::Columns(columns) => columns,
            Exemption::None | Exemption::WholeTable => &[],
        };
        let differs: Vec<String> = columns
            .iter()
            .zip(&types)
            .filter(|(column, _)| !exempt.contains(&column.to_lowercase().as_str()))
            .map(|(column, data_type)| differs(column, data_type))
            .collect();
        tables.push(GuardedTable {
            name: format!("{}.{}", quoted(&schema), quoted(&table)),
            owned: row.try_get(2).map_err(read)?,
            differs: differs.join(" OR "),
        });
    }
    Ok(tables)
}

/// Types whose own comparison tells every difference that a dump would show. Others are compared as text: they may have
/// no comparison, or one that takes different texts for the same.
const COMPARED: [&str; 17] = [
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "text",
    "varchar",
    "bpchar",
    "bytea",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "oid",
];

fn differs(column: &str, data_type: &str) -> String {
    let name = quoted(column);
    if COMPARED.contains(&data_type) {
        format!("OLD.{name} IS DISTINCT FROM NEW.{name}")
    } else {
        format!("OLD.{name}::text IS DISTINCT FROM NEW.{name}::text")
    }
}

/// A trigger as it is to be.
pub(super) struct Definition {
    pub(super) name: String,
    /// The statement that makes it.
    pub(super) sql: String,
    /// What tells it from one of another statement, such as of columns that were fewer; its only argument.
    mark: String,
}

impl Definition {
    fn new(name: &str, fired: &str, function: &str) -> Self {
        let sql = format!("CREATE TRIGGER {name} BEFORE {fired} EXECUTE FUNCTION {function}");
        let mark = mark(&sql);
        Self {
            sql: format!("{sql}('{mark}')"),
            name: name.to_owned(),
            mark,
        }
    }

    /// What is there of it.
    pub(super) async fn found(&self, connection: &mut PgConnection, table: &str) -> Result<Found, PortError> {
        let as_defined: Option<bool> = sqlx::query_scalar(
            "SELECT tgenabled = 'O' AND tgargs = convert_to($3, 'UTF8') || '\\x00'::bytea FROM pg_catalog.pg_trigger
             WHERE tgrelid = to_regclass($1) AND tgname = $2",
        )
        .bind(table)
        .bind(&self.name)
        .bind(&self.mark)
        .fetch_optional(connection)
        .await
        .map_err(|error| failed(format!("look for triggers on {table}"), error))?;
        Ok(match as_defined {
            None => Found::Nothing,
            Some(false) => Found::Another,
            Some(true) => Found::AsDefined,
        })
    }
}

/// What is there under a trigger's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// Such as one that was left behind, and knows nothing of a column that came since.
    Another,
    AsDefined,
}

/// FNV-1a, in hexadecimal digits: the same in every version of this program.
fn mark(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The triggers of one table. An update that changes nothing, or only what is exempt, fires none.
pub(super) fn definitions(table: &GuardedTable, own: &OwnTables) -> Vec<Definition> {
    let (name, function) = (&table.name, own.guard_function());
    let define = |trigger, fired: String| Definition::new(trigger, &fired, &function);
    let mut definitions = vec![
        define(ON_ROWS, format!("INSERT OR DELETE ON {name} FOR EACH ROW")),
        define(ON_TRUNCATE, format!("TRUNCATE ON {name} FOR EACH STATEMENT")),
    ];
    if !table.differs.is_empty() {
        definitions.push(define(
            ON_UPDATE,
            format!("UPDATE ON {name} FOR EACH ROW WHEN ({})", table.differs),
        ));
    }
    definitions
}
