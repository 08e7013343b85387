//! A file that is there already, and files that are to go.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metaferry_domain::ports::Dumper;
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_transfer::dump::Existing;
use metaferry_transfer::manifest::Manifest;

use crate::file_format::{Fault, JsonFormat, rows_in};
use crate::scene::{Place, Unwatched, database, dump, dumper, expected, known, read};

const BOTH: [&str; 2] = ["dump.json", "dump.json.manifest.json"];

#[tokio::test]
async fn a_file_in_the_way_is_refused_before_anything_is_read() {
    let (place, database) = (Place::new(), database());
    let old = place.put("dump.json");
    let format = JsonFormat::of(&database.catalogue);
    let dumper = dumper(&database, &format, &known(&database), Existing::Refuse);
    let error = dump(&dumper, &place, &Cancellation::new()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.what.contains("dump.json"), "{error:?}");
    assert_eq!(database.seen.snapshots.load(Ordering::SeqCst), 0);
    assert_eq!(read(&place.file()), old);
    assert_eq!(place.holds(), ["dump.json"]);
}

#[tokio::test]
async fn an_older_file_stays_until_the_new_one_is_verified() {
    let (place, database) = (Place::new(), database());
    let (old, old_manifest) = (place.put(BOTH[0]), place.put(BOTH[1]));
    let format = JsonFormat::of(&database.catalogue);
    let dumper = dumper(&database, &format, &known(&database), Existing::Replace);
    let cancel = Cancellation::new();
    dumper
        .copy_snapshot(&place.request(), Arc::new(Unwatched), &cancel)
        .await
        .unwrap();
    assert_eq!(read(&place.file()), old);
    assert_eq!(read(&Manifest::path_for(&place.file())), old_manifest);

    let report = dumper.finish(&cancel).await.unwrap();
    assert_eq!(place.holds(), BOTH);
    assert_eq!(report.file.path, place.file());
    assert_eq!(rows_in(&place.file()), database.rows);
    let manifest = Manifest::read(&place.file()).unwrap();
    assert_eq!(manifest.file, "dump.json");
    assert_eq!(manifest.sha256, report.file.sha256);
    assert_eq!(manifest.tables, expected(&database));
}

#[tokio::test]
async fn an_older_file_outlives_every_failure_of_the_new_one() {
    let card = || "report_card".to_owned();
    for fault in [
        Fault::Loses(card()),
        Fault::Doubles(card()),
        Fault::Changes(card()),
        Fault::Miscounts(card()),
        Fault::FailsToWrite(card()),
        Fault::FailsToFinish,
        Fault::FailsToOpen,
    ] {
        let (place, database) = (Place::new(), database());
        let (old, old_manifest) = (place.put(BOTH[0]), place.put(BOTH[1]));
        let format = JsonFormat::of(&database.catalogue).with(fault.clone());
        let dumper = dumper(&database, &format, &known(&database), Existing::Replace);
        dump(&dumper, &place, &Cancellation::new()).await.unwrap_err();
        assert_eq!(place.holds(), BOTH, "{fault:?}");
        assert_eq!(read(&place.file()), old, "{fault:?}");
        assert_eq!(
            read(&Manifest::path_for(&place.file())),
            old_manifest,
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn an_older_file_outlives_a_manifest_that_cannot_be_written() {
    // Before, the file was replaced by then, and the older manifest told of a file that was gone.
    let (place, database) = (Place::new(), database());
    let (old, old_manifest) = (place.put(BOTH[0]), place.put(BOTH[1]));
    let in_the_way = "dump.json.manifest.json.unfinished";
    std::fs::create_dir(place.beside(in_the_way)).unwrap();
    let format = JsonFormat::of(&database.catalogue);
    let dumper = dumper(&database, &format, &known(&database), Existing::Replace);
    let error = dump(&dumper, &place, &Cancellation::new()).await.unwrap_err();
    assert!(error.what.contains("dump.json.manifest.json"), "{error:?}");
    assert_eq!(place.holds(), [BOTH[0], BOTH[1], in_the_way]);
    assert_eq!(read(&place.file()), old);
    assert_eq!(read(&Manifest::path_for(&place.file())), old_manifest);
}

#[tokio::test]
async fn discarding_removes_whatever_a_dump_may_have_left_and_may_be_repeated() {
    let (place, database) = (Place::new(), database());
    // A process that died may have left any of these. Before, those of a replacement stayed.
    for name in [
        "dump.json",
        "dump.json.partial",
        "new.dump.json",
        "new.dump.json.partial",
        "dump.json.manifest.json",
        "dump.json.manifest.json.unfinished",
        "another.json",
        "new.another.json",
    ] {
        place.put(name);
    }
    let format = JsonFormat::of(&database.catalogue);
    let dumper = dumper(&database, &format, &known(&database), Existing::Replace);
    for _ in 0..2 {
        dumper.discard(&place.request()).await.unwrap();
        assert_eq!(place.holds(), ["another.json", "new.another.json"]);
    }
}

#[tokio::test]
async fn discarding_what_was_begun_leaves_nothing_to_finish() {
    let (place, database) = (Place::new(), database());
    let format = JsonFormat::of(&database.catalogue);
    let dumper = dumper(&database, &format, &known(&database), Existing::Refuse);
    let cancel = Cancellation::new();
    dumper
        .copy_snapshot(&place.request(), Arc::new(Unwatched), &cancel)
        .await
        .unwrap();
    dumper.discard(&place.request()).await.unwrap();
    assert_eq!(place.holds(), Vec::<String>::new());
    assert_eq!(
        dumper.finish(&cancel).await.unwrap_err().kind,
        ErrorKind::Precondition
    );
}
