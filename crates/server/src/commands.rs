//! One file per command.

mod cancel;
mod check;
mod copy;
mod demo;
mod dump;
mod history;
mod inspect;
mod load;
mod migrate;
mod recover;
mod rekey;
mod restore;
mod retry;
mod serve;
mod status;
mod store;
mod uninstall;
mod verify;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;

/// Runs one command to its end.
pub(crate) async fn run(cli: Cli, config: &Config) -> Result<Ending, CommandError> {
    let output = Output { json: cli.json };
    match cli.command {
        Command::Demo(args) => demo::run(args, config, output).await,
        Command::Check(args) => check::run(args, config, output).await,
        Command::Migrate(args) => migrate::run(args, config, output).await,
        Command::Serve(args) => serve::run(args, config, output).await,
        Command::Status(args) => status::run(args, config, output).await,
        Command::Cancel(args) => cancel::run(args, config, output).await,
        Command::Retry(args) => retry::run(args, config, output).await,
        Command::History(args) => history::run(args, config, output).await,
        Command::Recover(args) => recover::run(args, config, output).await,
        Command::Uninstall(args) => uninstall::run(args, config, output).await,
        Command::Dump(args) => dump::run(args, config, output).await,
        Command::Load(args) => load::run(args, config, output).await,
        Command::Copy(args) => copy::run(args, config, output).await,
        Command::Restore(args) => restore::run(args, config, output).await,
        Command::Rekey(args) => rekey::run(args, config, output).await,
        Command::Verify(args) => verify::run(args, config, output).await,
        Command::Inspect(args) => inspect::run(args, config, output).await,
        Command::Store(args) => store::run(args, output).await,
    }
}
