//! Nodes of Quartz beside us, on MariaDB: what they claim while everything is paused, and that they are woken afterwards.

use metaferry_app_db::mysql::MySqlQuartz;
use metaferry_domain::Cancellation;
use metaferry_domain::ports::{LeaseStore as _, PausedBefore, Scheduler as _};
use sqlx::Connection as _;

use crate::database::TestDatabase;
use crate::own_rows::{METABASE, open, seen};

/// Such a trigger kept its state, and fired on while everything else was paused.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_claims_while_it_is_being_paused_is_paused() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database.execute(METABASE).await;
    let app_db = open(&database).await;
    let lease = app_db.acquire("node", 60_000).await.unwrap();
    let quartz = MySqlQuartz::new(app_db.clone());
    let before = quartz.before().await.unwrap();
    // As Quartz does it, without its lock.
    let mut node = database.connect().await;
    let claim =
        "START TRANSACTION; UPDATE QRTZ_TRIGGERS SET TRIGGER_STATE = 'ACQUIRED' WHERE TRIGGER_NAME = 'a''s'";
    sqlx::raw_sql(claim).execute(&mut node).await.unwrap();
    let pausing = tokio::spawn({
        let quartz = quartz.clone();
        async move { quartz.quiesce(lease.token, &before, &Cancellation::new()).await }
    });
    let waits = "SELECT count(*) FROM information_schema.processlist
        WHERE db = database() AND info LIKE 'UPDATE QRTZ_TRIGGERS%'";
    while sqlx::query_scalar::<_, i64>(waits)
        .fetch_one(&mut node)
        .await
        .unwrap()
        == 0
    {
        // The server pauses between two looks.
        sqlx::raw_sql("SELECT SLEEP(0.02)")
            .execute(&mut node)
            .await
            .unwrap();
    }
    sqlx::raw_sql("COMMIT").execute(&mut node).await.unwrap();
    node.close().await.unwrap();
    pausing.await.unwrap().unwrap();
    let paused = seen(&database).await;
    assert!(paused.contains(&"trigger a's PAUSED".to_owned()), "{paused:#?}");
    // Who finds nothing to fire looks again only after half a minute, unless woken.
    let saved = quartz.before().await.unwrap();
    let woken = "SELECT count(*) FROM QRTZ_SCHEDULER_STATE WHERE instance_name = 'metaferry' AND last_checkin_time = 0";
    for (resumed, rows) in [(saved, 0), (plan_of_nothing(), 1)] {
        quartz.restore(lease.token, &resumed).await.unwrap();
        let mut connection = database.connect().await;
        let found: i64 = sqlx::query_scalar(woken)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        assert_eq!(found, rows);
    }
    database.drop().await;
}

/// Nothing was paused before.
fn plan_of_nothing() -> PausedBefore {
    PausedBefore {
        json: r#"{"groups": [], "triggers": []}"#.to_owned(),
    }
}
