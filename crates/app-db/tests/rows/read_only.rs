//! Read-only on, told to every node, and exactly put back.

use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{ReadOnlyGuard as _, ReadOnlyProof};
use metaferry_domain::quiesce::{Propagation, propagation};
use metaferry_domain::{Cancellation, ErrorKind};

use crate::database::{TestDatabase, token};

const VALUE: &str = "SELECT value FROM setting WHERE key = 'read-only-mode'";

async fn set(database: &TestDatabase, value: Option<&str>) {
    database
        .execute("DELETE FROM setting WHERE key = 'read-only-mode'")
        .await;
    if let Some(value) = value {
        database
            .execute(&format!(
                "INSERT INTO setting VALUES ('read-only-mode', '{value}')"
            ))
            .await;
    }
}

#[tokio::test]
async fn what_was_there_is_there_again() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let token = token(&app_db).await;
    for there in [None, Some("false"), Some("true"), Some("False")] {
        set(&database, there).await;
        let (contents, mut bumped) = (database.contents().await, database.last_updated().await);
        let before = app_db.before().await.unwrap();
        for _ in 0..2 {
            app_db
                .engage(token, ReadOnlyStrength::Flag, &before, &Cancellation::new())
                .await
                .unwrap();
            assert_eq!(
                database.one(VALUE).await.as_deref(),
                Some("true"),
                "from {there:?}"
            );
        }
        assert_eq!(
            app_db.prove(ReadOnlyStrength::Flag, &before).await.unwrap(),
            ReadOnlyProof::Held
        );
        for _ in 0..2 {
            app_db.restore(token, &before).await.unwrap();
            assert_eq!(database.contents().await, contents, "from {there:?}");
        }
        if there != Some("true") {
            // One change there and one back, whatever was asked for twice.
            bumped = next_second(&next_second(&bumped));
        }
        assert_eq!(database.last_updated().await, bumped, "from {there:?}");
    }
    database.drop().await;
}

/// The second after the one in which a time lies, for the times of this test.
fn next_second(text: &str) -> String {
    match text {
        "2025-05-31 23:59:59.123456+05:30" => "2025-06-01 00:00:00.000000+05:30".to_owned(),
        _ => {
            let second: u32 = text[17..19].parse().unwrap();
            format!("{}{:02}{}", &text[..17], second + 1, &text[19..])
        }
    }
}

#[tokio::test]
async fn a_foreign_change_is_not_switched_over() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let token = token(&app_db).await;
    for foreign in [Some("false"), None] {
        set(&database, Some("something else")).await;
        let before = app_db.before().await.unwrap();
        set(&database, foreign).await;
        let bumped = database.last_updated().await;
        let refused = app_db
            .engage(token, ReadOnlyStrength::Flag, &before, &Cancellation::new())
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict, "{refused:?}");
        assert_eq!(database.one(VALUE).await.as_deref(), foreign);
        assert_eq!(database.last_updated().await, bumped);
    }
    database.drop().await;
}

#[tokio::test]
async fn a_foreign_change_stays() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let token = token(&app_db).await;
    for foreign in [Some("false"), None] {
        set(&database, Some("something else")).await;
        let before = app_db.before().await.unwrap();
        app_db
            .engage(token, ReadOnlyStrength::Flag, &before, &Cancellation::new())
            .await
            .unwrap();
        set(&database, foreign).await;
        let bumped = database.last_updated().await;
        let proof = app_db.prove(ReadOnlyStrength::Flag, &before).await.unwrap();
        assert_eq!(
            proof,
            ReadOnlyProof::SwitchedOff {
                value: foreign.map(str::to_owned)
            }
        );
        app_db.restore(token, &before).await.unwrap();
        assert_eq!(database.one(VALUE).await.as_deref(), foreign);
        assert_eq!(
            database.last_updated().await,
            bumped,
            "nothing changed, nobody is told"
        );
    }
    database.drop().await;
}

