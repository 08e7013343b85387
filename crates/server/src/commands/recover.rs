//! `recover`: by hand what `serve` and `migrate` do at their start, and says what it did, or would do.

use std::time::{Duration, Instant};

use metaferry_app_db::{Effort, Leftovers};
use metaferry_domain::effect::Effect;
use metaferry_domain::history::in_words;
use metaferry_domain::lease::HeldLease;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::plan::{DumpRetention, Strictness};
use metaferry_domain::recovery::{Course, course};
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_orchestrator::{Ended, Orchestrator, Orphan, Recovery, Warnings, orphans};
use serde_json::{Value, json};

use super::retry::went_to;
use crate::cli::{RecoverArgs, TableArgs};
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::{stranded, wiring};

/// How often it is tried to take the lease of a process that may be gone.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// Longer than was left of it: whoever still holds it then has renewed it, and lives.
const MARGIN: Duration = Duration::from_secs(2);

pub(super) async fn run(args: RecoverArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.source.from.as_deref())?;
    let ledger = wiring::ledger(config, &address).await?;
    let left = orphans(&*ledger.journal).await?;
    let Some(newest) = left.first() else {
        return sweep(&args, config, &address, output).await;
    };
    if args.dry_run {
        tell_courses(&left, output);
        return Ok(Ending::Done);
    }
    let choices = choices(wiring::Purpose::Migrate, went_to(&newest.state));
    let orchestrator = wiring::shores(config, &address, choices).await?.orchestrator;
    let recovered = patiently(&orchestrator, output).await?;
    for file in stranded::remove(&orchestrator, config.lease_term).await? {
        output.say(&format!(
            "removed {}, which a process that died had left",
            file.display()
        ));
    }
    Ok(tell(&recovered, output))
}

fn choices(purpose: wiring::Purpose, to: String) -> wiring::Choices {
    wiring::Choices {
        purpose,
        to,
        // Of no migration that is recovered: its own plan is in its journal.
        strength: ReadOnlyStrength::Flag,
        read_only_max: wiring::READ_ONLY_MAX,
        nodes: None,
        retention: DumpRetention::Delete,
        strictness: Strictness::Lenient,
        warnings: Warnings::Accept,
        tables: TableArgs {
            include: Vec::new(),
            exclude: Vec::new(),
        },
    }
}

/// Every migration is settled: what some of them had to leave behind is taken away.
async fn sweep(
    args: &RecoverArgs,
    config: &Config,
    address: &AppDbAddress,
    output: Output,
) -> Result<Ending, CommandError> {
    let choices = choices(wiring::Purpose::Look, "store".to_owned());
    let orchestrator = wiring::shores(config, address, choices).await?.orchestrator;
    let term = config.lease_term;
    let (key, mut there, Leftovers { mut removed, left }) = if args.dry_run {
        ("would", wiring::leftovers(address).await?, Leftovers::default())
    } else {
        (
            "recovered",
            Vec::new(),
            wiring::remove_leftovers(address, Effort::Asked).await?,
        )
    };
    let (files, told) = if args.dry_run {
        (stranded::find(&orchestrator, term).await?, &mut there)
    } else {
        (stranded::remove(&orchestrator, term).await?, &mut removed)
    };
    told.extend(files.iter().map(|file| file.display().to_string()));
    let mut lines = Vec::new();
    let mut json = json!({key: [], "dry_run": args.dry_run});
    for (name, words, triggers) in [
        ("would_remove", "would remove what does nothing any more", there),
        ("removed", "removed what did nothing any more", removed),
        ("left", "still there, and does nothing", left.clone()),
    ] {
        if !triggers.is_empty() {
            lines.push(format!("{words}: {}", triggers.join(", ")));
            json[name] = json!(triggers);
        }
    }
    if lines.is_empty() {
        lines.push("nothing is left to be recovered".to_owned());
    }
    output.result(&lines.join("\n"), &json);
    if left.is_empty() {
        return Ok(Ending::Done);
    }
    output.say(
        "a trigger could not be removed: find the sessions that keep its table's lock (pg_stat_activity, SHOW FULL PROCESSLIST), wait for \
         them or end them, and run `metaferry recover` again",
    );
    Ok(Ending::Failed)
}

