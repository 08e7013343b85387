//! The statements on a real server: Metabase's own schema on H2 and on Postgres, said in MySQL's words, beside the one
//! that Metabase's own migrations make on MariaDB; and what no Metabase has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use metaferry_domain::ports::Source;
use metaferry_domain::schema::Catalogue;
use metaferry_metabase::env::address::AppDbAddress;
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::{SESSION_OF_VIEWS, Translation, translate};
use crate::h2::H2Source;
use crate::mysql::connect::MySqlServer;
use crate::mysql::{MySqlSource, connect};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// What the server's catalogue says.
const FACTS: &str = include_str!("../../../tests/data/facts_of_mariadb.sql");

/// A database of the test's own.
struct Database {
    name: String,
    connection: MySqlConnection,
    server: MySqlServer,
    arguments: Vec<String>,
}

impl Database {
    /// `None`, said aloud, where no server is named.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    async fn new() -> Option<Self> {
        let Ok(url) = std::env::var("METAFERRY_TEST_MARIADB_URL") else {
            eprintln!("SKIPPED: METAFERRY_TEST_MARIADB_URL names no MariaDB server");
            return None;
        };
        let Ok(AppDbAddress::MySql(mut address)) = AppDbAddress::from_cli_url(&url) else {
            panic!("METAFERRY_TEST_MARIADB_URL is no MySQL address");
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("metaferry_words_{}_{number}", std::process::id());
        let mut connection = MySqlServer::new(&address).connect().await.unwrap().connection;
        let create =
            format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; USE {name}");
        run(&mut connection, &create).await;
        address.database.clone_from(&name);
        let mut arguments = vec![
            format!("--host={}", address.host),
            format!("--port={}", address.port),
        ];
        arguments.push(format!("--user={}", address.user.as_deref().unwrap_or("root")));
        arguments.push(name.clone());
        Some(Self {
            name,
            connection,
            server: MySqlServer::new(&address),
            arguments,
        })
    }

    /// Runs a script of the fixtures with the server's own client.
    fn load(&self, script: &Path) {
        let input = std::fs::File::open(script).unwrap();
        let client = Command::new("mariadb")
            .arg("--no-defaults")
            .args(&self.arguments)
            .stdin(input)
            .output()
            .unwrap();
        assert!(
            client.status.success(),
            "{}",
            String::from_utf8_lossy(&client.stderr)
        );
    }

    /// Everything that the translation says, in its order.
    async fn build(&mut self, translation: &Translation) {
        for table in &translation.tables {
            run(&mut self.connection, &table.create).await;
        }
        for of in [
            |table: &super::TranslatedTable| table.after_rows.clone(),
            |table: &super::TranslatedTable| table.foreign_keys.clone(),
        ] {
            for table in &translation.tables {
                let clauses = of(table);
                if !clauses.is_empty() {
                    let alter = format!(
                        "ALTER TABLE {} {}",
                        connect::quoted(&table.name),
                        clauses.join(", ")
                    );
                    run(&mut self.connection, &alter).await;
                }
            }
        }
        run(&mut self.connection, SESSION_OF_VIEWS).await;
        for view in &translation.views {
            run(&mut self.connection, &view.create).await;
        }
    }

    async fn facts(&mut self) -> BTreeSet<String> {
        let rows = sqlx::raw_sql(FACTS)
            .fetch_all(&mut self.connection)
            .await
            .unwrap();
        rows.iter()
            .map(|row| {
                let bytes: Vec<u8> = row.try_get_unchecked(0).unwrap();
                let fact = String::from_utf8(bytes).unwrap();
                fact.split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    async fn catalogue(&self) -> Catalogue {
        catalogue(&MySqlSource::new(self.server.clone())).await
    }

    async fn drop(mut self) {
        run(&mut self.connection, &format!("DROP DATABASE {}", self.name)).await;
    }
}

async fn run(connection: &mut MySqlConnection, sql: &str) {
    let ran = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await;
    assert!(ran.is_ok(), "{sql}: {ran:?}");
}

async fn catalogue(source: &dyn Source) -> Catalogue {
    let snapshot = source.snapshot().await.unwrap();
    let catalogue = snapshot.catalogue().clone();
    snapshot.close().await.unwrap();
    catalogue
}

fn named(name: &str) -> String {
    name.to_owned()
}

/// The folder of the app DB fixtures.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn fixtures() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("METAFERRY_SHARED")
        .map_or(root, PathBuf::from)
        .join("fixtures/appdb");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no fixtures in {} (METAFERRY_SHARED)", folder.display());
        return None;
    }
    Some(folder)
}

async fn from_h2(folder: &Path) -> Catalogue {
    let place = tempfile::tempdir().unwrap();
    let unpacked = place.path().join("app-db.mv.db");
    let output = Command::new("gunzip")
        .arg("-c")
        .arg(folder.join("h2-empty.mv.db.gz"))
        .output()
        .unwrap();
    assert!(output.status.success());
    std::fs::write(&unpacked, output.stdout).unwrap();
    catalogue(&H2Source::new(&unpacked)).await
}

fn differences(theirs: &BTreeSet<String>, ours: &BTreeSet<String>) -> Vec<String> {
    let only = |sign: char, one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
        one.difference(other)
            .map(|fact| format!("{sign} {fact}"))
            .collect()
    };
    [only('-', theirs, ours), only('+', ours, theirs)].concat()
}

#[tokio::test]
async fn a_schema_from_h2_and_mysql_can_be_made() {
    let Some(folder) = fixtures() else { return };
    let Some(mut theirs) = Database::new().await else {
        return;
    };
    theirs.load(&folder.join("mariadb-schema.sql"));
    let facts = theirs.facts().await;
    let own = theirs.catalogue().await;
    for (what, catalogue) in [("h2", from_h2(&folder).await), ("mysql", own)] {
        let mut ours = Database::new().await.unwrap();
        let translation = translate(&catalogue, &named).unwrap();
        println!("NOTES {what} {:#?}", translation.notes);
        ours.build(&translation).await;
        for difference in differences(&facts, &ours.facts().await) {
            println!("{what} {difference}");
        }
        ours.drop().await;
    }
    theirs.drop().await;
}
