//! Direct uploads to an S3 server in this process.

use std::sync::Arc;

use metaferry_domain::ports::{Destination, Uploader};
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_uploader::{S3Client, S3Config, Stores};

use crate::s3_server::S3Server;
use crate::support::{FakeClock, Freight, MemoryLog, Told, engine, parts_of};

const PART: usize = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn every_size_around_the_bounds_arrives_whole() {
    let server = S3Server::open().await;
    for size in [0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 1, 5 * PART] {
        let freight = Freight::of(size);
        let request = freight.request(server.new_object());
        let engine = engine(server.stores(), FakeClock::new(), parts_of(PART as u64));
        let (log, told) = (Arc::new(MemoryLog::default()), Arc::new(Told::default()));
        let receipt = engine
            .upload(&request, log, told.clone(), &Cancellation::new())
            .await
            .unwrap();
        assert_eq!(receipt.parts as usize, size.div_ceil(PART).max(1), "{size}");
        assert!(server.arrived(&request.destination) == freight.bytes(), "{size}");
        assert!(engine.verify(&request, &receipt).await.unwrap());
        told.assert_complete(size as u64);
        assert_eq!(server.open_uploads(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_the_size_that_s3_wants_are_put_together_by_the_server_itself() {
    const FLOOR: usize = 5 << 20;
    let server = S3Server::open().await;
    let freight = Freight::of(2 * FLOOR + 1);
    let request = freight.request(server.new_object());
    let engine = engine(server.stores(), FakeClock::new(), parts_of(FLOOR as u64));
    let log = Arc::new(MemoryLog::default());
    let receipt = engine
        .upload(&request, log, Arc::new(Told::default()), &Cancellation::new())
        .await
        .unwrap();
    assert!(receipt.etag.as_ref().unwrap().ends_with("-3\""), "{receipt:?}");
    assert!(server.arrived(&request.destination) == freight.bytes());
    assert!(engine.verify(&request, &receipt).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_another_or_gone_is_seen() {
    let server = S3Server::open().await;
    let freight = Freight::of(3 * PART);
    let request = freight.request(server.new_object());
    let engine = engine(server.stores(), FakeClock::new(), parts_of(PART as u64));
    let log = Arc::new(MemoryLog::default());
    let receipt = engine
        .upload(&request, log, Arc::new(Told::default()), &Cancellation::new())
        .await
        .unwrap();
    server.overwrite(&request.destination, b"short");
    let error = engine.verify(&request, &receipt).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.chain().contains("has 5 bytes"), "{error:?}");
    let elsewhere = freight.request(server.new_object());
    assert_eq!(
        engine.verify(&elsewhere, &receipt).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_missing_buckets_are_named() {
    let server = S3Server::open().await;
    let freight = Freight::of(100);
    let wrong = S3Config {
        secret_access_key: "other".to_owned(),
        ..server.config()
    };
    assert!(!format!("{wrong:?}").contains("other"));
    let stores = Stores {
        s3: Some(S3Client::new(wrong).unwrap()),
        ..server.stores()
    };
    let refused = engine(stores, FakeClock::new(), parts_of(PART as u64));
    let request = freight.request(server.new_object());
    let log = Arc::new(MemoryLog::default());
    let error = refused
        .upload(
            &request,
            log.clone(),
            Arc::new(Told::default()),
            &Cancellation::new(),
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.chain().contains("SignatureDoesNotMatch"), "{error:?}");

    let right = engine(server.stores(), FakeClock::new(), parts_of(PART as u64));
    let destination = Destination::Bucket {
        bucket: "nowhere".to_owned(),
        key: "k".to_owned(),
    };
    let request = freight.request(destination);
    let error = right
        .upload(&request, log, Arc::new(Told::default()), &Cancellation::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
    assert!(error.chain().contains("s3://nowhere/k"), "{error:?}");
}
