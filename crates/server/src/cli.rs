//! The command line, a contract: scripts depend on its words, its JSON and its exit codes.
#![expect(
    clippy::doc_markdown,
    reason = "doc comments here are help texts for a terminal, not Markdown"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_transfer::dump::Reread;

/// Moves a Metabase instance's application database to the cloud, or anywhere, and back.
///
/// The app DB is named by Metabase's own environment (MB_DB_TYPE, MB_DB_*, MB_DB_CONNECTION_URI, MB_DB_FILE) unless a URL is
/// given: postgres://…, mysql://…, h2:PATH. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused before anything was touched,
/// 4 verification found a difference, 130 cancelled.
#[derive(Debug, Parser)]
#[command(
    name = "metaferry",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// One JSON object on standard output when the command ends; text and logs go to standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A sample app DB through a whole migration, on embedded parts: no server needed.
    Demo(DemoArgs),
    /// Every reason why a migration would fail, before it starts. Writes nothing but Metaferry's own tables.
    Check(CheckArgs),
    /// Migrate the app DB: read-only, snapshot, verified dump, upload. Interrupting it undoes everything.
    Migrate(MigrateArgs),
    /// The HTTP API and the worker behind it.
    Serve(ServeArgs),
    /// Where the newest migration stands.
    Status(SourceArgs),
    /// Cancel whatever migration runs on this app DB, wherever it runs.
    Cancel(SourceArgs),
    /// Another attempt of the newest migration, if that failed or was cancelled: the same row, a new id at the store.
    Retry(RetryArgs),
    /// Every migration of this app DB: how each attempt ended, why, and what to do next.
    History(HistoryArgs),
    /// Undo (or, where the dump was complete, go on with) what a metaferry that is gone has left. Running it again changes
    /// nothing.
    Recover(RecoverArgs),
    /// Remove Metaferry's own tables from an app DB. Refused while something is left that only they can undo.
    Uninstall(UninstallArgs),
    /// One consistent snapshot of an app DB into an H2 file, read again and compared.
    Dump(DumpArgs),
    /// An H2 file (a dump, or an app DB that nobody has open) into a database: an empty one, or one that Metabase has
    /// set up. Shown when every row is proved, or not at all.
    Load(LoadArgs),
    /// One app DB into another, of any kind.
    Copy(CopyArgs),
    /// A dump into a fresh database, which is made for it.
    Restore(RestoreArgs),
    /// Change the key that an app DB is encrypted with, where it is: in one transaction, or not at all. The old key is
    /// MB_ENCRYPTION_SECRET_KEY (none: the app DB is plain), the new one METAFERRY_NEW_ENCRYPTION_SECRET_KEY (empty: it
    /// becomes plain), or the file that METAFERRY_NEW_ENCRYPTION_SECRET_KEY_FILE names.
    Rekey(RekeyArgs),
    /// Compare two databases, rows and digests, table by table.
    Verify(VerifyArgs),
    /// What is in an H2 file, or in another app DB.
    Inspect(InspectArgs),
    /// The receiving shore: the store API over a folder.
    Store(StoreArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep everything in this folder; without it a temporary one is used and removed.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// How much sample data; 1 is about ten thousand rows.
    #[arg(long, default_value_t = 0.1, value_parser = scale)]
    pub(crate) scale: f64,
}

#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// The app DB; left out, Metabase's own environment names it.
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Where to: `store` or s3://BUCKET/PREFIX. Left out, where the last attempt went.
    #[arg(long)]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    /// Go on where preflight only warns.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// How many, the newest first.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// The app DB: postgres://…, mysql://…, or h2:PATH.
    pub(crate) url: String,
}

