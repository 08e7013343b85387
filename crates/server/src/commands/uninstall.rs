//! `uninstall`: removes what is ours from an app DB.

use crate::cli::UninstallArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::wiring;

pub(super) async fn run(
    args: UninstallArgs,
    config: &Config,
    output: Output,
) -> Result<Ending, CommandError> {
    let address = config.app_db(Some(&args.url))?;
    let removed = wiring::uninstall(config, &address).await?;
    let text = if removed.is_empty() {
        "there is nothing of Metaferry's in this app DB".to_owned()
    } else {
        format!("removed: {}", removed.join(", "))
    };
    output.result(&text, &serde_json::json!({"removed": removed}));
    Ok(Ending::Done)
}
