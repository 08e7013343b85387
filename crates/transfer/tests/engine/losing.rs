//! A source that cannot hold its snapshot: a file that its own program goes on writing.

use std::sync::atomic::Ordering;

use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_transfer::TransferError;
use metaferry_transfer::copy::SNAPSHOTS_MAX;
use metaferry_transfer::verify::scan;

use crate::database::Database;
use crate::file_format::{JsonFormat, rows_in};
use crate::scene::{Place, database, dump_of, expected};

fn losing(snapshots: usize) -> Database {
    let mut database = database();
    database.behaviour.loses = snapshots;
    database
}

#[tokio::test]
async fn a_lost_snapshot_is_taken_again_and_nothing_of_it_is_kept() {
    for lost in [1, 2, SNAPSHOTS_MAX as usize - 1] {
        let (place, database) = (Place::new(), losing(lost));
        let report = dump_of(&database, &JsonFormat::of(&database.catalogue), &place)
            .await
            .unwrap();
        assert_eq!(rows_in(&place.file()), database.rows);
        assert_eq!(report.snapshot.tables, expected(&database));
        assert_eq!(database.seen.snapshots.load(Ordering::SeqCst), lost + 1);
        assert_eq!(report.snapshot.notes[0], format!("snapshot {}", lost + 1));
        assert_eq!(place.holds(), ["dump.json", "dump.json.manifest.json"]);
    }
}

#[tokio::test]
async fn a_source_that_loses_every_snapshot_is_given_up() {
    let (place, database) = (Place::new(), losing(usize::MAX));
    let error = dump_of(&database, &JsonFormat::of(&database.catalogue), &place)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", error.chain());
    assert!(error.chain().contains("overwritten"), "{}", error.chain());
    assert_eq!(
        database.seen.snapshots.load(Ordering::SeqCst),
        SNAPSHOTS_MAX as usize
    );
    assert_eq!(place.holds(), Vec::<String>::new());
}

#[tokio::test]
async fn an_error_of_a_lost_snapshot_is_the_loss() {
    let mut database = losing(1);
    database.seen.snapshots.store(1, Ordering::SeqCst);
    database.behaviour.fails = Some(("setting".to_owned(), 0));
    let error = scan(&database, &CopyPolicy::default(), &Cancellation::new())
        .await
        .unwrap_err();
    assert!(matches!(error, TransferError::SnapshotLost), "{error}");
    // Of a snapshot that holds, it is what it says.
    database.seen.snapshots.store(2, Ordering::SeqCst);
    let error = scan(&database, &CopyPolicy::default(), &Cancellation::new())
        .await
        .unwrap_err();
    assert!(matches!(error, TransferError::Table { .. }), "{error}");
}
