//! Read-only of strength `enforced`, judged by what plain SQL of another session can and cannot do.

mod again;
mod removal;

use std::time::{Duration, Instant};

use metaferry_app_db::Effort;
use metaferry_app_db::postgres::PostgresAppDb;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::ReadOnlyStrength::{self, Enforced, Flag};
use metaferry_domain::ports::{
    DeadMansSwitch as _, LeaseStore as _, ReadOnlyBefore, ReadOnlyGuard as _, ReadOnlyProof,
};
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_test_kit::contract::still_tables::{HELD_OFF, LEFT_ALONE, SLIPPED};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::database::{TestDatabase, raw, token};

/// Tables that are guarded, exempt by columns, and exempt as a whole; one refers to a user.
const TABLES: &str = "
    INSERT INTO core_user (id, email, date_joined) VALUES (1001, 'a@x', now()), (1002, 'b@x', now());
    CREATE TABLE collection (id integer PRIMARY KEY, name text, slug varchar(10),
        personal_owner_id integer REFERENCES core_user (id) ON DELETE CASCADE,
        upper_name text GENERATED ALWAYS AS (upper(name)) STORED, odd json);
    CREATE TABLE report_card (id integer PRIMARY KEY, name text, last_used_at timestamptz, updated_at timestamptz);
    CREATE TABLE somebodys_own (id integer PRIMARY KEY);
    INSERT INTO collection VALUES (1, 'one', 'a', NULL, DEFAULT, '{\"a\": 1}'), (2, 'two', 'b', 1001, DEFAULT, NULL);
    INSERT INTO report_card VALUES (1, 'card', now(), now());";

const TRUNCATE: &str = "TRUNCATE collection";
const UPSERT: &str =
    "INSERT INTO setting VALUES ('site-locale', 'de') ON CONFLICT (key) DO UPDATE SET value = 'de'";

/// Writes that must be refused.
fn refused() -> impl Iterator<Item = &'static str> {
    HELD_OFF.into_iter().chain([TRUNCATE])
}

/// Writes that must pass.
fn passing() -> impl Iterator<Item = &'static str> {
    LEFT_ALONE.into_iter().chain([UPSERT])
}

pub(crate) const OURS: &str = "SELECT * FROM (SELECT tgrelid::regclass::text || tgname AS name FROM pg_trigger WHERE tgname LIKE 'metaferry%'
    UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname = 'metaferry')) AS ours
    ORDER BY name COLLATE \"C\"";

async fn app_db() -> Option<TestDatabase> {
    let database = TestDatabase::tiny().await?;
    database.execute(TABLES).await;
    Some(database)
}

async fn engage(app_db: &PostgresAppDb) -> (FencingToken, ReadOnlyBefore) {
    let token = token(app_db).await;
    let before = app_db.before().await.unwrap();
    app_db
        .engage(token, Enforced, &before, &Cancellation::new())
        .await
        .unwrap();
    (token, before)
}

/// The SQLSTATE of a refusal; nothing is kept of what passes.
async fn tried(connection: &mut PgConnection, sql: &str) -> Option<String> {
    raw(connection, "BEGIN").await;
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut *connection)
        .await;
    raw(connection, "ROLLBACK").await;
    done.err()
        .map(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
}

async fn all_pass(database: &TestDatabase, when: &str) {
    let mut connection = database.connect().await;
    for sql in refused().chain(passing()) {
        assert_eq!(tried(&mut connection, sql).await, None, "{when}: {sql}");
    }
}

async fn is_guarded(database: &TestDatabase) -> bool {
    let mut connection = database.connect().await;
    tried(&mut connection, HELD_OFF[0]).await.is_some()
}

