//! The contract of `LeaseStore`.

use std::future::Future;
use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::lease::Lease;

use super::{AppDbUnderTest, TERM_MS, refused, take};

/// Every promise of [`LeaseStore`](metaferry_domain::ports::LeaseStore), each on a fresh app DB.
pub async fn lease_store<D: AppDbUnderTest, F: Future<Output = D>>(fresh: impl Fn() -> F) {
    is_free_at_first_and_names_its_holder(&fresh().await).await;
    is_held_by_one(&fresh().await).await;
    ends_with_its_term_and_not_before(&fresh().await).await;
    tokens_only_grow(&fresh().await).await;
    renewing_extends_it_and_keeps_the_token(&fresh().await).await;
    what_ended_cannot_be_renewed(&fresh().await).await;
    a_former_holder_changes_nothing(&fresh().await).await;
    is_given_to_one_of_many_at_once(&fresh().await).await;
}

/// The lease that somebody holds.
async fn held(db: &dyn AppDbUnderTest) -> Option<Lease> {
    let held = db.lease().current().await.unwrap();
    held.map(|held| held.lease)
}

async fn is_free_at_first_and_names_its_holder(db: &dyn AppDbUnderTest) {
    let store = db.lease();
    assert_eq!(held(db).await, None, "nobody holds a fresh lease");
    let lease = store.acquire("node 'ä'", TERM_MS).await.unwrap();
    assert_eq!(
        (lease.holder.as_str(), lease.term_ms),
        ("node 'ä'", TERM_MS),
        "what was asked for"
    );
    assert!(lease.token.0 > 0, "0 is below every token");
    assert_eq!(held(db).await, Some(lease.clone()));
    store.release(&lease).await.unwrap();
    assert_eq!(held(db).await, None, "nobody holds what was given back");
}

async fn is_held_by_one(db: &dyn AppDbUnderTest) {
    let lease = take(db, "first").await;
    for holder in ["second", "first"] {
        let error = refused(
            db.lease().acquire(holder, TERM_MS).await,
            ErrorKind::Conflict,
            "a held lease",
        );
        assert!(
            error.chain().contains("first"),
            "the holder is named: {}",
            error.chain()
        );
    }
    assert_eq!(held(db).await, Some(lease), "asking changes nothing");
}

async fn ends_with_its_term_and_not_before(db: &dyn AppDbUnderTest) {
    take(db, "first").await;
    let left_ms = async || db.lease().current().await.unwrap().expect("held").left_ms;
    let at_first = left_ms().await;
    assert!(at_first > TERM_MS / 2 && at_first <= TERM_MS, "{at_first} ms");
    db.pass(Duration::from_millis(TERM_MS / 2)).await;
    let later = left_ms().await;
    assert!(later > 0 && later <= TERM_MS / 2, "{later} ms");
    refused(
        db.lease().acquire("second", TERM_MS).await,
        ErrorKind::Conflict,
        "half the term",
    );
    db.pass(Duration::from_millis(TERM_MS / 2)).await;
    assert_eq!(held(db).await, None, "the term is over");
    take(db, "second").await;
}

async fn tokens_only_grow(db: &dyn AppDbUnderTest) {
    let mut newest = 0;
    for round in 0..6 {
        let lease = take(db, "node").await;
        assert!(lease.token.0 > newest, "{} after {newest}", lease.token);
        newest = lease.token.0;
        if round % 2 == 0 {
            db.lease().release(&lease).await.unwrap();
        } else {
            db.pass(Duration::from_millis(TERM_MS)).await;
        }
    }
}

async fn renewing_extends_it_and_keeps_the_token(db: &dyn AppDbUnderTest) {
    let lease = take(db, "first").await;
    for _ in 0..4 {
        db.pass(Duration::from_millis(TERM_MS / 2)).await;
        db.lease().renew(&lease).await.unwrap();
        assert_eq!(held(db).await, Some(lease.clone()));
    }
    refused(
        db.lease().acquire("second", TERM_MS).await,
        ErrorKind::Conflict,
        "a renewed lease",
    );
}

async fn what_ended_cannot_be_renewed(db: &dyn AppDbUnderTest) {
    let lease = take(db, "first").await;
    db.pass(Duration::from_millis(TERM_MS)).await;
    refused(
        db.lease().renew(&lease).await,
        ErrorKind::Precondition,
        "after its term, though nobody took it",
    );
    let lease = take(db, "first").await;
    db.lease().release(&lease).await.unwrap();
    refused(
        db.lease().renew(&lease).await,
        ErrorKind::Precondition,
        "after it was given back",
    );
    db.lease().release(&lease).await.unwrap();
}

async fn a_former_holder_changes_nothing(db: &dyn AppDbUnderTest) {
    let former = take(db, "first").await;
    db.pass(Duration::from_millis(TERM_MS)).await;
    let present = take(db, "second").await;
    refused(
        db.lease().renew(&former).await,
        ErrorKind::Precondition,
        "a lease that somebody else took",
    );
    db.lease()
        .release(&former)
        .await
        .expect("giving back what is no longer ours is no error");
    assert_eq!(held(db).await, Some(present.clone()), "it is the second's");
    db.lease().renew(&present).await.unwrap();
}

async fn is_given_to_one_of_many_at_once(db: &dyn AppDbUnderTest) {
    let mut takers = tokio::task::JoinSet::new();
    for taker in 0..16 {
        let store = db.lease();
        takers.spawn(async move { store.acquire(&format!("node {taker}"), TERM_MS).await });
    }
    let mut given = Vec::new();
    for result in takers.join_all().await {
        match result {
            Ok(lease) => given.push(lease),
            Err(error) => assert_eq!(error.kind, ErrorKind::Conflict, "{error:?}"),
        }
    }
    assert_eq!(given.len(), 1, "given to {given:?}");
    assert_eq!(held(db).await, given.pop());
}
