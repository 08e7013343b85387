//! The same on MariaDB. It has no such ciphers itself: its values go to Postgres to be sealed and opened.

use std::process::Stdio;

use super::{NEW_KEYS, NEW_SECRET, done, rekey, variables};
use crate::app_db::{AppDb, Process, command, metaferry_with, psql, signal, told, wait_for};
use crate::encryption::{KEYS, SECRET, give_pgcrypto_of};
use crate::mariadb::{Database, Maria, With};

/// Table, column, key, which rows.
const COLUMNS: [(&str, &str, &str, &str); 8] = [
    ("metabase_database", "details", "id", "1 = 1"),
    ("metabase_database", "settings", "id", "settings IS NOT NULL"),
    ("core_user", "settings", "id", "settings IS NOT NULL"),
    ("channel", "details", "id", "1 = 1"),
    ("secret", "value", "id", "length(value) > 0"),
    (
        "setting",
        "value",
        "key",
        "`key` NOT IN ('settings-last-updated', 'encryption-check') AND value NOT IN ('true', 'false', '')",
    ),
    ("keyless", "c01", "n", "1 = 1"),
    ("composite", "c01", "two", "1 = 1"),
];

/// A column's values in hexadecimal digits, by key.
fn values(
    database: &Database<'_>,
    (table, column, key, only): (&str, &str, &str, &str),
) -> Vec<(String, String)> {
    let rows = database.ask(&format!(
        "SELECT `{key}`, hex(`{column}`) FROM {table} WHERE {only} ORDER BY `{key}`"
    ));
    rows.iter()
        .map(|row| row.split_once('\t').unwrap())
        .map(|(key, hex)| (key.to_owned(), hex.to_owned()))
        .collect()
}

/// What a column holds.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Bytes,
}

impl Form {
    fn of(table: &str, column: &str) -> Self {
        match (table, column) {
            ("secret", "value") => Self::Bytes,
            _ => Self::Text,
        }
    }
}

/// What pgcrypto makes of bytes, all given in hexadecimal digits.
fn by_postgres(
    postgres: &AppDb,
    function: &str,
    form: Form,
    hex: &[(String, String)],
) -> Vec<(String, String)> {
    if hex.is_empty() {
        return Vec::new();
    }
    let value = match form {
        Form::Bytes => format!("encode({function}(decode(hex, 'hex')), 'hex')"),
        Form::Text => {
            format!("encode(convert_to({function}(convert_from(decode(hex, 'hex'), 'UTF8')), 'UTF8'), 'hex')")
        }
    };
    let mut opened: Vec<(String, String)> = Vec::new();
    for some in hex.chunks(200) {
        let given: Vec<String> = some
            .iter()
            .map(|(key, hex)| format!("('{key}', '{hex}')"))
            .collect();
        let answer = psql(
            &postgres.url,
            &format!(
                "SELECT key || '=' || upper(coalesce({value}, '?')) FROM (VALUES {}) AS given (key, hex)",
                given.join(", ")
            ),
        );
        let pairs = answer.lines().map(|line| line.split_once('=').unwrap());
        opened.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    opened.sort();
    opened
}

fn sorted(mut values: Vec<(String, String)>) -> Vec<(String, String)> {
    values.sort();
    values
}

/// Plain values in every column, tables without a primary key and with one of two columns, and more rows than one
/// batch has; then all of it under the old key.
pub(super) fn encrypted<'a>(
    maria: &'a Maria,
    postgres: &AppDb,
) -> (Database<'a>, Vec<Vec<(String, String)>>) {
    let database = maria.database(With::Rows);
    database.ask(
        "UPDATE metabase_database SET details = concat('{\"host\":\"h', id, '\"}'), settings = concat('{\"a\":', id, '}');
         UPDATE core_user SET settings = concat('{\"b\":', id, '}');
         UPDATE secret SET value = concat('secret ', id);
         UPDATE setting SET value = concat('value of ', `key`) WHERE length(value) > 47;
         DELETE FROM setting WHERE `key` = 'encryption-check';
         INSERT INTO setting VALUES ('encryption-check', 'to be');
         UPDATE setting SET value = '2024-02-11 18:38:56' WHERE `key` = 'settings-last-updated';
         CREATE TABLE keyless (n int, c01 longtext);
         INSERT INTO keyless SELECT seq, concat('keyless ', seq) FROM seq_1_to_9;
         CREATE TABLE composite (one varchar(20), two int, c01 longtext,
             changed timestamp DEFAULT '2020-01-01' ON UPDATE current_timestamp, PRIMARY KEY (one, two));
         INSERT INTO composite (one, two, c01) SELECT concat('Key ', seq DIV 150), seq, concat('composite ', seq) FROM seq_1_to_600;",
    );
    let plain: Vec<_> = COLUMNS
        .iter()
        .map(|column| sorted(values(&database, *column)))
        .collect();
    for (column, values) in COLUMNS.iter().zip(&plain) {
        let (table, name, key, _) = *column;
        let sealed = by_postgres(postgres, "oracle.seal", Form::of(table, name), values);
        let updates: Vec<String> = sealed
            .iter()
            .map(|(at, hex)| {
                let kept = if table == "composite" {
                    ", changed = changed"
                } else {
                    ""
                };
                format!("UPDATE {table} SET `{name}` = unhex('{hex}'){kept} WHERE `{key}` = '{at}'")
            })
            .collect();
        for some in updates.chunks(200) {
            database.ask(&some.join(";"));
        }
    }
    let sentinel = psql(&postgres.url, "SELECT oracle.seal(gen_random_uuid()::text)");
    database.ask(&format!(
        "UPDATE setting SET value = '{sentinel}' WHERE `key` = 'encryption-check'"
    ));
    (database, plain)
}

