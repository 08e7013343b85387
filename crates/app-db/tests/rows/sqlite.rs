//! The file that stands in for an app DB: shared by processes, for its owner only, and never opened by an older program.

use metaferry_app_db::sqlite::SqliteState;
use metaferry_domain::ErrorKind;
use metaferry_domain::ports::LeaseStore as _;
use sqlx::{Connection as _, SqliteConnection};

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_once_make_it_once_and_one_gets_the_lease() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    let mut opens = tokio::task::JoinSet::new();
    for number in 0..8 {
        let path = path.clone();
        opens.spawn(async move {
            let state = SqliteState::open(&path).await.unwrap();
            state.acquire(&format!("node {number}"), 60_000).await
        });
    }
    let given = opens.join_all().await.into_iter().filter(|result| match result {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Conflict, "{}", error.chain());
            false
        }
    });
    assert_eq!(given.count(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let state = SqliteState::open(&folder.path().join("state.sqlite"))
        .await
        .unwrap();
    state.acquire("node", 60_000).await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
    }
}

#[tokio::test]
async fn what_a_newer_program_made_or_no_program_of_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    drop(SqliteState::open(&path).await.unwrap());
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    sqlx::raw_sql("PRAGMA user_version = 7")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let error = SqliteState::open(&path).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(
        error.chain().contains("version 7") && error.chain().contains("newer"),
        "{}",
        error.chain()
    );
    let other = folder.path().join("other.sqlite");
    std::fs::write(
        &other,
        "This is no database, but a text that is longer than a header of one hundred bytes. ".repeat(9),
    )
    .unwrap();
    let error = SqliteState::open(&other).await.unwrap_err();
    assert!(error.chain().contains("other.sqlite"), "{}", error.chain());
    assert!(
        std::fs::read_to_string(&other)
            .unwrap()
            .starts_with("This is no database")
    );
}
