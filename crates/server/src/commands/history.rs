//! `history`: every migration with its attempts.

use metaferry_api::AccountBody;
use metaferry_orchestrator::accounts;

use crate::cli::HistoryArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::wiring;

pub(super) async fn run(args: HistoryArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.source.from.as_deref())?;
    let ledger = wiring::ledger(config, &address).await?;
    let accounts = accounts(&*ledger.rows, &*ledger.journal, args.limit).await?;
    let bodies: Vec<AccountBody> = accounts.iter().map(AccountBody::from).collect();
    let text = if bodies.is_empty() {
        "no migration was ever begun".to_owned()
    } else {
        let texts: Vec<String> = bodies.iter().map(text).collect();
        texts.join("\n")
    };
    output.result(&text, &serde_json::json!({"migrations": bodies}));
    Ok(Ending::Done)
}

fn text(body: &AccountBody) -> String {
    let (name, row) = match &body.row {
        Some(row) => (row.external_id.as_str(), format!(" (row {})", row.id)),
        None => (
            body.migration.as_deref().unwrap_or_default(),
            " (no row)".to_owned(),
        ),
    };
    let mut lines = vec![format!(
        "{name}{row}: {}, begun {}{}",
        body.state,
        body.begun_at,
        if body.settled { "" } else { "; NOT SETTLED" }
    )];
    for attempt in &body.attempts {
        let ended = attempt.ended_at.as_deref().unwrap_or("not yet");
        lines.push(format!(
            "  attempt {}: {}, from {} to {ended}",
            attempt.attempt, attempt.state, attempt.begun_at
        ));
        if let Some(seconds) = attempt.read_only_seconds {
            lines.push(format!("    read-only for {seconds:.1} s"));
        }
        if let Some(why) = &attempt.why {
            lines.extend(why.in_words().lines().map(|line| format!("    {line}")));
        }
    }
    for owed in &body.owed {
        let stuck = owed
            .stuck
            .as_ref()
            .map(|why| format!(" (last try: {why})"))
            .unwrap_or_default();
        lines.push(format!("  still to do: {}{stuck}", owed.what));
    }
    lines.extend(
        body.warnings
            .iter()
            .map(|warning| format!("  warning: {warning}")),
    );
    if let Some(unreadable) = &body.unreadable {
        lines.push(format!("  its journal cannot be read: {unreadable}"));
    }
    lines.join("\n")
}
