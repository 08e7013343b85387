//! A session that changes definitions of tables. At first it waits for nobody: where it waits for somebody who has read a
//! table and then writes to it, the server sends that one away, and his transaction is lost. Only for a table that is in use
//! all the time it waits, a second at most, and for the next one it waits for nobody again.
//!
//! MySQL knows no wait of less than a second: there each try may send somebody away.

use std::time::{Duration, Instant};

use metaferry_domain::PortError;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};

use super::connect::{Session, close, session, set_lock_wait};
use super::flavour::Flavour;
use crate::error::{busy, failed};
use crate::patience::{PAUSE, Patience};

/// To come into force.
pub(super) const GENTLE: Waits = Waits::OnceBusyFor(Duration::from_secs(5));
/// Between two tries where nobody queues behind us.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// What each table is given of that when the earlier ones have used it up: longer than who reads and then writes mostly needs.
const GENTLE_LEAST: Duration = Duration::from_millis(500);
/// How long it waits for who has a table in use all the time, and everybody else for it.
const WAIT_SECONDS: u32 = 1;

/// Whether the session ever waits for who has a table in use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waits {
    Never,
    /// Once a table has been in use for so long, at each try; all together, so that many in use take no longer than it is
    /// tried at all.
    OnceBusyFor(Duration),
}

/// The session, and by whom its statements can be ended.
pub(super) struct DdlSession {
    pub(super) connection: MySqlConnection,
    id: i64,
    pool: MySqlPool,
    manners: Manners,
    /// What the session was last told.
    wait_seconds: u32,
}

impl DdlSession {
    pub(super) async fn open(pool: &MySqlPool, waits: Waits) -> Result<Self, PortError> {
        let open = |error| failed("open a session to guard tables", error);
        let Session {
            mut connection,
            flavour,
        } = session(pool).await.map_err(open)?;
        let wait_seconds = flavour.least_lock_wait_seconds();
        set_lock_wait(&mut connection, wait_seconds).await.map_err(open)?;
        let id = id_of(&mut connection).await.map_err(open)?;
        Ok(Self {
            connection,
            id,
            pool: pool.clone(),
            manners: Manners::new(flavour, waits),
            wait_seconds,
        })
    }

    /// Before the next try: who queued behind the last one gets his turn.
    pub(super) fn pause(&self) -> Duration {
        if self.wait_seconds == 0 { TRY_EVERY } else { PAUSE }
    }

    /// One try to change that table, which ends when nobody wants it any more.
    pub(super) async fn try_run(
        &mut self,
        table: &str,
        sql: &str,
        patience: &Patience<'_>,
    ) -> Result<(), sqlx::Error> {
        let wait_seconds = self.manners.wait_seconds(table, Instant::now());
        if wait_seconds != self.wait_seconds {
            set_lock_wait(&mut self.connection, wait_seconds).await?;
            if wait_seconds > self.wait_seconds {
                tracing::info!(target: "cloud_migration", table, "the table is in use all the time: waiting for it");
            }
            self.wait_seconds = wait_seconds;
        }
        let (id, pool) = (self.id, &self.pool);
        let tried = patience
            .see(run(&mut self.connection, sql), || end_statement(pool, id))
            .await;
        match &tried {
            Ok(()) => self.manners.done(Instant::now()),
            Err(error) if busy(error).is_some() => self.manners.in_use(Instant::now()),
            Err(_) => {}
        }
        tried
    }

    pub(super) async fn close(self) {
        close(self.connection).await;
    }
}

/// What a session is told before each of its tries: how long it may wait, by how the earlier ones ended.
#[derive(Debug)]
struct Manners {
    flavour: Flavour,
    waits: Waits,
    /// The table that is being changed.
    table: String,
    /// When it was first found in use, and how long it has been since.
    busy_since: Option<Instant>,
    busy_for: Duration,
    /// Was it in use at the last try?
    is_in_use: bool,
    /// How long nobody was waited for at earlier tables in use.
    spent: Duration,
}

impl Manners {
    fn new(flavour: Flavour, waits: Waits) -> Self {
        Self {
            flavour,
            waits,
            table: String::new(),
            busy_since: None,
            busy_for: Duration::ZERO,
            is_in_use: false,
            spent: Duration::ZERO,
        }
    }

    /// How long the next try may wait, of that table.
    fn wait_seconds(&mut self, table: &str, now: Instant) -> u32 {
        if self.table != table {
            *self = Self {
                table: table.to_owned(),
                spent: self.spent + self.busy_for.min(self.gentle()),
                ..Self::new(self.flavour, self.waits)
            };
        }
        let least = self.flavour.least_lock_wait_seconds();
        match (self.waits, self.busy_since) {
            (Waits::OnceBusyFor(_), Some(since))
                if self.is_in_use && now.saturating_duration_since(since) >= self.gentle() =>
            {
                WAIT_SECONDS.max(least)
            }
            (Waits::OnceBusyFor(_) | Waits::Never, _) => least,
        }
    }

