//! Metabase's own environment (`MB_*`, `MAX_SESSION_AGE`), read into types, with every mistake reported at once.
//! The pairs and the content of `…_FILE` secrets come from the caller; [`address`] understands the addresses.

pub mod address;
mod folder_name;
mod uri;

use crate::encryption::{DerivedKey, SECRET_CHARS_MIN};
use crate::error::KeyTooShort;
use crate::read_only::ReadOnlyMode;
use crate::secret::Secret;
use crate::session::MAX_SESSION_AGE_MINUTES;
use address::{AddressError, AppDbAddress, ServerAddress, SslMode};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The store's API unless `MB_STORE_API_URL` says otherwise.
pub const STORE_API_URL: &str = "https://store-api.metabase.com";
/// `MB_DB_FILE` unless it is set.
const DB_FILE: &str = "metabase.db";

/// What Metabase's environment says. An empty variable counts as unset, as for Metabase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetabaseEnv {
    /// The app DB.
    pub app_db: AppDbAddress,
    /// Was it named, or is it what Metabase uses when nothing is said?
    pub app_db_origin: AddressOrigin,
    /// `MB_ENCRYPTION_SECRET_KEY`, long enough.
    pub encryption_secret: Option<Secret>,
    /// `MB_SESSION_SECRET_KEY` (or `MB_SESSION_HASH_SECRET_KEY`, its name in review), long enough.
    pub session_secret: Option<Secret>,
    /// `MB_STORE_API_URL`, without a slash at its end.
    pub store_api_url: String,
    /// `MB_MIGRATION_DUMP_FILE`: upload this file instead of a fresh dump.
    pub migration_dump_file: Option<PathBuf>,
    /// `MB_MIGRATION_DUMP_VERSION`: tell the store this version.
    pub migration_dump_version: Option<String>,
    /// `MB_READ_ONLY_MODE`: overrides the stored setting on the nodes that have it.
    pub read_only_mode: Option<ReadOnlyMode>,
    /// `MAX_SESSION_AGE`, in minutes.
    pub max_session_age_minutes: u64,
}

/// Where an address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressOrigin {
    /// Some `MB_DB_*` variable names it.
    Environment,
    /// Nothing does: the H2 file in Metabase's working directory.
    MetabaseDefault,
}

/// One variable that cannot be used. Never holds a value that may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvProblem {
    /// The variable.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// Everything that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvErrors(pub Vec<EnvProblem>);

impl fmt::Display for EnvErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, EnvProblem { key, problem }) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{key}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for EnvErrors {}

impl MetabaseEnv {
    /// Reads the environment given as pairs; others than Metabase's are ignored. `read_secret` gives the content of
    /// the file that a `…_FILE` variable names; line ends at its end are dropped.
    ///
    /// # Errors
    ///
    /// [`EnvErrors`]: every variable that cannot be used, by name.
    pub fn from_pairs<K, V, E>(
        pairs: impl IntoIterator<Item = (K, V)>,
        mut read_secret: impl FnMut(&Path) -> Result<String, E>,
    ) -> Result<Self, EnvErrors>
    where
        K: Into<String>,
        V: Into<String>,
        E: fmt::Display,
    {
        let set = pairs.into_iter().map(|(key, value)| (key.into(), value.into()));
        let mut reader = Reader {
            values: set
                .filter(|(_, value): &(String, String)| !value.is_empty())
                .collect(),
            problems: Vec::new(),
        };
        for key in FILE_KEYS {
            reader.take_from_file(key, &mut read_secret);
        }
        let (app_db, app_db_origin) = reader.app_db();
        let env = Self {
            app_db,
            app_db_origin,
            encryption_secret: reader.secret("MB_ENCRYPTION_SECRET_KEY"),
            session_secret: match reader.secret("MB_SESSION_SECRET_KEY") {
                None => reader.secret("MB_SESSION_HASH_SECRET_KEY"),
                found => found,
            },
            store_api_url: reader.store_api_url(),
            migration_dump_file: reader.get("MB_MIGRATION_DUMP_FILE").map(PathBuf::from),
            migration_dump_version: reader.get("MB_MIGRATION_DUMP_VERSION"),
            read_only_mode: reader.read_only_mode(),
            max_session_age_minutes: reader.max_session_age(),
        };
        if reader.problems.is_empty() {
            Ok(env)
        } else {
            Err(EnvErrors(reader.problems))
        }
    }

