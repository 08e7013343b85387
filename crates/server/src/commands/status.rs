//! `status`: the newest migration's row.

use metaferry_domain::ports::MigrationRow;

use crate::cli::SourceArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::wiring;

pub(super) async fn run(args: SourceArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.from.as_deref())?;
    let rows = wiring::rows(config, &address).await?;
    match rows.newest(1).await?.first() {
        Some(row) => output.result(&text(row), &json(row)),
        None => output.result("no migration was ever begun", &serde_json::json!({"state": null})),
    }
    Ok(Ending::Done)
}

fn text(row: &MigrationRow) -> String {
    format!(
        "{}: {} %, migration {} (row {})",
        row.phase, row.progress, row.external_id, row.id.0
    )
}

fn json(row: &MigrationRow) -> serde_json::Value {
    let body = metaferry_api::MigrationBody::from(row);
    serde_json::json!(body)
}
