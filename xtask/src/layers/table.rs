//! The table itself, one line per crate as in the house style, and how it is read.

/// `crate | our crates it may name | third-party crates beyond those open to all`, in the order in which they lean on
/// each other. Ours are named by role, without `metaferry-`. A line may wait for a crate that is not there yet.
const TABLE: &str = "
    domain          |                                    | uuid mockall
    # The compression and the ciphers of the format, and sha2 for its password hashes.
    h2-file         |                                    | aes flate2 pbkdf2 sha2 zeroize
    metabase        | domain                             | aes aes-gcm base64 cbc hex hmac pbkdf2 sha2 url zeroize
    # sqlparser reads defaults, checks and views, and reaches no database; bcrypt checks API keys against their rows.
    app-db          | domain metabase h2-file            | sqlx sqlparser bcrypt bytes futures-util serde_json url uuid
    # xxhash-rust is the keyed hash of the digest mf1; sha2 and hex are the manifest's checksum of the file.
    transfer        | domain                             | hex serde_json sha2 xxhash-rust
    cluster         | domain                             |
    uploader        | domain                             | aws-sdk-s3 reqwest base64 bytes futures-util hex http md-5 serde_json sha2 url
    # Rows made of a seed, for the demo and for tests; its tests lean on app-db and transfer.
    sample          | domain                             |
    # Journal entries are kept as JSON text, which any JournalStore can hold.
    orchestrator    | domain                             | serde_json uuid
    metabase-client | domain metabase                    | reqwest serde_json url
    notifier        | domain metabase                    | reqwest serde_json url
    api             | domain orchestrator                | axum serde_json time
    # Its SQL and its queue live in app-db, presigning for S3 in uploader; what signs its own URLs is here.
    store           | domain                             | axum base64 bytes futures-util hex hmac md-5 rand serde_json sha2 url uuid
    server          | domain h2-file metabase app-db transfer cluster uploader orchestrator metabase-client notifier api store sample | clap rpassword rustix rustls serde_json tempfile time toml tracing-subscriber url uuid
    # A dev-dependency only: it stands in nobody's second column. sqlx is for temporary databases, serde_json for the
    # journal entries of its fakes.
    test-kit        | domain                             | sqlx serde_json uuid
    # All that the tests across crates name are dev-dependencies.
    workspace-tests |                                    |
    # Seeded schedules over the fakes, built by a profile of its own.
    workspace-simulation |                               |
    # Generates documents from the domain's own tables.
    xtask           | domain                             |
";

/// `crate | closed to`: third-party crates that all others may name.
const OPEN: &str = "
    thiserror   |
    async-trait | h2-file
    serde       | h2-file
    tokio       | domain h2-file
    tokio-util  | domain h2-file
    tracing     | domain h2-file
";

/// Crates that have no place anywhere below `domain`, each with its family: `sqlx` stands for `sqlx-core` too.
pub(crate) const IMPURE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "async-io",
    "mio",
    "polling",
    "socket2",
    "hyper",
    "reqwest",
    "axum",
    "rustls",
    "native-tls",
    "openssl",
    "aws",
    "sqlx",
    "postgres",
    "mysql",
    "rusqlite",
    "libsqlite3",
    "getrandom",
    "rand",
];

/// What one crate may name.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) krate: &'static str,
    pub(crate) ours: Vec<&'static str>,
    pub(crate) third_party: Vec<&'static str>,
}

impl Row {
    pub(crate) fn package(&self) -> String {
        package(self.krate)
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[&str]| {
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        write!(
            f,
            "`{}` | ours: {} | third-party: {}",
            self.krate,
            list(&self.ours),
            list(&self.third_party)
        )
    }
}

/// The table's lines.
pub(crate) fn rows() -> Vec<Row> {
    lines(TABLE)
        .map(|mut cells| Row {
            krate: cells.next().unwrap_or("").trim(),
            ours: words(cells.next()),
            third_party: words(cells.next()),
        })
        .collect()
}

/// Whether `krate` may name `dependency` because (nearly) all may.
pub(crate) fn is_open(dependency: &str, krate: &str) -> bool {
    lines(OPEN).any(|mut cells| {
        cells.next().is_some_and(|open| open.trim() == dependency) && !words(cells.next()).contains(&krate)
    })
}

/// The package of one of our crates; those that nobody embeds keep their own names.
pub(crate) fn package(krate: &str) -> String {
    match krate {
        "xtask" | "workspace-tests" | "workspace-simulation" => krate.to_owned(),
        role => format!("metaferry-{role}"),
    }
}

fn lines(table: &'static str) -> impl Iterator<Item = std::str::Split<'static, char>> {
    let lines = table
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('|'))
}

fn words(cell: Option<&'static str>) -> Vec<&'static str> {
    cell.unwrap_or("").split_whitespace().collect()
}
