//! A database of a test's own.

use std::sync::atomic::{AtomicU32, Ordering};

use metaferry_app_db::postgres::{PostgresServer, PostgresSource};
use metaferry_domain::ports::{Snapshot, Source as _};
use metaferry_metabase::env::address::{AppDbAddress, ServerAddress};
use metaferry_metabase::secret::Secret;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database that this test made. [`TestDatabase::drop`] ends it.
pub(crate) struct TestDatabase {
    pub(crate) address: ServerAddress,
    pub(crate) admin_url: String,
    pub(crate) url: String,
}

impl TestDatabase {
    /// `None`, said aloud, where no server is named.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    pub(crate) async fn new(options: &str) -> Option<Self> {
        let Ok(admin_url) = std::env::var("METAFERRY_TEST_POSTGRES_URL") else {
            eprintln!("SKIPPED: METAFERRY_TEST_POSTGRES_URL names no Postgres server");
            return None;
        };
        let name = format!(
            "metaferry_test_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let mut admin = PgConnection::connect(&admin_url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name} {options}")))
            .execute(&mut admin)
            .await
            .unwrap();
        admin.close().await.unwrap();
        let AppDbAddress::Postgres(mut address) = AppDbAddress::from_cli_url(&admin_url).unwrap() else {
            panic!("METAFERRY_TEST_POSTGRES_URL is no Postgres address");
        };
        let mut url = url::Url::parse(&admin_url).unwrap();
        url.set_path(&name);
        address.database = name;
        Some(Self {
            address,
            admin_url,
            url: url.to_string(),
        })
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) fn source(&self) -> PostgresSource {
        PostgresSource::new(PostgresServer::new(&self.address))
    }

    /// The same address for another user, whose password is his name.
    pub(crate) fn source_of(&self, user: &str) -> PostgresSource {
        let (name, password) = (Some(user.to_owned()), Some(Secret::new(user)));
        let address = ServerAddress {
            user: name,
            password,
            ..self.address.clone()
        };
        PostgresSource::new(PostgresServer::new(&address))
    }

    pub(crate) async fn snapshot(&self) -> Box<dyn Snapshot> {
        self.source().snapshot().await.unwrap()
    }

    pub(crate) async fn drop(self) {
        let mut admin = PgConnection::connect(&self.admin_url).await.unwrap();
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.address.database);
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut admin)
            .await
            .unwrap();
        admin.close().await.unwrap();
    }
}
