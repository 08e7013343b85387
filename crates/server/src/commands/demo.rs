//! `demo`: a sample app DB through a whole migration, on embedded parts.

use crate::cli::DemoArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;

pub(super) async fn run(_: DemoArgs, _: &Config, _: Output) -> Result<Ending, CommandError> {
    Err(CommandError::new(Ending::Failed, "demo"))
}
