//! An empty database: filled in a schema of its own, several tables at once, and shown by one swap. Keys and indexes
//! are built when the rows are there.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use metaferry_domain::ports::{FinishedTarget, Snapshot, Source as _};
use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, PgConnection};

use super::copy_in::{Bounds, Build, ColumnPlan, TablePlan};
use super::pool::{Pool, WITHOUT_WAITING};
use super::{WRITERS, run};
use crate::error::{failed, failed_at_rows, kind};
use crate::postgres::connect::{PostgresServer, close, quoted};
use crate::postgres::snapshot::PostgresSource;
use crate::postgres::translate::{
    CHANGES, CHANGES_FILE, Citext, History, Supply, TranslatedTable, Translation, translate,
};
use crate::sql::postgres_text::literal;

/// Names of staging schemas begin so.
const PREFIX: &str = "metaferry_load_";
/// What their comment says: nothing without it is ever removed.
const COMMENT: &str = "metaferry: an unfinished load; may be dropped";
/// What the extension's own control file says.
const COMMENT_OF_CITEXT: &str = "data type for case-insensitive character strings";
/// How long the swap waits for somebody who looks at the target's schema.
const SWAP_LOCK_TIMEOUT_MS: u32 = 10_000;

/// A schema that is being filled.
pub(super) struct Staging {
    server: PostgresServer,
    leader: PgConnection,
    /// The schema to fill.
    target: String,
    /// Where it is filled meanwhile.
    name: String,
    /// The search path of whoever builds.
    path: String,
    /// Whose is the extension?
    extension: Extension,
    translation: Translation,
    pub(super) plans: Vec<TablePlan>,
    pub(super) pool: Arc<Pool>,
}

/// Where `citext` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    /// Made for this load, and gone again if it fails.
    Ours,
    /// There already, or not needed.
    Untouched,
}

