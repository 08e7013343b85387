//! The store over real HTTP: what it takes, what it refuses, what survives a restart.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_store::{DumpFacts, Limits, StoreConfig, StoreError, TableFacts};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, Harbour, Inspector, Restores, good_facts, open};

fn md5_header(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(bytes)))
}

fn path_of(url: &str) -> &str {
    url.split_once("//").unwrap().1.split_once('/').unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_travels_from_the_first_call_to_verified() {
    let harbour = Harbour::open().await;
    let created = harbour.create().await;
    let put = harbour.put(&created.upload_url, b"dump", HeaderMap::new()).await;
    put.assert(200, "");
    assert_eq!(put.etag(), etag(b"dump"));
    assert_eq!(harbour.status(&created.id).await["state"], "waiting");
    harbour.uploaded(&created.id).await.assert(201, "");
    let status = harbour.settled(&created.id).await;
    assert_eq!(status["state"], "verified");
    assert_eq!(status["object"], json!({"size_bytes": 4, "etag": etag(b"dump")}));
    assert_eq!(
        status["facts"]["tables"][0],
        json!({"name": "core_user", "rows": 2, "digest": "mf1:00"})
    );
    assert_eq!(harbour.inspector.looked_at(), [b"dump".to_vec()]);
    harbour.uploaded(&created.id).await.assert(201, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_become_the_object() {
    let harbour = Harbour::open().await;
    let created = harbour.create().await;
    let upload = harbour.multipart(&created.id, 3).await;
    let parts: [&[u8]; 3] = [b"one", b"two", b"three"];
    for (number, part) in (1..).zip(parts) {
        let put = harbour.put(&upload.urls[&number], part, HeaderMap::new()).await;
        put.assert(200, "");
        assert_eq!(put.etag(), etag(part));
    }
    let etags = json!({"1": etag(b"one"), "2": etag(b"two"), "3": etag(b"three")});
    let done = harbour.complete(&created.id, &upload.id, &etags).await;
    done.assert(200, "");
    let md5s: Vec<u8> = parts.iter().flat_map(Md5::digest).collect();
    let whole = format!("\"{}-3\"", hex::encode(Md5::digest(md5s)));
    assert_eq!(
        serde_json::from_str::<Value>(&done.body).unwrap(),
        json!({"etag": whole, "size_bytes": 11})
    );
    harbour
        .complete(&created.id, &upload.id, &etags)
        .await
        .assert(200, "");
    harbour.uploaded(&created.id).await.assert(201, "");
    assert_eq!(harbour.settled(&created.id).await["state"], "verified");
    assert_eq!(harbour.inspector.looked_at(), [b"onetwothree".to_vec()]);
    assert_eq!(
        harbour.files(&created.id).len(),
        2,
        "the record and the object: {:?}",
        harbour.files(&created.id)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_with_wrong_parts_is_refused_and_can_be_put_right() {
    let harbour = Harbour::open().await;
    let created = harbour.create().await;
    let upload = harbour.multipart(&created.id, 2).await;
    let (one, two) = (etag(b"one"), etag(b"two"));
    harbour
        .put(&upload.urls[&1], b"one", HeaderMap::new())
        .await
        .assert(200, "");
    let complete = async |etags: Value| harbour.complete(&created.id, &upload.id, &etags).await;
    complete(json!({"1": one, "2": two}))
        .await
        .assert(400, "invalid_part: part 2");
    harbour
        .put(&upload.urls[&2], b"TWO", HeaderMap::new())
        .await
        .assert(200, "");
    complete(json!({"1": one, "2": two}))
        .await
        .assert(400, "invalid_part: part 2");
    harbour
        .put(&upload.urls[&2], b"two", HeaderMap::new())
        .await
        .assert(200, "");
    complete(json!({"1": one}))
        .await
        .assert(400, "parts_incomplete: part 2");
    complete(json!({"1": one, "2": etag(b"TWO")}))
        .await
        .assert(400, "invalid_part: part 2");
    complete(json!({"1": one, "2": two, "3": two}))
        .await
        .assert(400, "parts_incomplete");
    complete(json!({"0": one, "1": one, "2": two}))
        .await
        .assert(400, "parts_incomplete");
    complete(json!({"1": two, "2": one}))
        .await
        .assert(400, "invalid_part: part 1");
    complete(json!({"1": one, "2": "../../signing.key"}))
        .await
        .assert(400, "invalid_part: part 2");
    complete(json!([])).await.assert(400, "unreadable_request");
    harbour
        .complete(&created.id, "nonsense", &json!({}))
        .await
        .assert(404, "no_such_upload");
    let stranger = "00000000-0000-4000-8000-000000000000";
    harbour
        .complete(&created.id, stranger, &json!({"1": one, "2": two}))
        .await
        .assert(404, "no_such_upload");
    complete(json!({"1": one, "2": two})).await.assert(200, "");
    complete(json!({"1": two, "2": one}))
        .await
        .assert(404, "no_such_upload");
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_again_for_parts_it_is_the_same_upload_and_another_count_begins_anew() {
    let harbour = Harbour::open().await;
    let created = harbour.create().await;
    let first = harbour.multipart(&created.id, 2).await;
    harbour
        .put(&first.urls[&1], b"one", HeaderMap::new())
        .await
        .assert(200, "");
    let again = harbour.multipart(&created.id, 2).await;
    assert_eq!(again.id, first.id);
    let other = harbour.multipart(&created.id, 1).await;
    assert_ne!(other.id, first.id);
    harbour
        .put(&first.urls[&2], b"two", HeaderMap::new())
        .await
        .assert(404, "no_such_upload");
    harbour
        .put(&other.urls[&1], b"all", HeaderMap::new())
        .await
        .assert(200, "");
    harbour
        .complete(&created.id, &other.id, &json!({"1": etag(b"all")}))
        .await
        .assert(200, "");
    assert_eq!(
        harbour.files(&created.id).len(),
        2,
        "the first upload's part is gone"
    );
}

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
async fn a_url_permits_its_own_path_until_it_expires() {
    let harbour = Harbour::open().await;
    let (mine, other) = (harbour.create().await, harbour.create().await);
    let query = mine.upload_url.split_once('?').unwrap().1;
    let elsewhere = format!("{}?{query}", other.upload_url.split_once('?').unwrap().0);
    harbour
        .put(&elsewhere, b"x", HeaderMap::new())
        .await
        .assert(403, "signature_invalid");
    let bare = mine.upload_url.split_once('?').unwrap().0;
    harbour
        .put(bare, b"x", HeaderMap::new())
        .await
        .assert(403, "signature_invalid");
    harbour
        .put(
            &mine.upload_url.replace("expires=1", "expires=2"),
            b"x",
            HeaderMap::new(),
        )
        .await
        .assert(403, "signature_invalid");

    let upload = harbour.multipart(&mine.id, 2).await;
    let part = path_of(&upload.urls[&1]).to_owned();
    for number in ["0", "10001", "01", "-1", "x"] {
        let path = format!("/{}", part.replacen("/1?", &format!("/{number}?"), 1));
        harbour
            .request("PUT", &path, "x")
            .await
            .assert(400, "invalid_part_number");
    }
    let path = format!("/{}", part.replacen("/1?", "/2?", 1));
    harbour
        .request("PUT", &path, "x")
        .await
        .assert(403, "signature_invalid");

    harbour.clock.advance(Duration::from_secs(24 * 3600));
    harbour
        .put(&mine.upload_url, b"last moment", HeaderMap::new())
        .await
        .assert(200, "");
    harbour.clock.advance(Duration::from_secs(1));
    harbour
        .put(&mine.upload_url, b"x", HeaderMap::new())
        .await
        .assert(403, "signature_expired");
    // The answer reaches a sender of much more than a socket holds, too.
    harbour
        .put(&mine.upload_url, &vec![7; 4 << 20], HeaderMap::new())
        .await
        .assert(403, "signature_expired");
    let fresh = harbour.status(&mine.id).await["upload_url"]
        .as_str()
        .unwrap()
        .to_owned();
    harbour.put(&fresh, b"x", HeaderMap::new()).await.assert(200, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_was_announced_are_refused_and_leave_nothing() {
    let harbour = Harbour::open().await;
    let created = harbour.create().await;
    let md5 = |value: &str| HeaderMap::from_iter([("content-md5".parse().unwrap(), value.parse().unwrap())]);
    harbour
        .put(&created.upload_url, b"dump", md5(&md5_header(b"dumb")))
        .await
        .assert(400, "bad_digest");
    for bad in ["", "????", "YWJj"] {
        harbour
            .put(&created.upload_url, b"dump", md5(bad))
            .await
            .assert(400, "invalid_digest");
    }
    harbour.uploaded(&created.id).await.assert(409, "nothing_arrived");
    harbour
        .put(&created.upload_url, b"dump", md5(&md5_header(b"dump")))
        .await
        .assert(200, "");

    let upload = harbour.multipart(&created.id, 1).await;
    let kms = HeaderMap::from_iter([(
        "x-amz-server-side-encryption".parse().unwrap(),
        "aws:kms".parse().unwrap(),
    )]);
    harbour
        .put(&upload.urls[&1], b"dump", kms.clone())
        .await
        .assert(400, "encryption_not_allowed");
    for wrong in [
        HeaderMap::new(),
        HeaderMap::from_iter([(
            "x-amz-server-side-encryption".parse().unwrap(),
            "AES256".parse().unwrap(),
        )]),
    ] {
        harbour
            .put_plainly(&created.upload_url, b"dump", wrong)
            .await
            .assert(403, "encryption_missing");
    }
    harbour
        .put_plainly(&created.upload_url, b"dump", kms)
        .await
        .assert(200, "");
    assert!(harbour.temp_files().is_empty(), "{:?}", harbour.temp_files());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_leaves_nothing() {
    let harbour = Harbour::open().await;
    let created = harbour.create().await;
    let mut socket = tokio::net::TcpStream::connect(harbour.address).await.unwrap();
    let head = format!(
        "PUT /{} HTTP/1.1\r\nHost: x\r\nx-amz-server-side-encryption: aws:kms\r\nContent-Length: 100\r\n\r\nonly this",
        path_of(&created.upload_url)
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // The end of the connection says that the handler ended.
    let _reset = socket.read_to_end(&mut answer).await;
    harbour.uploaded(&created.id).await.assert(409, "nothing_arrived");
    assert!(harbour.temp_files().is_empty(), "{:?}", harbour.temp_files());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_without_a_length_is_refused() {
    let harbour = Harbour::open().await;
    let created = harbour.create().await;
    let mut socket = tokio::net::TcpStream::connect(harbour.address).await.unwrap();
    let request = format!(
        "PUT /{} HTTP/1.1\r\nHost: x\r\nx-amz-server-side-encryption: aws:kms\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndump\r\n0\r\n\r\n",
        path_of(&created.upload_url)
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 411 "), "{answer}");
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
