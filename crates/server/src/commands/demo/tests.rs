use std::path::{Path, PathBuf};

use metaferry_app_db::h2::{H2Source, H2Target};
use metaferry_domain::copy_policy::{CopyPolicy, Origin, RowFilter, TablePolicy};
use metaferry_domain::event::{ObjectCheck, SnapshotFacts};
use metaferry_domain::ports::{DumpFile, Source, Target, UploadReceipt};
use metaferry_domain::state::Arrived;
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_sample::{SampleOptions, SampleSource};
use metaferry_store::DumpInspector;
use metaferry_transfer::copy::copy;

use super::other_shore::restore;
use super::report::Crossing;
use super::{Folder, copy_all, read_all};
use crate::h2_dump::H2Inspector;
use crate::output::Progress;

async fn sample(folder: &Path) -> PathBuf {
    let file = folder.join("sample.mv.db");
    let sample = SampleSource::new(SampleOptions { seed: 5, scale: 0.02 });
    copy_all(&sample, &file, &Cancellation::new()).await.unwrap();
    file
}

/// What is found when `object` is what arrived of `source`.
async fn crossing(
    source: &Path,
    object: &Path,
    folder: &Path,
) -> Result<Crossing, metaferry_domain::PortError> {
    let cancel = Cancellation::new();
    let left = read_all(source, &cancel).await?;
    let received = H2Inspector.inspect(object).await?;
    let restored = folder.join("restored.mv.db");
    restore(object, &restored).await?;
    let right = read_all(&restored, &cancel).await?;
    let snapshot = SnapshotFacts {
        tables: left.tables.clone(),
        ..SnapshotFacts::default()
    };
    let arrived = Arrived {
        snapshot,
        file: DumpFile {
            path: source.to_path_buf(),
            size_bytes: 1,
            sha256: None,
        },
        receipt: UploadReceipt {
            etag: None,
            parts: 1,
            size_bytes: 1,
        },
        check: ObjectCheck::Verified,
    };
    Ok(Crossing::new(left, received, right, arrived))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_whole_is_equal() {
    let folder = tempfile::tempdir().unwrap();
    let source = sample(folder.path()).await;
    let found = crossing(&source, &source, folder.path()).await.unwrap();
    assert!(found.is_equal());
    assert_eq!(found.json(1.0)["equal"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_letter_in_the_object_is_never_called_equal() {
    let folder = tempfile::tempdir().unwrap();
    let source = sample(folder.path()).await;
    let mut bytes = std::fs::read(&source).unwrap();
    let letters = b"https://metabase.example.com";
    let at = bytes
        .windows(letters.len())
        .position(|window| window == letters)
        .expect("the site's address is in the file");
    bytes[at + 8] = b'n';
    let object = folder.path().join("object");
    std::fs::write(&object, &bytes).unwrap();
    match crossing(&source, &object, folder.path()).await {
        Ok(found) => {
            assert!(!found.is_equal());
            assert!(
                found.text().contains("DIFFERENT") && found.text().contains("setting"),
                "{}",
                found.text()
            );
        }
        Err(error) => assert_eq!(error.kind, ErrorKind::Corrupt),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_missing_row_is_never_called_equal() {
    let folder = tempfile::tempdir().unwrap();
    let source = sample(folder.path()).await;
    let object = folder.path().join("object.mv.db");
    let without = TablePolicy::Carry {
        drop_rows: vec![RowFilter::TextEquals {
            column: "key".to_owned(),
            value: "site-name".to_owned(),
        }],
        rewrites: Vec::new(),
        origin: Origin::Known,
    };
    let policy = CopyPolicy {
        tables: [("setting".to_owned(), without)].into(),
        ..CopyPolicy::default()
    };
    let snapshot = H2Source::new(&source).snapshot().await.unwrap();
    let mut target: Box<dyn Target> = Box::new(H2Target::new(&object));
    let progress = std::sync::Arc::new(Progress::new("copy"));
    copy(&*snapshot, &mut *target, &policy, progress, &Cancellation::new())
        .await
        .unwrap();
    target.finish().await.unwrap();
    let found = crossing(&source, &object, folder.path()).await.unwrap();
    assert!(!found.is_equal());
    assert_eq!(found.json(1.0)["equal"], false);
}

#[test]
fn a_folder_that_holds_something_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "").unwrap();
    let refused = Folder::open(Some(folder.path())).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(Folder::open(Some(&folder.path().join("new"))).is_ok());
}
