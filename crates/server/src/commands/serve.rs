//! `serve`: the HTTP API and the worker behind it. Ending it hands a running migration over to whoever recovers it.

mod sweep;

use std::time::Duration;

use metaferry_api::Api;
use metaferry_domain::plan::{DumpRetention, Strictness};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_orchestrator::{Orchestrator, Warnings};

use self::sweep::Sweep;
use super::store::{address, listen};
use crate::cli::{ServeArgs, TableArgs};
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::{shutdown, stranded, wiring};

/// How long running requests may take to end once the process is asked to.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(args: ServeArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let app_db = config.app_db(args.source.from.as_deref())?;
    let choices = wiring::Choices {
        purpose: wiring::Purpose::Migrate,
        to: args.to,
        strength: args.read_only.into(),
        read_only_max: args.read_only_max,
        nodes: config.nodes,
        retention: DumpRetention::Delete,
        strictness: Strictness::Lenient,
        warnings: if args.yes {
            Warnings::Accept
        } else {
            Warnings::Refuse
        },
        tables: TableArgs {
            include: Vec::new(),
            exclude: Vec::new(),
        },
    };
    let shores = wiring::shores(config, &app_db, choices).await?;
    if let AppDbAddress::H2 { .. } = &app_db {
        output.say("sessions in an H2 app DB cannot be read from outside: the API refuses every caller; use `migrate`");
    }
    let listener = listen(args.listen).await?;
    output.say(&format!("the API listens on http://{}", address(&listener)?));
    let recovering = tokio::spawn(recover(
        shores.orchestrator.clone(),
        Sweep::new(app_db, config.lease_term),
        config.lease_term,
    ));
    let api = Api {
        orchestrator: shores.orchestrator,
        authenticator: shores.authenticator,
        hosting: config.hosting,
    };
    let served = tokio::select! {
        served = metaferry_api::serve(listener, api, shutdown::requested()) => served,
        () = overdue() => Ok(()),
    };
    recovering.abort();
    served.map_err(|error| PortError::new(ErrorKind::Unavailable, "serve the API").because(error))?;
    Ok(Ending::Done)
}

/// Returns when requests have had their time to end.
async fn overdue() {
    shutdown::requested().await;
    tokio::time::sleep(SHUTDOWN_MAX).await;
}

/// Does this process migrate? Then it needs its triggers.
async fn is_at_work(orchestrator: &Orchestrator) -> bool {
    match orchestrator.view().await {
        Some(view) => !view.borrow().state.is_settled(),
        None => false,
    }
}

/// So that a lease that has run out is noticed soon.
const LOOKS_PER_TERM: u32 = 5;

/// Looks for migrations that some process left behind, now and several times in every lease term.
async fn recover(orchestrator: Orchestrator, mut sweep: Sweep, term: Duration) {
    loop {
        let looked = match orchestrator.recover().await {
            Ok(_) => stranded::remove(&orchestrator, term).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = looked {
            tracing::warn!(target: "cloud_migration", error = error.chain(), "could not look for migrations to recover");
        }
        if !is_at_work(&orchestrator).await {
            sweep.try_if_due().await;
        }
        tokio::time::sleep(term / LOOKS_PER_TERM).await;
    }
}
