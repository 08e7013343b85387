//! `check`: every reason why a migration would fail. Touches nothing.

use metaferry_domain::plan::{DumpRetention, Strictness};
use metaferry_domain::ports::{Finding, Preflight, Severity};
use metaferry_orchestrator::Warnings;

use crate::cli::CheckArgs;
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::wiring;

pub(super) async fn run(args: CheckArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let address = config.app_db(args.source.from.as_deref())?;
    let choices = wiring::Choices {
        purpose: wiring::Purpose::Look,
        to: args.to,
        strength: args.read_only.into(),
        read_only_max: wiring::READ_ONLY_MAX,
        nodes: config.nodes,
        retention: DumpRetention::Delete,
        strictness: Strictness::Lenient,
        warnings: Warnings::Refuse,
        tables: args.tables,
    };
    let findings = wiring::shores(config, &address, choices)
        .await?
        .preflight
        .check()
        .await?;
    let blocked = findings
        .iter()
        .any(|finding| finding.severity == Severity::Blocker);
    let lines: Vec<String> = findings.iter().map(line).collect();
    let text = if lines.is_empty() {
        "nothing stands against a migration".to_owned()
    } else {
        lines.join("\n")
    };
    output.result(&text, &serde_json::json!({"findings": findings}));
    Ok(if blocked { Ending::Refused } else { Ending::Done })
}

fn line(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Blocker => "blocker",
    };
    format!("{severity}: {}", finding.message)
}
