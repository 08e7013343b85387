//! `dump`, `load`, `copy` and `verify` on MariaDB, on the real binary. What MariaDB holds afterwards is judged by its own
//! `CHECKSUM TABLE`, beside the fixture that its own client loaded.

mod behaviour;
mod check;
mod duplicates;
mod endings;
pub(crate) mod enforced;
mod killed;
mod pairs;
mod restored;
mod schema;
mod views;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::app_db::{AppDb, Process, command, ended, listen, metaferry, psql, told, wait_for};
use crate::load::schema::the_list_explains;
use crate::load::{copy as copy_between, done};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Tables that a copy changes or does not touch: details of databases that do not go along, the read-only setting, and
/// the target's own history.
const CHANGED: [&str; 4] = [
    "metabase_database",
    "setting",
    "databasechangelog",
    "databasechangeloglock",
];

/// MariaDB, the fixtures, and a folder.
pub(crate) struct Maria {
    server: String,
    fixtures: PathBuf,
    pub(crate) folder: tempfile::TempDir,
}

/// A database that this test made; it ends with it.
pub(crate) struct Database<'a> {
    maria: &'a Maria,
    pub(crate) name: String,
}

/// How it is filled.
#[derive(Clone, Copy)]
pub(crate) enum With {
    /// As Metabase's migrations leave it.
    Schema,
    /// All rows of the fixture.
    Rows,
    Nothing,
}

impl Maria {
    /// `None`, said aloud, where something is missing.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    pub(crate) fn new() -> Option<Self> {
        let Ok(url) = std::env::var("METAFERRY_TEST_MARIADB_URL") else {
            eprintln!("SKIPPED: METAFERRY_TEST_MARIADB_URL names no MariaDB server");
            return None;
        };
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        let shared = std::env::var_os("METAFERRY_SHARED").map_or(root, PathBuf::from);
        let fixtures = shared.join("fixtures/appdb");
        if !fixtures.is_dir() {
            eprintln!(
                "SKIPPED: no fixtures in {} (METAFERRY_SHARED)",
                fixtures.display()
            );
            return None;
        }
        let (server, _) = url.rsplit_once('/').unwrap();
        Some(Self {
            server: server.to_owned(),
            fixtures,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    pub(crate) fn database(&self, with: With) -> Database<'_> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("metaferry_it_{}_{number}", std::process::id());
        let database = Database { maria: self, name };
        self.client(
            "",
            &format!(
                "CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
                database.name
            ),
        );
        let script = match with {
            With::Nothing => "true",
            With::Schema => {
                "cat mariadb-schema.sql mariadb-changelog.sql | mariadb --no-defaults --init-command='SET SESSION foreign_key_checks=0' \"$@\""
            }
            With::Rows => "gunzip -c appdb-s001.mariadb.sql.gz | mariadb --no-defaults \"$@\"",
        };
        let filled = Command::new("sh")
            .current_dir(&self.fixtures)
            .args(["-ec", script, "fill"])
            .args(self.arguments())
            .arg(&database.name)
            .output()
            .unwrap();
        assert!(filled.status.success(), "{}", told(&filled));
        database
    }

    /// A database with the rows of scale 1 by the fixtures' generator.
    fn generated(&self) -> Database<'_> {
        let database = self.database(With::Schema);
        let filled = Command::new("sh")
            .current_dir(&self.fixtures)
            .args([
                "-ec",
                "rows=$1; shift
                 PYTHONDONTWRITEBYTECODE=1 python3 appdb_seed.py --scale 1 --target mariadb --no-checksums --out \"$rows\"
                 mariadb --no-defaults --local-infile=1 \"$@\" < \"$rows/load.sql\"
                 rm -r \"$rows\"",
                "fill",
            ])
            .arg(self.folder.path().join("rows"))
            .args(self.arguments())
            .arg(&database.name)
            .output()
            .unwrap();
        assert!(filled.status.success(), "{}", told(&filled));
        database
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let (user, place) = self
            .server
            .trim_start_matches("mysql://")
            .split_once('@')
            .unwrap();
        let (host, port) = place.split_once(':').unwrap();
        let user = user.split(':').next().unwrap();
        vec![
            format!("--host={host}"),
            format!("--port={port}"),
            format!("--user={user}"),
        ]
    }

    fn client(&self, database: &str, sql: &str) -> Vec<String> {
        let answer = Command::new("mariadb")
            .arg("--no-defaults")
            .args(self.arguments())
            .args(["--skip-column-names", "--execute", sql])
            .args(Some(database).filter(|name| !name.is_empty()))
            .output()
            .unwrap();
        assert!(answer.status.success(), "{sql}: {}", told(&answer));
        let text = String::from_utf8(answer.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Database<'_> {
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.maria.server, self.name)
    }

