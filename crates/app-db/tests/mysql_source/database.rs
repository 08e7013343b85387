//! A database of a test's own.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use metaferry_app_db::mysql::{MySqlServer, MySqlSource};
use metaferry_domain::ports::{Snapshot, Source as _};
use metaferry_metabase::env::address::{AppDbAddress, ServerAddress};
use metaferry_metabase::secret::Secret;
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection};

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
    pub(crate) async fn new() -> Option<Self> {
        let Ok(admin_url) = std::env::var("METAFERRY_TEST_MARIADB_URL") else {
            eprintln!("SKIPPED: METAFERRY_TEST_MARIADB_URL names no MariaDB server");
            return None;
        };
        let name = format!(
            "metaferry_test_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let AppDbAddress::MySql(mut address) = AppDbAddress::from_cli_url(&admin_url).unwrap() else {
            panic!("METAFERRY_TEST_MARIADB_URL is no MySQL address");
        };
        let mut url = url::Url::parse(&admin_url).unwrap();
        url.set_path(&name);
        address.database.clone_from(&name);
        let database = Self {
            address,
            admin_url,
            url: url.to_string(),
        };
        database
            .administer(&format!(
                "CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
            ))
            .await;
        Some(database)
    }

    /// Loads a packed dump with the server's own client.
    pub(crate) fn load(&self, file: &Path) -> bool {
        self.client("gunzip -c \"$file\" | mariadb --no-defaults \"$@\"", file)
    }

    /// Runs a script with the server's own client.
    pub(crate) fn run_file(&self, file: &Path) -> bool {
        self.client("mariadb --no-defaults \"$@\" <\"$file\" >/dev/null", file)
    }

    fn client(&self, script: &str, file: &Path) -> bool {
        let address = &self.address;
        let mut client = Command::new("sh");
        client
            .args(["-c", &format!("file=$1; shift; {script}"), "run"])
            .arg(file)
            .args(["--host", &address.host, "--port", &address.port.to_string()])
            .args(["--user", address.user.as_deref().unwrap_or("root")]);
        if let Some(password) = &address.password {
            client.env("MYSQL_PWD", password.expose());
        }
        let loaded = client.arg(&address.database).status();
        loaded.is_ok_and(|status| status.success())
    }

    pub(crate) async fn connect(&self) -> MySqlConnection {
        MySqlConnection::connect(&self.url).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        run(&self.url, sql).await;
    }

    pub(crate) async fn administer(&self, sql: &str) {
        run(&self.admin_url, sql).await;
    }

    pub(crate) fn source(&self) -> MySqlSource {
        MySqlSource::new(MySqlServer::new(&self.address))
    }

    /// The same address for another user, whose password is his name.
    pub(crate) fn source_of(&self, user: &str) -> MySqlSource {
        let (name, password) = (Some(user.to_owned()), Some(Secret::new(user)));
        let address = ServerAddress {
            user: name,
            password,
            ..self.address.clone()
        };
        MySqlSource::new(MySqlServer::new(&address))
    }

    pub(crate) async fn snapshot(&self) -> Box<dyn Snapshot> {
        self.source().snapshot().await.unwrap()
    }

    pub(crate) async fn drop(self) {
        self.administer(&format!("DROP DATABASE {}", self.address.database))
            .await;
    }
}

async fn run(url: &str, sql: &str) {
    let mut connection = MySqlConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}
