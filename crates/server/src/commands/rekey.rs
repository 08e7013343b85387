//! `rekey`: changes the key that an app DB is encrypted with, where it is.

use std::sync::Arc;
use std::time::Instant;

use metaferry_app_db::rekey::{RekeyError, RekeyOptions, RekeyReport, Running, Trial};
use metaferry_domain::ports::Snapshot;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_h2_file::OpenOptions;
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::encryption::recode::Unreadable;
use metaferry_metabase::encryption::rekey::{Change, Rekey, RekeyFacts};
use metaferry_metabase::encryption::sentinel::{SENTINEL_SETTING, SentinelState, check_sentinel};
use metaferry_metabase::error::RekeyRefused;

use crate::cli::RekeyArgs;
use crate::config::{Config, NEW_KEY, NewKey, address};
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::policy::{major, setting};
use crate::{secrecy, shutdown, wiring};

pub(super) async fn run(args: RekeyArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let began = Instant::now();
    let address = match &args.url {
        Some(url) => address("URL", url)?,
        None => config.metabase.app_db.clone(),
    };
    let mut rekeying = wiring::rekeying(&address)?;
    let keys = Keys::of(config)?;
    let unreadable = if args.keep_unreadable {
        Unreadable::Carry
    } else {
        Unreadable::Refuse
    };
    let trial = if args.dry_run { Trial::Yes } else { Trial::No };
    let cancel = Cancellation::new();
    let options = RekeyOptions {
        running: if args.force {
            Running::Warn
        } else {
            Running::Refuse
        },
        trial,
        cancel: cancel.clone(),
    };
    let work = async {
        let source = wiring::source(&address, OpenOptions::default())?;
        let snapshot = source.snapshot().await?;
        let planned = plan(&*snapshot, keys, unreadable).await;
        snapshot.close().await?;
        let rekey = planned?;
        let report = rekeying
            .rekey(&rekey, &options)
            .await
            .map_err(|error| match error {
                RekeyError::Refused(error) => CommandError::from(error),
                RekeyError::Failed(error) => CommandError::mid_work(error),
            })?;
        Ok((rekey.change(), report))
    };
    tokio::pin!(work);
    let ended: Result<(Change, RekeyReport), CommandError> = tokio::select! {
        ended = &mut work => ended,
        () = shutdown::requested() => {
            // Never dropped where it stands: a commit under way is waited for, so that what is said is true.
            cancel.cancel();
            work.await
        }
    };
    let (change, report) = ended?;
    output.result(
        &text(change, &report, trial),
        &json(change, &report, trial, began.elapsed().as_secs_f64()),
    );
    Ok(Ending::Done)
}

/// Both keys, as the environment gives them.
struct Keys {
    old: Option<DerivedKey>,
    new: Option<DerivedKey>,
}

impl Keys {
    fn of(config: &Config) -> Result<Self, CommandError> {
        let new = match &config.new_encryption_key {
            None => {
                return Err(CommandError::usage(format!(
                    "the new key is given by {NEW_KEY} or {NEW_KEY}_FILE; set it to nothing to decrypt everything"
                )));
            }
            Some(NewKey::Plain) => None,
            Some(NewKey::Secret(secret)) => Some(
                DerivedKey::derive(secret)
                    .map_err(|error| CommandError::usage(format!("{NEW_KEY}: {error}")))?,
            ),
        };
        let old = config
            .metabase
            .derive_encryption_key()
            .map_err(|error| CommandError::usage(format!("MB_ENCRYPTION_SECRET_KEY: {error}")))?;
        Ok(Self { old, new })
    }
}

/// What is to be done, if the sentinel and the data keys say that the old key is this database's.
async fn plan(snapshot: &dyn Snapshot, keys: Keys, unreadable: Unreadable) -> Result<Rekey, PortError> {
    if snapshot.catalogue().table("setting").is_none() {
        let what = "there is no table setting in this database: is it the app DB?";
        return Err(PortError::new(ErrorKind::NotFound, what));
    }
    let sentinel = setting(snapshot, SENTINEL_SETTING).await?;
    let old = match keys.old {
        // Of a plain database its data keys are nobody's business.
        Some(key) if check_sentinel(sentinel.as_deref(), None) != SentinelState::Unencrypted => {
            Some(secrecy::keyring(&key, snapshot).await?)
        }
        Some(_) => return Err(refused(RekeyRefused::NotEncrypted)),
        None => None,
    };
    let facts = RekeyFacts {
        sentinel: sentinel.as_deref(),
        major: major(snapshot).await?,
    };
    Rekey::plan(&facts, old, keys.new, Arc::new(secrecy::random), unreadable).map_err(refused)
}

fn refused(error: RekeyRefused) -> PortError {
    let kind = match error {
        RekeyRefused::NotEncryptable => ErrorKind::Unsupported,
        RekeyRefused::NoKeys
        | RekeyRefused::SameKey
        | RekeyRefused::KeyMissing
        | RekeyRefused::WrongKey
        | RekeyRefused::NotEncrypted => ErrorKind::Precondition,
    };
    PortError::new(kind, error.to_string())
}

fn text(change: Change, report: &RekeyReport, trial: Trial) -> String {
    let values: u64 = report.columns.iter().map(|column| column.values).sum();
    let columns = report.columns.len();
    let done = match change {
        Change::Rotate => "put under the new key",
        Change::Encrypt => "encrypted",
        Change::Decrypt => "decrypted",
    };
    let mut text = match trial {
        Trial::No => format!("{values} values in {columns} columns {done}"),
        Trial::Yes => format!("{values} values in {columns} columns would be {done}; nothing is changed"),
    };
    for column in &report.columns {
        text.push_str(&format!(
            "\n{}.{}: {}",
            column.table, column.column, column.values
        ));
    }
    for (table, rows) in report.emptied.iter().filter(|(_, rows)| *rows > 0) {
        text.push_str(&format!("\nemptied: {table} ({rows} rows)"));
    }
    for note in &report.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    if trial == Trial::No {
        text.push_str(match change {
            Change::Rotate | Change::Encrypt => "\nstart Metabase with the new key",
            Change::Decrypt => "\nstart Metabase without MB_ENCRYPTION_SECRET_KEY",
        });
    }
    text
}

/// The object of the contract.
fn json(change: Change, report: &RekeyReport, trial: Trial, seconds: f64) -> serde_json::Value {
    let columns: Vec<serde_json::Value> = report
        .columns
        .iter()
        .map(|column| serde_json::json!({"table": column.table, "column": column.column, "values": column.values}))
        .collect();
    let emptied: Vec<serde_json::Value> = report
        .emptied
        .iter()
        .map(|(table, rows)| serde_json::json!({"table": table, "rows": rows}))
        .collect();
    serde_json::json!({
        "change": match change {
            Change::Rotate => "rotated",
            Change::Encrypt => "encrypted",
            Change::Decrypt => "decrypted",
        },
        "dry_run": trial == Trial::Yes,
        "values": report.columns.iter().map(|column| column.values).sum::<u64>(),
        "columns": columns,
        "emptied": emptied,
        "notes": report.notes,
        "seconds": seconds,
    })
}
