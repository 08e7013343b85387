//! Our own tables are made once, where they may be, and never by an older program.

use metaferry_app_db::postgres::{PostgresAppDb, PostgresServer};
use metaferry_domain::ErrorKind;
use metaferry_domain::ports::LeaseStore as _;

use crate::database::TestDatabase;

const WHERE: &str = "SELECT schemaname || '.' || tablename FROM pg_tables
    WHERE schemaname = 'metaferry' OR tablename LIKE 'metaferry%' ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_once_make_them_once() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    let mut opens = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let pool = database.pool().await;
        opens.spawn(PostgresAppDb::open(pool));
    }
    for opened in opens.join_all().await {
        opened.unwrap();
    }
    assert_eq!(
        database
            .rows("SELECT version FROM metaferry.schema_version")
            .await,
        ["(1)", "(2)", "(3)"]
    );
    assert_eq!(database.rows("SELECT token FROM metaferry.lease").await, ["(0)"]);
    assert_eq!(database.rows(WHERE).await.len(), 6);
    database.drop().await;
}

#[tokio::test]
async fn looking_makes_nothing() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    assert!(
        PostgresAppDb::look(database.pool().await)
            .await
            .unwrap()
            .is_none()
    );
    assert!(database.rows(WHERE).await.is_empty());
    database.open().await;
    assert!(
        PostgresAppDb::look(database.pool().await)
            .await
            .unwrap()
            .is_some()
    );
    database.drop().await;
}

/// A user without rights on the database, as Metabase's often is. Dropped with all that is its own.
struct Role {
    name: String,
}

impl Role {
    async fn new(database: &TestDatabase) -> Self {
        let name = format!("{}_user", database.address.database);
        database
            .execute(&format!(
                "CREATE ROLE {name} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
                 GRANT USAGE ON SCHEMA public TO {name}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"
            ))
            .await;
        Self { name }
    }

    async fn open(&self, database: &TestDatabase) -> Result<PostgresAppDb, metaferry_domain::PortError> {
        PostgresAppDb::open(database.of_user(&self.name).pool(2).await?).await
    }

    async fn drop(self, database: TestDatabase) {
        database
            .execute(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name))
            .await;
        database.drop().await;
    }
}

#[tokio::test]
async fn without_the_right_to_make_a_schema_they_stand_beside() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    let role = Role::new(&database).await;
    let refused = role.open(&database).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied, "{}", refused.chain());
    assert!(refused.chain().contains("needs CREATE"), "{}", refused.chain());
    database
        .execute(&format!("GRANT CREATE ON SCHEMA public TO {}", role.name))
        .await;
    let app_db = role.open(&database).await.unwrap();
    app_db.acquire("node", 1000).await.unwrap();
    assert!(
        database
            .rows(WHERE)
            .await
            .iter()
            .all(|name| name.starts_with("(public.metaferry_"))
    );
    // Whoever may do more finds them there all the same.
    let app_db = database.open().await;
    assert!(app_db.current().await.is_ok());
    assert_eq!(database.rows(WHERE).await.len(), 6);
    role.drop(database).await;
}

/// Before, CREATE SCHEMA IF NOT EXISTS asked for a right that is not needed where the schema is there.
#[tokio::test]
async fn a_schema_made_for_the_user_is_used() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    let role = Role::new(&database).await;
    database
        .execute(&format!("CREATE SCHEMA metaferry AUTHORIZATION {}", role.name))
        .await;
    for _ in 0..2 {
        role.open(&database).await.unwrap();
    }
    assert!(
        database
            .rows(WHERE)
            .await
            .iter()
            .all(|name| name.starts_with("(metaferry."))
    );
    role.drop(database).await;
}

#[tokio::test]
async fn what_a_newer_program_made_is_left_alone() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    database.open().await;
    database
        .execute("INSERT INTO metaferry.schema_version VALUES (7)")
        .await;
    let error = PostgresAppDb::open(database.pool().await).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(
        error.chain().contains("version 7") && error.chain().contains("newer"),
        "{}",
        error.chain()
    );
    database.drop().await;
}