impl Staging {
    /// Makes the schema and its tables, empty and bare.
    pub(super) async fn begin(
        server: &PostgresServer,
        mut leader: PgConnection,
        target: String,
        catalogue: &Catalogue,
    ) -> Result<(Self, Vec<String>), PortError> {
        let mut translation = translate(catalogue)?;
        let notes = std::mem::take(&mut translation.notes);
        let name = format!("{PREFIX}{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let mut path = vec![quoted(&name), quoted(&target)];
        let mut sql = format!(
            "{WITHOUT_WAITING}; BEGIN; CREATE SCHEMA {0}; COMMENT ON SCHEMA {0} IS {1};",
            quoted(&name),
            literal(COMMENT)
        );
        let mut extension = Extension::Untouched;
        if translation.citext == Citext::Needed {
            match schema_of_citext(&mut leader).await? {
                Some(schema) => path.push(quoted(&schema)),
                None => {
                    extension = Extension::Ours;
                    // Where it is to be: what it holds belongs to the server, and only a superuser could move it.
                    sql.push_str(&format!(
                        "CREATE EXTENSION citext SCHEMA {}; COMMENT ON EXTENSION citext IS {};",
                        quoted(&target),
                        literal(COMMENT)
                    ));
                }
            }
        }
        let path = path.join(", ");
        sql.push_str(&format!("SET search_path = {path};"));
        for table in &translation.tables {
            sql.push_str(&table.create);
            sql.push(';');
        }
        sql.push_str("COMMIT");
        run(&mut leader, sql)
            .await
            .map_err(|error| failed("make the staging schema and its tables", error))?;
        let plans = catalogue
            .tables
            .iter()
            .zip(&translation.tables)
            .map(|(table, translated)| TablePlan {
                key: table.name.key(),
                schema: name.clone(),
                name: translated.name.clone(),
                columns: translated
                    .columns
                    .iter()
                    .map(|column| match column.source {
                        Supply::Generated => None,
                        Supply::Rows | Supply::Identity { .. } => Some(ColumnPlan {
                            name: column.name.clone(),
                            postgres_type: column.postgres_type,
                        }),
                    })
                    .collect(),
                primary_key: table
                    .primary_key
                    .iter()
                    .flat_map(|key| &key.columns)
                    .filter_map(|name| table.columns.iter().position(|column| column.name == *name))
                    .collect(),
                bounds: Bounds::OfTable,
                build: Build::new(
                    path.clone(),
                    translated
                        .after_rows
                        .iter()
                        .filter(|after| after.since.is_none())
                        .map(|after| after.statement.clone())
                        .collect(),
                ),
            })
            .collect();
        let staging = Self {
            server: server.clone(),
            leader,
            target,
            name,
            path,
            extension,
            translation,
            plans,
            pool: Pool::of_server(server.clone(), WRITERS),
        };
        Ok((staging, notes))
    }

    /// Keys, indexes, checks, foreign keys, sequences, views and comments.
    pub(super) async fn build(&mut self) -> Result<(), PortError> {
        let largest_first = self.largest_first().await?;
        let history = self.history().await?;
        let tables = &self.translation.tables;
        let in_order: Vec<&TranslatedTable> = largest_first
            .iter()
            .filter_map(|name| tables.iter().find(|table| table.name == *name))
            .collect();
        // Of tables that nothing was written to, and what only Metabase's history tells.
        let late = |table: &TranslatedTable| -> Vec<String> {
            let plan = self.plans.iter().find(|plan| plan.name == table.name);
            let unwritten = plan.map(|plan| plan.build.take()).unwrap_or_default();
            let told = table
                .after_rows
                .iter()
                .filter(|after| after.since.is_some_and(|change| history.contains(change)));
            unwritten
                .into_iter()
                .chain(told.map(|after| after.statement.clone()))
                .collect()
        };
        self.work_off(in_order.iter().map(|table| late(table))).await?;

        let add: Vec<&str> = tables
            .iter()
            .flat_map(|table| &table.foreign_keys)
            .map(|key| key.add.as_str())
            .collect();
        run(&mut self.leader, add.join(";"))
            .await
            .map_err(|error| failed("add the foreign keys", error))?;
        let validate = in_order.iter().map(|table| {
            let keys = table.foreign_keys.iter();
            keys.map(|key| key.validate.clone()).collect()
        });
        self.work_off(validate).await?;
        self.sequences().await?;
        let rest: Vec<&str> = self
            .translation
            .create_views
            .iter()
            .chain(self.translation.tables.iter().flat_map(|table| &table.comments))
            .map(String::as_str)
            .collect();
        run(&mut self.leader, rest.join(";"))
            .await
            .map_err(|error| failed("make the views", error))
    }

    /// Ids of the changes in Metabase's history; none where there is no history.
    async fn history(&mut self) -> Result<BTreeSet<String>, PortError> {
        if self.history_table().is_none() {
            return Ok(BTreeSet::new());
        }
        let sql = format!("SELECT id::text FROM {}.databasechangelog", quoted(&self.name));
        let ids: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_all(&mut self.leader)
            .await
            .map_err(|error| failed("read Metabase's schema history", error))?;
        Ok(ids.into_iter().collect())
    }

    fn history_table(&self) -> Option<&TranslatedTable> {
        self.translation
            .tables
            .iter()
            .find(|table| table.name == "databasechangelog")
    }

    /// Tells the history of what was made here because Metabase makes it on Postgres.
    fn complete_history(&self) -> String {
        if self.translation.history == History::OfPostgres || self.history_table().is_none() {
            return String::new();
        }
        let log = format!("{}.databasechangelog", quoted(&self.name));
        let mut sql = String::new();
        for change in CHANGES {
            let (id, since) = (literal(change.id), literal(change.since));
            sql.push_str(&format!(
                "INSERT INTO {log} (id, author, filename, dateexecuted, orderexecuted, exectype, description)
                 SELECT {id}, {}, {}, (SELECT max(dateexecuted) FROM {log}), (SELECT max(orderexecuted) + 1 FROM {log}),
                     'EXECUTED', {}
                 WHERE EXISTS (SELECT FROM {log} WHERE id = {since}) AND NOT EXISTS (SELECT FROM {log} WHERE id = {id});",
                literal(change.author),
                literal(CHANGES_FILE),
                literal(change.description)
            ));
        }
        sql
    }

    /// Names of the tables, the largest first, so that no long job is begun last.
    async fn largest_first(&mut self) -> Result<Vec<String>, PortError> {
        sqlx::query_scalar(
            "SELECT relname::text FROM pg_catalog.pg_class
             WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
             ORDER BY pg_catalog.pg_table_size(oid) DESC",
        )
        .bind(&self.name)
        .fetch_all(&mut self.leader)
        .await
        .map_err(|error| failed("look at the sizes of the tables", error))
    }

    /// Runs jobs on the sessions that write, with the search path of whoever builds.
    async fn work_off(&self, jobs: impl Iterator<Item = Vec<String>>) -> Result<(), PortError> {
        let jobs: VecDeque<Vec<String>> = jobs.filter(|statements| !statements.is_empty()).collect();
        let set_path = format!("SET search_path = {}", self.path);
        self.pool.work_off(&set_path, jobs, unbuilt).await
    }

    /// Every sequence goes on after the highest value, or where the source would have gone on, if that is later.
    async fn sequences(&mut self) -> Result<(), PortError> {
        let mut questions = Vec::new();
        for (table, column, next) in self.identities() {
            questions.push(format!(
                "SELECT {}::text AS place, CASE WHEN max({column}) IS NULL THEN NULL \
                 ELSE greatest(max({column})::int8 + 1, {}) END AS next FROM {table}",
                literal(&format!("ALTER TABLE {table} ALTER COLUMN {column}")),
                next.unwrap_or(1)
            ));
        }
        restart(&mut self.leader, &questions).await
    }

    fn identities(&self) -> Vec<(String, String, Option<i64>)> {
        let mut identities = Vec::new();
        for table in &self.translation.tables {
            for column in &table.columns {
                if let Supply::Identity { next } = column.source {
                    identities.push((
                        format!("{}.{}", quoted(&self.name), quoted(&table.name)),
                        quoted(&column.name),
                        next,
                    ));
                }
            }
        }
        identities
    }

    /// The rows as they are now.
    pub(super) async fn reread(&self) -> Result<Box<dyn Snapshot>, PortError> {
        PostgresSource::new(self.server.in_schema(&self.name))
            .snapshot()
            .await
    }

    /// Shows everything at once.
    pub(super) async fn swap(mut self) -> Result<FinishedTarget, PortError> {
        self.pool.close().await;
        let bytes: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(pg_catalog.pg_total_relation_size(oid)), 0)::int8 FROM pg_catalog.pg_class
             WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)",
        )
        .bind(&self.name)
        .fetch_one(&mut self.leader)
        .await
        .map_err(|error| failed("look at the size of the tables", error))?;
        let (from, to) = (quoted(&self.name), quoted(&self.target));
        let mut sql = format!(
            "BEGIN; SET LOCAL synchronous_commit TO DEFAULT; SET LOCAL lock_timeout = {SWAP_LOCK_TIMEOUT_MS};"
        );
        sql.push_str(&self.complete_history());
        for table in &self.translation.tables {
            sql.push_str(&format!(
                "ALTER TABLE {from}.{} SET SCHEMA {to};",
                quoted(&table.name)
            ));
        }
        for view in &self.translation.views {
            sql.push_str(&format!("ALTER VIEW {from}.{} SET SCHEMA {to};", quoted(view)));
        }
        if self.extension == Extension::Ours {
            sql.push_str(&format!(
                "COMMENT ON EXTENSION citext IS {};",
                literal(COMMENT_OF_CITEXT)
            ));
        }
        // Refused by the server if anything is left in it.
        sql.push_str(&format!("DROP SCHEMA {from}; COMMIT"));
        if let Err(error) = run(&mut self.leader, sql).await {
            let failure = failed("show the new tables", error);
            self.abandon().await?;
            return Err(failure);
        }
        close(self.leader).await;
        Ok(FinishedTarget {
            bytes: bytes.unsigned_abs(),
            notes: Vec::new(),
        })
    }

    /// Removes the schema.
    pub(super) async fn abandon(mut self) -> Result<(), PortError> {
        self.pool.close().await;
        // After a failed statement the transaction is still there.
        let mut sql = format!("ROLLBACK; DROP SCHEMA IF EXISTS {} CASCADE", quoted(&self.name));
        if self.extension == Extension::Ours {
            sql.push_str("; DROP EXTENSION IF EXISTS citext");
        }
        let dropped = run(&mut self.leader, sql).await;
        close(self.leader).await;
        dropped.map_err(|error| {
            failed(
                format!("remove the staging schema {}; the next load does it", self.name),
                error,
            )
        })
    }
}

