//! Sessions and API keys in Postgres.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::session::SessionLookup;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgPool, Row};

use crate::authenticator::{AppDbAuthenticator, Callers, Columns, FoundKey, FoundSession, FoundUser};
use crate::error::failed;

/// Checks callers against an app DB in Postgres. `max_age_minutes` is Metabase's `MAX_SESSION_AGE`; `session_key` is
/// derived of `MB_SESSION_SECRET_KEY`.
#[must_use]
pub fn authenticator(
    pool: PgPool,
    max_age_minutes: u64,
    session_key: Option<DerivedKey>,
) -> AppDbAuthenticator {
    AppDbAuthenticator::new(PostgresCallers(pool), max_age_minutes, session_key)
}

struct PostgresCallers(PgPool);

/// SQL of "may this user `u` sign in at all".
fn active(columns: Columns) -> &'static str {
    if columns.tenants {
        "(u.is_active AND coalesce((SELECT t.is_active FROM tenant t WHERE t.id = u.tenant_id), true))"
    } else {
        "u.is_active"
    }
}

#[async_trait]
impl Callers for PostgresCallers {
    async fn columns(&self) -> Result<Vec<String>, PortError> {
        sqlx::query_scalar(
            "SELECT attrelid::regclass::text || '.' || attname FROM pg_attribute
             WHERE attrelid IN ('core_session'::regclass, 'core_user'::regclass, to_regclass('tenant'))
               AND attnum > 0 AND NOT attisdropped",
        )
        .fetch_all(&self.0)
        .await
        .map_err(|error| failed("read the columns of core_session and core_user", error))
    }

    async fn session(
        &self,
        lookup: &SessionLookup,
        columns: Columns,
    ) -> Result<Option<FoundSession>, PortError> {
        let read = |error| failed("look a session up", error);
        let expires = if columns.expires_at {
            "(extract(epoch FROM s.expires_at) * 1000)::bigint"
        } else {
            "NULL::bigint"
        };
        let active = active(columns);
        let (condition, key) = match lookup {
            SessionLookup::KeyHashed(hash) => ("s.key_hashed = $1", hash.as_str()),
            SessionLookup::Id(id) => ("s.id = $1", id.expose()),
        };
        let sql = format!(
            "SELECT (extract(epoch FROM s.created_at) * 1000)::bigint, {expires}, s.anti_csrf_token IS NOT NULL,
                    {active}, u.is_superuser, (extract(epoch FROM clock_timestamp()) * 1000)::bigint
             FROM core_session s JOIN core_user u ON u.id = s.user_id WHERE {condition}"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(key)
            .fetch_optional(&self.0)
            .await
            .map_err(read)?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(FoundSession {
            created_at_ms: row.try_get(0).map_err(read)?,
            expires_at_ms: row.try_get(1).map_err(read)?,
            is_embedded: row.try_get(2).map_err(read)?,
            user: user(&row, 3).map_err(read)?,
            now_ms: row.try_get(5).map_err(read)?,
        }))
    }

    async fn api_keys(&self, prefix: &str, columns: Columns) -> Result<Vec<FoundKey>, PortError> {
        let read = |error| failed("look an API key up", error);
        let active = active(columns);
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT k.key, {active}, u.is_superuser FROM api_key k JOIN core_user u ON u.id = k.user_id
             WHERE k.key_prefix = $1"
        )))
        .bind(prefix)
        .fetch_all(&self.0)
        .await
        .map_err(read)?;
        let found = rows.iter().map(|row| {
            Ok(FoundKey {
                hash: row.try_get(0)?,
                user: user(row, 1)?,
            })
        });
        found.collect::<Result<_, _>>().map_err(read)
    }
}

/// Of two truths from that place on.
fn user(row: &PgRow, at: usize) -> Result<FoundUser, sqlx::Error> {
    Ok(FoundUser {
        is_active: row.try_get(at)?,
        is_superuser: row.try_get(at + 1)?,
    })
}
