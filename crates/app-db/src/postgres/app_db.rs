//! The app DB as an object that several ports share: a pool, and the names of our own tables in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metaferry_domain::PortError;
use metaferry_domain::lease::FencingToken;
use sqlx::{PgConnection, PgPool, Postgres, SqlSafeStr as _, SqlStr, Transaction};

use super::own_tables::OwnTables;
use super::stillness::Stillness;
use crate::error::failed;
use crate::guard::{Fence, Switched};
use crate::own_rows::{database_token, no_longer_held};
use crate::patience::{ALONE_EVERY, ALONE_LOOKS};

/// The longest wait for another session's lock within a transaction under the lease.
pub(super) const LOCK_TIMEOUT: &str = "10s";
/// The same where nobody else of ours may begin meanwhile.
const ALONE_LOCK_TIMEOUT: &str = "500ms";
/// The server ends a transaction under the lease whose client says nothing for so long.
const SILENCE_TIMEOUT: &str = "10s";

/// A Postgres app DB, for everything but moving rows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PostgresAppDb {
    pub(super) pool: PgPool,
    pub(super) own: OwnTables,
    /// When tables that are guarded can be written again, whatever has become of us.
    pub(super) guard_max: Duration,
    /// Who switches the setting read-only-mode.
    pub(super) switched: Switched,
    /// From when on stillness is measured, once it is. Clones share it.
    stillness: Arc<Mutex<Option<Stillness>>>,
}

/// As `--read-only-max` has it by default.
const GUARD_MAX: Duration = Duration::from_secs(30 * 60);

impl PostgresAppDb {
    /// Opens the app DB and creates or upgrades our own tables: in a schema `metaferry` where it may be created, else
    /// under the prefix `metaferry_` beside Metabase's.
    ///
    /// # Errors
    /// If the server cannot be reached, or neither may be created.
    pub async fn open(pool: PgPool) -> Result<Self, PortError> {
        let own = OwnTables::prepare(&pool).await?;
        Ok(Self {
            pool,
            own,
            guard_max: GUARD_MAX,
            switched: Switched::default(),
            stillness: Arc::default(),
        })
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

    /// Looks at an app DB without creating anything; `None` if our tables are not there.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn look(pool: PgPool) -> Result<Option<Self>, PortError> {
        Ok(OwnTables::find(&pool).await?.map(|own| Self {
            pool,
            own,
            guard_max: GUARD_MAX,
            switched: Switched::default(),
            stillness: Arc::default(),
        }))
    }

    /// Opens the app DB for looking at its rows and cancelling them, which needs no table of ours and creates none.
    /// Everything that needs the lease fails as long as nobody has opened it by [`PostgresAppDb::open`].
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn open_to_look(pool: PgPool) -> Result<Self, PortError> {
        let own = OwnTables::find(&pool).await?.unwrap_or_default();
        Ok(Self {
            pool,
            own,
            guard_max: GUARD_MAX,
            switched: Switched::default(),
            stillness: Arc::default(),
        })
    }

    pub(super) fn stillness(&self) -> MutexGuard<'_, Option<Stillness>> {
        // What it holds is whole at every moment.
        self.stillness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a transaction that has proved `token`: the lease is ours now, and nobody can take it before the
    /// transaction ends, because taking it waits for the lock on its row (renewing it does not).
    ///
    /// Waiting in it is bounded: for locks by [`LOCK_TIMEOUT`], and for us by the server itself, which ends the
    /// transaction of a machine that has gone silent, so that another can take the lease.
    pub(super) async fn fenced(
        &self,
        token: FencingToken,
    ) -> Result<Transaction<'static, Postgres>, PortError> {
        let mut transaction = self.begin().await?;
        self.prove(&mut transaction, token).await?;
        Ok(transaction)
    }

    /// A transaction during which nobody takes the lease, if there is one.
    pub(super) async fn behind(&self, fence: Fence) -> Result<Transaction<'static, Postgres>, PortError> {
        match fence {
            Fence::Lease(token) => self.fenced(token).await,
            Fence::NoTables => self.begin().await,
        }
    }

    /// A transaction under `token` while no other one is under way, if that is so at some moment soon: what it reads without
    /// a lock then no unheard answer of an earlier one changes any more. It keeps the lease's row, and waits for nobody.
    pub(super) async fn alone(
        &self,
        token: FencingToken,
    ) -> Result<Option<Transaction<'static, Postgres>>, PortError> {
        let sql = format!(
            "SELECT 1 FROM (
                 SELECT set_config('lock_timeout', '{ALONE_LOCK_TIMEOUT}', true),
                     set_config('idle_in_transaction_session_timeout', '{SILENCE_TIMEOUT}', true)
                 FROM {} WHERE token = $1 AND expires_at > clock_timestamp() FOR UPDATE SKIP LOCKED) AS held",
            self.own.lease()
        );
        for _ in 0..ALONE_LOOKS {
            let mut transaction = self.begin().await?;
            let held: Option<i32> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone()))
                .bind(database_token(token)?)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(|error| failed("prove the lease", error))?;
            if held.is_some() {
                return Ok(Some(transaction));
            }
            drop(transaction);
            tokio::time::sleep(ALONE_EVERY).await;
        }
        Ok(None)
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>, PortError> {
        self.begin_with(SqlStr::from_static("BEGIN")).await
    }

    async fn begin_with(&self, begin: SqlStr) -> Result<Transaction<'static, Postgres>, PortError> {
        self.pool
            .begin_with(begin)
            .await
            .map_err(|error| failed("begin a transaction in the app DB", error))
    }

    /// To look at what others may keep locked: whoever waits for the answer waits for nobody else for long, and who does not
    /// leaves no session behind that does.
    pub(super) async fn glance(&self) -> Result<Transaction<'static, Postgres>, PortError> {
        self.begin_with(SqlStr::from_static("BEGIN; SET LOCAL lock_timeout = '1s'"))
            .await
    }

    /// A transaction that proves `token` once it has locked what it is about, by [`PostgresAppDb::prove`]: as long as it
    /// waits for that it holds nobody up who takes the lease, or must know that none is under way.
    pub(super) async fn to_be_fenced(&self) -> Result<Transaction<'static, Postgres>, PortError> {
        let begin = format!(
            "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';
             SET LOCAL idle_in_transaction_session_timeout = '{SILENCE_TIMEOUT}'"
        );
        self.begin_with(sqlx::AssertSqlSafe(begin).into_sql_str()).await
    }

    pub(super) async fn prove(
        &self,
        connection: &mut PgConnection,
        token: FencingToken,
    ) -> Result<(), PortError> {
        let sql = format!(
            "SELECT token FROM (
                 SELECT token, set_config('lock_timeout', '{LOCK_TIMEOUT}', true),
                     set_config('idle_in_transaction_session_timeout', '{SILENCE_TIMEOUT}', true)
                 FROM {} WHERE token = $1 AND expires_at > clock_timestamp() FOR KEY SHARE) AS held",
            self.own.lease()
        );
        let held: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(database_token(token)?)
            .fetch_optional(connection)
            .await
            .map_err(|error| failed("prove the lease", error))?;
        match held {
            Some(_) => Ok(()),
            None => Err(no_longer_held(token)),
        }
    }
}
