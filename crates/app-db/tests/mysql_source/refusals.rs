//! What cannot be carried or reached is named, with what to do.

use metaferry_app_db::mysql::{MySqlServer, MySqlSource};
use metaferry_domain::ErrorKind;
use metaferry_domain::ports::{RowOrder, Source as _};
use metaferry_metabase::env::address::ServerAddress;

use crate::database::TestDatabase;
use crate::reading::rows;

#[tokio::test]
async fn values_that_no_other_database_holds_are_named() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute(
            "SET sql_mode = '';
             CREATE TABLE zero (id int PRIMARY KEY, at datetime);
             INSERT INTO zero VALUES (1, NULL), (2, '0000-00-00');
             CREATE TABLE half (id int PRIMARY KEY, at date);
             INSERT INTO half VALUES (7, '2026-05-00');
             CREATE TABLE hours (id int PRIMARY KEY, at time);
             INSERT INTO hours VALUES (1, '25:00:00');
             CREATE TABLE flags (name varchar(9) PRIMARY KEY, flag tinyint(1));
             INSERT INTO flags VALUES ('a', 1), ('b', 2);
             CREATE TABLE core_session (id varchar(9) PRIMARY KEY, flag tinyint(1));
             INSERT INTO core_session VALUES ('secret', 2);",
        )
        .await;
    let snapshot = database.source().with_parallelism(8).snapshot().await.unwrap();
    for (table, place) in [
        (
            "zero",
            "table zero, column at, row id = 2: the value has a day or month of 0",
        ),
        (
            "half",
            "table half, column at, row id = 7: the value has a day or month of 0",
        ),
        (
            "hours",
            "table hours, column at, row id = 1: the value is not within the 24 hours",
        ),
        (
            "flags",
            "table flags, column flag, row name = \"b\": the value is neither 0 nor 1",
        ),
        (
            "core_session",
            "table core_session, column flag, row number 1 as read: the value is neither 0 nor 1",
        ),
    ] {
        let error = rows(&*snapshot, table, RowOrder::PrimaryKey).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().starts_with(place), "{error}");
    }
    snapshot.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn tables_without_snapshots_are_refused() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute("CREATE TABLE fine (id int); CREATE TABLE old (id int) ENGINE=MyISAM;")
        .await;
    let Err(error) = database.source().snapshot().await else {
        panic!("a MyISAM table has no snapshot");
    };
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.to_string().contains("old (MyISAM)"), "{error}");
    database.drop().await;
}

#[tokio::test]
async fn a_wrong_address_is_named_without_its_password() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let at = |change: fn(&mut ServerAddress)| {
        let mut address = database.address.clone();
        change(&mut address);
        MySqlSource::new(MySqlServer::new(&address))
    };
    for (source, kind, says) in [
        (
            database.source_of("nobody"),
            ErrorKind::Denied,
            "refuses user \"nobody\"",
        ),
        (
            at(|address| address.database = "no_such_database".to_owned()),
            ErrorKind::NotFound,
            "\"no_such_database\" at",
        ),
        (
            at(|address| address.port = 1),
            ErrorKind::Unavailable,
            "cannot connect",
        ),
    ] {
        let Err(error) = source.snapshot().await else {
            panic!("{says}: a snapshot was taken");
        };
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    database.drop().await;
}
