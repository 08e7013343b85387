//! `inspect`: what is in an H2 file or in another app DB.

mod h2;
mod rows;

use std::path::{Path, PathBuf};

use metaferry_app_db::h2::{H2Source, file_of};
use metaferry_domain::ports::{Hold, Snapshot};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_h2_file::Facts;
use metaferry_metabase::encryption::envelope::Keyring;
use metaferry_metabase::encryption::sentinel::{SENTINEL_SETTING, SentinelState, check_sentinel};
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_transfer::copy::SNAPSHOTS_MAX;

use crate::cli::InspectArgs;
use crate::config::{Config, address};
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::password::with_password;
use crate::{policy, wiring};

/// The major version since which Metabase keeps a sentinel.
const SENTINEL_SINCE: u32 = 53;

/// What is looked into.
enum Subject {
    File(PathBuf),
    Server(AppDbAddress),
}

impl Subject {
    fn of(name: &str) -> Result<Self, CommandError> {
        // A file that a store received has no ending at all.
        if Path::new(name).is_file() {
            return Ok(Self::File(PathBuf::from(name)));
        }
        if !name.contains("://") {
            return Ok(Self::File(file_of(name)));
        }
        Ok(match address("FILE", name)? {
            AppDbAddress::H2 { path } => Self::File(file_of(&path)),
            server @ (AppDbAddress::Postgres(_) | AppDbAddress::MySql(_)) => Self::Server(server),
        })
    }

    /// The path; of a server nothing, since its URL may hold a password.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(file),
            Self::Server(_) => None,
        }
    }

    async fn open(
        &self,
        args: &InspectArgs,
        config: &Config,
    ) -> Result<(Box<dyn Snapshot>, Option<Facts>), PortError> {
        let h2_files = config.h2_files(args.salvage.into());
        match self {
            Self::File(file) => {
                let options = with_password(file, h2_files)?;
                let snapshot = H2Source::new(file).with_options(options).open().await?;
                let facts = snapshot.facts().clone();
                Ok((Box::new(snapshot), Some(facts)))
            }
            Self::Server(address) => Ok((wiring::source(address, h2_files)?.snapshot().await?, None)),
        }
    }
}

/// A result, for people and for programs.
struct Shown {
    text: String,
    json: serde_json::Value,
}

pub(super) async fn run(args: InspectArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let subject = Subject::of(&args.file)?;
    let mut snapshots = 1;
    loop {
        let (snapshot, facts) = subject.open(&args, config).await?;
        let shown = show(&subject, &*snapshot, facts.as_ref(), &args, config).await;
        match snapshot.confirm().await? {
            Hold::Held => {
                let shown = shown?;
                snapshot.close().await?;
                output.result(&shown.text, &shown.json);
                return Ok(Ending::Done);
            }
            Hold::Lost if snapshots < SNAPSHOTS_MAX => snapshots += 1,
            Hold::Lost => {
                let what = format!("overwritten under each of {snapshots} snapshots");
                return Err(PortError::new(ErrorKind::Unavailable, what).into());
            }
        }
    }
}

async fn show(
    subject: &Subject,
    snapshot: &dyn Snapshot,
    facts: Option<&Facts>,
    args: &InspectArgs,
    config: &Config,
) -> Result<Shown, CommandError> {
    if let Some(table) = &args.table {
        let rows = rows::rows(snapshot, table, args.rows).await?;
        return Ok(Shown {
            text: rows.text(),
            json: rows.json(),
        });
    }
    let major = policy::major(snapshot).await?;
    let encryption = encryption(snapshot, major, config).await?;
    let mut tables = Vec::new();
    for table in &snapshot.catalogue().tables {
        let key = table.name.key();
        let rows = snapshot.count(&key).await?;
        tables.push((key, rows));
    }
    let views: Vec<String> = snapshot
        .catalogue()
        .views
        .iter()
        .map(|view| view.name.key())
        .collect();
    let total: u64 = tables.iter().map(|(_, rows)| rows).sum();
    let version = major.map_or_else(|| "no changelog".to_owned(), |major| format!("v{major}"));

    let mut text = String::new();
    text.extend(subject.path().map(|file| format!("{}\n", file.display())));
    text.extend(facts.map(|facts| format!("{}\n", h2::line(facts))));
    text.push_str(&format!(
        "Metabase: {version}, values {}\n{} tables, {total} rows, {} views",
        encryption.words(),
        tables.len(),
        views.len()
    ));
    for note in snapshot.notes() {
        text.push_str(&format!("\nnote: {note}"));
    }
    for (name, rows) in &tables {
        text.push_str(&format!("\n{rows:>10}  {name}"));
    }
    let json = serde_json::json!({
        "file": subject.path(),
        "h2": facts.map(h2::json),
        "metabase_major": major,
        "encryption": encryption.word(),
        "tables": tables
            .iter()
            .map(|(name, rows)| serde_json::json!({"name": name, "rows": rows}))
            .collect::<Vec<_>>(),
        "views": views,
        "rows": total,
    });
    Ok(Shown { text, json })
}

/// Whether Metabase encrypted values in its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueEncryption {
    /// By the sentinel, or because Metabase would have made one.
    None,
    /// Encrypted, and `MB_ENCRYPTION_SECRET_KEY` is the key.
    KeyFits,
    /// Encrypted; no key was given.
    KeyMissing,
    /// Encrypted with another key than the one given.
    WrongKey,
    /// A Metabase from before the sentinel, or no Metabase.
    Unknown,
}

impl ValueEncryption {
    fn words(self) -> &'static str {
        match self {
            Self::None => "not encrypted",
            Self::KeyFits => "encrypted, MB_ENCRYPTION_SECRET_KEY fits",
            Self::KeyMissing => "encrypted, no MB_ENCRYPTION_SECRET_KEY given",
            Self::WrongKey => "encrypted with another key than MB_ENCRYPTION_SECRET_KEY",
            Self::Unknown => {
                "encrypted or not: unknown (no setting encryption-check; Metabase before v53 keeps none)"
            }
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::KeyFits => "encrypted, key fits",
            Self::KeyMissing => "encrypted, no key",
            Self::WrongKey => "encrypted, wrong key",
            Self::Unknown => "unknown",
        }
    }
}

async fn encryption(
    snapshot: &dyn Snapshot,
    major: Option<u32>,
    config: &Config,
) -> Result<ValueEncryption, CommandError> {
    let stored = policy::setting(snapshot, SENTINEL_SETTING).await?;
    let keys = match &stored {
        // Deriving a key costs a second.
        Some(_) => config
            .metabase
            .derive_encryption_key()
            .map_err(|error| CommandError::usage(format!("MB_ENCRYPTION_SECRET_KEY: {error}")))?
            .map(Keyring::new),
        None => None,
    };
    Ok(match check_sentinel(stored.as_deref(), keys.as_ref()) {
        SentinelState::Unencrypted => ValueEncryption::None,
        SentinelState::Absent if major.is_some_and(|major| major >= SENTINEL_SINCE) => ValueEncryption::None,
        SentinelState::Absent => ValueEncryption::Unknown,
        SentinelState::Verified => ValueEncryption::KeyFits,
        SentinelState::KeyMissing => ValueEncryption::KeyMissing,
        SentinelState::WrongKey => ValueEncryption::WrongKey,
    })
}
