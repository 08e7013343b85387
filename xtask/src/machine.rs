//! What the machine must have for tests and benchmarks, where it is, and how it gets there.
//!
//! Installs through apt where it may (Debian or Ubuntu, as root); elsewhere it only names what is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// The H2 version that is the oracle for our files.
const H2_ORACLE: &str = "2.1.214";

/// What a command needs, and how it is told apart from what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    PostgresServer,
    Javac,
    H2Jar,
    PostgresJdbcJar,
    MariaDbServer,
    MariaDbJdbcJar,
    QuartzJar,
    Python,
    Curl,
    IpRoute,
    GnuTime,
}

/// All that the tests use.
pub(crate) const FOR_TESTS: &[Need] = &[
    Need::PostgresServer,
    Need::Javac,
    Need::H2Jar,
    Need::PostgresJdbcJar,
    Need::MariaDbServer,
    Need::MariaDbJdbcJar,
    Need::QuartzJar,
    Need::Python,
    Need::Curl,
    Need::IpRoute,
];

impl Need {
    fn found(self) -> bool {
        match self {
            Self::PostgresServer => postgres_bin("initdb").is_some() && postgres_bin("psql").is_some(),
            Self::Javac => on_path("javac").is_some(),
            Self::H2Jar => h2_jar().is_some(),
            Self::PostgresJdbcJar => postgres_jdbc_jar().is_some(),
            Self::MariaDbServer => ["mariadbd", "mariadb-install-db", "mariadb-admin", "mariadb"]
                .iter()
                .all(|name| mariadb_bin(name).is_some()),
            Self::MariaDbJdbcJar => mariadb_jdbc_jar().is_some(),
            Self::QuartzJar => quartz_jar().is_some(),
            Self::Python => on_path("python3").is_some(),
            Self::Curl => on_path("curl").is_some(),
            Self::IpRoute => on_path("ip").is_some(),
            Self::GnuTime => Path::new("/usr/bin/time").is_file(),
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::PostgresServer => "postgresql",
            Self::Javac => "default-jdk-headless",
            Self::H2Jar => "libh2-java",
            Self::PostgresJdbcJar => "libpostgresql-jdbc-java",
            Self::MariaDbServer => "mariadb-server",
            Self::MariaDbJdbcJar => "libmariadb-java",
            Self::QuartzJar => "libquartz2-java",
            Self::Python => "python3",
            Self::Curl => "curl",
            Self::IpRoute => "iproute2",
            Self::GnuTime => "time",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::PostgresServer => {
                "PostgreSQL server and client programs (initdb, postgres, psql; 13 or later)"
            }
            Self::Javac => "a JDK, 11 or later (javac on PATH)",
            Self::H2Jar => "H2's jar, version 2.1.214 (METAFERRY_TEST_H2_JAR names it)",
            Self::PostgresJdbcJar => "the PostgreSQL JDBC jar (METAFERRY_TEST_PG_JDBC_JAR names it)",
            Self::MariaDbServer => {
                "MariaDB server and client programs (mariadbd, mariadb-install-db, mariadb; 10.6 or later)"
            }
            Self::MariaDbJdbcJar => "the MariaDB JDBC jar (METAFERRY_TEST_MARIADB_JDBC_JAR names it)",
            Self::QuartzJar => {
                "Quartz 2.3's jar, HikariCP's and SLF4J's beside it (METAFERRY_TEST_QUARTZ_JAR names the first)"
            }
            Self::Python => "Python 3 (python3 on PATH)",
            Self::Curl => "curl on PATH",
            Self::IpRoute => "iproute2 (ip on PATH)",
            Self::GnuTime => "GNU time (/usr/bin/time)",
        }
    }
}

/// Makes sure that all of `needs` are there, installing the missing ones where we may.
pub(crate) fn provide(needs: &[Need]) -> Result<(), Failure> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.found()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package()).collect();
    let apt = format!("apt-get install {}", packages.join(" "));
    let list: Vec<String> = missing
        .iter()
        .map(|need| format!("  - {}", need.what()))
        .collect();
    if on_path("apt-get").is_none() || !Path::new("/etc/debian_version").is_file() {
        return Err(Failure::Missing(format!(
            "this machine lacks:\n{}\ninstall them and run again (on Debian or Ubuntu: {apt})",
            list.join("\n")
        )));
    }
    if !is_root() {
        return Err(Failure::Missing(format!(
            "this machine lacks:\n{}\nrun as root once, or: sudo {apt}",
            list.join("\n")
        )));
    }
    eprintln!("xtask: installing {}", packages.join(" "));
    apt_get(&["update", "-q"])?;
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(&packages);
    apt_get(&install)?;
    match missing.iter().find(|need| !need.found()) {
        None => Ok(()),
        Some(need) => Err(Failure::Missing(format!(
            "apt installed {} but this is still not found: {}",
            need.package(),
            need.what()
        ))),
    }
}

