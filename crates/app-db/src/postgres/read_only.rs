//! Metabase's read-only setting, switched in the app DB by its own bump protocol, and exactly put back.

use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{ReadOnlyBefore, ReadOnlyGuard, ReadOnlyProof};
use metaferry_domain::quiesce::{NodeEvidence, Told};
use metaferry_domain::schema::Dialect;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_metabase::read_only::ReadOnlyMode;
use metaferry_metabase::settings::{Bump, DatabaseNow, LAST_UPDATED, READ_ONLY_MODE};
use sqlx::{AssertSqlSafe, PgConnection};

use super::app_db::PostgresAppDb;
use super::guard::{Guarded, guard_obstacle};
use super::scheduler::check_ins;
use super::stillness::Stillness;
use super::switch::Changed;
use super::triggers::{end_statement, session_of};
use crate::error::failed;
use crate::guard::{Effort, Fence, Switched};
use crate::nodes::{self, lately};
use crate::patience::{pause, while_wanted};
use crate::transaction::{commit, ended};

/// What switching does to the row of [`READ_ONLY_MODE`].
enum Switch<'a> {
    /// Ours, if nobody else has changed it.
    On(&'a ReadOnlyBefore, Guarded),
    /// What was there before, if it is still ours.
    Back(&'a ReadOnlyBefore),
}

impl<'a> Switch<'a> {
    /// The value to be; `None` for no row.
    fn wanted(&self) -> Option<&'a str> {
        match self {
            Self::On(before, _) => Some(&before.ours),
            Self::Back(before) => before.value.as_deref(),
        }
    }

    /// Is a row of this value to be changed?
    fn changes(&self, now: Option<&str>) -> bool {
        let may = match self {
            Self::On(..) => true,
            Self::Back(before) => now == Some(&before.ours),
        };
        may && now != self.wanted()
    }

    /// May it be switched, if this is there?
    fn admit(&self, now: Option<&str>) -> Result<(), PortError> {
        match self {
            Self::On(before, _) => before.still_holds(now),
            Self::Back(_) => Ok(()),
        }
    }

    /// What the dead man's switch has to know afterwards.
    fn changed(&self) -> Changed<'a> {
        match self {
            Self::On(before, _) => Changed::ReadOnly(before),
            Self::Back(_) => Changed::ReadOnlyRestored,
        }
    }

    /// Whether tables are guarded afterwards.
    fn guarded(&self) -> Guarded {
        match self {
            Self::On(_, guarded) => *guarded,
            Self::Back(_) => Guarded::No,
        }
    }
}

/// How often a bump that must wait for the clock is tried: the longest wait is ten seconds each.
const BUMP_TRIES: u32 = 3;

#[async_trait]
impl ReadOnlyGuard for PostgresAppDb {
    async fn before(&self) -> Result<ReadOnlyBefore, PortError> {
        Ok(ReadOnlyBefore {
            value: self.read_only_value().await?,
            ours: ReadOnlyMode::On.setting_text().to_owned(),
        })
    }

    async fn engage(
        &self,
        token: FencingToken,
        strength: ReadOnlyStrength,
        before: &ReadOnlyBefore,
        cancel: &Cancellation,
    ) -> Result<(), PortError> {
        match strength {
            ReadOnlyStrength::None => Ok(()),
            ReadOnlyStrength::Flag => self.switch(token, &Switch::On(before, Guarded::No), cancel).await,
            ReadOnlyStrength::Enforced => {
                self.make_guard(token, cancel).await?;
                self.switch(token, &Switch::On(before, Guarded::Yes), cancel)
                    .await?;
                self.guard_holds_since_now(token).await
            }
        }
    }