    /// The key behind [`Self::encryption_secret`]. Costs 100 000 rounds: call it once.
    ///
    /// # Errors
    ///
    /// [`KeyTooShort`]: not for a secret that [`Self::from_pairs`] read.
    pub fn derive_encryption_key(&self) -> Result<Option<DerivedKey>, KeyTooShort> {
        self.encryption_secret
            .as_ref()
            .map(DerivedKey::derive)
            .transpose()
    }
}

/// Variables that may also be given as `…_FILE`.
const FILE_KEYS: [&str; 9] = [
    "MB_DB_CONNECTION_URI",
    "MB_DB_HOST",
    "MB_DB_PORT",
    "MB_DB_DBNAME",
    "MB_DB_USER",
    "MB_DB_PASS",
    "MB_ENCRYPTION_SECRET_KEY",
    "MB_SESSION_SECRET_KEY",
    "MB_SESSION_HASH_SECRET_KEY",
];

struct Reader {
    values: BTreeMap<String, String>,
    problems: Vec<EnvProblem>,
}

impl Reader {
    fn get(&self, key: &str) -> Option<String> {
        self.values.get(key).cloned()
    }

    fn report(&mut self, key: &str, problem: impl fmt::Display) {
        self.problems.push(EnvProblem {
            key: key.to_owned(),
            problem: problem.to_string(),
        });
    }

    fn take_from_file<E: fmt::Display>(
        &mut self,
        key: &str,
        read_secret: &mut impl FnMut(&Path) -> Result<String, E>,
    ) {
        let file_key = format!("{key}_FILE");
        let Some(path) = self.get(&file_key) else { return };
        if self.values.contains_key(key) {
            return self.report(&file_key, format!("{key} is set too; set one of them"));
        }
        match read_secret(Path::new(&path)) {
            Ok(content) => {
                let content = content.trim_end_matches(['\r', '\n']);
                if !content.is_empty() {
                    self.values.insert(key.to_owned(), content.to_owned());
                }
            }
            Err(error) => self.report(&file_key, format!("{path} cannot be read: {error}")),
        }
    }

    fn secret(&mut self, key: &str) -> Option<Secret> {
        let secret = Secret::new(self.get(key)?);
        let chars = secret.expose().chars().count();
        if chars < SECRET_CHARS_MIN {
            self.report(key, KeyTooShort { chars });
            return None;
        }
        Some(secret)
    }