#[tokio::test]
async fn those_of_the_first_version_become_those_of_now_and_keep_what_they_hold() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    let columns =
        "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
        WHERE table_schema = 'metaferry' ORDER BY 1";
    let app_db = database.open().await;
    app_db.acquire("node", 60_000).await.unwrap();
    let now = database.rows(columns).await;
    database
        .execute(
            "DROP TABLE metaferry.switch;
             ALTER TABLE metaferry.lease DROP COLUMN guard_token, DROP COLUMN guard_since, DROP COLUMN guard_until,
                 DROP COLUMN app_schema;
             DELETE FROM metaferry.schema_version WHERE version > 1;
             INSERT INTO metaferry.migration (id) VALUES ('of-the-first-version')",
        )
        .await;
    assert_ne!(database.rows(columns).await, now);
    let app_db = database.open().await;
    assert_eq!(database.rows(columns).await, now);
    assert_eq!(
        database.rows("SELECT id FROM metaferry.migration").await,
        ["(of-the-first-version)"]
    );
    assert_eq!(
        app_db
            .current()
            .await
            .unwrap()
            .map(|held| held.lease.holder)
            .as_deref(),
        Some("node")
    );
    database.drop().await;
}

#[tokio::test]
async fn those_of_another_schemas_app_db_are_not_touched() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    let first = database.open().await;
    let lease = first.acquire("node", 60_000).await.unwrap();
    database.execute("CREATE SCHEMA other").await;
    let mut address = database.address.clone();
    address.schema = Some("other".to_owned());
    let pool = PostgresServer::new(&address).pool(1).await.unwrap();
    let opened = PostgresAppDb::open(pool.clone()).await.map(drop);
    let looked_at = PostgresAppDb::look(pool).await.map(drop);
    for refused in [opened, looked_at] {
        let refused = refused.unwrap_err().chain();
        for word in ["\"public\"", "\"other\"", "database of its own"] {
            assert!(refused.contains(word), "{refused}");
        }
    }
    first.renew(&lease).await.unwrap();
    // What was made before anybody asked whose it is belongs to who comes first.
    database
        .execute("UPDATE metaferry.lease SET app_schema = NULL")
        .await;
    database.open().await;
    assert_eq!(
        database.rows("SELECT app_schema FROM metaferry.lease").await,
        ["(public)"]
    );
    database.drop().await;
}

/// Before, whichever app DB came first got them, and undid on its own tables what was changed on another one's.
#[tokio::test]
async fn those_of_nobody_go_with_an_open_migration_to_who_has_its_row() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    database.open().await;
    let mut address = database.address.clone();
    address.schema = Some("other".to_owned());
    // As a program of before left them, which did not know that column.
    database
        .execute(
            "CREATE SCHEMA other;
             ALTER TABLE metaferry.lease DROP COLUMN app_schema;
             DELETE FROM metaferry.schema_version WHERE version = 3;
             INSERT INTO metaferry.migration (id) VALUES ('open');
             INSERT INTO metaferry.journal (migration_id, sequence, token, entry)
                 VALUES ('open', 1, 1, '{\"external_id\":\"its \\\"id\\\"\"}');
             INSERT INTO cloud_migration (external_id, upload_url, created_at, updated_at)
                 VALUES ('its \"id\"', '', now(), now())",
        )
        .await;
    let other = PostgresServer::new(&address);
    for rows_there in [false, true] {
        if rows_there {
            database
                .execute("CREATE TABLE other.cloud_migration AS SELECT * FROM cloud_migration LIMIT 0")
                .await;
        }
        let refused = PostgresAppDb::open(other.pool(1).await.unwrap())
            .await
            .map(drop)
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Precondition);
        for word in [
            "migration open",
            "\"other\".cloud_migration",
            "UPDATE metaferry.lease SET",
        ] {
            assert!(refused.what.contains(word), "{}", refused.what);
        }
    }
    // Its row has come nowhere yet, and no other app DB is there.
    database
        .execute("DROP TABLE other.cloud_migration; DELETE FROM cloud_migration")
        .await;
    database.open().await;
    assert_eq!(
        database.rows("SELECT app_schema FROM metaferry.lease").await,
        ["(public)"]
    );
    database
        .execute(
            "UPDATE metaferry.lease SET app_schema = NULL; UPDATE metaferry.migration SET settled = true",
        )
        .await;
    PostgresAppDb::open(other.pool(1).await.unwrap()).await.unwrap();
    assert_eq!(
        database.rows("SELECT app_schema FROM metaferry.lease").await,
        ["(other)"]
    );
    database.drop().await;
}