#[tokio::test]
async fn what_must_not_change_does_not_and_the_rest_does() {
    let Some(database) = app_db().await else { return };
    let before = database.contents().await;
    all_pass(&database, "before").await;
    let app_db = database.open().await;
    let (token, flag) = engage(&app_db).await;
    let mut connection = database.connect().await;
    for sql in refused() {
        // 25006: read-only SQL transaction, as a standby would say.
        assert_eq!(
            tried(&mut connection, sql).await.as_deref(),
            Some("25006"),
            "{sql}"
        );
    }
    for sql in passing() {
        assert_eq!(tried(&mut connection, sql).await, None, "{sql}");
    }
    assert_eq!(app_db.prove(Enforced, &flag).await.unwrap(), ReadOnlyProof::Held);
    app_db
        .engage(token, Enforced, &flag, &Cancellation::new())
        .await
        .unwrap();
    for _ in 0..2 {
        app_db.restore(token, &flag).await.unwrap();
        all_pass(&database, "afterwards").await;
        assert_eq!(database.rows(OURS).await, [""; 0], "no trace");
    }
    assert_eq!(database.contents().await, before);
    database.drop().await;
}

#[tokio::test]
async fn it_fails_open() {
    let ways = [
        (
            "the lease has run out",
            "UPDATE metaferry.lease SET expires_at = clock_timestamp()",
        ),
        (
            "somebody else has the lease",
            "UPDATE metaferry.lease SET token = token + 1",
        ),
        (
            "its time is over",
            "UPDATE metaferry.lease SET guard_until = clock_timestamp()",
        ),
        (
            "it is disarmed by hand",
            "UPDATE metaferry.lease SET guard_token = NULL",
        ),
        ("its row is gone", "DELETE FROM metaferry.lease"),
        ("its table is gone", "DROP TABLE metaferry.lease"),
    ];
    for (what, sql) in ways {
        let Some(database) = app_db().await else { return };
        let app_db = database.open().await;
        let (_, flag) = engage(&app_db).await;
        assert!(is_guarded(&database).await);
        database.execute(sql).await;
        all_pass(&database, what).await;
        if !what.ends_with("gone") && what != "the lease has run out" {
            let error = app_db.prove(Enforced, &flag).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Precondition, "{what}");
        }
        database.drop().await;
    }
}

#[tokio::test]
async fn its_end_is_in_the_function_itself() {
    let Some(database) = app_db().await else { return };
    let app_db = database.open().await.with_guard_max(Duration::from_millis(1500));
    engage(&app_db).await;
    let engaged = Instant::now();
    assert!(is_guarded(&database).await);
    // Whatever the row says.
    database
        .execute("UPDATE metaferry.lease SET guard_until = 'infinity', expires_at = 'infinity'")
        .await;
    while is_guarded(&database).await {
        assert!(engaged.elapsed() < Duration::from_secs(10), "it does not end");
    }
    database.drop().await;
}

#[tokio::test]
async fn nobody_waits_long_behind_it_while_it_waits_for_a_long_transaction() {
    let Some(database) = app_db().await else { return };
    let app_db = database.open().await;
    let mut long = database.connect().await;
    raw(
        &mut long,
        "BEGIN; UPDATE collection SET name = 'long' WHERE id = 2",
    )
    .await;
    let token = token(&app_db).await;
    let before = app_db.before().await.unwrap();
    let engaging = tokio::spawn({
        let (app_db, before) = (app_db.clone(), before.clone());
        async move {
            app_db
                .engage(token, Enforced, &before, &Cancellation::new())
                .await
        }
    });
    let mut other = database.connect().await;
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        raw(&mut other, "UPDATE collection SET name = 'short' WHERE id = 1").await;
        longest = longest.max(asked.elapsed());
    }
    assert!(longest < Duration::from_millis(1500), "{longest:?}");
    assert!(!engaging.is_finished(), "it waits for what began before");
    raw(&mut long, "COMMIT").await;
    engaging.await.unwrap().unwrap();
    assert!(is_guarded(&database).await);
    assert_eq!(app_db.still_writing(Enforced).await.unwrap(), 0);
    database.drop().await;
}