    /// For its own JDBC driver: URL and user.
    pub(crate) fn jdbc(&self) -> (String, String) {
        let server = self.maria.server.trim_start_matches("mysql://");
        let (user, place) = server.split_once('@').unwrap();
        let url = format!(
            "jdbc:mariadb://{place}/{}?sessionVariables=time_zone='+00:00'",
            self.name
        );
        (url, user.split(':').next().unwrap().to_owned())
    }

    pub(crate) fn ask(&self, sql: &str) -> Vec<String> {
        self.maria.client(&self.name, sql)
    }

    /// Another session that does this in a transaction, and keeps the transaction open.
    pub(crate) fn hold(&self, sql: &str) -> Held<'_> {
        let holding = Command::new("mariadb")
            .arg("--no-defaults")
            .args(self.maria.arguments())
            .arg(&self.name)
            .args([
                "--execute",
                &format!("START TRANSACTION; {sql}; DO GET_LOCK({HELD}, 0); DO SLEEP(600)"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let held = Held {
            database: self,
            _holding: Process(holding),
        };
        wait_for("it is held", || {
            self.ask(&format!("SELECT IS_USED_LOCK({HELD}) IS NOT NULL")) == ["1"]
        });
        held
    }

    /// What the server itself thinks of tables' rows, by table.
    pub(crate) fn checksums(&self, tables: &[String]) -> Vec<String> {
        let tables: Vec<String> = tables.iter().map(|table| format!("`{table}`")).collect();
        let lines = self.ask(&format!("CHECKSUM TABLE {} EXTENDED", tables.join(", ")));
        lines
            .iter()
            .map(|line| line.trim_start_matches(&format!("{}.", self.name)).to_owned())
            .collect()
    }

    /// All tables.
    pub(crate) fn tables(&self) -> Vec<String> {
        self.ask("SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_type = 'BASE TABLE' ORDER BY 1")
    }
}

/// By which the session is found that [`Database::hold`] has begun.
const HELD: &str = "concat('test ', database())";

/// A transaction of another session; it ends with this.
pub(crate) struct Held<'a> {
    database: &'a Database<'a>,
    _holding: Process,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.database.ask(&format!(
            "EXECUTE IMMEDIATE concat('KILL ', IS_USED_LOCK({HELD}))"
        ));
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let dropped = Command::new("mariadb")
            .arg("--no-defaults")
            .args(self.maria.arguments())
            .args(["--execute", &format!("DROP DATABASE {}", self.name)])
            .output();
        assert!(std::thread::panicking() || dropped.is_ok_and(|dropped| dropped.status.success()));
    }
}

/// Names of the tables that a report says were carried.
fn carried(json: &serde_json::Value) -> Vec<String> {
    let tables = json["tables"].as_array().unwrap();
    tables
        .iter()
        .map(|table| table["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn mariadb_to_h2_and_back_holds_the_same_rows() {
    let Some(maria) = Maria::new() else { return };
    let (from, to) = (maria.database(With::Rows), maria.database(With::Schema));
    // A row that Metabase's own migrations leave, and one that nothing else has.
    to.ask("INSERT INTO permissions_group (name) VALUES ('seeded')");
    let file = maria.folder.path().join("app-db.mv.db");
    let file = file.to_str().unwrap();
    let (dumped, code) = ended(&metaferry(&[
        "--json",
        "dump",
        "--from",
        &from.url(),
        "--to",
        file,
    ]));
    assert_eq!(code, 0, "{dumped}");
    assert_eq!(carried(&dumped).len(), 61);
    assert_eq!(dumped["notes"], serde_json::json!([]));
    let (loaded, code) = ended(&metaferry(&["--json", "load", "--from", file, "--to", &to.url()]));
    assert_eq!(code, 0, "{loaded}");
    let same: Vec<String> = carried(&dumped)
        .into_iter()
        .filter(|table| !CHANGED.contains(&table.as_str()))
        .collect();
    assert!(same.len() > 55, "{same:?}");
    assert_eq!(to.checksums(&same), from.checksums(&same));
    let verified = metaferry(&["verify", "--left", &from.url(), "--right", &to.url()]);
    assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
    // Whoever comes next gets a key of his own.
    assert_eq!(
        to.ask("INSERT INTO core_user (email, password) VALUES ('new@example.org', 'x'); SELECT last_insert_id() > 13371338"),
        ["1"]
    );
}

#[test]
fn postgres_and_mariadb_hold_the_same_and_copies_of_each_other() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    let (rows, to) = (maria.database(With::Rows), maria.database(With::Schema));
    let (same, code) = ended(&metaferry(&[
        "--json",
        "verify",
        "--raw",
        "--left",
        &postgres.url,
        "--right",
        &rows.url(),
    ]));
    let unequal: Vec<&str> = same["tables"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|table| table["equal"] != true)
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        (unequal, code),
        (vec!["databasechangelog"], 4),
        "each has its own history"
    );

    let (copied, code) = ended(&metaferry(&[
        "--json",
        "copy",
        "--from",
        &postgres.url,
        "--to",
        &to.url(),
    ]));
    assert_eq!(code, 0, "{copied}");
    let tables: Vec<String> = carried(&copied)
        .into_iter()
        .filter(|table| !CHANGED.contains(&table.as_str()))
        .collect();
    assert!(tables.len() > 55, "{tables:?}");
    assert_eq!(to.checksums(&tables), rows.checksums(&tables));
}

