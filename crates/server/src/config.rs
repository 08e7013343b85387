//! Flags, environment and an optional file become one typed configuration; every mistake is reported at once.

mod keys;
mod secrets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use metaferry_domain::part_plan::{PART_SIZE_MIN_BYTES, PUT_MAX_BYTES};
use metaferry_h2_file::{FilePassword, OlderVersion, OpenOptions};
use metaferry_metabase::env::MetabaseEnv;
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_orchestrator::Faults;

use crate::exit::CommandError;
use crate::telemetry::LogFormat;

use self::keys::Keys;
pub(crate) use self::secrets::{MetabaseApi, NEW_KEY, NewKey};

/// Whether a damaged H2 file is read as of an older version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Salvage {
    No,
    Yes,
}

impl From<bool> for Salvage {
    fn from(asked: bool) -> Self {
        if asked { Self::Yes } else { Self::No }
    }
}

/// Everything that is configured. See `config/server.example.toml` for each key.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) metabase: MetabaseEnv,
    /// What commands keep while they last, and a folder for each app DB, which [`crate::wiring`] names.
    pub(crate) data_dir: PathBuf,
    pub(crate) node: String,
    pub(crate) lease_term: Duration,
    /// Instead of Metabase's own ninety seconds.
    pub(crate) propagation: Option<Duration>,
    /// Metabase's own API, by the addresses of its nodes and the key of an administrator.
    pub(crate) metabase_api: Option<MetabaseApi>,
    /// How many nodes of Metabase there are, as the operator says.
    pub(crate) nodes: Option<u32>,
    pub(crate) jobs_wait_max: Duration,
    pub(crate) part_size_bytes: Option<u64>,
    pub(crate) upload_concurrency: Option<usize>,
    /// The tag of the Metabase that is moved, such as `v0.55.3`.
    pub(crate) metabase_version: Option<String>,
    /// None, but in a test of the whole program.
    pub(crate) faults: Faults,
    pub(crate) hosting: metaferry_api::Hosting,
    pub(crate) log: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) s3: S3Environment,
    /// Of H2 files written with CIPHER=AES. Never in a URL, where process lists and logs would show it.
    pub(crate) h2_file_password: Option<FilePassword>,
    /// What `rekey` puts in the place of `MB_ENCRYPTION_SECRET_KEY`.
    pub(crate) new_encryption_key: Option<NewKey>,
}

/// AWS's own variables.
#[derive(Clone, Default)]
pub(crate) struct S3Environment {
    pub(crate) access_key_id: Option<String>,
    pub(crate) secret_access_key: Option<String>,
    pub(crate) session_token: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
}

