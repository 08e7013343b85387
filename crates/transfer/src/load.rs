//! Rows into a database that shows all of them at once or none: what was read, written, read again there and found
//! equal, before anybody sees it.

use std::sync::Arc;
use std::time::Instant;

use metaferry_domain::Cancellation;
use metaferry_domain::copy_policy::TablePolicy;
use metaferry_domain::ports::{DumpObserver, LoadTarget, Snapshot, SnapshotReport};

use crate::copy::{carry, confirmed};
use crate::dump::{DecidedPolicy, Reread};
use crate::duplicates;
use crate::error::TransferError;
use crate::plan::Plan;
use crate::reread::digests;
use crate::verify::{compare, differences};

/// What a load has done.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadReport {
    /// What was read, and what was not.
    pub snapshot: SnapshotReport,
    /// Bytes that the target's tables take.
    pub bytes: u64,
}

/// Loads what `decided` carries out of `snapshot` into `target`.
///
/// # Errors
/// The first that anything met; everything at the target is then as it was. [`TransferError::Differs`] if what the
/// target holds is not what was read, [`TransferError::Duplicates`] before anything was written.
pub async fn load(
    snapshot: &dyn Snapshot,
    mut target: Box<dyn LoadTarget>,
    decided: DecidedPolicy,
    reread: Reread,
    observer: Arc<dyn DumpObserver>,
    cancel: &Cancellation,
) -> Result<LoadReport, TransferError> {
    match fill(snapshot, &mut *target, decided, reread, observer, cancel).await {
        Ok(report) => {
            // The last look: what follows shows the rows and is not taken back.
            if let Err(cancelled) = cancel.check() {
                abandon(target).await;
                return Err(cancelled.into());
            }
            let finished = target.finish().await?;
            let mut report = report;
            report.notes.extend(finished.notes);
            Ok(LoadReport {
                snapshot: report,
                bytes: finished.bytes,
            })
        }
        Err(error) => {
            abandon(target).await;
            Err(error)
        }
    }
}

async fn abandon(target: Box<dyn LoadTarget>) {
    if let Err(error) = target.abandon().await {
        // The first error is what the caller must hear; what is left now goes at the next load.
        tracing::warn!(error = %error.chain(), "not everything could be taken back");
    }
}

/// Everything up to the step that shows the rows.
async fn fill(
    snapshot: &dyn Snapshot,
    target: &mut dyn LoadTarget,
    decided: DecidedPolicy,
    reread: Reread,
    observer: Arc<dyn DumpObserver>,
    cancel: &Cancellation,
) -> Result<SnapshotReport, TransferError> {
    let started = Instant::now();
    let catalogue = snapshot.catalogue();
    let DecidedPolicy {
        mut policy,
        mut notes,
    } = decided;
    // What is left out may be what the target cannot have.
    let (made, left_out) = catalogue.without(&policy.absent);
    let survey = target.survey(&made, &policy).await?;
    notes.extend(left_out);
    notes.extend(snapshot.notes());
    notes.extend(survey.notes);
    for kept in survey.kept {
        policy
            .tables
            .insert(kept.name, TablePolicy::LeaveOut { why: kept.why });
    }
    let mut plan = Plan::new(catalogue, &policy, target.row_order(), target.generated_columns());
    notes.extend(plan.leave_behind(catalogue, &survey.unplaced));
    let looked = async {
        plan.weigh(snapshot, cancel).await?;
        duplicates::refuse(snapshot, &plan, &survey.unique, target, cancel).await
    };
    let looked = looked.await;
    notes.extend(confirmed(snapshot, looked).await?);

    let copied = carry(snapshot, &made, target, &plan, observer, cancel).await?;
    notes.extend(copied.notes);
    let snapshot_seconds = started.elapsed().as_secs_f64();

    let written = target.reread().await?;
    let verified = match reread {
        Reread::Skip => Ok(()),
        Reread::Verify => digests(catalogue, &plan, &*written, cancel)
            .await
            .and_then(|arrived| {
                let tables = differences(&compare(&copied.tables, &arrived), "at the target");
                if tables.is_empty() {
                    Ok(())
                } else {
                    Err(TransferError::Differs { tables })
                }
            }),
    };
    // Its sessions look at what the next step changes.
    written.close().await?;
    verified?;
    Ok(SnapshotReport {
        taken_at: snapshot.taken_at(),
        snapshot_seconds,
        tables: copied.tables,
        left_out: copied.left_out,
        notes,
    })
}
