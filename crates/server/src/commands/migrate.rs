//! `migrate`: one migration from the command line. Interrupting it undoes everything.

use metaferry_domain::event::Canceller;
use metaferry_domain::migration::Phase;
use metaferry_domain::plan::{DumpRetention, Strictness};
use metaferry_domain::state::MigrationState;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_orchestrator::{Ended, NotBegun, Orchestrator, Warnings};

use crate::cli::MigrateArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::{shutdown, wiring};

/// How often an interrupt is passed on, so that it also reaches a migration that is only just beginning.
const INTERRUPT_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

pub(super) async fn run(args: MigrateArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.source.from.as_deref())?;
    let choices = wiring::Choices {
        purpose: wiring::Purpose::Migrate,
        to: args.to,
        strength: args.read_only.into(),
        retention: if args.keep {
            DumpRetention::Keep
        } else {
            DumpRetention::Delete
        },
        strictness: if args.strict {
            Strictness::Strict
        } else {
            Strictness::Lenient
        },
        warnings: if args.yes {
            Warnings::Accept
        } else {
            Warnings::Refuse
        },
        tables: args.tables,
    };
    let shores = wiring::shores(config, &address, choices).await?;
    let orchestrator = shores.orchestrator;
    let interrupted = Cancellation::new();
    let watching = tokio::spawn(interrupt(orchestrator.clone(), interrupted.clone(), output));
    let ended = cross(&orchestrator, &interrupted, output).await;
    watching.abort();
    ended
}

/// Turns an interrupt into a cancel of whatever this process steers then, or begins to steer a moment later. A second
/// one ends the process at once: what it leaves is undone by the next.
async fn interrupt(orchestrator: Orchestrator, interrupted: Cancellation, output: Output) {
    shutdown::requested().await;
    interrupted.cancel();
    output.say("cancelling: everything is undone first; interrupt again to leave that to the next metaferry");
    loop {
        orchestrator.interrupt(Canceller::Interrupt).await;
        tokio::select! {
            () = tokio::time::sleep(INTERRUPT_EVERY) => {}
            () = shutdown::requested() => std::process::exit(i32::from(Ending::Cancelled.code())),
        }
    }
}

/// First what another process left, then a migration of our own.
async fn cross(
    orchestrator: &Orchestrator,
    interrupted: &Cancellation,
    output: Output,
) -> Result<Ending, CommandError> {
    for ended in orchestrator.recover().await? {
        match ended {
            // Gone on with, not begun anew: this is the migration that was asked for.
            Ended::Settled(state) if state.phase() == Phase::Done => {
                output.say("the migration that another process had left was gone on with");
                return tell(&state, output);
            }
            Ended::Settled(_) => output.say("what another process had left is undone"),
            Ended::Stuck(_) | Ended::LeaseLost => return how(ended, output),
        }
    }
    let cancelled = || {
        CommandError::from(PortError::new(
            ErrorKind::Cancelled,
            "interrupted; everything is as it was",
        ))
    };
    interrupted.check().map_err(|_| cancelled())?;
    match orchestrator.start().await {
        Ok(row) => output.say(&format!(
            "migration {} has begun (row {} of cloud_migration)",
            row.external_id, row.id.0
        )),
        Err(_) if interrupted.is_cancelled() => {
            orchestrator.ended().await;
            return Err(cancelled());
        }
        Err(NotBegun { error, .. }) => return Err(error.into()),
    }
    match orchestrator.ended().await {
        Some(ended) => how(ended, output),
        None => Err(CommandError::new(
            Ending::Failed,
            "the migration ended before it had begun",
        )),
    }
}

fn how(ended: Ended, output: Output) -> Result<Ending, CommandError> {
    match ended {
        Ended::Settled(state) => tell(&state, output),
        Ended::Stuck(state) => {
            let why = state
                .failure()
                .map(|failure| format!("{}; ", failure.message))
                .unwrap_or_default();
            let stuck = "something could not be undone yet: see the log; `metaferry serve`, or the next `migrate`, tries again";
            Err(CommandError::new(Ending::Failed, format!("{why}{stuck}")))
        }
        Ended::LeaseLost => Err(CommandError::new(
            Ending::Failed,
            "the lease was lost; another process goes on with this migration, or the next one undoes it",
        )),
    }
}

/// Says how it ended.
fn tell(state: &MigrationState, output: Output) -> Result<Ending, CommandError> {
    let run = state.run();
    let external_id = run.shore.as_ref().map_or("", |shore| shore.external_id.as_str());
    if let MigrationState::Done { arrived, .. } = state {
        let rows: u64 = arrived.snapshot.tables.iter().map(|table| table.rows).sum();
        let text = format!(
            "done: {} tables, {rows} rows, {} bytes; migration {external_id}",
            arrived.snapshot.tables.len(),
            arrived.file.size_bytes
        );
        let json = serde_json::json!({
            "state": Phase::Done.as_str(),
            "external_id": external_id,
            "attempt": run.attempt.0,
            "tables": arrived.snapshot.tables,
            "left_out": arrived.snapshot.left_out,
            "rows": rows,
            "bytes": arrived.file.size_bytes,
            "snapshot_seconds": std::time::Duration::from_millis(arrived.snapshot.snapshot_ms).as_secs_f64(),
            "snapshot_micros": arrived.snapshot.taken_at_us,
            "object": arrived.check,
            "warnings": run.warnings,
            "notes": arrived.snapshot.notes,
        });
        output.result(&text, &json);
        return Ok(Ending::Done);
    }
    let phase = state.phase();
    if phase == Phase::Cancelled {
        output.result(
            "cancelled; everything is as it was",
            &serde_json::json!({"state": phase.as_str(), "external_id": external_id}),
        );
        return Ok(Ending::Cancelled);
    }
    let failure = state
        .failure()
        .map_or_else(|| "failed".to_owned(), |failure| failure.message.clone());
    Err(CommandError {
        ending: Ending::Failed,
        message: failure,
        remedy: state.failure().map(metaferry_domain::event::Failure::remedy),
    })
}
