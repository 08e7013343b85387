//! Our own tables in the app DB, made and upgraded by numbered schema scripts.

use metaferry_domain::{ErrorKind, PortError};
use sqlx::PgPool;

use crate::error::failed;

/// Creating and upgrading is done by one process at a time: the key of an advisory lock, ASCII `metaferr`.
const SCRIPT_LOCK: i64 = 0x6d65_7461_6665_7272;

/// How our tables are called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnTables {
    prefix: &'static str,
}

/// In a schema of our own.
const IN_SCHEMA: OwnTables = OwnTables { prefix: "metaferry." };
/// Beside Metabase's tables, where no schema may be created.
const BESIDE: OwnTables = OwnTables { prefix: "metaferry_" };

/// One script a version; `{p}` stands for the prefix. A published script never changes.
const SCRIPTS: [&str; 1] = ["
    CREATE TABLE {p}lease (
        id integer PRIMARY KEY CHECK (id = 1),
        token bigint NOT NULL,
        holder text NOT NULL,
        term_ms bigint NOT NULL,
        expires_at timestamptz NOT NULL
    );
    INSERT INTO {p}lease VALUES (1, 0, '', 0, '-infinity');
    CREATE TABLE {p}migration (
        id text PRIMARY KEY,
        settled boolean NOT NULL DEFAULT false,
        begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE TABLE {p}journal (
        migration_id text NOT NULL REFERENCES {p}migration (id),
        sequence bigint NOT NULL,
        token bigint NOT NULL,
        written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        entry text NOT NULL,
        PRIMARY KEY (migration_id, sequence)
    );
    CREATE TABLE {p}undo_script (
        id integer PRIMARY KEY CHECK (id = 1),
        sql text NOT NULL
    );
"];

impl OwnTables {
    pub(super) fn lease(&self) -> String {
        self.name("lease")
    }

    pub(super) fn journal(&self) -> String {
        self.name("journal")
    }

    pub(super) fn migration(&self) -> String {
        self.name("migration")
    }

    pub(super) fn undo_script(&self) -> String {
        self.name("undo_script")
    }

    fn name(&self, table: &str) -> String {
        format!("{}{table}", self.prefix)
    }

    /// Where they are, if they are.
    pub(super) async fn find(pool: &PgPool) -> Result<Option<Self>, PortError> {
        for own in [IN_SCHEMA, BESIDE] {
            let found: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .bind(own.name("schema_version"))
                .fetch_one(pool)
                .await
                .map_err(|error| failed("look for Metaferry's own tables", error))?;
            if found {
                return Ok(Some(own));
            }
        }
        Ok(None)
    }

    /// Creates or upgrades them.
    pub(super) async fn prepare(pool: &PgPool) -> Result<Self, PortError> {
        let own = match Self::find(pool).await? {
            Some(own) => own,
            None => Self::choose(pool).await?,
        };
        own.upgrade(pool).await?;
        Ok(own)
    }

    async fn choose(pool: &PgPool) -> Result<Self, PortError> {
        let may_create: bool = sqlx::query_scalar(
            "SELECT to_regnamespace('metaferry') IS NOT NULL
                 OR has_database_privilege(current_database(), 'CREATE')",
        )
        .fetch_one(pool)
        .await
        .map_err(|error| failed("ask whether a schema may be created", error))?;
        Ok(if may_create { IN_SCHEMA } else { BESIDE })
    }

    async fn upgrade(&self, pool: &PgPool) -> Result<(), PortError> {
        let create = |error| failed("create Metaferry's own tables in the app DB", error);
        let mut transaction = pool.begin().await.map_err(create)?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(SCRIPT_LOCK)
            .execute(&mut *transaction)
            .await
            .map_err(create)?;
        if *self == IN_SCHEMA {
            sqlx::query("CREATE SCHEMA IF NOT EXISTS metaferry").execute(&mut *transaction).await.map_err(create)?;
        }
        let versions = self.name("schema_version");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE TABLE IF NOT EXISTS {versions} (version integer PRIMARY KEY)")))
            .execute(&mut *transaction)
            .await
            .map_err(create)?;
        let done: i32 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT coalesce(max(version), 0) FROM {versions}")))
            .fetch_one(&mut *transaction)
            .await
            .map_err(create)?;
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        if done > SCRIPTS.len() {
            return Err(PortError::new(
                ErrorKind::Unsupported,
                format!("Metaferry's own tables are of version {done}, and this program knows {} only; use a newer one", SCRIPTS.len()),
            ));
        }
        for (version, script) in SCRIPTS.iter().enumerate().skip(done) {
            sqlx::raw_sql(sqlx::AssertSqlSafe(script.replace("{p}", self.prefix)))
                .execute(&mut *transaction)
                .await
                .map_err(create)?;
            sqlx::query(sqlx::AssertSqlSafe(format!("INSERT INTO {versions} VALUES ($1)")))
                .bind(i32::try_from(version + 1).unwrap_or(i32::MAX))
                .execute(&mut *transaction)
                .await
                .map_err(create)?;
        }
        transaction.commit().await.map_err(create)
    }
}
