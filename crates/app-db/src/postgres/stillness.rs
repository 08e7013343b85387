//! Whether tables that should have been still were written to all the same, from the moment that the snapshot was about to
//! be taken: by rows whose writer that moment cannot see, and by counts for those that are gone.

use metaferry_domain::PortError;
use metaferry_metabase::read_only::{Exemption, exemption, is_guarded};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};

use super::connect::{close, quoted};
use super::guard::Guarded;
use super::triggers::end_statement;
use super::worker_sessions::mark;
use crate::answer::Awaited;
use crate::error::failed;
use crate::still::{KEYS_SHOWN, Written, counts};

/// What was there at the moment that stillness is measured from.
#[derive(Debug, Clone)]
pub(super) struct Stillness {
    /// As `txid_current_snapshot` says it.
    snapshot: String,
    tables: Vec<Still>,
}

#[derive(Debug, Clone)]
struct Still {
    table: Watched,
    rows: i64,
    /// Of the columns that count, where others may change.
    digest: Option<String>,
}

/// A table that should be still.
#[derive(Debug, Clone)]
struct Watched {
    /// With its schema, quoted.
    name: String,
    /// As people call it.
    shown: String,
    /// The primary key in one text; NULL where there is none.
    key: String,
    /// A digest of the columns that count, where others may change.
    digest: Option<String>,
}

impl Stillness {
    /// From now on.
    pub(super) async fn begins(pool: &PgPool) -> Result<Self, PortError> {
        let (mut connection, awaited) = begin(pool).await?;
        let snapshot: String = sqlx::query_scalar("SELECT txid_current_snapshot()::text")
            .fetch_one(&mut connection)
            .await
            .map_err(look)?;
        let mut tables = Vec::new();
        for table in watched(&mut connection).await? {
            let (rows, digest): (i64, Option<String>) = sqlx::query_as(AssertSqlSafe(format!(
                "SELECT count(*), {} FROM {} t",
                table.digest.as_deref().unwrap_or("NULL::text"),
                table.name
            )))
            .fetch_one(&mut connection)
            .await
            .map_err(look)?;
            tables.push(Still { table, rows, digest });
        }
        awaited.answered();
        close(connection).await;
        Ok(Self { snapshot, tables })
    }

    /// The tables that were written to since, each in words with counts and keys.
    pub(super) async fn broken(&self, pool: &PgPool, guarded: Guarded) -> Result<Vec<String>, PortError> {
        let (mut connection, awaited) = begin(pool).await?;
        // The low 32 bits are all that a row has of its writer's number. What is higher than every number given so far is
        // of an earlier round.
        let given_below: i64 = sqlx::query_scalar("SELECT txid_snapshot_xmax(txid_current_snapshot())")
            .fetch_one(&mut connection)
            .await
            .map_err(look)?;
        let mut broken = Vec::new();
        for Still { table, rows, digest } in &self.tables {
            let writer = format!(
                "(({given_below}::bigint >> 32) << 32) + t.xmin::text::bigint
                    - CASE WHEN t.xmin::text::bigint > ({given_below}::bigint & 4294967295) THEN 4294967296 ELSE 0 END"
            );
            let unseen = format!(
                "t.xmin::text::bigint > 2 AND ({writer}) > 0
                 AND NOT txid_visible_in_snapshot({writer}, '{}'::txid_snapshot)",
                self.snapshot
            );
            let row = sqlx::query(AssertSqlSafe(format!(
                "SELECT count(*), count(*) FILTER (WHERE {unseen}),
                     (array_agg({} ORDER BY t.ctid) FILTER (WHERE {unseen}))[1:{KEYS_SHOWN}], {} FROM {} t",
                table.key,
                table.digest.as_deref().unwrap_or("NULL::text"),
                table.name
            )))
            .fetch_one(&mut connection)
            .await
            .map_err(look)?;
            let now: i64 = row.try_get(0).map_err(look)?;
            let written: i64 = row.try_get(1).map_err(look)?;
            let keys: Option<Vec<Option<String>>> = row.try_get(2).map_err(look)?;
            let digest_now: Option<String> = row.try_get(3).map_err(look)?;
            let gone = rows - (now - written);
            let is_broken = match digest {
                // Other columns may change: rows that were written say nothing yet.
                Some(digest) => *rows != now || Some(digest) != digest_now.as_ref(),
                // Triggers let an update pass that changes nothing, and no other.
                None => match guarded {
                    Guarded::Yes => written != gone,
                    Guarded::No => written > 0 || gone > 0,
                },
            };
            if is_broken {
                let keys: Vec<String> = keys.into_iter().flatten().flatten().collect();
                let written = Written {
                    rows: written.unsigned_abs(),
                    keys,
                    gone: gone.unsigned_abs(),
                    gone_keys: Vec::new(),
                };
                broken.push(written.in_words(&table.shown));
            }
        }
        awaited.answered();
        close(connection).await;
        Ok(broken)
    }
}

/// A session of its own that sees one moment, and waits for nobody. What it reads may take long, and keeps triggers from
/// being taken away.
async fn begin(pool: &PgPool) -> Result<(PgConnection, Awaited), PortError> {
    let mut connection = pool.acquire().await.map_err(look)?.detach();
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '700ms'")
        .execute(&mut connection)
        .await
        .map_err(look)?;
    let session: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut connection)
        .await
        .map_err(look)?;
    mark(&mut connection).await.map_err(look)?;
    let pool = pool.clone();
    let awaited = Awaited::or(async move { end_statement(&pool, session).await });
    Ok((connection, awaited))
}

async fn watched(connection: &mut PgConnection) -> Result<Vec<Watched>, PortError> {
    let rows = sqlx::query(
        "SELECT n.nspname::text, c.relname::text,
             array(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum),
             array(SELECT a.attname::text FROM pg_catalog.pg_index i
                 CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS part (attnum, place)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = part.attnum
                 WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY part.place)
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
             AND has_table_privilege(c.oid, 'SELECT') ORDER BY c.relname",
    )
    .fetch_all(connection)
    .await
    .map_err(look)?;
    let mut tables = Vec::new();
    for row in rows {
        let table: String = row.try_get(1).map_err(look)?;
        if !is_guarded(&table) {
            continue;
        }
        let schema: String = row.try_get(0).map_err(look)?;
        let columns: Vec<String> = row.try_get(2).map_err(look)?;
        let key: Vec<String> = row.try_get(3).map_err(look)?;
        let digest = match exemption(&table) {
            Exemption::Columns(_) => {
                let counted = columns
                    .iter()
                    .filter(|column| key.contains(column) || counts(&table, column))
                    .map(|column| format!("t.{}", quoted(column)));
                let counted = counted.collect::<Vec<_>>().join(", ");
                Some(format!(
                    "sum(('x' || md5(row({counted})::text))::bit(64)::bigint::numeric)::text"
                ))
            }
            Exemption::None | Exemption::WholeTable => None,
        };
        let key: Vec<String> = key
            .iter()
            .map(|column| format!("t.{}::text", quoted(column)))
            .collect();
        tables.push(Watched {
            name: format!("{}.{}", quoted(&schema), quoted(&table)),
            key: if key.is_empty() {
                "NULL::text".to_owned()
            } else {
                format!("concat_ws('/', {})", key.join(", "))
            },
            shown: table,
            digest,
        });
    }
    Ok(tables)
}

fn look(error: sqlx::Error) -> PortError {
    failed("look for writes to tables that should have been still", error)
}
