//! The sample in a real Postgres and in an H2 file: both hold what the sample itself gives.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use metaferry_app_db::h2::{H2Source, H2Target};
use metaferry_app_db::postgres::{self, PostgresServer, PostgresSource};
use metaferry_domain::Cancellation;
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{Authenticator, Caller, Credentials, DumpObserver, Source, Target};
use metaferry_domain::schema::{Catalogue, ValueSource};
use metaferry_metabase::copy_policy::{PolicyOptions, decide};
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_metabase::session::MAX_SESSION_AGE_MINUTES;
use metaferry_sample::{SCHEMA_MAJOR, SampleOptions, SampleSource, credentials};
use metaferry_transfer::copy::copy;
use metaferry_transfer::verify::{Scan, scan};

struct Unheard;

impl DumpObserver for Unheard {
    fn copied(&self, _: u64, _: u64, _: u64) {}
}

fn sample(scale: f64) -> SampleSource {
    SampleSource::new(SampleOptions { seed: 42, scale })
}

async fn scanned(source: &dyn Source) -> Scan {
    let snapshot = source.snapshot().await.unwrap();
    scan(&*snapshot, &CopyPolicy::default(), &Cancellation::new())
        .await
        .unwrap()
}

/// What two catalogues of one database must agree in: everything but counts, sequences and views' wording.
fn comparable(catalogue: &Catalogue) -> Catalogue {
    let mut catalogue = catalogue.clone();
    for table in &mut catalogue.tables {
        table.rows_estimate = 0;
        table.bytes_estimate = 0;
        for column in &mut table.columns {
            if let ValueSource::Generated(expression) = &mut column.value_source {
                expression.text = expression.text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
        }
    }
    catalogue.views.clear();
    catalogue
}

fn view_names(catalogue: &Catalogue) -> Vec<String> {
    let mut names: Vec<String> = catalogue.views.iter().map(|view| view.name.key()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_h2_file_of_the_sample_reads_back_equal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.mv.db");
    let sample = sample(0.3);
    let snapshot = sample.snapshot().await.unwrap();
    let mut target = Box::new(H2Target::new(&file));
    let policy = CopyPolicy::default();
    let copied = copy(
        &*snapshot,
        &mut *target,
        &policy,
        Arc::new(Unheard),
        &Cancellation::new(),
    )
    .await
    .unwrap();
    target.finish().await.unwrap();
    let left_behind: Vec<&String> = copied
        .notes
        .iter()
        .filter(|note| note.contains("left out"))
        .collect();
    assert!(left_behind.is_empty(), "{left_behind:?}");

    let arrived = scanned(&H2Source::new(&file)).await;
    assert_eq!(arrived, scanned(&sample).await);
    let read = H2Source::new(&file).snapshot().await.unwrap();
    assert_eq!(view_names(read.catalogue()), view_names(sample.catalogue()));
    let helper = |catalogue: &Catalogue| {
        catalogue
            .table("metabase_field")
            .unwrap()
            .column("unique_field_helper")
            .unwrap()
            .is_generated()
    };
    assert!(helper(read.catalogue()) && helper(sample.catalogue()));
}

#[tokio::test]
async fn a_postgres_that_ran_the_script_holds_the_sample() {
    let sample = sample(1.0);
    let Some(database) = Database::with(&sample) else {
        return;
    };
    let source = PostgresSource::new(PostgresServer::new(&database.address));
    let snapshot = source.snapshot().await.unwrap();
    for (ours, theirs) in comparable(sample.catalogue())
        .tables
        .iter()
        .zip(&comparable(snapshot.catalogue()).tables)
    {
        assert_eq!(ours, theirs);
    }
    assert_eq!(sample.catalogue().tables.len(), snapshot.catalogue().tables.len());
    assert_eq!(view_names(sample.catalogue()), view_names(snapshot.catalogue()));
    let found = scan(&*snapshot, &CopyPolicy::default(), &Cancellation::new())
        .await
        .unwrap();
    assert_eq!(found, scanned(&sample).await);
    assert_eq!(found.dangling, Vec::<String>::new());
    snapshot.close().await.unwrap();
}

#[tokio::test]
async fn known_sessions_and_keys_open_what_they_are_said_to_open() {
    let Some(database) = Database::with(&sample(0.01)) else {
        return;
    };
    let pool = PostgresServer::new(&database.address).pool(2).await.unwrap();
    let authenticator = postgres::authenticator(pool.clone(), MAX_SESSION_AGE_MINUTES, None);
    let session = |value: &str| Credentials::Session(value.to_owned());
    let key = |value: &str| Credentials::ApiKey(value.to_owned());
    for (credentials, expected) in [
        (session(credentials::SUPERUSER_PLAIN_SESSION), Caller::Superuser),
        (session(credentials::SUPERUSER_SESSION), Caller::Superuser),
        (session(credentials::ORDINARY_SESSION), Caller::Ordinary),
        (session(credentials::INACTIVE_SESSION), Caller::Unknown),
        (session(credentials::EXPIRED_SESSION), Caller::Unknown),
        (session(credentials::ENDED_SESSION), Caller::Unknown),
        (session(credentials::EMBEDDED_SESSION), Caller::Unknown),
        // A row's own id is no session where the value is hashed.
        (session("sampleHash01"), Caller::Unknown),
        (key(credentials::SUPERUSER_API_KEY), Caller::Superuser),
        (key(credentials::ORDINARY_API_KEY), Caller::Ordinary),
        (key(credentials::INACTIVE_API_KEY), Caller::Unknown),
        (key("mb_c2FtcGxlLWtleS1vZi1ub2JvZHk="), Caller::Unknown),
    ] {
        assert_eq!(
            authenticator.authenticate(&credentials).await.unwrap(),
            expected,
            "{credentials:?}"
        );
    }
    pool.close().await;
}

#[test]
fn metabases_policy_knows_every_table() {
    let sample = sample(0.01);
    let major = u32::try_from(SCHEMA_MAJOR).unwrap();
    let options = PolicyOptions::for_dump(Some(major), metaferry_domain::ports::Plaintext::Keep);
    let decision = decide(sample.catalogue(), &options).unwrap();
    assert_eq!(decision.unknown_tables, Vec::<String>::new());
}

#[tokio::test]
async fn the_same_options_give_the_same_rows_and_a_scale_its_size() {
    let all = scanned(&sample(0.1)).await;
    assert_eq!(all, scanned(&sample(0.1)).await);
    assert_eq!(all.dangling, Vec::<String>::new());
    let other = scanned(&SampleSource::new(SampleOptions { seed: 43, scale: 0.1 })).await;
    assert_ne!(all.tables, other.tables);
    assert_eq!(other.dangling, Vec::<String>::new());
    let rows = sample(1.0).rows();
    assert!((9_000..=11_000).contains(&rows), "{rows}");
    assert_eq!(scanned(&sample(0.0)).await.dangling, Vec::<String>::new());
}

/// A database that is dropped with this value.
struct Database {
    admin_url: String,
    address: metaferry_metabase::env::address::ServerAddress,
}

impl Database {
    /// `None`, said aloud, where no server is named or `psql` is missing.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    fn with(sample: &SampleSource) -> Option<Self> {
        let Ok(admin_url) = std::env::var("METAFERRY_TEST_POSTGRES_URL") else {
            eprintln!("SKIPPED: METAFERRY_TEST_POSTGRES_URL names no Postgres server");
            return None;
        };
        if Command::new("psql")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            eprintln!("SKIPPED: there is no psql");
            return None;
        }
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("metaferry_sample_{}_{count}", std::process::id());
        let AppDbAddress::Postgres(mut address) = AppDbAddress::from_cli_url(&admin_url).unwrap() else {
            panic!("METAFERRY_TEST_POSTGRES_URL is no Postgres address");
        };
        assert!(psql(
            &admin_url,
            &[
                "-c",
                &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
            ]
        ));
        address.database.clone_from(&name);
        let database = Self { admin_url, address };
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("sample.sql");
        std::fs::write(&script, sample.postgres_sql()).unwrap();
        assert!(database.run(&script), "the script must run");
        Some(database)
    }

    fn run(&self, script: &Path) -> bool {
        let (server, _) = self.admin_url.rsplit_once('/').unwrap();
        psql(
            &format!("{server}/{}", self.address.database),
            &["-f", script.to_str().unwrap()],
        )
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        psql(
            &self.admin_url,
            &[
                "-c",
                &format!("DROP DATABASE {} WITH (FORCE)", self.address.database),
            ],
        );
    }
}

fn psql(url: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new("psql");
    command
        .args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", url])
        .args(arguments)
        .stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
