//! Our own tables in the app DB, made and upgraded by numbered schema scripts.

use metaferry_domain::{ErrorKind, PortError};
use sqlx::{PgConnection, PgPool};

use crate::error::failed;

/// Creating and upgrading is done by one process at a time: the key of an advisory lock, ASCII `metaferr`.
const SCRIPT_LOCK: i64 = 0x6d65_7461_6665_7272;

/// How our tables are called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnTables {
    prefix: &'static str,
}

impl Default for OwnTables {
    /// Where they would be made first.
    fn default() -> Self {
        IN_SCHEMA
    }
}

/// In a schema of our own.
const IN_SCHEMA: OwnTables = OwnTables { prefix: "metaferry." };
/// Beside Metabase's tables, where no schema may be created.
const BESIDE: OwnTables = OwnTables { prefix: "metaferry_" };

/// One script a version; `{p}` stands for the prefix. A published script never changes.
const SCRIPTS: [&str; 3] = [
    "
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
",
    "
    CREATE TABLE {p}switch (
        id integer PRIMARY KEY CHECK (id = 1),
        read_only_engaged boolean NOT NULL DEFAULT false,
        read_only_before text,
        read_only_ours text,
        scheduler_before text
    );
    INSERT INTO {p}switch (id) VALUES (1);
    ALTER TABLE {p}lease ADD COLUMN guard_token bigint, ADD COLUMN guard_since timestamptz,
        ADD COLUMN guard_until timestamptz;
",
    // Whose they are: a database may hold several app DBs, each in a schema of its own.
    "ALTER TABLE {p}lease ADD COLUMN app_schema text",
];

