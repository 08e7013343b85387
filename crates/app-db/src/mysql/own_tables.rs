//! Our own tables in the app DB, made and upgraded by numbered schema scripts. MySQL commits with each of their
//! statements, so each may be run again.

use metaferry_domain::{ErrorKind, PortError};
use sqlx::{MySqlConnection, MySqlPool};

use crate::error::{failed_on_own_tables, mysql_number};

/// How long another process that makes them is waited for.
const WAIT_SECONDS: u32 = 15;

/// One script a version. A published script never changes. Row 1 of the lease is the lease, row 2 the fence: whoever
/// proves a token shares it, whoever takes the lease wants it alone.
const SCRIPTS: [&str; 2] = [
    "
    CREATE TABLE IF NOT EXISTS metaferry_lease (
        id int NOT NULL PRIMARY KEY,
        token bigint NOT NULL,
        holder longtext NOT NULL,
        term_ms bigint NOT NULL,
        expires_at_micros bigint NOT NULL
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
    INSERT IGNORE INTO metaferry_lease VALUES (1, 0, '', 0, 0), (2, 0, '', 0, 0);
    CREATE TABLE IF NOT EXISTS metaferry_migration (
        id varchar(64) NOT NULL PRIMARY KEY,
        settled bit(1) NOT NULL DEFAULT b'0',
        begun_at_micros bigint NOT NULL
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
    CREATE TABLE IF NOT EXISTS metaferry_journal (
        migration_id varchar(64) NOT NULL,
        sequence bigint NOT NULL,
        token bigint NOT NULL,
        entry longtext NOT NULL,
        PRIMARY KEY (migration_id, sequence),
        FOREIGN KEY (migration_id) REFERENCES metaferry_migration (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
    CREATE TABLE IF NOT EXISTS metaferry_undo_script (
        id int NOT NULL PRIMARY KEY,
        `sql` longtext NOT NULL
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
",
    // Run in full again by whoever finds it half done: MySQL has no `ADD COLUMN IF NOT EXISTS`.
    "
    SET @metaferry_dated = (SELECT count(*) FROM information_schema.columns WHERE table_schema = database()
        AND table_name = 'metaferry_journal' AND column_name = 'written_at_micros');
    SET @metaferry_script = IF(@metaferry_dated = 0,
        'ALTER TABLE metaferry_journal ADD COLUMN written_at_micros bigint', 'DO 0');
    PREPARE metaferry_script FROM @metaferry_script;
    EXECUTE metaferry_script;
    DEALLOCATE PREPARE metaferry_script;
",
];

/// Creates or upgrades them; whoever comes meanwhile waits and then finds them.
pub(super) async fn prepare(pool: &MySqlPool) -> Result<(), PortError> {
    let mut connection = pool.acquire().await.map_err(create)?;
    if version(&mut connection).await? == SCRIPTS.len() {
        return Ok(());
    }
    let locked: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(GET_LOCK(concat('metaferry tables ', sha1(database())), ?) AS SIGNED)",
    )
    .bind(WAIT_SECONDS)
    .fetch_one(&mut *connection)
    .await
    .map_err(create)?;
    if locked != Some(1) {
        return Err(PortError::new(
            ErrorKind::Unavailable,
            "another process is making Metaferry's own tables in the app DB; try again",
        ));
    }
    // Whoever was waited for has made them.
    let done = version(&mut connection).await?;
    let made = async {
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS metaferry_schema_version (version int NOT NULL PRIMARY KEY) ENGINE=InnoDB",
        )
        .execute(&mut *connection)
        .await?;
        for (version, script) in (1_i32..).zip(SCRIPTS).skip(done) {
            sqlx::raw_sql(script).execute(&mut *connection).await?;
            sqlx::query("INSERT IGNORE INTO metaferry_schema_version VALUES (?)")
                .bind(version)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    };
    let made = made.await;
    let released = sqlx::raw_sql("DO RELEASE_LOCK(concat('metaferry tables ', sha1(database())))")
        .execute(&mut *connection)
        .await;
    made.and(released.map(drop)).map_err(create)
}

/// How many scripts were run.
async fn version(connection: &mut MySqlConnection) -> Result<usize, PortError> {
    let newest: Result<Option<i64>, sqlx::Error> =
        sqlx::query_scalar("SELECT CAST(max(version) AS SIGNED) FROM metaferry_schema_version")
            .fetch_one(connection)
            .await;
    let done = match newest {
        Ok(newest) => usize::try_from(newest.unwrap_or(0)).unwrap_or(usize::MAX),
        Err(error) if mysql_number(&error) == Some(1146) => 0,
        Err(error) => return Err(create(error)),
    };
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
    Ok(done)
}

fn create(error: sqlx::Error) -> PortError {
    failed_on_own_tables(
        "create Metaferry's own tables in the app DB",
        "the user needs CREATE and INSERT on Metabase's database",
        error,
    )
}
