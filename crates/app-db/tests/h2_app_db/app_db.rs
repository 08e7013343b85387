//! The fixture in Postgres, and a whole copy of it in an H2 file.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use metaferry_app_db::h2::H2Target;
use metaferry_app_db::postgres::{PostgresServer, PostgresSource};
use metaferry_domain::PortError;
use metaferry_domain::ports::{Source as _, Target as _};
use metaferry_metabase::env::address::{AppDbAddress, ServerAddress};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::judge::{self, Copied, fixtures};
use crate::oracle::Oracle;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database of a test's own.
pub(crate) struct AppDb {
    admin_url: String,
    address: ServerAddress,
    url: String,
}

impl AppDb {
    /// An empty database. `None`, said aloud, where something that this needs is not there.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    pub(crate) async fn new() -> Option<Self> {
        for variable in ["METAFERRY_TEST_H2_JAR", "METAFERRY_TEST_PG_JDBC_JAR"] {
            if std::env::var_os(variable).is_none() {
                eprintln!("SKIPPED: {variable} names no jar");
                return None;
            }
        }
        let Ok(admin_url) = std::env::var("METAFERRY_TEST_POSTGRES_URL") else {
            eprintln!("SKIPPED: METAFERRY_TEST_POSTGRES_URL names no Postgres server");
            return None;
        };
        let AppDbAddress::Postgres(mut address) = AppDbAddress::from_cli_url(&admin_url).unwrap() else {
            panic!("METAFERRY_TEST_POSTGRES_URL is no Postgres address");
        };
        let name = format!(
            "metaferry_h2_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        execute(&admin_url, &format!("CREATE DATABASE {name}")).await;
        let mut url = url::Url::parse(&admin_url).unwrap();
        url.set_path(&name);
        address.database = name;
        Some(Self {
            admin_url,
            address,
            url: url.to_string(),
        })
    }

    /// A database with the fixture in it.
    pub(crate) async fn load() -> Option<Self> {
        let folder = fixtures()?;
        let app_db = Self::new().await?;
        let loaded = Command::new("sh")
            .args([
                "-c",
                "gunzip -c \"$0\" | psql -q -v ON_ERROR_STOP=1 -d \"$1\" >/dev/null",
            ])
            .arg(folder.join("appdb-s001.postgres.sql.gz"))
            .arg(&app_db.url)
            .status();
        assert!(loaded.unwrap().success(), "psql could not load the fixture");
        Some(app_db)
    }

    /// The refusal to prepare a file for this database, and how many files that left.
    pub(crate) async fn refusal(&self) -> (PortError, usize) {
        let folder = tempfile::tempdir().unwrap();
        let source = PostgresSource::new(PostgresServer::new(&self.address));
        let snapshot = source.snapshot().await.unwrap();
        let mut target = H2Target::new(folder.path().join("app-db.mv.db"));
        let error = target.prepare(snapshot.catalogue()).await.unwrap_err();
        snapshot.close().await.unwrap();
        (error, std::fs::read_dir(folder.path()).unwrap().count())
    }

    /// SQL of the test's own.
    pub(crate) async fn execute(&self, sql: &str) {
        execute(&self.url, sql).await;
    }

    /// The same database over JDBC.
    pub(crate) fn oracle(&self) -> Oracle {
        let url = url::Url::parse(&self.url).unwrap();
        let jdbc = format!(
            "jdbc:postgresql://{}:{}/{}",
            url.host_str().unwrap(),
            url.port().unwrap_or(5432),
            self.address.database
        );
        Oracle::of_server("METAFERRY_TEST_PG_JDBC_JAR", jdbc, url.username()).unwrap()
    }

    /// Everything but generated columns into a new H2 file.
    pub(crate) async fn copy(&self) -> Copied {
        judge::copy(&PostgresSource::new(PostgresServer::new(&self.address))).await
    }

    /// Removes the database.
    pub(crate) async fn drop(self) {
        execute(
            &self.admin_url,
            &format!("DROP DATABASE {} WITH (FORCE)", self.address.database),
        )
        .await;
    }
}

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}