#[tokio::test]
async fn who_wrote_before_it_was_armed_is_seen_until_the_end() {
    let Some(database) = app_db().await else { return };
    let app_db = database.open().await;
    let (token, before) = engage(&app_db).await;
    database
        .execute("UPDATE metaferry.lease SET guard_token = NULL, guard_since = NULL")
        .await;
    let mut writer = database.connect().await;
    raw(
        &mut writer,
        "BEGIN; UPDATE collection SET name = 'before' WHERE id = 1",
    )
    .await;
    app_db
        .engage(token, Enforced, &before, &Cancellation::new())
        .await
        .unwrap();
    assert_eq!(app_db.still_writing(Enforced).await.unwrap(), 1);
    let mut late = database.connect().await;
    raw(&mut late, "BEGIN; UPDATE collection SET name = name WHERE id = 2").await;
    assert_eq!(
        app_db.still_writing(Enforced).await.unwrap(),
        1,
        "who comes later is not waited for"
    );
    raw(&mut writer, "COMMIT").await;
    assert_eq!(app_db.still_writing(Enforced).await.unwrap(), 0);
    raw(&mut late, "ROLLBACK").await;
    database.drop().await;
}

#[tokio::test]
async fn what_a_lock_kept_keeps_our_tables_and_goes_when_it_can() {
    let Some(database) = app_db().await else { return };
    let app_db = database.open().await;
    let (token, _) = engage(&app_db).await;
    app_db.arm(token, &Cancellation::new()).await.unwrap();
    // One trigger to wait for is enough.
    database
        .execute(
            "UPDATE metaferry.lease SET guard_token = NULL, expires_at = clock_timestamp();
             DROP TRIGGER metaferry_guard_update ON collection; DROP TRIGGER metaferry_guard_truncate ON collection",
        )
        .await;
    let kept = "metaferry_guard_rows on collection".to_owned();
    let mut reader = database.connect().await;
    raw(&mut reader, "BEGIN; SELECT * FROM collection").await;
    let swept = PostgresAppDb::remove_leftovers(database.pool().await, Effort::Asked)
        .await
        .unwrap();
    assert_eq!(swept.left, std::slice::from_ref(&kept));
    let switch = "metaferry_switch on qrtz_scheduler_state".to_owned();
    assert!(
        swept.removed.contains(&switch) && swept.removed.len() > 3,
        "{swept:?}"
    );
    let refused = PostgresAppDb::uninstall(database.pool().await).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.what.contains(&kept), "{}", refused.what);
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'metaferry'";
    assert!(!database.rows(tables).await.is_empty());
    raw(&mut reader, "ROLLBACK").await;
    let swept = PostgresAppDb::remove_leftovers(database.pool().await, Effort::Asked)
        .await
        .unwrap();
    assert_eq!((swept.removed, swept.left), (vec![kept], Vec::new()));
    assert_eq!(database.rows(OURS).await, [""; 0]);
    let removed = PostgresAppDb::uninstall(database.pool().await).await.unwrap();
    assert!(removed.contains(&"metaferry".to_owned()), "{removed:?}");
    database.drop().await;
}

#[tokio::test]
async fn triggers_without_our_tables_are_removed_as_well() {
    let Some(database) = app_db().await else { return };
    let app_db = database.open().await;
    engage(&app_db).await;
    database
        .execute(
            "DO $$ DECLARE ours text; BEGIN
                 FOR ours IN SELECT tablename FROM pg_tables WHERE schemaname = 'metaferry' LOOP
                     EXECUTE 'DROP TABLE metaferry.' || quote_ident(ours) || ' CASCADE';
                 END LOOP; END $$",
        )
        .await;
    let removed = PostgresAppDb::uninstall(database.pool().await).await.unwrap();
    assert!(
        removed.contains(&"metaferry_guard_rows on collection".to_owned()),
        "{removed:?}"
    );
    assert_eq!(database.rows(OURS).await, [""; 0]);
    database.drop().await;
}

#[tokio::test]
async fn while_somebody_migrates_nothing_is_a_leftover() {
    let Some(database) = app_db().await else { return };
    let app_db = database.open().await;
    engage(&app_db).await;
    let refused = PostgresAppDb::remove_leftovers(database.pool().await, Effort::Asked)
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(is_guarded(&database).await);
    database.drop().await;
}