/// Every difference between what a copy from MariaDB makes and what Metabase's own migrations make on Postgres, with its
/// reason.
const POSTGRES_DIFFERENCES: &str = include_str!("../data/postgres_from_mariadb_differences.txt");

#[test]
fn a_schema_from_mariadb_is_metabases_own_on_postgres_but_for_what_the_list_explains() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    let from = maria.database(With::Rows);
    let target = postgres.empty_beside();
    done(&copy_between(&from.url(), &target.url, &[]));
    the_list_explains(&postgres, &target, POSTGRES_DIFFERENCES);
}

/// A name, a generated column or a table without columns that MySQL cannot have made the whole copy impossible.
#[test]
fn somebodys_table_that_mariadb_cannot_have_is_left_out_where_asked() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    let long = "l".repeat(63);
    psql(
        &postgres.url,
        &format!(
            "CREATE TABLE nothing_in_it ();
             CREATE TABLE odd (id int PRIMARY KEY, total text GENERATED ALWAYS AS (to_hex(id)) STORED);
             INSERT INTO odd VALUES (1);
             CREATE TABLE of_odd (id int PRIMARY KEY, odd int REFERENCES odd, at timestamptz);
             INSERT INTO of_odd VALUES (7, 1, '2037-01-01 00:00:00+00');
             CREATE VIEW seen AS SELECT of_odd.id, odd.total FROM of_odd JOIN odd ON odd.id = of_odd.odd;
             CREATE VIEW {long} AS SELECT id FROM seen"
        ),
    );
    let to = maria.database(With::Nothing);
    let excluding = |names: &[&str]| {
        let options: Vec<&str> = names.iter().flat_map(|name| ["--exclude", *name]).collect();
        copy_between(&postgres.url, &to.url(), &options)
    };
    let refused = excluding(&["nothing_in_it"]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("odd, column total"), "{}", told(&refused));
    assert_eq!(to.tables(), [""; 0]);
    let copied = done(&excluding(&["nothing_in_it", "odd"]));
    for note in [
        "foreign key of_odd_odd_fkey of table of_odd is left out with table odd".to_owned(),
        "view seen is left out with odd".to_owned(),
        format!("view {long} is left out with seen"),
    ] {
        assert!(
            copied["notes"]
                .as_array()
                .unwrap()
                .contains(&note.as_str().into()),
            "{copied}"
        );
    }
    assert_eq!(to.ask("SELECT id, odd IS NULL FROM of_odd"), ["7\t1"]);
    let there = to.tables();
    assert!(!there.contains(&"odd".to_owned()), "{there:?}");
    assert!(there.contains(&"report_card".to_owned()), "{there:?}");
    // An empty Postgres likewise.
    let empty = postgres.empty_beside();
    done(&copy_between(&postgres.url, &empty.url, &["--exclude", "odd"]));
    assert_eq!(psql(&empty.url, "SELECT count(*) FROM of_odd"), "1");
    assert_eq!(
        psql(&empty.url, "SELECT coalesce(to_regclass('odd')::text, '')"),
        ""
    );
}

