//! The session breaks in the step that shows a load's tables: what became of it is looked at, not guessed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use metaferry_app_db::load::{LoadOptions, UnknownColumns, Users};
use metaferry_app_db::mysql::{MySqlServer, MySqlTarget};
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{FinishedTarget, LoadTarget as _, Target as _};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::database::TestDatabase;

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// How the session breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    /// The server ends it, and with it what it was doing.
    Killed,
    /// The line does; the server goes on.
    Cut,
}

/// Between us and the server, until it is cut. New connections are let through again.
struct Line {
    port: u16,
    open: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Line {
    async fn to(host: String, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let open: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let connections = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect((host.as_str(), port)).await.unwrap();
                let running =
                    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
                connections.lock().unwrap().push(running.abort_handle());
            }
        });
        Self { port: own_port, open }
    }

    fn cut(&self) {
        for connection in self.open.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

async fn texts(connection: &mut MySqlConnection, sql: String) -> Vec<String> {
    sqlx::query_scalar::<_, Vec<u8>>(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await
        .unwrap()
        .into_iter()
        .map(|text| String::from_utf8(text).unwrap())
        .collect()
}

fn relations(database: &TestDatabase) -> String {
    format!(
        "SELECT CAST(table_name AS BINARY) FROM information_schema.tables WHERE table_schema = '{}' ORDER BY 1",
        database.address.database
    )
}

/// A load of one table and one view that waits for somebody in its last step when its session breaks. What it said, and
/// what is there then.
async fn broken(
    broken: Break,
    source: &TestDatabase,
    to: &TestDatabase,
) -> (Result<FinishedTarget, PortError>, Vec<String>) {
    let line = Line::to(to.address.host.clone(), to.address.port).await;
    let mut address = to.address.clone();
    "127.0.0.1".clone_into(&mut address.host);
    address.port = line.port;
    let options = LoadOptions {
        users: Users::Refuse,
        unknown: UnknownColumns::Refuse,
    };
    let snapshot = source.snapshot().await;
    let mut target = Box::new(MySqlTarget::new(MySqlServer::new(&address), options));
    let catalogue = snapshot.catalogue();
    target.survey(catalogue, &CopyPolicy::default()).await.unwrap();
    target.prepare(catalogue).await.unwrap();
    target.table("quay", &[0]).await.unwrap().finish().await.unwrap();
    target.reread().await.unwrap().close().await.unwrap();
    snapshot.close().await.unwrap();

    let mut admin = MySqlConnection::connect(&to.admin_url).await.unwrap();
    let mut holder = to.connect().await;
    let there = texts(&mut admin, relations(to)).await;
    let staged = there.iter().find(|name| name.ends_with("_0")).unwrap();
    let hold = format!("START TRANSACTION; SELECT * FROM {staged}");
    sqlx::raw_sql(AssertSqlSafe(hold))
        .execute(&mut holder)
        .await
        .unwrap();
    let finishing = tokio::spawn(target.finish());
    let waiting = format!(
        "SELECT CAST(id AS BINARY) FROM information_schema.processlist
         WHERE db = '{}' AND state = 'Waiting for table metadata lock'",
        to.address.database
    );
    let began = tokio::time::Instant::now();
    let leader = loop {
        if let [leader] = &texts(&mut admin, waiting.clone()).await[..] {
            break leader.clone();
        }
        assert!(began.elapsed() < PATIENCE, "nothing waits for the holder");
    };
    match broken {
        Break::Killed => {
            let kill = format!("KILL {leader}");
            sqlx::raw_sql(AssertSqlSafe(kill))
                .execute(&mut admin)
                .await
                .unwrap();
            // The server marks the session and wakes it: one that is let go before it woke still does its step.
            while !texts(&mut admin, waiting.clone()).await.is_empty() {
                assert!(began.elapsed() < PATIENCE, "the session outlives its end");
            }
        }
        Break::Cut => line.cut(),
    }
    holder.close().await.unwrap();
    let finished = finishing.await.unwrap();
    (finished, texts(&mut admin, relations(to)).await)
}

/// It said "remove what load … left" of a session that was gone, left the tables there, and took what had been shown
/// for a failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_breaks_in_the_last_step_is_told_as_what_became_of_it() {
    let Some(source) = TestDatabase::new().await else {
        return;
    };
    source
        .execute("CREATE TABLE quay (id int PRIMARY KEY); CREATE VIEW quays AS SELECT id FROM quay")
        .await;
    let killed = TestDatabase::new().await.unwrap();
    let (finished, there) = broken(Break::Killed, &source, &killed).await;
    let error = finished.unwrap_err();
    assert_eq!(error.what, "show the new tables", "{error:?}");
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert_eq!(there, [""; 0]);

    let cut = TestDatabase::new().await.unwrap();
    let (finished, there) = broken(Break::Cut, &source, &cut).await;
    let notes = finished.unwrap().notes;
    assert!(
        notes.iter().any(|note| note.contains("the last step is done")),
        "{notes:?}"
    );
    assert_eq!(there, ["quay", "quays"]);
    for database in [source, killed, cut] {
        database.drop().await;
    }
}
