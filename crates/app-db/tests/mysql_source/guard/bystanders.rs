//! Those who use the tables while they are guarded, or given back: nobody waits long, and nobody is sent away who could do
//! nothing for it.

use std::time::{Duration, Instant};

use metaferry_domain::Cancellation;
use metaferry_domain::migration::ReadOnlyStrength::Enforced;
use metaferry_domain::ports::{LeaseStore as _, ReadOnlyGuard as _};
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::{LONG, is_guarded, ours, raw, tried};
use crate::own_rows::open;
use crate::stillness::app_db;

/// For so long since a table was first found in use nobody is waited for: while it comes into force, and while it is given back.
const GENTLE: Duration = Duration::from_secs(5);
const GENTLE_REMOVAL: Duration = Duration::from_secs(2);
/// And at the next table where that is used up.
const GENTLE_LEAST: Duration = Duration::from_millis(500);
/// A second is what somebody waits, on a machine that is not busy; without a limit of its own a session waits ten.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// Does somebody wait for who uses that table, to guard it?
async fn is_waited_for(asking: &mut MySqlConnection, table: &str) -> bool {
    let waiting = format!(
        "SELECT count(*) FROM information_schema.processlist WHERE db = database()
         AND state = 'Waiting for table metadata lock' AND info LIKE 'CREATE TRIGGER %_{table}%'"
    );
    let waiting: i64 = sqlx::query_scalar(AssertSqlSafe(waiting))
        .fetch_one(asking)
        .await
        .unwrap();
    waiting > 0
}

#[tokio::test]
async fn nobody_waits_long_behind_it_while_it_waits_for_a_long_transaction_mariadb() {
    let Some(database) = app_db().await else { return };
    let app_db = open(&database).await;
    let mut long = database.connect().await;
    raw(
        &mut long,
        "START TRANSACTION; UPDATE collection SET name = 'long' WHERE id = 2",
    )
    .await
    .unwrap();
    let token = app_db.acquire("node", 60_000).await.unwrap().token;
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
    let (mut shortest, mut refused) = (Duration::MAX, false);
    // The machine may stand still meanwhile, but not each time.
    for _ in 0..3 {
        let began = Instant::now();
        while !is_waited_for(&mut other, "collection").await {
            assert!(began.elapsed() < LONG, "it never waits");
        }
        let asked = Instant::now();
        refused |= tried(&mut other, "UPDATE collection SET name = 'short' WHERE id = 1")
            .await
            .is_some();
        shortest = shortest.min(asked.elapsed());
    }
    assert!(shortest < WAIT_MAX, "{shortest:?}");
    assert!(!engaging.is_finished(), "it waits for what began before");
    assert!(
        !refused,
        "before it is in force for all nobody is refused on this table"
    );
    // It went on waiting, for those who use the next table too: whoever then wrote was sent away.
    let next = "metaferry_guard_insert_report_card".to_owned();
    assert!(!ours(&database).await.contains(&next));
    raw(&mut other, "START TRANSACTION; SELECT * FROM report_card")
        .await
        .unwrap();
    let mut asking = database.connect().await;
    let gentle_from = Instant::now();
    raw(&mut long, "COMMIT").await.unwrap();
    while gentle_from.elapsed() < GENTLE_LEAST / 2 && !is_waited_for(&mut asking, "report_card").await {}
    let written = raw(&mut other, "UPDATE report_card SET name = 'other'").await;
    assert!(
        written.is_ok() || gentle_from.elapsed() >= GENTLE_LEAST,
        "a deadlock: {written:?}"
    );
    raw(&mut other, "ROLLBACK").await.unwrap();
    engaging.await.unwrap().unwrap();
    assert!(is_guarded(&database).await);
    app_db.restore(token, &before).await.unwrap();
    database.drop().await;
}

const READ: &str = "START TRANSACTION; SELECT * FROM collection; DO SLEEP(0.2)";

/// Who has read then writes, and reads again, while nobody is to be waited for since then: how often he was judged.
async fn is_not_sent_away(somebody: &mut MySqlConnection, since: Instant, gentle: Duration) -> u32 {
    let mut judged = 0;
    loop {
        raw(somebody, "DO SLEEP(0.2)").await.unwrap();
        let written = raw(somebody, "UPDATE collection SET name = 'somebody' WHERE id = 1").await;
        if since.elapsed() >= gentle {
            break;
        }
        judged += 1;
        let refused = written.err().map(|error| error.to_string());
        // 1213 is a deadlock, for which he can do nothing.
        assert!(
            refused
                .as_ref()
                .is_none_or(|refused| refused.contains("is read-only while its snapshot is taken")),
            "{refused:?}"
        );
        raw(somebody, "COMMIT").await.unwrap();
        if since.elapsed() >= gentle * 3 / 4 {
            break;
        }
        raw(somebody, READ).await.unwrap();
    }
    raw(somebody, "COMMIT").await.unwrap();
    judged
}

#[tokio::test]
async fn who_reads_and_then_writes_is_not_sent_away_while_it_comes_and_goes_mariadb() {
    let Some(database) = app_db().await else { return };
    let app_db = open(&database).await;
    let token = app_db.acquire("node", 60_000).await.unwrap().token;
    let before = app_db.before().await.unwrap();
    let mut somebody = database.connect().await;
    // While the machine stands still for seconds nobody can be judged.
    for _ in 0..5 {
        raw(&mut somebody, READ).await.unwrap();
        let since = Instant::now();
        let engaging = tokio::spawn({
            let (app_db, before) = (app_db.clone(), before.clone());
            async move {
                app_db
                    .engage(token, Enforced, &before, &Cancellation::new())
                    .await
            }
        });
        let judged_coming = is_not_sent_away(&mut somebody, since, GENTLE).await;
        engaging.await.unwrap().unwrap();
        assert!(is_guarded(&database).await);
        raw(&mut somebody, READ).await.unwrap();
        let since = Instant::now();
        let restoring = tokio::spawn({
            let (app_db, before) = (app_db.clone(), before.clone());
            async move { app_db.restore(token, &before).await }
        });
        let judged_going = is_not_sent_away(&mut somebody, since, GENTLE_REMOVAL).await;
        restoring.await.unwrap().unwrap();
        assert_eq!(ours(&database).await, [""; 0]);
        if judged_coming > 3 && judged_going > 0 {
            database.drop().await;
            return;
        }
    }
    panic!("on this machine nothing can be judged");
}
