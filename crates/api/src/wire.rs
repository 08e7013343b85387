//! Request and response bodies, in the spelling of Metabase's own API.

use std::time::Duration;

use metaferry_domain::ErrorClass;
use metaferry_domain::history::{AttemptStory, ReadOnlySpan, Reason, Story, in_words};
use metaferry_domain::ports::MigrationRow;
use metaferry_domain::quiesce::WaitFor;
use metaferry_domain::row_batch::Instant;
use metaferry_orchestrator::{Account, Waits};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A row of `cloud_migration` as Metabase gives it, but for one thing: a presigned URL is shown without its query. Of one
/// that has ended it says how long it was read-only, and why it did not arrive, and of one that waits what for and how
/// long at most, in keys that Metabase does not have.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// How long people could not write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_seconds: Option<f64>,
    /// What it waits for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingBody>,
    /// Why it did not arrive.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub why: Option<ReasonBody>,
}

impl MigrationBody {
    /// The same with what is known of how it ended.
    #[must_use]
    pub fn with_end(mut self, end: Option<&AttemptStory>) -> Self {
        self.read_only_seconds = end.and_then(read_only_seconds);
        self.why = end.and_then(|end| end.reason.as_ref()).map(ReasonBody::from);
        self
    }

    /// The same with what it waits for.
    #[must_use]
    pub fn with_waiting(mut self, waits: Option<&Waits>) -> Self {
        self.waiting = waits.map(WaitingBody::from);
        self
    }
}

/// What a migration waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingBody {
    /// `nodes`, `confirmation`, `writers` or `jobs`.
    #[serde(rename = "for")]
    pub what: &'static str,
    /// At most, rounded up.
    pub seconds_left: u64,
    /// The nodes that are known of.
    pub nodes: Vec<String>,
    /// How many jobs, or transactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// All of it for people.
    pub text: String,
}

impl From<&Waits> for WaitingBody {
    fn from(waits: &Waits) -> Self {
        let (what, nodes, count) = match &waits.what {
            WaitFor::Nodes { nodes } => ("nodes", nodes.clone(), None),
            WaitFor::Confirmation { nodes } => ("confirmation", nodes.clone(), None),
            WaitFor::Writers { transactions } => ("writers", Vec::new(), Some(*transactions)),
            WaitFor::Jobs { running } => (
                "jobs",
                running.iter().map(|on| on.node.clone()).collect(),
                Some(running.iter().map(|on| on.jobs.len() as u64).sum()),
            ),
        };
        Self {
            what,
            seconds_left: waits.seconds_left,
            nodes,
            count,
            text: waits.what.in_words(waits.seconds_left),
        }
    }
}

/// How long people could not write; `None` while that lasts, and where everybody could.
#[must_use]
pub fn read_only_seconds(attempt: &AttemptStory) -> Option<f64> {
    let lasted = attempt.read_only.and_then(ReadOnlySpan::lasted_ms);
    lasted.map(|lasted| Duration::from_millis(lasted).as_secs_f64())
}

/// Why an attempt did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonBody {
    /// In words.
    pub reason: String,
    /// `network`, `disk`, `permission` or `data`; null where nothing is wrong.
    pub class: Option<ErrorClass>,
    /// In a sentence.
    pub what_to_do: String,
}

impl From<&Reason> for ReasonBody {
    fn from(reason: &Reason) -> Self {
        Self {
            reason: reason.message.clone(),
            class: reason.class,
            what_to_do: reason.remedy.clone(),
        }
    }
}

impl ReasonBody {
    /// Two lines for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let class = match self.class {
            Some(ErrorClass::Network) => " (network)",
            Some(ErrorClass::Disk) => " (disk)",
            Some(ErrorClass::Permission) => " (permission)",
            Some(ErrorClass::Data) => " (data)",
            None => "",
        };
        format!("reason{class}: {}\nwhat to do: {}", self.reason, self.what_to_do)
    }
}

/// A migration with all its attempts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccountBody {
    /// Our id; null of one that Metabase itself began.
    pub migration: Option<String>,
    /// Its row; null if none was written, or it is gone.
    pub row: Option<MigrationBody>,
    /// State.
    pub state: &'static str,
    /// When it began: ISO 8601 in UTC.
    pub begun_at: String,
    /// Is everything done or undone that had to be?
    pub settled: bool,
    /// The first one first; empty of one that Metabase itself began.
    pub attempts: Vec<AttemptBody>,
    /// What is still to be undone.
    pub owed: Vec<OwedBody>,
    /// What a person should know of the last attempt.
    pub warnings: Vec<String>,
    /// Why its journal cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptBody {
    /// From 1.
    pub attempt: u32,
    /// The id that the store gave for it.
    pub external_id: Option<String>,
    /// State.
    pub state: &'static str,
    /// ISO 8601 in UTC.
    pub begun_at: String,
    /// ISO 8601 in UTC; null while it goes on.
    pub ended_at: Option<String>,
    /// How often another process took it over.
    pub taken_over: u32,
    /// How long people could not write; null while that lasts, and where everybody could.
    pub read_only_seconds: Option<f64>,
    /// Why it did not arrive.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub why: Option<ReasonBody>,
}

impl From<&AttemptStory> for AttemptBody {
    fn from(story: &AttemptStory) -> Self {
        Self {
            attempt: story.attempt.0,
            external_id: story.external_id.clone(),
            state: story.phase.as_str(),
            begun_at: iso_ms(story.begun_at_ms),
            ended_at: story.ended_at_ms.map(iso_ms),
            taken_over: story.taken_over,
            read_only_seconds: read_only_seconds(story),
            why: story.reason.as_ref().map(ReasonBody::from),
        }
    }
}

/// Something that is still to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwedBody {
    /// In words.
    pub what: String,
    /// Why the last try failed.
    pub stuck: Option<String>,
}

impl From<&Account> for AccountBody {
    fn from(account: &Account) -> Self {
        let journal = account.journal.as_ref();
        let story = journal.and_then(|journal| journal.story.as_ref().ok());
        let row = account.row.as_ref().map(MigrationBody::from);
        Self {
            migration: journal.map(|journal| journal.id.to_string()),
            state: match (&row, story) {
                (Some(row), _) => row.state,
                (None, Some(story)) => story.state.phase().as_str(),
                (None, None) => "unknown",
            },
            begun_at: match (story, &row) {
                (Some(story), _) => iso_ms(story.begun_at_ms()),
                (None, Some(row)) => row.created_at.clone(),
                (None, None) => String::new(),
            },
            row,
            settled: journal.is_none_or(|journal| journal.settled),
            attempts: story
                .map(|story| story.attempts.iter().map(AttemptBody::from).collect())
                .unwrap_or_default(),
            owed: story.map(owed).unwrap_or_default(),
            warnings: story
                .map(|story| story.state.run().warnings.clone())
                .unwrap_or_default(),
            unreadable: journal.and_then(|journal| journal.story.as_ref().err().cloned()),
        }
    }
}

fn owed(story: &Story) -> Vec<OwedBody> {
    let owed = story.owed().into_iter();
    owed.map(|owed| OwedBody {
        what: in_words(owed.effect),
        stuck: owed.stuck,
    })
    .collect()
}

fn iso_ms(ms: u64) -> String {
    iso(Instant {
        micros: i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000),
        nanos: 0,
    })
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
            read_only_seconds: None,
            waiting: None,
            why: None,
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