    fn store_api_url(&mut self) -> String {
        const KEY: &str = "MB_STORE_API_URL";
        let Some(text) = self.get(KEY) else {
            return STORE_API_URL.to_owned();
        };
        match url::Url::parse(&text) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => {}
            Ok(_) | Err(_) => self.report(KEY, "is not an http or https address"),
        }
        text.trim_end_matches('/').to_owned()
    }

    fn read_only_mode(&mut self) -> Option<ReadOnlyMode> {
        const KEY: &str = "MB_READ_ONLY_MODE";
        let text = self.get(KEY)?;
        let mode = ReadOnlyMode::from_setting_text(Some(&text));
        if mode.is_none() {
            self.report(KEY, format!("{text:?} is neither true nor false"));
        }
        mode
    }

    fn max_session_age(&mut self) -> u64 {
        const KEY: &str = "MAX_SESSION_AGE";
        let Some(text) = self.get(KEY) else {
            return MAX_SESSION_AGE_MINUTES;
        };
        text.parse().unwrap_or_else(|_| {
            self.report(KEY, format!("{text:?} is not a number of minutes"));
            MAX_SESSION_AGE_MINUTES
        })
    }

    fn app_db(&mut self) -> (AppDbAddress, AddressOrigin) {
        const KEYS: [&str; 8] = [
            "MB_DB_TYPE",
            "MB_DB_FILE",
            "MB_DB_CONNECTION_URI",
            "MB_DB_HOST",
            "MB_DB_PORT",
            "MB_DB_DBNAME",
            "MB_DB_USER",
            "MB_DB_PASS",
        ];
        let is_named = KEYS.iter().any(|key| self.values.contains_key(*key));
        let origin = if is_named {
            AddressOrigin::Environment
        } else {
            AddressOrigin::MetabaseDefault
        };
        let mut address = match self.get("MB_DB_CONNECTION_URI") {
            Some(uri) => self.uri_address(&uri),
            None => self.parts_address(),
        };
        if let AppDbAddress::Postgres(server) | AppDbAddress::MySql(server) = &mut address {
            self.finish_server(server);
        }
        (address, origin)
    }

    fn uri_address(&mut self, uri: &str) -> AppDbAddress {
        AppDbAddress::from_connection_uri(uri).unwrap_or_else(|error: AddressError| {
            self.report("MB_DB_CONNECTION_URI", error);
            AppDbAddress::h2(DB_FILE)
        })
    }

    fn parts_address(&mut self) -> AppDbAddress {
        match self.get("MB_DB_TYPE").as_deref() {
            None | Some("h2") => {
                let file = self.get("MB_DB_FILE").unwrap_or_else(|| DB_FILE.to_owned());
                AppDbAddress::from_h2_location(&file).unwrap_or_else(|error| {
                    self.report("MB_DB_FILE", error);
                    AppDbAddress::h2(DB_FILE)
                })
            }
            Some("postgres") => AppDbAddress::Postgres(self.server_parts(address::POSTGRES_PORT)),
            Some("mysql") => AppDbAddress::MySql(self.server_parts(address::MYSQL_PORT)),
            Some(other) => {
                self.report(
                    "MB_DB_TYPE",
                    format!("{other:?} is not one of h2, postgres, mysql"),
                );
                AppDbAddress::h2(DB_FILE)
            }
        }
    }

    fn server_parts(&mut self, default_port: u16) -> ServerAddress {
        let port = match self.get("MB_DB_PORT") {
            None => default_port,
            Some(text) => text.parse().unwrap_or_else(|_| {
                self.report("MB_DB_PORT", format!("{text:?} is not a port number"));
                default_port
            }),
        };
        let database = self.get("MB_DB_DBNAME").unwrap_or_else(|| {
            self.report("MB_DB_DBNAME", "is missing");
            String::new()
        });
        ServerAddress {
            host: self.get("MB_DB_HOST").unwrap_or_else(|| "localhost".to_owned()),
            port,
            database,
            user: None,
            password: None,
            schema: None,
            ssl: SslMode::Prefer,
            ssl_root_cert: None,
            ignored_parameters: Vec::new(),
        }
    }

    /// User and password of their own variables win over those of a URI.
    fn finish_server(&mut self, server: &mut ServerAddress) {
        if let Some(user) = self.get("MB_DB_USER") {
            server.user = Some(user);
        }
        if let Some(password) = self.get("MB_DB_PASS") {
            server.password = Some(Secret::new(password));
        }
        const AZURE: &str = "MB_DB_AZURE_MANAGED_IDENTITY_CLIENT_ID";
        if server.password.is_none() && self.values.contains_key(AZURE) {
            self.report(
                AZURE,
                "tokens of a managed identity are not supported; give a password in MB_DB_PASS",
            );
        }
    }
}

#[cfg(test)]
mod tests;
