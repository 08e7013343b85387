//! The program as a process of its own: begun, waited for, and what it said.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks: a look costs the processes under test their time.
pub(crate) const PACE: Duration = Duration::from_millis(40);

/// The program that was built beside the tests.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("metaferry")
}

/// The program, with nothing of this machine's environment that names an app DB.
pub(crate) fn command() -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        let known = name.to_string_lossy();
        if known.starts_with("MB_") || known.starts_with("METAFERRY_") {
            command.env_remove(&name);
        }
    }
    command
}

/// A process that ends with this.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, where this fails.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts a program that listens on a port of the system's choice and says so in its log; answers its address.
pub(crate) fn listen(command: &mut Command, log: &Path) -> (Process, String) {
    listen_at("127.0.0.1:0", command, log)
}

/// The same, at that address.
pub(crate) fn listen_at(address: &str, command: &mut Command, log: &Path) -> (Process, String) {
    let file = std::fs::File::create(log).unwrap();
    let child = command
        .args(["--listen", address])
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let process = Process(child);
    let began = Instant::now();
    loop {
        let said = std::fs::read_to_string(log).unwrap();
        if let Some((address, _)) = said
            .split_once("listens on ")
            .and_then(|(_, rest)| rest.split_once(['\n', ',']))
        {
            return (process, address.to_owned());
        }
        assert!(began.elapsed() < PATIENCE, "nobody listens: {said}");
        std::thread::park_timeout(PACE);
    }
}

/// The files in a data folder, and in the folders of app DBs in it.
pub(crate) fn files_in(data: &Path) -> Vec<PathBuf> {
    let paths = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let (folders, mut files): (Vec<_>, Vec<_>) = paths(data).into_iter().partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| paths(folder)));
    files
}

/// The `undo.sql` of the only app DB that has files there.
pub(crate) fn undo_script_in(data: &Path) -> PathBuf {
    let mut scripts = files_in(data);
    scripts.retain(|file| file.ends_with("undo.sql"));
    assert_eq!(scripts.len(), 1, "{scripts:?}");
    scripts.remove(0)
}

/// Looks again and again, with pauses.
pub(crate) fn wait_for(what: &str, is_so: impl FnMut() -> bool) {
    assert!(came_true(PATIENCE, PACE, is_so), "waited in vain until {what}");
}

/// Looks again and again, for so long and with such pauses; whether it came true.
pub(crate) fn came_true(patience: Duration, pace: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > patience {
            return false;
        }
        std::thread::park_timeout(pace);
    }
    true
}

/// Sends a signal by its name.
pub(crate) fn signal(name: &str, process: u32) {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process.to_string()])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{name}: {}", told(&sent));
}

/// Runs it.
pub(crate) fn metaferry(arguments: &[&str]) -> Output {
    metaferry_with(&[], arguments)
}

/// The same, with some variables.
pub(crate) fn metaferry_with(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let variables = variables.iter().copied();
    command().envs(variables).args(arguments).output().unwrap()
}

/// The JSON that a command printed, and its exit code.
pub(crate) fn ended(output: &Output) -> (Value, i32) {
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|error| panic!("{error}: {}", told(output)));
    (json, output.status.code().unwrap())
}

/// What a command that went well says, and the most memory that it had, by GNU time.
pub(crate) fn measured(variables: &[(&str, &str)], arguments: &[&str]) -> (Value, u64) {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("time");
    let output = Command::new("/usr/bin/time")
        .envs(variables.iter().copied())
        .args(["-f", "%M", "-o"])
        .arg(&report)
        .arg(program())
        .args(arguments)
        .output()
        .unwrap();
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    let peak = std::fs::read_to_string(report).unwrap();
    (json, peak.trim().parse().unwrap())
}

/// What a command said of itself.
pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
