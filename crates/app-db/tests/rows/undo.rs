//! `undo.sql`, run by `psql` as an operator would.

use std::process::Command;

use metaferry_app_db::postgres::{PostgresAppDb, PostgresQuartz, PostgresUndoScript};
use metaferry_domain::Cancellation;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{DeadMansSwitch as _, ReadOnlyGuard as _, Scheduler as _, UndoScript as _};
use metaferry_metabase::quartz::Concurrency::Concurrent;

use crate::database::{TestDatabase, raw, token};
use crate::guard::OURS;
use crate::quartz::{add_trigger, expect_meanwhile, meanwhile, mixed};

/// Stores the script and then changes everything, as a migration does.
async fn set_up(app_db: &PostgresAppDb) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let token = token(app_db).await;
    let script = PostgresUndoScript::new(app_db.clone(), folder.path().to_owned());
    let path = script.store(token).await.unwrap();
    let flag = app_db.before().await.unwrap();
    app_db
        .engage(token, ReadOnlyStrength::Flag, &flag, &Cancellation::new())
        .await
        .unwrap();
    let quartz = PostgresQuartz::new(app_db.clone());
    let paused = quartz.before().await.unwrap();
    quartz
        .quiesce(token, &paused, &Cancellation::new())
        .await
        .unwrap();
    (folder, path)
}

#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn there_is_psql() -> bool {
    let there = Command::new("psql").arg("--version").output().is_ok();
    if !there {
        eprintln!("SKIPPED: there is no psql");
    }
    there
}

fn psql(database: &TestDatabase, path: &str) {
    let run = Command::new("psql")
        .args(["-v", "ON_ERROR_STOP=1", "-f", path, "-d", &database.url])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[tokio::test]
async fn it_puts_everything_back_and_then_changes_nothing() {
    if !there_is_psql() {
        return;
    }
    for value in [None, Some("false"), Some("true"), Some("it's \\ $metaferry$")] {
        let Some(database) = TestDatabase::app_db().await else {
            return;
        };
        mixed(&database).await;
        if let Some(value) = value {
            let value = value.replace('\'', "''");
            database
                .execute(&format!(
                    "INSERT INTO setting VALUES ('read-only-mode', '{value}')"
                ))
                .await;
        }
        let before = database.contents().await;
        let app_db = database.open().await;
        let (_folder, path) = set_up(&app_db).await;
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_ne!(database.contents().await, before);
        let engaged = database.last_updated().await;
        psql(&database, &path);
        assert_eq!(database.contents().await, before, "from {value:?}");
        let bumped = database.last_updated().await;
        assert_eq!(
            bumped > engaged,
            value != Some("true"),
            "{engaged}, then {bumped}, from {value:?}"
        );
        assert!(bumped.ends_with("+05:30"), "{bumped}");
        psql(&database, &path);
        assert_eq!(database.contents().await, before, "again, from {value:?}");
        assert_eq!(database.last_updated().await, bumped, "again, from {value:?}");
        let stored = database
            .rows("SELECT encode(sha256(convert_to(sql, 'UTF8')), 'hex') FROM metaferry.undo_script")
            .await;
        let sum = <sha2::Sha256 as sha2::Digest>::digest(kept.as_bytes());
        assert_eq!(
            stored,
            [format!("({})", hex::encode(sum))],
            "the same text is in the app DB"
        );
        database.drop().await;
    }
}

#[tokio::test]
async fn it_leaves_alone_what_others_did_meanwhile() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    if !there_is_psql() {
        return database.drop().await;
    }
    mixed(&database).await;
    let app_db = database.open().await;
    let (_folder, path) = set_up(&app_db).await;
    meanwhile(&database).await;
    database
        .execute("UPDATE setting SET value = 'false' WHERE key = 'read-only-mode'")
        .await;
    let bumped = database.last_updated().await;
    psql(&database, &path);
    expect_meanwhile(&database).await;
    let value = database
        .one("SELECT value FROM setting WHERE key = 'read-only-mode'")
        .await;
    assert_eq!(value.as_deref(), Some("false"));
    assert_eq!(database.last_updated().await, bumped);
    database.drop().await;
}

