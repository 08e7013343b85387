//! Uploads over real HTTP: whole and in parts, by URLs that expire, of bytes that are what was announced.

use std::time::Duration;

use md5::{Digest as _, Md5};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Harbour, etag, md5_header, path_of};

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