impl std::fmt::Debug for S3Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Environment")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Reads the environment, and the file that `METAFERRY_CONFIG` names; a variable wins over the file.
    pub(crate) fn read() -> Result<Self, CommandError> {
        Self::from_pairs(
            std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, CommandError> {
        let mut pairs: BTreeMap<String, String> = pairs.into_iter().collect();
        let decrypts = pairs.get(NEW_KEY).is_some_and(String::is_empty);
        pairs.retain(|_, value| !value.is_empty());
        let mut problems = Vec::new();
        let metabase = MetabaseEnv::from_pairs(pairs.clone(), |path| std::fs::read_to_string(path))
            .map_err(|errors| problems.push(errors.to_string()))
            .ok();
        let mut keys = Keys::read(&pairs, problems);
        let new_encryption_key = keys.new_key(decrypts.then_some(NewKey::Plain));
        let metabase_api = keys.metabase_api();
        let config = Self {
            data_dir: keys
                .take("data_dir")
                .map_or_else(|| std::env::temp_dir().join("metaferry"), PathBuf::from),
            node: keys.take("node").unwrap_or_else(node_name),
            lease_term: keys
                .seconds("lease_seconds", 5..=3600)
                .unwrap_or(Duration::from_secs(30)),
            propagation: keys.seconds("propagation_seconds", 0..=3600),
            metabase_api,
            nodes: keys
                .number("nodes", 1..=10_000)
                .and_then(|nodes| u32::try_from(nodes).ok()),
            jobs_wait_max: keys
                .seconds("jobs_wait_seconds", 0..=86_400)
                .unwrap_or(Duration::from_secs(600)),
            part_size_bytes: keys.number("part_size_bytes", PART_SIZE_MIN_BYTES..=PUT_MAX_BYTES),
            upload_concurrency: keys
                .number("upload_concurrency", 1..=64)
                .and_then(|n| usize::try_from(n).ok()),
            metabase_version: keys.take("metabase_version"),
            faults: keys.faults(),
            h2_file_password: keys.take("h2_file_password").map(FilePassword::from),
            new_encryption_key,
            hosting: match keys.take("hosted").as_deref() {
                None | Some("false") => metaferry_api::Hosting::SelfHosted,
                Some("true") => metaferry_api::Hosting::MetabaseCloud,
                Some(_) => {
                    keys.problem("hosted", "must be true or false");
                    metaferry_api::Hosting::SelfHosted
                }
            },
            log: keys.take("log"),
            log_format: match keys.take("log_format").as_deref() {
                None | Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(_) => {
                    keys.problem("log_format", "must be text or json");
                    LogFormat::Text
                }
            },
            s3: S3Environment {
                access_key_id: pairs.get("AWS_ACCESS_KEY_ID").cloned(),
                secret_access_key: pairs.get("AWS_SECRET_ACCESS_KEY").cloned(),
                session_token: pairs.get("AWS_SESSION_TOKEN").cloned(),
                region: pairs
                    .get("AWS_REGION")
                    .or_else(|| pairs.get("AWS_DEFAULT_REGION"))
                    .cloned(),
                endpoint: pairs
                    .get("AWS_ENDPOINT_URL_S3")
                    .or_else(|| pairs.get("AWS_ENDPOINT_URL"))
                    .cloned(),
            },
            metabase: match metabase {
                Some(metabase) => metabase,
                None => return Err(keys.refuse()),
            },
        };
        keys.end()?;
        Ok(config)
    }

    /// How H2 files are opened.
    pub(crate) fn h2_files(&self, salvage: Salvage) -> OpenOptions {
        OpenOptions {
            older_version: match salvage {
                Salvage::No => OlderVersion::Refuse,
                Salvage::Yes => OlderVersion::Accept,
            },
            password: self.h2_file_password.clone(),
        }
    }

    /// The app DB that a command is about: what the flag says, else Metabase's own environment.
    pub(crate) fn app_db(&self, flag: Option<&str>) -> Result<AppDbAddress, CommandError> {
        match flag {
            Some(url) => address("--from", url),
            None => Ok(self.metabase.app_db.clone()),
        }
    }
}

/// A database URL of the command line.
pub(crate) fn address(flag: &str, url: &str) -> Result<AppDbAddress, CommandError> {
    AppDbAddress::from_cli_url(url).map_err(|error| CommandError::usage(format!("{flag}: {error}")))
}

fn node_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "node".to_owned());
    format!("{}:{}", host.trim(), std::process::id())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Config;
    use crate::exit::Ending;

    pub(crate) fn config(pairs: &[(&str, &str)]) -> Result<Config, crate::exit::CommandError> {
        Config::from_pairs(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_key() {
        let error = config(&[
            ("METAFERRY_LEASE_SECONDS", "soon"),
            ("METAFERRY_HOSTED", "maybe"),
            ("METAFERRY_LAESE", "1"),
            ("METAFERRY_LOG_FORMAT", "xml"),
            ("METAFERRY_PART_SIZE_BYTES", "1"),
        ])
        .unwrap_err();
        assert_eq!(error.ending, Ending::Usage);
        for key in [
            "METAFERRY_LEASE_SECONDS",
            "METAFERRY_HOSTED",
            "METAFERRY_LAESE",
            "METAFERRY_LOG_FORMAT",
            "METAFERRY_PART_SIZE_BYTES",
        ] {
            assert!(error.message.contains(key), "{}", error.message);
        }
    }

    #[test]
    fn a_variable_wins_over_the_file() {
        let folder = std::env::temp_dir().join(format!("metaferry-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("metaferry.toml");
        std::fs::write(&file, "node = \"from the file\"\njobs_wait_seconds = 7\n").unwrap();
        let read = config(&[
            ("METAFERRY_CONFIG", file.to_str().unwrap()),
            ("METAFERRY_NODE", "from the environment"),
        ])
        .unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            (read.node.as_str(), read.jobs_wait_max.as_secs()),
            ("from the environment", 7)
        );
    }
}
