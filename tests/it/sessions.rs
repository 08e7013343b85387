//! Sessions of a server's own client that do something without end, beside what is tried.

use std::process::{Child, Command, Stdio};

use crate::app_db::told;

const APPLICATION: &str = "metaferry-test-session";

/// They go on until this is dropped.
pub(crate) struct Sessions {
    server: Server,
    sessions: Vec<Child>,
}

enum Server {
    /// By URL.
    Postgres(String),
    /// By what the client is told to get to a database where nobody else is.
    MariaDb(Vec<String>),
}

impl Server {
    /// The client, which is to run that.
    fn client(&self, sql: &str) -> Command {
        match self {
            Self::Postgres(url) => {
                let mut psql = Command::new("psql");
                psql.args(["-qX", "-d", url, "-c", sql])
                    .env("PGAPPNAME", APPLICATION);
                psql
            }
            Self::MariaDb(arguments) => {
                let mut mariadb = Command::new("mariadb");
                mariadb.arg("--no-defaults").args(arguments);
                mariadb.args(["--delimiter=//", "--execute", sql]);
                mariadb
            }
        }
    }

    /// Ends everybody else's session that it is about.
    fn end_all(&self) -> String {
        match self {
            Self::Postgres(_) => format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = '{APPLICATION}' AND pid <> pg_backend_pid()"
            ),
            Self::MariaDb(_) => "BEGIN NOT ATOMIC
                 -- Somebody may have ended by himself.
                 DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;
                 FOR session IN (SELECT id FROM information_schema.processlist
                         WHERE db = database() AND id <> connection_id()) DO
                     EXECUTE IMMEDIATE concat('KILL ', session.id);
                 END FOR;
             END"
            .to_owned(),
        }
    }
}

impl Sessions {
    /// None yet, over that database.
    pub(crate) fn new(url: &str) -> Self {
        Self::at(Server::Postgres(url.to_owned()))
    }

    /// None yet, on that server, in a database where nobody else is.
    pub(crate) fn on_mariadb(mut server: Vec<String>, database: &str) -> Self {
        server.push(format!("--database={database}"));
        Self::at(Server::MariaDb(server))
    }

    fn at(server: Server) -> Self {
        Self {
            server,
            sessions: Vec::new(),
        }
    }

    /// One more.
    pub(crate) fn run(&mut self, sql: &str) {
        let mut client = self.server.client(sql);
        let session = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.sessions.push(session.unwrap());
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        let ended = self.server.client(&self.server.end_all()).output().unwrap();
        assert!(
            ended.status.success() || std::thread::panicking(),
            "{}",
            told(&ended)
        );
        for session in &mut self.sessions {
            session.wait().ok();
        }
    }
}
