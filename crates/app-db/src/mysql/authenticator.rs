//! Sessions and API keys in MySQL and MariaDB.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::session::SessionLookup;
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlPool, Row};

use super::app_db::NOW_MICROS;
use super::connect::text;
use crate::authenticator::{AppDbAuthenticator, Callers, Columns, FoundKey, FoundSession, FoundUser};
use crate::error::failed;

/// Checks callers against an app DB in MySQL or MariaDB. `max_age_minutes` is Metabase's `MAX_SESSION_AGE`; `session_key`
/// is derived of `MB_SESSION_SECRET_KEY`.
#[must_use]
pub fn authenticator(
    pool: MySqlPool,
    max_age_minutes: u64,
    session_key: Option<DerivedKey>,
) -> AppDbAuthenticator {
    AppDbAuthenticator::new(MySqlCallers(pool), max_age_minutes, session_key)
}

struct MySqlCallers(MySqlPool);

/// SQL of "may this user `u` sign in at all".
fn active(columns: Columns) -> &'static str {
    if columns.tenants {
        "CAST(u.is_active AND coalesce((SELECT t.is_active FROM tenant t WHERE t.id = u.tenant_id), 1) AS SIGNED)"
    } else {
        "CAST(u.is_active AS SIGNED)"
    }
}

#[async_trait]
impl Callers for MySqlCallers {
    async fn columns(&self) -> Result<Vec<String>, PortError> {
        let read = |error| failed("read the columns of core_session and core_user", error);
        let rows = sqlx::query(
            "SELECT lower(concat(table_name, '.', column_name)) FROM information_schema.columns
             WHERE table_schema = database() AND table_name IN ('core_session', 'core_user', 'tenant')",
        )
        .fetch_all(&self.0)
        .await
        .map_err(read)?;
        let mut names = Vec::with_capacity(rows.len());
        for row in &rows {
            names.extend(text(row, 0).map_err(read)?);
        }
        Ok(names)
    }

    async fn session(
        &self,
        lookup: &SessionLookup,
        columns: Columns,
    ) -> Result<Option<FoundSession>, PortError> {
        let read = |error| failed("look a session up", error);
        let expires = if columns.expires_at {
            "CAST(UNIX_TIMESTAMP(s.expires_at) * 1000 AS SIGNED)"
        } else {
            "CAST(NULL AS SIGNED)"
        };
        let active = active(columns);
        // Letter by letter: the columns' own collation takes `A` for `a`, and a credential's letters count.
        let (condition, key) = match lookup {
            SessionLookup::KeyHashed(hash) => ("BINARY s.key_hashed = ?", hash.as_str()),
            SessionLookup::Id(id) => ("BINARY s.id = ?", id.expose()),
        };
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT CAST(UNIX_TIMESTAMP(s.created_at) * 1000 AS SIGNED), {expires},
                    CAST(s.anti_csrf_token IS NOT NULL AS SIGNED), {active}, CAST(u.is_superuser AS SIGNED),
                    {NOW_MICROS} DIV 1000
             FROM core_session s JOIN core_user u ON u.id = s.user_id WHERE {condition}"
        )))
        .bind(key)
        .fetch_optional(&self.0)
        .await
        .map_err(read)?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(FoundSession {
            created_at_ms: row.try_get(0).map_err(read)?,
            expires_at_ms: row.try_get(1).map_err(read)?,
            is_embedded: is_true(&row, 2).map_err(read)?,
            user: user(&row, 3).map_err(read)?,
            now_ms: row.try_get(5).map_err(read)?,
        }))
    }

    async fn api_keys(&self, prefix: &str, columns: Columns) -> Result<Vec<FoundKey>, PortError> {
        let read = |error| failed("look an API key up", error);
        let active = active(columns);
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT k.`key`, {active}, CAST(u.is_superuser AS SIGNED)
             FROM api_key k JOIN core_user u ON u.id = k.user_id WHERE BINARY k.key_prefix = ?"
        )))
        .bind(prefix)
        .fetch_all(&self.0)
        .await
        .map_err(read)?;
        let found = rows.iter().map(|row| {
            Ok(FoundKey {
                hash: text(row, 0)?.unwrap_or_default(),
                user: user(row, 1)?,
            })
        });
        found.collect::<Result<_, _>>().map_err(read)
    }
}

/// Of two truths from that place on.
fn user(row: &MySqlRow, at: usize) -> Result<FoundUser, sqlx::Error> {
    Ok(FoundUser {
        is_active: is_true(row, at)?,
        is_superuser: is_true(row, at + 1)?,
    })
}

/// A truth value, which MySQL has as a number.
fn is_true(row: &MySqlRow, at: usize) -> Result<bool, sqlx::Error> {
    let value: Option<i64> = row.try_get(at)?;
    Ok(value.is_some_and(|value| value != 0))
}
