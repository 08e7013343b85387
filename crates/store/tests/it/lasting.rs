//! What the store keeps: across a restart, to the restored database, in a folder that is its own.

use std::sync::Arc;

use metaferry_domain::{ErrorKind, PortError};
use metaferry_store::{StoreConfig, StoreError, TableFacts};
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::support::{Answer, Harbour, Inspector, Restores, etag, good_facts, open, path_of};

#[tokio::test(flavor = "multi_thread")]
async fn everything_survives_a_restart() {
    let failing = Inspector::answering(Answer::Error(ErrorKind::Unavailable, "out of memory"));
    let harbour = Harbour::with(failing, None, |_| ()).await;
    let (waiting, in_parts, unseen) = (
        harbour.create().await,
        harbour.create().await,
        harbour.create().await,
    );
    let upload = harbour.multipart(&in_parts.id, 2).await;
    harbour
        .put(&upload.urls[&1], b"one", HeaderMap::new())
        .await
        .assert(200, "");
    harbour
        .put(&unseen.upload_url, b"dump", HeaderMap::new())
        .await
        .assert(200, "");
    harbour.uploaded(&unseen.id).await.assert(201, "");
    let status = harbour
        .until(&unseen.id, |status| status["reason"].is_string())
        .await;
    assert_eq!(
        (status["state"].as_str(), status["reason"].as_str()),
        (Some("uploaded"), Some("out of memory"))
    );

    let harbour = harbour.restarted(Inspector::finding(good_facts()), None).await;
    assert_eq!(harbour.settled(&unseen.id).await["state"], "verified");
    let moved = |url: &str| format!("http://{}/{}", harbour.address, path_of(url));
    harbour
        .put(&moved(&waiting.upload_url), b"dump", HeaderMap::new())
        .await
        .assert(200, "");
    harbour
        .put(&moved(&upload.urls[&2]), b"two", HeaderMap::new())
        .await
        .assert(200, "");
    let etags = json!({"1": etag(b"one"), "2": etag(b"two")});
    harbour
        .complete(&in_parts.id, &upload.id, &etags)
        .await
        .assert(200, "");
    harbour.uploaded(&in_parts.id).await.assert(201, "");
    assert_eq!(harbour.settled(&in_parts.id).await["state"], "verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_dump_is_restored_where_that_is_wanted() {
    let restores = Arc::new(Restores::default());
    let harbour = Harbour::with(Inspector::finding(good_facts()), Some(restores.clone()), |_| ()).await;
    let created = harbour.create().await;
    harbour
        .put(&created.upload_url, b"dump", HeaderMap::new())
        .await
        .assert(200, "");
    harbour.uploaded(&created.id).await.assert(201, "");
    let status = harbour
        .until(&created.id, |status| status["state"] == "restored")
        .await;
    assert_eq!(status["place"], "a test's memory");
    assert_eq!(
        *restores.done.lock().unwrap(),
        [(created.id.clone(), b"dump".to_vec())]
    );
    let tables = &status["facts"]["tables"];
    assert_eq!(
        tables,
        &json!([TableFacts {
            name: "core_user".into(),
            rows: 2,
            digest: "mf1:00".into()
        }])
    );

    *restores.error.lock().unwrap() = Some(PortError::new(ErrorKind::Exhausted, "the target's disk is full"));
    let second = harbour.create().await;
    harbour
        .put(&second.upload_url, b"dump", HeaderMap::new())
        .await
        .assert(200, "");
    harbour.uploaded(&second.id).await.assert(201, "");
    let status = harbour
        .until(&second.id, |status| status["reason"].is_string())
        .await;
    assert_eq!(
        (&status["state"], &status["reason"]),
        (&json!("verified"), &json!("the target's disk is full"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_named_at_the_start() {
    let harbour = Harbour::open().await;
    let created = harbour.create().await;
    let (dir, clock) = harbour.closed().await;
    let record = dir
        .path()
        .join("migrations")
        .join(&created.id)
        .join("record.json");
    std::fs::write(&record, "{").unwrap();
    let error = open(dir.path(), clock).unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { path, .. } if *path == record),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_do_not_share_a_folder() {
    let harbour = Harbour::open().await;
    let error = open(harbour.dir.path(), harbour.clock.clone()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_url_is_what_is_handed_out() {
    let config = |config: &mut StoreConfig| config.public_url = Some("https://store.example.com/".to_owned());
    let harbour = Harbour::with(Inspector::finding(good_facts()), None, config).await;
    let created = harbour.create().await;
    let expected = format!("https://store.example.com/objects/{}?expires=", created.id);
    assert!(
        created.upload_url.starts_with(&expected),
        "{}",
        created.upload_url
    );
}
