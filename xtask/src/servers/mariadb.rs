//! A MariaDB of our own: a temporary data folder, a free port, gone when we are gone. What is inside it is the tests'
//! own affair.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::temporary::{Commands, Kind, TempServer, temp_dir, words};
use crate::failure::Failure;
use crate::machine;

/// Memory as a file system: MariaDB syncs its log of schema changes whatever its settings say, which costs a
/// Metabase schema seven seconds on a disk.
const IN_MEMORY: &str = "/dev/shm";
/// What must be free there, in KiB. Containers often have 64 MiB.
const IN_MEMORY_FREE_KIB_MIN: u64 = 2 * 1024 * 1024;

/// A running temporary server; user `root` without a password, nothing synced to disk.
#[derive(Debug)]
pub(crate) struct TempMariaDb(TempServer);

impl TempMariaDb {
    /// Makes a data folder and waits until its server answers.
    pub(crate) fn start() -> Result<Self, Failure> {
        let kind = Kind {
            name: "MariaDB",
            user: "mysql",
            fatal: "[ERROR] Aborting",
        };
        TempServer::start(kind, &parent(), commands, answers).map(Self)
    }

    /// How clients reach `database` as `root`.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.0.port())
    }

    /// One of its clients, told how to reach it.
    pub(crate) fn client(&self, name: &str) -> Result<Command, Failure> {
        client(name, self.0.port())
    }

    /// See `Servers::watch_child`.
    pub(crate) fn watch_child(&self, pid: Option<u32>) {
        self.0.watch_child(pid);
    }
}

fn commands(folder: &Path, port: u16) -> Result<Commands, Failure> {
    let option = |name: &str, path: &Path| {
        let mut option = std::ffi::OsString::from(format!("--{name}="));
        option.push(path);
        option
    };
    let data = folder.join("data");
    let mut prepare = words([program("mariadb-install-db")?]);
    prepare.extend(words([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
    ]));
    prepare.push("--skip-test-db".into());
    prepare.push(option("datadir", &data));
    let mut serve = words([program("mariadbd")?]);
    serve.extend(words(["--no-defaults"]));
    serve.push(option("datadir", &data));
    serve.push(option("socket", &folder.join("socket")));
    // A server that starts deletes the temporary tables of others that share its folder for them.
    serve.push(option("tmpdir", folder));
    serve.push(option("pid-file", &folder.join("pid")));
    serve.push(format!("--port={port}").into());
    serve.extend(words([
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--max-connections=200",
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_unicode_ci",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-flush-method=nosync",
        "--innodb-doublewrite=0",
        "--innodb-fast-shutdown=2",
        "--sync-frm=0",
    ]));
    Ok(Commands { prepare, serve })
}

fn client(name: &str, port: u16) -> Result<Command, Failure> {
    let mut client = Command::new(program(name)?);
    client
        .args(["--no-defaults", "--host=127.0.0.1", "--user=root"])
        .arg(format!("--port={port}"))
        .stdin(Stdio::null());
    Ok(client)
}

fn answers(_: &Path, port: u16) -> Result<bool, Failure> {
    let answer = client("mariadb-admin", port)?
        .args(["--silent", "ping"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(Failure::while_doing("run mariadb-admin"))?;
    Ok(answer.success())
}

fn program(name: &str) -> Result<PathBuf, Failure> {
    machine::mariadb_bin(name).ok_or_else(|| Failure::Missing(format!("MariaDB's {name} is not installed")))
}

/// Memory where there is enough of it, else the disk.
fn parent() -> PathBuf {
    let free = Command::new("df")
        .args(["-k", "--output=avail", IN_MEMORY])
        .stderr(Stdio::null())
        .output();
    let free = free.ok().and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().last()?.trim().parse::<u64>().ok()
    });
    match free {
        Some(kib) if kib >= IN_MEMORY_FREE_KIB_MIN => PathBuf::from(IN_MEMORY),
        Some(_) | None => temp_dir(),
    }
}
