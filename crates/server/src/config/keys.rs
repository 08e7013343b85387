//! Our own keys, of the environment or of a file: each is taken once, every mistake is kept, and what is left over is unknown.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use metaferry_metabase::Secret;
use metaferry_orchestrator::Faults;

use crate::exit::CommandError;

/// What begins our own variables.
const PREFIX: &str = "METAFERRY_";

/// Whether something was said.
pub(super) enum Named<T> {
    As(T),
    Not,
    /// In a way that is a problem by itself.
    Wrongly,
}

/// What is set under our own names, from which each key is taken once, and what was wrong with it.
pub(super) struct Keys {
    own: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Keys {
    /// Of the file that `METAFERRY_CONFIG` names, and of the environment, which wins. `problems`: those found before.
    pub(super) fn read(pairs: &BTreeMap<String, String>, mut problems: Vec<String>) -> Self {
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
        Self { own, problems }
    }

    /// Faults on purpose, which only a program with debug assertions can be told of.
    pub(super) fn faults(&mut self) -> Faults {
        #[cfg(debug_assertions)]
        if let Some(text) = self.take("fault") {
            let delay = self.seconds("fault_seconds", 0..=600);
            match Faults::from_text(&text) {
                Ok(faults) => {
                    return match delay {
                        Some(delay) => faults.with_delay(delay),
                        None => faults,
                    };
                }
                Err(problem) => self.problem("fault", &problem),
            }
        }
        Faults::default()
    }

    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.own.remove(key)
    }

    pub(super) fn problem(&mut self, key: &str, problem: &str) {
        self.problems
            .push(format!("{PREFIX}{}: {problem}", key.to_uppercase()));
    }

    /// A secret of the variable, or of the file that another one names.
    pub(super) fn secret(&mut self, key: &str) -> Named<Secret> {
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

    pub(super) fn number(&mut self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
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

    pub(super) fn seconds(&mut self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<Duration> {
        self.number(key, range).map(Duration::from_secs)
    }

    /// Fails with every problem there was, an unknown key among them.
    pub(super) fn end(mut self) -> Result<(), CommandError> {
        self.refuse_unknown();
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(self.refuse())
        }
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

    /// The problems so far.
    pub(super) fn refuse(&self) -> CommandError {
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