/// What would be done, without doing it.
fn tell_courses(left: &[Orphan], output: Output) {
    let mut lines = Vec::new();
    let mut would = Vec::new();
    for orphan in left {
        let (id, phase) = (orphan.id, orphan.state.phase());
        let (course, words) = match course(&orphan.state) {
            Course::MarkSettled => ("mark_settled", vec!["mark it as settled".to_owned()]),
            Course::GoOn { effects } => ("go_on", words(&effects)),
            Course::Undo { effects } => ("undo", words(&effects)),
        };
        lines.push(format!("migration {id} ({phase}): would {}", words.join("; ")));
        would.push(
            json!({"migration": id.to_string(), "state": phase.as_str(), "course": course, "effects": words}),
        );
    }
    output.result(&lines.join("\n"), &json!({"would": would, "dry_run": true}));
}

/// Tries until whoever held the lease is known to be gone, or to live.
async fn patiently(orchestrator: &Orchestrator, output: Output) -> Result<Vec<Recovery>, CommandError> {
    let mut gone_by = None;
    loop {
        let recovered = orchestrator.recover_each().await?;
        let is_held = |recovery: &Recovery| match recovery {
            Recovery::Held { .. } => true,
            Recovery::Marked { .. } | Recovery::Steered { .. } => false,
        };
        if !recovered.iter().any(is_held) {
            return Ok(recovered);
        }
        tokio::time::sleep(TRY_EVERY).await;
        let Some(HeldLease { lease, left_ms }) = orchestrator.lease().await? else {
            continue;
        };
        let gone_by = *gone_by.get_or_insert_with(|| {
            output.say(&format!(
                "{} holds the lease; if it is gone, that ends within {} s",
                lease.holder,
                left_ms.div_ceil(1000)
            ));
            Instant::now() + Duration::from_millis(left_ms) + MARGIN
        });
        if Instant::now() > gone_by {
            return Err(CommandError::new(
                Ending::Refused,
                format!(
                    "nothing was recovered: {} lives, for it renews its lease; it ends the migration itself, or \
                     `metaferry cancel` makes it",
                    lease.holder
                ),
            ));
        }
    }
}

fn tell(recovered: &[Recovery], output: Output) -> Ending {
    let mut lines = Vec::new();
    let mut told = Vec::new();
    let mut unsettled = 0;
    for recovery in recovered {
        match recovery {
            Recovery::Marked { id } => {
                lines.push(format!("migration {id}: was done; marked as settled"));
                told.push(json!({"migration": id.to_string(), "settled": true, "did": []}));
            }
            Recovery::Held { id } => {
                unsettled += 1;
                lines.push(format!(
                    "migration {id}: somebody holds its lease; nothing was touched"
                ));
                told.push(json!({"migration": id.to_string(), "settled": false, "did": []}));
            }
            Recovery::Steered {
                id,
                ended,
                done,
                failed,
            } => {
                let (state, settled) = match ended {
                    Ended::Settled(state) => (state.phase().as_str(), true),
                    Ended::Stuck(state) => (state.phase().as_str(), false),
                    Ended::LeaseLost => ("unknown", false),
                };
                unsettled += usize::from(!settled);
                lines.push(format!(
                    "migration {id}: now {state}; did: {}",
                    words(done).join("; ")
                ));
                let failures: Vec<Value> = failed
                    .iter()
                    .map(|(effect, why)| json!({"effect": in_words(*effect), "why": why}))
                    .collect();
                for (effect, why) in failed {
                    lines.push(format!("  failed: {}: {why}", in_words(*effect)));
                }
                told.push(json!({
                    "migration": id.to_string(), "state": state, "settled": settled, "did": words(done), "failed": failures
                }));
            }
        }
    }
    output.result(&lines.join("\n"), &json!({"recovered": told, "dry_run": false}));
    if unsettled == 0 {
        return Ending::Done;
    }
    output.say("something could not be undone: put right what is named, and run `metaferry recover` again");
    Ending::Failed
}

fn words(effects: &[Effect]) -> Vec<String> {
    effects.iter().copied().map(in_words).collect()
}