/// Runs what `questions` ask for: each answers the beginning of a statement and the sequence's next value, or NULL
/// where it stays. RESTART goes with the transaction; `setval` would not.
pub(super) async fn restart(connection: &mut PgConnection, questions: &[String]) -> Result<(), PortError> {
    if questions.is_empty() {
        return Ok(());
    }
    let answers: Vec<(String, Option<i64>)> = sqlx::query_as(AssertSqlSafe(questions.join(" UNION ALL ")))
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| failed("look for the highest keys", error))?;
    let statements: Vec<String> = answers
        .into_iter()
        .filter_map(|(begin, next)| Some(format!("{begin} RESTART WITH {}", next?)))
        .collect();
    run(connection, statements.join(";"))
        .await
        .map_err(|error| failed("set the sequences", error))
}

/// A key that the rows break is what the rows are, not a conflict with somebody.
pub(super) fn unbuilt(statement: &str, error: sqlx::Error) -> PortError {
    let is_data = kind(&error) == ErrorKind::Conflict;
    let what = format!("run {statement}");
    let failure = if statement.contains("core_session") {
        // The keys in its answer are credentials.
        failed(what, error)
    } else {
        failed_at_rows(what, error)
    };
    if is_data {
        PortError::new(ErrorKind::Corrupt, "the rows break a key").because(failure)
    } else {
        failure
    }
}

