//! What the engine does when a store does not do its part.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use metaferry_domain::ports::{UploadReceipt, Uploader};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_uploader::{ContentMd5, HttpClient, HttpConfig, Proxies, StoreApiClient, Stores};

use crate::stub::{Act, SECRET, Stub};
use crate::support::{FakeClock, Freight, MemoryLog, Told, engine, parts_of, presigned};

const PART: usize = 10_000;

/// One upload of `freight` to the stub.
struct Try {
    result: Result<UploadReceipt, PortError>,
    waits: Vec<Duration>,
}

async fn upload(stub: &Stub, freight: &Freight) -> Try {
    let clock = FakeClock::new();
    let engine = engine(presigned(&stub.base), clock.clone(), parts_of(PART as u64));
    let told = Arc::new(Told::default());
    let request = freight.request(stub.destination());
    let result = engine
        .upload(
            &request,
            Arc::new(MemoryLog::default()),
            told.clone(),
            &Cancellation::new(),
        )
        .await;
    match &result {
        Ok(_) => told.assert_complete(freight.size_bytes),
        Err(error) => {
            assert!(told.0.lock().unwrap().is_sorted());
            let shown = format!("{error:?} {error} {}", error.chain());
            assert!(!shown.contains("5ec4e7"), "a secret is shown: {shown}");
        }
    }
    let waits = clock.waits.lock().unwrap().clone();
    Try { result, waits }
}

#[tokio::test]
async fn a_single_put_has_exactly_the_headers_of_the_reference() {
    let stub = Stub::playing([]).await;
    let freight = Freight::of(PART);
    upload(&stub, &freight).await.result.unwrap();
    let puts = stub.puts();
    assert_eq!(puts.len(), 1);
    assert_eq!(puts[0].line, format!("PUT /bytes/whole?{SECRET} HTTP/1.1"));
    assert_eq!(puts[0].header("x-amz-server-side-encryption"), Some("aws:kms"));
    assert_eq!(puts[0].header("content-length"), Some("10000"));
    assert_eq!(
        puts[0].header("content-md5"),
        Some(STANDARD.encode(Md5::digest(freight.bytes())).as_str())
    );
    assert_eq!(puts[0].header("content-type"), None);
    assert_eq!(puts[0].header("transfer-encoding"), None);
    assert_eq!(puts[0].body, freight.bytes());
}

#[tokio::test]
async fn parts_have_no_encryption_header_and_the_completion_has_the_etags_as_received() {
    let stub = Stub::playing([]).await;
    let freight = Freight::of(2 * PART + 1);
    let receipt = upload(&stub, &freight).await.result.unwrap();
    assert_eq!(receipt.parts, 3);
    let mut puts = stub.puts();
    puts.sort_by_key(|put| put.line.clone());
    let bytes = freight.bytes();
    for (put, range) in puts.iter().zip(bytes.chunks(PART)) {
        assert_eq!(put.header("x-amz-server-side-encryption"), None);
        assert_eq!(
            put.header("content-length"),
            Some(range.len().to_string().as_str())
        );
        assert_eq!(put.header("content-type"), None);
        assert_eq!(put.body, range);
    }
    let calls: Vec<_> = stub.seen().into_iter().filter(|seen| !seen.is_bytes()).collect();
    assert_eq!(calls[0].line, "PUT /api/v2/migration/abc/multipart HTTP/1.1");
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&calls[0].body).unwrap(),
        serde_json::json!({"part_count": 3})
    );
    assert_eq!(
        calls[1].line,
        "PUT /api/v2/migration/abc/multipart/complete HTTP/1.1"
    );
    let etag = |index: usize| {
        format!(
            "\"{}\"",
            hex::encode(Md5::digest(bytes.chunks(PART).nth(index).unwrap()))
        )
    };
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&calls[1].body).unwrap(),
        serde_json::json!({"multipart_upload_id": "upload-1", "multipart_etags": {"1": etag(0), "2": etag(1), "3": etag(2)}})
    );
}

#[tokio::test]
async fn the_md5_can_be_left_out() {
    let stub = Stub::playing([]).await;
    let freight = Freight::of(100);
    let stores = Stores {
        content_md5: ContentMd5::Left,
        ..presigned(&stub.base)
    };
    let engine = engine(stores, FakeClock::new(), parts_of(PART as u64));
    let request = freight.request(stub.destination());
    engine
        .upload(
            &request,
            Arc::new(MemoryLog::default()),
            Arc::new(Told::default()),
            &Cancellation::new(),
        )
        .await
        .unwrap();
    assert_eq!(stub.puts()[0].header("content-md5"), None);
}

