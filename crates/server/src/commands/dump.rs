//! `dump`: one consistent snapshot into an H2 file, read again and compared.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metaferry_app_db::h2::file_of;
use metaferry_domain::migration::Attempt;
use metaferry_domain::ports::{DumpReport, DumpRequest, Dumper};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_h2_file::Compression;
use metaferry_metabase::copy_policy::Logs;
use metaferry_metabase::encryption::recode::Unreadable;
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_transfer::dump::{Existing, FileDumper, Reread};

use crate::cli::{DumpArgs, PlaintextArgs};
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::h2_dump::H2Format;
use crate::output::{Output, Progress};
use crate::policy::MetabasePolicy;
use crate::secrecy::Secrecy;
use crate::{shutdown, wiring};

/// How long an interrupted dump may take to remove what it made.
const INTERRUPTED_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(args: DumpArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.source.from.as_deref())?;
    let logs = if args.include_logs {
        Logs::Carry
    } else {
        Logs::LeaveOut
    };
    let compression = if args.compress {
        Compression::Lzf
    } else {
        Compression::None
    };
    let reread = if args.no_verify {
        Reread::Skip
    } else {
        Reread::Verify
    };
    let secrecy = secrecy(args.plaintext, config)?;
    let policy = Arc::new(MetabasePolicy::new(&args.tables, logs).with(secrecy.clone()));
    let dumper = FileDumper::new(
        wiring::source(&address, config.h2_files(args.salvage.into()))?,
        Arc::new(H2Format { compression }),
        policy.clone(),
        if args.force {
            Existing::Replace
        } else {
            Existing::Refuse
        },
        reread,
    );
    let request = DumpRequest {
        file: named_file(&args.to)?,
        attempt: Attempt(1),
        plaintext: secrecy.plaintext(),
    };
    refuse_to_replace_the_source(&address, &request)?;
    let began = Instant::now();
    let progress = Arc::new(Progress::new("dump"));
    let cancel = Cancellation::new();
    let work = async {
        dumper
            .copy_snapshot(&request, progress.clone(), &cancel)
            .await
            .map_err(|error| {
                if progress.has_begun() {
                    CommandError::mid_work(error)
                } else {
                    CommandError::from(error)
                }
            })?;
        dumper.finish(&cancel).await.map_err(differing)
    };
    tokio::pin!(work);
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = shutdown::requested() => {
            // Never dropped where it stands: a file that is being read again has its name already.
            cancel.cancel();
            tokio::time::timeout(INTERRUPTED_MAX, &mut work).await.unwrap_or_else(|_| {
                let file = request.file.display();
                let what = format!("interrupted; {file}, or a part of it beside it, may have been left");
                Err(PortError::new(ErrorKind::Cancelled, what).into())
            })
        }
    };
    progress.end();
    let report = ended?;
    output.result(
        &text(&report, reread),
        &json(&report, &policy.unknown_tables(), began.elapsed().as_secs_f64()),
    );
    Ok(Ending::Done)
}

/// Files are written plain: an option of H2 that asks for a cipher cannot be kept, and is not passed over.
pub(super) fn plain_file(to: &str) -> Result<(), CommandError> {
    let mut options = to.split(';').skip(1);
    if options.any(|option| option.trim_start().to_ascii_uppercase().starts_with("CIPHER=")) {
        return Err(CommandError::usage(
            "--to: H2 files are written plain; leave CIPHER out, and encrypt the disk or the values (--encrypt)",
        ));
    }
    Ok(())
}

/// The file of `--to`, which must have a name of its own.
fn named_file(to: &Path) -> Result<PathBuf, CommandError> {
    let text = to.to_string_lossy();
    plain_file(&text)?;
    let is_folder = text.ends_with('/') || to.is_dir();
    let name = to.file_name().unwrap_or_default();
    if text.is_empty() || is_folder || name.is_empty() || name == ".mv.db" {
        return Err(CommandError::usage(format!(
            "--to: {text:?} names no file; say one such as {}",
            Path::new(if is_folder { &*text } else { "." })
                .join("app-db.mv.db")
                .display()
        )));
    }
    Ok(file_of(&text))
}

/// What `--plaintext` and its companion ask for.
pub(super) fn secrecy(args: PlaintextArgs, config: &Config) -> Result<Secrecy, CommandError> {
    let unreadable = if args.keep_unreadable {
        Unreadable::Carry
    } else {
        Unreadable::Refuse
    };
    if args.plaintext {
        Secrecy::decrypt(&config.metabase, unreadable)
    } else {
        Ok(Secrecy::Keep)
    }
}

/// `--force` is about somebody's old dump, never about what is being dumped.
fn refuse_to_replace_the_source(address: &AppDbAddress, request: &DumpRequest) -> Result<(), CommandError> {
    let AppDbAddress::H2 { path } = address else {
        return Ok(());
    };
    // By whatever links they are reached.
    let identity = |file: &Path| std::fs::metadata(file).map(|facts| (facts.dev(), facts.ino()));
    match (identity(&file_of(path)), identity(&request.file)) {
        (Ok(source), Ok(target)) if source == target => Err(CommandError::new(
            Ending::Refused,
            format!(
                "--to names the app DB itself, {}; name another file",
                request.file.display()
            ),
        )),
        _ => Ok(()),
    }
}

/// Damage that the re-reading found is a difference, not a failure to read.
fn differing(error: PortError) -> CommandError {
    let corrupt = error.kind == ErrorKind::Corrupt;
    let error = CommandError::mid_work(error);
    if corrupt {
        CommandError {
            ending: Ending::Different,
            ..error
        }
    } else {
        error
    }
}

fn text(report: &DumpReport, reread: Reread) -> String {
    let tables = &report.snapshot.tables;
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    let mut text = format!(
        "{}: {} tables, {rows} rows, {} bytes{}",
        report.file.path.display(),
        tables.len(),
        report.file.size_bytes,
        match reread {
            Reread::Verify => "; read again and equal",
            Reread::Skip => "; not read again",
        }
    );
    for left_out in report
        .snapshot
        .left_out
        .iter()
        .filter(|left_out| left_out.rows > 0)
    {
        text.push_str(&format!(
            "\nleft out: {} ({} rows): {}",
            left_out.name, left_out.rows, left_out.why
        ));
    }
    for note in &report.snapshot.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    text
}

/// The object of the contract.
fn json(report: &DumpReport, unknown_tables: &[String], seconds: f64) -> serde_json::Value {
    let snapshot = &report.snapshot;
    serde_json::json!({
        "tables": snapshot.tables,
        "left_out": snapshot.left_out,
        "unknown_tables": unknown_tables,
        "rows": snapshot.tables.iter().map(|table| table.rows).sum::<u64>(),
        "bytes": report.file.size_bytes,
        "seconds": seconds,
        "snapshot_seconds": snapshot.snapshot_seconds,
        "snapshot_micros": snapshot.taken_at.micros,
        "file": report.file.path,
        "sha256": report.file.sha256,
        "manifest": report.manifest,
        "notes": snapshot.notes,
    })
}
