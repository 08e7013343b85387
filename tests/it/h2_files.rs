//! `inspect`, `dump` and `verify` on H2 files of every age and state, and on one that H2 is writing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::api::network::Network;
use crate::app_db::{AppDb, command, ended, metaferry, metaferry_with, told};

const PASSWORD: &str = "METAFERRY_H2_FILE_PASSWORD";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../crates/h2-file/tests/data/{name}.mv.db"))
}

/// The text of a path, for a command line.
fn argument(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn inspect(variables: &[(&str, &str)], file: &Path) -> Value {
    let output = metaferry_with(variables, &["inspect", argument(file), "--json"]);
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    json
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command()
        .args(["inspect", argument(&fixture("churn")), "--json"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(
        told(&output).contains("the result could not be written"),
        "{}",
        told(&output)
    );
}

#[test]
fn inspect_tells_format_health_and_rows_of_a_file_of_every_age() {
    for (name, format, health) in [
        ("v1_4_200", 1, "closed"),
        ("churn", 2, "closed"),
        ("v2_4_240", 3, "closed"),
        ("unclean", 2, "recovered"),
        ("uncommitted", 2, "recovered"),
    ] {
        let json = inspect(&[], &fixture(name));
        // What H2 itself counted, views apart.
        let by_h2 = std::fs::read(fixture(name).with_extension("").with_extension("json")).unwrap();
        let by_h2: Value = serde_json::from_slice(&by_h2).unwrap();
        let tables = by_h2["tables"].as_array().unwrap().iter();
        let rows: u64 = tables
            .filter(|table| table["kind"] != "VIEW")
            .map(|table| table["row_count"].as_u64().unwrap())
            .sum();
        assert_eq!(json["h2"]["format"], format, "{name}");
        assert_eq!(json["h2"]["health"], health, "{name}");
        assert_eq!(json["h2"]["encrypted"], false, "{name}");
        assert_eq!(json["rows"], rows, "{name}: {json}");
        assert_eq!(json["encryption"], "unknown", "{name}");
    }
    let output = metaferry(&[
        "inspect",
        argument(&fixture("v1_4_200")),
        "--table",
        "t",
        "--rows",
        "2",
        "--json",
    ]);
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    assert_eq!(json["rows"].as_array().unwrap().len(), 2);
    assert_eq!(json["columns"][1], "name");
    assert_eq!(json["rows"][1][1], "one");
    assert_eq!(json["rows"][1][13], "12345.6789");
}

#[test]
fn an_encrypted_file_is_read_with_the_password_of_the_environment_only() {
    let file = fixture("encrypted");
    let json = inspect(&[(PASSWORD, "filepw")], &file);
    assert_eq!(json["h2"]["encrypted"], true);
    assert!(json["rows"].as_u64().unwrap() > 0);
    for (variables, word) in [
        (&[][..], PASSWORD),
        (&[(PASSWORD, "not-it")][..], "password is wrong"),
    ] {
        let output = metaferry_with(variables, &["inspect", argument(&file)]);
        assert_eq!(output.status.code(), Some(3), "{}", told(&output));
        assert!(told(&output).contains(word), "{}", told(&output));
        assert!(!told(&output).contains("not-it"), "{}", told(&output));
    }
    // H2's own way, `CIPHER=AES` in the URL, names no password either.
    let url = format!(
        "h2:file:{};CIPHER=AES",
        argument(&file).trim_end_matches(".mv.db")
    );
    let output = metaferry_with(
        &[(PASSWORD, "filepw")],
        &["verify", "--raw", "--left", &url, "--right", &url],
    );
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

/// Python's terminal, and what a person types at it.
const AT_A_TERMINAL: &str = r#"
import os, pty, sys, termios, time
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen, typed = b"", False
while True:
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    seen += some
    if not typed and b"not shown" in seen:
        # A person types later than the question appears.
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            time.sleep(0.01)
        os.write(terminal, sys.argv[1].encode() + b"\n")
        typed = True
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn at_a_terminal_the_password_of_an_encrypted_file_is_asked_for_and_not_shown() {
    let file = fixture("encrypted");
    let ask = |typed: &str| {
        Command::new("python3")
            .args(["-c", AT_A_TERMINAL, typed])
            .arg(crate::app_db::program())
            .args(["inspect", argument(&file), "--json"])
            .env_remove(PASSWORD)
            .output()
            .unwrap()
    };
    let read = ask("filepw");
    let seen = String::from_utf8_lossy(&read.stdout).into_owned();
    assert_eq!(read.status.code(), Some(0), "{seen}");
    assert!(
        seen.contains("encrypted.mv.db") && seen.contains("\"rows\""),
        "{seen}"
    );
    assert!(!seen.contains("filepw"), "{seen}");
    let wrong = ask("not-it");
    let seen = String::from_utf8_lossy(&wrong.stdout).into_owned();
    assert_eq!(wrong.status.code(), Some(3), "{seen}");
    assert!(
        seen.contains("password is wrong") && !seen.contains("not-it"),
        "{seen}"
    );
}

#[test]
fn rows_with_arrays_are_shown() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let made = app_db.java(
        &app_db.h2_url("fixture"),
        &[
            (
                "table",
                "CREATE TABLE LISTS (ID INT PRIMARY KEY, NUMBERS INTEGER ARRAY, WORDS VARCHAR ARRAY)",
            ),
            (
                "rows",
                "INSERT INTO LISTS VALUES (1, ARRAY[1, NULL, -3], ARRAY['a', 'b c']), (2, NULL, ARRAY[])",
            ),
        ],
    );
    assert!(
        made.values().flatten().all(|line| !line.starts_with("!ERROR")),
        "{made:?}"
    );
    let output = metaferry(&["inspect", argument(&file), "--table", "lists", "--json"]);
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    assert_eq!(
        json["rows"],
        serde_json::json!([[1, "[1, null, -3]", "[a, b c]"], [2, null, "[]"]])
    );
}

#[test]
fn a_dump_of_an_old_or_encrypted_file_holds_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.mv.db");
    let to = argument(&copy);
    let from = format!("h2:{}", argument(&fixture("v1_4_200")));
    let output = metaferry(&["dump", "--from", &from, "--to", to, "--json"]);
    let (json, code) = ended(&output);
    assert_eq!((code, &json["rows"]), (0, &1476.into()), "{}", told(&output));
    assert!(!json["notes"].to_string().contains("H2 file"), "{json}");
    let packed = folder.path().join("packed.mv.db");
    let compressed = metaferry(&[
        "dump",
        "--compress",
        "--from",
        &from,
        "--to",
        argument(&packed),
        "--json",
    ]);
    let (compressed, code) = ended(&compressed);
    assert_eq!(code, 0, "{compressed}");
    let (small, large) = (
        compressed["bytes"].as_u64().unwrap(),
        json["bytes"].as_u64().unwrap(),
    );
    assert!(small * 10 < large * 9, "{small} bytes compressed, {large} not");
    for to in [&copy, &packed] {
        let to = format!("h2:{}", argument(to));
        let equal = metaferry(&["verify", "--raw", "--left", &from, "--right", &to]);
        assert_eq!(equal.status.code(), Some(0), "{}", told(&equal));
    }
}

#[test]
fn the_same_statements_run_by_three_versions_of_h2_give_the_same_digests() {
    // 1.4.200 read the same cast to VARBINARY another way.
    let left = format!("h2:{}", argument(&fixture("v2_2_224")));
    for other in ["v2_3_232", "v2_4_240"] {
        let right = format!("h2:{}", argument(&fixture(other)));
        let output = metaferry(&["verify", "--raw", "--left", &left, "--right", &right]);
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{other}: {words} {}",
            told(&output)
        );
        assert!(words.starts_with("equal: 2 tables, 1476 rows"), "{words}");
    }
}

#[test]
fn a_damaged_file_is_refused_until_salvage_is_asked_for_and_says_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture("churn")).unwrap();
    let file = folder.path().join("cut.mv.db");
    let (mut refused, mut salvaged) = (0, 0);
    for length in (8192..whole.len()).step_by(3 * 4096) {
        std::fs::write(&file, &whole[..length]).unwrap();
        let plain = metaferry(&["inspect", argument(&file)]);
        assert_eq!(plain.status.code(), Some(1), "{}", told(&plain));
        if told(&plain).contains("--salvage") {
            refused += 1;
        }
        let asked = metaferry(&["inspect", argument(&file), "--salvage", "--json"]);
        if asked.status.code() != Some(0) {
            continue;
        }
        let (json, _) = ended(&asked);
        assert_eq!(json["h2"]["health"], "salvaged");
        assert!(!json["h2"]["passed_over"].as_array().unwrap().is_empty());
        if json["rows"] == 0 {
            continue;
        }
        salvaged += 1;
        let copy = folder.path().join(format!("copy-{length}.mv.db"));
        let dump = metaferry(&[
            "dump",
            "--salvage",
            "--from",
            &format!("h2:{}", argument(&file)),
            "--to",
            argument(&copy),
            "--json",
        ]);
        let (dumped, code) = ended(&dump);
        assert_eq!(code, 0, "{}", told(&dump));
        assert_eq!(dumped["rows"], json["rows"]);
        assert!(dumped["notes"].to_string().contains("SALVAGED"), "{dumped}");
    }
    assert!(refused > 5 && salvaged > 0, "{refused} {salvaged}");
}

