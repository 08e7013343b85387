//! A Postgres of our own: a temporary cluster on a free port, gone when we are gone.
//!
//! A small shell child (`watch.sh`) is the server's parent. It holds the reading end of a pipe of ours, so the
//! server ends however we end. What is inside the cluster is the tests' own affair.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::failure::Failure;
use crate::machine;

/// How long a server may take until it answers.
const START_SECONDS_MAX: u64 = 60;
/// How long we wait for its end; Postgres itself kills what has not ended after 5 s.
const STOP_SECONDS_MAX: u64 = 30;
/// How often a port may turn out to be taken between finding it free and listening on it.
const PORT_ATTEMPTS_MAX: u32 = 3;

/// A running temporary cluster; trust authentication, superuser `postgres`, nothing synced to disk.
#[derive(Debug)]
pub(crate) struct TempPostgres {
    folder: PathBuf,
    port: u16,
    watch: Child,
}

impl TempPostgres {
    /// Makes a cluster and waits until it answers.
    pub(crate) fn start() -> Result<Self, Failure> {
        let mut attempt = 1;
        loop {
            match Self::start_once() {
                Err(Failure::Failed(why)) if attempt < PORT_ATTEMPTS_MAX => {
                    eprintln!("xtask: {why}; trying another port");
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn start_once() -> Result<Self, Failure> {
        let initdb = program("initdb")?;
        let server = program("postgres")?;
        let folder = new_folder()?;
        let port = free_port()?;
        let data = folder.join("data");
        let user = server_user(&folder)?;
        let mut watch = Command::new("sh");
        watch.args(["-c", include_str!("watch.sh"), "watch"]).arg(&folder);
        watch.args(&user).arg(&initdb).arg("-D").arg(&data);
        watch.args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]);
        watch
            .arg("--")
            .args(&user)
            .arg(&server)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder);
        watch.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        for setting in [
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=200",
        ] {
            watch.args(["-c", setting]);
        }
        // A group of its own: Ctrl-C in the terminal must reach us, not the one who cleans up after us.
        let watch = watch
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let watch = watch.map_err(Failure::while_doing("start sh for a temporary Postgres"))?;
        let mut started = Self { folder, port, watch };
        started.wait_until_it_answers()?;
        Ok(started)
    }

    /// How clients reach `database` as superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The cluster's folder: other temporary files may live in it and go with it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The postmaster's process id.
    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        let file = self.folder.join("data/postmaster.pid");
        let text = std::fs::read_to_string(&file).map_err(Failure::while_doing("read postmaster.pid"))?;
        let first = text.lines().next().and_then(|line| line.trim().parse().ok());
        first.ok_or_else(|| Failure::Failed("postmaster.pid does not start with a process id".to_owned()))
    }

    /// See `Servers::watch_child`.
    pub(crate) fn watch_child(&self, pid: Option<u32>) {
        if let Some(mut pipe) = self.watch.stdin.as_ref() {
            let line = pid.map_or_else(|| "\n".to_owned(), |pid| format!("{pid}\n"));
            // If the watch is gone there is no server left either, and the tests will say so.
            let _ = pipe.write_all(line.as_bytes());
        }
    }

