//! `migrate`: one migration from the command line. Interrupting it undoes everything.

mod ending;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use metaferry_api::read_only_seconds;
use metaferry_domain::event::Canceller;
use metaferry_domain::migration::Phase;
use metaferry_domain::plan::{DumpRetention, Strictness};
use metaferry_domain::ports::{Finding, Preflight as _, Severity};
use metaferry_domain::state::MigrationState;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_orchestrator::{Ended, NotBegun, Orchestrator, Warnings};

use crate::cli::MigrateArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::{Output, Progress};
use crate::{shutdown, stranded, wiring};

/// How long the end of a migration waits for what is only told beside it.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often an interrupt is passed on, so that it also reaches a migration that is only just beginning.
const INTERRUPT_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn run(args: MigrateArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.source.from.as_deref())?;
    let consent = if args.yes {
        Consent::Given
    } else if !output.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        Consent::Ask
    } else {
        Consent::Missing
    };
    let choices = wiring::Choices {
        purpose: wiring::Purpose::Migrate,
        to: args.to,
        strength: args.read_only.into(),
        read_only_max: args.read_only_max,
        nodes: args.nodes.or(config.nodes),
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
        warnings: match consent {
            Consent::Given | Consent::Ask => Warnings::Accept,
            Consent::Missing => Warnings::Refuse,
        },
        tables: args.tables,
    };
    if consent == Consent::Ask {
        // Before anything is created in the app DB: who answers no has changed nothing.
        let looking = wiring::Choices {
            purpose: wiring::Purpose::Look,
            ..choices.clone()
        };
        let shores = wiring::shores(config, &address, looking).await?;
        ask(&shores.preflight.check().await?, output)?;
    }
    let shores = wiring::shores(config, &address, choices).await?;
    steer(shores.orchestrator, address, Beginning::New, config, output).await
}

/// Whether somebody goes on where preflight only warns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    /// By `--yes`.
    Given,
    /// A person sits at the terminal.
    Ask,
    Missing,
}

/// Asks whether to go on in spite of warnings, if there are any. What stands against it altogether is found once more, and
/// told, when the migration begins.
fn ask(findings: &[Finding], output: Output) -> Result<(), CommandError> {
    let is_warning = |finding: &&Finding| finding.severity == Severity::Warning;
    let mut warnings = findings.iter().filter(is_warning).peekable();
    if warnings.peek().is_none() {
        return Ok(());
    }
    for warning in warnings {
        output.say(&format!("warning: {}", warning.message));
    }
    output.say("go on all the same? Type yes, and Enter:");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(CommandError::new(
        Ending::Refused,
        "not begun, as you answered; nothing was touched",
    ))
}

/// Steers a migration to its end, telling how far it is; an interrupt cancels it.
pub(super) async fn steer(
    orchestrator: Orchestrator,
    address: AppDbAddress,
    beginning: Beginning,
    config: &Config,
    output: Output,
) -> Result<Ending, CommandError> {
    stranded::remove(&orchestrator, config.lease_term).await?;
    let interrupted = Cancellation::new();
    let watching = tokio::spawn(interrupt(orchestrator.clone(), interrupted.clone(), output));
    let progress = Arc::new(Progress::new("migrate"));
    let telling = tokio::spawn(tell_progress(orchestrator.clone(), Arc::clone(&progress)));
    let crossing = Crossing {
        orchestrator,
        address,
        beginning,
        interrupted,
        lease_term: config.lease_term,
        output,
    };
    let ended = crossing.cross().await;
    telling.abort();
    progress.end();
    watching.abort();
    ended
}

/// How often it is looked how far the migration is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Phase and percent, and what is waited for, until this is stopped.
async fn tell_progress(orchestrator: Orchestrator, progress: Arc<Progress>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(view) = orchestrator.view().await else {
            continue;
        };
        let state = view.borrow().state.clone();
        let phase = state.phase();
        if phase.is_terminal() || !progress.is_due() {
            continue;
        }
        let waits = match state.run().row.id {
            // As everybody else reads it: from the journal.
            Some(row) => orchestrator.waits_for(row, phase).await.unwrap_or_default(),
            None => None,
        };
        let waiting = waits.map(|waits| waits.what.in_words(waits.seconds_left));
        progress.phase(phase.as_str(), state.run().progress.percent(), waiting.as_deref());
    }
}