#[tokio::test]
async fn the_owner_of_the_tables_can_and_a_lesser_role_is_told_before_anything_is_changed() {
    let Some(database) = app_db().await else { return };
    let role = format!("{}_user", database.address.database);
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {role}; GRANT USAGE ON SCHEMA public TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
            database.address.database
        ))
        .await;
    let app_db = PostgresAppDb::open(database.of_user(&role).pool(3).await.unwrap())
        .await
        .unwrap();
    let why = app_db.why_not(Enforced).await.unwrap().unwrap();
    assert!(
        why.contains("does not own 3 of the 3 tables") && why.contains("api_key"),
        "{why}"
    );
    let lease = app_db.acquire("node", 60_000).await.unwrap();
    let before = app_db.before().await.unwrap();
    let refused = app_db
        .engage(lease.token, Enforced, &before, &Cancellation::new())
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
    assert_eq!(database.rows(OURS).await, [""; 0]);
    assert_eq!(app_db.before().await.unwrap(), before);
    database
        .execute(&format!(
            "ALTER TABLE collection OWNER TO {role}; ALTER TABLE report_card OWNER TO {role};
             ALTER TABLE api_key OWNER TO {role}"
        ))
        .await;
    assert_eq!(app_db.why_not(Enforced).await.unwrap(), None);
    app_db
        .engage(lease.token, Enforced, &before, &Cancellation::new())
        .await
        .unwrap();
    // Also for a superuser.
    assert!(is_guarded(&database).await);
    app_db.restore(lease.token, &before).await.unwrap();
    assert!(!is_guarded(&database).await);
    assert_eq!(database.rows(OURS).await, [""; 0]);
    drop(app_db);
    database
        .execute(&format!(
            "REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role} CASCADE; DROP ROLE {role}"
        ))
        .await;
    database.drop().await;
}

/// What is found of a write, made while stillness is watched.
async fn found(strength: ReadOnlyStrength, sql: &str) -> Option<ReadOnlyProof> {
    let database = app_db().await?;
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let before = app_db.before().await.unwrap();
    database.execute("UPDATE collection SET name = 'earlier'").await;
    app_db
        .engage(token, strength, &before, &Cancellation::new())
        .await
        .unwrap();
    app_db.watch(strength).await.unwrap();
    database.execute(sql).await;
    let proof = app_db.prove(strength, &before).await.unwrap();
    database.drop().await;
    Some(proof)
}

#[tokio::test]
async fn writes_that_slipped_through_are_found_and_named() {
    for sql in passing() {
        let Some(proof) = found(Enforced, sql).await else {
            return;
        };
        assert_eq!(proof, ReadOnlyProof::Held, "{sql}");
    }
    let exempt = "UPDATE report_card SET last_used_at = now(); DELETE FROM core_user WHERE id = 1002";
    assert_eq!(found(Flag, exempt).await.unwrap(), ReadOnlyProof::Held);
    let one = |words: &str| ReadOnlyProof::WrittenTo {
        tables: vec![words.to_owned()],
    };
    let truncated = (
        TRUNCATE,
        "collection (0 rows inserted or updated; 2 rows as they were are gone)".to_owned(),
    );
    let slipped = SLIPPED
        .iter()
        .map(|slipped| (slipped.sql, slipped.without_keys()));
    for (sql, words) in slipped.chain([truncated]) {
        assert_eq!(found(Flag, sql).await.unwrap(), one(&words), "{sql}");
        // As nobody but a superuser can.
        let past_the_triggers = format!("SET session_replication_role = replica; {sql}");
        let is_change =
            !sql.starts_with("UPDATE collection") && !sql.contains("core_user") && !sql.contains("; INSERT");
        if is_change {
            assert_eq!(
                found(Enforced, &past_the_triggers).await.unwrap(),
                one(&words),
                "{sql}"
            );
        }
    }
}