    fn wait_until_it_answers(&mut self) -> Result<(), Failure> {
        let ready = program("pg_isready")?;
        let start = Instant::now();
        loop {
            if let Some(status) = self
                .watch
                .try_wait()
                .map_err(Failure::while_doing("wait for initdb"))?
            {
                return Err(Failure::Failed(format!(
                    "a temporary Postgres did not start ({status})"
                )));
            }
            let answer = Command::new(&ready)
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .stdin(Stdio::null())
                .status()
                .map_err(Failure::while_doing("run pg_isready"))?;
            if answer.success() {
                return Ok(());
            }
            let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
            if let Some(fatal) = log.lines().find(|line| line.contains("FATAL:")) {
                return Err(Failure::Failed(format!(
                    "a temporary Postgres did not start: {fatal}"
                )));
            }
            if start.elapsed() > Duration::from_secs(START_SECONDS_MAX) {
                return Err(Failure::Failed(format!(
                    "a temporary Postgres did not answer within {START_SECONDS_MAX} s; its log:\n{log}"
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for TempPostgres {
    /// Closing the pipe is the whole signal; then wait, so that nothing is left when we return.
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let start = Instant::now();
        while let Ok(None) = self.watch.try_wait() {
            if start.elapsed() > Duration::from_secs(STOP_SECONDS_MAX) {
                eprintln!(
                    "xtask: the Postgres in {} is still ending; left to itself",
                    self.folder.display()
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn program(name: &str) -> Result<PathBuf, Failure> {
    machine::postgres_bin(name).ok_or_else(|| Failure::Missing(format!("Postgres's {name} is not installed")))
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::while_doing("find a free port"))?;
    Ok(listener
        .local_addr()
        .map_err(Failure::while_doing("find a free port"))?
        .port())
}

/// A new folder that the server's user may enter. Its path is short: a socket's may have 107 bytes.
fn new_folder() -> Result<PathBuf, Failure> {
    let temp = if machine::is_root() {
        PathBuf::from("/tmp")
    } else {
        std::env::temp_dir()
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let folder = temp.join(format!("metaferry-{}-{now}", std::process::id()));
    // `create_dir` refuses a folder that is already there, so nobody can have prepared this one.
    std::fs::create_dir(&folder).map_err(Failure::while_doing(format!("create {}", folder.display())))?;
    Ok(folder)
}

/// The words before a command that make it run as somebody other than root, whom Postgres refuses.
fn server_user(folder: &Path) -> Result<Vec<String>, Failure> {
    if !machine::is_root() {
        return Ok(Vec::new());
    }
    let owned = Command::new("chown").arg("postgres").arg(folder).status();
    if !owned.map_err(Failure::while_doing("run chown"))?.success() {
        return Err(Failure::Missing(
            "Postgres refuses to run as root and there is no user `postgres` to run it as".to_owned(),
        ));
    }
    Ok(
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
            .map(str::to_owned)
            .to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The watch with stand-ins: `prepare` before it, a server that would run for ever.
    fn watch(folder: &Path, prepare: &str) -> Child {
        let server = "echo $$ >\"$0/server.pid\"; exec tail -f /dev/null";
        Command::new("sh")
            .args(["-c", include_str!("watch.sh"), "watch"])
            .arg(folder)
            // The shell lets background jobs ignore QUIT; Postgres listens to it all the same.
            .args([prepare, "--", "env", "--default-signal=QUIT", "sh", "-c", server])
            .arg(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn wait_for(path: &Path) -> String {
        let start = Instant::now();
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => assert!(
                    start.elapsed() < Duration::from_secs(30),
                    "{} never came",
                    path.display()
                ),
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn server_child_and_folder_are_gone_once_the_pipe_closes() {
        let folder = new_folder().unwrap();
        let mut watch = watch(&folder, "true");
        let server = wait_for(&folder.join("server.pid"));
        assert!(Path::new("/proc").join(&server).exists());
        let mut child = Command::new("tail").args(["-f", "/dev/null"]).spawn().unwrap();
        let mut pipe = watch.stdin.take().unwrap();
        writeln!(pipe, "{}", child.id()).unwrap();
        drop(pipe);
        assert!(watch.wait().unwrap().success());
        assert!(
            !Path::new("/proc").join(&server).exists(),
            "the server outlived its watch"
        );
        assert!(!child.wait().unwrap().success(), "the child was told to end");
        assert!(!folder.exists());
    }

    #[test]
    fn a_cluster_that_cannot_be_made_leaves_no_folder() {
        let folder = new_folder().unwrap();
        let mut watch = watch(&folder, "false");
        assert_eq!(watch.wait().unwrap().code(), Some(1));
        assert!(!folder.exists());
    }
}
