#![doc = include_str!("../README.md")]
// A new variant must be looked at wherever our enums are matched.
#![warn(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod cancellation;
pub mod copy_policy;
pub mod docs;
pub mod effect;
pub mod error;
pub mod event;
pub mod history;
pub mod journal;
pub mod lease;
pub mod migration;
pub mod part_plan;
pub mod plan;
pub mod ports;
pub mod progress;
pub mod quiesce;
pub mod read_only;
pub mod recoding;
pub mod recovery;
pub mod retry;
pub mod row_batch;
pub mod samples;
pub mod scheduler;
pub mod schema;
pub mod state;
pub mod transition;
pub mod undo;

pub use cancellation::Cancellation;
pub use effect::Effect;
pub use error::{ErrorClass, ErrorKind, PortError};
pub use event::Event;
pub use journal::{JournalEntry, replay};
pub use state::MigrationState;
pub use transition::{IllegalEvent, Transition, next};