/// How often what could not go on or be undone here is tried again, once a lease term has passed.
const ROUNDS_MAX: u32 = 3;

/// How it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    New,
    /// Another attempt of the newest one.
    Retry,
}

struct Crossing {
    orchestrator: Orchestrator,
    address: AppDbAddress,
    beginning: Beginning,
    interrupted: Cancellation,
    lease_term: Duration,
    output: Output,
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

impl Crossing {
    /// First what another process left, then a migration of our own.
    async fn cross(&self) -> Result<Ending, CommandError> {
        for ended in self.orchestrator.recover().await? {
            match ended {
                // Gone on with, not begun anew: this is the migration that was asked for.
                Ended::Settled(state) if state.phase() == Phase::Done => {
                    self.output
                        .say("the migration that another process had left was gone on with");
                    return self.tell(&state).await;
                }
                Ended::Settled(_) => self.output.say("what another process had left is undone"),
                Ended::Stuck(_) | Ended::LeaseLost => return self.again(ended).await,
            }
        }
        let cancelled = || {
            CommandError::from(PortError::new(
                ErrorKind::Cancelled,
                "interrupted; everything is as it was",
            ))
        };
        self.interrupted.check().map_err(|_| cancelled())?;
        let begun = match self.beginning {
            Beginning::New => self.orchestrator.start().await,
            Beginning::Retry => self.orchestrator.retry().await,
        };
        match begun {
            Ok(row) => self.output.say(&format!(
                "migration {} has begun (row {} of cloud_migration)",
                row.external_id, row.id.0
            )),
            Err(_) if self.interrupted.is_cancelled() => {
                return match self.orchestrator.ended().await {
                    Some(ended) => self.how(ended).await,
                    None => Err(cancelled()),
                };
            }
            Err(NotBegun { error, .. }) => return Err(error.into()),
        }
        match self.orchestrator.ended().await {
            Some(ended) => self.again(ended).await,
            None => Err(CommandError::new(
                Ending::Failed,
                "the migration ended before it had begun",
            )),
        }
    }

    /// What ended without having settled is taken up again once the lease can be had.
    async fn again(&self, mut ended: Ended) -> Result<Ending, CommandError> {
        for _ in 0..ROUNDS_MAX {
            match ended {
                Ended::Settled(_) => break,
                Ended::Stuck(_) | Ended::LeaseLost => {}
            }
            // Whoever interrupts wants it to end: the next metaferry goes on.
            if self.interrupted.is_cancelled() {
                break;
            }
            self.output.say(&format!(
                "this migration is not settled; trying again in {} s",
                self.lease_term.as_secs()
            ));
            tokio::time::sleep(self.lease_term).await;
            match self.orchestrator.recover().await {
                Ok(recovered) => ended = recovered.into_iter().next_back().unwrap_or(ended),
                Err(error) => self.output.say(&format!("not yet: {}", error.chain())),
            }
        }
        self.how(ended).await
    }

    async fn how(&self, ended: Ended) -> Result<Ending, CommandError> {
        match ended {
            Ended::Settled(state) => self.tell(&state).await,
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

    async fn tell(&self, state: &MigrationState) -> Result<Ending, CommandError> {
        let end = match state.run().row.id {
            Some(row) => self.orchestrator.end_of(row, state.phase()).await,
            None => Ok(None),
        };
        // It has ended well, or as it was asked to, also where the app DB cannot be asked now.
        let seconds = end.ok().flatten().as_ref().and_then(read_only_seconds);
        let left = tokio::time::timeout(ANSWER_MAX, wiring::leftovers(&self.address)).await;
        let left = left.map(Result::unwrap_or_default).unwrap_or_default();
        ending::tell(state, seconds, &left, self.output)
    }
}
