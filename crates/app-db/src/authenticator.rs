//! Who is this caller? Sessions and API keys, judged as Metabase does. How a database is asked for them is `Callers`', in
//! each database's folder.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::ports::{Authenticator, Caller, Credentials};
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::session::{
    SessionFacts, SessionLookup, SessionPurpose, SessionSchema, UserRights, UserStanding, api_key_prefix,
    judge_session, session_lookups,
};

use crate::api_key;

/// Checks callers against the app DB.
pub struct AppDbAuthenticator {
    callers: Box<dyn Callers>,
    max_age_minutes: u64,
    session_key: Option<DerivedKey>,
}

impl std::fmt::Debug for AppDbAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppDbAuthenticator")
            .field("max_age_minutes", &self.max_age_minutes)
            .finish_non_exhaustive()
    }
}

/// One database's users, as far as they may call.
#[async_trait]
pub(crate) trait Callers: Send + Sync {
    /// `table.column` in lower case, of `core_session`, `core_user` and `tenant`.
    async fn columns(&self) -> Result<Vec<String>, PortError>;

    /// The session that is looked up.
    async fn session(
        &self,
        lookup: &SessionLookup,
        columns: Columns,
    ) -> Result<Option<FoundSession>, PortError>;

    /// The keys that begin so.
    async fn api_keys(&self, prefix: &str, columns: Columns) -> Result<Vec<FoundKey>, PortError>;
}

/// Which of the columns that versions differ in are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    key_hashed: bool,
    pub(crate) expires_at: bool,
    /// A user may sign in only where the user's tenant may.
    pub(crate) tenants: bool,
}

impl Columns {
    fn among(names: &[String]) -> Self {
        let has = |name: &str| names.iter().any(|there| there == name);
        Self {
            key_hashed: has("core_session.key_hashed"),
            expires_at: has("core_session.expires_at"),
            tenants: has("core_user.tenant_id") && has("tenant.is_active"),
        }
    }
}

/// Whose credentials they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundUser {
    pub(crate) is_active: bool,
    pub(crate) is_superuser: bool,
}

impl FoundUser {
    fn standing(self) -> UserStanding {
        if self.is_active {
            UserStanding::Active
        } else {
            UserStanding::Inactive
        }
    }

    fn rights(self) -> UserRights {
        if self.is_superuser {
            UserRights::Superuser
        } else {
            UserRights::Ordinary
        }
    }
}

/// A session. Times are Unix milliseconds by the database's clock.
pub(crate) struct FoundSession {
    pub(crate) created_at_ms: i64,
    pub(crate) expires_at_ms: Option<i64>,
    pub(crate) is_embedded: bool,
    pub(crate) user: FoundUser,
    pub(crate) now_ms: i64,
}

/// An API key, of which the database has a hash.
pub(crate) struct FoundKey {
    pub(crate) hash: String,
    pub(crate) user: FoundUser,
}

impl AppDbAuthenticator {
    /// `max_age_minutes` is Metabase's `MAX_SESSION_AGE`; `session_key` is derived of `MB_SESSION_SECRET_KEY`.
    pub(crate) fn new(
        callers: impl Callers + 'static,
        max_age_minutes: u64,
        session_key: Option<DerivedKey>,
    ) -> Self {
        Self {
            callers: Box::new(callers),
            max_age_minutes,
            session_key,
        }
    }

    async fn session(&self, value: &str) -> Result<Caller, PortError> {
        let columns = Columns::among(&self.callers.columns().await?);
        let schema = if columns.key_hashed {
            SessionSchema::KeyHashed
        } else {
            SessionSchema::PlainId
        };
        for lookup in session_lookups(value, schema, self.session_key.as_ref()) {
            if let Some(found) = self.callers.session(&lookup, columns).await? {
                return Ok(self.judge(&found));
            }
        }
        Ok(Caller::Unknown)
    }

    fn judge(&self, found: &FoundSession) -> Caller {
        let facts = SessionFacts {
            created_at_ms: found.created_at_ms,
            expires_at_ms: found.expires_at_ms,
            ended_at_ms: None,
            purpose: if found.is_embedded {
                SessionPurpose::Embedded
            } else {
                SessionPurpose::Normal
            },
            user: found.user.standing(),
            rights: found.user.rights(),
        };
        judge_session(&facts, found.now_ms, self.max_age_minutes).map_or(Caller::Unknown, caller)
    }

    async fn api_key(&self, key: &str) -> Result<Caller, PortError> {
        let Some(prefix) = api_key_prefix(key) else {
            return Ok(Caller::Unknown);
        };
        let columns = Columns::among(&self.callers.columns().await?);
        for found in self.callers.api_keys(prefix, columns).await? {
            if found.user.is_active && api_key::verifies(key.to_owned(), found.hash).await {
                return Ok(caller(found.user.rights()));
            }
        }
        Ok(Caller::Unknown)
    }
}

fn caller(rights: UserRights) -> Caller {
    match rights {
        UserRights::Ordinary => Caller::Ordinary,
        UserRights::Superuser => Caller::Superuser,
    }
}

#[async_trait]
impl Authenticator for AppDbAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, PortError> {
        match credentials {
            Credentials::Session(value) => self.session(value).await,
            Credentials::ApiKey(key) => self.api_key(key).await,
            Credentials::None => Ok(Caller::Unknown),
        }
    }
}
