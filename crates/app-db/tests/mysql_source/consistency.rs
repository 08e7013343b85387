//! One instant for all tables and sessions, and definitions that stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metaferry_domain::ports::{RowOrder, Source as _};

use crate::database::TestDatabase;
use crate::reading::rows;

/// What all rows of a table hold together, in their second column.
async fn sum(snapshot: &dyn metaferry_domain::ports::Snapshot, table: &str) -> i64 {
    rows(snapshot, table, RowOrder::Any)
        .await
        .unwrap()
        .iter()
        .map(|row| row[1].strip_prefix("int ").unwrap().parse::<i64>().unwrap())
        .sum()
}

/// The server had sent the writer away: it holds one table and waits for another one, which we held while we waited for the
/// first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_a_snapshot_see_one_instant_while_others_write() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute(
            "CREATE TABLE here (id int PRIMARY KEY, amount int); INSERT INTO here SELECT seq, 100 FROM seq_1_to_20;
             CREATE TABLE there (id int PRIMARY KEY, amount int); INSERT INTO there SELECT seq, 100 FROM seq_1_to_20;",
        )
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, url) = (Arc::clone(&stop), database.url.clone());
        tokio::spawn(async move {
            let mut connection = <sqlx::MySqlConnection as sqlx::Connection>::connect(&url)
                .await
                .unwrap();
            let mut moved = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                sqlx::raw_sql(
                    "START TRANSACTION; UPDATE there SET amount = amount + 1; UPDATE here SET amount = amount - 1; COMMIT",
                )
                .execute(&mut connection)
                .await
                .unwrap();
                moved += 1;
            }
            moved
        })
    };
    let mut seen = std::collections::BTreeSet::new();
    let mut in_two_sessions = 0;
    for _ in 0..20 {
        let snapshot = database.snapshot().await;
        // One alone sees one instant anyway; it reads where no moment without a writer is found.
        in_two_sessions += usize::from(snapshot.parallelism() == 2);
        let (here, there) = tokio::join!(sum(&*snapshot, "here"), sum(&*snapshot, "there"));
        assert_eq!(here + there, 4000);
        seen.insert(here);
        snapshot.close().await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0, "the writer never wrote");
    assert!(seen.len() > 1, "the writer wrote between no two snapshots");
    assert!(in_two_sessions > 0, "no moment was found while somebody wrote");
    let quiet = database.snapshot().await;
    assert_eq!(quiet.parallelism(), 2);
    quiet.close().await.unwrap();
    database.drop().await;
}

/// A reader waited ten seconds for who came to change a table, who waited for our lock, as all writers did; then it was an
/// error and no attempt followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_changes_tables_meanwhile_makes_it_start_over_and_nobody_waits() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    for table in 1..=20 {
        database
            .execute(&format!("CREATE TABLE t_{table} (id int PRIMARY KEY)"))
            .await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let changing = {
        let (stop, mut connection) = (Arc::clone(&stop), database.connect().await);
        tokio::spawn(async move {
            let mut changes = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                changes += 1;
                let change = format!("ALTER TABLE t_{} COMMENT = '{changes}'", changes % 20 + 1);
                let done = sqlx::raw_sql(sqlx::AssertSqlSafe(change))
                    .execute(&mut connection)
                    .await;
                done.unwrap();
            }
            changes
        })
    };
    for _ in 0..4 {
        match database.source().snapshot().await {
            Ok(snapshot) => snapshot.close().await.unwrap(),
            Err(error) => assert!(error.what.contains("changes its tables too often"), "{error:?}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(changing.await.unwrap() > 0, "nobody changed anything");
    let quiet = database.snapshot().await;
    assert_eq!(quiet.parallelism(), 2);
    quiet.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn a_table_that_is_being_read_keeps_its_definition() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute("CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1), (2)")
        .await;
    let snapshot = database.snapshot().await;
    let mut other = database.connect().await;
    for change in [
        "TRUNCATE TABLE kept",
        "ALTER TABLE kept ADD COLUMN more int",
        "DROP TABLE kept",
        "RENAME TABLE kept TO gone",
    ] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "SET SESSION lock_wait_timeout = 1; {change}"
        )))
        .execute(&mut other)
        .await;
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("1205"), "{change}: {refused}");
    }
    sqlx::raw_sql("DELETE FROM kept")
        .execute(&mut other)
        .await
        .unwrap();
    assert_eq!(
        rows(&*snapshot, "kept", RowOrder::Any).await.unwrap().len(),
        2,
        "what was there at the snapshot"
    );
    snapshot.close().await.unwrap();
    sqlx::raw_sql("SET SESSION lock_wait_timeout = 60; DROP TABLE kept")
        .execute(&mut other)
        .await
        .unwrap();
    drop(other);
    database.drop().await;
}

#[tokio::test]
async fn a_user_who_may_only_read_reads_in_one_session() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute("CREATE TABLE plain (id int PRIMARY KEY); INSERT INTO plain VALUES (1)")
        .await;
    let user = format!("reader_{}", std::process::id());
    let name = &database.address.database;
    database
        .administer(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY '{user}'; GRANT SELECT ON {name}.* TO {user}@'%'"
        ))
        .await;
    let snapshot = database.source_of(&user).snapshot().await.unwrap();
    assert_eq!(snapshot.parallelism(), 1);
    assert_eq!(rows(&*snapshot, "plain", RowOrder::Any).await.unwrap().len(), 1);
    snapshot.close().await.unwrap();
    database.administer(&format!("DROP USER {user}@'%'")).await;
    database.drop().await;
}

#[tokio::test]
async fn a_writer_that_never_commits_does_not_keep_the_snapshot_away() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute("CREATE TABLE held (id int PRIMARY KEY); INSERT INTO held VALUES (1)")
        .await;
    let mut writer = database.connect().await;
    sqlx::raw_sql("START TRANSACTION; INSERT INTO held VALUES (2)")
        .execute(&mut writer)
        .await
        .unwrap();
    let snapshot = database.snapshot().await;
    assert_eq!(snapshot.parallelism(), 1);
    assert_eq!(rows(&*snapshot, "held", RowOrder::Any).await.unwrap().len(), 1);
    snapshot.close().await.unwrap();
    drop(writer);
    database.drop().await;
}
