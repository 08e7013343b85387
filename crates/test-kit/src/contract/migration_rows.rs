//! The contract of `MigrationRows`.

use std::future::Future;
use std::time::Duration;

use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Phase, RowId};
use metaferry_domain::ports::{GuardedUpdate, MigrationRow, NewMigrationRow};
use metaferry_domain::{Cancellation, ErrorKind};

use super::{AppDbUnderTest, TERM_MS, refused, stale_tokens, take};

/// A key that no row of a suite has.
const NO_ROW: RowId = RowId(1_999_999_999);

const ENDS: [Phase; 3] = [Phase::Done, Phase::Error, Phase::Cancelled];

/// Every promise of [`MigrationRows`](metaferry_domain::ports::MigrationRows), each on a fresh app DB.
pub async fn migration_rows<D: AppDbUnderTest, F: Future<Output = D>>(fresh: impl Fn() -> F) {
    a_new_row_begins_in_init(&fresh().await).await;
    inserting_again_answers_the_row_that_is_there(&fresh().await).await;
    the_newest_come_first(&fresh().await).await;
    every_state_is_written_and_read(&fresh().await).await;
    what_has_ended_is_not_written_any_more(&fresh().await).await;
    anybody_cancels_what_is_open(&fresh().await).await;
    a_row_is_opened_again(&fresh().await).await;
    only_the_newest_ended_row_is_opened_again(&fresh().await).await;
    writes_nothing_under_a_stale_token(&fresh().await).await;
    a_cancel_and_an_end_at_once_are_one_of_the_two(fresh).await;
}

fn new(number: u32) -> NewMigrationRow {
    NewMigrationRow {
        external_id: format!("3f0c26a5-0000-4000-8000-{number:012}"),
        upload_url: format!(
            "https://store.example/o'{number}?X-Amz-Signature={}",
            "a".repeat(900)
        ),
    }
}

async fn insert(db: &dyn AppDbUnderTest, token: FencingToken, number: u32) -> MigrationRow {
    db.rows()
        .insert(token, &new(number), &Cancellation::new())
        .await
        .expect("a row is inserted")
}

async fn write(
    db: &dyn AppDbUnderTest,
    token: FencingToken,
    id: RowId,
    phase: Phase,
    progress: u8,
) -> GuardedUpdate {
    db.rows()
        .update_guarded(token, id, phase, progress)
        .await
        .expect("the row is looked at")
}

async fn get(db: &dyn AppDbUnderTest, id: RowId) -> MigrationRow {
    db.rows()
        .get(id)
        .await
        .expect("the row is read")
        .expect("the row is there")
}

async fn a_new_row_begins_in_init(db: &dyn AppDbUnderTest) {
    assert_eq!(db.rows().newest(10).await.unwrap(), []);
    assert_eq!(db.rows().get(NO_ROW).await.unwrap(), None);
    let token = take(db, "node").await.token;
    let row = insert(db, token, 1).await;
    assert_eq!((row.phase, row.progress), (Phase::Init, 0));
    assert_eq!(
        (row.external_id.clone(), row.upload_url.clone()),
        (new(1).external_id, new(1).upload_url)
    );
    assert!(row.updated_at.micros >= row.created_at.micros && row.created_at.micros > 0);
    assert_eq!(get(db, row.id).await, row);
}

async fn inserting_again_answers_the_row_that_is_there(db: &dyn AppDbUnderTest) {
    let token = take(db, "node").await.token;
    let row = insert(db, token, 1).await;
    assert_eq!(
        insert(db, token, 1).await.id,
        row.id,
        "the same again: an answer was lost"
    );
    assert_eq!(db.rows().newest(10).await.unwrap().len(), 1);
    write(db, token, row.id, Phase::Cancelled, 0).await;
    assert_eq!(
        insert(db, token, 1).await.phase,
        Phase::Cancelled,
        "as it is, not as it was asked for"
    );
}

async fn the_newest_come_first(db: &dyn AppDbUnderTest) {
    let token = take(db, "node").await.token;
    let mut ids = Vec::new();
    for number in 1..=4 {
        ids.insert(0, insert(db, token, number).await.id);
    }
    let found = |rows: Vec<MigrationRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(found(db.rows().newest(10).await.unwrap()), ids);
    assert_eq!(found(db.rows().newest(2).await.unwrap()), ids[..2]);
}

async fn every_state_is_written_and_read(db: &dyn AppDbUnderTest) {
    let token = take(db, "node").await.token;
    let row = insert(db, token, 1).await;
    let mut updated_at = row.updated_at;
    let written = [
        (Phase::Init, 0),
        (Phase::Setup, 1),
        (Phase::Dump, 20),
        (Phase::Dump, 44),
        (Phase::Upload, 51),
        (Phase::Upload, 99),
        (Phase::Done, 100),
    ];
    for (phase, progress) in written {
        assert_eq!(
            write(db, token, row.id, phase, progress).await,
            GuardedUpdate::Written,
            "{phase}"
        );
        let there = get(db, row.id).await;
        assert_eq!((there.phase, there.progress), (phase, progress));
        assert!(there.updated_at.micros >= updated_at.micros, "{phase}");
        assert_eq!(there.created_at, row.created_at);
        updated_at = there.updated_at;
    }
}

async fn what_has_ended_is_not_written_any_more(db: &dyn AppDbUnderTest) {
    let token = take(db, "node").await.token;
    for (number, end) in (1..).zip(ENDS) {
        let row = insert(db, token, number).await;
        assert_eq!(write(db, token, row.id, end, 30).await, GuardedUpdate::Written);
        let ended = get(db, row.id).await;
        for later in Phase::ALL {
            assert_eq!(
                write(db, token, row.id, later, 77).await,
                GuardedUpdate::Ended(end),
                "{later} after {end}"
            );
        }
        assert_eq!(get(db, row.id).await, ended, "{end} stays");
    }
    assert_eq!(
        write(db, token, NO_ROW, Phase::Setup, 1).await,
        GuardedUpdate::Missing
    );
}

