//! A server of our own for as long as we live: a temporary folder, a free port, and a small shell child (`watch.sh`)
//! that is the server's parent. It holds the reading end of a pipe of ours, so the server ends however we end.
//! Which server it is, and when it answers, is its own file's affair.

use std::ffi::OsString;
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

/// What Postgres logs, as fatal as the rest, of whoever asks too early.
const STARTING: &str = "is starting up";

/// How one kind of server is told apart from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// What people call it.
    pub(super) name: &'static str,
    /// Who runs it when we are root, which no server wants to be run as.
    pub(super) user: &'static str,
    /// In a line of its log: it will never answer.
    pub(super) fatal: &'static str,
}

/// A running server. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub(super) struct TempServer {
    kind: Kind,
    folder: PathBuf,
    port: u16,
    watch: Child,
}

/// Two commands in words: what makes the data folder, and the server.
#[derive(Debug)]
pub(super) struct Commands {
    pub(super) prepare: Vec<OsString>,
    pub(super) serve: Vec<OsString>,
}

impl TempServer {
    /// Starts a server in a new folder under `parent` on a free port, on another one if that was taken meanwhile, and
    /// waits until `answers` says so.
    pub(super) fn start(
        kind: Kind,
        parent: &Path,
        commands: impl Fn(&Path, u16) -> Result<Commands, Failure>,
        answers: impl Fn(&Path, u16) -> Result<bool, Failure>,
    ) -> Result<Self, Failure> {
        let mut attempt = 1;
        loop {
            match Self::start_once(kind, parent, &commands, &answers) {
                Err(Failure::Failed(why)) if attempt < PORT_ATTEMPTS_MAX => {
                    eprintln!("xtask: {why}; trying another port");
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn start_once(
        kind: Kind,
        parent: &Path,
        commands: impl Fn(&Path, u16) -> Result<Commands, Failure>,
        answers: impl Fn(&Path, u16) -> Result<bool, Failure>,
    ) -> Result<Self, Failure> {
        let folder = new_folder(parent)?;
        let port = free_port()?;
        let user = server_user(kind, &folder)?;
        let commands = commands(&folder, port)?;
        let mut watch = Command::new("sh");
        watch
            .args(["-c", include_str!("watch.sh"), "watch"])
            .arg(&folder)
            .args(&user)
            .args(&commands.prepare)
            .arg("--")
            .args(&user)
            .args(&commands.serve);
        // A group of its own: Ctrl-C in the terminal must reach us, not the one who cleans up after us.
        let watch = watch
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let watch = watch.map_err(Failure::while_doing(format!(
            "start sh for a temporary {}",
            kind.name
        )))?;
        let mut started = Self {
            kind,
            folder,
            port,
            watch,
        };
        started.wait_until(answers)?;
        Ok(started)
    }

    /// Where it keeps everything; other temporary files may live there and go with it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it listens, on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// See `Servers::watch_child`.
    pub(super) fn watch_child(&self, pid: Option<u32>) {
        if let Some(mut pipe) = self.watch.stdin.as_ref() {
            let line = pid.map_or_else(|| "\n".to_owned(), |pid| format!("{pid}\n"));
            // If the watch is gone there is no server left either, and the tests will say so.
            let _ = pipe.write_all(line.as_bytes());
        }
    }

    fn wait_until(&mut self, answers: impl Fn(&Path, u16) -> Result<bool, Failure>) -> Result<(), Failure> {
        let name = self.kind.name;
        let start = Instant::now();
        loop {
            let ended = self.watch.try_wait();
            if let Some(status) = ended.map_err(Failure::while_doing(format!("wait for {name}")))? {
                return Err(Failure::Failed(format!(
                    "a temporary {name} did not start ({status})"
                )));
            }
            if answers(&self.folder, self.port)? {
                return Ok(());
            }
            let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
            if let Some(fatal) = log
                .lines()
                .find(|line| line.contains(self.kind.fatal) && !line.contains(STARTING))
            {
                return Err(Failure::Failed(format!(
                    "a temporary {name} did not start: {fatal}"
                )));
            }
            if start.elapsed() > Duration::from_secs(START_SECONDS_MAX) {
                return Err(Failure::Failed(format!(
                    "a temporary {name} did not answer within {START_SECONDS_MAX} s; its log:\n{log}"
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for TempServer {
    /// Closing the pipe is the whole signal; then wait, so that nothing is left when we return.
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let start = Instant::now();
        while let Ok(None) = self.watch.try_wait() {
            if start.elapsed() > Duration::from_secs(STOP_SECONDS_MAX) {
                eprintln!(
                    "xtask: the {} in {} is still ending; left to itself",
                    self.kind.name,
                    self.folder.display()
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Words of a command.
pub(super) fn words<T: Into<OsString>>(words: impl IntoIterator<Item = T>) -> Vec<OsString> {
    words.into_iter().map(Into::into).collect()
}

/// Where temporary folders go, in a short path: a socket's may have 107 bytes.
pub(super) fn temp_dir() -> PathBuf {
    if machine::is_root() {
        PathBuf::from("/tmp")
    } else {
        std::env::temp_dir()
    }
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::while_doing("find a free port"))?;
    Ok(listener
        .local_addr()
        .map_err(Failure::while_doing("find a free port"))?
        .port())
}

/// A new folder that the server's user may enter.
fn new_folder(parent: &Path) -> Result<PathBuf, Failure> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let folder = parent.join(format!("metaferry-{}-{now}", std::process::id()));
    // `create_dir` refuses a folder that is already there, so nobody can have prepared this one.
    std::fs::create_dir(&folder).map_err(Failure::while_doing(format!("create {}", folder.display())))?;
    Ok(folder)
}

/// The words before a command that make it run as somebody other than root.
fn server_user(kind: Kind, folder: &Path) -> Result<Vec<String>, Failure> {
    if !machine::is_root() {
        return Ok(Vec::new());
    }
    let Kind { name, user, .. } = kind;
    let owned = Command::new("chown").arg(user).arg(folder).status();
    if !owned.map_err(Failure::while_doing("run chown"))?.success() {
        return Err(Failure::Missing(format!(
            "{name} refuses to run as root and there is no user `{user}` to run it as"
        )));
    }
    Ok(vec![
        "setpriv".to_owned(),
        format!("--reuid={user}"),
        format!("--regid={user}"),
        "--init-groups".to_owned(),
    ])
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
        let folder = new_folder(&temp_dir()).unwrap();
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
        let folder = new_folder(&temp_dir()).unwrap();
        let mut watch = watch(&folder, "false");
        assert_eq!(watch.wait().unwrap().code(), Some(1));
        assert!(!folder.exists());
    }
}