/// The server said so itself, of a table by a name that nobody knows.
#[test]
fn moments_that_mariadb_has_no_timestamp_for_are_named_with_their_row() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    for with in [With::Nothing, With::Schema] {
        let to = maria.database(with);
        let given = |moment: &str| {
            let update = format!("UPDATE report_card SET created_at = '{moment}' WHERE id = 3");
            psql(&postgres.url, &update);
            copy_between(&postgres.url, &to.url(), &["--force"])
        };
        // In one transaction another table may be the first to say that the session has ended.
        let refused = match with {
            With::Nothing => &["2038-01-19 03:14:08+00", "1970-01-01 00:00:00+00"][..],
            With::Schema | With::Rows => &[],
        };
        for beyond in refused {
            let refused = given(beyond);
            assert_ne!(refused.status.code(), Some(0), "{beyond}");
            let said = told(&refused);
            let named = format!(
                "table report_card, column created_at, row id = 3: {}",
                &beyond[..19]
            );
            assert!(said.contains(&named), "{said}");
        }
        for (within, shown) in [
            ("2038-01-19 03:14:07+00", "2147483647"),
            ("1970-01-01 00:00:01+00", "1"),
        ] {
            done(&given(within));
            let seconds = to.ask("SELECT floor(unix_timestamp(created_at)) FROM report_card WHERE id = 3");
            assert_eq!(seconds, [shown], "{within}");
        }
    }
}

#[test]
fn an_empty_postgres_is_filled_from_mariadb_with_every_view() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    let from = maria.database(With::Rows);
    let empty = format!("{}_from_mariadb", postgres.database);
    psql(&postgres.url, &format!("CREATE DATABASE {empty}"));
    let to = format!("{}_from_mariadb", postgres.url);
    let (copied, code) = ended(&metaferry(&[
        "--json",
        "copy",
        "--from",
        &from.url(),
        "--to",
        &to,
    ]));
    let verified = metaferry(&["verify", "--left", &from.url(), "--right", &to]);
    let views = "SELECT count(*) FROM pg_views WHERE schemaname = 'public'";
    let seen = [
        views,
        "SELECT count(*) FROM v_alerts",
        "SELECT count(*) FROM v_users",
    ]
    .map(|question| psql(&to, question));
    psql(&postgres.url, &format!("DROP DATABASE {empty} WITH (FORCE)"));
    assert_eq!(code, 0, "{copied}");
    assert_eq!(copied["notes"], serde_json::json!([]), "nothing is left out");
    assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
    assert_eq!(seen[0], "13");
    for (seen, view) in seen[1..].iter().zip(["v_alerts", "v_users"]) {
        let here = from.ask(&format!("SELECT count(*) FROM {view}"));
        assert_eq!([seen.clone()].to_vec(), here, "{view}");
    }
}

#[test]
fn what_must_not_be_overwritten_or_cannot_hold_is_refused_and_stays() {
    let Some(maria) = Maria::new() else { return };
    let (from, to) = (maria.database(With::Rows), maria.database(With::Schema));
    let copy = |to: &Database<'_>, more: &[&str]| {
        let (from, to) = (from.url(), to.url());
        let arguments = [&["copy", "--from", &from, "--to", &to][..], more].concat();
        metaferry(&arguments)
    };
    let refused = |to: &Database<'_>, code: i32, says: &str| {
        let tables = to.tables();
        let before = to.checksums(&tables);
        let ended = copy(to, &[]);
        assert_eq!(ended.status.code(), Some(code), "{}", told(&ended));
        assert!(told(&ended).contains(says), "{says}: {}", told(&ended));
        assert_eq!(to.checksums(&tables), before, "{says}");
    };

    to.ask("ALTER TABLE report_card CONVERT TO CHARACTER SET utf8mb3");
    refused(&to, 3, "report_card (utf8mb3)");
    to.ask("ALTER TABLE report_card CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci");

    to.ask("ALTER TABLE report_card DROP COLUMN card_schema");
    refused(&to, 3, "report_card (card_schema)");
    to.ask("ALTER TABLE report_card ADD COLUMN card_schema int NOT NULL DEFAULT 20");

    // Rows that break a key are seen before anybody else sees them.
    from.ask("SET foreign_key_checks = 0; UPDATE report_card SET creator_id = 4711 WHERE id = 3");
    refused(&to, 1, "fk_card_ref_user_id of table report_card (1 rows");
    from.ask("UPDATE report_card SET creator_id = (SELECT min(id) FROM core_user) WHERE id = 3");

    let copied = copy(&to, &[]);
    assert_eq!(copied.status.code(), Some(0), "{}", told(&copied));
    refused(&to, 3, "--force");
    let forced = copy(&to, &["--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", told(&forced));

    let strangers = maria.database(With::Nothing);
    strangers.ask("CREATE TABLE somebodys (id int PRIMARY KEY); INSERT INTO somebodys VALUES (1)");
    refused(&strangers, 3, "somebodys");
}

