//! By what keys the server compares texts, and those that it gives none for.

use metaferry_app_db::load::{LoadOptions, UnknownColumns, Users};
use metaferry_app_db::mysql::{MySqlServer, MySqlTarget};
use metaferry_domain::ErrorKind;
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::LoadTarget as _;
use metaferry_domain::schema::Catalogue;
use sqlx::Connection as _;

use crate::database::TestDatabase;

/// The server gave no key for either, so that both were one.
#[tokio::test]
async fn texts_that_are_too_long_to_compare_are_refused_and_not_held_equal() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let mut connection = database.connect().await;
    let packet: i64 = sqlx::query_scalar("SELECT CAST(@@max_allowed_packet AS SIGNED)")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let options = LoadOptions {
        users: Users::Refuse,
        unknown: UnknownColumns::Refuse,
    };
    let mut target = MySqlTarget::new(MySqlServer::new(&database.address), options);
    target
        .survey(&Catalogue::default(), &CopyPolicy::default())
        .await
        .unwrap();
    let keys = target
        .collation_keys("setting", "key", &["Quay", "quay", "pier"])
        .await
        .unwrap();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
    // A key has two bytes of each letter.
    let long = "q".repeat(usize::try_from(packet).unwrap() / 2 + 1024);
    let error = target
        .collation_keys("setting", "key", &[&long])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error:?}");
    assert!(error.what.contains("max_allowed_packet"), "{error:?}");
    Box::new(target).abandon().await.unwrap();
    database.drop().await;
}
