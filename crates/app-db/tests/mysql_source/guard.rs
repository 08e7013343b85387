//! Read-only of strength `enforced`, judged by what plain SQL of another session can and cannot do.

mod bystanders;
mod removal;

use std::path::Path;
use std::time::{Duration, Instant};

use metaferry_app_db::mysql::{MySqlAppDb, MySqlServer, MySqlUndoScript};
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::ReadOnlyStrength::Enforced;
use metaferry_domain::ports::{
    LeaseStore as _, ReadOnlyBefore, ReadOnlyGuard as _, ReadOnlyProof, UndoScript as _,
};
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_metabase::env::address::ServerAddress;
use metaferry_test_kit::contract::still_tables::{HELD_OFF, LEFT_ALONE};
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};

use crate::database::TestDatabase;
use crate::own_rows::{open, seen};
use crate::stillness::app_db;

/// Longer than anything here may take on a busy machine.
const LONG: Duration = Duration::from_secs(30);
/// Who holds the lock, to be put into other SQL.
const HOLDER: &str = "IS_USED_LOCK(concat('metaferry guard ', sha1(database())))";

async fn engage(app_db: &MySqlAppDb) -> (FencingToken, ReadOnlyBefore) {
    let token = app_db.acquire("node", 60_000).await.unwrap().token;
    let before = app_db.before().await.unwrap();
    app_db
        .engage(token, Enforced, &before, &Cancellation::new())
        .await
        .unwrap();
    (token, before)
}

