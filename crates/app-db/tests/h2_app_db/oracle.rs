//! Queries over JDBC.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A database as JDBC reaches it.
pub(crate) struct Oracle {
    jar: PathBuf,
    url: String,
    user: String,
}

/// Rows in canonical form, by the name of their query.
pub(crate) type Rows = BTreeMap<String, Vec<String>>;

impl Oracle {
    /// An H2 file, opened for reading only: nothing is repaired on the way. `None` where no jar is named.
    pub(crate) fn of_h2(file: &Path) -> Option<Self> {
        let jar = std::env::var_os("METAFERRY_TEST_H2_JAR")?.into();
        let name = file.to_str().unwrap().strip_suffix(".mv.db").unwrap();
        Some(Self {
            jar,
            url: format!("jdbc:h2:file:{name};ACCESS_MODE_DATA=r"),
            user: String::new(),
        })
    }

    /// A server's database by its JDBC address. `None` where the variable names no jar.
    pub(crate) fn of_server(jar: &str, url: String, user: &str) -> Option<Self> {
        let jar = std::env::var_os(jar)?.into();
        Some(Self {
            jar,
            url,
            user: user.to_owned(),
        })
    }

    /// The rows of each named query.
    pub(crate) fn rows(&self, queries: &[(String, String)]) -> Rows {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/Oracle.java");
        let mut java = Command::new("java")
            .args(["-ea:org.h2...", "-Duser.timezone=UTC", "-Xmx256m", "-cp"])
            .arg(&self.jar)
            .arg(program)
            .args([&self.url, &self.user])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = java.stdin.take().unwrap();
        let lines: String = queries
            .iter()
            .map(|(name, sql)| format!("{name}\t{sql}\n"))
            .collect();
        let feeder = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
        let output = java.wait_with_output().unwrap();
        feeder.join().unwrap();
        assert!(output.status.success(), "{} cannot be opened", self.url);
        let mut rows: Rows = queries
            .iter()
            .map(|(name, _)| (name.clone(), Vec::new()))
            .collect();
        for line in String::from_utf8(output.stdout).unwrap().split_terminator('\n') {
            let (name, row) = line.split_once('\t').unwrap_or((line, ""));
            assert!(!row.starts_with("!ERROR"), "{name}: {row}");
            rows.get_mut(name).unwrap().push(row.to_owned());
        }
        rows
    }
}
