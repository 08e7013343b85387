//! The app DB as an object that several ports share: a pool, our own tables in it, and transactions under the lease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metaferry_domain::PortError;
use metaferry_domain::lease::FencingToken;
use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlConnection, MySqlPool, Transaction};

use super::guard_session::GuardSession;
use super::own_tables;
use super::stillness::Watch;
use crate::error::{failed, mysql_number};
use crate::guard::{Fence, Switched};
use crate::own_rows::{database_token, no_longer_held};
use crate::patience::{ALONE_EVERY, ALONE_LOOKS};

/// A MySQL or MariaDB app DB, for everything but moving rows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MySqlAppDb {
    pub(super) pool: MySqlPool,
    /// Who switches the setting read-only-mode.
    pub(super) switched: Switched,
    /// From when on stillness is measured, once it is. Clones share it.
    watch: Arc<Mutex<Watch>>,
    /// When tables that are guarded can be written again, whatever has become of us.
    pub(super) guard_max: Duration,
    /// While this process guards tables. Clones share it.
    pub(super) guard: Arc<tokio::sync::Mutex<Option<GuardSession>>>,
}

/// As `--read-only-max` has it by default.
const GUARD_MAX: Duration = Duration::from_secs(30 * 60);

/// The server's clock now, in microseconds since 1970, whatever the session's zone: not `NOW()`, which stands still
/// while a statement waits for a lock.
pub(super) const NOW_MICROS: &str = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";

impl MySqlAppDb {
    /// Opens the app DB and creates or upgrades our own tables, under the prefix `metaferry_` beside Metabase's.
    ///
    /// # Errors
    /// If the server cannot be reached, or they may not be created.
    pub async fn open(pool: MySqlPool) -> Result<Self, PortError> {
        own_tables::prepare(&pool).await?;
        Ok(Self::open_to_look(pool))
    }

    /// Opens the app DB for looking at its rows and cancelling them, which needs no table of ours and creates none.
    /// Everything that needs the lease fails as long as nobody has opened it by [`MySqlAppDb::open`].
    #[must_use]
    pub fn open_to_look(pool: MySqlPool) -> Self {
        Self {
            pool,
            watch: Arc::default(),
            guard_max: GUARD_MAX,
            switched: Switched::default(),
            guard: Arc::default(),
        }
    }

    /// The same, with another absolute end of read-only of strength `enforced` than half an hour after it went on.
    #[must_use]
    pub fn with_guard_max(self, guard_max: Duration) -> Self {
        Self { guard_max, ..self }
    }

    /// The same, where Metabase itself is asked to switch the setting: while it has one of the two rows locked it is waited for
    /// when that is put back.
    #[must_use]
    pub fn switched_by_metabase(self) -> Self {
        Self {
            switched: Switched::ByMetabase,
            ..self
        }
    }

    pub(super) fn watch_state(&self) -> MutexGuard<'_, Watch> {
        // What it holds is whole at every moment.
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session of the pool.
    pub(super) async fn connection(&self) -> Result<PoolConnection<MySql>, PortError> {
        self.pool
            .acquire()
            .await
            .map_err(|error| failed("get a connection to the app DB", error))
    }

    /// Begins a transaction that has proved `token`: the lease is ours now, and nobody can take it before the
    /// transaction ends, because taking it waits for the lock on the fence (renewing it does not).
    ///
    /// Waiting in it is bounded by the pool's sessions: for locks, and on MariaDB for us, by the server itself, which
    /// ends the transaction of a machine that has gone silent, so that another can take the lease.
    pub(super) async fn fenced(&self, token: FencingToken) -> Result<Transaction<'static, MySql>, PortError> {
        let mut transaction = self.begin().await?;
        self.fence(&mut transaction, token).await?;
        Ok(transaction)
    }

    /// The same in a transaction that has locked before what it is about: as long as it waits for that it holds nobody up
    /// who takes the lease, or must know that none is under way.
    pub(super) async fn fence(
        &self,
        connection: &mut MySqlConnection,
        token: FencingToken,
    ) -> Result<(), PortError> {
        sqlx::query("SELECT id FROM metaferry_lease WHERE id = 2 LOCK IN SHARE MODE")
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| failed("prove the lease", error))?;
        self.prove(connection, token).await
    }

    /// A transaction under `token` while no other one is under way, if that is so at some moment soon: what it reads without
    /// a lock then no unheard answer of an earlier one changes any more. It waits for nobody.
    pub(super) async fn alone(
        &self,
        token: FencingToken,
    ) -> Result<Option<Transaction<'static, MySql>>, PortError> {
        for _ in 0..ALONE_LOOKS {
            let mut transaction = self.begin().await?;
            let fence = sqlx::query("SELECT id FROM metaferry_lease WHERE id = 2 FOR UPDATE NOWAIT")
                .fetch_optional(&mut *transaction)
                .await;
            match fence {
                Ok(_) => {
                    self.prove(&mut transaction, token).await?;
                    return Ok(Some(transaction));
                }
                Err(error) if is_locked(&error) => {
                    drop(transaction);
                    tokio::time::sleep(ALONE_EVERY).await;
                }
                Err(error) => return Err(failed("prove the lease", error)),
            }
        }
        Ok(None)
    }

    /// The lease is ours, for as long as the fence is kept.
    async fn prove(&self, connection: &mut MySqlConnection, token: FencingToken) -> Result<(), PortError> {
        let held: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT token FROM metaferry_lease WHERE id = 1 AND token = ? AND expires_at_micros > {NOW_MICROS}"
        )))
        .bind(database_token(token)?)
        .fetch_optional(connection)
        .await
        .map_err(|error| failed("prove the lease", error))?;
        match held {
            Some(_) => Ok(()),
            None => Err(no_longer_held(token)),
        }
    }

    /// A transaction during which nobody takes the lease, if there is one.
    pub(super) async fn behind(&self, fence: Fence) -> Result<Transaction<'static, MySql>, PortError> {
        match fence {
            Fence::Lease(token) => self.fenced(token).await,
            Fence::NoTables => self.begin().await,
        }
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, MySql>, PortError> {
        self.pool
            .begin()
            .await
            .map_err(|error| failed("begin a transaction in the app DB", error))
    }
}

/// Refused at once, because somebody else has it: MariaDB and MySQL say so by different numbers.
pub(super) fn is_locked(error: &sqlx::Error) -> bool {
    matches!(mysql_number(error), Some(1205 | 3572))
}