fn opened(
    database: &Database<'_>,
    postgres: &AppDb,
    schema: &str,
    columns: &[(&str, &str, &str, &str)],
) -> Vec<Vec<(String, String)>> {
    let columns = columns.iter().map(|column| {
        by_postgres(
            postgres,
            &format!("{schema}.open"),
            Form::of(column.0, column.1),
            &values(database, *column),
        )
    });
    columns.collect()
}

#[test]
fn a_mariadb_app_db_is_under_the_new_key_or_as_it_was() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    give_pgcrypto_of(&postgres.url, "oracle", &KEYS);
    give_pgcrypto_of(&postgres.url, "renewed", &NEW_KEYS);
    let (database, plain) = encrypted(&maria, &postgres);
    assert_eq!(
        opened(&database, &postgres, "oracle", &COLUMNS),
        plain,
        "the fixture"
    );
    let tables = database.tables();
    let before = database.checksums(&tables);

    let wrong = rekey(
        Some("another horse, another staple"),
        Some(NEW_SECRET),
        &[&database.url()],
    );
    assert_eq!(wrong.status.code(), Some(3), "{}", told(&wrong));
    assert!(
        told(&wrong).contains("is not the key of this app DB"),
        "{}",
        told(&wrong)
    );
    let tried = done(&rekey(
        Some(SECRET),
        Some(NEW_SECRET),
        &[&database.url(), "--dry-run"],
    ));
    assert_eq!(database.checksums(&tables), before);

    // A row of the table that comes last takes a minute; the program is killed in it.
    database.ask(
        "CREATE TRIGGER slow BEFORE UPDATE ON setting FOR EACH ROW
             SET @slept = IF(new.`key` = 'site-url' OR new.`key` = 'encryption-check', SLEEP(60), 0)",
    );
    let mut child = command()
        .envs(variables(Some(SECRET), Some(NEW_SECRET)))
        .args(["rekey", &database.url()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Process)
        .unwrap();
    let sleeps =
        "SELECT id FROM information_schema.processlist WHERE db = database() AND state = 'User sleep'";
    wait_for("it is in the middle", || !database.ask(sleeps).is_empty());
    let session = database.ask(sleeps).concat();
    signal("KILL", child.0.id());
    assert!(!child.0.wait().unwrap().success());
    // The server would notice when the row is written.
    database.ask(&format!("KILL {session}"));
    wait_for("the server has noticed", || database.ask(sleeps).is_empty());
    database.ask("DROP TRIGGER slow");
    assert_eq!(database.checksums(&tables), before);
    assert_eq!(opened(&database, &postgres, "oracle", &COLUMNS), plain);

    let report = done(&rekey(Some(SECRET), Some(NEW_SECRET), &[&database.url()]));
    assert_eq!(report["columns"], tried["columns"]);
    assert_eq!(opened(&database, &postgres, "renewed", &COLUMNS), plain);
    let changed = [
        "metabase_database",
        "core_user",
        "channel",
        "secret",
        "setting",
        "keyless",
        "composite",
        "query_cache",
    ];
    let after = database.checksums(&tables);
    for (before, after) in before.iter().zip(&after) {
        let table = before.split('\t').next().unwrap();
        assert!(before == after || changed.contains(&table), "{before} {after}");
    }
    // A time that the server sets whenever a row changes is nobody's change.
    assert_eq!(
        database.ask("SELECT DISTINCT changed FROM composite"),
        ["2020-01-01 00:00:00"]
    );
    assert_eq!(database.ask("SELECT count(*) FROM query_cache"), ["0"]);
    let sentinel = database
        .ask("SELECT value FROM setting WHERE `key` = 'encryption-check'")
        .concat();
    assert_eq!(
        psql(
            &postgres.url,
            &format!(
                "SELECT length(renewed.open('{sentinel}')) || '|' || (oracle.open('{sentinel}') IS NULL)"
            )
        ),
        "36|true"
    );
    assert_eq!(
        database
            .ask("SELECT value > '2024-02-11 18:38:56' FROM setting WHERE `key` = 'settings-last-updated'"),
        ["1"]
    );

    let report = done(&rekey(Some(NEW_SECRET), Some(""), &[&database.url()]));
    assert_eq!(report["change"], "decrypted");
    let held: Vec<_> = COLUMNS
        .iter()
        .map(|column| sorted(values(&database, *column)))
        .collect();
    assert_eq!(held, plain);
    assert_eq!(
        database.ask("SELECT count(*) FROM setting WHERE `key` = 'encryption-check'"),
        ["0"]
    );
}