fn apt_get(args: &[&str]) -> Result<(), Failure> {
    let status = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // Standard output is for results; an installation is only news.
        .stdout(std::io::stderr())
        .status()
        .map_err(Failure::while_doing("run apt-get"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Missing(format!(
        "`apt-get {}` failed; install by hand and run again",
        args.join(" ")
    )))
}

/// Whether we run as root: Postgres refuses to, and apt wants to.
pub(crate) fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&match std::fs::metadata("/proc/self") {
        Ok(own_process) => own_process,
        Err(_) => return false,
    }) == 0
}

/// `name` as the shell would find it.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// A program of the newest installed Postgres: Debian keeps the server's out of PATH, by version.
pub(crate) fn postgres_bin(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let newest = versions
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let version: u32 = folder.file_name()?.to_str()?.parse().ok()?;
            let bin = folder.join("bin");
            // A folder may be left with the client's programs only.
            (bin.join("initdb").is_file() && bin.join("postgres").is_file()).then_some((version, bin))
        })
        .max();
    match newest {
        Some((_, bin)) => Some(bin.join(name))
            .filter(|path| path.is_file())
            .or_else(|| on_path(name)),
        None => on_path(name),
    }
}

/// A program of MariaDB's: the server is in `sbin`, which not every PATH has.
pub(crate) fn mariadb_bin(name: &str) -> Option<PathBuf> {
    on_path(name).or_else(|| Some(Path::new("/usr/sbin").join(name)).filter(|path| path.is_file()))
}

/// The jar of the H2 that judges our files.
pub(crate) fn h2_jar() -> Option<PathBuf> {
    named_or_first("METAFERRY_TEST_H2_JAR", &["h2-2.1.214.jar", "h2.jar"])
}

/// The JDBC driver with which the oracle reads Postgres.
pub(crate) fn postgres_jdbc_jar() -> Option<PathBuf> {
    named_or_first("METAFERRY_TEST_PG_JDBC_JAR", &["postgresql.jar"])
}

/// The JDBC driver with which the oracle reads MariaDB.
pub(crate) fn mariadb_jdbc_jar() -> Option<PathBuf> {
    named_or_first("METAFERRY_TEST_MARIADB_JDBC_JAR", &["mariadb-java-client.jar"])
}

/// The scheduler that Metabase has.
pub(crate) fn quartz_jar() -> Option<PathBuf> {
    named_or_first("METAFERRY_TEST_QUARTZ_JAR", &["quartz2.jar"])
}

/// Says aloud when the distribution's H2 is not the version that we claim to agree with.
pub(crate) fn warn_about_h2(jar: &Path) {
    // Debian's `h2.jar` is a link to a file that carries the version.
    let real = std::fs::canonicalize(jar).unwrap_or_else(|_| jar.to_path_buf());
    if !real.to_string_lossy().contains(H2_ORACLE) {
        eprintln!(
            "xtask: WARNING: {} is not H2 {H2_ORACLE}; tests that compare with it may differ (METAFERRY_TEST_H2_JAR names another jar)",
            real.display()
        );
    }
}

fn named_or_first(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    names
        .iter()
        .map(|name| Path::new("/usr/share/java").join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_names_its_package_and_itself() {
        for need in [FOR_TESTS, &[Need::Python, Need::GnuTime]].concat() {
            assert!(!need.package().contains(' '), "{need:?} is one package");
            assert!(
                need.what().len() > need.package().len(),
                "{need:?} says what it is for other systems"
            );
        }
    }

    #[test]
    fn programs_are_found_on_path_only_if_they_are_files() {
        assert!(on_path("sh").is_some());
        assert_eq!(on_path("no-such-program-here"), None);
        assert_eq!(on_path(""), None);
    }
}
