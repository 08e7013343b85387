//! `status`: the newest migration's row, what it waits for, and why it ended where it did not arrive.

use metaferry_api::MigrationBody;
use metaferry_orchestrator::in_process::SystemClock;
use metaferry_orchestrator::{end_of, waits_for};

use crate::cli::SourceArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::wiring;

pub(super) async fn run(args: SourceArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.from.as_deref())?;
    let ledger = wiring::ledger(config, &address).await?;
    match ledger.rows.newest(1).await?.first() {
        Some(row) => {
            let end = end_of(&*ledger.journal, row.id, row.phase).await?;
            let waits = waits_for(&*ledger.journal, row.id, row.phase, &SystemClock).await?;
            let body = MigrationBody::from(row)
                .with_end(end.as_ref())
                .with_waiting(waits.as_ref());
            output.result(&text(&body), &serde_json::json!(body));
        }
        None => output.result("no migration was ever begun", &serde_json::json!({"state": null})),
    }
    Ok(Ending::Done)
}

fn text(body: &MigrationBody) -> String {
    let mut text = format!(
        "{}: {} %, migration {} (row {})",
        body.state, body.progress, body.external_id, body.id
    );
    if let Some(seconds) = body.read_only_seconds {
        text.push_str(&format!("\nread-only for {seconds:.1} s"));
    }
    if let Some(waiting) = &body.waiting {
        text.push('\n');
        text.push_str(&waiting.text);
    }
    if let Some(why) = &body.why {
        text.push('\n');
        text.push_str(&why.in_words());
    }
    text
}