/// Every table that a script makes, and the one that counts the scripts: gone with it, none of them is found.
const TABLES: [&str; 6] = [
    "journal",
    "migration",
    "undo_script",
    "switch",
    "lease",
    "schema_version",
];

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

    pub(super) fn switch(&self) -> String {
        self.name("switch")
    }

    pub(super) fn switch_function(&self) -> String {
        self.name("trip_switch")
    }

    pub(super) fn guard_function(&self) -> String {
        self.name("guard")
    }

    /// The schema that is ours alone, if that is where they are.
    pub(super) fn schema(&self) -> Option<&'static str> {
        self.prefix.strip_suffix('.')
    }

    /// Those that are there, the ones that others refer to last.
    pub(super) async fn present(&self, connection: &mut PgConnection) -> Result<Vec<String>, PortError> {
        let names: Vec<String> = TABLES.iter().map(|table| self.name(table)).collect();
        sqlx::query_scalar(
            "SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS own (name, place)
             WHERE to_regclass(name) IS NOT NULL ORDER BY place",
        )
        .bind(names)
        .fetch_all(connection)
        .await
        .map_err(look)
    }

    fn name(&self, table: &str) -> String {
        format!("{}{table}", self.prefix)
    }

    /// Where they are, if they are.
    pub(super) async fn find(pool: &PgPool) -> Result<Option<Self>, PortError> {
        let mut connection = pool.acquire().await.map_err(look)?;
        Self::find_in(&mut connection).await
    }

    async fn find_in(connection: &mut PgConnection) -> Result<Option<Self>, PortError> {
        for own in [IN_SCHEMA, BESIDE] {
            let found: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .bind(own.name("schema_version"))
                .fetch_one(&mut *connection)
                .await
                .map_err(look)?;
            if found {
                own.refuse_others(connection).await?;
                return Ok(Some(own));
            }
        }
        Ok(None)
    }

    /// Are they of the app DB in the schema that this session works in? Those that nobody has claimed may be.
    async fn refuse_others(&self, connection: &mut PgConnection) -> Result<(), PortError> {
        let lease = self.lease();
        // Of an earlier version the column is not there yet, nor the table of one that was not finished.
        let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(&lease)
            .fetch_one(&mut *connection)
            .await
            .map_err(look)?;
        if !there {
            return Ok(());
        }
        let other: Option<(String, String)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT app_schema, current_schema()::text FROM (SELECT to_jsonb(row) ->> 'app_schema' AS app_schema FROM {lease} AS row) AS whose
             WHERE app_schema <> current_schema()"
        )))
        .fetch_optional(connection)
        .await
        .map_err(look)?;
        let Some((theirs, ours)) = other else {
            return Ok(());
        };
        Err(PortError::new(
            ErrorKind::Precondition,
            format!(
                "Metaferry's own tables in this database belong to the app DB in schema {theirs:?}, and this one is in {ours:?}; \
                 give each app DB a database of its own, or, if the schema was renamed, say so: \
                 UPDATE {lease} SET app_schema = '{}'",
                ours.replace('\'', "''")
            ),
        ))
    }

    /// Those that nobody has claimed are of the first app DB that comes, unless a migration is open in them that may be of
    /// another one: undone here it would be called settled.
    async fn claim(&self, connection: &mut PgConnection) -> Result<(), PortError> {
        let lease = self.lease();
        let (ours, rows): (String, Option<String>) = sqlx::query_as(
            "SELECT current_schema()::text, to_regclass(quote_ident(current_schema()) || '.cloud_migration')::text",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(look)?;
        // Its journal has the id by which its row is found, once there may be one.
        let row_is_here = rows.map_or_else(
            || "false".to_owned(),
            |rows| {
                format!(
                    "EXISTS (SELECT 1 FROM {rows} AS row JOIN {} AS entry ON entry.migration_id = open.id
                         WHERE position(to_json(row.external_id)::text IN entry.entry) > 0)",
                    self.journal()
                )
            },
        );
        let elsewhere: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT open.id FROM {} AS open WHERE NOT open.settled
                 AND EXISTS (SELECT 1 FROM {lease} WHERE app_schema IS NULL)
                 AND EXISTS (SELECT 1 FROM {} AS entry WHERE entry.migration_id = open.id
                     AND position('\"external_id\"' IN entry.entry) > 0)
                 AND NOT {row_is_here}
                 AND EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'cloud_migration' AND relkind IN ('r', 'p')
                     AND relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())) LIMIT 1",
            self.migration(),
            self.journal(),
        )))
        .fetch_optional(&mut *connection)
        .await
        .map_err(look)?;
        if let Some(id) = elsewhere {
            return Err(PortError::new(
                ErrorKind::Precondition,
                format!(
                    "Metaferry's own tables in this database hold the migration {id}, which is not settled and has no row in \
                     {ours:?}.cloud_migration; run `metaferry recover` on the app DB that has it, in another schema, or, if this \
                     is the one, say so: UPDATE {lease} SET app_schema = '{}'",
                    ours.replace('\'', "''")
                ),
            ));
        }
        let claim = format!("UPDATE {lease} SET app_schema = current_schema() WHERE app_schema IS NULL");
        run(connection, claim).await
    }

    /// Creates or upgrades them, in one transaction; whoever comes meanwhile waits and then finds them.
    pub(super) async fn prepare(pool: &PgPool) -> Result<Self, PortError> {
        let mut transaction = pool.begin().await.map_err(create)?;
        run(
            &mut transaction,
            format!("SELECT pg_advisory_xact_lock({SCRIPT_LOCK})"),
        )
        .await?;
        let own = match Self::find_in(&mut transaction).await? {
            Some(own) => own,
            None => Self::begin(&mut transaction).await?,
        };
        own.upgrade(&mut transaction).await?;
        let claimed = own.claim(&mut transaction).await;
        // Also where they are refused, so that whose they are can be said.
        transaction.commit().await.map_err(create)?;
        claimed.map(|()| own)
    }

    /// Chooses the place, and makes the table by which it is found again.
    async fn begin(connection: &mut PgConnection) -> Result<Self, PortError> {
        // Of a schema that is there already, only whether it may be used counts.
        let place: String = sqlx::query_scalar(
            "SELECT CASE
                 WHEN to_regnamespace('metaferry') IS NOT NULL THEN
                     CASE WHEN has_schema_privilege('metaferry', 'CREATE') AND has_schema_privilege('metaferry', 'USAGE')
                          THEN 'in' ELSE 'beside' END
                 WHEN has_database_privilege(current_database(), 'CREATE') THEN 'new'
                 ELSE 'beside' END",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failed("ask whether a schema may be created", error))?;
        let own = if place == "beside" { BESIDE } else { IN_SCHEMA };
        if place == "new" {
            run(connection, "CREATE SCHEMA metaferry".to_owned()).await?;
        }
        run(
            connection,
            format!(
                "CREATE TABLE {} (version integer PRIMARY KEY)",
                own.name("schema_version")
            ),
        )
        .await?;
        Ok(own)
    }

    async fn upgrade(&self, connection: &mut PgConnection) -> Result<(), PortError> {
        let versions = self.name("schema_version");
        let done: i32 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT coalesce(max(version), 0) FROM {versions}"
        )))
        .fetch_one(&mut *connection)
        .await
        .map_err(look)?;
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        if done > SCRIPTS.len() {
            return Err(PortError::new(
                ErrorKind::Unsupported,
                format!(
                    "Metaferry's own tables in the app DB are of version {done}, and this program knows {} only; \
                     use a newer one",
                    SCRIPTS.len()
                ),
            ));
        }
        for (version, script) in (1..).zip(SCRIPTS).skip(done) {
            run(connection, script.replace("{p}", self.prefix)).await?;
            run(connection, format!("INSERT INTO {versions} VALUES ({version})")).await?;
        }
        Ok(())
    }
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<(), PortError> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(create)
}

fn look(error: sqlx::Error) -> PortError {
    failed("look for Metaferry's own tables in the app DB", error)
}

fn create(error: sqlx::Error) -> PortError {
    failed(
        "create Metaferry's own tables in the app DB: the user needs CREATE on the database, or on a schema \
         metaferry, or on Metabase's schema",
        error,
    )
}
