//! `migrate`: one migration from the command line. Interrupting it undoes everything.

use metaferry_domain::event::Canceller;
use metaferry_domain::migration::Phase;
use metaferry_domain::plan::{DumpRetention, Strictness};
use metaferry_domain::ports::MigrationRow;
use metaferry_domain::state::MigrationState;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_orchestrator::{Ended, NotBegun, Warnings};

use crate::cli::MigrateArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::{shutdown, wiring};

pub(super) async fn run(args: MigrateArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.source.from.as_deref())?;
    let choices = wiring::Choices {
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
    orchestrator.recover().await?;
    let row = match orchestrator.start().await {
        Ok(row) => row,
        Err(NotBegun { error, .. }) => return Err(error.into()),
    };
    output.say(&format!(
        "migration {} has begun (row {} of cloud_migration)",
        row.external_id, row.id.0
    ));
    let ended = orchestrator.ended();
    tokio::pin!(ended);
    let ended = tokio::select! {
        ended = &mut ended => ended,
        () = shutdown::requested() => {
            output.say("cancelling: everything is undone first");
            orchestrator.cancel(Canceller::Interrupt).await?;
            ended.await
        }
    };
    match ended {
        Some(Ended::Settled(state)) => tell(&state, &row, output),
        Some(Ended::Stuck(state)) => {
            let why = state
                .failure()
                .map(|failure| format!("{}; ", failure.message))
                .unwrap_or_default();
            let stuck = "something could not be undone yet: see the log; `metaferry serve`, or the next `migrate`, tries again";
            Err(CommandError::new(Ending::Failed, format!("{why}{stuck}")))
        }
        Some(Ended::LeaseLost) => Err(PortError::new(
            ErrorKind::Unavailable,
            "the lease was lost; another process goes on with this migration",
        )
        .into()),
        None => Err(CommandError::new(
            Ending::Failed,
            "the migration ended before it had begun",
        )),
    }
}

/// Says how it ended.
fn tell(state: &MigrationState, row: &MigrationRow, output: Output) -> Result<Ending, CommandError> {
    let run = state.run();
    let external_id = run
        .shore
        .as_ref()
        .map_or(row.external_id.as_str(), |shore| shore.external_id.as_str());
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
