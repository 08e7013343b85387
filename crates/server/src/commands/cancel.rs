//! `cancel`: ends whatever migration runs, wherever it runs: its worker sees the row and undoes everything.

use crate::cli::SourceArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::wiring;

pub(super) async fn run(args: SourceArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.from.as_deref())?;
    let cancelled = wiring::ledger(config, &address).await?.rows.cancel_all().await?;
    let text = match cancelled {
        0 => "nothing was running".to_owned(),
        _ => "cancelled; the worker undoes everything now".to_owned(),
    };
    output.result(&text, &serde_json::json!({"cancelled": cancelled}));
    Ok(Ending::Done)
}
