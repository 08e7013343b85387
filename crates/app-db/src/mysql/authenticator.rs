//! Who is this caller? Sessions and API keys, looked up and judged as Metabase does.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::ports::{Authenticator, Caller, Credentials};
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::session::{
    SessionFacts, SessionLookup, SessionPurpose, SessionSchema, UserRights, UserStanding, api_key_prefix,
    judge_session, session_lookups,
};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySqlPool, Row};

use super::app_db::NOW_MICROS;
use super::connect::text;
use crate::error::failed;

/// Checks callers against the app DB.
pub struct MySqlAuthenticator {
    pool: MySqlPool,
    max_age_minutes: u64,
    session_key: Option<DerivedKey>,
}

impl std::fmt::Debug for MySqlAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MySqlAuthenticator")
            .field("max_age_minutes", &self.max_age_minutes)
            .finish_non_exhaustive()
    }
}

/// Which of the columns that versions differ in are there.
struct Columns {
    key_hashed: bool,
    expires_at: bool,
    tenants: bool,
}

impl Columns {
    /// SQL of "may this user `u` sign in at all": the user, and the user's tenant where there are tenants.
    fn active(&self) -> &'static str {
        if self.tenants {
            "CAST(u.is_active AND coalesce((SELECT t.is_active FROM tenant t WHERE t.id = u.tenant_id), 1) AS SIGNED)"
        } else {
            "CAST(u.is_active AS SIGNED)"
        }
    }
}

impl MySqlAuthenticator {
    /// `max_age_minutes` is Metabase's `MAX_SESSION_AGE`; `session_key` is derived of `MB_SESSION_SECRET_KEY`.
    #[must_use]
    pub fn new(pool: MySqlPool, max_age_minutes: u64, session_key: Option<DerivedKey>) -> Self {
        Self {
            pool,
            max_age_minutes,
            session_key,
        }
    }

    async fn columns(&self) -> Result<Columns, PortError> {
        let read = |error| failed("read the columns of core_session and core_user", error);
        let rows = sqlx::query(
            "SELECT lower(concat(table_name, '.', column_name)) FROM information_schema.columns
             WHERE table_schema = database() AND table_name IN ('core_session', 'core_user', 'tenant')",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(read)?;
        let mut names = Vec::with_capacity(rows.len());
        for row in &rows {
            names.extend(text(row, 0).map_err(read)?);
        }
        let has = |name: &str| names.iter().any(|there| there == name);
        Ok(Columns {
            key_hashed: has("core_session.key_hashed"),
            expires_at: has("core_session.expires_at"),
            tenants: has("core_user.tenant_id") && has("tenant.is_active"),
        })
    }

    async fn session(&self, value: &str) -> Result<Caller, PortError> {
        let read = |error| failed("look a session up", error);
        let columns = self.columns().await?;
        let schema = if columns.key_hashed {
            SessionSchema::KeyHashed
        } else {
            SessionSchema::PlainId
        };
        let expires = if columns.expires_at {
            "CAST(UNIX_TIMESTAMP(s.expires_at) * 1000 AS SIGNED)"
        } else {
            "CAST(NULL AS SIGNED)"
        };
        let active = columns.active();
        for lookup in session_lookups(value, schema, self.session_key.as_ref()) {
            // Letter by letter: the columns' own collation takes `A` for `a`, and a credential's letters count.
            let (condition, key) = match &lookup {
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
            .fetch_optional(&self.pool)
            .await
            .map_err(read)?;
            if let Some(row) = row {
                return self.judge(&row);
            }
        }
        Ok(Caller::Unknown)
    }

    fn judge(&self, row: &MySqlRow) -> Result<Caller, PortError> {
        let read = |error| failed("look a session up", error);
        let facts = SessionFacts {
            created_at_ms: row.try_get(0).map_err(read)?,
            expires_at_ms: row.try_get(1).map_err(read)?,
            ended_at_ms: None,
            purpose: if flag(row, 2)? {
                SessionPurpose::Embedded
            } else {
                SessionPurpose::Normal
            },
            user: if flag(row, 3)? {
                UserStanding::Active
            } else {
                UserStanding::Inactive
            },
            rights: rights(row, 4)?,
        };
        let now_ms: i64 = row.try_get(5).map_err(read)?;
        Ok(judge_session(&facts, now_ms, self.max_age_minutes).map_or(Caller::Unknown, caller))
    }

    async fn api_key(&self, key: &str) -> Result<Caller, PortError> {
        let read = |error| failed("look an API key up", error);
        let Some(prefix) = api_key_prefix(key) else {
            return Ok(Caller::Unknown);
        };
        let active = self.columns().await?.active();
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT k.`key`, {active}, CAST(u.is_superuser AS SIGNED)
             FROM api_key k JOIN core_user u ON u.id = k.user_id WHERE BINARY k.key_prefix = ?"
        )))
        .bind(prefix)
        .fetch_all(&self.pool)
        .await
        .map_err(read)?;
        for row in &rows {
            let hash = text(row, 0).map_err(read)?.unwrap_or_default();
            if flag(row, 1)? && crate::api_key::verifies(key.to_owned(), hash).await {
                return Ok(caller(rights(row, 2)?));
            }
        }
        Ok(Caller::Unknown)
    }
}

/// A truth value, which MySQL has as a number.
fn flag(row: &MySqlRow, position: usize) -> Result<bool, PortError> {
    let value: Option<i64> = row
        .try_get(position)
        .map_err(|error| failed("read a user's rights", error))?;
    Ok(value.is_some_and(|value| value != 0))
}

fn rights(row: &MySqlRow, position: usize) -> Result<UserRights, PortError> {
    Ok(if flag(row, position)? {
        UserRights::Superuser
    } else {
        UserRights::Ordinary
    })
}

fn caller(rights: UserRights) -> Caller {
    match rights {
        UserRights::Ordinary => Caller::Ordinary,
        UserRights::Superuser => Caller::Superuser,
    }
}

#[async_trait]
impl Authenticator for MySqlAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, PortError> {
        match credentials {
            Credentials::Session(value) => self.session(value).await,
            Credentials::ApiKey(key) => self.api_key(key).await,
            Credentials::None => Ok(Caller::Unknown),
        }
    }
}
