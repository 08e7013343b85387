//! What cannot be read, and that the error says where and what to do.

use metaferry_app_db::postgres::{PostgresServer, PostgresSource};
use metaferry_domain::ports::{RowOrder, Source as _};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::env::address::ServerAddress;
use metaferry_metabase::secret::Secret;

use crate::database::TestDatabase;
use crate::reading::rows;

async fn refused(source: &PostgresSource) -> PortError {
    source.snapshot().await.err().unwrap()
}

#[tokio::test]
async fn values_that_nothing_else_can_hold_are_named() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute(
            r#"CREATE TABLE a (id int PRIMARY KEY, "When" timestamptz);
            INSERT INTO a VALUES (1, now()), (42, 'infinity');
            CREATE TABLE b (k text, n int, d date, PRIMARY KEY (n, k)); INSERT INTO b VALUES ('key', 7, '-infinity');
            CREATE TABLE c (x numeric); INSERT INTO c VALUES (1), ('NaN');
            CREATE TABLE d (id uuid PRIMARY KEY, t timestamp);
            INSERT INTO d VALUES ('00112233-4455-6677-8899-aabbccddeeff', '294276-12-31');
            CREATE TABLE core_session (id text PRIMARY KEY, created_at timestamptz);
            INSERT INTO core_session VALUES ('a-cookie', '-infinity');"#,
        )
        .await;
    let snapshot = database.snapshot().await;
    for (table, column, row) in [
        ("a", "When", "row id = 42"),
        ("b", "d", r#"row n = 7, k = "key""#),
        ("c", "x", "row number 2 as read"),
        ("d", "t", "row id = 00112233-4455-6677-8899-aabbccddeeff"),
        ("core_session", "created_at", "row number 1 as read"),
    ] {
        let error = rows(&*snapshot, table, RowOrder::Any).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        let text = error.chain();
        assert!(
            text.contains(&format!("table {table}, column {column}, {row}:")),
            "{text}"
        );
        assert!(!text.contains("a-cookie"), "{text}");
    }
    snapshot.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn text_that_is_no_text_is_named() {
    let ascii = "ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    let Some(database) = TestDatabase::new(ascii).await else {
        return;
    };
    database
        .execute(
            r"CREATE TABLE mixed (id int PRIMARY KEY, plain text, body text);
              INSERT INTO mixed VALUES (1, 'ok', 'für'), (2, 'ok', E'\377');",
        )
        .await;
    let snapshot = database.snapshot().await;
    let error = rows(&*snapshot, "mixed", RowOrder::PrimaryKey).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(
        error
            .chain()
            .contains("table mixed, column body, row id = 2: the value is not valid UTF-8"),
        "{error:?}"
    );
    snapshot.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn text_in_another_encoding_arrives_as_utf8() {
    let latin = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    let Some(database) = TestDatabase::new(latin).await else {
        return;
    };
    database
        .execute("CREATE TABLE t (body text); INSERT INTO t VALUES ('für')")
        .await;
    let snapshot = database.snapshot().await;
    assert_eq!(
        rows(&*snapshot, "t", RowOrder::Any).await.unwrap(),
        [["text für"]]
    );
    snapshot.close().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn names_that_differ_in_case_only_are_refused() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute(r#"CREATE TABLE twin (id int); CREATE TABLE "Twin" (id int)"#)
        .await;
    let error = refused(&database.source()).await;
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(
        error.what.contains("twin") && error.what.contains("Twin"),
        "{error:?}"
    );
    database.drop().await;
}

#[tokio::test]
async fn tables_that_may_not_be_read_are_named() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    let role = format!("{}_reader", database.address.database);
    database
        .execute(&format!(
            "CREATE TABLE open (id int); CREATE TABLE shut (id int); CREATE TABLE guarded (id int);
             INSERT INTO guarded VALUES (1);
             CREATE ROLE {role} LOGIN PASSWORD '{role}'; GRANT SELECT ON open, guarded TO {role};
             ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;"
        ))
        .await;
    let error = refused(&database.source_of(&role)).await;
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(
        error.what.contains("\"shut\"") && !error.what.contains("\"open\""),
        "{error:?}"
    );

    // Rows that a policy hides must not be missing in silence.
    database.execute(&format!("GRANT SELECT ON shut TO {role}")).await;
    let snapshot = database.source_of(&role).snapshot().await.unwrap();
    let error = rows(&*snapshot, "guarded", RowOrder::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.chain().contains("guarded"), "{error:?}");
    snapshot.close().await.unwrap();
    database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
    database.drop().await;
}

#[tokio::test]
async fn a_connection_that_fails_says_why() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    let role = format!("{}_shut_out", database.address.database);
    database
        .execute(&format!("CREATE ROLE {role} NOLOGIN PASSWORD 'right'"))
        .await;
    let here = ServerAddress {
        password: Some(Secret::new("hunter2")),
        ..database.address.clone()
    };
    let free_port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (address, kind, words) in [
        (
            ServerAddress {
                user: Some(role.clone()),
                ..here.clone()
            },
            ErrorKind::Denied,
            role.as_str(),
        ),
        (
            ServerAddress {
                database: "not there".to_owned(),
                ..here.clone()
            },
            ErrorKind::NotFound,
            "not there",
        ),
        (
            ServerAddress {
                schema: Some("absent".to_owned()),
                ..here.clone()
            },
            ErrorKind::NotFound,
            "absent",
        ),
        (
            ServerAddress {
                port: free_port,
                ..here.clone()
            },
            ErrorKind::Unavailable,
            "cannot connect",
        ),
    ] {
        let server = PostgresServer::new(&address);
        let pool = server.pool(1).await.unwrap_err();
        let error = refused(&PostgresSource::new(server.clone())).await;
        for error in [error, pool] {
            assert_eq!(error.kind, kind, "{error:?}");
            assert!(error.chain().contains(words), "{error:?}");
            assert!(!format!("{error:?}{server:?}").contains("hunter2"));
        }
    }
    database.execute(&format!("DROP ROLE {role}")).await;
    database.drop().await;
}

