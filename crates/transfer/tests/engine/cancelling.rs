//! A cancel after any batch, of the copy or of the verification.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metaferry_domain::ports::{DumpObserver, Dumper};
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_transfer::dump::Existing;

use crate::file_format::{Fault, JsonFormat, rows_in};
use crate::scene::{Place, Unwatched, database, dumper, expected, known};

/// Two rows at a time: two batches of users, four of cards, two of settings.
const BATCHES: u64 = 8;

struct CancelsAt {
    batch: u64,
    seen: AtomicU64,
    cancel: Cancellation,
}

impl DumpObserver for CancelsAt {
    fn copied(&self, _rows: u64, _bytes: u64, _rows_estimate: u64) {
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.batch {
            self.cancel.cancel();
        }
    }
}

#[tokio::test]
async fn a_copy_cancelled_after_any_batch_leaves_nothing() {
    for parallelism in [1, 3] {
        for batch in 0..=BATCHES + 1 {
            let (place, mut database) = (Place::new(), database());
            database.behaviour.parallelism = parallelism;
            let format = JsonFormat::of(&database.catalogue);
            let dumper = dumper(&database, &format, &known(&database), Existing::Refuse);
            let cancel = Cancellation::new();
            if batch == 0 {
                cancel.cancel();
            }
            let observer = Arc::new(CancelsAt {
                batch,
                seen: AtomicU64::new(0),
                cancel: cancel.clone(),
            });
            let copied = dumper.copy_snapshot(&place.request(), observer, &cancel).await;
            if batch > BATCHES {
                assert_eq!(copied.unwrap().tables, expected(&database));
                continue;
            }
            assert_eq!(copied.unwrap_err().kind, ErrorKind::Cancelled, "batch {batch}");
            assert_eq!(place.holds(), Vec::<String>::new(), "batch {batch}");
            assert_eq!(
                database.seen.open_readers.load(Ordering::SeqCst),
                0,
                "batch {batch}"
            );
            assert_eq!(format.open_writers.load(Ordering::SeqCst), 0, "batch {batch}");
        }
    }
}

#[tokio::test]
async fn a_verification_cancelled_after_any_batch_leaves_nothing() {
    for batch in 1..=BATCHES + 1 {
        let (place, database) = (Place::new(), database());
        let cancel = Cancellation::new();
        let mut format = JsonFormat::of(&database.catalogue);
        format.rereading.cancels = Some((usize::try_from(batch).unwrap(), cancel.clone()));
        let dumper = dumper(&database, &format, &known(&database), Existing::Refuse);
        dumper
            .copy_snapshot(&place.request(), Arc::new(Unwatched), &cancel)
            .await
            .unwrap();
        let finished = dumper.finish(&cancel).await;
        if batch > BATCHES {
            finished.unwrap();
            assert_eq!(rows_in(&place.file()), database.rows);
            continue;
        }
        assert_eq!(finished.unwrap_err().kind, ErrorKind::Cancelled, "batch {batch}");
        assert_eq!(place.holds(), Vec::<String>::new(), "batch {batch}");
    }
}

/// It was waited for before, and a cancel with it.
#[tokio::test]
async fn a_cancel_while_the_disk_syncs_leaves_nothing() {
    let (place, database) = (Place::new(), database());
    let format = JsonFormat::of(&database.catalogue).with(Fault::NeverFinishes);
    let dumper = dumper(&database, &format, &known(&database), Existing::Refuse);
    let cancel = Cancellation::new();
    dumper
        .copy_snapshot(&place.request(), Arc::new(Unwatched), &cancel)
        .await
        .unwrap();
    let later = cancel.clone();
    // Polled first: by then the disk syncs.
    let (finished, ()) = tokio::join!(biased; dumper.finish(&cancel), async move { later.cancel() });
    assert_eq!(finished.unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(place.holds(), Vec::<String>::new());
}
