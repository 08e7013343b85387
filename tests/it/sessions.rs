//! Sessions of `psql` that do something without end, beside what is tried.

use std::process::{Child, Command, Stdio};

use crate::app_db::psql;

const APPLICATION: &str = "metaferry-test-session";

/// They go on until this is dropped.
pub(crate) struct Sessions {
    url: String,
    sessions: Vec<Child>,
}

impl Sessions {
    /// None yet, over that database.
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            sessions: Vec::new(),
        }
    }

    /// One more.
    pub(crate) fn run(&mut self, sql: &str) {
        let session = Command::new("psql")
            .args(["-qX", "-d", &self.url, "-c", sql])
            .env("PGAPPNAME", APPLICATION)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.sessions.push(session);
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        psql(
            &self.url,
            &format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = '{APPLICATION}'"
            ),
        );
        for session in &mut self.sessions {
            session.wait().ok();
        }
    }
}