#[test]
fn texts_of_every_kind_come_through_whatever_the_servers_mode() {
    let Some(maria) = Maria::new() else { return };
    let (from, to) = (maria.database(With::Rows), maria.database(With::Schema));
    from.ask(
        r#"UPDATE setting SET value = concat('it''s \\ "', char(0), char(10), char(26), ' % _ 😀 \'') WHERE `key` =
             (SELECT * FROM (SELECT min(`key`) FROM setting) first);
           UPDATE report_card SET description = repeat('0123456789abcde\'', 200000) WHERE id = 1"#,
    );
    let mode = Mode::set(&maria, "NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT");
    let copied = metaferry(&["copy", "--from", &from.url(), "--to", &to.url()]);
    drop(mode);
    assert_eq!(copied.status.code(), Some(0), "{}", told(&copied));
    let tables = ["setting", "report_card"].map(str::to_owned);
    let sums = |database: &Database<'_>| {
        let texts =
            "SELECT md5(group_concat(value ORDER BY `key`)) FROM setting WHERE `key` <> 'read-only-mode'";
        [database.ask(texts), database.checksums(&tables[1..])].concat()
    };
    assert_eq!(sums(&to), sums(&from));
}

/// The whole server's mode, as it was before once this is dropped: also by a panic.
struct Mode<'a> {
    maria: &'a Maria,
    before: String,
}

impl<'a> Mode<'a> {
    fn set(maria: &'a Maria, mode: &str) -> Self {
        let before = maria.client("", "SELECT @@GLOBAL.sql_mode").concat();
        let mode_before = Self { maria, before };
        maria.client("", &format!("SET GLOBAL sql_mode = '{mode}'"));
        mode_before
    }
}

impl Drop for Mode<'_> {
    fn drop(&mut self) {
        let restored = Command::new("mariadb")
            .arg("--no-defaults")
            .args(self.maria.arguments())
            .args(["--execute", &format!("SET GLOBAL sql_mode = '{}'", self.before)])
            .output();
        assert!(std::thread::panicking() || restored.is_ok_and(|restored| restored.status.success()));
    }
}

#[test]
fn a_mariadb_app_db_is_migrated_and_left_as_it_was() {
    let Some(maria) = Maria::new() else { return };
    let from = maria.database(With::Rows);
    from.ask(
        "UPDATE setting SET value = 'false' WHERE `key` = 'read-only-mode';
         UPDATE setting SET value = '2026-01-01 00:00:00' WHERE `key` = 'settings-last-updated';
         DELETE FROM QRTZ_FIRED_TRIGGERS",
    );
    let looks = "SELECT trigger_name, trigger_state FROM QRTZ_TRIGGERS ORDER BY 1, 2;
         SELECT value FROM setting WHERE `key` = 'read-only-mode'; SELECT * FROM QRTZ_PAUSED_TRIGGER_GRPS";
    let before = from.ask(looks);
    let data = maria.folder.path().join("store");
    let (_store, store) = listen(
        command().arg("store").arg("--data").arg(data),
        &maria.folder.path().join("store.log"),
    );
    let url = url_parts(&from);
    let migrated = command()
        .args(["--json", "migrate", "--yes"])
        .env("MB_DB_TYPE", "mysql")
        .envs(url)
        .env("MB_STORE_API_URL", store)
        .env("METAFERRY_DATA_DIR", maria.folder.path().join("data"))
        .env("METAFERRY_METABASE_VERSION", "v0.55.3")
        .output()
        .unwrap();
    let (json, code) = ended(&migrated);
    assert_eq!(code, 0, "{}", told(&migrated));
    assert_eq!(carried(&json).len(), 61);
    assert_eq!(from.ask(looks), before);
    assert_eq!(
        from.ask("SELECT state, progress FROM cloud_migration ORDER BY id DESC LIMIT 1"),
        ["done\t100"]
    );
    // Two switches of the setting, each a second later than what was there.
    assert_eq!(
        from.ask("SELECT value FROM setting WHERE `key` = 'settings-last-updated'"),
        ["2026-01-01 00:00:02"]
    );
}

/// The variables by which Metabase finds the database.
fn url_parts(database: &Database<'_>) -> Vec<(&'static str, String)> {
    let value = |name: &str| {
        let prefix = format!("--{name}=");
        let arguments = database.maria.arguments();
        let found = arguments
            .iter()
            .find_map(|argument| argument.strip_prefix(&prefix));
        found.unwrap().to_owned()
    };
    vec![
        ("MB_DB_HOST", value("host")),
        ("MB_DB_PORT", value("port")),
        ("MB_DB_USER", value("user")),
        ("MB_DB_DBNAME", database.name.clone()),
    ]
}