    /// How long nobody is waited for at this table.
    fn gentle(&self) -> Duration {
        match self.waits {
            Waits::OnceBusyFor(gentle) => gentle.saturating_sub(self.spent).max(GENTLE_LEAST),
            Waits::Never => Duration::ZERO,
        }
    }

    fn done(&mut self, now: Instant) {
        if self.is_in_use {
            self.look(now);
        }
        self.is_in_use = false;
    }

    fn in_use(&mut self, now: Instant) {
        self.is_in_use = true;
        self.busy_since.get_or_insert(now);
        self.look(now);
    }

    fn look(&mut self, now: Instant) {
        let since = self.busy_since.unwrap_or(now);
        self.busy_for = now.saturating_duration_since(since);
    }
}

pub(super) async fn run(connection: &mut MySqlConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

/// By what the server knows a session.
pub(super) async fn id_of(connection: &mut MySqlConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT CAST(CONNECTION_ID() AS SIGNED)")
        .fetch_one(connection)
        .await
}

/// The same, for work on rows.
pub(super) async fn session_of(connection: &mut MySqlConnection) -> Result<i64, PortError> {
    id_of(connection)
        .await
        .map_err(|error| failed("ask for the session's own number", error))
}

/// Ends what that session is about, and not the session: everybody may of his own.
pub(super) async fn end_statement(pool: &MySqlPool, id: i64) {
    let sql = format!("KILL QUERY {id}");
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await {
        tracing::debug!(%error, "a statement that nobody wants any more is not ended by the server");
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{GENTLE_LEAST, Manners, Waits};
    use crate::mysql::flavour::Flavour;

    const GENTLE: Duration = Duration::from_secs(5);

    /// On MariaDB, and the moment `seconds` later.
    fn on_mariadb() -> (Manners, impl Fn(u64) -> Instant) {
        let began = Instant::now();
        let manners = Manners::new(Flavour::MariaDb, Waits::OnceBusyFor(GENTLE));
        (manners, move |seconds| began + Duration::from_secs(seconds))
    }

    /// It counted from the session's opening: after a hundred tables made it waited for whoever read the next one.
    #[test]
    fn much_work_before_makes_it_no_less_gentle() {
        let (mut manners, at) = on_mariadb();
        for second in 0..100 {
            assert_eq!(manners.wait_seconds(&format!("table {second}"), at(second)), 0);
            manners.done(at(second));
        }
        assert_eq!(manners.wait_seconds("busy", at(100)), 0);
        manners.in_use(at(100));
        assert_eq!(manners.wait_seconds("busy", at(104)), 0);
        manners.in_use(at(104));
        assert_eq!(manners.wait_seconds("busy", at(105)), 1, "five seconds are over");
    }

    /// It went on waiting for everybody.
    #[test]
    fn having_waited_for_one_it_waits_for_nobody_again() {
        let (mut manners, at) = on_mariadb();
        manners.wait_seconds("busy", at(0));
        manners.in_use(at(0));
        assert_eq!(manners.wait_seconds("busy", at(9)), 1);
        manners.done(at(10));
        assert_eq!(manners.wait_seconds("busy", at(10)), 0, "of the same table");
        manners.in_use(at(10));
        assert_eq!(manners.wait_seconds("busy", at(11)), 1, "which has had its time");
        manners.in_use(at(12));
        assert_eq!(
            manners.wait_seconds("next", at(13)),
            0,
            "the busy one is left as it is"
        );
    }

    /// Each had five seconds of its own: with ten in use the whole was tried again and again.
    #[test]
    fn many_tables_in_use_have_its_time_together_and_a_moment_each() {
        let (mut manners, at) = on_mariadb();
        manners.wait_seconds("first", at(0));
        manners.in_use(at(0));
        manners.done(at(2));
        manners.wait_seconds("second", at(9));
        manners.in_use(at(10));
        assert_eq!(manners.wait_seconds("second", at(12)), 0, "three are left");
        assert_eq!(manners.wait_seconds("second", at(13)), 1);
        manners.done(at(14));
        manners.wait_seconds("third", at(14));
        manners.in_use(at(14));
        let soon = at(14) + GENTLE_LEAST / 2;
        assert_eq!(manners.wait_seconds("third", soon), 0);
        assert_eq!(manners.wait_seconds("third", soon + GENTLE_LEAST), 1);
    }

    #[test]
    fn who_only_asks_never_waits_and_mysql_waits_its_least() {
        for (flavour, least) in [(Flavour::MariaDb, 0), (Flavour::MySql, 1)] {
            let began = Instant::now();
            let mut manners = Manners::new(flavour, Waits::Never);
            for hours in 0..3 {
                let now = began + Duration::from_secs(hours * 3600);
                assert_eq!(manners.wait_seconds("asked", now), least);
                manners.in_use(now);
            }
        }
    }
}
