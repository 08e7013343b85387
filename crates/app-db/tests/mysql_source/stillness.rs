//! Writes to tables that should have been still, judged by what was written.

use metaferry_app_db::mysql::MySqlAppDb;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::ReadOnlyStrength::{Flag, None as NoReadOnly};
use metaferry_domain::ports::{LeaseStore as _, ReadOnlyBefore, ReadOnlyGuard as _, ReadOnlyProof};
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_test_kit::contract::still_tables::{LEFT_ALONE, SLIPPED};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::database::TestDatabase;
use crate::own_rows::{METABASE, open};

/// Tables that must be still, are exempt by columns, and exempt as a whole; one refers to a user.
pub(crate) const TABLES: &str = "
    CREATE TABLE core_user (id integer PRIMARY KEY, email text NOT NULL, is_active boolean NOT NULL DEFAULT true);
    INSERT INTO core_user (id, email) VALUES (1001, 'a@x'), (1002, 'b@x');
    CREATE TABLE collection (id integer PRIMARY KEY, name text, slug varchar(10), personal_owner_id integer,
        upper_name text GENERATED ALWAYS AS (upper(name)) STORED, odd json,
        FOREIGN KEY (personal_owner_id) REFERENCES core_user (id) ON DELETE CASCADE);
    CREATE TABLE report_card (id integer PRIMARY KEY, name text, last_used_at timestamp NULL, updated_at timestamp NULL);
    CREATE TABLE somebodys_own (id integer PRIMARY KEY);
    INSERT INTO collection VALUES (1, 'one', 'a', NULL, DEFAULT, '{\"a\": 1}'), (2, 'two', 'b', 1001, DEFAULT, NULL);
    INSERT INTO report_card VALUES (1, 'card', now(), now())";

pub(crate) async fn app_db() -> Option<TestDatabase> {
    let database = TestDatabase::new().await?;
    database.execute(&format!("{METABASE}; {TABLES}")).await;
    Some(database)
}

struct Watched {
    database: TestDatabase,
    app_db: MySqlAppDb,
    token: FencingToken,
    before: ReadOnlyBefore,
}

impl Watched {
    /// Under the flag, from now on.
    async fn begin(tables: &str) -> Option<Self> {
        let database = app_db().await?;
        let app_db = open(&database).await;
        let token = app_db.acquire("node", 60_000).await.unwrap().token;
        let before = app_db.before().await.unwrap();
        database.execute("UPDATE collection SET name = 'earlier'").await;
        if !tables.is_empty() {
            database.execute(tables).await;
        }
        app_db
            .engage(token, Flag, &before, &Cancellation::new())
            .await
            .unwrap();
        app_db.watch(Flag).await.unwrap();
        Some(Self {
            database,
            app_db,
            token,
            before,
        })
    }

    /// What is found, twice: it can be asked again.
    async fn found(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let found = match self.app_db.prove(Flag, &self.before).await.unwrap() {
                ReadOnlyProof::Held => Vec::new(),
                ReadOnlyProof::WrittenTo { tables } => tables,
                ReadOnlyProof::SwitchedOff { value } => panic!("nobody switched it off: {value:?}"),
            };
            seen.push(found);
        }
        assert_eq!(seen.first(), seen.last());
        seen.pop().unwrap()
    }

    async fn end(self) {
        self.app_db.restore(self.token, &self.before).await.unwrap();
        self.database.drop().await;
    }
}

#[tokio::test]
async fn writes_that_slipped_through_are_found_and_named_mariadb() {
    for slipped in SLIPPED {
        let Some(watched) = Watched::begin("").await else {
            return;
        };
        for sql in LEFT_ALONE {
            watched.database.execute(sql).await;
        }
        watched
            .database
            .execute("DELETE FROM core_user WHERE id = 1002")
            .await;
        assert_eq!(watched.found().await, [""; 0]);
        watched.database.execute(slipped.sql).await;
        assert_eq!(watched.found().await, [slipped.with_keys()], "{}", slipped.sql);
        watched.end().await;
    }
}

