//! Request and response bodies, in the spelling of Metabase's own API.

use metaferry_domain::ports::MigrationRow;
use metaferry_domain::row_batch::Instant;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A row of `cloud_migration` as Metabase gives it, but for one thing: a presigned URL is shown without its query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationBody {
    /// Key.
    pub id: i64,
    /// The id that the store gave.
    pub external_id: String,
    /// Without its query, which is a secret.
    pub upload_url: String,
    /// State.
    pub state: &'static str,
    /// 0 to 100.
    pub progress: u8,
    /// ISO 8601 in UTC with microseconds.
    pub created_at: String,
    /// ISO 8601 in UTC with microseconds.
    pub updated_at: String,
}

impl From<&MigrationRow> for MigrationBody {
    fn from(row: &MigrationRow) -> Self {
        let shown = row
            .upload_url
            .split_once('?')
            .map_or(row.upload_url.as_str(), |(url, _)| url);
        Self {
            id: row.id.0,
            external_id: row.external_id.clone(),
            upload_url: shown.to_owned(),
            state: row.phase.as_str(),
            progress: row.progress,
            created_at: iso(row.created_at),
            updated_at: iso(row.updated_at),
        }
    }
}

fn iso(instant: Instant) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(instant.micros) * 1000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{} microseconds since 1970", instant.micros))
}

#[cfg(test)]
mod tests {
    use metaferry_domain::migration::{Phase, RowId};
    use metaferry_domain::ports::MigrationRow;
    use metaferry_domain::row_batch::Instant;

    use super::MigrationBody;

    #[test]
    fn shows_a_row_as_metabase_does_but_keeps_the_signature() {
        let row = MigrationRow {
            id: RowId(7),
            external_id: "abc".to_owned(),
            upload_url: "https://bucket.example/key?X-Amz-Signature=secret".to_owned(),
            phase: Phase::Upload,
            progress: 51,
            created_at: Instant {
                micros: 1_715_706_785_130_546,
                nanos: 0,
            },
            updated_at: Instant {
                micros: 1_715_706_785_000_000,
                nanos: 0,
            },
        };
        assert_eq!(
            serde_json::to_string(&MigrationBody::from(&row)).unwrap(),
            concat!(
                r#"{"id":7,"external_id":"abc","upload_url":"https://bucket.example/key","state":"upload","progress":51,"#,
                r#""created_at":"2024-05-14T17:13:05.130546Z","updated_at":"2024-05-14T17:13:05Z"}"#
            )
        );
    }
}