#[test]
fn a_page_store_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metabase.db.h2.db");
    std::fs::write(&file, b"-- H2 0.5/B -- \n".repeat(300)).unwrap();
    for name in ["metabase.db.h2.db", "metabase.db"] {
        let output = metaferry(&["inspect", argument(&folder.path().join(name))]);
        assert_eq!(output.status.code(), Some(3), "{}", told(&output));
        for word in ["metabase.db.h2.db", "page-store", "RUNSCRIPT"] {
            assert!(told(&output).contains(word), "{name}: {}", told(&output));
        }
    }
}

/// Of a network on which loading the file takes longer than its chunks last.
const SLOW_BYTES_PER_SECOND: usize = 100_000;
/// A writer that does not get a processor meanwhile overtakes nobody.
const LOADS_MAX: u32 = 5;

/// Loads the file over a slow network until a load was overtaken by its writer and went by way of a copy.
fn is_loaded_by_way_of_a_copy(app_db: &AppDb, hot: &Path, data: &Path) {
    for _ in 0..LOADS_MAX {
        let target = app_db.empty_beside();
        let network = Network::default();
        network.slow_down_to(SLOW_BYTES_PER_SECOND);
        let to = network.before(&target.url);
        let output = command()
            .args(["load", "--from", argument(hot), "--to", &to, "--json"])
            .env("METAFERRY_DATA_DIR", data)
            .output()
            .unwrap();
        let (json, code) = ended(&output);
        assert_eq!(code, 0, "{}", told(&output));
        assert!(json["rows"].as_u64().unwrap() > 300, "{json}");
        if json["notes"].to_string().contains("by way of a copy") {
            assert_eq!(std::fs::read_dir(data).unwrap().count(), 0, "the copy is gone");
            return;
        }
    }
    panic!("none of {LOADS_MAX} loads was overtaken");
}

