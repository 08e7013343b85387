//! The store API as its answers are.

use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::part_plan::PartNumber;
use metaferry_domain::ports::StoreClient;
use metaferry_domain::retry::RetryPolicy;
use metaferry_uploader::{PatientStoreClient, StoreApiClient};

use crate::stub::Stub;
use crate::support::{FakeClock, http};

async fn stub_and_client() -> (Stub, StoreApiClient) {
    let stub = Stub::playing([]).await;
    let client = StoreApiClient::new(http(), &format!("{}/", stub.base)).unwrap();
    (stub, client)
}

#[tokio::test]
async fn create_sends_the_version_and_uses_id_and_url() {
    let (stub, client) = stub_and_client().await;
    stub.answer_api(
        "201 Created",
        r#"{"id": "e-1", "upload_url": "https://s3/x?y", "more": [1]}"#,
    );
    let created = client.create("v0.58.1").await.unwrap();
    assert_eq!(
        (created.external_id.as_str(), created.upload_url.as_str()),
        ("e-1", "https://s3/x?y")
    );
    let seen = stub.seen();
    assert_eq!(seen[0].line, "POST /api/v2/migration HTTP/1.1");
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen[0].body, br#"{"local_mb_version":"v0.58.1"}"#);
    assert!(
        !format!("{created:?}").contains("x?y"),
        "a presigned URL is not shown"
    );

    stub.answer_api("200 OK", r#"{"id": 17, "upload_url": "https://s3/x?y"}"#);
    assert_eq!(client.create("v0.58.1").await.unwrap().external_id, "17");
}

#[tokio::test]
async fn statuses_of_create_have_their_meanings() {
    let (stub, client) = stub_and_client().await;
    for (status, body, kind, words) in [
        (
            "404 Not Found",
            "",
            ErrorKind::NotFound,
            "there is no store API at 127.0.0.1",
        ),
        (
            "400 Bad Request",
            "too old",
            ErrorKind::Unsupported,
            "does not take Metabase v0.40.0",
        ),
        ("500 Oops", "", ErrorKind::Unavailable, "answered 500"),
        ("429 Too Many", "", ErrorKind::Unavailable, "answered 429"),
        ("302 Found", "", ErrorKind::Precondition, "answered 302"),
        ("200 OK", "not json", ErrorKind::Corrupt, "without an id"),
        (
            "200 OK",
            r#"{"id": null, "upload_url": "https://s3/x"}"#,
            ErrorKind::Corrupt,
            "without an id",
        ),
        (
            "200 OK",
            r#"{"id": "a", "upload_url": "file:///etc/passwd"}"#,
            ErrorKind::Unsupported,
            "no HTTP URL",
        ),
    ] {
        stub.answer_api(status, body);
        let error = client.create("v0.40.0").await.unwrap_err();
        assert_eq!(error.kind, kind, "{status} {body}");
        assert!(error.chain().contains(words), "{error:?}");
    }
}

#[tokio::test]
async fn keys_come_in_snake_or_kebab_case() {
    let (stub, client) = stub_and_client().await;
    let expected = vec![
        (PartNumber(1), "http://a/1".to_owned()),
        (PartNumber(2), "http://a/2".to_owned()),
    ];
    for body in [
        r#"{"multipart_upload_id": "u", "multipart_urls": {"1": "http://a/1", "2": "http://a/2"}}"#,
        r#"{"multipart-upload-id": "u", "multipart-urls": {"2": "http://a/2", "1": "http://a/1"}}"#,
    ] {
        stub.answer_api("200 OK", body);
        let urls = client.multipart("abc", 2).await.unwrap();
        assert_eq!((urls.upload_id.as_str(), &urls.urls), ("u", &expected));
    }
    stub.answer_api(
        "200 OK",
        r#"{"multipart_upload_id": "u", "multipart_urls": {"1": "http://a/1"}}"#,
    );
    let error = client.multipart("abc", 2).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.chain().contains("URL for part 2"), "{error:?}");
}

#[tokio::test]
async fn uploaded_has_no_body_and_an_id_cannot_lead_elsewhere() {
    let (stub, client) = stub_and_client().await;
    stub.answer_api("201 Created", "");
    client.uploaded("abc").await.unwrap();
    stub.answer_api("201 Created", "");
    client.uploaded("../../admin?x=").await.unwrap();
    let seen = stub.seen();
    assert_eq!(seen[0].line, "PUT /api/v2/migration/abc/uploaded HTTP/1.1");
    assert!(seen[0].body.is_empty());
    assert_eq!(
        seen[1].line,
        "PUT /api/v2/migration/..%2F..%2Fadmin%3Fx=/uploaded HTTP/1.1"
    );
}

#[tokio::test]
async fn the_patient_client_calls_again() {
    let (stub, client) = stub_and_client().await;
    let clock = FakeClock::new();
    let patient = PatientStoreClient {
        inner: client,
        policy: RetryPolicy::default(),
        clock: clock.clone(),
        jitter: Arc::new(|| 0.5),
    };
    stub.answer_api("503 Busy", "");
    stub.answer_api("502 Bad Gateway", "");
    stub.answer_api("204 No Content", "");
    patient.uploaded("abc").await.unwrap();
    assert_eq!(stub.seen().len(), 3);
    assert_eq!(
        *clock.waits.lock().unwrap(),
        [250, 500].map(Duration::from_millis)
    );
}

#[tokio::test]
async fn another_stores_answer_is_not_taken_for_ours() {
    let (stub, client) = stub_and_client().await;
    stub.answer_api(
        "200 OK",
        r#"{"state": "verified", "upload_url": "http://elsewhere/"}"#,
    );
    assert_eq!(client.status("abc").await.unwrap(), None);
    stub.answer_api("404 Not Found", "");
    assert_eq!(client.status("abc").await.unwrap(), None);
}

#[test]
fn an_address_that_is_none_is_named_with_its_setting() {
    for base in ["", "store.example.com", "ftp://store.example.com", "mailto:a@b"] {
        let error = StoreApiClient::new(http(), base).unwrap_err();
        assert!(error.what.contains("MB_STORE_API_URL"), "{base}: {error:?}");
    }
}
