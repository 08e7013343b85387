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
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::app_db::{MySqlAppDb, NOW_MICROS};
use super::connect::text;
use super::ddl_session::{end_statement, session_of};
use super::scheduler::check_ins;
use super::stillness::{Stillness, View, Watch, lost};
use crate::error::failed;
use crate::guard::{Effort, Fence, Switched};
use crate::nodes::{self, lately};
use crate::patience::{pause, while_wanted};
use crate::transaction::ended;

/// What switching does to the row of [`READ_ONLY_MODE`].
enum Switch<'a> {
    /// Ours, if nobody else has changed it.
    On(&'a ReadOnlyBefore),
    /// What was there before, if it is still ours.
    Back(&'a ReadOnlyBefore),
}

/// How often it is looked whether others are connected, and the pause after each look.
const CONNECTED_LOOKS: u32 = 5;
const CONNECTED_PAUSE: Duration = Duration::from_millis(50);

/// How often a bump that must wait for the clock is tried: the longest wait is ten seconds each, and on MySQL a second
/// is the grain of all of them.
const BUMP_TRIES: u32 = 3;

#[async_trait]
impl ReadOnlyGuard for MySqlAppDb {
    async fn before(&self) -> Result<ReadOnlyBefore, PortError> {
        let mut connection = self.connection().await?;
        Ok(ReadOnlyBefore {
            value: setting(&mut connection, READ_ONLY_MODE, "").await?,
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
            ReadOnlyStrength::Flag => self.switch(token, &Switch::On(before), cancel).await,
            ReadOnlyStrength::Enforced => {
                self.make_guard(token, cancel).await?;
                self.switch(token, &Switch::On(before), cancel).await
            }
        }
    }

    async fn why_not(&self, strength: ReadOnlyStrength) -> Result<Option<String>, PortError> {
        match strength {
            ReadOnlyStrength::None | ReadOnlyStrength::Flag => Ok(None),
            ReadOnlyStrength::Enforced => self.guard_obstacle(&Cancellation::new()).await,
        }
    }

    async fn why_not_switched(&self) -> Result<Option<String>, PortError> {
        let mut connection = self.connection().await?;
        nodes::obstacle(look_how_told(&mut connection).await)
    }

    async fn nodes(&self) -> Result<NodeEvidence, PortError> {
        let mut connection = self.connection().await?;
        let hosts = self.hosts_of_others(&mut connection).await?;
        // Without PROCESS those of other users are not shown.
        let sees_all: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM information_schema.user_privileges
             WHERE privilege_type = 'PROCESS' AND grantee = concat('''', replace(current_user(), '@', '''@'''), '''')",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failed("ask for the rights of the user", error))?;
        let look = |error| failed("look for check-ins of Metabase's nodes", error);
        let there: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM information_schema.tables
             WHERE table_schema = database() AND table_name = 'QRTZ_SCHEDULER_STATE'",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(look)?;
        let now_ms: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {NOW_MICROS} DIV 1000")))
            .fetch_one(&mut *connection)
            .await
            .map_err(look)?;
        let check_ins = if there > 0 {
            check_ins(&mut connection).await?
        } else {
            Vec::new()
        };
        Ok(NodeEvidence {
            told: Told::BehindItsBack,
            check_ins: Some(lately(check_ins, now_ms)),
            client_hosts: (sees_all > 0).then_some(hosts),
        })
    }

    async fn announce(
        &self,
        _: FencingToken,
        before: &ReadOnlyBefore,
        _: &Cancellation,
    ) -> Result<(), PortError> {
        // There is no switch that would have to know.
        let mut connection = self.connection().await?;
        before.still_holds(setting(&mut connection, READ_ONLY_MODE, "").await?.as_deref())
    }

    async fn prove(
        &self,
        strength: ReadOnlyStrength,
        before: &ReadOnlyBefore,
    ) -> Result<ReadOnlyProof, PortError> {
        match strength {
            ReadOnlyStrength::None => return Ok(ReadOnlyProof::Held),
            ReadOnlyStrength::Flag => {}
            ReadOnlyStrength::Enforced => self.prove_guard().await?,
        }
        let mut connection = self.connection().await?;
        let value = setting(&mut connection, READ_ONLY_MODE, "").await?;
        if value.as_ref() != Some(&before.ours) {
            return Ok(ReadOnlyProof::SwitchedOff { value });
        }
        drop(connection);
        let tables = self.written_to().await?;
        Ok(if tables.is_empty() {
            ReadOnlyProof::Held
        } else {
            ReadOnlyProof::WrittenTo { tables }
        })
    }

    async fn watch(&self, strength: ReadOnlyStrength) -> Result<(), PortError> {
        self.watch_no_more().await;
        if strength != ReadOnlyStrength::None {
            let begins = Stillness::begins(&self.pool).await?;
            *self.watch_state() = Watch::Since(begins);
        }
        Ok(())
    }

    async fn restore(&self, token: FencingToken, before: &ReadOnlyBefore) -> Result<(), PortError> {
        let wanted = Cancellation::new();
        self.watch_no_more().await;
        self.disarm_guard().await;
        self.switch(token, &Switch::Back(before), &wanted).await?;
        // Whatever is left of it does nothing any more, and goes by `recover`, `uninstall`, the next migration or a node that serves.
        self.remove_guard(Fence::Lease(token), Effort::Asked, &wanted)
            .await
            .map(drop)
    }
}

impl MySqlAppDb {
    /// Hosts of others' sessions. Ours cannot be told from Metabase's, but we know how many they are; looked at more than
    /// once, because one of ours that has just ended may be listed for another moment.
    async fn hosts_of_others(&self, connection: &mut MySqlConnection) -> Result<Vec<String>, PortError> {
        let look = |error| failed("list the connections to the app DB", error);
        let own = sqlx::query(
            "SELECT substring_index(host, ':', 1) FROM information_schema.processlist WHERE id = connection_id()",
        )
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| text(&row, 0))
        .map_err(look)?;
        let mut looks = 0;
        loop {
            let rows = sqlx::query(
                "SELECT substring_index(host, ':', 1), count(*) FROM information_schema.processlist
                 WHERE db = database() GROUP BY 1 ORDER BY 1",
            )
            .fetch_all(&mut *connection)
            .await
            .map_err(look)?;
            let mut hosts = Vec::with_capacity(rows.len());
            let mut beside_us = false;
            for row in &rows {
                let host = text(row, 0).map_err(look)?;
                let connected: i64 = row.try_get(1).map_err(look)?;
                if host != own {
                    hosts.extend(host);
                } else if connected > i64::from(self.pool.size()) {
                    beside_us = true;
                    hosts.extend(host);
                }
            }
            looks += 1;
            if !beside_us || looks >= CONNECTED_LOOKS {
                return Ok(hosts);
            }
            tokio::time::sleep(CONNECTED_PAUSE).await;
        }
    }

    /// The tables that should have been still and were not, since they are watched.
    async fn written_to(&self) -> Result<Vec<String>, PortError> {
        let now = View::open(&self.pool).await?;
        // Until it is known: who fails in the middle of it has no session left that saw that moment.
        let watched = std::mem::replace(&mut *self.watch_state(), Watch::Lost);
        match watched {
            Watch::Never => {
                *self.watch_state() = Watch::Never;
                Ok(Vec::new())
            }
            Watch::Since(mut stillness) => {
                let now = match stillness.beside(now).await {
                    Ok(now) => now,
                    Err(error) => {
                        *self.watch_state() = Watch::Since(stillness);
                        return Err(error);
                    }
                };
                let broken = stillness.broken(now).await?;
                *self.watch_state() = Watch::Since(stillness);
                Ok(broken)
            }
            Watch::Lost => Err(lost()),
        }
    }

    /// Lets go of what is watched.
    async fn watch_no_more(&self) {
        let watched = std::mem::take(&mut *self.watch_state());
        match watched {
            Watch::Since(stillness) => stillness.end().await,
            Watch::Never | Watch::Lost => {}
        }
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
        if let Switch::Back(before) = switch
            && self.is_back(token, before).await?
        {
            return Ok(None);
        }
        let mut transaction = self.fenced(token).await?;
        let session = session_of(&mut transaction).await?;
        let switching = switched(&mut transaction, switch);
        let done = while_wanted(cancel, switching, || end_statement(&self.pool, session)).await;
        ended(transaction, done, "write the setting read-only-mode").await
    }

    /// Whether nothing is to be put back for sure: whoever keeps the setting locked is not waited for.
    async fn is_back(&self, token: FencingToken, before: &ReadOnlyBefore) -> Result<bool, PortError> {
        if self.switched == Switched::ByMetabase {
            return Ok(false);
        }
        let Some(mut transaction) = self.alone(token).await? else {
            return Ok(false);
        };
        let now = setting(&mut transaction, READ_ONLY_MODE, "").await;
        // Before others begin: it keeps the fence.
        let _ = transaction.rollback().await;
        match now {
            Ok(now) => Ok(now.as_ref() != Some(&before.ours) || now == before.value),
            // The whole table is somebody's.
            Err(error) if error.kind == ErrorKind::Unavailable => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Writes it under the locks of both rows; answers how long it must wait for the clock before, having written nothing.
async fn switched(
    connection: &mut MySqlConnection,
    switch: &Switch<'_>,
) -> Result<Option<Duration>, PortError> {
    let now = setting(connection, READ_ONLY_MODE, " FOR UPDATE").await?;
    let wanted = match switch {
        Switch::On(before) => {
            before.still_holds(now.as_deref())?;
            Some(before.ours.as_str())
        }
        Switch::Back(before) if now.as_ref() == Some(&before.ours) => before.value.as_deref(),
        Switch::Back(_) => return Ok(None),
    };
    if now.as_deref() == wanted {
        return Ok(None);
    }
    let text = match told_by(connection, " FOR UPDATE").await? {
        Bump::Write(text) | Bump::FirstWrite(text) => text,
        Bump::Wait { micros } => return Ok(Some(Duration::from_micros(micros))),
    };
    put(connection, READ_ONLY_MODE, wanted).await?;
    put(connection, LAST_UPDATED, Some(&text)).await?;
    Ok(None)
}

/// How every node is told of a changed setting; `lock` of the row that tells them is kept until it is written.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if they cannot be told by us.
async fn told_by(connection: &mut MySqlConnection, lock: &str) -> Result<Bump, PortError> {
    if let Some(refused) = column_obstacle(connection).await? {
        return Err(refused);
    }
    let old = setting(connection, LAST_UPDATED, lock).await?;
    let (unix_micros, server_offset): (i64, Option<i64>) = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT {NOW_MICROS},
             TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone))"
    )))
    .fetch_one(connection)
    .await
    .map_err(|error| failed("ask the server for the time", error))?;
    let now = DatabaseNow {
        unix_micros,
        server_offset_seconds: server_offset
            .and_then(|offset| i32::try_from(offset).ok())
            .unwrap_or(0),
    };
    nodes::told_by(old.as_deref(), now, Dialect::MySql)
}

