//! Presigned uploads to the real store.

use std::sync::Arc;

use metaferry_domain::Cancellation;
use metaferry_domain::ports::{StoreClient, Uploader};

use crate::support::{FakeClock, Freight, MemoryLog, Shore, Told, engine, external_id, parts_of, presigned};

const PART: usize = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn every_size_around_the_bounds_arrives_whole() {
    let shore = Shore::open().await;
    for size in [
        0,
        1,
        PART - 1,
        PART,
        PART + 1,
        2 * PART,
        3 * PART - 1,
        3 * PART,
        3 * PART + 1,
        10 * PART,
    ] {
        let freight = Freight::of(size);
        let request = freight.request(shore.new_migration().await);
        let engine = engine(presigned(&shore.base), FakeClock::new(), parts_of(PART as u64));
        let (log, told) = (Arc::new(MemoryLog::default()), Arc::new(Told::default()));
        let receipt = engine
            .upload(&request, log, told.clone(), &Cancellation::new())
            .await
            .unwrap();
        assert_eq!(receipt.size_bytes, size as u64);
        assert_eq!(receipt.parts as usize, size.div_ceil(PART).max(1), "{size}");
        assert!(shore.arrived(&request.destination) == freight.bytes(), "{size}");
        assert!(
            engine.verify(&request, &receipt).await.unwrap(),
            "our store lets us look"
        );
        told.assert_complete(size as u64);
        shore
            .api()
            .uploaded(external_id(&request.destination))
            .await
            .unwrap();
    }
}