/// The one role that a cluster of `cargo xtask with-servers` asks for a password.
const WITH_PASSWORD: &str = "metaferry_password";

/// Only where the server asks for passwords at all.
#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
async fn a_wrong_password_is_said_to_be_wrong() {
    let Some(database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute(&format!(
            "DROP ROLE IF EXISTS {WITH_PASSWORD}; CREATE ROLE {WITH_PASSWORD} LOGIN PASSWORD 'right'"
        ))
        .await;
    let server = |password: Option<&str>| {
        PostgresServer::new(&ServerAddress {
            user: Some(WITH_PASSWORD.to_owned()),
            password: password.map(Secret::new),
            ..database.address.clone()
        })
    };
    match server(Some("hunter2")).pool(1).await {
        Ok(pool) => {
            eprintln!(
                "SKIPPED: the server trusts {WITH_PASSWORD} without a password, so a wrong one cannot be tried; \
                 `cargo xtask with-servers` starts one that does not"
            );
            pool.close().await;
        }
        Err(pool) => {
            let none = server(None).pool(1).await.unwrap_err();
            let source = refused(&PostgresSource::new(server(Some("hunter2")))).await;
            for error in [pool, none, source] {
                assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
                let text = error.chain();
                assert!(text.contains("check user and password"), "{error:?}");
                assert!(text.contains(WITH_PASSWORD), "{error:?}");
                assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            }
            server(Some("right")).pool(1).await.unwrap().close().await;
        }
    }
    database.execute(&format!("DROP ROLE {WITH_PASSWORD}")).await;
    database.drop().await;
}

#[tokio::test]
async fn a_pool_works_in_metabases_schema() {
    let Some(mut database) = TestDatabase::new("").await else {
        return;
    };
    database
        .execute("CREATE SCHEMA app; CREATE TABLE app.setting (key text)")
        .await;
    database.address.schema = Some("app, public".to_owned());
    let pool = PostgresServer::new(&database.address).pool(2).await.unwrap();
    let setting: (Option<String>, String) =
        sqlx::query_as("SELECT to_regclass('setting')::text, current_setting('statement_timeout')")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(setting, (Some("setting".to_owned()), "0".to_owned()));
    pool.close().await;
    database.drop().await;
}
