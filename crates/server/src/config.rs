//! Flags, environment and an optional file become one typed configuration; every mistake is reported at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metaferry_domain::part_plan::{PART_SIZE_MIN_BYTES, PUT_MAX_BYTES};
use metaferry_h2_file::{FilePassword, OlderVersion, OpenOptions};
use metaferry_metabase::Secret;
use metaferry_metabase::encryption::SECRET_CHARS_MIN;
use metaferry_metabase::env::MetabaseEnv;
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_metabase::error::KeyTooShort;
use metaferry_orchestrator::Faults;

use crate::exit::CommandError;
use crate::telemetry::LogFormat;

/// What begins our own variables.
const PREFIX: &str = "METAFERRY_";

/// The key that `rekey` writes, or nothing where it decrypts.
pub(crate) const NEW_KEY: &str = "METAFERRY_NEW_ENCRYPTION_SECRET_KEY";

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
    /// Dumps of migrations, `undo.sql`, the SQLite file of an H2 source.
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

/// How Metabase itself is asked.
#[derive(Debug, Clone)]
pub(crate) struct MetabaseApi {
    /// One for each node.
    pub(crate) addresses: Vec<String>,
    pub(crate) key: Secret,
}

/// A key to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewKey {
    /// None: everything is decrypted. Said by a variable that is there and empty.
    Plain,
    /// This one.
    Secret(Secret),
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
        let mut own: BTreeMap<String, String> = match pairs.get("METAFERRY_CONFIG") {
            Some(file) => from_file(Path::new(file)).unwrap_or_else(|problem| {
                problems.push(problem);
                BTreeMap::new()
            }),
            None => BTreeMap::new(),
        };
        own.extend(
            pairs
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_lowercase(), value.clone()))),
        );
        let mut keys = Keys { own, problems };
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
        keys.refuse_unknown();
        if keys.problems.is_empty() {
            Ok(config)
        } else {
            Err(keys.refuse())
        }
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

/// Whether something was said.
enum Named<T> {
    As(T),
    Not,
    /// In a way that is a problem by itself.
    Wrongly,
}

struct Keys {
    own: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Keys {
    /// Faults on purpose, which only a program with debug assertions can be told of.
    fn faults(&mut self) -> Faults {
        #[cfg(debug_assertions)]
        if let Some(text) = self.take("fault") {
            match Faults::from_text(&text) {
                Ok(faults) => return faults,
                Err(problem) => self.problem("fault", &problem),
            }
        }
        Faults::default()
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.own.remove(key)
    }

    fn problem(&mut self, key: &str, problem: &str) {
        self.problems
            .push(format!("{PREFIX}{}: {problem}", key.to_uppercase()));
    }

    /// A secret of the variable, or of the file that another one names.
    fn secret(&mut self, key: &str) -> Named<Secret> {
        let file = format!("{key}_file");
        match (self.take(key), self.take(&file)) {
            (Some(_), Some(_)) => {
                let what = format!("{PREFIX}{} is set too; set one of them", key.to_uppercase());
                self.problem(&file, &what);
                Named::Wrongly
            }
            (Some(secret), None) => Named::As(Secret::new(secret)),
            (None, None) => Named::Not,
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(content) => Named::As(Secret::new(content.trim_end_matches(['\r', '\n']))),
                Err(error) => {
                    self.problem(&file, &format!("{path} cannot be read: {error}"));
                    Named::Wrongly
                }
            },
        }
    }

    /// Addresses and key, each worth nothing without the other.
    fn metabase_api(&mut self) -> Option<MetabaseApi> {
        const URL: &str = "metabase_url";
        const KEY: &str = "metabase_api_key";
        let addresses: Vec<String> = self
            .take(URL)
            .unwrap_or_default()
            .split([',', ' '])
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect();
        match (addresses.is_empty(), self.secret(KEY)) {
            (true, Named::Not) | (_, Named::Wrongly) => None,
            (false, Named::As(key)) if !key.expose().is_empty() => Some(MetabaseApi { addresses, key }),
            (false, Named::As(_) | Named::Not) => {
                self.problem(
                    KEY,
                    "an administrator's API key is needed beside METAFERRY_METABASE_URL",
                );
                None
            }
            (true, Named::As(_)) => {
                self.problem(
                    URL,
                    "Metabase's address is needed beside METAFERRY_METABASE_API_KEY",
                );
                None
            }
        }
    }