#[tokio::test]
async fn retry_after_is_the_least_that_is_waited() {
    let stub = Stub::playing([Act::Answer("503 Slow Down", "Retry-After: 7\r\n")]).await;
    let Try { result, waits } = upload(&stub, &Freight::of(PART)).await;
    result.unwrap();
    assert_eq!(waits, [Duration::from_secs(7)]);
    assert_eq!(stub.puts().len(), 2);
}

#[tokio::test]
async fn a_store_that_asks_for_an_hour_is_not_waited_for() {
    let stub = Stub::playing([Act::Answer("503 Slow Down", "Retry-After: 3600\r\n")]).await;
    let Try { result, waits } = upload(&stub, &Freight::of(PART)).await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(waits.is_empty());
}

#[tokio::test]
async fn four_failures_end_it_with_growing_waits_in_between() {
    let failure = Act::Answer("500 Oops", "");
    let stub = Stub::playing(vec![failure; 10]).await;
    let Try { result, waits } = upload(&stub, &Freight::of(PART)).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.chain().contains("failed 4 times"), "{error:?}");
    assert!(error.chain().contains("answered 500"), "{error:?}");
    assert_eq!(stub.puts().len(), 4);
    assert_eq!(waits, [500, 1000, 2000].map(Duration::from_millis));
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_a_part_costs_one_more_try_of_that_part() {
    let acts = [Act::Take, Act::HangUpAfter(PART / 2), Act::HangUpAfter(0)];
    let stub = Stub::playing(acts).await;
    let freight = Freight::of(4 * PART);
    let Try { result, waits } = upload(&stub, &freight).await;
    result.unwrap();
    assert_eq!(waits.len(), 2);
    assert_eq!(stub.puts().len(), 6);
}

#[tokio::test]
async fn a_store_that_stands_still_is_left_after_the_named_time() {
    // Every try freezes: a busy machine cannot make a good one look like a bad one.
    let stub = Stub::playing(vec![Act::Freeze; 8]).await;
    let config = HttpConfig {
        stall: Duration::from_millis(50),
        proxies: Proxies::None,
        ..HttpConfig::default()
    };
    let http = HttpClient::new(config).unwrap();
    let api = StoreApiClient::new(http.clone(), &stub.base).unwrap();
    let stores = Stores {
        http,
        store_api: Some(api),
        content_md5: ContentMd5::Sent,
        s3: None,
    };
    let clock = FakeClock::new();
    let engine = engine(stores, clock.clone(), parts_of(64 << 20));
    // The small one waits for its answer; the large one does not fit into the socket's buffers and stands still itself.
    for size in [PART, 20 << 20] {
        let freight = Freight::of(size);
        let request = freight.request(stub.destination());
        let log = Arc::new(MemoryLog::default());
        let told = Arc::new(Told::default());
        let error = engine
            .upload(&request, log, told, &Cancellation::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.chain().contains("stood still for 50 ms"), "{error:?}");
    }
    assert_eq!(clock.waits.lock().unwrap().len(), 2 * 3);
}

#[tokio::test]
async fn a_part_without_an_etag_is_sent_again_and_then_given_up() {
    let stub = Stub::playing([Act::NoEtag]).await;
    upload(&stub, &Freight::of(2 * PART)).await.result.unwrap();
    assert_eq!(stub.puts().len(), 3);

    let stub = Stub::playing(vec![Act::NoEtag; 20]).await;
    let error = upload(&stub, &Freight::of(2 * PART)).await.result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.chain().contains("no ETag"), "{error:?}");
}

#[tokio::test]
async fn an_etag_that_is_another_md5_is_damage_unless_the_store_encrypts() {
    let stub = Stub::playing([Act::WrongEtag("")]).await;
    upload(&stub, &Freight::of(PART)).await.result.unwrap();
    assert_eq!(stub.puts().len(), 2, "damaged on the way: sent again");

    let stub = Stub::playing(vec![Act::WrongEtag(""); 20]).await;
    let error = upload(&stub, &Freight::of(PART)).await.result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);

    let encrypted = Act::WrongEtag("x-amz-server-side-encryption: aws:kms\r\n");
    let stub = Stub::playing(vec![encrypted; 20]).await;
    upload(&stub, &Freight::of(3 * PART)).await.result.unwrap();
    assert_eq!(stub.puts().len(), 3);
}

#[tokio::test]
async fn a_refused_single_put_is_not_made_again() {
    let stub = Stub::playing(vec![Act::Answer("403 Forbidden", ""); 9]).await;
    let error = upload(&stub, &Freight::of(PART)).await.result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.chain().contains("start a new migration"), "{error:?}");
    assert_eq!(stub.puts().len(), 1);
}