/// Into an empty database, and into one that Metabase has set up.
#[test]
fn an_encrypted_mariadb_app_db_is_dumped_plain_and_loaded_under_another_key() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    give_pgcrypto_of(&postgres.url, "oracle", &KEYS);
    give_pgcrypto_of(&postgres.url, "renewed", &NEW_KEYS);
    let (database, plain) = encrypted(&maria, &postgres);
    // A dump empties the details of a sample and of the hosted warehouse.
    database.ask("UPDATE metabase_database SET engine = 'postgres', is_attached_dwh = 0");
    let file = postgres.file();
    let file = file.to_str().unwrap();
    let with = |key, arguments: &[&str]| metaferry_with(&variables(Some(key), None), arguments);
    done(&with(
        SECRET,
        &[
            "--json",
            "dump",
            "--from",
            &database.url(),
            "--to",
            file,
            "--plaintext",
        ],
    ));
    for target in [With::Nothing, With::Schema] {
        // Somebody's own tables, which a Metabase that is set up does not have.
        let own: &[&str] = match target {
            With::Schema => &["--exclude", "keyless", "--exclude", "composite"],
            With::Nothing | With::Rows => &[],
        };
        let target = maria.database(target);
        let to = target.url();
        let load = ["--json", "load", "--from", file, "--to", &to, "--encrypt"];
        done(&with(NEW_SECRET, &[&load[..], own].concat()));
        // Nobody knows of those in somebody's own tables that they are secrets.
        let (columns, plain_columns) = COLUMNS.split_at(COLUMNS.len() - 2);
        assert_eq!(
            opened(&target, &postgres, "renewed", columns),
            plain[..columns.len()]
        );
        if own.is_empty() {
            let held = plain_columns
                .iter()
                .map(|column| sorted(values(&target, *column)));
            assert_eq!(held.collect::<Vec<_>>(), plain[columns.len()..]);
        }
        let sentinel = target
            .ask("SELECT value FROM setting WHERE `key` = 'encryption-check'")
            .concat();
        let length = psql(
            &postgres.url,
            &format!("SELECT length(renewed.open('{sentinel}'))"),
        );
        assert_eq!(length, "36");
    }
}