    async fn nodes(&self) -> Result<NodeEvidence, PortError> {
        let look = |error| failed("list the connections to the app DB", error);
        let mut connection = self.glance().await?;
        // Of other users' sessions we may not see the kind: then it is taken for a client; nor the host: then each user
        // counts as one.
        let hosts: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT coalesce(host(client_addr), CASE WHEN client_port = -1 THEN 'the database''s own' END,
                 'unknown host of ' || coalesce(usename, 'an unknown user'))
             FROM pg_stat_activity
             WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend'
               AND application_name IS DISTINCT FROM 'metaferry' ORDER BY 1",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(look)?;
        let look = |error| failed("look for check-ins of Metabase's nodes", error);
        let (exists, now_ms): (bool, i64) = sqlx::query_as(
            "SELECT to_regclass('qrtz_scheduler_state') IS NOT NULL,
                 (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(look)?;
        let check_ins = if exists {
            check_ins(&mut connection).await?
        } else {
            Vec::new()
        };
        Ok(NodeEvidence {
            told: Told::BehindItsBack,
            check_ins: Some(lately(check_ins, now_ms)),
            client_hosts: Some(hosts),
        })
    }

    async fn announce(
        &self,
        token: FencingToken,
        before: &ReadOnlyBefore,
        cancel: &Cancellation,
    ) -> Result<(), PortError> {
        let mut transaction = self.fenced(token).await?;
        let session = session_of(&mut transaction).await?;
        let locking = setting(&mut transaction, READ_ONLY_MODE, " FOR UPDATE");
        let now = while_wanted(cancel, locking, || end_statement(&self.pool, session)).await;
        let announced = async {
            before.still_holds(now?.as_deref())?;
            // What the switch could not put back rightly, it must not touch.
            if column_obstacle(&mut transaction).await?.is_none() {
                let changed = Changed::ReadOnly(before);
                changed.record(&self.own, &mut transaction).await?;
            }
            Ok(())
        };
        let announced = announced.await;
        ended(transaction, announced, "write down what must be put back").await
    }

    async fn prove(
        &self,
        strength: ReadOnlyStrength,
        before: &ReadOnlyBefore,
    ) -> Result<ReadOnlyProof, PortError> {
        let guarded = match strength {
            ReadOnlyStrength::None => return Ok(ReadOnlyProof::Held),
            ReadOnlyStrength::Flag => Guarded::No,
            ReadOnlyStrength::Enforced => {
                self.prove_guard().await?;
                Guarded::Yes
            }
        };
        let value = self.read_only_value().await?;
        if value.as_ref() != Some(&before.ours) {
            return Ok(ReadOnlyProof::SwitchedOff { value });
        }
        let watched = self.stillness().clone();
        let tables = match watched {
            Some(stillness) => stillness.broken(&self.pool, guarded).await?,
            None => Vec::new(),
        };
        Ok(if tables.is_empty() {
            ReadOnlyProof::Held
        } else {
            ReadOnlyProof::WrittenTo { tables }
        })
    }

    async fn restore(&self, token: FencingToken, before: &ReadOnlyBefore) -> Result<(), PortError> {
        // First, and for itself: whoever keeps the setting locked must not keep everybody from writing.
        let mut transaction = self.fenced(token).await?;
        self.arm_guard(&mut transaction, Guarded::No).await?;
        commit(transaction, "let everybody write again").await?;
        self.switch(token, &Switch::Back(before), &Cancellation::new())
            .await?;
        // Whatever is left of it does nothing any more, and goes by `recover`, `uninstall`, a node that serves or the next
        // migration.
        self.remove_guard(Fence::Lease(token), Effort::Asked)
            .await
            .map(drop)
    }

    async fn watch(&self, strength: ReadOnlyStrength) -> Result<(), PortError> {
        if strength != ReadOnlyStrength::None {
            let begins = Stillness::begins(&self.pool).await?;
            *self.stillness() = Some(begins);
        }
        Ok(())
    }

    async fn why_not(&self, strength: ReadOnlyStrength) -> Result<Option<String>, PortError> {
        match strength {
            ReadOnlyStrength::None | ReadOnlyStrength::Flag => Ok(None),
            ReadOnlyStrength::Enforced => guard_obstacle(&self.pool, &self.own).await,
        }
    }

    async fn why_not_switched(&self) -> Result<Option<String>, PortError> {
        let mut connection = self.glance().await?;
        nodes::obstacle(look_how_told(&mut connection).await)
    }

    async fn still_writing(&self, strength: ReadOnlyStrength) -> Result<u64, PortError> {
        match strength {
            ReadOnlyStrength::None | ReadOnlyStrength::Flag => Ok(0),
            ReadOnlyStrength::Enforced => self.writers_before_guard().await,
        }
    }
}

impl PostgresAppDb {
    async fn read_only_value(&self) -> Result<Option<String>, PortError> {
        let mut connection = self.glance().await?;
        setting(&mut connection, READ_ONLY_MODE, "").await
    }

    /// Changes the setting and lets every node know, in one transaction.
    async fn switch(
        &self,
        token: FencingToken,
        switch: &Switch<'_>,
        cancel: &Cancellation,
    ) -> Result<(), PortError> {
        for _ in 0..BUMP_TRIES {
            match self.try_switch(token, switch, cancel).await? {
                None => return Ok(()),
                Some(wait) => pause(wait, cancel).await?,
            }
        }
        Err(PortError::new(
            ErrorKind::Unavailable,
            "the setting settings-last-updated is ahead of the database's clock and stays so; try again later",
        ))
    }

    async fn try_switch(
        &self,
        token: FencingToken,
        switch: &Switch<'_>,
        cancel: &Cancellation,
    ) -> Result<Option<Duration>, PortError> {
        const WHAT: &str = "write the setting read-only-mode";
        if let Switch::Back(_) = switch
            && self.is_back(token, switch).await?
        {
            return Ok(None);
        }
        let mut transaction = self.fenced(token).await?;
        let session = session_of(&mut transaction).await?;
        let switching = self.switched(&mut transaction, switch);
        match while_wanted(cancel, switching, || end_statement(&self.pool, session)).await {
            // What was written down by then is not yet to be.
            Ok(Some(wait)) => transaction
                .rollback()
                .await
                .map(|()| Some(wait))
                .map_err(|error| failed(WHAT, error)),
            done => ended(transaction, done, WHAT).await,
        }
    }

    /// Whether nothing is to be put back for sure: whoever keeps the setting locked is not waited for.
    async fn is_back(&self, token: FencingToken, switch: &Switch<'_>) -> Result<bool, PortError> {
        if self.switched == Switched::ByMetabase {
            return Ok(false);
        }
        let Some(mut transaction) = self.alone(token).await? else {
            return Ok(false);
        };
        let is_back = match setting(&mut transaction, READ_ONLY_MODE, "").await {
            Ok(now) => !switch.changes(now.as_deref()),
            // The whole table is somebody's.
            Err(error) if error.kind == ErrorKind::Unavailable => false,
            Err(error) => return Err(error),
        };
        if is_back {
            self.note(&mut transaction, switch).await?;
            commit(transaction, "write down that nothing must be put back").await?;
        } else {
            // Before others begin: it keeps the lease's row.
            let _ = transaction.rollback().await;
        }
        Ok(is_back)
    }

    /// Writes it under the locks of both rows; answers how long it must wait for the clock before, having written nothing
    /// that may stay.
    async fn switched(
        &self,
        connection: &mut PgConnection,
        switch: &Switch<'_>,
    ) -> Result<Option<Duration>, PortError> {
        setting(connection, READ_ONLY_MODE, " FOR UPDATE").await?;
        // Its lock, before the lease's row is written to: renewing the lease would wait for whoever has this one.
        setting(connection, LAST_UPDATED, " FOR UPDATE").await?;
        // Only now: a row that Metabase is inserting is seen by nobody before it has written the other one too, and committed.
        let now = setting(connection, READ_ONLY_MODE, " FOR UPDATE").await?;
        switch.admit(now.as_deref())?;
        match column_obstacle(connection).await? {
            Some(refused) if switch.changes(now.as_deref()) => return Err(refused),
            // Metabase's API has switched; the dead man's switch could not put it back rightly.
            Some(_) => self.arm_guard(connection, switch.guarded()).await?,
            None => self.note(connection, switch).await?,
        }
        if !switch.changes(now.as_deref()) {
            return Ok(None);
        }
        let wanted = switch.wanted();
        let text = match told_by(connection, " FOR UPDATE").await? {
            Bump::Write(text) | Bump::FirstWrite(text) => text,
            Bump::Wait { micros } => return Ok(Some(Duration::from_micros(micros))),
        };
        put(connection, READ_ONLY_MODE, wanted).await?;
        put(connection, LAST_UPDATED, Some(&text)).await?;
        Ok(None)
    }

    /// What the dead man's switch and the guard have to know.
    async fn note(&self, connection: &mut PgConnection, switch: &Switch<'_>) -> Result<(), PortError> {
        switch.changed().record(&self.own, connection).await?;
        self.arm_guard(connection, switch.guarded()).await
    }
}

/// How every node is told of a changed setting; `lock` of the row that tells them is kept until it is written.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if they cannot be told by us.
async fn told_by(connection: &mut PgConnection, lock: &str) -> Result<Bump, PortError> {
    let old = setting(connection, LAST_UPDATED, lock).await?;
    let unix_micros = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .fetch_one(connection)
        .await
        .map_err(|error| failed("ask the server for the time", error))?;
    let now = DatabaseNow {
        unix_micros,
        server_offset_seconds: 0,
    };
    nodes::told_by(old.as_deref(), now, Dialect::Postgres)
}

/// Fails as the switch would, which changes nothing where it is on.
async fn look_how_told(connection: &mut PgConnection) -> Result<(), PortError> {
    let now = setting(connection, READ_ONLY_MODE, "").await?;
    if now.as_deref() == Some(ReadOnlyMode::On.setting_text()) {
        return Ok(());
    }
    match column_obstacle(connection).await? {
        Some(refused) => Err(refused),
        None => told_by(connection, "").await.map(drop),
    }
}

/// A setting's value, with a lock on its row where that is asked for.
async fn setting(connection: &mut PgConnection, key: &str, lock: &str) -> Result<Option<String>, PortError> {
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT value FROM setting WHERE key = $1{lock}"
    )))
    .bind(key)
    .fetch_optional(connection)
    .await
    .map_err(|error| failed(format!("read the setting {key}"), error))
}

/// Why the setting cannot be written by us, if so: versions with `value_with_aad` need both columns, and the key; refused
/// rather than guessed. Metabase's own API writes them rightly.
pub(super) async fn column_obstacle(connection: &mut PgConnection) -> Result<Option<PortError>, PortError> {
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = 'setting'::regclass AND attnum > 0 AND NOT attisdropped",
    )
    .fetch_all(connection)
    .await
    .map_err(|error| failed("read the columns of the table setting", error))?;
    Ok(nodes::column_obstacle(&columns))
}

async fn put(connection: &mut PgConnection, key: &str, value: Option<&str>) -> Result<(), PortError> {
    let write = |error| failed("write a setting", error);
    let Some(value) = value else {
        sqlx::query("DELETE FROM setting WHERE key = $1")
            .bind(key)
            .execute(connection)
            .await
            .map_err(write)?;
        return Ok(());
    };
    sqlx::query("INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2")
        .bind(key)
        .bind(value)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(write)
}