#[tokio::test]
async fn expired_part_urls_of_a_store_without_renewal_begin_a_new_upload() {
    let acts = [Act::Take, Act::Take, Act::Answer("403 Forbidden", "")];
    let stub = Stub::playing(acts).await;
    let freight = Freight::of(4 * PART);
    let clock = FakeClock::new();
    let mut config = parts_of(PART as u64);
    config.concurrency = 1;
    let engine = engine(presigned(&stub.base), clock, config);
    let log = Arc::new(MemoryLog::default());
    let told = Arc::new(Told::default());
    engine
        .upload(
            &freight.request(stub.destination()),
            log.clone(),
            told.clone(),
            &Cancellation::new(),
        )
        .await
        .unwrap();
    told.assert_complete(freight.size_bytes);
    assert_eq!(stub.puts().len(), 3 + 4);
    let (upload, _, parts) = log.0.lock().unwrap().clone().unwrap();
    assert_eq!(
        (upload.as_str(), parts.len()),
        ("upload-2", 4),
        "the log knows only the new upload"
    );
    let complete = stub
        .seen()
        .into_iter()
        .find(|seen| seen.line.contains("/complete "))
        .unwrap();
    assert!(String::from_utf8(complete.body).unwrap().contains("upload-2"));
}

#[tokio::test]
async fn parts_that_are_refused_from_the_first_on_are_given_up_after_one_new_upload() {
    let stub = Stub::playing(vec![Act::Answer("403 Forbidden", ""); 50]).await;
    let error = upload(&stub, &Freight::of(4 * PART)).await.result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    let begun = stub
        .seen()
        .iter()
        .filter(|seen| seen.line.contains("/multipart "))
        .count();
    assert_eq!(begun, 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let stub = Stub::playing([Act::Answer(
        "307 Temporary Redirect",
        "Location: http://127.0.0.1:1/\r\n",
    )])
    .await;
    let error = upload(&stub, &Freight::of(PART)).await.result.unwrap_err();
    assert!(error.chain().contains("answered 307"), "{error:?}");
    assert_eq!(stub.puts().len(), 1);
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_an_error_that_names_it() {
    for parts in [1, 4] {
        let freight = Freight::of(parts * PART);
        let stub = Stub::playing([Act::Overwrite(freight.path())]).await;
        let error = upload(&stub, &freight).await.result.unwrap_err();
        assert!(
            error.chain().contains(freight.path().to_str().unwrap()),
            "{error:?}"
        );
        assert!(
            !stub.seen().iter().any(|seen| seen.line.contains("/complete ")),
            "nothing is completed"
        );
    }
}

#[tokio::test]
async fn a_file_of_another_size_than_announced_is_refused_before_anything_is_sent() {
    let stub = Stub::playing([]).await;
    let mut freight = Freight::of(100);
    freight.size_bytes = 99;
    let error = upload(&stub, &freight).await.result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(
        error.chain().contains("has 100 bytes, 99 were expected"),
        "{error:?}"
    );
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn nobody_there_is_an_error_without_the_secret() {
    let mut stub = Stub::playing([]).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    stub.base = format!("http://{closed}");
    let error = upload(&stub, &Freight::of(PART)).await.result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        error.chain().contains(&format!("cannot reach {closed}")),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellation_ends_a_call_that_stands_still() {
    for parts in [1, 4] {
        let cancel = Cancellation::new();
        let stub = Stub::playing([
            Act::CancelAndFreeze(cancel.clone()),
            Act::Freeze,
            Act::Freeze,
            Act::Freeze,
        ])
        .await;
        let freight = Freight::of(parts * PART);
        let engine = engine(presigned(&stub.base), FakeClock::new(), parts_of(PART as u64));
        let began = Instant::now();
        let request = freight.request(stub.destination());
        let log = Arc::new(MemoryLog::default());
        let error = engine
            .upload(&request, log, Arc::new(Told::default()), &cancel)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cancelled);
        // Promised are 100 ms after the flag; the rest is for a machine that is busy with other tests.
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_upload_that_is_cancelled_before_it_begins_sends_nothing() {
    let stub = Stub::playing([]).await;
    let freight = Freight::of(PART);
    let engine = engine(presigned(&stub.base), FakeClock::new(), parts_of(PART as u64));
    let cancel = Cancellation::new();
    cancel.cancel();
    let request = freight.request(stub.destination());
    let log = Arc::new(MemoryLog::default());
    let error = engine
        .upload(&request, log, Arc::new(Told::default()), &cancel)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(stub.seen().is_empty());
}