async fn raw(connection: &mut MySqlConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

/// A refusal in the server's words; nothing is kept of what passes.
async fn tried(connection: &mut MySqlConnection, sql: &str) -> Option<String> {
    raw(connection, "START TRANSACTION").await.unwrap();
    let done = raw(connection, sql).await;
    raw(connection, "ROLLBACK").await.unwrap();
    done.err()
        .map(|error| error.as_database_error().unwrap().message().to_owned())
}

async fn all_pass(database: &TestDatabase, when: &str) {
    let mut connection = database.connect().await;
    for sql in HELD_OFF.iter().chain(&LEFT_ALONE) {
        assert_eq!(tried(&mut connection, sql).await, None, "{when}: {sql}");
    }
}

async fn is_guarded(database: &TestDatabase) -> bool {
    let mut connection = database.connect().await;
    tried(&mut connection, HELD_OFF[0]).await.is_some()
}

/// Until writes pass again.
async fn opens(database: &TestDatabase, what: &str) {
    let began = Instant::now();
    while is_guarded(database).await {
        assert!(began.elapsed() < LONG, "it does not open: {what}");
    }
    all_pass(database, what).await;
}

async fn ours(database: &TestDatabase) -> Vec<String> {
    let mut connection = database.connect().await;
    sqlx::query_scalar(
        "SELECT CAST(trigger_name AS CHAR) FROM information_schema.triggers
         WHERE trigger_schema = database() ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

async fn pool(database: &TestDatabase) -> MySqlPool {
    MySqlServer::new(&database.address).pool(4).await.unwrap()
}

#[tokio::test]
async fn what_must_not_change_does_not_and_the_rest_does_mariadb() {
    let Some(database) = app_db().await else { return };
    let before = seen(&database).await;
    all_pass(&database, "before").await;
    // Somebody whose snapshot is older than everything here.
    let mut earlier = database.connect().await;
    raw(&mut earlier, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        .await
        .unwrap();
    let app_db = open(&database).await;
    let (token, flag) = engage(&app_db).await;
    let refused = raw(&mut earlier, HELD_OFF[0]).await.unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().code().as_deref(),
        Some("45000")
    );
    raw(&mut earlier, "ROLLBACK").await.unwrap();
    let mut connection = database.connect().await;
    for sql in HELD_OFF {
        let words = tried(&mut connection, sql).await.unwrap_or_default();
        assert!(
            words.contains("is read-only while its snapshot is taken (Metaferry, until ")
                && words.ends_with(" UTC at most)"),
            "{sql}: {words:?}"
        );
    }
    for sql in LEFT_ALONE {
        assert_eq!(tried(&mut connection, sql).await, None, "{sql}");
    }
    assert_eq!(app_db.prove(Enforced, &flag).await.unwrap(), ReadOnlyProof::Held);
    assert_eq!(app_db.still_writing(Enforced).await.unwrap(), 0);
    app_db
        .engage(token, Enforced, &flag, &Cancellation::new())
        .await
        .unwrap();
    assert!(is_guarded(&database).await);
    for _ in 0..2 {
        app_db.restore(token, &flag).await.unwrap();
        all_pass(&database, "afterwards").await;
        assert_eq!(ours(&database).await, [""; 0], "no trace");
    }
    assert_eq!(seen(&database).await, before);
    database.drop().await;
}

/// What triggers do not see is found afterwards: a cascade of an update, which no table of Metabase's has.
#[tokio::test]
async fn writes_past_the_triggers_are_found_mariadb() {
    let Some(database) = app_db().await else { return };
    database
        .execute(
            "CREATE TABLE elsewhere (id int PRIMARY KEY);
             CREATE TABLE segment (id int PRIMARY KEY, elsewhere_id int,
                 FOREIGN KEY (elsewhere_id) REFERENCES elsewhere (id) ON UPDATE CASCADE);
             INSERT INTO elsewhere VALUES (1); INSERT INTO segment VALUES (7, 1)",
        )
        .await;
    let app_db = open(&database).await;
    let (token, before) = engage(&app_db).await;
    app_db.watch(Enforced).await.unwrap();
    assert_eq!(
        app_db.prove(Enforced, &before).await.unwrap(),
        ReadOnlyProof::Held
    );
    database.execute("UPDATE elsewhere SET id = 2").await;
    assert_eq!(
        app_db.prove(Enforced, &before).await.unwrap(),
        ReadOnlyProof::WrittenTo {
            tables: vec![
                "segment (1 rows inserted or updated, such as 7; 1 rows as they were are gone)".to_owned()
            ]
        }
    );
    app_db.restore(token, &before).await.unwrap();
    database.drop().await;
}

/// What a cascade reaches by way of tables that are none of Metabase's, and by setting NULL.
#[tokio::test]
async fn cascades_that_reach_what_must_be_still_are_refused_and_no_others_mariadb() {
    let Some(database) = app_db().await else { return };
    database
        .execute(
            "CREATE TABLE between_them (id int PRIMARY KEY, user_id int,
                 FOREIGN KEY (user_id) REFERENCES core_user (id) ON DELETE CASCADE);
             CREATE TABLE segment (id int PRIMARY KEY, between_id int,
                 FOREIGN KEY (between_id) REFERENCES between_them (id) ON DELETE SET NULL);
             INSERT INTO core_user (id, email) VALUES (1003, 'c'), (1004, 'd');
             INSERT INTO between_them VALUES (1, 1003), (2, 1004); INSERT INTO segment VALUES (1, 1)",
        )
        .await;
    let app_db = open(&database).await;
    let (token, before) = engage(&app_db).await;
    let mut connection = database.connect().await;
    for sql in [
        "DELETE FROM between_them WHERE id = 1",
        "DELETE FROM core_user WHERE id = 1003",
    ] {
        assert!(tried(&mut connection, sql).await.is_some(), "{sql}");
    }
    for sql in [
        "DELETE FROM between_them WHERE id = 2",
        "DELETE FROM core_user WHERE id = 1004",
        "DELETE FROM core_user WHERE id = 1002",
    ] {
        assert_eq!(tried(&mut connection, sql).await, None, "{sql}");
    }
    app_db.restore(token, &before).await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn it_fails_open_and_the_proof_says_so_mariadb() {
    for (what, sql) in [
        (
            "the lease has run out",
            "UPDATE metaferry_lease SET expires_at_micros = 0",
        ),
        (
            "somebody else has the lease",
            "UPDATE metaferry_lease SET token = token + 1",
        ),
        ("its table is gone", "DROP TABLE metaferry_lease"),
        ("its session is ended", "KILL"),
    ] {
        let Some(database) = app_db().await else { return };
        let app_db = open(&database).await;
        let (_, flag) = engage(&app_db).await;
        assert!(is_guarded(&database).await);
        if sql == "KILL" {
            database
                .execute(&format!("EXECUTE IMMEDIATE concat('KILL ', {HOLDER})"))
                .await;
        } else {
            database.execute(sql).await;
        }
        opens(&database, what).await;
        let error = app_db.prove(Enforced, &flag).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Precondition, "{what}");
        database.drop().await;
    }
}

#[tokio::test]
async fn its_end_is_in_the_triggers_themselves_and_nobody_takes_one_away_unseen_mariadb() {
    let Some(database) = app_db().await else { return };
    let app_db = open(&database).await;
    let (token, flag) = engage(&app_db).await;
    database
        .execute("DROP TRIGGER metaferry_guard_update_collection")
        .await;
    let error = app_db.prove(Enforced, &flag).await.unwrap_err();
    assert!(
        error.what.ends_with("took the guard away from collection"),
        "{error:?}"
    );
    app_db.restore(token, &flag).await.unwrap();
    let app_db = app_db.with_guard_max(Duration::from_secs(3));
    app_db
        .engage(token, Enforced, &flag, &Cancellation::new())
        .await
        .unwrap();
    opens(&database, "its time is over").await;
    let holds = format!("SELECT CAST({HOLDER} IS NOT NULL AS SIGNED)");
    let held: i64 = sqlx::query_scalar(AssertSqlSafe(holds))
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap();
    assert_eq!(held, 1, "the session lives");
    let error = app_db.prove(Enforced, &flag).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition);
    app_db.restore(token, &flag).await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn it_waits_no_longer_for_whoever_holds_its_lock_once_it_is_not_wanted_mariadb() {
    let Some(database) = app_db().await else { return };
    let app_db = open(&database).await;
    let token = app_db.acquire("node", 60_000).await.unwrap().token;
    let before = app_db.before().await.unwrap();
    let mut other = database.connect().await;
    raw(
        &mut other,
        "DO GET_LOCK(concat('metaferry guard ', sha1(database())), 0)",
    )
    .await
    .unwrap();
    let cancel = Cancellation::new();
    let engaging = tokio::spawn({
        let (app_db, before, cancel) = (app_db.clone(), before.clone(), cancel.clone());
        async move { app_db.engage(token, Enforced, &before, &cancel).await }
    });
    let waits =
        "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND state = 'User lock'";
    let began = Instant::now();
    loop {
        let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&mut other).await.unwrap();
        if waiting > 0 {
            break;
        }
        assert!(began.elapsed() < LONG, "nobody waits for the lock");
    }
    cancel.cancel();
    let stopped = engaging.await.unwrap().unwrap_err();
    assert_eq!(stopped.kind, ErrorKind::Cancelled, "{stopped:?}");
    app_db.restore(token, &before).await.unwrap();
    assert_eq!(ours(&database).await, [""; 0]);
    database.drop().await;
}

#[tokio::test]
async fn of_a_dead_one_everything_is_free_at_once_and_goes_by_whichever_comes_mariadb() {
    let Some(database) = app_db().await else { return };
    for way in ["another migration", "uninstall", "undo.sql while it lives"] {
        let app_db = open(&database).await;
        let folder = tempfile::tempdir().unwrap();
        let token = app_db.acquire("node", 60_000).await.unwrap().token;
        let script = MySqlUndoScript::new(app_db.clone(), folder.path().to_owned());
        let file = script.store(token).await.unwrap();
        drop(script);
        let before = app_db.before().await.unwrap();
        app_db
            .engage(token, Enforced, &before, &Cancellation::new())
            .await
            .unwrap();
        assert!(is_guarded(&database).await, "{way}");
        if way.starts_with("undo") {
            assert!(database.run_file(Path::new(&file)));
            assert_eq!(ours(&database).await, [""; 0]);
            all_pass(&database, way).await;
            app_db.restore(token, &before).await.unwrap();
            continue;
        }
        drop(app_db);
        opens(&database, way).await;
        assert!(!ours(&database).await.is_empty());
        database
            .execute("UPDATE metaferry_lease SET expires_at_micros = 0")
            .await;
        if way == "uninstall" {
            let removed = MySqlAppDb::uninstall(pool(&database).await).await.unwrap();
            assert!(
                removed.contains(&"metaferry_guard_insert_collection on collection".to_owned()),
                "{removed:?}"
            );
        } else {
            let next = open(&database).await;
            let (token, before) = engage(&next).await;
            next.restore(token, &before).await.unwrap();
            database
                .execute("UPDATE metaferry_lease SET expires_at_micros = 0")
                .await;
        }
        assert_eq!(ours(&database).await, [""; 0], "{way}");
    }
    database.drop().await;
}

#[tokio::test]
async fn who_may_not_make_triggers_is_told_before_anything_is_changed_mariadb() {
    let Some(database) = app_db().await else { return };
    let name = &database.address.database;
    let user = format!("u_{name}");
    database
        .execute(&format!(
            "CREATE USER {user}; GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON {name}.* TO {user}"
        ))
        .await;
    let server = MySqlServer::new(&ServerAddress {
        user: Some(user.clone()),
        ..database.address.clone()
    });
    let app_db = MySqlAppDb::open(server.pool(4).await.unwrap()).await.unwrap();
    let why = app_db.why_not(Enforced).await.unwrap().unwrap();
    assert!(
        why.contains("such as collection; GRANT TRIGGER on their database"),
        "{why}"
    );
    // Once only the first of the tables was asked for.
    database
        .execute(&format!("GRANT TRIGGER ON {name}.collection TO {user}"))
        .await;
    let again = MySqlAppDb::open(server.pool(4).await.unwrap()).await.unwrap();
    let why = again.why_not(Enforced).await.unwrap().unwrap();
    assert!(why.contains("such as report_card; GRANT TRIGGER"), "{why}");
    let token = app_db.acquire("node", 60_000).await.unwrap().token;
    let before = app_db.before().await.unwrap();
    let refused = app_db
        .engage(token, Enforced, &before, &Cancellation::new())
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
    assert_eq!(app_db.before().await.unwrap(), before);
    all_pass(&database, "refused").await;
    database
        .execute(&format!("GRANT TRIGGER ON {name}.* TO {user}"))
        .await;
    // Rights on a database are those of the moment in which a session chose it.
    let app_db = MySqlAppDb::open(server.pool(4).await.unwrap()).await.unwrap();
    assert_eq!(app_db.why_not(Enforced).await.unwrap(), None);
    app_db
        .engage(token, Enforced, &before, &Cancellation::new())
        .await
        .unwrap();
    assert!(is_guarded(&database).await, "for an administrator too");
    app_db.restore(token, &before).await.unwrap();
    assert_eq!(ours(&database).await, [""; 0]);
    database.execute(&format!("DROP USER {user}")).await;
    database.drop().await;
}