/// Removes what loads that died have left. Only called under the lock: none is alive.
pub(super) async fn remove_leftovers(leader: &mut PgConnection) -> Result<(), PortError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT nspname::text FROM pg_catalog.pg_namespace
         WHERE nspname LIKE $1 AND pg_catalog.obj_description(oid, 'pg_namespace') = $2",
    )
    .bind(format!("{}%", PREFIX.replace('_', "\\_")))
    .bind(COMMENT)
    .fetch_all(&mut *leader)
    .await
    .map_err(|error| failed("look for what dead loads left", error))?;
    for name in names {
        tracing::info!(schema = %name, "removing what a dead load left");
        run(leader, format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(&name)))
            .await
            .map_err(|error| failed(format!("remove schema {name}, which a dead load left"), error))?;
    }
    let is_left: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension
             WHERE extname = 'citext' AND pg_catalog.obj_description(oid, 'pg_extension') = $1)",
    )
    .bind(COMMENT)
    .fetch_one(&mut *leader)
    .await
    .map_err(|error| failed("look for the extension that dead loads left", error))?;
    if is_left {
        run(leader, "DROP EXTENSION citext".to_owned())
            .await
            .map_err(|error| failed("remove the extension citext, which a dead load left", error))?;
    }
    Ok(())
}

async fn schema_of_citext(connection: &mut PgConnection) -> Result<Option<String>, PortError> {
    sqlx::query_scalar(
        "SELECT n.nspname::text FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
         WHERE e.extname = 'citext'",
    )
    .fetch_optional(connection)
    .await
    .map_err(|error| failed("look for the extension citext", error))
}
