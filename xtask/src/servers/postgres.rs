//! A Postgres of our own: a temporary cluster on a free port, gone when we are gone. What is inside the cluster is the
//! tests' own affair.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::temporary::{Commands, Kind, TempServer, temp_dir, words};
use crate::failure::Failure;
use crate::machine;

/// Who may come in: everybody is trusted, but for the one role that tests of wrong passwords make.
const WHO_MAY_COME_IN: &str = "\
host all metaferry_password 127.0.0.1/32 scram-sha-256
local all all trust
host all all 127.0.0.1/32 trust
";

/// A running temporary cluster; trust authentication but for the role `metaferry_password`, superuser `postgres`, nothing
/// synced to disk.
#[derive(Debug)]
pub(crate) struct TempPostgres(TempServer);

impl TempPostgres {
    /// Makes a cluster and waits until it answers.
    pub(crate) fn start() -> Result<Self, Failure> {
        let kind = Kind {
            name: "Postgres",
            user: "postgres",
            fatal: "FATAL:",
        };
        TempServer::start(kind, &temp_dir(), commands, answers).map(Self)
    }

    /// How clients reach `database` as superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.0.port())
    }

    /// The cluster's folder: other temporary files may live in it and go with it.
    pub(crate) fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// The postmaster's process id.
    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        let file = self.folder().join("data/postmaster.pid");
        let text = std::fs::read_to_string(&file).map_err(Failure::while_doing("read postmaster.pid"))?;
        let first = text.lines().next().and_then(|line| line.trim().parse().ok());
        first.ok_or_else(|| Failure::Failed("postmaster.pid does not start with a process id".to_owned()))
    }

    /// See `Servers::watch_child`.
    pub(crate) fn watch_child(&self, pid: Option<u32>) {
        self.0.watch_child(pid);
    }
}

fn commands(folder: &Path, port: u16) -> Result<Commands, Failure> {
    let data = folder.join("data");
    let mut prepare = words([program("initdb")?]);
    prepare.extend(words(["-D".into(), data.clone().into_os_string()]));
    prepare.extend(words([
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]));
    let hba = folder.join("pg_hba.conf");
    std::fs::write(&hba, WHO_MAY_COME_IN).map_err(Failure::while_doing("write pg_hba.conf"))?;
    let mut hba_file = OsString::from("hba_file=");
    hba_file.push(hba);
    let mut serve = words([program("postgres")?]);
    serve.extend(words(["-D".into(), data.into_os_string()]));
    serve.extend(words(["-k".into(), folder.as_os_str().to_owned()]));
    serve.extend(words(["-h", "127.0.0.1", "-p", &port.to_string()]));
    serve.extend([OsString::from("-c"), hba_file]);
    for setting in [
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "max_connections=200",
    ] {
        serve.extend(words(["-c", setting]));
    }
    Ok(Commands { prepare, serve })
}

fn answers(_: &Path, port: u16) -> Result<bool, Failure> {
    let answer = Command::new(program("pg_isready")?)
        .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .status()
        .map_err(Failure::while_doing("run pg_isready"))?;
    Ok(answer.success())
}

fn program(name: &str) -> Result<PathBuf, Failure> {
    machine::postgres_bin(name).ok_or_else(|| Failure::Missing(format!("Postgres's {name} is not installed")))
}
