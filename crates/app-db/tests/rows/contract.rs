//! The suites that every app DB must pass.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_app_db::postgres::PostgresAppDb;
use metaferry_app_db::sqlite::SqliteState;
use metaferry_domain::ports::{JournalStore, LeaseStore, MigrationRows};
use metaferry_test_kit::contract::{self, AppDbUnderTest};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use crate::database::{TestDatabase, raw};

struct Postgres {
    url: String,
    app_db: Arc<PostgresAppDb>,
}

#[async_trait]
impl AppDbUnderTest for Postgres {
    fn lease(&self) -> Arc<dyn LeaseStore> {
        self.app_db.clone()
    }

    fn journal(&self) -> Arc<dyn JournalStore> {
        self.app_db.clone()
    }

    fn rows(&self) -> Arc<dyn MigrationRows> {
        self.app_db.clone()
    }

    async fn pass(&self, duration: Duration) {
        let mut connection = sqlx::PgConnection::connect(&self.url).await.unwrap();
        let ms = duration.as_millis();
        raw(
            &mut connection,
            &format!("UPDATE metaferry.lease SET expires_at = expires_at - {ms} * interval '1 millisecond'"),
        )
        .await;
        connection.close().await.unwrap();
    }
}

async fn fresh(database: &TestDatabase) -> Postgres {
    database
        .execute("DROP SCHEMA IF EXISTS metaferry CASCADE; TRUNCATE cloud_migration")
        .await;
    Postgres {
        url: database.url.clone(),
        app_db: Arc::new(database.open().await),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_in_postgres_is_a_lease() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    contract::lease_store(async || fresh(&database).await).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_in_postgres_is_a_journal() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    contract::journal_store(async || fresh(&database).await).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_in_postgres_are_rows() {
    let Some(database) = TestDatabase::tiny().await else {
        return;
    };
    contract::migration_rows(async || fresh(&database).await).await;
    database.drop().await;
}

struct Sqlite {
    folder: tempfile::TempDir,
    state: Arc<SqliteState>,
}

#[async_trait]
impl AppDbUnderTest for Sqlite {
    fn lease(&self) -> Arc<dyn LeaseStore> {
        self.state.clone()
    }

    fn journal(&self) -> Arc<dyn JournalStore> {
        self.state.clone()
    }

    fn rows(&self) -> Arc<dyn MigrationRows> {
        self.state.clone()
    }

    async fn pass(&self, duration: Duration) {
        let url = format!("sqlite://{}", self.folder.path().join("state.sqlite").display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let sql = format!(
            "UPDATE lease SET expires_at_ms = expires_at_ms - {}",
            duration.as_millis()
        );
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
}

async fn fresh_file() -> Sqlite {
    let folder = tempfile::tempdir().unwrap();
    let state = SqliteState::open(&folder.path().join("state.sqlite"))
        .await
        .unwrap();
    Sqlite {
        folder,
        state: Arc::new(state),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_in_sqlite_is_a_lease() {
    contract::lease_store(fresh_file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_in_sqlite_is_a_journal() {
    contract::journal_store(fresh_file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_in_sqlite_are_rows() {
    contract::migration_rows(fresh_file).await;
}