    /// From the variable or from the file that another one names, else `unnamed`. An empty file is a mistake, not a wish.
    fn new_key(&mut self, unnamed: Option<NewKey>) -> Option<NewKey> {
        const KEY: &str = "new_encryption_secret_key";
        const FILE: &str = "new_encryption_secret_key_file";
        let secret = match self.secret(KEY) {
            Named::As(secret) => secret,
            Named::Not => return unnamed,
            Named::Wrongly => return None,
        };
        match secret.expose().chars().count() {
            0 => {
                self.problem(
                    FILE,
                    &format!("the file is empty; to decrypt, set {NEW_KEY} to nothing"),
                );
                None
            }
            chars if chars < SECRET_CHARS_MIN => {
                self.problem(KEY, &KeyTooShort { chars }.to_string());
                None
            }
            _ => Some(NewKey::Secret(secret)),
        }
    }

    fn number(&mut self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let text = self.take(key)?;
        match text.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                self.problem(
                    key,
                    &format!(
                        "{text:?} is no whole number from {} to {}",
                        range.start(),
                        range.end()
                    ),
                );
                None
            }
        }
    }

    fn seconds(&mut self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<Duration> {
        self.number(key, range).map(Duration::from_secs)
    }

    fn refuse_unknown(&mut self) {
        let unknown: Vec<String> = self
            .own
            .keys()
            .filter(|key| {
                *key != "config"
                    && *key != "unmasked_arguments"
                    && !key.starts_with("test_")
                    && *key != "shared"
            })
            .cloned()
            .collect();
        for key in unknown {
            self.problem(&key, "there is no such key");
        }
    }

    fn refuse(&self) -> CommandError {
        CommandError::usage(self.problems.join("; "))
    }
}

fn from_file(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("METAFERRY_CONFIG: {}: {error}", path.display()))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| format!("METAFERRY_CONFIG: {}: {error}", path.display()))?;
    table
        .into_iter()
        .map(|(key, value)| match value {
            toml::Value::String(text) => Ok((key, text)),
            toml::Value::Integer(number) => Ok((key, number.to_string())),
            toml::Value::Boolean(value) => Ok((key, value.to_string())),
            toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_) => Err(format!(
                "{}: {key} must be a text, a whole number, true or false",
                path.display()
            )),
        })
        .collect()
}

fn node_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "node".to_owned());
    format!("{}:{}", host.trim(), std::process::id())
}

#[cfg(test)]
mod tests {
    use metaferry_metabase::Secret;

    use super::{Config, NEW_KEY, NewKey};
    use crate::exit::Ending;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, crate::exit::CommandError> {
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
    fn a_new_key_is_given_by_a_variable_or_a_file_and_decrypting_by_an_empty_variable_alone() {
        let new_key = |pairs: &[(&str, &str)]| config(pairs).map(|config| config.new_encryption_key);
        assert_eq!(new_key(&[]).unwrap(), None);
        assert_eq!(new_key(&[(NEW_KEY, "")]).unwrap(), Some(NewKey::Plain));
        let secret = "a new horse, a new staple";
        let expected = Some(NewKey::Secret(Secret::new(secret)));
        assert_eq!(new_key(&[(NEW_KEY, secret)]).unwrap(), expected);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, format!("{secret}\n")).unwrap();
        let by_file = ("METAFERRY_NEW_ENCRYPTION_SECRET_KEY_FILE", file.to_str().unwrap());
        assert_eq!(new_key(&[by_file]).unwrap(), expected);
        for wrong in [&[(NEW_KEY, secret), by_file][..], &[(NEW_KEY, "too short")]] {
            let error = new_key(wrong).unwrap_err();
            assert!(
                error.message.contains(NEW_KEY) && !error.message.contains("horse"),
                "{}",
                error.message
            );
        }
        std::fs::write(&file, "\n").unwrap();
        assert!(new_key(&[by_file]).unwrap_err().message.contains("is empty"));
    }

    #[test]
    fn metabase_is_asked_at_one_address_or_several_with_a_key() {
        let api = |pairs: &[(&str, &str)]| config(pairs).map(|config| config.metabase_api);
        let (url, key) = ("METAFERRY_METABASE_URL", "METAFERRY_METABASE_API_KEY");
        assert!(api(&[]).unwrap().is_none());
        let both = api(&[(url, "http://a:3000, http://b:3000"), (key, "mb_horse")])
            .unwrap()
            .unwrap();
        assert_eq!(both.addresses, ["http://a:3000", "http://b:3000"]);
        assert_eq!(both.key.expose(), "mb_horse");
        assert!(!format!("{both:?}").contains("horse"));
        for (wrong, named) in [((url, "http://a"), key), ((key, "mb_horse"), url)] {
            let error = api(&[wrong]).unwrap_err();
            assert!(
                error.message.contains(named) && !error.message.contains("horse"),
                "{}",
                error.message
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "mb_horse\n").unwrap();
        let by_file = [
            (url, "http://a"),
            ("METAFERRY_METABASE_API_KEY_FILE", file.to_str().unwrap()),
        ];
        assert_eq!(api(&by_file).unwrap().unwrap().key.expose(), "mb_horse");
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
