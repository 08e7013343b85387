//! Everything outside that a migration touches, as one set of ports.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::migration::MigrationId;
use metaferry_domain::plan::MigrationPlan;
use metaferry_domain::ports::{
    Clock, DeadMansSwitch, Dumper, IdSource, JournalStore, LeaseStore, MigrationRows, Notifier, Plaintext,
    Preflight, ReadOnlyGuard, Scheduler, StoreClient, UndoScript, Uploader,
};

/// The ports of one migration. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// The rows of `cloud_migration`.
    pub rows: Arc<dyn MigrationRows>,
    /// The journal.
    pub journal: Arc<dyn JournalStore>,
    /// The lease.
    pub lease: Arc<dyn LeaseStore>,
    /// Read-only.
    pub read_only: Arc<dyn ReadOnlyGuard>,
    /// What undoes these two when nobody of ours is left.
    pub switch: Arc<dyn DeadMansSwitch>,
    /// The scheduler.
    pub scheduler: Arc<dyn Scheduler>,
    /// Reasons against starting.
    pub preflight: Arc<dyn Preflight>,
    /// The way back by hand.
    pub undo_script: Arc<dyn UndoScript>,
    /// Snapshot to file.
    pub dumper: Arc<dyn Dumper>,
    /// File to shore.
    pub uploader: Arc<dyn Uploader>,
    /// The other shore.
    pub shore: OtherShore,
    /// Alerts.
    pub notifier: Arc<dyn Notifier>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn IdSource>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports")
            .field("shore", &self.shore)
            .finish_non_exhaustive()
    }
}

/// Where migrations go.
#[derive(Clone)]
pub enum OtherShore {
    /// Metabase Cloud's store API, told this version tag.
    Store {
        /// The API.
        client: Arc<dyn StoreClient>,
        /// The version tag of the Metabase that is moved.
        version: String,
    },
    /// A bucket.
    Bucket {
        /// Bucket.
        bucket: String,
        /// What keys begin with; empty or ending in `/`.
        prefix: String,
    },
}

impl std::fmt::Debug for OtherShore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store { version, .. } => write!(f, "store, version {version}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// What stays the same over all migrations of one process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What every new migration is planned as.
    pub plan: MigrationPlan,
    /// This node's name, as the lease shows it.
    pub node: String,
    /// A lease's term.
    pub lease_term: Duration,
    /// How often the row is looked at while something runs: a cancel is seen within this.
    pub watch_every: Duration,
    /// How long running jobs of the application may take to end.
    pub jobs_wait_max: Duration,
    /// Instead of Metabase's own [`PROPAGATION_MS`](metaferry_domain::quiesce::PROPAGATION_MS): how long a change of the
    /// setting takes to reach every node.
    pub propagation: Option<Duration>,
    /// How many nodes the operator says there are.
    pub nodes: Option<u32>,
    /// The folder for dumps.
    pub dump_folder: PathBuf,
    /// A finished file that is sent instead of a fresh dump (`MB_MIGRATION_DUMP_FILE`).
    pub dump_file: Option<PathBuf>,
    /// Are encrypted values decrypted?
    pub plaintext: Plaintext,
    /// Do warnings of preflight stop a migration?
    pub warnings: Warnings,
}

/// What a warning of preflight does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warnings {
    /// The migration does not begin.
    Refuse,
    /// It goes on.
    Accept,
}

impl Settings {
    /// Where the dump of a migration is made.
    #[must_use]
    pub fn dump_path(&self, id: MigrationId) -> PathBuf {
        self.dump_folder.join(format!("cloud_migration_dump_{id}.mv.db"))
    }
}
