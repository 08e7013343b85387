//! Who is this caller? Sessions and API keys, looked up and judged as Metabase does.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::ports::{Authenticator, Caller, Credentials};
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::session::{
    SessionFacts, SessionLookup, SessionPurpose, SessionSchema, UserRights, UserStanding, api_key_prefix,
    judge_session, session_lookups,
};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use crate::error::failed;

/// Checks callers against the app DB.
pub struct PostgresAuthenticator {
    pool: PgPool,
    max_age_minutes: u64,
    session_key: Option<DerivedKey>,
}

impl std::fmt::Debug for PostgresAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresAuthenticator")
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
            "(u.is_active AND coalesce((SELECT t.is_active FROM tenant t WHERE t.id = u.tenant_id), true))"
        } else {
            "u.is_active"
        }
    }
}

impl PostgresAuthenticator {
    /// `max_age_minutes` is Metabase's `MAX_SESSION_AGE`; `session_key` is derived of `MB_SESSION_SECRET_KEY`.
    #[must_use]
    pub fn new(pool: PgPool, max_age_minutes: u64, session_key: Option<DerivedKey>) -> Self {
        Self {
            pool,
            max_age_minutes,
            session_key,
        }
    }

    async fn columns(&self) -> Result<Columns, PortError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT attrelid::regclass::text || '.' || attname FROM pg_attribute
             WHERE attrelid IN ('core_session'::regclass, 'core_user'::regclass, to_regclass('tenant'))
               AND attnum > 0 AND NOT attisdropped",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| failed("read the columns of core_session and core_user", error))?;
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
            "(extract(epoch FROM s.expires_at) * 1000)::bigint"
        } else {
            "NULL::bigint"
        };
        let active = columns.active();
        for lookup in session_lookups(value, schema, self.session_key.as_ref()) {
            let (condition, key) = match &lookup {
                SessionLookup::KeyHashed(hash) => ("s.key_hashed = $1", hash.as_str()),
                SessionLookup::Id(id) => ("s.id = $1", id.expose()),
            };
            let sql = format!(
                "SELECT (extract(epoch FROM s.created_at) * 1000)::bigint, {expires}, s.anti_csrf_token IS NOT NULL,
                        {active}, u.is_superuser, (extract(epoch FROM clock_timestamp()) * 1000)::bigint
                 FROM core_session s JOIN core_user u ON u.id = s.user_id WHERE {condition}"
            );
            let row = sqlx::query(sqlx::AssertSqlSafe(sql))
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

    fn judge(&self, row: &PgRow) -> Result<Caller, PortError> {
        let read = |error| failed("look a session up", error);
        let embedded: bool = row.try_get(2).map_err(read)?;
        let facts = SessionFacts {
            created_at_ms: row.try_get(0).map_err(read)?,
            expires_at_ms: row.try_get(1).map_err(read)?,
            ended_at_ms: None,
            purpose: if embedded {
                SessionPurpose::Embedded
            } else {
                SessionPurpose::Normal
            },
            user: standing(row, 3)?,
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
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT k.key, {active}, u.is_superuser FROM api_key k JOIN core_user u ON u.id = k.user_id
             WHERE k.key_prefix = $1"
        )))
        .bind(prefix)
        .fetch_all(&self.pool)
        .await
        .map_err(read)?;
        for row in &rows {
            let hash: String = row.try_get(0).map_err(read)?;
            if standing(row, 1)? == UserStanding::Inactive {
                continue;
            }
            if crate::api_key::verifies(key.to_owned(), hash).await {
                return Ok(caller(rights(row, 2)?));
            }
        }
        Ok(Caller::Unknown)
    }
}

/// Reads `is_active` at that position of a row.
fn standing(row: &PgRow, position: usize) -> Result<UserStanding, PortError> {
    let active: bool = row
        .try_get(position)
        .map_err(|error| failed("read core_user.is_active", error))?;
    Ok(if active {
        UserStanding::Active
    } else {
        UserStanding::Inactive
    })
}

/// Reads `is_superuser` at that position of a row.
fn rights(row: &PgRow, position: usize) -> Result<UserRights, PortError> {
    let superuser: bool = row
        .try_get(position)
        .map_err(|error| failed("read core_user.is_superuser", error))?;
    Ok(if superuser {
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
impl Authenticator for PostgresAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, PortError> {
        match credentials {
            Credentials::Session(value) => self.session(value).await,
            Credentials::ApiKey(key) => self.api_key(key).await,
            Credentials::None => Ok(Caller::Unknown),
        }
    }
}