#[tokio::test]
async fn it_keeps_paused_what_was_all_paused_before() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    if !there_is_psql() {
        return database.drop().await;
    }
    add_trigger(&database, "g", "paused", "PAUSED", Concurrent).await;
    add_trigger(&database, "g", "runs", "WAITING", Concurrent).await;
    database
        .execute(
            "INSERT INTO qrtz_paused_trigger_grps VALUES ('MetabaseScheduler', 'g'),
                 ('MetabaseScheduler', '_$_ALL_GROUPS_PAUSED_$_')",
        )
        .await;
    let app_db = database.open().await;
    let (_folder, path) = set_up(&app_db).await;
    add_trigger(&database, "new group", "new", "PAUSED", Concurrent).await;
    database
        .execute("INSERT INTO qrtz_paused_trigger_grps VALUES ('MetabaseScheduler', 'new group')")
        .await;
    psql(&database, &path);
    let states = "SELECT trigger_name || ' ' || trigger_state FROM qrtz_triggers ORDER BY 1";
    assert_eq!(
        database.rows(states).await,
        ["(\"new PAUSED\")", "(\"paused PAUSED\")", "(\"runs WAITING\")"]
    );
    assert_eq!(
        database
            .rows("SELECT trigger_group FROM qrtz_paused_trigger_grps")
            .await
            .len(),
        3
    );
    database.drop().await;
}

#[tokio::test]
async fn it_runs_where_there_is_no_quartz_and_in_any_schema() {
    let Some(database) = TestDatabase::bare().await else {
        return;
    };
    if !there_is_psql() {
        return database.drop().await;
    }
    database
        .execute(&format!(
            "CREATE SCHEMA \"Odd 'one'\"; CREATE TABLE \"Odd 'one'\".setting (key varchar(254) PRIMARY KEY, value text NOT NULL);
             ALTER DATABASE {} SET search_path = \"Odd 'one'\"",
            database.address.database
        ))
        .await;
    let app_db = database.open().await;
    let (_folder, path) = set_up(&app_db).await;
    let count = "SELECT count(*) FROM \"Odd 'one'\".setting WHERE key = 'read-only-mode'";
    assert_eq!(database.rows(count).await, ["(1)"]);
    database
        .execute(&format!(
            "ALTER DATABASE {} RESET search_path",
            database.address.database
        ))
        .await;
    for _ in 0..2 {
        psql(&database, &path);
        assert_eq!(database.rows(count).await, ["(0)"]);
    }
    database.drop().await;
}

#[tokio::test]
async fn it_takes_triggers_away_and_waits_for_nobody_who_uses_a_table() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    if !there_is_psql() {
        return database.drop().await;
    }
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let folder = tempfile::tempdir().unwrap();
    let script = PostgresUndoScript::new(app_db.clone(), folder.path().to_owned());
    let path = script.store(token).await.unwrap();
    app_db.arm(token, &Cancellation::new()).await.unwrap();
    let flag = app_db.before().await.unwrap();
    app_db
        .engage(token, ReadOnlyStrength::Enforced, &flag, &Cancellation::new())
        .await
        .unwrap();
    let all = database.rows(OURS).await;
    let mut reader = database.connect().await;
    raw(&mut reader, "BEGIN; SELECT count(*) FROM api_key").await;
    let guards = ["rows", "truncate", "update"].map(|of| format!("(api_keymetaferry_guard_{of})"));
    let kept = guards
        .into_iter()
        .chain(["(guard)".to_owned(), "(trip_switch)".to_owned()]);
    let kept: Vec<String> = kept.collect();
    assert!(all.len() > kept.len(), "{all:?}");
    // The server's own vacuum may use another table for a moment.
    for _ in 0..10 {
        psql(&database, &path);
        if database.rows(OURS).await == kept {
            break;
        }
    }
    assert_eq!(database.rows(OURS).await, kept);
    raw(&mut reader, "ROLLBACK").await;
    psql(&database, &path);
    assert_eq!(database.rows(OURS).await, [""; 0]);
    database.drop().await;
}
