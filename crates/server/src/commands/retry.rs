//! `retry`: another attempt of the newest migration.

use std::time::Duration;

use metaferry_domain::plan::{DumpRetention, MigrationPlan, Strictness};
use metaferry_domain::ports::Destination;
use metaferry_domain::state::MigrationState;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_orchestrator::{Account, Warnings, accounts};

use super::migrate::{Beginning, steer};
use crate::cli::{RetryArgs, TableArgs};
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::wiring;

pub(super) async fn run(args: RetryArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.source.from.as_deref())?;
    let ledger = wiring::ledger(config, &address).await?;
    // Before anything is created in an app DB that has nothing to try again.
    let newest = accounts(&*ledger.rows, &*ledger.journal, 1).await?;
    let state = newest.first().and_then(state);
    let Some(state) = state else {
        let what = "no migration of Metaferry's can be tried again: there is none in this app DB";
        return Err(PortError::new(ErrorKind::NotFound, what).into());
    };
    let (tables, read_only_max) = as_planned(&state.run().plan, args.tables)?;
    let choices = wiring::Choices {
        purpose: wiring::Purpose::Migrate,
        to: args.to.unwrap_or_else(|| went_to(state)),
        // What was planned once holds for every attempt.
        strength: state.run().plan.strength,
        read_only_max,
        nodes: config.nodes,
        retention: DumpRetention::Delete,
        strictness: Strictness::Lenient,
        warnings: if args.yes {
            Warnings::Accept
        } else {
            Warnings::Refuse
        },
        tables,
    };
    let shores = wiring::shores(config, &address, choices).await?;
    steer(shores.orchestrator, address, Beginning::Retry, config, output).await
}

/// The tables that every attempt carries, and how long it may refuse writes.
fn as_planned(plan: &MigrationPlan, said: TableArgs) -> Result<(TableArgs, Duration), CommandError> {
    let nothing_said = said.exclude.is_empty() && said.include.is_empty();
    let Some(scope) = &plan.scope else {
        if nothing_said {
            let what = "this migration was begun by an older metaferry, which did not write down what --exclude and --include \
                 said: say them again, or begin a new one by `metaferry migrate`";
            return Err(PortError::new(ErrorKind::Precondition, what).into());
        }
        return Ok((said, wiring::READ_ONLY_MAX));
    };
    let planned = TableArgs {
        exclude: scope.exclude.clone(),
        include: scope.include.clone(),
    };
    if !nothing_said && said != planned {
        let what = format!(
            "this migration was begun with {scope}, and another attempt of it carries the same tables: leave --exclude and \
             --include out, or begin a new one by `metaferry migrate`"
        );
        return Err(PortError::new(ErrorKind::Precondition, what).into());
    }
    Ok((planned, Duration::from_secs(scope.read_only_max_seconds)))
}

fn state(account: &Account) -> Option<&MigrationState> {
    let journal = account.journal.as_ref()?;
    Some(&journal.story.as_ref().ok()?.state)
}

/// Where a migration went, as `--to` says it.
pub(super) fn went_to(state: &MigrationState) -> String {
    let shore = state.run().shore.as_ref();
    match shore.map(|shore| (&shore.destination, &shore.external_id)) {
        Some((Destination::Bucket { bucket, key }, external_id)) => {
            let prefix = key
                .strip_suffix(&format!("{external_id}.mv.db"))
                .unwrap_or_default();
            format!("s3://{bucket}/{prefix}")
        }
        Some((Destination::Store { .. }, _)) | None => "store".to_owned(),
    }
}
