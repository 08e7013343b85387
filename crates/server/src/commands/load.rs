//! `load`: an H2 file into a database, every row proved before anybody sees it.

mod still;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metaferry_app_db::h2::file_of;
use metaferry_app_db::load::{LoadOptions, UnknownColumns, Users};
use metaferry_domain::ports::{DumpObserver, Hold, Source};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_metabase::copy_policy::Logs;
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_transfer::TransferError;
use metaferry_transfer::dump::{PolicyMaker as _, Reread};
use metaferry_transfer::load::{LoadReport, load};
use still::{DIRECT_MAX, Still};

use crate::cli::{LoadArgs, TargetArgs};
use crate::config::{Config, address};
use crate::exit::{CommandError, Ending};
use crate::output::{Output, Progress};
use crate::policy::MetabasePolicy;
use crate::secrecy::Secrecy;
use crate::{scratch, shutdown, wiring};

/// How long an interrupted load may take to take everything back.
const INTERRUPTED_MAX: Duration = Duration::from_secs(30);

/// A database's URL is no file, and its password is not to be shown with what is wrong.
pub(super) fn refuse_url(from: &str) -> Result<(), CommandError> {
    if from.contains("://") {
        return Err(CommandError::usage(
            "--from takes an H2 file; `copy` reads a database by its URL",
        ));
    }
    Ok(())
}

pub(super) async fn run(args: LoadArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    refuse_url(&args.from.to_string_lossy())?;
    let from = AppDbAddress::H2 {
        path: file_of(&args.from.to_string_lossy())
            .to_string_lossy()
            .into_owned(),
    };
    let to = address("--to", &args.to)?;
    let secrecy = if args.encrypt {
        Secrecy::encrypt(&config.metabase)?
    } else {
        Secrecy::Keep
    };
    let loading = Loading {
        source: wiring::source(&from, config.h2_files(args.salvage.into()))?,
        options: options(args.target),
        to,
        // A dump has left behind what it had to; the rest of it goes along.
        policy: MetabasePolicy::new(&args.tables, Logs::Carry).with(secrecy),
        reread: args.target.reread.into(),
    };
    loading.run("load", config, output).await
}

pub(super) fn options(args: TargetArgs) -> LoadOptions {
    LoadOptions {
        users: if args.force { Users::Replace } else { Users::Refuse },
        unknown: if args.drop_unknown {
            UnknownColumns::Drop
        } else {
            UnknownColumns::Refuse
        },
    }
}

/// A load about to begin.
pub(super) struct Loading {
    pub(super) source: Arc<dyn Source>,
    pub(super) to: AppDbAddress,
    pub(super) options: LoadOptions,
    pub(super) policy: MetabasePolicy,
    pub(super) reread: Reread,
}

impl Loading {
    /// Runs it to its end and says what was done.
    pub(super) async fn run(
        self,
        what: &'static str,
        config: &Config,
        output: Output,
    ) -> Result<Ending, CommandError> {
        scratch::remove_leftovers(config, output);
        let began = Instant::now();
        let reread = self.reread;
        let report = self.carry(what, config, output).await?;
        output.result(
            &text(&report, reread),
            &json(&report, began.elapsed().as_secs_f64()),
        );
        Ok(Ending::Done)
    }

    /// One snapshot, loaded.
    async fn once(
        &self,
        source: &dyn Source,
        progress: &Arc<Progress>,
        cancel: &Cancellation,
    ) -> Result<LoadReport, TransferError> {
        let snapshot = source.snapshot().await?;
        let decided = match self.policy.decide(&*snapshot).await {
            // What could not be read may only show that the snapshot is gone.
            Err(_) if matches!(snapshot.confirm().await, Ok(Hold::Lost)) => {
                return Err(TransferError::SnapshotLost);
            }
            decided => decided?,
        };
        let target = wiring::target(&self.to, self.options)?;
        let loaded = load(
            &*snapshot,
            target,
            decided,
            self.reread,
            Arc::clone(progress) as Arc<dyn DumpObserver>,
            cancel,
        )
        .await;
        if let Err(error) = snapshot.close().await {
            tracing::warn!(error = %error.chain(), "the source was not let go of in good manners");
        }
        loaded
    }

    /// One snapshot, loaded directly, or where its source does not keep it long enough by way of a copy.
    async fn carried(
        &self,
        progress: &Arc<Progress>,
        config: &Config,
        output: Output,
        cancel: &Cancellation,
    ) -> Result<LoadReport, CommandError> {
        for snapshot in 1..=DIRECT_MAX {
            match self.once(&*self.source, progress, cancel).await {
                Err(TransferError::SnapshotLost) => {
                    tracing::info!(snapshot, "the source was overwritten while it was read");
                }
                ended => return ended.map_err(differing),
            }
        }
        let still = Still::of(Arc::clone(&self.source), self.reread, config, output, cancel).await?;
        let mut report = self
            .once(&*still.source, progress, cancel)
            .await
            .map_err(differing)?;
        still.explain(&mut report.snapshot);
        Ok(report)
    }

    async fn carry(
        self,
        what: &'static str,
        config: &Config,
        output: Output,
    ) -> Result<LoadReport, CommandError> {
        let progress = Arc::new(Progress::new(what));
        let cancel = Cancellation::new();
        let work = self.carried(&progress, config, output, &cancel);
        tokio::pin!(work);
        let ended = tokio::select! {
            ended = &mut work => ended,
            () = shutdown::requested() => {
                // Never dropped where it stands: the target is told to take everything back.
                cancel.cancel();
                tokio::time::timeout(INTERRUPTED_MAX, &mut work).await.unwrap_or_else(|_| {
                    let what = "interrupted; what was being filled may have been left, the next load removes it";
                    Err(PortError::new(ErrorKind::Cancelled, what).into())
                })
            }
        };
        progress.end();
        ended
    }
}

/// A difference that the re-reading found is told from what could not be done.
fn differing(error: TransferError) -> CommandError {
    let differs = matches!(error, TransferError::Differs { .. });
    let error = CommandError::from(PortError::from(error));
    if differs {
        CommandError {
            ending: Ending::Different,
            ..error
        }
    } else {
        error
    }
}

fn text(report: &LoadReport, reread: Reread) -> String {
    let tables = &report.snapshot.tables;
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    let mut text = format!(
        "{} tables, {rows} rows, {} bytes{}",
        tables.len(),
        report.bytes,
        match reread {
            Reread::Verify => "; read again at the target and equal",
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
fn json(report: &LoadReport, seconds: f64) -> serde_json::Value {
    let snapshot = &report.snapshot;
    serde_json::json!({
        "tables": snapshot.tables,
        "left_out": snapshot.left_out,
        "rows": snapshot.tables.iter().map(|table| table.rows).sum::<u64>(),
        "bytes": report.bytes,
        "seconds": seconds,
        "snapshot_seconds": snapshot.snapshot_seconds,
        "snapshot_micros": snapshot.taken_at.micros,
        "notes": snapshot.notes,
    })
}
