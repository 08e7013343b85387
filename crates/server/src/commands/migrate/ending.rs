//! What `migrate` and `retry` say when a migration has ended.

use std::time::Duration;

use metaferry_domain::migration::Phase;
use metaferry_domain::state::MigrationState;

use crate::exit::{CommandError, Ending};
use crate::output::Output;

/// Says how it ended, for how long people could not write, and which triggers of ours are `left`.
pub(super) fn tell(
    state: &MigrationState,
    read_only: Option<f64>,
    left: &[String],
    output: Output,
) -> Result<Ending, CommandError> {
    if !left.is_empty() {
        output.say(&format!(
            "other sessions kept tables in use, and triggers of Metaferry's stay on them, which do nothing any more: {}; \
             `metaferry recover` takes them away",
            left.join(", ")
        ));
    }
    let run = state.run();
    let external_id = run.shore.as_ref().map_or("", |shore| shore.external_id.as_str());
    if let MigrationState::Done { arrived, .. } = state {
        let rows: u64 = arrived.snapshot.tables.iter().map(|table| table.rows).sum();
        let read_only_text = read_only
            .map(|seconds| format!("; read-only for {seconds:.1} s"))
            .unwrap_or_default();
        let text = format!(
            "done: {} tables, {rows} rows, {} bytes; migration {external_id}{read_only_text}",
            arrived.snapshot.tables.len(),
            arrived.file.size_bytes
        );
        let json = serde_json::json!({
            "state": Phase::Done.as_str(),
            "external_id": external_id,
            "attempt": run.attempt.0,
            "tables": arrived.snapshot.tables,
            "left_out": arrived.snapshot.left_out,
            "rows": rows,
            "bytes": arrived.file.size_bytes,
            "snapshot_seconds": Duration::from_millis(arrived.snapshot.snapshot_ms).as_secs_f64(),
            "snapshot_micros": arrived.snapshot.taken_at_us,
            "read_only_seconds": read_only,
            "object": arrived.check,
            "warnings": run.warnings,
            "notes": arrived.snapshot.notes,
            "left": left,
        });
        output.result(&text, &json);
        return Ok(Ending::Done);
    }
    let phase = state.phase();
    if phase == Phase::Cancelled {
        let but = if left.is_empty() {
            ""
        } else {
            ", but for triggers that do nothing"
        };
        output.result(
            &format!("cancelled; everything is as it was{but}"),
            &serde_json::json!({
                "state": phase.as_str(), "external_id": external_id, "read_only_seconds": read_only, "left": left,
            }),
        );
        return Ok(Ending::Cancelled);
    }
    let failure = state
        .failure()
        .map_or_else(|| "failed".to_owned(), |failure| failure.message.clone());
    Err(CommandError {
        ending: Ending::Failed,
        message: failure,
        remedy: state.failure().map(metaferry_domain::event::Failure::remedy),
    })
}
