//! Files that a running H2 writes at full speed: every snapshot is one committed state, nothing is locked or written.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use metaferry_h2_file::{Database, Health, ReadError, Text, Value};

const JAR_VARIABLE: &str = "METAFERRY_TEST_H2_JAR";
/// How many snapshots; unset, a short form.
const SNAPSHOTS_VARIABLE: &str = "METAFERRY_TEST_HOT_SNAPSHOTS";
const SNAPSHOTS_SHORT: u32 = 20;
/// A snapshot that was overwritten is taken again so often. What is judged is what a snapshot shows, not who is faster: where
/// space is used again at once, a reader without optimisation may be overtaken many times in a row.
const ATTEMPTS_MAX: u32 = 2_000;

/// A Java process that writes.
struct Writer {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Writer {
    fn start(jar: &Path, folder: &Path, retention_ms: u32) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hot_read/HotWriter.java");
        let compiled = Command::new("javac")
            .args(["-nowarn", "-cp"])
            .arg(jar)
            .arg("-d")
            .arg(folder)
            .arg(source)
            .status();
        assert!(compiled.expect("javac must be on the PATH").success());
        let mut class_path = jar.as_os_str().to_owned();
        class_path.push(":");
        class_path.push(folder);
        let url = format!("jdbc:h2:file:{};WRITE_DELAY=10", folder.join("hot").display());
        let mut child = Command::new("java")
            .args(["-ea", "-Xmx512m", "-XX:+UseSerialGC", "-cp"])
            .arg(class_path)
            .args(["HotWriter", &url, &retention_ms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java must be on the PATH");
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the writer did not start");
        Self { child, said }
    }

    /// Ends it; it must have written until now, and without an error.
    fn end(mut self) -> String {
        assert!(self.child.try_wait().unwrap().is_none(), "the writer ended early");
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "the writer failed");
        rest
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn integer(value: &Value<'_>) -> i64 {
    match value {
        Value::Integer(value) => i64::from(*value),
        Value::BigInt(value) => *value,
        other => panic!("{other:?} is no integer"),
    }
}

fn text<'v>(value: &'v Value<'_>) -> &'v str {
    match value {
        Value::Varchar(Text::Utf8(text)) | Value::Clob(Text::Utf8(text)) => text,
        other => panic!("{other:?} is no text"),
    }
}

fn each_row(database: &Database, table: &str, mut each: impl FnMut(&[Value<'_>])) -> Result<u64, ReadError> {
    let table = database
        .table("PUBLIC", table)
        .expect("every version has all tables");
    let mut rows = database.rows(table);
    let mut count = 0;
    while let Some(row) = rows.next_row()? {
        each(&row.values);
        count += 1;
    }
    assert_eq!(database.row_count(table)?, count);
    Ok(count)
}

/// What a snapshot held, in numbers that grow while the writer works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Progress {
    last_entry: i64,
    last_parent: i64,
}

/// What is read of one version. Nothing is judged before it is known to be of one version.
#[derive(Default)]
struct Seen {
    accounts: BTreeMap<i64, i64>,
    entries: Vec<(i64, i64, i64, i64)>,
    ledger: Vec<(i64, i64)>,
    parents: BTreeMap<i64, i64>,
    children: Vec<(i64, i64, String)>,
    texts: Vec<(i64, i64, String)>,
    index: Vec<(i64, i64, i64)>,
}

fn read(database: &Database) -> Result<Seen, ReadError> {
    let mut seen = Seen::default();
    // Children first: what comes later must not be of a later version.
    each_row(database, "CHILD", |row| {
        seen.children
            .push((integer(&row[0]), integer(&row[1]), text(&row[2]).to_owned()));
    })?;
    each_row(database, "ENTRY", |row| {
        seen.entries.push((
            integer(&row[0]),
            integer(&row[1]),
            integer(&row[2]),
            integer(&row[3]),
        ));
    })?;
    each_row(database, "TEXT", |row| {
        seen.texts
            .push((integer(&row[0]), integer(&row[1]), text(&row[2]).to_owned()));
    })?;
    each_row(database, "ACCOUNT", |row| {
        seen.accounts.insert(integer(&row[0]), integer(&row[1]));
    })?;
    each_row(database, "LEDGER", |row| {
        seen.ledger.push((integer(&row[1]), integer(&row[2])));
    })?;
    each_row(database, "PARENT", |row| {
        seen.parents.insert(integer(&row[0]), integer(&row[1]));
    })?;
    let index = database
        .indexes()
        .iter()
        .find(|index| index.name == "ENTRY_AMOUNT");
    let mut entries = database.index_entries(index.unwrap())?.unwrap();
    while let Some(entry) = entries.next_entry()? {
        seen.index.push((
            integer(&entry.values[0]),
            integer(&entry.values[1]),
            entry.row_key,
        ));
    }
    Ok(seen)
}

impl Seen {
    fn judge(&self) -> Progress {
        assert_eq!(self.accounts.len(), 40);
        let [(total, entries)] = self.ledger[..] else {
            panic!("the ledger has {} rows", self.ledger.len());
        };
        assert_eq!(
            i64::try_from(self.entries.len()),
            Ok(entries),
            "entries as counted"
        );
        assert_eq!(self.accounts.values().sum::<i64>(), total, "balances as totalled");
        for (before, after) in self.entries.iter().zip(&self.entries[1..]) {
            assert_eq!(before.3 + after.2, after.3, "running total at entry {}", after.0);
        }
        assert_eq!(
            self.entries.last().map(|entry| entry.3),
            Some(total),
            "the last running total"
        );
        for (id, account, ..) in &self.entries {
            assert!(self.accounts.contains_key(account), "entry {id} has an account");
        }
        let mut from_rows: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (entry.2, entry.1, entry.0))
            .collect();
        from_rows.sort_unstable();
        assert_eq!(self.index, from_rows, "the index is that of the table");

        let mut counted: BTreeMap<i64, i64> = BTreeMap::new();
        for (parent, number, body) in &self.children {
            assert!(
                self.parents.contains_key(parent),
                "child {number} of {parent} has a parent"
            );
            *counted.entry(*parent).or_default() += 1;
            let unit = format!("child {number} of {parent};");
            assert!(body == "late" || body.replace(&unit, "").is_empty(), "{body}");
        }
        for (parent, children) in &self.parents {
            assert_eq!(
                counted.get(parent).copied().unwrap_or(0),
                *children,
                "children of {parent}"
            );
        }

        assert!(!self.texts.is_empty());
        for (id, length, body) in &self.texts {
            assert_eq!(i64::try_from(body.len()), Ok(*length), "length of text {id}");
            let unit = body.split_inclusive('|').next().unwrap_or_default();
            let own = format!("{id}.");
            assert!(
                unit.starts_with(&own) || own.starts_with(unit),
                "text {id} is its own"
            );
            let whole = unit.repeat(body.len() / unit.len().max(1) + 1);
            assert!(whole.starts_with(body.as_str()), "text {id} is of one piece");
        }
        Progress {
            last_entry: self.entries.last().map_or(0, |entry| entry.0),
            last_parent: self.parents.keys().last().copied().unwrap_or(0),
        }
    }
}

/// One snapshot, taken again while it is overwritten. Gives how often.
fn snapshot(file: &Path) -> (Progress, u32) {
    for attempt in 0..ATTEMPTS_MAX {
        let again = |error: ReadError| match error {
            ReadError::Overwritten { .. } | ReadError::Torn { .. } | ReadError::KeepsChanging { .. } => {}
            other => panic!("attempt {attempt}: {other}: {other:?}"),
        };
        let database = match Database::open(file) {
            Ok(database) => database,
            Err(error) => {
                again(error);
                continue;
            }
        };
        assert!(matches!(
            database.facts().health,
            Health::Recovered | Health::FellBack
        ));
        let seen = match read(&database) {
            Ok(seen) => seen,
            Err(error) => {
                again(error);
                continue;
            }
        };
        match database.confirm() {
            Ok(()) => return (seen.judge(), attempt),
            Err(error) => again(error),
        }
    }
    panic!("overwritten {ATTEMPTS_MAX} times in a row");
}

fn jar() -> Option<PathBuf> {
    let jar = std::env::var_os(JAR_VARIABLE).map(PathBuf::from);
    if jar.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {JAR_VARIABLE} is not set, so no H2 writes while a file is read"
        );
    }
    jar
}

fn snapshots() -> u32 {
    std::env::var(SNAPSHOTS_VARIABLE).map_or(SNAPSHOTS_SHORT, |count| {
        count.parse().expect("a number of snapshots")
    })
}

fn snapshots_while_written(retention_ms: u32) {
    let Some(jar) = jar() else { return };
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::start(&jar, folder.path(), retention_ms);
    let file = folder.path().join("hot.mv.db");
    let began = Instant::now();
    let (mut restarts, mut moved, mut slowest) = (0, 0, Duration::ZERO);
    let mut last = None;
    for _ in 0..snapshots() {
        let started = Instant::now();
        let (progress, again) = snapshot(&file);
        slowest = slowest.max(started.elapsed());
        restarts += again;
        // Later snapshots show later states, and most of them newer ones.
        if let Some(last) = last {
            assert!(progress >= last, "{progress:?} after {last:?}");
            moved += u32::from(progress > last);
        }
        last = Some(progress);
    }
    let bytes = std::fs::metadata(&file).unwrap().len();
    let done = writer.end();
    let _ = writeln!(
        std::io::stderr(),
        "{} snapshots in {:?}, {moved} of newer states, {restarts} restarts, slowest {slowest:?}, {bytes} bytes; {done}",
        snapshots(),
        began.elapsed()
    );
    assert!(moved > snapshots() / 2, "the writer hardly wrote: {moved}");
    // Closed, it reads the same way.
    let database = Database::open(&file).unwrap();
    assert_eq!(database.facts().health, Health::Closed);
    read(&database).unwrap().judge();
}

#[test]
fn snapshots_of_a_file_in_full_use_are_committed_states() {
    // H2's own default: what is dead stays for 45 seconds.
    snapshots_while_written(45_000);
}

#[test]
fn snapshots_of_a_file_whose_space_is_used_again_at_once_are_committed_states() {
    snapshots_while_written(0);
}
