//! Targets and sources that misbehave: the error names the table, and nothing is left.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metaferry_domain::ports::Dumper;
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_transfer::dump::Existing;
use metaferry_transfer::manifest::Manifest;

use crate::database::{Database, Value, text};
use crate::file_format::{Fault, JsonFormat};
use crate::scene::{Place, Unwatched, database, dump_of, dumper, known};

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn a_target_that_loses_doubles_or_changes_one_row_leaves_no_file() {
    let database = database();
    for table in ["core_user", "report_card", "setting"] {
        let faults: [fn(String) -> Fault; 4] =
            [Fault::Loses, Fault::Doubles, Fault::Changes, Fault::Miscounts];
        for fault in faults.map(|fault| fault(table.to_owned())) {
            let place = Place::new();
            let format = JsonFormat::of(&database.catalogue).with(fault.clone());
            let error = dump_of(&database, &format, &place).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Corrupt, "{fault:?}");
            assert!(error.what.contains("differs"), "{fault:?}: {error:?}");
            for other in ["core_user", "report_card", "setting"] {
                assert_eq!(error.what.contains(other), other == table, "{fault:?}: {error:?}");
            }
            assert_eq!(place.holds(), NOTHING, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_foreign_key_that_dangles_is_named_and_the_file_removed() {
    let mut database = database();
    let stray = vec![Value::Int(8), Value::Int(99), text("of nobody")];
    database.rows.get_mut("report_card").unwrap().push(stray);
    let place = Place::new();
    let error = dump_of(&database, &JsonFormat::of(&database.catalogue), &place)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(
        error
            .what
            .contains("report_card.creator_id refers to core_user.id, which has no 99"),
        "{error:?}"
    );
    assert_eq!(place.holds(), NOTHING);
}

#[tokio::test]
async fn a_file_that_cannot_be_finished_or_opened_is_not_left() {
    let database = database();
    for (fault, words) in [
        (Fault::FailsToFinish, "the disk is full"),
        (Fault::FailsToOpen, "the first page is torn"),
    ] {
        let place = Place::new();
        let format = JsonFormat::of(&database.catalogue).with(fault);
        let error = dump_of(&database, &format, &place).await.unwrap_err();
        assert_eq!(error.what, words);
        assert_eq!(place.holds(), NOTHING);
    }
}

#[tokio::test]
async fn a_manifest_that_cannot_be_written_leaves_no_file() {
    let (place, database) = (Place::new(), database());
    std::fs::create_dir(Manifest::path_for(&place.file())).unwrap();
    let error = dump_of(&database, &JsonFormat::of(&database.catalogue), &place)
        .await
        .unwrap_err();
    assert!(error.what.contains("dump.json.manifest.json"), "{error:?}");
    assert_eq!(
        place.holds(),
        ["dump.json.manifest.json"],
        "the folder that was in its way"
    );
}

/// What is still open once a failed dump of `database` has answered, and what it answered.
async fn failure(database: &Database, format: &JsonFormat) -> metaferry_domain::PortError {
    let place = Place::new();
    let dumper = dumper(database, format, &known(database), Existing::Refuse);
    let error = dumper
        .copy_snapshot(&place.request(), Arc::new(Unwatched), &Cancellation::new())
        .await
        .unwrap_err();
    assert_eq!(database.seen.open_readers.load(Ordering::SeqCst), 0, "{error:?}");
    assert_eq!(format.open_writers.load(Ordering::SeqCst), 0, "{error:?}");
    assert_eq!(place.holds(), NOTHING, "{error:?}");
    assert_eq!(
        dumper.finish(&Cancellation::new()).await.unwrap_err().kind,
        ErrorKind::Precondition
    );
    error
}

#[tokio::test]
async fn a_reader_that_fails_names_its_table_and_stops_the_others() {
    for batches in 0..3 {
        let mut database = database();
        database.behaviour.parallelism = 3;
        database.behaviour.fails = Some(("report_card".to_owned(), batches));
        // Only being stopped ends this one. Before, it was told to stop and went on while the answer was given.
        database.behaviour.endless = Some("setting".to_owned());
        let error = failure(&database, &JsonFormat::of(&database.catalogue)).await;
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(error.chain(), "table report_card: the line went dead");
    }
}

#[tokio::test]
async fn a_writer_that_fails_names_its_table_and_stops_the_others() {
    let mut database = database();
    database.behaviour.parallelism = 3;
    database.behaviour.endless = Some("core_user".to_owned());
    let format = JsonFormat::of(&database.catalogue).with(Fault::FailsToWrite("setting".to_owned()));
    let error = failure(&database, &format).await;
    assert_eq!(error.kind, ErrorKind::Exhausted);
    assert_eq!(error.chain(), "table setting: no room for another page");
}
