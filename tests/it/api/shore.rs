//! What stands around an app DB, whatever its server: a store and a server of ours, each a process of its own, the folder
//! of their files, and `curl`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use metaferry_sample::credentials::SUPERUSER_API_KEY;

use crate::app_db::{PACE, PATIENCE, Process, came_true, command, files_in, listen, program};

/// Everything ends with it.
pub(crate) struct Shore {
    folder: tempfile::TempDir,
    /// With the trailing slash left out.
    server: String,
    store: String,
    propagation_seconds: u32,
    processes: Vec<Process>,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn state(&self) -> String {
        self.json()["state"].as_str().unwrap().to_owned()
    }
}

impl Shore {
    /// A `metaferry store`, unless there is another one; nothing serves yet.
    pub(crate) fn start(store: Option<String>, propagation_seconds: u32) -> Self {
        let mut shore = Self {
            folder: tempfile::tempdir().unwrap(),
            server: String::new(),
            store: String::new(),
            propagation_seconds,
            processes: Vec::new(),
        };
        shore.store = store.unwrap_or_else(|| {
            let data = shore.folder().join("store");
            let mut store = Command::new(program());
            shore.run(store.arg("store").arg("--data").arg(data), "store.log")
        });
        shore
    }

    /// Starts the program that is asked from now on.
    pub(crate) fn serve(&mut self, serve: &mut Command) {
        self.server = self.run(serve, "serve.log");
    }

    /// Ends every process.
    pub(crate) fn end(&mut self) {
        self.processes.clear();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a program on a port of the system's choice; answers its address.
    fn run(&mut self, command: &mut Command, log: &str) -> String {
        let (process, address) = listen(command, &self.folder().join(log));
        self.processes.push(process);
        address
    }

    /// The program, told of this store, folder and version.
    pub(crate) fn metaferry(&self) -> Command {
        let mut metaferry = command();
        metaferry
            .env("MB_STORE_API_URL", &self.store)
            .env("METAFERRY_METABASE_VERSION", "v0.55.0")
            .env("METAFERRY_DATA_DIR", self.data_dir())
            .env(
                "METAFERRY_PROPAGATION_SECONDS",
                self.propagation_seconds.to_string(),
            );
        metaferry
    }

    /// Where the store listens.
    pub(crate) fn store_address(&self) -> SocketAddr {
        self.store.trim_start_matches("http://").parse().unwrap()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("serve.log")).unwrap_or_default()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let answer = self.ask_at(&self.server, method, path, headers);
        answer.unwrap_or_else(|| panic!("{method} {path}: no answer: {}", self.log()))
    }

    /// The same of another server; `None` where it gives no answer.
    pub(crate) fn ask_at(&self, server: &str, method: &str, path: &str, headers: &[&str]) -> Option<Answer> {
        let mut curl = Command::new("curl");
        curl.args([
            "--noproxy",
            "*",
            "-sS",
            "--max-time",
            "30",
            "-X",
            method,
            "-w",
            "\n%{http_code}",
        ]);
        for header in headers {
            curl.args(["-H", header]);
        }
        let output = curl.arg(format!("{server}{path}")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        let status = status.parse().unwrap();
        (status != 0).then(|| Answer {
            status,
            body: body.to_owned(),
        })
    }

    fn as_superuser(&self, method: &str, path: &str) -> Answer {
        self.ask(method, path, &[&format!("X-API-KEY: {SUPERUSER_API_KEY}")])
    }

    pub(crate) fn begin(&self) -> Answer {
        self.as_superuser("POST", "/api/cloud-migration")
    }

    pub(crate) fn newest(&self) -> Answer {
        self.as_superuser("GET", "/api/cloud-migration")
    }

    pub(crate) fn cancel(&self) -> Answer {
        self.as_superuser("PUT", "/api/cloud-migration/cancel")
    }

    /// Whether a file with that content lies in the store's folder.
    pub(crate) fn store_has(&self, bytes: &[u8]) -> bool {
        self.stored().iter().any(|stored| stored == bytes)
    }

    /// The H2 files in the store's folder.
    pub(crate) fn arrived(&self) -> Vec<Vec<u8>> {
        let mut stored = self.stored();
        stored.retain(|bytes| bytes.starts_with(b"H:2"));
        stored
    }

    fn stored(&self) -> Vec<Vec<u8>> {
        let mut folders = vec![self.folder().join("store")];
        let mut stored = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    stored.push(std::fs::read(entry.path()).unwrap());
                }
            }
        }
        stored
    }

    /// All that the store says of a migration.
    pub(crate) fn told_by_store(&self, external_id: &str) -> String {
        let url = format!("{}/api/v2/migration/{external_id}", self.store);
        let output = Command::new("curl")
            .args(["--noproxy", "*", "-sS", &url])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the store says of a migration's state.
    pub(crate) fn state_at_store(&self, external_id: &str) -> String {
        let told = self.told_by_store(external_id);
        let json: serde_json::Value =
            serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        json["state"]
            .as_str()
            .or(json["status"].as_str())
            .unwrap_or_else(|| panic!("{json}"))
            .to_owned()
    }

    /// Multipart uploads that the store still waits for, by the folders of their parts.
    pub(crate) fn open_uploads(&self) -> Vec<String> {
        let migrations = self.folder().join("store/migrations");
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        let of_each = names(&migrations)
            .into_iter()
            .flat_map(|id| names(&migrations.join(id)));
        of_each.filter(|name| name.starts_with("parts-")).collect()
    }

    /// Whatever lies in the data folder's folders, and in those of other nodes, but `undo.sql`.
    pub(crate) fn dumps(&self) -> Vec<String> {
        let beside = std::fs::read_dir(self.folder()).unwrap();
        let data = beside
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name().into_string().unwrap().starts_with("data"));
        let files = data.flat_map(|folder| files_in(&folder.path()));
        let names = files.map(|file| file.file_name().unwrap().to_str().unwrap().to_owned());
        names.filter(|name| name != "undo.sql").collect()
    }

    /// Until the newest row is so.
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Answer) -> bool) -> Answer {
        let mut last = None;
        self.wait_for(what, || {
            let answer = self.newest();
            let so = is_so(&answer);
            last = Some(answer);
            so
        });
        last.unwrap()
    }

    pub(crate) fn wait_for(&self, what: &str, is_so: impl FnMut() -> bool) {
        let came_true = came_true(PATIENCE, PACE, is_so);
        assert!(came_true, "waited in vain until {what}: {}", self.log());
    }
}
