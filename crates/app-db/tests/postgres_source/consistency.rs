//! One instant, whoever writes or changes tables meanwhile, and what happens when a session ends in the middle.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metaferry_domain::ErrorKind;
use metaferry_domain::ports::{RowOrder, Source as _};
use metaferry_domain::row_batch::RowBatch;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::database::TestDatabase;
use crate::reading::{rows, whole};

/// Runs `statements` again and again until told to stop; the second value counts rounds.
fn keep_doing(url: String, statements: Vec<String>) -> (Arc<AtomicBool>, tokio::task::JoinHandle<u32>) {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let task = tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let mut rounds = 0;
        while !stopped.load(Ordering::Relaxed) {
            for statement in &statements {
                sqlx::raw_sql(AssertSqlSafe(statement.clone()))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
            rounds += 1;
        }
        rounds
    });
    (stop, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_agree_while_others_insert() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute(
            "CREATE TABLE parent (id serial PRIMARY KEY, children int NOT NULL DEFAULT 2);
             CREATE TABLE child (id serial PRIMARY KEY, parent_id int NOT NULL);
             INSERT INTO parent SELECT FROM generate_series(1, 1000);
             INSERT INTO child (parent_id) SELECT id FROM parent, generate_series(1, 2);",
        )
        .await;
    let insert = "WITH p AS (INSERT INTO parent DEFAULT VALUES RETURNING id)
                  INSERT INTO child (parent_id) SELECT id FROM p, generate_series(1, 2)";
    let (stop, writer) = keep_doing(database.url.clone(), vec![insert.to_owned()]);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let snapshot = database.snapshot().await;
        let children = rows(&*snapshot, "child", RowOrder::Any).await.unwrap();
        let parents = rows(&*snapshot, "parent", RowOrder::PrimaryKey).await.unwrap();
        let ids: HashSet<&str> = parents.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(children.len(), 2 * parents.len());
        assert!(
            children.iter().all(|row| ids.contains(row[1].as_str())),
            "a child without its parent"
        );
        assert_eq!(snapshot.count("child").await.unwrap(), children.len() as u64);
        seen.push(parents.len());
        snapshot.close().await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0);
    assert!(seen.first() < seen.last(), "nobody wrote meanwhile: {seen:?}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncate_or_a_rewrite_never_shows_as_an_empty_table() {
    // What Postgres does without the locks: a table truncated or rewritten after the snapshot reads as empty.
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute(
            "CREATE TABLE refilled (id int);
             INSERT INTO refilled SELECT generate_series(1, 1000);
             CREATE TABLE rewritten (id int);
             INSERT INTO rewritten SELECT generate_series(1, 1000);",
        )
        .await;
    let refill =
        "BEGIN; TRUNCATE refilled; INSERT INTO refilled SELECT generate_series(1, 1000); COMMIT".to_owned();
    let rewrite = ["bigint", "int"].map(|to| format!("ALTER TABLE rewritten ALTER id TYPE {to}"));
    let (stop_refilling, refiller) = keep_doing(database.url.clone(), vec![refill]);
    let (stop_rewriting, rewriter) = keep_doing(database.url.clone(), rewrite.to_vec());
    for _ in 0..8 {
        let snapshot = database.snapshot().await;
        for table in ["refilled", "rewritten"] {
            assert_eq!(
                rows(&*snapshot, table, RowOrder::Any).await.unwrap().len(),
                1000,
                "{table}"
            );
        }
        snapshot.close().await.unwrap();
    }
    stop_refilling.store(true, Ordering::Relaxed);
    stop_rewriting.store(true, Ordering::Relaxed);
    assert!(refiller.await.unwrap() > 0 && rewriter.await.unwrap() > 0);
    database.drop().await;
}

#[tokio::test]
async fn a_table_that_somebody_keeps_locked_is_named() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute("CREATE TABLE wanted (id int); CREATE TABLE other (id int);")
        .await;
    let mut holder = database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE wanted IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let error = database.source().snapshot().await.err().unwrap();
    // Whoever holds it must let go: trying again by itself was done already.
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.chain().contains("table wanted is locked"), "{error:?}");
    drop(holder);
    database.drop().await;
}

