//! What an H2 file says of itself.

use metaferry_app_db::h2::notes;
use metaferry_h2_file::{Encryption, Facts, Format, Health};

/// The line for people.
pub(super) fn line(facts: &Facts) -> String {
    let build = facts
        .create_build
        .map_or_else(String::new, |build| format!(", made by build {build}"));
    let encrypted = match facts.encryption {
        Encryption::None => "",
        Encryption::Aes => ", encrypted (AES)",
    };
    format!(
        "H2 file: format {} ({}{build}), {}{encrypted}, version {}, {} bytes",
        number(facts.format),
        writers(facts.format),
        facts.health,
        facts.version,
        facts.file_bytes
    )
}

/// The same, for programs.
pub(super) fn json(facts: &Facts) -> serde_json::Value {
    let passed_over: Vec<_> = facts
        .passed_over
        .iter()
        .map(|newer| serde_json::json!({"version": newer.version, "chunk": newer.chunk, "why": newer.why}))
        .collect();
    serde_json::json!({
        "format": number(facts.format),
        "written_by": writers(facts.format),
        "create_build": facts.create_build,
        "health": match facts.health {
            Health::Closed => "closed",
            Health::Recovered => "recovered",
            Health::FellBack => "fell back",
            Health::Salvaged => "salvaged",
        },
        "encrypted": facts.encryption == Encryption::Aes,
        "version": facts.version,
        "chunk": facts.chunk,
        "chunks": facts.chunks,
        "created_ms": facts.created_ms,
        "bytes": facts.file_bytes,
        "users": facts.users,
        "passed_over": passed_over,
        "notes": notes(facts),
    })
}

fn number(format: Format) -> u32 {
    match format {
        Format::V1 => 1,
        Format::V2 => 2,
        Format::V3 => 3,
    }
}

fn writers(format: Format) -> &'static str {
    match format {
        Format::V1 => "H2 1.4",
        Format::V2 => "H2 2.0 or 2.1",
        Format::V3 => "H2 2.2 or later",
    }
}
