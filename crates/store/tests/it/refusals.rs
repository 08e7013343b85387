//! Requests and dumps that the store refuses, with a stable code or the reason.

use metaferry_domain::ErrorKind;
use metaferry_store::{DumpFacts, Limits};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::support::{Answer, Harbour, Inspector, etag, good_facts};

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_wrong_are_refused_with_a_stable_code() {
    let harbour = Harbour::open().await;
    let created = harbour.create().await;
    let api = "/api/v2/migration";
    for (body, status, words) in [
        ("", 400, "unreadable_request: "),
        ("not json", 400, "unreadable_request: "),
        (r#"{"local_mb_version": 3}"#, 400, "unreadable_request: "),
        (r#"{"version": "v0.58.1"}"#, 400, "unreadable_request: "),
        (
            r#"{"local_mb_version": "v0.49.1"}"#,
            400,
            "version_refused: Metabase 49 is too old",
        ),
        (
            r#"{"local_mb_version": "vLOCAL_DEV"}"#,
            400,
            "version_refused: this is no Metabase release",
        ),
    ] {
        harbour.request("POST", api, body).await.assert(status, words);
    }
    let long = format!(r#"{{"local_mb_version": "{}"}}"#, "v".repeat(3 << 20));
    harbour.request("POST", api, &long).await.assert(413, "too_large");
    for id in [
        "nonsense",
        "00000000-0000-4000-8000-000000000000",
        "..%2F..%2Fsigning.key",
        &created.id.to_uppercase(),
    ] {
        harbour
            .request("GET", &format!("{api}/{id}"), "")
            .await
            .assert(404, "unknown_migration");
        harbour
            .request("PUT", &format!("{api}/{id}/uploaded"), "")
            .await
            .assert(404, "unknown_migration");
        let body = r#"{"part_count": 2}"#;
        harbour
            .request("PUT", &format!("{api}/{id}/multipart"), body)
            .await
            .assert(404, "unknown_migration");
    }
    for count in ["0", "10001"] {
        let body = format!(r#"{{"part_count": {count}}}"#);
        let path = format!("{api}/{}/multipart", created.id);
        harbour
            .request("PUT", &path, &body)
            .await
            .assert(400, "invalid_part_number: parts count from 1 to 10000");
    }
    for body in [
        r#"{"part_count": -1}"#,
        r#"{"part_count": 1.5}"#,
        r#"{"part_count": "3"}"#,
        "{}",
    ] {
        harbour
            .request("PUT", &format!("{api}/{}/multipart", created.id), body)
            .await
            .assert(400, "unreadable_request");
    }
    harbour.uploaded(&created.id).await.assert(409, "nothing_arrived");
    harbour
        .request("GET", "/etc/passwd", "")
        .await
        .assert(404, "not_found");
    harbour
        .request("DELETE", &format!("{api}/{}", created.id), "")
        .await
        .assert(405, "method_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn kebab_case_is_read_too() {
    let harbour = Harbour::open().await;
    let created = harbour
        .request("POST", "/api/v2/migration", r#"{"local-mb-version": "v1.58.1"}"#)
        .await;
    created.assert(201, "");
    let id = serde_json::from_str::<Value>(&created.body).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v2/migration/{id}/multipart");
    harbour
        .request("PUT", &path, r#"{"part-count": 1}"#)
        .await
        .assert(200, "{\"multipart_upload_id\":");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_kept() {
    let limits = Limits {
        object_bytes_max: 10,
        put_bytes_max: 6,
        migrations_max: 1,
        ..Limits::default()
    };
    let harbour = Harbour::with(Inspector::finding(good_facts()), None, |config| {
        config.limits = limits
    })
    .await;
    let created = harbour.create().await;
    let full = harbour
        .request("POST", "/api/v2/migration", r#"{"local_mb_version": "v0.58.1"}"#)
        .await;
    full.assert(429, "too_many_migrations");
    assert_eq!(full.headers["retry-after"], "5");
    harbour
        .put(&created.upload_url, b"seven b", HeaderMap::new())
        .await
        .assert(413, "too_large: at most 6");
    harbour
        .put(&created.upload_url, b"sixbyt", HeaderMap::new())
        .await
        .assert(200, "");
    let upload = harbour.multipart(&created.id, 2).await;
    for number in [1, 2] {
        harbour
            .put(&upload.urls[&number], b"sixbyt", HeaderMap::new())
            .await
            .assert(200, "");
    }
    let etags = json!({"1": etag(b"sixbyt"), "2": etag(b"sixbyt")});
    harbour
        .complete(&created.id, &upload.id, &etags)
        .await
        .assert(413, "too_large: at most 10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_receives_enough_says_come_back() {
    let limits = Limits {
        receiving_max: 0,
        ..Limits::default()
    };
    let harbour = Harbour::with(Inspector::finding(good_facts()), None, |config| {
        config.limits = limits
    })
    .await;
    let created = harbour.create().await;
    let busy = harbour.put(&created.upload_url, b"dump", HeaderMap::new()).await;
    busy.assert(503, "busy");
    assert_eq!(busy.headers["retry-after"], "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_at_fault_are_rejected_with_the_reason() {
    let error = |kind| Answer::Error(kind, "the file is no H2 database");
    let nobody = DumpFacts {
        users: 0,
        ..good_facts()
    };
    let dangling = DumpFacts {
        dangling: vec!["report_card.creator_id (3 rows)".to_owned()],
        ..good_facts()
    };
    for (answer, words) in [
        (error(ErrorKind::Corrupt), "the file is no H2 database"),
        (error(ErrorKind::Unsupported), "the file is no H2 database"),
        (Answer::Facts(nobody), "no users"),
        (Answer::Facts(dangling), "report_card.creator_id (3 rows)"),
        (Answer::Panic, "broke the reader"),
    ] {
        let harbour = Harbour::with(Inspector::answering(answer), None, |_| ()).await;
        let created = harbour.create().await;
        harbour
            .put(&created.upload_url, b"dump", HeaderMap::new())
            .await
            .assert(200, "");
        harbour.uploaded(&created.id).await.assert(201, "");
        let status = harbour.settled(&created.id).await;
        assert_eq!(status["state"], "rejected");
        assert!(status["reason"].as_str().unwrap().contains(words), "{status}");
        harbour.uploaded(&created.id).await.assert(409, "rejected: ");
        harbour
            .put(&created.upload_url, b"other", HeaderMap::new())
            .await
            .assert(409, "already_uploaded");
        let body = r#"{"part_count": 2}"#;
        let path = format!("/api/v2/migration/{}/multipart", created.id);
        harbour
            .request("PUT", &path, body)
            .await
            .assert(409, "already_uploaded");
    }
}