#[tokio::test]
async fn a_truncate_waits_until_the_snapshot_is_closed() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
        .await;
    let snapshot = database.snapshot().await;
    let mut other = database.connect().await;
    let truncate = "SET lock_timeout = '50ms'; TRUNCATE kept";
    assert!(sqlx::raw_sql(truncate).execute(&mut other).await.is_err());
    assert_eq!(rows(&*snapshot, "kept", RowOrder::Any).await.unwrap().len(), 1);
    snapshot.close().await.unwrap();
    sqlx::raw_sql("SET lock_timeout = '10s'; TRUNCATE kept")
        .execute(&mut other)
        .await
        .unwrap();
    drop(other);
    database.drop().await;
}

const LARGE: &str = "CREATE TABLE large (id int PRIMARY KEY, filler text);
     INSERT INTO large SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 100000) i;";

#[tokio::test]
async fn a_killed_backend_is_told_with_the_table() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database.execute(LARGE).await;
    let snapshot = database.snapshot().await;
    let mut reader = snapshot
        .read(&whole(&*snapshot, "large", RowOrder::PrimaryKey))
        .await
        .unwrap();
    let mut batch = RowBatch::default();
    reader.next(&mut batch, 10_000).await.unwrap();
    database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'metaferry'",
        )
        .await;
    let error = loop {
        match reader.next(&mut batch, 1 << 20).await {
            Ok(()) => assert!(batch.rows() > 0, "the end was taken for whole"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert!(error.chain().contains("table large"), "{error:?}");
    let again = snapshot.read(&whole(&*snapshot, "large", RowOrder::Any)).await;
    if let Ok(mut again) = again {
        assert_eq!(
            again.next(&mut batch, 1 << 20).await.unwrap_err().kind,
            ErrorKind::Unavailable
        );
    }
    assert_eq!(
        snapshot.count("large").await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    database.drop().await;
}

#[tokio::test]
async fn a_dropped_reader_lets_go_and_the_snapshot_goes_on() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database.execute(LARGE).await;
    let snapshot = database.snapshot().await;
    let mut other = database.connect().await;
    for order in [RowOrder::Any, RowOrder::PrimaryKey, RowOrder::Any] {
        let mut reader = snapshot.read(&whole(&*snapshot, "large", order)).await.unwrap();
        let mut batch = RowBatch::default();
        reader.next(&mut batch, 10_000).await.unwrap();
        assert!(batch.rows() > 0);
        drop(reader);
    }
    let started = std::time::Instant::now();
    loop {
        let copying: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND query LIKE 'COPY%' AND state = 'active'",
        )
        .fetch_one(&mut other)
        .await
        .unwrap();
        if copying == 0 {
            break;
        }
        assert!(started.elapsed().as_secs() < 2, "{copying} backends still copy");
    }
    assert_eq!(
        rows(&*snapshot, "large", RowOrder::Any).await.unwrap().len(),
        100_000
    );
    snapshot.close().await.unwrap();
    drop(other);
    database.drop().await;
}

#[tokio::test]
async fn many_readers_at_once_share_the_snapshot() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 5000)")
        .await;
    let snapshot = database.snapshot().await;
    database.execute("DELETE FROM t").await;
    let mut readers = Vec::new();
    for _ in 0..6 {
        readers.push(
            snapshot
                .read(&whole(&*snapshot, "t", RowOrder::PrimaryKey))
                .await
                .unwrap(),
        );
    }
    let mut batch = RowBatch::default();
    for mut reader in readers {
        let mut count = 0;
        loop {
            reader.next(&mut batch, 4096).await.unwrap();
            if batch.rows() == 0 {
                break;
            }
            count += batch.rows();
        }
        assert_eq!(count, 5000);
    }
    snapshot.close().await.unwrap();
    database.drop().await;
}