async fn anybody_cancels_what_is_open(db: &dyn AppDbUnderTest) {
    let lease = take(db, "node").await;
    let token = lease.token;
    let open = [insert(db, token, 1).await.id, insert(db, token, 2).await.id];
    write(db, token, open[1], Phase::Upload, 70).await;
    let done = insert(db, token, 3).await.id;
    write(db, token, done, Phase::Done, 100).await;
    db.lease().release(&lease).await.unwrap();
    assert_eq!(
        db.rows().cancel_all().await.unwrap(),
        2,
        "as many as were open, with no lease at all"
    );
    assert_eq!(db.rows().cancel_all().await.unwrap(), 0);
    assert_eq!(get(db, open[0]).await.phase, Phase::Cancelled);
    let other = get(db, open[1]).await;
    assert_eq!(
        (other.phase, other.progress),
        (Phase::Cancelled, 70),
        "progress stays where it was"
    );
    assert_eq!(get(db, done).await.phase, Phase::Done);
}

async fn a_row_is_opened_again(db: &dyn AppDbUnderTest) {
    let token = take(db, "node").await.token;
    let row = insert(db, token, 1).await;
    for (number, end) in (2..).zip([Phase::Error, Phase::Cancelled]) {
        write(db, token, row.id, end, 60).await;
        for round in ["opened", "opened again: an answer was lost"] {
            let opened = db
                .rows()
                .reopen(token, row.id, &new(number), &Cancellation::new())
                .await
                .unwrap();
            assert_eq!(opened, GuardedUpdate::Written, "from {end}, {round}");
        }
        let there = get(db, row.id).await;
        assert_eq!((there.phase, there.progress), (Phase::Init, 0));
        assert_eq!(there.external_id, new(number).external_id);
        assert_eq!(there.upload_url, new(number).upload_url);
    }
    assert_eq!(db.rows().newest(10).await.unwrap().len(), 1, "the same row");
}

async fn only_the_newest_ended_row_is_opened_again(db: &dyn AppDbUnderTest) {
    let token = take(db, "node").await.token;
    let older = insert(db, token, 1).await;
    write(db, token, older.id, Phase::Error, 10).await;
    let newer = insert(db, token, 2).await;
    let reopen = async |id| {
        db.rows()
            .reopen(token, id, &new(3), &Cancellation::new())
            .await
            .unwrap()
    };
    assert_eq!(
        reopen(older.id).await,
        GuardedUpdate::Ended(Phase::Error),
        "there is a newer one"
    );
    assert_eq!(
        reopen(newer.id).await,
        GuardedUpdate::Ended(Phase::Init),
        "it has not ended"
    );
    write(db, token, newer.id, Phase::Done, 100).await;
    assert_eq!(
        reopen(newer.id).await,
        GuardedUpdate::Ended(Phase::Done),
        "what arrived is not tried again"
    );
    assert_eq!(reopen(NO_ROW).await, GuardedUpdate::Missing);
    assert_eq!(get(db, older.id).await.external_id, new(1).external_id);
    assert_eq!(get(db, newer.id).await.external_id, new(2).external_id);
}

async fn writes_nothing_under_a_stale_token(db: &dyn AppDbUnderTest) {
    let first = take(db, "node").await;
    let open = insert(db, first.token, 1).await;
    db.lease().release(&first).await.unwrap();
    let mut tokens = stale_tokens(db).await;
    let last = db.lease().current().await.unwrap().expect("held").lease.token;
    db.pass(Duration::from_millis(TERM_MS)).await;
    tokens.push(("the last holder's, after its term", last));
    for (whose, token) in tokens {
        let updated = db.rows().update_guarded(token, open.id, Phase::Setup, 1).await;
        refused(updated, ErrorKind::Precondition, whose);
        refused(
            db.rows().insert(token, &new(2), &Cancellation::new()).await,
            ErrorKind::Precondition,
            whose,
        );
        assert_eq!(
            db.rows().newest(10).await.unwrap(),
            std::slice::from_ref(&open),
            "{whose}"
        );
    }
    db.rows().cancel_all().await.unwrap();
    let reopened = db
        .rows()
        .reopen(first.token, open.id, &new(3), &Cancellation::new())
        .await;
    refused(reopened, ErrorKind::Precondition, "opening again");
    assert_eq!(get(db, open.id).await.phase, Phase::Cancelled);
}

async fn a_cancel_and_an_end_at_once_are_one_of_the_two<D, F>(fresh: impl Fn() -> F)
where
    D: AppDbUnderTest,
    F: Future<Output = D>,
{
    let db = fresh().await;
    let token = take(&db, "node").await.token;
    for number in 1..=8 {
        let id = insert(&db, token, number).await.id;
        let (rows, canceller) = (db.rows(), db.rows());
        let end = tokio::spawn(async move { rows.update_guarded(token, id, Phase::Done, 100).await });
        let cancel = tokio::spawn(async move { canceller.cancel_all().await });
        let (end, cancelled) = (end.await.unwrap().unwrap(), cancel.await.unwrap().unwrap());
        let there = get(&db, id).await.phase;
        match end {
            GuardedUpdate::Written => assert_eq!((there, cancelled), (Phase::Done, 0)),
            GuardedUpdate::Ended(phase) => {
                assert_eq!(phase, Phase::Cancelled);
                assert_eq!((there, cancelled), (Phase::Cancelled, 1));
            }
            GuardedUpdate::Missing => panic!("the row is there"),
        }
    }
}
