//! Triggers that an earlier migration left behind, when the next one finds them.

use metaferry_app_db::postgres::PostgresAppDb;
use metaferry_domain::ports::{LeaseStore as _, ReadOnlyGuard as _, ReadOnlyProof};
use metaferry_domain::{Cancellation, ErrorKind};

use super::{Enforced, app_db, engage, tried};
use crate::database::TestDatabase;

/// Each trigger of ours, as one that can be told from another one of the same name.
const WHICH: &str = "SELECT oid, tgname FROM pg_trigger WHERE tgname LIKE 'metaferry%' ORDER BY 1";

/// A migration that is over, but for its triggers.
async fn left_behind(database: &TestDatabase) -> PostgresAppDb {
    let app_db = database.open().await;
    engage(&app_db).await;
    database
        .execute(
            "UPDATE metaferry.lease SET guard_token = NULL, guard_since = NULL, guard_until = NULL;
             DELETE FROM setting WHERE key = 'read-only-mode'",
        )
        .await;
    database.expire().await;
    app_db
}

/// Before, such writes passed, and were taken for some that change nothing.
#[tokio::test]
async fn a_column_that_came_since_is_guarded_as_well() {
    let Some(database) = app_db().await else { return };
    let app_db = left_behind(&database).await;
    database
        .execute("ALTER TABLE collection ADD COLUMN since text; ALTER TABLE report_card DISABLE TRIGGER metaferry_guard_rows")
        .await;
    let (token, flag) = engage(&app_db).await;
    let mut connection = database.connect().await;
    for sql in [
        "UPDATE collection SET since = 'x' WHERE id = 1",
        "DELETE FROM report_card",
    ] {
        assert_eq!(
            tried(&mut connection, sql).await.as_deref(),
            Some("25006"),
            "{sql}"
        );
    }
    let same = "UPDATE collection SET since = since, name = name";
    assert_eq!(tried(&mut connection, same).await, None);
    assert_eq!(app_db.prove(Enforced, &flag).await.unwrap(), ReadOnlyProof::Held);
    app_db.restore(token, &flag).await.unwrap();
    assert_eq!(database.rows(WHICH).await, [""; 0]);
    database.drop().await;
}

#[tokio::test]
async fn a_column_that_comes_meanwhile_is_seen_at_the_end() {
    let Some(database) = app_db().await else { return };
    let app_db = database.open().await;
    let (token, flag) = engage(&app_db).await;
    database
        .execute("ALTER TABLE collection ADD COLUMN since text")
        .await;
    let broken = app_db.prove(Enforced, &flag).await.unwrap_err();
    assert_eq!(broken.kind, ErrorKind::Precondition);
    assert!(broken.what.contains("collection"), "{}", broken.what);
    app_db
        .engage(token, Enforced, &flag, &Cancellation::new())
        .await
        .unwrap();
    assert_eq!(app_db.prove(Enforced, &flag).await.unwrap(), ReadOnlyProof::Held);
    database.drop().await;
}

#[tokio::test]
async fn what_is_as_it_should_be_is_not_made_again() {
    let Some(database) = app_db().await else { return };
    let app_db = left_behind(&database).await;
    let left = database.rows(WHICH).await;
    assert!(!left.is_empty());
    let (token, flag) = engage(&app_db).await;
    app_db
        .engage(token, Enforced, &flag, &Cancellation::new())
        .await
        .unwrap();
    assert_eq!(database.rows(WHICH).await, left);
    database
        .execute("ALTER TABLE collection ADD COLUMN since text")
        .await;
    app_db
        .engage(token, Enforced, &flag, &Cancellation::new())
        .await
        .unwrap();
    let now = database.rows(WHICH).await;
    let kept = now.iter().filter(|trigger| left.contains(trigger)).count();
    assert_eq!((now.len(), kept), (left.len(), left.len() - 1));
    app_db
        .release(&app_db.current().await.unwrap().unwrap().lease)
        .await
        .unwrap();
    database.drop().await;
}
