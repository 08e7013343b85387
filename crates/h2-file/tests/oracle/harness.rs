//! Real H2, behind a line protocol: the judge of the files that the writer makes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

const JAR_VARIABLE: &str = "METAFERRY_TEST_H2_JAR";

/// A running H2 with assertions on.
pub(crate) struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What H2 said to one statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Cells joined by tabs, one string per row.
    pub(crate) rows: Vec<String>,
    /// Rows read or changed.
    pub(crate) count: i64,
}

/// The jar, or `None` with a loud word on standard error.
pub(crate) fn jar() -> Option<PathBuf> {
    let jar = std::env::var_os(JAR_VARIABLE).map(PathBuf::from);
    if jar.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {JAR_VARIABLE} is not set, so real H2 cannot judge"
        );
    }
    jar
}

/// The compiled oracle program; compiled once in a test process.
fn classes(jar: &Path) -> &'static Path {
    static CLASSES: OnceLock<tempfile::TempDir> = OnceLock::new();
    CLASSES
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/Oracle.java");
            let done = Command::new("javac")
                .arg("-nowarn")
                .arg("-cp")
                .arg(jar)
                .arg("-d")
                .arg(folder.path())
                .arg(source)
                .status();
            assert!(done.expect("javac must be on the PATH").success());
            folder
        })
        .path()
}

impl Oracle {
    /// Starts H2, or `None` where there is none.
    pub(crate) fn start() -> Option<Self> {
        let jar = jar()?;
        let mut class_path = jar.clone().into_os_string();
        class_path.push(":");
        class_path.push(classes(&jar));
        let mut child = Command::new("java")
            .args([
                "-ea",
                "-Xmx512m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
            ])
            .arg(class_path)
            .arg("Oracle")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java must be on the PATH");
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, input, output })
    }

    /// Runs a statement or command; an error is `SQLSTATE message`.
    pub(crate) fn ask(&mut self, line: &str) -> Result<Answer, String> {
        let line = line.replace('\\', "\\\\").replace('\n', "\\n");
        writeln!(self.input, "{line}").unwrap();
        self.input.flush().unwrap();
        let mut rows = Vec::new();
        let mut result = Err("no answer".to_owned());
        loop {
            let mut answer = String::new();
            assert!(
                self.output.read_line(&mut answer).unwrap() > 0,
                "H2 ended at: {line}"
            );
            let answer = answer.trim_end_matches('\n');
            match answer.split_at_checked(2) {
                Some(("= ", row)) => rows.push(row.to_owned()),
                Some((". ", count)) => result = Ok(count.parse().unwrap()),
                Some(("! ", error)) => result = Err(error.to_owned()),
                _ if answer == ";" => break,
                _ => panic!("unexpected answer {answer:?}"),
            }
        }
        result.map(|count| Answer { rows, count })
    }

    /// Runs a statement that must work.
    #[track_caller]
    pub(crate) fn run(&mut self, line: &str) -> Vec<String> {
        match self.ask(line) {
            Ok(answer) => answer.rows,
            Err(error) => panic!("H2 refused\n  {line}\n  {error}"),
        }
    }

    /// Runs a statement that must fail with an SQLSTATE.
    #[track_caller]
    pub(crate) fn refuse(&mut self, line: &str, state: &str) {
        match self.ask(line) {
            Ok(answer) => panic!("H2 took\n  {line}\n  {answer:?}"),
            Err(error) => assert!(error.starts_with(state), "{line}\n  {error}"),
        }
    }

    /// Opens a database file.
    #[track_caller]
    pub(crate) fn connect(&mut self, file: &Path, options: &str) {
        self.run(&format!("!connect {}", url(file, options)));
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The JDBC URL of `file`.
pub(crate) fn url(file: &Path, options: &str) -> String {
    let name = file.to_str().unwrap().strip_suffix(".mv.db").unwrap();
    format!("jdbc:h2:file:{name};IFEXISTS=TRUE{options}")
}

/// Runs H2's own recovery tool over the file's folder; returns the length of the script that it wrote.
pub(crate) fn recover(file: &Path) -> u64 {
    let jar = jar().unwrap();
    let folder = file.parent().unwrap();
    let done = Command::new("java")
        .args(["-ea", "-cp"])
        .arg(jar)
        .args(["org.h2.tools.Recover", "-dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success());
    let name = file
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .strip_suffix(".mv.db")
        .unwrap();
    fs::metadata(folder.join(format!("{name}.h2.sql"))).unwrap().len()
}