/// The writer of `h2-file`'s hot read test: every state that it commits keeps its foreign keys.
#[test]
fn a_file_that_java_writes_without_pause_is_dumped_and_inspected() {
    let Some(jar) = std::env::var_os("METAFERRY_TEST_H2_JAR") else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: METAFERRY_TEST_H2_JAR is not set, so no H2 writes"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/h2-file/tests/hot_read/HotWriter.java");
    let compiled = Command::new("javac")
        .args(["-nowarn", "-cp"])
        .arg(&jar)
        .arg("-d")
        .arg(folder.path())
        .arg(source)
        .status()
        .unwrap();
    assert!(compiled.success());
    let mut class_path = jar;
    class_path.push(":");
    class_path.push(folder.path());
    let mut writer = Command::new("java")
        .args(["-ea", "-Xmx512m", "-XX:+UseSerialGC", "-cp"])
        .arg(class_path)
        .arg("HotWriter")
        .arg(format!(
            "jdbc:h2:file:{};WRITE_DELAY=10",
            argument(&folder.path().join("hot"))
        ))
        .arg("45000")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(writer.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let hot = folder.path().join("hot.mv.db");
    let from = format!("h2:{}", argument(&hot));
    let mut digests = Vec::new();
    for number in 0..3 {
        let to = folder.path().join(format!("dump{number}.mv.db"));
        let output = metaferry(&["dump", "--from", &from, "--to", argument(&to), "--json"]);
        let (json, code) = ended(&output);
        // Read again: rows, digests, and every child has its parent.
        assert_eq!(code, 0, "{}", told(&output));
        assert!(
            json["notes"].to_string().contains("not closed"),
            "{}",
            json["notes"]
        );
        digests.push(json["tables"].clone());
        if let (1, Some(app_db)) = (number, AppDb::load()) {
            is_loaded_by_way_of_a_copy(&app_db, &hot, &folder.path().join("data"));
        }
        let output = metaferry(&["inspect", argument(&hot), "--json"]);
        let (json, code) = ended(&output);
        assert_eq!(code, 0, "{}", told(&output));
        assert!(json["rows"].as_u64().unwrap() > 300, "{json}");
        let health = json["h2"]["health"].as_str().unwrap().to_owned();
        assert!(matches!(&*health, "recovered" | "fell back"), "{health}");
    }
    assert!(writer.try_wait().unwrap().is_none(), "the writer ended early");
    drop(writer.stdin.take());
    assert!(writer.wait().unwrap().success());
    assert_eq!(line, "ready\n");
    assert!(digests[0] != digests[2], "nothing was written meanwhile");
}