/// Fails as the switch would, which changes nothing where it is on.
async fn look_how_told(connection: &mut MySqlConnection) -> Result<(), PortError> {
    let now = setting(connection, READ_ONLY_MODE, "").await?;
    if now.as_deref() == Some(ReadOnlyMode::On.setting_text()) {
        return Ok(());
    }
    told_by(connection, "").await.map(drop)
}

/// A setting's value, with a lock on its row where that is asked for.
async fn setting(
    connection: &mut MySqlConnection,
    key: &str,
    lock: &str,
) -> Result<Option<String>, PortError> {
    let read = |error| failed(format!("read the setting {key}"), error);
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT `value` FROM setting WHERE `key` = ?{lock}"
    )))
    .bind(key)
    .fetch_optional(connection)
    .await
    .map_err(read)?;
    Ok(row.map(|row| text(&row, 0)).transpose().map_err(read)?.flatten())
}

/// Why the setting cannot be written by us, if so. Metabase's own API writes it rightly in every version.
pub(super) async fn column_obstacle(
    connection: &mut MySqlConnection,
) -> Result<Option<PortError>, PortError> {
    let read = |error| failed("read the columns of the table setting", error);
    let rows = sqlx::query(
        "SELECT column_name FROM information_schema.columns
         WHERE table_schema = database() AND table_name = 'setting'",
    )
    .fetch_all(connection)
    .await
    .map_err(read)?;
    let mut columns = Vec::with_capacity(rows.len());
    for row in &rows {
        columns.push(text(row, 0).map_err(read)?.unwrap_or_default().to_lowercase());
    }
    Ok(nodes::column_obstacle(&columns))
}

async fn put(connection: &mut MySqlConnection, key: &str, value: Option<&str>) -> Result<(), PortError> {
    let write = |error| failed("write a setting", error);
    let statement = match value {
        None => sqlx::query("DELETE FROM setting WHERE `key` = ?").bind(key),
        Some(value) => sqlx::query(
            "INSERT INTO setting (`key`, `value`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `value` = ?",
        )
        .bind(key)
        .bind(value)
        .bind(value),
    };
    statement.execute(connection).await.map(drop).map_err(write)
}
