//! What the outside must offer: one small trait per role, each with its promise.
//!
//! | port | role |
//! | --- | --- |
//! | [`MigrationRows`] | the rows of `cloud_migration`, shared with Metabase and operators |
//! | [`JournalStore`] | append-only record of events |
//! | [`LeaseStore`] | one actor at a time |
//! | [`ReadOnlyGuard`] | writes held off and let go |
//! | [`Scheduler`] | jobs paused and resumed exactly |
//! | [`Source`], [`Snapshot`], [`RowReader`] | consistent rows out of a database |
//! | [`Target`], [`TableWriter`] | rows into a database or file |
//! | [`LoadTarget`] | rows into a database that shows all of them at once, or none |
//! | [`Dumper`] | a snapshot into a verified file |
//! | [`Uploader`], [`ObjectStore`], [`StoreClient`] | a file to the other shore |
//! | [`Authenticator`] | who is this caller |
//! | [`Preflight`], [`UndoScript`] | reasons against starting; SQL that undoes by hand |
//! | [`Clock`], [`IdSource`], [`Notifier`] | time, ids, alerts |
//!
//! A lost answer is always possible: unless a method says otherwise, the caller may ask again and the second
//! call finds the first one's work done.

mod app_db;
mod authenticator;
mod clock;
mod dead_mans_switch;
mod dumper;
mod journal;
mod lease_store;
mod notifier;
mod preflight;
mod read_only;
mod scheduler;
mod source;
mod store_client;
mod target;
mod uploader;

pub use app_db::{GuardedUpdate, MigrationRow, MigrationRows, NewMigrationRow};
pub use authenticator::{Authenticator, Caller, Credentials};
pub use clock::{Clock, IdSource};
pub use dead_mans_switch::DeadMansSwitch;
pub use dumper::{
    DumpFile, DumpObserver, DumpReport, DumpRequest, Dumper, LeftOut, Plaintext, SnapshotReport, TableReport,
};
pub use journal::{JournalRecord, JournalStore, JournalTimes, MigrationSummary};
pub use lease_store::LeaseStore;
pub use notifier::{Notice, Notifier};
pub use preflight::{Finding, Preflight, Severity, UndoScript};
pub use read_only::{ReadOnlyBefore, ReadOnlyGuard, ReadOnlyProof};
pub use scheduler::{PausedBefore, Scheduler};
pub use source::{Hold, RowOrder, RowReader, Snapshot, Source, TableRead};
pub use store_client::{CreatedMigration, MultipartUrls, StoreClient};
pub use target::{
    CaseRule, FinishedTarget, GeneratedColumns, KeptTable, LoadTarget, Survey, TableWriter, Target,
    UniqueRule, Unplaced,
};
pub use uploader::{
    Destination, ObjectFacts, ObjectStore, PartBody, PartReceipt, UploadLog, UploadObserver, UploadReceipt,
    UploadRequest, Uploader,
};