/// Values that a server takes for equal, rows without a key, and more than one thing at once.
#[tokio::test]
async fn every_difference_of_bytes_is_a_write_and_rows_without_a_key_are_counted_mariadb() {
    const ODD: &str = "
        CREATE TABLE measure (id varchar(20) PRIMARY KEY, name varchar(20), fraction float, precise double, raw longblob,
            truth bit(1), moment timestamp(6) NULL, long_one longtext);
        INSERT INTO measure VALUES ('a', 'x', 0.1, 0.1, x'00', b'0', '2025-01-01 00:00:00.000001', repeat('x', 70000)),
            ('b', NULL, NULL, NULL, NULL, NULL, NULL, NULL), ('c', '', 1, 1, '', b'1', NULL, '');
        CREATE TABLE segment (name varchar(20));
        INSERT INTO segment VALUES ('twice'), ('twice'), ('once')";
    let Some(watched) = Watched::begin(ODD).await else {
        return;
    };
    for (column, value) in [
        ("name", "'X'"),
        ("name", "'x '"),
        ("fraction", "0.10000001"),
        ("precise", "0.10000000000000002"),
        ("raw", "x'0000'"),
        ("truth", "b'1'"),
        ("moment", "'2025-01-01 00:00:00.000002'"),
        ("long_one", "concat(repeat('x', 69999), 'X')"),
        ("name", "NULL"),
    ] {
        watched
            .database
            .execute("CREATE TABLE kept AS SELECT * FROM measure")
            .await;
        watched
            .database
            .execute(&format!("UPDATE measure SET {column} = {value} WHERE id = 'a'"))
            .await;
        assert_eq!(
            watched.found().await,
            ["measure (1 rows inserted or updated, such as a; 1 rows as they were are gone)"],
            "{column} = {value}"
        );
        watched
            .database
            .execute(&format!(
                "UPDATE measure m JOIN kept k ON k.id = m.id SET m.{column} = k.{column}; DROP TABLE kept"
            ))
            .await;
        assert_eq!(watched.found().await, [""; 0], "{column} as it was");
    }
    watched
        .database
        .execute(
            "UPDATE segment SET name = 'other' WHERE name = 'twice';
             UPDATE measure SET name = 'x' WHERE id = 'b'; UPDATE measure SET name = NULL WHERE id = 'c';
             INSERT INTO measure (id) SELECT concat('n', seq) FROM seq_1_to_9; DELETE FROM measure WHERE id = 'a'",
        )
        .await;
    let found = watched.found().await;
    let [measure, segment] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(
        measure.starts_with("measure (11 rows inserted or updated, such as "),
        "{measure}"
    );
    assert!(
        measure.ends_with("; 3 rows as they were are gone, such as a)"),
        "{measure}"
    );
    assert_eq!(measure.matches(", ").count(), 6, "five keys at most: {measure}");
    assert_eq!(
        segment,
        "segment (2 rows inserted or updated; 2 rows as they were are gone)"
    );
    watched.end().await;
}

#[tokio::test]
async fn while_it_is_watched_nobody_truncates_or_changes_a_table_that_must_be_still_mariadb() {
    let Some(watched) = Watched::begin("").await else {
        return;
    };
    let mut other = watched.database.connect().await;
    for sql in [
        "TRUNCATE collection",
        "ALTER TABLE report_card ADD COLUMN more int",
        "DROP TABLE report_card",
        "RENAME TABLE report_card TO elsewhere",
    ] {
        let refused = sqlx::raw_sql(AssertSqlSafe(format!("SET SESSION lock_wait_timeout = 0; {sql}")))
            .execute(&mut other)
            .await
            .unwrap_err();
        let state = refused.as_database_error().unwrap().message().to_owned();
        assert!(state.contains("ock wait timeout"), "{sql}: {state}");
    }
    assert_eq!(watched.found().await, [""; 0]);
    watched
        .app_db
        .restore(watched.token, &watched.before)
        .await
        .unwrap();
    sqlx::raw_sql("TRUNCATE collection")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    watched.end().await;
}

#[tokio::test]
async fn who_cannot_look_because_somebody_waits_to_change_a_table_asks_again_mariadb() {
    let Some(watched) = Watched::begin("").await else {
        return;
    };
    let (mut other, mut looking) = (watched.database.connect().await, watched.database.connect().await);
    let id: u64 = sqlx::query_scalar("SELECT CAST(connection_id() AS UNSIGNED)")
        .fetch_one(&mut other)
        .await
        .unwrap();
    let waits = tokio::spawn(async move {
        let altered = sqlx::raw_sql("ALTER TABLE collection ADD COLUMN more int")
            .execute(&mut other)
            .await;
        altered.is_ok()
    });
    let state = format!(
        "SELECT count(*) FROM information_schema.processlist WHERE id = {id} AND state LIKE 'Waiting for table metadata lock'"
    );
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(state.clone()))
        .fetch_one(&mut looking)
        .await
        .unwrap()
        == 0
    {
        assert!(!waits.is_finished(), "nobody waits");
    }
    let error = watched.app_db.prove(Flag, &watched.before).await.unwrap_err();
    assert_ne!(error.kind, ErrorKind::Precondition, "{error:?}");
    sqlx::raw_sql(AssertSqlSafe(format!("KILL {id}")))
        .execute(&mut looking)
        .await
        .unwrap();
    assert!(!waits.await.unwrap());
    looking.close().await.unwrap();
    assert_eq!(watched.found().await, [""; 0]);
    watched.end().await;
}

#[tokio::test]
async fn who_lost_the_moment_says_so_and_without_read_only_nobody_looks_mariadb() {
    let Some(watched) = Watched::begin("").await else {
        return;
    };
    let mut other = watched.database.connect().await;
    // The server answers from what it looked up up to 0.1 s ago.
    let ours: u64 = loop {
        let found = sqlx::query_scalar(
            "SELECT CAST(p.id AS UNSIGNED) FROM information_schema.processlist p
             JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id WHERE p.db = database()",
        );
        if let Some(ours) = found.fetch_optional(&mut other).await.unwrap() {
            break ours;
        }
    };
    sqlx::raw_sql(AssertSqlSafe(format!("KILL {ours}")))
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let error = watched.app_db.prove(Flag, &watched.before).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    let error = watched.app_db.prove(Flag, &watched.before).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition, "{error:?}");
    assert!(error.what.contains("start the migration again"), "{error:?}");
    watched.app_db.watch(NoReadOnly).await.unwrap();
    watched.database.execute("DELETE FROM report_card").await;
    assert_eq!(watched.found().await, [""; 0]);
    watched.end().await;
}