/// As `migrate` will be told.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Where to: `store` (the store API, MB_STORE_API_URL) or s3://BUCKET/PREFIX.
    #[arg(long, default_value = "store")]
    pub(crate) to: String,
    /// How writes will be held off while the snapshot is read.
    #[arg(long, value_enum, default_value_t = ReadOnly::Flag)]
    pub(crate) read_only: ReadOnly,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Where to: `store` (the store API, MB_STORE_API_URL) or s3://BUCKET/PREFIX.
    #[arg(long, default_value = "store")]
    pub(crate) to: String,
    /// How writes are held off while the snapshot is read.
    #[arg(long, value_enum, default_value_t = ReadOnly::Flag)]
    pub(crate) read_only: ReadOnly,
    /// With --read-only enforced: when tables can be written again, whatever has become of Metaferry (90s, 30m, 2h).
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    pub(crate) read_only_max: Duration,
    /// How many nodes of Metabase there are. 1 spares waiting for others, where that one is told through its own API
    /// (METAFERRY_METABASE_URL); where more check in or are connected they are named, and waited for. Else METAFERRY_NODES.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) nodes: Option<u32>,
    /// Keep the dump after it has arrived.
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    /// Go on where preflight only warns.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Fail where read-only mode was broken during the dump, instead of warning.
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3030")]
    pub(crate) listen: SocketAddr,
    /// Where to: `store` (the store API, MB_STORE_API_URL) or s3://BUCKET/PREFIX.
    #[arg(long, default_value = "store")]
    pub(crate) to: String,
    /// How writes are held off while the snapshot is read.
    #[arg(long, value_enum, default_value_t = ReadOnly::Flag)]
    pub(crate) read_only: ReadOnly,
    /// With --read-only enforced: when tables can be written again, whatever has become of Metaferry (90s, 30m, 2h).
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    pub(crate) read_only_max: Duration,
    /// Begin migrations where preflight only warns. Without it the API refuses them with the reason.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// The H2 file to write, with or without `.mv.db`.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    /// Carry logs too: query_execution, task_history and the like.
    #[arg(long)]
    pub(crate) include_logs: bool,
    /// Of a damaged H2 file, dump the newest version that is still whole.
    #[arg(long)]
    pub(crate) salvage: bool,
    #[command(flatten)]
    pub(crate) plaintext: PlaintextArgs,
    /// Compress the file (LZF). H2 reads it without being told; it is smaller, and slower to write.
    #[arg(long)]
    pub(crate) compress: bool,
    /// Do not read the finished file again.
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Replace the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct PlaintextArgs {
    /// Decrypt whatever MB_ENCRYPTION_SECRET_KEY opens, in any column. Whoever reads the copy needs no key.
    #[arg(long)]
    pub(crate) plaintext: bool,
    /// With --plaintext, carry values that look encrypted and that the key does not open, instead of refusing.
    #[arg(long, requires = "plaintext")]
    pub(crate) keep_unreadable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct TableArgs {
    /// Leave the rows of this table behind, and a table that is not Metabase's altogether; may be repeated.
    #[arg(long, value_name = "TABLE")]
    pub(crate) exclude: Vec<String>,
    /// Carry this table although it would be left behind; may be repeated.
    #[arg(long, value_name = "TABLE")]
    pub(crate) include: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The H2 file, with or without `.mv.db`.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// Of a damaged H2 file, load the newest version that is still whole.
    #[arg(long)]
    pub(crate) salvage: bool,
    /// The database to load into.
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    /// Encrypt with MB_ENCRYPTION_SECRET_KEY what the Metabase on the target keeps encrypted.
    #[arg(long)]
    pub(crate) encrypt: bool,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The app DB to read; left out, Metabase's own environment names it.
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
    /// Of a damaged H2 file, copy the newest version that is still whole.
    #[arg(long)]
    pub(crate) salvage: bool,
    /// The database to write.
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    /// Carry logs too: query_execution, task_history and the like.
    #[arg(long)]
    pub(crate) include_logs: bool,
    #[command(flatten)]
    pub(crate) plaintext: PlaintextArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The dump, with or without `.mv.db`; or an object of S3, s3://BUCKET/KEY (AWS_* variables), which is fetched and compared
    /// with the store's checksum first.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// The database to make: {date}, {time} and {id} in its name are filled in.
    #[arg(long, value_name = "URL-TEMPLATE")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) reread: RereadArgs,
}

/// Whether what was written is read again.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RereadArgs {
    /// Do not read the rows again at the target.
    #[arg(long)]
    pub(crate) no_verify: bool,
}

impl From<RereadArgs> for Reread {
    fn from(args: RereadArgs) -> Self {
        if args.no_verify { Self::Skip } else { Self::Verify }
    }
}

/// What may happen to a target.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct TargetArgs {
    /// Leave columns and tables behind that the target does not have, instead of refusing.
    #[arg(long)]
    pub(crate) drop_unknown: bool,
    #[command(flatten)]
    pub(crate) reread: RereadArgs,
    /// Replace everything in a target that has users in it.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RekeyArgs {
    /// The app DB; left out, Metabase's own environment names it.
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Look at every value and try everything, and take it back.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave values as they are that look encrypted and that the key does not open, instead of refusing.
    #[arg(long)]
    pub(crate) keep_unreadable: bool,
    /// Go on although a Metabase runs on the app DB.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// One database.
    #[arg(long, value_name = "URL")]
    pub(crate) left: String,
    /// The other.
    #[arg(long, value_name = "URL")]
    pub(crate) right: String,
    /// Compare everything, not only what a copy carries.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Of a damaged H2 file, compare the newest version that is still whole.
    #[arg(long)]
    pub(crate) salvage: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The H2 file, with or without `.mv.db`; or a database URL. METAFERRY_H2_FILE_PASSWORD opens an encrypted file.
    pub(crate) file: String,
    /// Of a damaged H2 file, show the newest version that is still whole.
    #[arg(long)]
    pub(crate) salvage: bool,
    /// Show rows of this table.
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 10, requires = "table")]
    pub(crate) rows: u64,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3040")]
    pub(crate) listen: SocketAddr,
    /// Where objects and their state live.
    #[arg(long, default_value = "metaferry-store")]
    pub(crate) data: PathBuf,
    /// The address that clients reach this store by; upload URLs begin with it.
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
}

/// `--read-only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReadOnly {
    /// Metabase's own setting.
    Flag,
    /// The setting, and triggers on the tables that must not change: in force at once, also for plain SQL.
    Enforced,
    /// Nothing: the snapshot alone.
    None,
}

impl From<ReadOnly> for ReadOnlyStrength {
    fn from(read_only: ReadOnly) -> Self {
        match read_only {
            ReadOnly::Flag => Self::Flag,
            ReadOnly::Enforced => Self::Enforced,
            ReadOnly::None => Self::None,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a whole number with its unit: 90s, 30m or 2h; at most 24h".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    match seconds {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        Some(_) | None => Err(wrong()),
    }
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 1000.0 => Ok(scale),
        _ => Err("a number above 0, at most 1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{Cli, duration};

    #[test]
    fn times_have_their_unit() {
        let seconds = |text| duration(text).map(|time| time.as_secs());
        assert_eq!(
            (seconds("90s"), seconds("30m"), seconds("2h")),
            (Ok(90), Ok(1800), Ok(7200))
        );
        for wrong in ["", "30", "m", "0s", "25h", "1.5h", "5µ", "-1s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }
}