#[tokio::test]
async fn the_bump_sorts_after_what_was_there_and_lies_in_the_past() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let before = app_db.before().await.unwrap();
    // Written by Metabase a moment ago: the next second has yet to come.
    for zone in ["UTC", "Asia/Kolkata", "America/St_Johns"] {
        database
            .execute(&format!(
                "SET timezone = '{zone}'; UPDATE setting SET value = CAST(current_timestamp AS text)
                 WHERE key = 'settings-last-updated'"
            ))
            .await;
        let old = database.last_updated().await;
        app_db
            .engage(token, ReadOnlyStrength::Flag, &before, &Cancellation::new())
            .await
            .unwrap();
        let new = database.last_updated().await;
        assert!(new > old, "{new} after {old}");
        let offset = |text: &str| text[text.rfind(['+', '-']).unwrap()..].to_owned();
        assert_eq!(offset(&new), offset(&old));
        let facts = format!("SELECT '{new}'::timestamptz <= clock_timestamp() AND '{new}' > '{old}' AS fine");
        assert_eq!(
            database.one(&facts).await.as_deref(),
            Some("t"),
            "{new} after {old}"
        );
        app_db.restore(token, &before).await.unwrap();
    }
    database
        .execute("UPDATE setting SET value = '2999-01-01 00:00:00+00' WHERE key = 'settings-last-updated'")
        .await;
    let error = app_db
        .engage(token, ReadOnlyStrength::Flag, &before, &Cancellation::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{}", error.chain());
    assert_eq!(database.one(VALUE).await, None, "refused as a whole");
    database
        .execute("DELETE FROM setting WHERE key = 'settings-last-updated'")
        .await;
    app_db
        .engage(token, ReadOnlyStrength::Flag, &before, &Cancellation::new())
        .await
        .unwrap();
    let first = "SELECT abs(extract(epoch FROM clock_timestamp() - value::timestamptz)) < 60 AS fine
        FROM setting WHERE key = 'settings-last-updated'";
    assert_eq!(database.one(first).await.as_deref(), Some("t"));
    database.drop().await;
}

#[tokio::test]
async fn settings_of_a_version_that_keeps_them_twice_are_not_written() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let token = token(&app_db).await;
    let before = app_db.before().await.unwrap();
    for column in ["value_with_aad", "value_sysadmin"] {
        database
            .execute(&format!("ALTER TABLE setting ADD {column} text"))
            .await;
        let contents = database.contents().await;
        let error = app_db
            .engage(token, ReadOnlyStrength::Flag, &before, &Cancellation::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.chain().contains(column), "{}", error.chain());
        assert_eq!(database.contents().await, contents);
        database
            .execute(&format!("ALTER TABLE setting DROP {column}"))
            .await;
    }
    database.drop().await;
}

#[tokio::test]
async fn nobody_is_waited_for_only_where_nobody_is() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    let app_db = database.open().await;
    let seen = async || propagation(&app_db.nodes().await.unwrap(), None);
    let wait = Propagation::Wait { contradiction: None };
    assert_eq!(seen().await, Propagation::NobodyIsThere);
    let metabase = database.connect().await;
    assert_eq!(seen().await, wait, "somebody is connected");
    sqlx::Connection::close(metabase).await.unwrap();
    let check_in = "INSERT INTO qrtz_scheduler_state VALUES ('MetabaseScheduler', 'n1', (extract(epoch FROM now()) * 1000)::bigint, 7500)";
    database.execute(check_in).await;
    assert_eq!(seen().await, wait, "a node checks in");
    assert_eq!(app_db.nodes().await.unwrap().nodes(), ["n1"]);
    database
        .execute("UPDATE qrtz_scheduler_state SET last_checkin_time = 1000")
        .await;
    assert_eq!(app_db.nodes().await.unwrap().nodes(), [""; 0], "it is gone");
    let role = format!("{}_reader", database.address.database);
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; CREATE SCHEMA metaferry_of_{role};
             GRANT ALL ON SCHEMA public, metaferry TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA public, metaferry TO {role}"
        ))
        .await;
    let pool = database.of_user(&role).pool(2).await.unwrap();
    let limited = metaferry_app_db::postgres::PostgresAppDb::open(pool)
        .await
        .unwrap();
    let _metabase = database.connect().await;
    // Before, sessions of other users were overlooked: a user without rights is not told their kind.
    let hosts = limited.nodes().await.unwrap().client_hosts.unwrap();
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    drop(limited);
    database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
    database.drop().await;
}
