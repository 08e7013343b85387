//! The contract of `JournalStore`.

use std::future::Future;
use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::migration::MigrationId;
use metaferry_domain::ports::{JournalRecord, MigrationSummary};
use uuid::Uuid;

use super::{AppDbUnderTest, TERM_MS, refused, stale_tokens, take};

/// Every promise of [`JournalStore`](metaferry_domain::ports::JournalStore), each on a fresh app DB.
pub async fn journal_store<D: AppDbUnderTest, F: Future<Output = D>>(fresh: impl Fn() -> F) {
    keeps_records_exactly_and_in_order(&fresh().await).await;
    appending_again_is_done_once(&fresh().await).await;
    writes_nothing_under_a_stale_token(&fresh().await).await;
    lists_migrations_newest_first(&fresh().await).await;
    what_is_appended_to_a_settled_migration_unsettles_it(&fresh().await).await;
    one_of_two_writers_of_a_number_wins(&fresh().await).await;
}

fn id(number: u128) -> MigrationId {
    MigrationId(Uuid::from_u128(number))
}

fn record(sequence: u64, json: &str) -> JournalRecord {
    JournalRecord {
        sequence,
        json: json.to_owned(),
    }
}

async fn keeps_records_exactly_and_in_order(db: &dyn AppDbUnderTest) {
    let journal = db.journal();
    assert_eq!(
        journal.read(id(1)).await.unwrap(),
        [],
        "nothing of an unknown migration"
    );
    assert_eq!(journal.migrations(10).await.unwrap(), []);
    let token = take(db, "node").await.token;
    let long = format!(r#"{{"long":"{}"}}"#, "ä€𝄞".repeat(20_000));
    // A store that took it for JSON would sort the keys and drop the blanks.
    let records = [
        record(1, r#"{"b": 1,  "a": "it's \"so\"\n\\"}"#),
        record(2, &long),
        record(3, "null"),
    ];
    for record in &records {
        journal.append(token, id(1), record).await.unwrap();
    }
    journal
        .append(token, id(2), &record(1, "\"another\""))
        .await
        .unwrap();
    for sequence in 4..=12 {
        journal
            .append(token, id(1), &record(sequence, "0"))
            .await
            .unwrap();
    }
    let read = journal.read(id(1)).await.unwrap();
    assert_eq!(read[..3], records, "exactly what was appended");
    assert!(
        read.iter().map(|record| record.sequence).eq(1..=12),
        "in order, by number"
    );
    assert_eq!(
        journal.read(id(2)).await.unwrap(),
        [record(1, "\"another\"")],
        "migrations do not mix"
    );
}

async fn appending_again_is_done_once(db: &dyn AppDbUnderTest) {
    let journal = db.journal();
    let token = take(db, "node").await.token;
    journal.append(token, id(1), &record(1, "1")).await.unwrap();
    journal
        .append(token, id(1), &record(1, "1"))
        .await
        .expect("the same again: an answer was lost");
    refused(
        journal.append(token, id(1), &record(1, "2")).await,
        ErrorKind::Conflict,
        "other content",
    );
    assert_eq!(
        journal.read(id(1)).await.unwrap(),
        [record(1, "1")],
        "the first stays"
    );
}

async fn writes_nothing_under_a_stale_token(db: &dyn AppDbUnderTest) {
    let journal = db.journal();
    for (whose, token) in stale_tokens(db).await {
        refused(
            journal.append(token, id(1), &record(1, "1")).await,
            ErrorKind::Precondition,
            whose,
        );
        assert_eq!(journal.read(id(1)).await.unwrap(), [], "{whose}");
        assert_eq!(
            journal.migrations(10).await.unwrap(),
            [],
            "{whose}: not even listed"
        );
    }
    let holder = db.lease().current().await.unwrap().expect("held").lease.token;
    journal.append(holder, id(1), &record(1, "1")).await.unwrap();
    db.pass(Duration::from_millis(TERM_MS)).await;
    let after = "the holder's, after its term";
    refused(
        journal.append(holder, id(1), &record(2, "2")).await,
        ErrorKind::Precondition,
        after,
    );
    refused(
        journal.append(holder, id(1), &record(1, "1")).await,
        ErrorKind::Precondition,
        after,
    );
    refused(
        journal.settle(holder, id(1)).await,
        ErrorKind::Precondition,
        after,
    );
    assert_eq!(journal.read(id(1)).await.unwrap(), [record(1, "1")]);
    assert_eq!(journal.migrations(10).await.unwrap(), [unsettled(1)]);
}

fn unsettled(number: u128) -> MigrationSummary {
    MigrationSummary {
        id: id(number),
        settled: false,
    }
}

fn settled(number: u128) -> MigrationSummary {
    MigrationSummary {
        id: id(number),
        settled: true,
    }
}

async fn lists_migrations_newest_first(db: &dyn AppDbUnderTest) {
    let journal = db.journal();
    let token = take(db, "node").await.token;
    // Not in the order of their ids.
    for number in [2, 3, 1] {
        journal.append(token, id(number), &record(1, "1")).await.unwrap();
    }
    journal.append(token, id(2), &record(2, "2")).await.unwrap();
    assert_eq!(
        journal.migrations(10).await.unwrap(),
        [unsettled(1), unsettled(3), unsettled(2)]
    );
    journal.settle(token, id(3)).await.unwrap();
    journal
        .settle(token, id(3))
        .await
        .expect("settled twice: an answer was lost");
    assert_eq!(
        journal.migrations(2).await.unwrap(),
        [unsettled(1), settled(3)],
        "at most two"
    );
}

async fn what_is_appended_to_a_settled_migration_unsettles_it(db: &dyn AppDbUnderTest) {
    let journal = db.journal();
    let token = take(db, "node").await.token;
    journal.append(token, id(1), &record(1, "1")).await.unwrap();
    journal.settle(token, id(1)).await.unwrap();
    assert_eq!(journal.migrations(1).await.unwrap(), [settled(1)]);
    // Another attempt begins: until it is settled a crash must find it.
    journal.append(token, id(1), &record(2, "2")).await.unwrap();
    assert_eq!(journal.migrations(1).await.unwrap(), [unsettled(1)]);
}

async fn one_of_two_writers_of_a_number_wins(db: &dyn AppDbUnderTest) {
    let token = take(db, "node").await.token;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let journal = db.journal();
        writers.spawn(async move {
            journal
                .append(token, id(1), &record(1, &writer.to_string()))
                .await
        });
    }
    let written = writers
        .join_all()
        .await
        .into_iter()
        .filter(|result| match result {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Conflict, "{error:?}");
                false
            }
        });
    assert_eq!(written.count(), 1, "one wins");
    assert_eq!(db.journal().read(id(1)).await.unwrap().len(), 1);
}
