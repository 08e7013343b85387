//! The statements on a real server: Metabase's own schema on H2 and on Postgres, said in MySQL's words, beside the one
//! that Metabase's own migrations make on MariaDB; and what no Metabase has.

mod odd;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use metaferry_domain::ports::Source;
use metaferry_domain::schema::{Catalogue, IndexPart};
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_test_kit::unlike;
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::{SESSION_OF_VIEWS, Translation, own_changes, translate};
use crate::h2::H2Source;
use crate::mysql::connect::MySqlServer;
use crate::mysql::{MySqlSource, connect};
use crate::postgres::{PostgresServer, PostgresSource};

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
    async fn new() -> Option<Self> {
        let url = variable("METAFERRY_TEST_MARIADB_URL", "MariaDB")?;
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
        let explicit = "SELECT @@explicit_defaults_for_timestamp + 0";
        let explicit: i64 = sqlx::query_scalar(explicit)
            .fetch_one(&mut self.connection)
            .await
            .unwrap();
        for of in [
            |table: &super::TranslatedTable| table.undefaulted.clone(),
            |table: &super::TranslatedTable| table.after_rows.clone(),
            |table: &super::TranslatedTable| table.foreign_keys.clone(),
        ] {
            for table in &translation.tables {
                let clauses = of(table);
                if !clauses.is_empty() && (explicit == 1 || clauses != table.undefaulted) {
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

/// A server's URL.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn variable(name: &str, server: &str) -> Option<String> {
    let url = std::env::var(name).ok();
    if url.is_none() {
        eprintln!("SKIPPED: {name} names no {server} server");
    }
    url
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

/// A Postgres database of the test's own.
struct Postgres {
    server: String,
    name: String,
}

impl Postgres {
    /// `None`, said aloud, where no server is named.
    fn new() -> Option<Self> {
        let url = variable("METAFERRY_TEST_POSTGRES_URL", "Postgres")?;
        let (server, _) = url.rsplit_once('/').unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = Self {
            server: server.to_owned(),
            name: format!("metaferry_words_{}_{number}", std::process::id()),
        };
        database.psql("postgres", &["-c", &format!("CREATE DATABASE {}", database.name)]);
        Some(database)
    }

    fn psql(&self, database: &str, arguments: &[&str]) -> String {
        let output = Command::new("psql")
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-F", "\t", "-P", "null=NULL"])
            .args(["-d", &format!("{}/{database}", self.server)])
            .args(arguments)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, sql: &str) -> String {
        self.psql(&self.name, &["-c", sql])
    }

    async fn catalogue(&self) -> Catalogue {
        let url = format!("{}/{}", self.server, self.name);
        let Ok(AppDbAddress::Postgres(address)) = AppDbAddress::from_cli_url(&url) else {
            panic!("METAFERRY_TEST_POSTGRES_URL is no Postgres address");
        };
        catalogue(&PostgresSource::new(PostgresServer::new(&address))).await
    }

    fn drop(self) {
        self.psql(
            "postgres",
            &["-c", &format!("DROP DATABASE {} WITH (FORCE)", self.name)],
        );
    }
}

/// Metabase's own schema, made by the fixture's script, and ours, made by what the catalogue became.
async fn compare(folder: &Path, catalogue: &Catalogue, explained: &str) -> Option<Translation> {
    let (mut theirs, mut ours) = (Database::new().await?, Database::new().await?);
    theirs.load(&folder.join("mariadb-schema.sql"));
    let translation = translate(catalogue, &named).unwrap();
    assert_eq!((translation.tables.len(), translation.views.len()), (94, 13));
    ours.build(&translation).await;
    let unlike = unlike::compare(&theirs.facts().await, &ours.facts().await, explained);
    theirs.drop().await;
    ours.drop().await;
    assert!(
        unlike.unexplained.is_empty() && unlike.stale.is_empty(),
        "{unlike:#?}"
    );
    Some(translation)
}

#[tokio::test]
async fn a_schema_from_h2_is_metabases_own_but_for_what_the_list_explains() {
    let Some(folder) = fixtures() else { return };
    let from = from_h2(&folder).await;
    let explained = include_str!("../../../tests/data/mysql_from_h2_differences.txt");
    let Some(translation) = compare(&folder, &from, explained).await else {
        return;
    };
    assert_eq!(translation.notes, [""; 0], "nothing is left out");
}

#[tokio::test]
async fn a_schema_from_postgres_is_metabases_own_but_for_what_the_list_explains() {
    let Some(folder) = fixtures() else { return };
    let Some(original) = Postgres::new() else { return };
    let script = folder.join("postgres-schema.sql");
    original.psql(&original.name, &["-f", script.to_str().unwrap()]);
    let from = original.catalogue().await;
    original.drop();
    let explained = include_str!("../../../tests/data/mysql_from_postgres_differences.txt");
    let Some(translation) = compare(&folder, &from, explained).await else {
        return;
    };
    // Indexes over expressions and over some rows, and nothing else.
    let untranslatable = from
        .tables
        .iter()
        .flat_map(|table| &table.indexes)
        .filter(|index| {
            let is_expression = |part: &IndexPart| matches!(part, IndexPart::Expression(_));
            index.predicate.is_some() || index.parts.iter().any(is_expression)
        });
    assert_eq!(
        translation.notes.len(),
        untranslatable.count(),
        "{:#?}",
        translation.notes
    );
}

#[tokio::test]
async fn a_schema_from_mysql_is_the_same_to_the_last_object() {
    let Some(folder) = fixtures() else { return };
    let Some(original) = Database::new().await else {
        return;
    };
    original.load(&folder.join("mariadb-schema.sql"));
    let from = original.catalogue().await;
    original.drop().await;
    let Some(translation) = compare(&folder, &from, "").await else {
        return;
    };
    assert_eq!(translation.notes, [""; 0]);
}

/// Every change that Metabase's own history has on MariaDB, so that none is made again, with the words that Liquibase has
/// for it.
#[tokio::test]
async fn the_history_of_h2_becomes_that_of_mysql() {
    let Some(folder) = fixtures() else { return };
    let (Some(theirs), Some(mut ours)) = (Database::new().await, Database::new().await) else {
        return;
    };
    for script in ["mariadb-schema.sql", "mariadb-changelog.sql"] {
        theirs.load(&folder.join(script));
    }
    let translation = translate(&from_h2(&folder).await, &named).unwrap();
    let history = translation
        .tables
        .iter()
        .find(|table| table.name == "DATABASECHANGELOG")
        .unwrap();
    run(&mut ours.connection, &history.create).await;
    let script = std::fs::read_to_string(folder.join("h2-changelog.sql")).unwrap();
    for row in script
        .lines()
        .filter(|line| line.starts_with("INSERT INTO \"PUBLIC\".\"DATABASECHANGELOG\" "))
    {
        let row = row.replace("\"PUBLIC\".\"DATABASECHANGELOG\"", "DATABASECHANGELOG");
        run(&mut ours.connection, row.trim_end().trim_end_matches(';')).await;
    }
    // Twice, as after a first time that was cut short.
    for statement in [
        own_changes::complete_history(&translation, "DATABASECHANGELOG"),
        own_changes::complete_history(&translation, "DATABASECHANGELOG"),
    ]
    .concat()
    {
        run(&mut ours.connection, &statement).await;
    }
    let changes = format!(
        "SELECT concat_ws(' ', ID, AUTHOR, FILENAME, DESCRIPTION) FROM {}.DATABASECHANGELOG WHERE ID NOT IN
         (SELECT ID FROM {}.DATABASECHANGELOG)",
        theirs.name, ours.name
    );
    let missing = sqlx::raw_sql(AssertSqlSafe(changes))
        .fetch_all(&mut ours.connection)
        .await
        .unwrap();
    assert_eq!(missing.len(), 0);
    let unlike = format!(
        "SELECT count(*) FROM {}.DATABASECHANGELOG t JOIN {}.DATABASECHANGELOG o USING (ID)
         WHERE t.AUTHOR <> o.AUTHOR OR t.FILENAME <> o.FILENAME OR (o.MD5SUM IS NULL AND (t.DESCRIPTION <> o.DESCRIPTION OR o.EXECTYPE <> 'EXECUTED'))",
        theirs.name, ours.name
    );
    let unlike: i64 = sqlx::query_scalar(AssertSqlSafe(unlike))
        .fetch_one(&mut ours.connection)
        .await
        .unwrap();
    assert_eq!(unlike, 0);
    let counts = "SELECT concat(count(*), ' ', count(DISTINCT ID), ' ', count(DISTINCT ORDEREXECUTED)) FROM DATABASECHANGELOG";
    let counts: Vec<u8> = sqlx::raw_sql(counts)
        .fetch_one(&mut ours.connection)
        .await
        .unwrap()
        .try_get_unchecked(0)
        .unwrap();
    // The 489 of H2 and the 51 that MySQL has beside; four of H2's have other numbers there.
    assert_eq!(String::from_utf8(counts).unwrap(), "540 540 540");
    theirs.drop().await;
    ours.drop().await;
}
