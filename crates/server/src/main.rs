//! The binary `metaferry`: parses the command line and calls one function per command.

mod beginning;
mod cli;
mod commands;
mod config;
mod exit;
mod h2_dump;
mod output;
mod password;
mod policy;
mod preflight;
mod scratch;
mod secrecy;
mod shutdown;
mod stranded;
mod system;
mod telemetry;
mod unguarded;
mod wiring;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::config::Config;
use crate::output::Output;

/// How long what still works on the disk is waited for, when its command has ended without it.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments = beginning::arguments();
    let cli = match cli::Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error, &arguments),
    };
    let output = Output { json: cli.json };
    let ended = Config::read().and_then(|config| {
        telemetry::begin(config.log.as_deref(), config.log_format);
        // Both of rustls's providers may end up in the tree; one must be chosen before the first connection.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                exit::CommandError::new(exit::Ending::Failed, format!("cannot start: {error}"))
            })?;
        let ended = runtime.block_on(commands::run(cli, &config));
        runtime.shutdown_timeout(SHUTDOWN_MAX);
        ended
    });
    match ended {
        Ok(ending) => output.ending(ending).into(),
        Err(error) => {
            output.say(&format!("metaferry: {}", error.message));
            if let Some(remedy) = error.remedy {
                output.say(&format!("what to do: {remedy}"));
            }
            if output.json {
                let json = serde_json::json!({
                    "error": error.message,
                    "what_to_do": error.remedy,
                    "exit": error.ending.code(),
                });
                output.result("", &json);
            }
            error.ending.into()
        }
    }
}

/// What is wrong with the arguments, or the help that they ask for; an argument in it shows no password.
fn wrong_usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let text = error.to_string();
    let shown = beginning::without_passwords(&text, arguments);
    if shown == text {
        error.exit();
    }
    Output { json: false }.say(shown.trim_end());
    exit::Ending::Usage.into()
}
