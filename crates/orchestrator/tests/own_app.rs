//! The example, run as a program: what it says while it runs, its exit code, and the file that arrived, read by itself.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use metaferry_h2_file::{Database, Text, Value};

/// Where cargo puts examples, beside the folder of this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/own_app");
    assert!(
        program.is_file(),
        "{} is not there: `cargo build -p metaferry-orchestrator --example own_app` makes it",
        program.display()
    );
    program
}

/// Runs it in `folder`; the lines that it printed.
fn run(folder: &Path) -> Vec<String> {
    let output = Command::new(program()).arg(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}\n{text}", output.status);
    text.lines().map(str::to_owned).collect()
}

/// The lines between two others.
fn between<'a>(lines: &'a [String], from: &str, to: &str) -> &'a [String] {
    let at = |wanted: &str| lines.iter().position(|line| line == wanted);
    let from = at(from).unwrap_or_else(|| panic!("no {from:?} in {lines:#?}"));
    let to = at(to).unwrap_or_else(|| panic!("no {to:?} in {lines:#?}"));
    &lines[from..=to]
}

fn count(lines: &[String], wanted: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(wanted)).count()
}

/// Rows of a table in the file, as texts.
fn rows(database: &Database, table: &str) -> Vec<Vec<String>> {
    let table = database.table("PUBLIC", table).unwrap();
    let mut reader = database.rows(table);
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        let cells = row.values.iter().map(|value| match value {
            Value::BigInt(number) => number.to_string(),
            Value::Varchar(Text::Utf8(text)) | Value::Clob(Text::Utf8(text)) => text.to_string(),
            other => panic!("{other:?}"),
        });
        rows.push(cells.collect());
    }
    rows
}

#[test]
fn an_application_of_its_own_migrates_itself_and_leaves_itself_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let lines = run(folder.path());
    let cancelled = between(
        &lines,
        "== a migration that somebody cancels",
        "== a migration that arrives",
    );
    let arrived = between(&lines, "== a migration that arrives", lines.last().unwrap());
    for (voyage, ended) in [(cancelled, "ended: cancelled"), (arrived, "ended: done")] {
        // While it runs: what is not exempt is refused by name, the rest passes, and nothing new begins.
        let under_way = between(voyage, &voyage[0], ended);
        assert_eq!(
            count(under_way, "write refused: notes is read-only"),
            1,
            "{lines:#?}"
        );
        assert_eq!(
            count(
                under_way,
                "write refused: people is read-only while a migration copies it (columns name)"
            ),
            1,
            "{lines:#?}"
        );
        assert_eq!(count(under_way, "exempt write passed"), 2, "{lines:#?}");
        assert_eq!(count(under_way, "job digest: held off"), 1, "{lines:#?}");
        // The snapshot waits for the job that runs.
        let at = |wanted: &str| {
            under_way
                .iter()
                .position(|line| line.starts_with(wanted))
                .unwrap()
        };
        // Not every percent is seen by who looks now and then.
        let reading = under_way
            .iter()
            .position(|line| line.starts_with("progress: dump 4") || line.starts_with("progress: upload"))
            .unwrap();
        assert!(at("job minutes: ended") < reading, "{lines:#?}");
        // Afterwards everything is as it was, a job that a person had paused too.
        let after = &voyage[voyage.iter().position(|line| line == ended).unwrap()..];
        assert_eq!(count(after, "write passed: notes"), 1, "{lines:#?}");
        assert_eq!(count(after, "job digest: runs"), 1, "{lines:#?}");
        assert_eq!(count(after, "job newsletter: held off"), 1, "{lines:#?}");
    }
    assert_eq!(count(arrived, "progress: done 100 %"), 1, "{lines:#?}");

    // One file arrived, of the second migration, and none is left anywhere.
    let files = |folder: &Path| {
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|file| file.to_string_lossy().contains(".mv.db"))
            .collect();
        files.sort();
        files
    };
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    let harbour = files(&folder.path().join("harbour"));
    assert_eq!(harbour.len(), 1, "{harbour:?}");
    let database = Database::open(&harbour[0]).unwrap();
    let carried = |table: &str| {
        let rows = rows(&database, &table.to_uppercase());
        assert!(
            lines.contains(&format!("carried: {table} {}", rows.len())),
            "{lines:#?}"
        );
        rows
    };
    let notes = carried("notes");
    assert_eq!(notes[499], ["500", "note 500"]);
    assert_eq!(
        notes.iter().filter(|note| note[1] == "after the voyage").count(),
        1,
        "the first one's"
    );
    assert_eq!(
        carried("people"),
        [["1", "Ada", "just now"], ["2", "Grace", "never"]]
    );
    assert_eq!(carried("visits"), [["1", "/minutes"], ["2", "/minutes"]]);

    // Another run finds its own state, with nothing to recover.
    run(folder.path());
    assert_eq!(files(&folder.path().join("harbour")).len(), 2);
}
